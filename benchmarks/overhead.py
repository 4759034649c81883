"""How much of the wall time of `fmbench run` is neither training nor evaluation.

    python benchmarks/overhead.py [MODEL ...] [--most SHARE] [--write]

Runs the real command, `fmbench run --timings`, in an empty folder, and ends with 1 when a larger
share of its time than `--most` is neither training nor evaluation.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import script
from fmbench import data, hardware, protocol
from fmbench.execution.timings import Part, overhead
from fmbench.store import Store
from fmbench.wording import counted, duration


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command once, print where its time went and hold it to the budget."""
    parser = script.training_parser(__doc__, protocol="quick-v1")
    parser.add_argument("models", nargs="*", help="names or patterns; all that are listed")
    parser.add_argument("--most", type=float, default=0.15, help="share of wall time; 0.15")
    options = parser.parse_args(arguments)
    rules = protocol.load(options.protocol)
    where = script.begin(hardware.find_device(options.device), options.threads)
    with tempfile.TemporaryDirectory() as folder:
        seconds = run(
            Path(folder), *(options.models or ["--all"]), "--protocol", options.protocol,
            "--data-dir", str(data.find(options.data_dir, digests=rules.data.sha256)),
            "--device", options.device, "--threads", str(options.threads),
        )  # fmt: skip
        made = Store(Path(folder), rules.id).read().records
    total, share = sum(seconds.values()), overhead(seconds)
    models = ", ".join(sorted({record.run.model for record in made}))
    what = f"{rules.id}, {counted(len(made), 'run')} of {models}: {duration(total)}, "
    what += f"{100 * share:.1f} % outside training and evaluation."
    rows = [
        [part.value, f"{spent:,.1f}", f"{100 * spent / total:.1f}"]
        for part, spent in seconds.items()
    ]
    shown = script.table(("part", "seconds", "%"), rows)
    script.finish("overhead", what, shown, where, page=script.README if options.write else None)
    if share > options.most:
        script.say(f"{share:.1%} of the time is overhead; at most {options.most:.1%} was wanted")
    return int(share > options.most)


def run(results: Path, *arguments: str) -> dict[Part, float]:
    """Run the command into an empty folder, its cache there too; seconds by part, as it says.

    Raises `CalledProcessError`, after showing what it said, when it does not end well.
    """
    command = [str(Path(sys.executable).with_name("fmbench")), "run", "--timings", *arguments]
    ended = subprocess.run(
        [*command, "--results", str(results)],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(results / "cache")},
    )
    if ended.returncode:
        script.say(ended.stdout + ended.stderr)
        ended.check_returncode()
    seconds = dict(re.findall(r"^  (\S.*?) +([\d.]+) s +[\d.]+ %$", ended.stderr, re.MULTILINE))
    return {part: float(seconds[part.value]) for part in Part}


if __name__ == "__main__":
    script.run(main)

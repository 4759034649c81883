"""What fmbench costs besides training and evaluation: the parts of a command's wall time.

    python benchmarks/overhead.py [MODEL ...] [--most SHARE] [--json FILE]

Runs the real command, `fmbench run --timings`, in an empty folder, and ends with 1 when a larger
share of its time than `--most` is neither training nor evaluation.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import command_line
import measurements
import tables
from command_line import say
from fmbench_command import FmbenchCommand
from measurements import Overhead

from fmbench import data, hardware, protocol

RESULTS = "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command once, print where its time went and hold it to the budget."""
    parser = command_line.parser(__doc__, protocol="quick-v1")
    parser.add_argument("models", nargs="*", help="names or patterns; all that are listed")
    parser.add_argument("--most", type=float, default=0.15, help="share of wall time; 0.15")
    options = parser.parse_args(arguments)
    rules = protocol.load(options.protocol)
    data_dir = data.find(options.data_dir, digests=rules.data.sha256)
    device = hardware.find_device(options.device)
    occasion = command_line.begin(device, options.threads)
    with tempfile.TemporaryDirectory() as folder:
        command = FmbenchCommand(Path(folder), data_dir, options.device, options.threads)
        seconds = command.timings(RESULTS, options.protocol, *(options.models or ["--all"]))
        made = command.records(RESULTS)
    measured = Overhead(
        occasion=occasion,
        protocol=rules.id,
        models=tuple(sorted({record.run.model for record in made})),
        runs=len(made),
        seconds=seconds,
    )
    if options.json:
        measurements.write(options.json, measured)
    print(tables.to_markdown(measured))
    if measured.share > options.most:
        say(f"{measured.share:.1%} of the time is overhead; at most {options.most:.1%} was wanted")
        return 1
    return 0


if __name__ == "__main__":
    command_line.run(main)

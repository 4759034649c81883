"""A long look for faults: random kills, crash points and fuzzing, with a dated summary.

`tox -e chaos`, or `python tests/chaos.py --kills 200 --points 1000 --inputs 1000000`. Ends with an
AssertionError at the first broken promise; when there is none, writes into docs/promises.md.
"""

import argparse
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import generated
from conftest import child_environment, install_into, make_tiny
from fmbench.environment import commit, version
from fmbench.hardware import cpu_name
from kills import KILLED, LONG, Killing
from readers import READERS, mutate

PAGE = generated.ROOT / "docs" / "promises.md"


def kills(wanted: int, seed: int, folder: Path) -> tuple[list[tuple[str, bool]], int]:
    """Kill runs at random until `wanted` kills are made; every store ends as a quiet one.

    Returns of each kill whom it hit and whether half way, and the number of stores.
    """
    site = folder / "site"
    site.mkdir(parents=True)
    install_into(site, "plugin-good", KILLED)
    environment = child_environment(site, folder / "cache")
    tiny = make_tiny(folder / "data")
    protocol = tiny.variant(folder / "long.toml", LONG)
    asked = ["run", "good", "conv", "--protocol", str(protocol), "--threads", "1"]
    asked += ["--workers", "2"]
    asked += ["--data-dir", str(tiny.folder), "--checkpoint-every", "0", "--retry-failed"]
    killing = Killing(environment, asked, folder, {})
    killing.finish("quiet")
    draw = random.Random(seed)
    made: list[tuple[str, bool]] = []
    stores = 0
    while len(made) < wanted:
        stores += 1
        made += killing.until_done(f"killed-{stores}", draw, wanted - len(made))
    return made, stores


def points(wanted: int, folder: Path) -> dict[str, int]:
    """Every crash point of the sweep, dying and failing, with models enough for `wanted`."""
    script = Path(__file__).with_name("crash_sweep.py")
    tried: dict[str, int] = {}
    for mode in ("die", "fail"):
        answer = subprocess.run(
            [sys.executable, script, folder / mode, mode, "1", str(1 + wanted // 400)],
            capture_output=True,
            text=True,
        )
        assert answer.returncode == 0, answer.stderr
        tried[mode] = int(answer.stdout)
    assert sum(tried.values()) >= wanted
    return tried


def inputs(wanted: int, seed: int) -> dict[str, Counter[str]]:
    """Damaged and random bytes for each reader; returns how many were read and refused."""
    draw = np.random.RandomState(seed)
    counts: dict[str, Counter[str]] = {}
    for name, reader in READERS.items():
        counts[name] = Counter()
        for number in range(-(-wanted // len(READERS))):
            random_bytes = number % 10 == 0
            content = (
                draw.bytes(draw.randint(0, 200)) if random_bytes else mutate(reader.sample, draw)
            )
            try:
                reader.read(content)
                counts[name]["read"] += 1
            except reader.errors:
                counts[name]["refused"] += 1
    return counts


def main() -> None:
    """Look, then write down what was tried."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--points", type=int, default=1000)
    options.add_argument("--inputs", type=int, default=1_000_000)
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    began = time.time()
    with tempfile.TemporaryDirectory() as name:
        fuzzed = inputs(asked.inputs, asked.seed)
        made, stores = kills(asked.kills, asked.seed, Path(name, "kills"))
        crashed = points(asked.points, Path(name, "points"))
    killed = Counter(whom for whom, _ in made)
    lines = [
        f"`tox -e chaos` on {datetime.now(UTC):%Y-%m-%d}, {cpu_name()}, {platform.system()}, "
        f"Python {platform.python_version()}, torch {version('torch')}, commit {commit()[:12]}, "
        f"{(time.time() - began) / 60:.0f} minutes. No promise was broken.",
        "",
        f"- {len(made)} times `kill -9` at a random moment of a command with two workers and real "
        f"training, over {stores} stores: "
        f"{', '.join(f'{count} {whom}' for whom, count in sorted(killed.items()))}"
        f"; {sum(half for _, half in made)} with a result or a checkpoint, but not all results, "
        "there. Each store ended with the results of a quiet run.",
        f"- {sum(crashed.values()):,} crash points: {crashed['die']} at which the runner died, "
        f"{crashed['fail']} at which a call failed (no space left, input/output error).",
        f"- {sum(count.total() for count in fuzzed.values()):,} inputs to readers:",
        "",
        "| reader | inputs | read | refused |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {name} | {count.total():,} | {count['read']:,} | {count['refused']:,} |"
        for name, count in fuzzed.items()
    ]
    lines += [
        "",
        "A damaged file that is passed over counts as read (discovery's answer, events, outcomes, "
        "checkpoints): nothing was raised.",
    ]
    PAGE.write_text(generated.filled(PAGE, "chaos", "\n".join(lines) + "\n"), "utf-8")


if __name__ == "__main__":
    main()

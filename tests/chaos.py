"""A long look for faults: random kills, crash points and fuzzing, with a dated summary.

`tox -e chaos`, or `python tests/chaos.py --kills 200 --points 1000 --inputs 1000000`. Ends with an
AssertionError at the first broken promise; writes docs/chaos.md when there is none.
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

from conftest import child_environment, install_into, make_tiny
from fmbench.environment import commit, cpu_name, version
from kills import KILLED, LONG, kill_at_random, results
from readers import READERS, mutate

ROOT = Path(__file__).parents[1]


def kills(wanted: int, seed: int, folder: Path) -> Counter[str]:
    """Kill runs at random until `wanted` kills are made; every store ends as a quiet one."""
    site = folder / "site"
    site.mkdir(parents=True)
    install_into(site, "plugin-good", KILLED)
    environment = child_environment(site, folder / "cache")
    tiny = make_tiny(folder / "data")
    protocol = tiny.variant(folder / "long.toml", LONG)
    asked = ["run", "good", "conv", "--protocol", str(protocol), "--threads", "1"]
    asked += ["--data-dir", str(tiny.folder), "--checkpoint-every", "0", "--retry-failed"]
    command = str(Path(sys.executable).with_name("fmbench"))

    def finish(name: str) -> None:
        quiet = subprocess.run(
            [command, *asked, "--results", name], cwd=folder, env=environment, capture_output=True
        )
        assert quiet.returncode == 0, quiet.stderr.decode()

    finish("quiet")
    expected = results(folder / "quiet")
    draw = random.Random(seed)
    made: Counter[str] = Counter()
    stores = 0
    while made.total() < wanted:
        stores += 1
        name = f"killed-{stores}"
        before: dict[str, object] = {}
        while made.total() < wanted and before.keys() != expected.keys():
            whom = kill_at_random(environment, [*asked, "--results", name], folder, draw)
            made[whom] += 1
            now = results(folder / name)
            assert before.items() <= now.items() <= expected.items(), "a row was lost or is wrong"
            before = dict(now)
        finish(name)
        assert results(folder / name) == expected
    made["stores"] = stores
    return made


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
        killed = kills(asked.kills, asked.seed, Path(name, "kills"))
        crashed = points(asked.points, Path(name, "points"))
    stores = killed.pop("stores")
    lines = [
        "# What was tried",
        "",
        f"`tox -e chaos` on {datetime.now(UTC):%Y-%m-%d}, {cpu_name()}, {platform.system()}, "
        f"Python {platform.python_version()}, torch {version('torch')}, commit {commit()[:12]}, "
        f"{(time.time() - began) / 60:.0f} minutes. No promise was broken.",
        "",
        f"- {killed.total()} times `kill -9` at a random moment of a run with real training, over "
        f"{stores} stores: {', '.join(f'{count} {whom}' for whom, count in sorted(killed.items()))}"
        ". Each store ended with the results of a quiet run.",
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
        "A damaged file that is passed over (events, outcomes, checkpoints) counts as read.",
    ]
    (ROOT / "docs" / "chaos.md").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()

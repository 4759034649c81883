"""How long reading and tabulating records takes, and how it grows.

    python benchmarks/boards.py [RECORDS ...] [--most SECONDS] [--json FILE]

writes that many made-up records (1,000, 10,000 and 100,000 unless told otherwise) into a temporary
folder and reads them as `fmbench leaderboard` does, each size in a process of its own. Ends with 1
when reading and tabulating takes longer than `--most` for each 10,000 records.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import command_line
import measurements
import msgspec
import numpy as np
import tables
from command_line import say
from measurements import Boards, BoardsRow, Reading

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import samples
import simulated
from fmbench import files, hardware, records
from fmbench.leaderboard import formats
from fmbench.leaderboard.board import read_board
from fmbench.leaderboard.evidence import Evidence
from fmbench.store import Store

SEEDS, TUNES = 5, 3
MODELS = 250


def write(folder: Path, count: int) -> None:
    """Write `count` records of at most 250 models: newest sets with predictions, then older."""
    random = np.random.RandomState(0)
    labels = random.randint(0, 10, 10_000).astype(np.uint8)
    of = simulated.rules(SEEDS, labels, folder)
    store = Store(folder, of.id)
    store.make()
    store.keep_protocol(of.digest, (folder / "simulated.toml").read_text())
    store.keep_labels(labels)
    each = SEEDS + TUNES
    models = min(MODELS, count // each)
    for number in range(count):
        older, place = divmod(number, each * models)
        model, part = divmod(place, each)
        tune = part >= SEEDS
        run = samples.run(
            model=f"m{model:04}", protocol=of.id, protocol_digest=of.digest,
            stage="tune" if tune else "final", seed=0 if tune else part + 1,
            recipe=of.recipes[part - SEEDS].name if tune else "adamw", torch=f"2.{older}",
        )  # fmt: skip
        created = f"2026-{12 - older % 12:02}-01T00:00:00Z" if older else "2027-01-01T00:00:00Z"
        stands = not (tune or older)
        hits = random.random_sample(10_000 if stands else 100) < 0.95 - 0.0004 * model
        record = samples.record(
            run, correct=int(hits.sum()), images=len(hits), created=created, id=f"{number:08x}"
        )
        store.path(record, ".json").write_bytes(records.encode(record))
        if stands:
            predictions = np.where(hits, labels, (labels + 1) % 10).astype(np.uint8)
            store.path(record, ".npy").write_bytes(files.npy_bytes(predictions))


def read(folder: Path, *, cached: bool) -> Reading:
    """Read and tabulate a folder of records, ranks from the cache or computed."""
    before = time.perf_counter()
    evidence = Evidence(Store(folder, "tiny-v1"))
    after_reading = time.perf_counter()
    board = read_board(evidence, cached=cached)
    formats.to_markdown(board)
    return Reading(
        read_seconds=after_reading - before,
        tabulate_seconds=time.perf_counter() - after_reading,
        peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        models=len(board.rows),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each size, first with ranks computed, then with ranks from the cache."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("records", nargs="*", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--most", type=float, default=2.0, help="seconds for 10,000 records; 2")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write what was measured")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--fresh", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.read:
        reading = read(options.read, cached=not options.fresh)
        print(msgspec.json.encode(reading).decode())
        return 0
    occasion = command_line.begin(hardware.cpu_device(), threads=1)
    found = Boards(occasion=occasion, rows=tuple(measure(count) for count in options.records))
    if options.json:
        measurements.write(options.json, found)
    print(tables.to_markdown(found))
    slow = [row.records for row in found.rows if seconds(row) > allowed(row, options.most)]
    for count in slow:
        say(f"{count:,} records took more than {options.most:g} s for each 10,000")
    return int(bool(slow))


def seconds(row: BoardsRow) -> float:
    """What reading and tabulating took, ranks computed."""
    return row.computed.read_seconds + row.computed.tabulate_seconds


def allowed(row: BoardsRow, most: float) -> float:
    """Seconds that so many records may take; fewer than 10,000 as many as 10,000."""
    return most * max(1.0, row.records / 10_000)


def measure(count: int) -> BoardsRow:
    """Write so many records and read them three times, each in a process of its own."""
    say(f"{count:,} records")
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), count)
        computed, _, cached = (_read_apart(folder, flags) for flags in (["--fresh"], [], []))
    return BoardsRow(records=count, computed=computed, cached=cached)


def _read_apart(folder: str, flags: list[str]) -> Reading:
    ran = subprocess.run(
        [sys.executable, __file__, "--read", folder, *flags], check=True, capture_output=True
    )
    return msgspec.json.decode(ran.stdout, type=Reading)


if __name__ == "__main__":
    command_line.run(main)

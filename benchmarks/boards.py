"""How long reading and tabulating records takes, and how it grows.

    python benchmarks/boards.py [RECORDS ...]

writes that many made-up records (1,000, 10,000 and 100,000 unless told otherwise) into a temporary
folder and reads them as `fmbench leaderboard` does, each size in a process of its own.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import samples
import simulated
from fmbench import files, records
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


def read(folder: Path, *, cached: bool) -> None:
    """Print the seconds that reading and tabulating takes, the peak memory in MB, and the rows."""
    before = time.perf_counter()
    evidence = Evidence(Store(folder, "tiny-v1"))
    after_reading = time.perf_counter()
    board = read_board(evidence, cached=cached)
    formats.to_markdown(board)
    seconds = time.perf_counter() - after_reading
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{after_reading - before:.2f} {seconds:.2f} {peak:.0f} {len(board.rows)}")


def main() -> None:
    """Measure each size, first with ranks computed, then with ranks from the cache."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", nargs="*", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--fresh", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read(options.read, cached=not options.fresh)
        return
    print("| records | models | read, s | ranks computed, s | ranks cached, s | peak memory, MB |")
    print("|--:|--:|--:|--:|--:|--:|")
    for count in options.records:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), count)
            fresh, _, cached = (_child(folder, flag) for flag in (["--fresh"], [], []))
            print(
                f"| {count:,} | {cached[3]} | {cached[0]} | {fresh[1]} | {cached[1]} "
                f"| {cached[2]} |",
                flush=True,
            )


def _child(folder: str, flags: list[str]) -> list[str]:
    ran = subprocess.run(
        [sys.executable, __file__, "--read", folder, *flags],
        check=True,
        capture_output=True,
        text=True,
    )
    return ran.stdout.split()


if __name__ == "__main__":
    main()

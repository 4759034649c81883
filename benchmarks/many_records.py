"""How many records a results folder may hold before its leaderboard takes long.

    python benchmarks/many_records.py [RECORDS ...] [--most SECONDS] [--opening TIMES] [--write]

copies the published records of one model under other names, those of at most 250 models and older
sets of them, into a temporary folder, and reads and tabulates them as `fmbench leaderboard` does.
Then `fmbench.results.open` and reading and ranking alone take turns, each with an empty cache.
Ends with 1 when the first takes longer than `--most` for each 10,000 records, or opening longer
than `--opening` times as long as reading and ranking.
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from unittest import mock

import msgspec
import numpy as np

import script
from fmbench import files, hardware, records, results
from fmbench.leaderboard import formats
from fmbench.leaderboard.board import read_board
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.store import Store

HEADINGS = (
    "records", "models", "read, s", "ranks computed, s", "ranks cached, s", "opened, times that",
)  # fmt: skip
BOARD, MODEL = "lite-v1", "softmax"
MODELS = 250
ROUNDS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each size, first with ranks computed, then with ranks from the cache."""
    parser = script.parser(__doc__)
    parser.add_argument("records", nargs="*", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--most", type=float, default=2.0, help="seconds for 10,000 records; 2")
    parser.add_argument(
        "--opening", type=float, default=1.2, help="times of reading and ranking; 1.2"
    )
    options = parser.parse_args(arguments)
    where = script.begin(hardware.cpu_device(), threads=1)
    rows, slow = [], []
    for count in options.records:
        script.say(f"{count:,} records")
        with (
            tempfile.TemporaryDirectory() as folder,
            mock.patch.dict(os.environ, XDG_CACHE_HOME=folder),
        ):
            write(Path(folder), count)
            reading, computing, models = read(Path(folder), cached=False)
            _, looking_up, _ = read(Path(folder), cached=True)
            opening = ratio_of_opening(Path(folder))
        seconds = (f"{one:.2f}" for one in (reading, computing, looking_up))
        rows.append([f"{count:,}", f"{models:,}", *seconds, f"{opening:.2f}"])
        if reading + computing > options.most * max(1.0, count / 10_000):
            slow.append(f"{count:,} records took more than {options.most:g} s for each 10,000")
        if opening > options.opening:
            slow.append(
                f"{count:,} records were opened in more than {options.opening:g} times that"
            )
    shown = script.table(HEADINGS, rows, words=0)
    script.finish("records", shown, where, page=script.README if options.write else None)
    for said in slow:
        script.say(said)
    return int(bool(slow))


def write(folder: Path, count: int) -> None:
    """Write `count` records: the newest set of each model, with predictions, then older sets."""
    random = np.random.RandomState(0)
    published = Store(script.PUBLISHED, BOARD)
    originals = [one for one in published.read().records if one.run.model == MODEL]
    rules = published.protocol_of(originals)
    labels = published.labels(rules)
    store = Store(folder, BOARD)
    store.make()
    (text,) = published.folder.glob(f"protocol-{rules.digest[:8]}.toml")
    store.keep_protocol(rules.digest, text.read_text("utf-8"))
    store.keep_labels(labels)
    models = min(MODELS, count // len(originals))
    for number in range(count):
        older, place = divmod(number, len(originals) * models)
        model, part = divmod(place, len(originals))
        original = originals[part]
        run = msgspec.structs.replace(original.run, model=f"m{model:04}", torch=f"2.{older}")
        hits = random.random_sample(original.result.images) < 0.95 - 0.0004 * model
        result = original.result
        if run.stage == "final":
            result = msgspec.structs.replace(result, correct=int(hits.sum()))
        record = msgspec.structs.replace(
            original, id=f"{number:08x}", key=run.key, run=run, result=result,
            created=f"{2026 - older // 12}-{12 - older % 12:02}-01T00:00:00Z",
        )  # fmt: skip
        store.path(record, ".json").write_bytes(records.encode(record))
        if run.stage == "final" and not older:
            predictions = np.where(hits, labels, (labels + 1) % 10).astype(np.uint8)
            store.path(record, ".npy").write_bytes(files.npy_bytes(predictions))


def read(folder: Path, *, cached: bool) -> tuple[float, float, int]:
    """Seconds of reading the records and of tabulating them, and the rows that came."""
    start = time.perf_counter()
    stored = StoredResults(Store(folder, BOARD))
    between = time.perf_counter()
    board = read_board(stored, cached=cached)
    formats.to_markdown(board)
    return between - start, time.perf_counter() - between, len(board.rows)


def ratio_of_opening(folder: Path) -> float:
    """How many times as long as reading and ranking `results.open` takes; medians of rounds."""

    def seconds(work: Callable[[], object]) -> float:
        with (
            tempfile.TemporaryDirectory() as cache,
            mock.patch.dict(os.environ, XDG_CACHE_HOME=cache),
        ):
            start = time.perf_counter()
            work()
            return time.perf_counter() - start

    each = [
        (
            seconds(lambda: results.open(folder, protocol=BOARD)),
            seconds(lambda: read_board(StoredResults(Store(folder, BOARD)))),
        )
        for _ in range(ROUNDS)
    ]
    opening, ranking = zip(*each, strict=True)
    ratio: float = median(opening) / median(ranking)
    return ratio


if __name__ == "__main__":
    script.run(main)

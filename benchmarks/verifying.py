"""What verification costs beside the reading of the files that it checks.

    python benchmarks/verifying.py [RECORDS ...] [--most RATIO] [--write]

copies the published records of softmax under other names, with times and predictions of their own,
reads each file as `fmbench leaderboard` does, and verifies them. Every size is measured in a
process of its own. Ends with 1 when verification takes more than `--most` times the reading.
"""

import gc
import hashlib
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import psutil

import script
from fmbench import files, hardware, records
from fmbench.store import PREDICTIONS, Store
from fmbench.verification import asked_of, verify_store

HEADINGS = (
    "records", "files", "bytes read, s", "records read, s", "verified, s", "ratio",
    "memory, MB",
)  # fmt: skip
BOARD, MODEL = "lite-v1", "softmax"
REPEATS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each size."""
    parser = script.parser(__doc__)
    parser.add_argument("records", nargs="*", type=int, default=[100, 1_000, 10_000])
    parser.add_argument("--most", type=float, default=3.0, help="times the reading; 3")
    options = parser.parse_args(arguments)
    where = script.begin(hardware.cpu_device(), threads=1)
    rows, slow = [], []
    for count in options.records:
        script.say(f"{count:,} records")
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), count)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                raw, reading, verifying, grown = pool.apply(measure, [Path(folder)])
            size = sum(1 for _ in Path(folder).rglob("*.*"))
        ratio = verifying / reading
        rows.append(
            [f"{count:,}", f"{size:,}", f"{raw:.3f}", f"{reading:.3f}", f"{verifying:.3f}",
             f"{ratio:.2f}", f"{grown / 1e6:.1f}"]
        )  # fmt: skip
        if ratio > options.most:
            slow.append(count)
    shown = script.table(HEADINGS, rows, words=0)
    script.finish("verifying", shown, where, page=script.README if options.write else None)
    for count in slow:
        script.say(f"{count:,} records took more than {options.most:g} times their reading")
    return int(bool(slow))


def write(folder: Path, count: int) -> None:
    """Write `count` records, final runs and trials in turn, each model with all of its own."""
    random = np.random.RandomState(0)
    published = Store(script.PUBLISHED, BOARD)
    originals = [one for one in published.read().records if one.run.model == MODEL]
    originals.sort(key=lambda one: one.run.stage != "tune")  # no final run without its trials
    rules = published.protocol_of(originals)
    labels = published.labels(rules)
    store = Store(folder, BOARD)
    store.make()
    (text,) = published.folder.glob(f"protocol-{rules.digest[:8]}.toml")
    store.keep_protocol(rules.digest, text.read_text("utf-8"))
    store.keep_labels(labels)
    for number in range(count):
        model, part = divmod(number, len(originals))
        original = originals[part]
        run = msgspec.structs.replace(original.run, model=f"m{model:04}")
        factor = 1 + number * 1e-6
        cost = msgspec.structs.replace(
            original.cost,
            train_seconds=original.cost.train_seconds * factor,
            images_per_second=original.cost.images_per_second / factor,
            runner_seconds=original.cost.runner_seconds * factor,
        )
        record = msgspec.structs.replace(
            original, schema=records.SCHEMA, id=f"{number:08x}", key=run.key, run=run, cost=cost,
            result=msgspec.structs.replace(original.result, logits_sha256=f"{number:064x}"),
        )  # fmt: skip
        predictions = None
        if run.stage == "final":
            order = random.permutation(len(labels))
            wrong = order[record.result.correct or 0 :]
            predictions = labels.copy()
            predictions[wrong] = (labels[wrong] + random.randint(1, 10, len(wrong))) % 10
            digest = hashlib.sha256(files.npy_bytes(predictions)).hexdigest()
            record = msgspec.structs.replace(record, files={PREDICTIONS: digest})
            store.path(record, PREDICTIONS).write_bytes(files.npy_bytes(predictions))
        store.path(record, ".json").write_bytes(records.encode(record))


def measure(folder: Path) -> tuple[float, float, float, int]:
    """Seconds of reading bytes, of reading records and predictions, and of verification.

    Each the shortest of three; and by how many bytes the process has grown in the last.
    """
    (asked,) = asked_of([folder])
    store = asked.store

    def read_bytes() -> None:
        for path in store.records.iterdir():
            path.read_bytes()

    def read_records() -> None:
        for path in store.record_files():
            record = store.read_record(path)
            if record.run.stage == "final":
                store.predictions(record)

    def verify() -> None:
        if false := verify_store(asked, ()).false:
            raise AssertionError(false[0])

    verify()  # modules are imported once
    raw, reading = _shortest(read_bytes), _shortest(read_records)
    gc.collect()
    before = psutil.Process().memory_info().rss
    verifying = _shortest(verify)
    return raw, reading, verifying, psutil.Process().memory_info().rss - before


def _shortest(work: Callable[[], None]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    script.run(main)

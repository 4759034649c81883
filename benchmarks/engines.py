"""What running side by side gains, and what a run costs beside its training.

    python benchmarks/engines.py [--runs N] [--write]
    python benchmarks/engines.py --side-by-side [MODEL ...] [--write]

The first makes many runs of next to no training with each engine. The second makes the same models
under two protocols that differ in threads alone: one worker with all cores, and workers with one
thread each. Ends with 1 when a run costs more than half a second, or side by side gains too little.
"""

import argparse
import contextlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import psutil

import script
from fmbench import data, hardware, limits
from fmbench.errors import UsageError
from fmbench.execution.observers import Observers
from fmbench.execution.session import Session, plan_session
from fmbench.execution.timings import Part, Timings
from fmbench.hookspecs import hookimpl
from fmbench.records import Record
from fmbench.wording import duration, memory

Engine = Literal["local", "ray"]
MOST_SECONDS_A_RUN = 0.5
LEAST_GAIN = 1.25
EMPTY = {"final.train_images": 256, "final.epochs": 1, "devices.cpu.threads": 1}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one of the two, print its table and hold it to its budget."""
    parser = script.parser(__doc__)
    parser.add_argument("models", nargs="*", default=["*"], help="names or patterns; all listed")
    parser.add_argument("--side-by-side", action="store_true", help="measure throughput instead")
    parser.add_argument("--runs", type=int, default=1000, help="runs of each engine; 1000")
    parser.add_argument("--engines", nargs="+", default=["local", "ray"], help="both")
    parser.add_argument("--protocol", default="quick-v1", help="what they derive from; quick-v1")
    parser.add_argument("--data-dir", type=Path, help="folder of the four files; they are found")
    options = parser.parse_args(arguments)
    where = script.begin(hardware.cpu_device(), limits.cores())
    page = script.README if options.write else None
    if options.side_by_side:
        return side_by_side(options, where, page)
    return costs(options, where, page)


class Watch:
    """An observer that notes how much memory this process has after each run.

    expected: seconds that the runs were expected to take before the first.
    """

    def __init__(self) -> None:
        self.memory: list[int] = []
        self.expected = 0.0

    @hookimpl
    def fmbench_run_end(self, record: Record) -> None:
        """Note what this process itself has."""
        if not record.ok:
            script.say(f"{record.run.model}: {record.result.message}")
        self.memory.append(psutil.Process().memory_info().rss)


def costs(options: argparse.Namespace, where: str, page: Path | None) -> int:
    """What a run costs that trains for a moment: wall time less that of workers' starts."""
    rows, worst, runs = [], 0.0, options.runs
    for engine in options.engines:
        rules = derived(options.protocol, seeds=list(range(1, runs + 1)), **EMPTY)
        with tempfile.TemporaryDirectory() as folder:
            watch, timings = Watch(), Timings()
            try:
                seconds = run(
                    ["softmax"], rules, Path(folder), engine, None, options.data_dir, watch, timings
                )
            except UsageError as error:
                script.say(f"{engine}: {error.what}")
                continue
        spent, workers = timings.seconds(), limits.cores()
        rest = (
            workers * seconds - spent[Part.WORKER] - spent[Part.TRAINING] - spent[Part.EVALUATION]
        )
        worst = max(worst, rest / runs)
        early, late = watch.memory[len(watch.memory) // 10], watch.memory[-1]
        rows.append(
            [
                engine, f"{runs:,}", duration(seconds), f"{rest / runs:.3f}",
                f"{spent[Part.WORKER] / runs:.3f}", memory(early), memory(late),
            ]
        )  # fmt: skip
    headings = (
        "engine", "runs", "wall time", "a run, s", "starts, a run, s",
        "runner's memory after a tenth", "in the end",
    )  # fmt: skip
    script.finish("engines", script.table(headings, rows), where, page=page)
    return int(worst > MOST_SECONDS_A_RUN)


def side_by_side(options: argparse.Namespace, where: str, page: Path | None) -> int:
    """How long one worker with all cores takes, and workers with one thread each."""
    cores = limits.cores()
    rows, wall = [], []
    for threads, workers in ((cores, 1), (1, None)):
        rules = derived(options.protocol, **{"devices.cpu.threads": threads})
        with tempfile.TemporaryDirectory() as folder:
            watch = Watch()
            seconds = run(
                options.models, rules, Path(folder), "local", workers, options.data_dir, watch,
                Timings(),
            )  # fmt: skip
        wall.append(seconds)
        rows.append(
            [
                f"{workers or cores}", f"{threads}", duration(watch.expected), duration(seconds),
                f"{wall[0] / seconds:.2f}",
            ]
        )  # fmt: skip
    headings = ("workers", "threads each", "expected", "wall time", "times as fast")
    script.finish("side by side", script.table(headings, rows, words=0), where, page=page)
    return int(wall[0] / wall[1] < LEAST_GAIN)


def derived(parent: str, **changes: object) -> str:
    """The text of a protocol that differs from its parent in a few keys."""
    lines = [f'extends = "{parent}"', 'name = "engines"', "version = 1"]
    lines += [f"{key} = {value}" for key, value in changes.items()]
    return "\n".join(lines) + "\n"


def run(
    models: Sequence[str],
    rules: str,
    folder: Path,
    engine: Engine,
    workers: int | None,
    data_dir: Path | None,
    watch: Watch,
    timings: Timings,
) -> float:
    """Make the runs of the models into a folder; seconds from the plan to the last record."""
    file = folder / "engines.toml"
    file.write_text(rules, "utf-8")
    session: Session = plan_session(
        models, protocol_name=str(file), device="cpu", seeds=None, tune_only=False, threads=None,
        workers=workers, results=folder / "results", retry_failed=False,
    )  # fmt: skip
    digests = session.setting.protocol.data.sha256
    dataset = data.load(data.find(data_dir, say=script.say), digests)
    session.prepare(dataset)
    estimate = session.estimate()
    watch.expected = estimate.remaining()
    start = time.perf_counter()
    with contextlib.closing(session.start_engine(engine)) as placing:
        session.run(
            dataset,
            Observers(own=[estimate, watch]),
            engine=placing,
            forecast=estimate,
            replanned=estimate.plan,
            timeout=3600,
            checkpoint_seconds=60,
            timings=timings,
        )
        return time.perf_counter() - start


if __name__ == "__main__":
    script.run(main)

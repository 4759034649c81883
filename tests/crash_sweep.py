"""Crash points: the runner on a real store with a light worker, dying at its n-th system call.

Run as a program, so that it forks from a process without threads: `python tests/crash_sweep.py
FOLDER MODE STEP [MODELS]`. MODE is `die`, or `fail`: no space left, or an input/output error. For
n = 1, 1 + STEP … until a run gets through, a child works until its n-th call and dies or fails
there; the store is then checked, and a second child has to finish what is missing. Prints how many
points it tried.
"""

import errno
import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import samples
from conftest import TinyData, make_tiny
from fmbench import data, files, protocol
from fmbench.data import Dataset
from fmbench.discovery import ListedModel
from fmbench.errors import FmbenchError
from fmbench.execution.job import Event, Inputs, Job, JobFolder, RunOutcome
from fmbench.execution.plan import Setting, done_records, make_setting
from fmbench.execution.runner import Runner
from fmbench.execution.scorer import Scorer
from fmbench.execution.scratch import clear_leftovers
from fmbench.hardware import Device
from fmbench.store import Store

CALLS = ("write", "fsync", "link", "replace", "rename", "unlink", "mkdir", "rmdir")
DIED, FAILED, UNTOUCHED = 77, 78, 79
TUNED = (
    "[[recipes]]",
    '[tune]\nepochs = 1\n\n[[recipes]]\nname = "other"\noptimizer = "sgd"\nlearning_rate = 0.1\n\n'
    "[[recipes]]",
)
MODELS = [
    ListedModel(name=f"light{number}", summary="", size=28, source="", plugin=samples.PLUGIN)
    for number in range(9)
]


class LightWorker:
    """A worker that has done its job before anybody looks."""

    place = "here"

    def __init__(self) -> None:
        self.pid = os.getpid()

    def ended(self) -> RunOutcome | None:
        """It ended well."""
        return RunOutcome(status="crashed")

    def log(self) -> bytes:
        """It says nothing."""
        return b""

    def settle(self) -> None:
        """It needs no memory."""

    def ask_to_stop(self) -> None:
        """There is nothing to stop."""

    def stop(self) -> None:
        """There is nothing to stop."""


class LightEngine:
    """Does a job in this process: logits drawn from the run's seed, no training."""

    slots = 1

    def has_room(self, memory: float) -> bool:  # noqa: ARG002 - as an engine is asked
        """It has room for any job."""
        return True

    def close(self) -> None:
        """Nothing outlives a job."""

    def start(self, job: Job, folder: JobFolder, memory: float) -> LightWorker:  # noqa: ARG002
        """Do the whole job at once."""
        folder.write_job(job)
        images = Inputs(Path(job.inputs)).read("evaluation_images")
        for number, run in enumerate(job.runs):
            folder.append(Event(kind="start", run=number))
            random = np.random.RandomState(run.seed + len(run.recipe))
            logits = random.standard_normal((len(images), 10)).astype(np.float32)
            files.make_folder(folder.answers(number).logits.parent)
            files.write(folder.answers(number).logits, files.npy_bytes(logits))
            folder.write_outcome(number, RunOutcome(status="ok", curve=(1.0,)))
            folder.append(Event(kind="end", run=number))
        return LightWorker()


def arm(n: int, mode: str) -> Callable[[], bool]:
    """Make the n-th call that changes the file system the last, or let it fail.

    Returns a function that says whether there was such a call.
    """
    count = 0

    def wrap(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count != n:
                return real(*arguments, **options)
            if mode == "die":
                if name == "write":
                    real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                os._exit(DIED)
            raise OSError(errno.EIO if n % 2 else errno.ENOSPC, "on purpose")

        return call

    for name in CALLS:
        setattr(os, name, wrap(name, getattr(os, name)))
    return lambda: count >= n


def work(store: Store, setting: Setting, dataset: Dataset, models: int) -> None:
    """What `fmbench run` does, without a process of its own for training."""
    store.make()
    store.keep_protocol(setting.protocol.digest, "kept")
    store.keep_labels(dataset.test_labels)
    clear_leftovers(store, done_records(store.read().records))
    scorer = Scorer(dataset, setting.protocol)
    runner = Runner(
        setting=setting, store=store, scorer=scorer, engine=LightEngine(), keep_logits=True
    )
    runner.run(MODELS[:models])


def in_child(task: Callable[[], None]) -> int:
    """The exit status of a forked child that does the task."""
    child = os.fork()
    if child == 0:
        try:
            task()
        except (OSError, FmbenchError):
            os._exit(FAILED)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def check(store: Store, dataset: Dataset) -> dict[str, object]:
    """Hold the store to its promise and return its results by key: no half row, no wrong row."""
    contents = store.read()
    assert contents.problems == (), contents.problems
    results: dict[str, object] = {}
    for record in contents.records:
        assert record.key not in results, "a run was made twice"
        results[record.key] = record.result
        assert record.result.status == "ok"
        if record.run.stage == "final":
            hits = store.predictions(record) == dataset.test_labels
            assert int(hits.sum()) == record.result.correct
            files.read_npy(store.path(record, ".logits.npy"), np.float16, (len(hits), 10))
    return results


def sweep(folder: Path, mode: str, step: int, models: int = 1) -> int:
    """Try every crash point, or each `step`-th of them; returns how many were tried."""
    tiny: TinyData = make_tiny(folder / "data")
    rules = protocol.load(str(tiny.variant(folder / "tuned.toml", TUNED)))
    dataset = data.load(tiny.folder, rules.data.sha256)
    setting = make_setting(rules, Device(kind="cpu", name="A CPU", memory=1), threads=1)
    reference = Store(folder / "reference", rules.id)
    assert in_child(lambda: work(reference, setting, dataset, models)) == 0
    expected = check(reference, dataset)
    assert len(expected) == 4 * models
    for n in itertools.count(1, step):
        store = Store(folder / f"{mode}-{n}", rules.id)

        def doomed(store: Store = store, n: int = n) -> None:
            reached = arm(n, mode)
            work(store, setting, dataset, models)
            os._exit(0 if reached() else UNTOUCHED)

        status = in_child(doomed)
        assert status in {0, DIED, FAILED, UNTOUCHED}, f"{mode} {n}: {status}"
        partial = check(store, dataset)
        assert partial.items() <= expected.items(), f"{mode} {n}: a wrong row"
        assert in_child(lambda store=store: work(store, setting, dataset, models)) == 0, (
            f"{mode} {n}"
        )
        assert check(store, dataset) == expected, f"{mode} {n}"
        left = {path.suffix for path in store.records.iterdir()}
        assert left == {".json", ".npy"}, f"{mode} {n}: {left}"
        assert list(store.jobs.iterdir()) == [], f"{mode} {n}"
        if status == UNTOUCHED:
            return n // step
        assert n < 5000, "no run gets through"
    raise AssertionError


if __name__ == "__main__":
    sys.stdout.write(f"{sweep(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))}\n")

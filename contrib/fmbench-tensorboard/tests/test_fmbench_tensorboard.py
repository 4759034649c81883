"""What fmbench-tensorboard promises."""

from pathlib import Path

import msgspec
import pytest
from fmbench_tensorboard import VARIABLE, Curves
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fmbench.environment import Environment
from fmbench.execution.observers import Observers
from fmbench.hardware import Device
from fmbench.records import Cost, Plugin, Progress, Record, Result, Run

RUN = Run(
    model="family/model",
    plugin=Plugin(distribution="d", version="1", entry="e", source="0" * 64, dependencies={}),
    protocol="tiny-v1", protocol_digest="0" * 64, stage="final", recipe="adamw", seed=2,
    device_kind="cpu", semantics=1, torch="2",
)  # fmt: skip
ENVIRONMENT = Environment(
    device=Device(kind="cpu", name="A CPU", memory=1), cpu="A CPU", cores=1, threads=1, memory=1,
    os="Linux", python="3", libraries={}, fmbench="0", commit="",
)  # fmt: skip


def record(result: Result) -> Record:
    """The record of the run with a result."""
    return Record(
        id="0" * 8, key=RUN.key, created="2026-01-01T00:00:00Z", reproducibility="bitwise",
        run=RUN, result=result, cost=Cost(), environment=ENVIRONMENT,
    )  # fmt: skip


def progress(epoch: int, step: int, loss: float | None) -> Progress:
    """How far the run has come."""
    return Progress(
        run=RUN, epoch=epoch, epochs=2, step=step, steps=10, loss=loss, images_per_second=50.0
    )


def test_a_runs_curve_and_scores_can_be_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses stand at their steps, scores at the end, in a folder named after the run."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    observers = Observers(guests={"tensorboard": Curves()})
    observers.run_start(RUN)
    for epoch, step, loss in ((1, 5, 2.0), (1, 10, 1.5), (2, 10, None)):
        observers.epoch_end(progress(epoch, step, loss))
    scored = Result(status="ok", images=10, correct=8, log_loss=0.5, calibration_error=0.1)
    observers.run_end(record(scored))
    events = EventAccumulator(str(tmp_path / "tiny-v1/d/family/model/final-adamw-s2"))
    events.Reload()
    losses = [(event.step, event.value) for event in events.Scalars("training loss")]
    assert losses == [(5, 2.0), (10, 1.5)]
    (accuracy,) = events.Scalars("test accuracy")
    assert (accuracy.step, accuracy.value) == (20, pytest.approx(0.8))


def test_a_failed_run_leaves_its_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run without scores, or one that never said how far it came, is no fault."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    curves = Curves()
    curves.fmbench_run_end(record(Result(status="crashed")))
    curves.fmbench_run_start(RUN)
    curves.fmbench_run_end(record(Result(status="diverged")))
    assert len(list(tmp_path.rglob("events.*"))) == 1


def test_runs_side_by_side_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs whose hooks are called in turn each have their own losses."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    curves = Curves()
    other = msgspec.structs.replace(RUN, seed=3)
    curves.fmbench_run_start(RUN)
    curves.fmbench_run_start(other)
    curves.fmbench_epoch_end(progress(1, 5, 2.0))
    curves.fmbench_epoch_end(msgspec.structs.replace(progress(1, 6, 9.0), run=other))
    curves.fmbench_epoch_end(progress(2, 5, 1.0))
    curves.fmbench_run_end(record(Result(status="diverged")))
    curves.fmbench_run_again(other)
    for seed, losses in ((2, [(5, 2.0), (15, 1.0)]), (3, [(6, 9.0)])):
        events = EventAccumulator(str(tmp_path / f"tiny-v1/d/family/model/final-adamw-s{seed}"))
        events.Reload()
        assert [(one.step, one.value) for one in events.Scalars("training loss")] == losses

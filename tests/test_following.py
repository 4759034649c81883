"""Following a job: what a worker's files and its end are taken to mean."""

import math
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

import samples
from fmbench.execution import following
from fmbench.execution.engines import Lost
from fmbench.execution.following import Ended, follow
from fmbench.execution.job import Event, JobFolder, RunOutcome, Spent
from fmbench.records import Progress, Run

CRASH = RunOutcome(status="crashed", message="the worker ended with signal SIGSEGV")
PROGRESS = Event(
    kind="progress", run=0, epoch=1, step=5, steps=9, loss=0.5, images_per_second=100.0
)
RUNS = (samples.run(seed=1), samples.run(seed=2))


class Clock:
    """Time that passes when somebody sleeps, and when a script says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        """The time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let it pass."""
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that runs are followed by."""
    mine = Clock()
    monkeypatch.setattr(following, "time", mine)
    return mine


class Scripted:
    """A worker that is at the next step of its script each time it is looked at."""

    place = "here"

    def __init__(self, *steps: object) -> None:
        self.steps = list(steps)
        self.stopped = False

    pid = 1

    def ended(self) -> RunOutcome | None:
        """Take the next step; the outcome at the end of the script is what its end makes."""
        if self.steps and callable(self.steps[0]):
            self.steps.pop(0)()
            return None
        return self.steps[0] if self.steps else None  # type: ignore[return-value]

    def log(self) -> bytes:
        """It says nothing."""
        return b""

    def settle(self) -> None:
        """It needs no memory."""

    def ask_to_stop(self) -> None:
        """It is stopped all the same."""

    def stop(self) -> None:
        """Note that the runner had enough."""
        self.stopped = True


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    """An empty job folder."""
    return JobFolder(tmp_path)


def happenings(folder: JobFolder, worker: Scripted, timeout: float = math.inf) -> list[object]:
    """All that following a job yields, a moment waited after each look at it."""
    found = []
    for happening in follow(folder, worker, RUNS, 3, timeout):
        if happening is None:
            following.time.sleep(0.05)
        else:
            found.append(happening)
    return found


def finish(folder: JobFolder, run: int) -> None:
    """Do what a worker does at the end of a run."""
    folder.write_outcome(run, RunOutcome(status="ok"))
    folder.append(Event(kind="end", run=run))


def test_runs_are_reported_in_order(folder: JobFolder) -> None:
    """Start, progress and end of each run arrive once, in the order they happened."""
    worker = Scripted(
        lambda: folder.append(Event(kind="start", run=0)),
        lambda: folder.append(PROGRESS),
        lambda: finish(folder, 0),
        lambda: (folder.append(Event(kind="start", run=1)), finish(folder, 1)),
    )
    told = happenings(folder, worker)
    assert [type(one) for one in told] == [Run, Progress, Ended, Run, Ended]
    assert [one.run.seed for one in told if isinstance(one, Ended)] == [1, 2]
    progress = told[1]
    assert isinstance(progress, Progress)
    assert (progress.epoch, progress.epochs, progress.step, progress.loss) == (1, 3, 5, 0.5)


def test_a_worker_that_dies_costs_the_run_it_was_at(folder: JobFolder) -> None:
    """After a death the run under way has crashed, and the runs after it are still pending."""
    worker = Scripted(lambda: folder.append(Event(kind="start", run=0)), CRASH)
    *_, end = happenings(folder, worker)
    assert isinstance(end, Ended)
    assert (end.run.seed, end.outcome.status) == (1, "crashed")
    assert "SIGSEGV" in end.outcome.message


def test_a_run_that_never_started_is_still_pending(folder: JobFolder) -> None:
    """A worker that ends between two runs costs neither: the second goes into a new job."""
    worker = Scripted(
        lambda: folder.append(Event(kind="start", run=0)), lambda: finish(folder, 0), CRASH
    )
    assert [one.run.seed for one in happenings(folder, worker) if isinstance(one, Ended)] == [1]


def test_a_lost_place_costs_no_run(folder: JobFolder) -> None:
    """A run under way when its place is lost has no end: it is pending, as are those after it."""
    worker = Scripted(lambda: folder.append(Event(kind="start", run=0)), Lost("the node is gone"))
    assert happenings(folder, worker) == [RUNS[0], Lost("the node is gone")]


def test_a_run_that_was_handed_over_is_not_lost_with_its_place(folder: JobFolder) -> None:
    """An outcome that has arrived counts; the run after it is pending."""
    worker = Scripted(
        lambda: (folder.append(Event(kind="start", run=0)), finish(folder, 0)), Lost("gone")
    )
    *_, end, lost = happenings(folder, worker)
    assert isinstance(end, Ended)
    assert (end.outcome.status, lost) == ("ok", Lost("gone"))


def test_a_finished_run_is_not_lost_to_a_death_right_after(folder: JobFolder) -> None:
    """An outcome on disk counts even when the worker died before it could say so."""
    worker = Scripted(lambda: folder.write_outcome(0, RunOutcome(status="ok")), CRASH)
    end = happenings(folder, worker)[-1]
    assert isinstance(end, Ended)
    assert end.outcome.status == "ok"


def test_a_run_over_its_time_is_stopped(folder: JobFolder) -> None:
    """Past the time limit the worker is stopped and the run has timed out."""
    worker = Scripted(lambda: folder.append(Event(kind="start", run=0)))
    end = happenings(folder, worker, timeout=0.01)[-1]
    assert isinstance(end, Ended)
    assert worker.stopped
    assert end.outcome.status == "timeout"


@pytest.mark.parametrize("kind", ["start", "progress"])
def test_no_line_of_a_run_gives_it_more_time(
    folder: JobFolder, clock: Clock, kind: Literal["start", "progress"]
) -> None:
    """A run that goes on saying that it starts, or how far it is, times out all the same."""
    line = Event(kind="start", run=0) if kind == "start" else PROGRESS
    steps = [lambda: (clock.sleep(0.5), folder.append(line))] * 50
    worker = Scripted(lambda: folder.append(Event(kind="start", run=0)), *steps)
    told = happenings(folder, worker, timeout=10)
    end = told[-1]
    assert isinstance(end, Ended)
    assert end.outcome.status == "timeout"
    assert 10 < end.seconds < 13
    assert sum(isinstance(one, Run) for one in told) == 1


def test_each_run_has_the_whole_time(folder: JobFolder, clock: Clock) -> None:
    """Two runs within the limit are both well, though together they took longer."""
    steps = []
    for run in (0, 1):
        steps += [
            partial(folder.append, Event(kind="start", run=run)),
            *[partial(clock.sleep, 0.8)] * 10,
            partial(finish, folder, run),
        ]
    ends = [one for one in happenings(folder, Scripted(*steps), 10) if isinstance(one, Ended)]
    assert [end.outcome.status for end in ends] == ["ok", "ok"]
    assert all(8 < end.seconds < 9 for end in ends)


@pytest.mark.parametrize("told", [0.0, 4.0, 20.0, 90.0])
@pytest.mark.parametrize("late", ["start", "end"])
def test_a_runner_that_looks_late_does_not_doubt_what_it_has_not_seen(
    folder: JobFolder, clock: Clock, told: float, late: str
) -> None:
    """Stopped at a run's start or end, it takes the worker's word as far as that is possible."""

    def start() -> None:
        clock.sleep(30 if late == "start" else 0.5)
        folder.append(Event(kind="start", run=0))

    def end() -> None:
        clock.sleep(30 if late == "end" else 0.5)
        folder.write_outcome(0, RunOutcome(status="ok", spent=Spent(training=told)))
        folder.append(Event(kind="end", run=0))

    steps = (start, *[partial(clock.sleep, 0.5)] * 10, end)
    last = happenings(folder, Scripted(*steps, CRASH))[-1]
    assert isinstance(last, Ended)
    shortest, longest = 5, 36
    assert last.seconds == pytest.approx(min(max(told, shortest), longest), abs=1.1)


def test_lines_a_plugin_wrote_are_passed_over(folder: JobFolder) -> None:
    """Rubbish, half lines and events of other runs in the file do no harm."""

    def spoil() -> None:
        with (folder.path / "events.jsonl").open("ab") as file:
            file.write(b'rubbish\n{"kind":"end","run":1}\n{"kind":"start","run":99}\n')
            file.write(b'{"kind":"end","run":0}\n')  # no outcome: it only claims to have ended

    worker = Scripted(spoil, lambda: finish(folder, 0), lambda: finish(folder, 1))
    assert [type(one) for one in happenings(folder, worker)] == [Ended, Ended]


@pytest.mark.parametrize(
    "impossible",
    [
        {"epoch": 0}, {"epoch": 4}, {"step": 0}, {"step": 10}, {"steps": 0},
        {"images_per_second": 0.0}, {"images_per_second": 1e-320},
    ],
)  # fmt: skip
def test_progress_that_cannot_be_is_passed_over(
    folder: JobFolder, impossible: dict[str, float]
) -> None:
    """No epoch, step or speed that the loop cannot have reported reaches an observer."""
    told = happenings(
        folder,
        Scripted(
            lambda: folder.append(msgspec.structs.replace(PROGRESS, **impossible)),
            lambda: finish(folder, 0),
            lambda: finish(folder, 1),
        ),
    )
    assert [type(one) for one in told] == [Ended, Ended]


@pytest.mark.parametrize("status", ["interrupted", "crashed", "timeout"])
def test_a_worker_cannot_say_what_the_runner_decides(folder: JobFolder, status: Any) -> None:
    """A run that calls itself interrupted would be pending again for ever; it has crashed."""
    worker = Scripted(
        lambda: (
            folder.write_outcome(0, RunOutcome(status=status)),
            folder.append(Event(kind="end", run=0)),
        ),
        CRASH,
    )
    (end,) = happenings(folder, worker)
    assert isinstance(end, Ended)
    assert (end.outcome.status, "SIGSEGV" in end.outcome.message) == ("crashed", True)


def test_half_a_line_waits_for_its_other_half(folder: JobFolder) -> None:
    """An event being written is read when its line is whole."""
    path = folder.path / "events.jsonl"
    path.write_bytes(b'{"kind":"start",')
    assert folder.events_after(0) == ([], 0)
    path.write_bytes(b'{"kind":"start","run":0}\n')
    assert folder.events_after(0) == ([Event(kind="start", run=0)], 25)

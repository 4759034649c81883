"""The states of a run, from its plan to its record, and what leads from one to another, as data."""

from collections.abc import Iterable
from enum import Enum

from fmbench.records import Record, Run


class State(Enum):
    """Where a run is, as its runner sees it."""

    PENDING = "pending"
    ELSEWHERE = "elsewhere"
    CLAIMED = "claimed"
    STARTING = "starting"
    RUNNING = "running"
    ANSWERED = "answered"
    RECORDED = "recorded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Step(Enum):
    """What takes a run from one state to another."""

    CLAIM = "claimed"
    YIELD = "another runner holds it"
    FREE = "that runner died or let it go"
    FIND = "another runner has recorded it"
    PLACE = "a worker has its job"
    RELEASE = "its job ends before it"
    BEGIN = "begun"
    LOSE = "its place is lost, or memory too scarce to share"
    ANSWER = "it has an outcome"
    STORE_GOOD = "stored with scores"
    STORE_BAD = "stored without"
    STOP = "stopped by a person or a changed plugin"


TRANSITIONS: dict[tuple[State, Step], State] = {
    (State.PENDING, Step.CLAIM): State.CLAIMED,
    (State.PENDING, Step.YIELD): State.ELSEWHERE,
    (State.PENDING, Step.FIND): State.RECORDED,
    (State.ELSEWHERE, Step.FREE): State.PENDING,
    (State.ELSEWHERE, Step.FIND): State.RECORDED,
    (State.CLAIMED, Step.FIND): State.RECORDED,
    (State.CLAIMED, Step.PLACE): State.STARTING,
    (State.STARTING, Step.BEGIN): State.RUNNING,
    (State.STARTING, Step.RELEASE): State.PENDING,
    (State.STARTING, Step.ANSWER): State.ANSWERED,
    (State.STARTING, Step.STOP): State.INTERRUPTED,
    (State.RUNNING, Step.LOSE): State.PENDING,
    (State.RUNNING, Step.ANSWER): State.ANSWERED,
    (State.RUNNING, Step.STOP): State.INTERRUPTED,
    (State.ANSWERED, Step.STORE_GOOD): State.RECORDED,
    (State.ANSWERED, Step.STORE_BAD): State.FAILED,
    (State.ANSWERED, Step.STOP): State.INTERRUPTED,
}
"""All that can happen to a run. What is not here does not happen: see `Lifecycle.move`."""

FINAL = frozenset({State.RECORDED, State.FAILED, State.INTERRUPTED})
"""States that no step leaves."""


class Lifecycle:
    """The runs that a runner has come across, and the state of each; all others are pending."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Run, State]] = {}

    def of(self, run: Run) -> State:
        """Where a run is."""
        _, state = self._known.get(run.key, (run, State.PENDING))
        return state

    def those_in(self, *states: State) -> list[Run]:
        """The runs that are in one of these states."""
        return [run for run, state in self._known.values() if state in states]

    def move(self, runs: Iterable[Run], step: Step) -> None:
        """Take a step with each of the runs; raises `KeyError` for one that is not in the table."""
        for run in runs:
            self._known[run.key] = run, TRANSITIONS[self.of(run), step]


def step_of(record: Record) -> Step:
    """What the storing of a record does to its run."""
    if not record.done:
        return Step.STOP
    return Step.STORE_GOOD if record.ok else Step.STORE_BAD

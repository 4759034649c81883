"""Following a job under way: a worker's files and its end become a sequence of happenings."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

from fmbench.execution.engines import Worker
from fmbench.execution.job import Answers, Event, JobFolder, RunOutcome
from fmbench.records import Progress, Run

SECONDS_BETWEEN_LOOKS = 0.05
SECONDS_BLIND = 1.0
"""Looks further apart are late: what happened between them has no time."""

SLOWEST = 1e-6  # images per second


@dataclass(frozen=True)
class Ended:
    """A run has ended, well or not.

    seconds: by the runner's clock, from the last look before the run had started to the first
    after it had ended: no run takes longer. Where one of these came late, because the runner was
    stopped or waited for an observer, it is the time nearest to the worker's word that is possible.
    """

    run: Run
    outcome: RunOutcome
    answers: Answers
    seconds: float


def follow(
    folder: JobFolder,
    worker: Worker,
    runs: tuple[Run, ...],
    epochs: int,
    timeout: float = math.inf,
) -> Iterator[Run | Progress | Ended]:
    """Yield a `Run` when it starts, its `Progress` and its `Ended`, run by run.

    Stops early, after the `Ended` of the run under way, when the worker dies or a run takes
    longer than `timeout` seconds; the runs after it are then still pending. So is one that a worker
    which had ended others did not start.
    """
    at, offset, started = 0, 0, -1
    began = begun = looked = time.monotonic()

    def end(outcome: RunOutcome) -> Ended:
        longest, spent = looked - began, outcome.spent
        first = begun if begun - began > SECONDS_BLIND else began
        last = before if looked - before > SECONDS_BLIND else looked
        told = spent.training + spent.evaluation + spent.checkpoints
        seconds = min(longest, max(last - first, told))
        return Ended(runs[at], outcome, folder.answers(at), seconds)

    while at < len(runs):
        ended = worker.ended()  # asked before the files are read, so that they are whole
        events, offset = folder.events_after(offset)
        before, looked = looked, time.monotonic()
        for event in events:
            if event.run != at or (event.kind == "start" and started == at):
                continue  # a run starts once, whatever a plugin writes: its time goes on
            if event.kind == "progress" and not _possible(event, epochs):
                continue  # the loop tells of no such thing
            if event.kind == "start":
                began, begun, started = before, looked, at
                yield runs[at]
            elif event.kind == "progress":
                yield Progress(
                    run=runs[at],
                    epoch=event.epoch,
                    epochs=epochs,
                    step=event.step,
                    steps=event.steps,
                    loss=event.loss,
                    images_per_second=event.images_per_second,
                )
            elif outcome := folder.read_outcome(at):
                yield end(outcome)
                at, began, begun = at + 1, looked, looked
                if at == len(runs):
                    return
        if ended is not None:
            outcome = folder.read_outcome(at)
            if outcome or started == at or at == 0:
                yield end(outcome or ended)
            return
        if time.monotonic() - began > timeout:
            worker.stop()
            yield end(RunOutcome(status="timeout", message=f"it took longer than {timeout:g} s"))
            return
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _possible(event: Event, epochs: int) -> bool:
    """Whether a run of so many epochs can have come that far, at such a speed."""
    return (
        1 <= event.epoch <= epochs
        and 1 <= event.step <= event.steps
        and event.images_per_second >= SLOWEST
    )

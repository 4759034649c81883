"""Following a job under way: a worker's files and its end become a sequence of happenings."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from fmbench.errors import UsageError
from fmbench.execution.engines import Lost, Worker
from fmbench.execution.job import Answers, Event, JobFolder, RunOutcome
from fmbench.records import Progress, Run

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
) -> Iterator[Run | Progress | Ended | Lost | None]:
    """Yield a `Run` when it starts, its `Progress` and its `Ended`, run by run; None to be waited.

    Each None is the end of a look at the worker: whoever follows it waits a moment then. Stops
    early, after the `Ended` of the run under way, when the worker dies or a run takes longer than
    `timeout` seconds; the runs after it are then still pending. So is one that a worker which had
    ended others did not start, and after `Lost` the run under way itself.
    """
    at, offset, started = 0, 0, -1
    began = begun = looked = time.monotonic()

    def end(outcome: RunOutcome) -> Ended:
        longest, spent = looked - began, outcome.spent
        first = begun if begun - began > SECONDS_BLIND else began
        last = before if looked - before > SECONDS_BLIND else looked
        claimed = spent.training + spent.evaluation + spent.checkpoints
        seconds = min(longest, max(last - first, claimed))
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
            if outcome := folder.read_outcome(at):
                yield end(outcome)
            elif isinstance(ended, Lost):
                yield ended
            elif started == at or at == 0:
                yield end(ended)
            return
        if time.monotonic() - began > timeout:
            worker.stop()
            yield end(RunOutcome(status="timeout", message=f"it took longer than {timeout:g} s"))
            return
        yield None


def _possible(event: Event, epochs: int) -> bool:
    """Whether a run of so many epochs can have come that far, at such a speed."""
    return (
        1 <= event.epoch <= epochs
        and 1 <= event.step <= event.steps
        and event.images_per_second >= SLOWEST
    )


class JobUnderWay:
    """A job that a worker has.

    runs:       all of them.
    left:       those without an end; the worker is at the first.
    happenings: of `follow`.
    begun:      whether the worker has begun its first run.
    beside:     other workers under way in its place during the present run, at most.
    """

    def __init__(
        self,
        runs: tuple[Run, ...],
        folder: JobFolder,
        worker: Worker,
        epochs: int,
        timeout: float,
    ) -> None:
        self.runs = runs
        self.left = list(runs)
        self.folder = folder
        self.worker = worker
        self.happenings = follow(folder, worker, runs, epochs, timeout)
        self.begun = False
        self.beside = 0
        self._counted = time.perf_counter()

    def lap(self) -> float:
        """Seconds since this was last asked, or since the job was given out."""
        before, self._counted = self._counted, time.perf_counter()
        return self._counted - before

    def ended_before_it_began(self, end: Ended, device: str) -> Ended:
        """What is to be made of a worker that ended before any plugin's code had run.

        A plugin that has changed meanwhile costs its own runs, and none is done. Raises
        `UsageError` when no worker can work on the device.
        """
        if refusal := self.folder.read_refusal():
            if refusal.changed:
                return replace(end, outcome=RunOutcome(status="interrupted", message=refusal.what))
            raise UsageError(refusal.what, where=device, hint=refusal.hint)
        ending = self.folder.read_ending()
        if ending and ending.status > 0:
            said = self.worker.log().decode().strip().rpartition("\n")[2]
            raise UsageError(
                f"no worker can start here, whatever the model: {said or 'it says nothing'}",
                where=device,
                hint="see whether torch works: python -c 'import torch; torch.ones(1) + 1'",
            )
        return end

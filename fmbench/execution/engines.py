"""Engines place jobs. What a worker and its engine have to do is said here once for all of them."""

from dataclasses import dataclass
from typing import Protocol

from fmbench import processes
from fmbench.execution.job import Ending, Job, JobFolder, RunOutcome


@dataclass(frozen=True)
class Lost:
    """A worker's place is gone, and with it all it had not yet handed over; nobody is to blame."""

    why: str


class Worker(Protocol):
    """A job under way, as the runner sees it.

    pid:   of a process on this machine that lives as long as the job may be worked at.
    place: the machine it works on, this one or a node: those of one place share cores and memory.
    """

    pid: int
    place: str

    def ended(self) -> RunOutcome | Lost | None:
        """What its end makes of the run it was at; None while it works."""

    def log(self) -> bytes:
        """What it and all it started have printed so far, as `Log` keeps it."""

    def settle(self) -> None:
        """Take what memory it has used until now for what it needs: it trains by now."""

    def ask_to_stop(self) -> None:
        """Begin to end the worker and all it started."""

    def stop(self) -> None:
        """End the worker and all it started; returns when they are gone."""


class Engine(Protocol):
    """Whatever can place jobs. All that a worker leaves is files in its job's folder."""

    @property
    def slots(self) -> int:
        """How many jobs may be under way at once, as far as is known now; at least one."""

    def has_room(self, memory: float) -> bool:
        """Whether another job that needs so many bytes can start now.

        Raises `UsageError` when no place will ever have room for it.
        """

    def start(self, job: Job, folder: JobFolder, memory: float) -> Worker:
        """Write the job into its folder and start a worker on it."""

    def close(self) -> None:
        """Let go of what outlives single jobs."""


def outcome_of(ending: Ending | None) -> RunOutcome:
    """What a worker's end makes of the run it was at; None means that its guard died too."""
    if ending is None:
        return RunOutcome(status="crashed", message="the worker and its guard were killed")
    if ending.out_of_memory:
        return RunOutcome(status="oom", message="the kernel ended the worker: out of memory")
    how = processes.how_it_ended(ending.status)
    return RunOutcome(status="crashed", message=f"the worker ended with {how}")

"""Engines place jobs: here, the one that starts a process on this machine."""

import os
import subprocess
from typing import IO, Protocol, cast

from fmbench import processes
from fmbench.execution.job import Ending, JobFolder, RunOutcome
from fmbench.execution.log import Drain

GRACE_SECONDS = 10.0


class Worker(Protocol):
    """A job under way, as the runner sees it."""

    pid: int

    def ended(self) -> RunOutcome | None:
        """What its end makes of the run it was at; None while it works."""

    def log(self) -> bytes:
        """What it and all it started have printed so far, as `Log` keeps it."""

    def stop(self) -> None:
        """End the worker and all it started."""


class Engine(Protocol):
    """Whatever can place a job. All a worker's state is files in the job's folder."""

    def start(self, folder: JobFolder) -> Worker:
        """Start a worker on the job."""


class LocalEngine:
    """Starts each worker on this machine, under a guard."""

    def __init__(self) -> None:
        processes.adopt_orphans()

    def start(self, folder: JobFolder) -> "LocalWorker":
        """Start a worker on the job."""
        return LocalWorker(folder)


class LocalWorker:
    """One worker process, its guard, and whatever the plugin starts."""

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        self._guard = subprocess.Popen(
            [
                *processes.PYTHON_MODULE,
                "fmbench.execution.guard",
                str(folder.path),
                str(os.getpid()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.pid = self._guard.pid
        self._drain = Drain(cast(IO[bytes], self._guard.stdout))

    def ended(self) -> RunOutcome | None:
        """What the worker's end makes of the run it was at; None while it works."""
        if self._guard.poll() is None:
            return None
        ending = self._folder.read_ending()
        if ending is None:
            processes.kill_descendants()  # what the guard had adopted is now this process's
        return outcome_of(ending)

    def log(self) -> bytes:
        """What it and all it started have printed so far, as `Log` keeps it."""
        return self._drain.content()

    def stop(self) -> None:
        """End the worker and every descendant; the guard sees to it, and has a time limit too."""
        self._guard.terminate()
        try:
            self._guard.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()
            processes.kill_descendants()


def outcome_of(ending: Ending | None) -> RunOutcome:
    """What a worker's end makes of the run it was at; None means that its guard died too."""
    if ending is None:
        return RunOutcome(status="crashed", message="the worker and its guard were killed")
    if ending.out_of_memory:
        return RunOutcome(status="oom", message="the kernel ended the worker: out of memory")
    how = processes.how_it_ended(ending.status)
    return RunOutcome(status="crashed", message=f"the worker ended with {how}")

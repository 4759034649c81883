"""The engine of this machine: as many workers side by side as cores and memory allow."""

import math
import os
import secrets
import subprocess
from collections.abc import Sequence
from typing import IO, cast

import msgspec

from fmbench import limits, processes
from fmbench.execution.engines import outcome_of
from fmbench.execution.job import Job, JobFolder, RunOutcome
from fmbench.execution.log import Drain
from fmbench.hardware import Device

GRACE_SECONDS = 10.0
MARGIN = 1.2
"""How much more than the peak until now a worker that trains is taken to need in the end."""


class LocalEngine:
    """Starts workers side by side, each under a guard of its own.

    workers: how many at most.
    devices: what they train on; several GPUs take jobs in turn.
    """

    def __init__(self, workers: int = 1, devices: Sequence[Device] = ()) -> None:
        self.slots = workers
        self._devices = devices
        self._under_way: list[LocalWorker] = []

    def has_room(self, memory: float) -> bool:
        """Whether a slot is free, and memory for what is under way and for this as well.

        A job alone always has room: nobody else can be blamed for what it takes.
        """
        self._under_way = [one for one in self._under_way if one.ended() is None]
        if not self._under_way:
            return True
        to_come = sum(one.memory_to_come() for one in self._under_way)
        return len(self._under_way) < self.slots and memory + to_come <= limits.memory_available()

    def start(self, job: Job, folder: JobFolder, memory: float) -> "LocalWorker":
        """Start a worker on the device that fewest work on."""
        if self._devices:
            used = [one.device for one in self._under_way]
            job = msgspec.structs.replace(job, device=min(self._devices, key=used.count))
        folder.write_job(job)
        worker = LocalWorker(folder, job.device, memory)
        self._under_way.append(worker)
        return worker

    def close(self) -> None:
        """Nothing outlives the jobs."""


class LocalWorker:
    """One worker process, its guard, and whatever the plugin starts.

    memory: bytes that it is taken to need at its peak.
    """

    place = "here"

    def __init__(self, folder: JobFolder, device: Device, memory: float) -> None:
        self.device = device
        self.memory = memory
        self._folder = folder
        self._mark = secrets.token_hex(8)
        self._guard = subprocess.Popen(
            [
                *processes.PYTHON_MODULE,
                "fmbench.execution.guard",
                str(folder.path),
                str(os.getpid()),
            ],
            env={**os.environ, processes.MARK: self._mark},
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
            processes.kill_marked(self._mark)  # what the guard had adopted is now an orphan
        return outcome_of(ending)

    def log(self) -> bytes:
        """What it and all it started have printed so far, as `Log` keeps it."""
        return self._drain.content()

    def memory_to_come(self) -> float:
        """How many bytes more it is taken to need."""
        now, _ = processes.memory_of(self.pid)
        return max(0.0, self.memory - now)

    def settle(self) -> None:
        """Take the peak until now, and some more, for what it needs, unless it is to be alone."""
        if math.isfinite(self.memory):
            _, peak = processes.memory_of(self.pid)
            self.memory = MARGIN * peak

    def ask_to_stop(self) -> None:
        """Ask the guard to end the worker and every descendant; it has a time limit too."""
        self._guard.terminate()

    def stop(self) -> None:
        """End the worker and every descendant; the guard sees to it while it can."""
        self._guard.terminate()
        try:
            self._guard.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()
            processes.kill_marked(self._mark)

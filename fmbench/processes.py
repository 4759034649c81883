"""Processes by pid and start time, so that a pid used again is not taken for the old one."""

import ctypes
import sys

import psutil
from msgspec import Struct

PYTHON_MODULE = (sys.executable, "-P", "-m")
"""Starts a module in a child; -P keeps what lies in the current folder from being imported."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class ProcessId(Struct, frozen=True):
    """A process: its pid, and when it was started, in seconds since the epoch."""

    pid: int
    started: float

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        try:
            process = psutil.Process(self.pid)
            return (
                abs(process.create_time() - self.started) < 0.1
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except psutil.Error:
            return False


def identify(pid: int | None = None) -> ProcessId:
    """The identity of a running process, or of this one."""
    process = psutil.Process(pid)
    return ProcessId(process.pid, process.create_time())


def end_with_parent(signal: int) -> None:
    """Ask Linux to send this process a signal when its parent dies; elsewhere nothing happens."""
    _prctl(_PR_SET_PDEATHSIG, signal)


def adopt_orphans() -> None:
    """Ask Linux to make this process the parent of descendants whose own parent dies."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def kill_descendants() -> None:
    """Kill whatever this process has started, and what that has started, until nothing is left."""
    while children := psutil.Process().children(recursive=True):
        for child in children:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(children, timeout=1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)

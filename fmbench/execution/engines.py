"""Engines place jobs: here, the one that starts a process on this machine."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Protocol

import psutil

LOG_BYTES = 256 * 1024
GRACE_SECONDS = 2.0


class Worker(Protocol):
    """A job under way, as the runner sees it."""

    def ended(self) -> str | None:
        """How the worker ended, in words; None while it works."""

    def stop(self) -> None:
        """End the worker and all it started."""


class Engine(Protocol):
    """Whatever can place a job. All a worker's state is files in the job's folder."""

    def start(self, folder: Path) -> Worker:
        """Start a worker on the job in `folder`."""


class LocalEngine:
    """Starts each worker as a process group of its own on this machine."""

    def start(self, folder: Path) -> "LocalWorker":
        """Start a worker on the job in `folder`; its output goes to the folder's capped log."""
        return LocalWorker(folder)


class LocalWorker:
    """One worker process and whatever it starts."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fmbench.execution.worker", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe, for the type checker
        threading.Thread(
            target=_drain, args=(self._process.stdout, folder / "log.txt"), daemon=True
        ).start()

    def ended(self) -> str | None:
        """How the process ended, in words; None while it runs."""
        status = self._process.poll()
        if status is None:
            return None
        self._kill_group()
        if status < 0:
            return f"killed by signal {signal.Signals(-status).name}"
        return f"ended with exit status {status}"

    def stop(self) -> None:
        """SIGTERM, a grace period, then SIGKILL to the group and every descendant."""
        descendants = self._descendants()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_SECONDS)
        self._kill_group()
        for process in [*descendants, *self._descendants()]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _descendants(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


def _drain(pipe: IO[bytes], log: Path) -> None:
    """Keep the first bytes of what a worker prints, swallow the rest: it must never block."""
    room = LOG_BYTES
    with contextlib.suppress(OSError), log.open("ab", buffering=0) as file:
        while content := os.read(pipe.fileno(), 65536):
            file.write(content[:room])
            room -= min(room, len(content))

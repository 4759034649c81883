"""Claims: which runner makes a run, so that several on one results folder share the work."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import msgspec
from filelock import FileLock
from msgspec import Struct

from fmbench import files, processes
from fmbench.errors import StoreError
from fmbench.processes import ProcessId
from fmbench.records import Run


class Claim(Struct, frozen=True, kw_only=True):
    """Who makes a run. A claim is dead when its runner and its worker both are."""

    runner: ProcessId
    worker: ProcessId | None = None

    @property
    def alive(self) -> bool:
        """Whether somebody still works on it."""
        return self.runner.alive or (self.worker is not None and self.worker.alive)


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the lock that orders those who look at claims, register a runner, or clear leftovers.

    Raises `StoreError` where nothing can be locked: another user's, or some network file systems.
    """
    held = FileLock(folder / "lock")
    try:
        held.acquire()
    except OSError as error:
        raise StoreError(
            f"cannot be locked: {error.strerror or error}",
            where=str(folder / "lock"),
            hint="choose another folder with --results",
        ) from error
    try:
        yield
    finally:
        held.release()


def the_only_writer(folder: Path) -> AbstractContextManager[object]:
    """Keep others from writing a board: who reads the records last has to write last.

    A store that is not worked on, a published one say, has no claims to lock, or is not ours.
    """
    return lock(folder) if os.access(folder, os.W_OK) else nullcontext()


class Claims:
    """The claims in one folder, for runners on one machine. A lock orders those who look."""

    def __init__(self, folder: Path) -> None:
        self._folder = files.make_folder(folder)
        self._me = processes.identify()

    def take(self, runs: Sequence[Run]) -> tuple[Run, ...]:
        """Claim those of the runs that nobody alive has claimed, and return them."""
        with lock(self._folder):
            free = tuple(run for run in runs if not self._held(run))
            self._write(free, Claim(runner=self._me))
        return free

    def name_worker(self, runs: Iterable[Run], pid: int) -> None:
        """Add the worker to claims of this process."""
        with lock(self._folder):
            self._write(runs, Claim(runner=self._me, worker=processes.identify(pid)))

    def release(self, runs: Iterable[Run]) -> None:
        """Give up claims of this process."""
        with lock(self._folder):
            for run in runs:
                claim = files.read_json(self._path(run), Claim)
                if claim and claim.runner == self._me:
                    self._path(run).unlink()

    def release_all(self) -> None:
        """Give up whatever this process still claims: it may live on, a notebook's does."""
        with lock(self._folder):
            for path in self._folder.glob("[!.]*.json"):
                claim = files.read_json(path, Claim)
                if claim and claim.runner == self._me:
                    path.unlink()

    def _held(self, run: Run) -> bool:
        claim = files.read_json(self._path(run), Claim)
        return claim is not None and claim.alive

    def _write(self, runs: Iterable[Run], claim: Claim) -> None:
        for run in runs:
            files.write(self._path(run), msgspec.json.encode(claim))

    def _path(self, run: Run) -> Path:
        return self._folder / f"{run.key}.json"

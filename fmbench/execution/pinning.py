"""Cores given to one worker each, whichever runner of this machine started it.

A core is held by a lock on a file in the temporary folder, for as long as the process lives that
took it: what is killed gives its cores back.
"""

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fmbench import limits

TOPOLOGY = Path("/sys/devices/system/cpu")


class Cores:
    """Cores this process has taken for itself, and for what it starts, until it ends."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.gettempdir()) / f"fmbench-cores-{os.getuid()}"
        self._held: list[int] = []

    def pin(self, count: int) -> tuple[int, ...]:
        """Take that many free cores and stay on them.

        Takes none, and stays where it may run now, when fewer are free or there are no locks here:
        the system then places it.
        """
        taken = self._take(count)
        if len(taken) == count and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, set(taken))
            return tuple(taken)
        self._give_back()
        return ()

    def _take(self, count: int) -> list[int]:
        taken: list[int] = []
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if not _is_own_folder(self._folder):
                return []
            for core in spread(limits.core_numbers()):
                if len(taken) == count:
                    break
                if self._lock(core):
                    taken.append(core)
        except OSError:
            return []
        return taken

    def _lock(self, core: int) -> bool:
        file = os.open(self._folder / str(core), os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self._held.append(file)
        return True

    def _give_back(self) -> None:
        while self._held:
            os.close(self._held.pop())


def spread(cores: list[int]) -> list[int]:
    """Cores in an order that takes one thread of each physical core before any second one."""
    siblings = {core: _siblings(core) for core in cores}
    return sorted(cores, key=lambda core: (siblings[core].index(core), core))


def _siblings(core: int) -> list[int]:
    """The threads of a core's physical core, as Linux lists them: `0,64` or `0-1`."""
    try:
        listed = (TOPOLOGY / f"cpu{core}/topology/thread_siblings_list").read_text().strip()
        found = sorted(number for part in listed.split(",") for number in _span(part))
    except (OSError, ValueError):
        found = []
    return found if core in found else [core]


def _span(part: str) -> Iterator[int]:
    first, _, last = part.partition("-")
    return iter(range(int(first), int(last or first) + 1))


def _is_own_folder(path: Path) -> bool:
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()

"""The folder that a plugin's code works in while it is checked; what it does elsewhere is noted."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fmbench.testing.surroundings import Surroundings
from fmbench.testing.watch import Watch


class Workplace:
    """A folder of a subject's own.

    watch:   sees what code in it wants from the network, and writes outside the folder.
    changes: what it has changed of the process, in words, each once; all of it is undone.
    """

    def __init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="fmbench-", ignore_cleanup_errors=True)
        self.folder = Path(self._scratch.name)
        self.watch = Watch(self.folder)
        self.changes: list[str] = []

    def clear(self) -> None:
        """Remove the folder."""
        self._scratch.cleanup()

    @contextmanager
    def during(self, moment: str) -> Iterator[None]:
        """Let a plugin's code run here; `moment` says what it is asked for."""
        outside = Surroundings()
        default_folder = tempfile.tempdir
        os.chdir(self.folder)
        os.environ["TMPDIR"] = tempfile.tempdir = str(self.folder)
        inside = Surroundings()
        try:
            with self.watch.on(moment):
                yield
        finally:
            found = [f"{moment} changes {what}" for what in inside.changes_since()]
            self.changes += [one for one in found if one not in self.changes]
            tempfile.tempdir = default_folder
            outside.restore()

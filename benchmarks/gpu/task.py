"""A stage at work, and what it tells."""

import time
from pathlib import Path
from typing import Any

from gpu import journal
from gpu.settings import Settings

ROOT = Path(__file__).resolve().parents[2]

Line = tuple[str, dict[str, Any]]
"""The kind of a measurement, and what it found."""


class Task:
    """A stage at work: its folder, its settings and how long it still has.

    cut: set by a stage that stopped something for want of time.
    """

    def __init__(self, name: str, folder: Path, seconds: float, settings: Settings) -> None:
        self.name, self.folder, self.settings = name, folder, settings
        self.cut = False
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; below 0 when time is over."""
        return self._end - time.monotonic()

    def write(self, kind: str, **facts: object) -> None:
        """Put a line into the journal."""
        journal.write(self.folder, self.name, kind, **facts)

"""Where the wall time of a command went."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum

import psutil

from fmbench.execution.job import Spent


class Part(StrEnum):
    """What a command spends time on, in the order it comes to it. Parts never overlap."""

    START = "start-up"
    DISCOVERY = "discovery and planning"
    DATA = "data"
    WORKER = "starting workers"
    TRAINING = "training"
    EVALUATION = "evaluation"
    CHECKPOINTS = "checkpoints"
    BUILDING = "building models, answers, waiting"
    SCORING = "scoring"
    RECORDS = "records"
    TABLES = "tables and page"
    OTHER = "other"


class Timings:
    """Seconds of wall time by part, from the start of this process."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._seconds = dict.fromkeys(Part, 0.0)
        self._seconds[Part.START] = max(0.0, time.time() - psutil.Process().create_time())

    @contextmanager
    def during(self, part: Part) -> Iterator[None]:
        """Count what happens in the block as a part."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(part, time.perf_counter() - start)

    def add(self, part: Part, seconds: float) -> None:
        """Count seconds, measured elsewhere, as a part."""
        self._seconds[part] += seconds

    def add_run(self, spent: Spent, seconds: float) -> None:
        """Count a run's seconds by what its worker says it spent them on."""
        self.add(Part.TRAINING, spent.training)
        self.add(Part.EVALUATION, spent.evaluation)
        self.add(Part.CHECKPOINTS, spent.checkpoints)
        said = spent.training + spent.evaluation + spent.checkpoints
        self.add(Part.BUILDING, max(0.0, seconds - said))

    def seconds(self) -> dict[Part, float]:
        """The seconds of every part up to now; what no part claims is `OTHER`."""
        spent = dict(self._seconds)
        since = time.perf_counter() - self._began
        claimed = sum(spent.values()) - spent[Part.START]
        spent[Part.OTHER] = max(0.0, since - claimed)
        return spent


def overhead(seconds: Mapping[Part, float]) -> float:
    """The share of all wall time that was neither training nor evaluation, 0 to 1."""
    return 1 - (seconds[Part.TRAINING] + seconds[Part.EVALUATION]) / sum(seconds.values())

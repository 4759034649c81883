"""What each status of a run means: for retries, ranks, exit codes, tables and checkpoints."""

from dataclasses import dataclass
from enum import Enum
from typing import Literal

Status = Literal["ok", "diverged", "invalid", "oom", "timeout", "failed", "crashed", "interrupted"]


class Repeat(Enum):
    """When a run of a status is made again."""

    NEVER = "never"
    WHEN_ASKED = "with --retry-failed"
    ALWAYS = "by the next command"


@dataclass(frozen=True)
class Meaning:
    """A row of the table.

    said:       what happened.
    reported_by:    who may say so. Nobody believes a worker that tells a status of the runner's.
    repeat:     when it is made again. Where that is never, it says something about the model, and
                its checkpoints are removed; the others may be a machine's doing, and go on from
                them.
    ends_job:   whether the worker makes no other run after it: what the run left behind, a device
                in error say, is not the next one's.
    """

    said: str
    reported_by: Literal["worker", "runner"]
    repeat: Repeat
    ends_job: bool = True

    @property
    def models_own(self) -> bool:
        """Whether the model has ended so by itself, and would again."""
        return self.repeat is Repeat.NEVER


STATUSES: dict[Status, Meaning] = {
    "ok": Meaning("it was trained and scored", "worker", Repeat.NEVER, ends_job=False),
    "diverged": Meaning("its loss was not finite", "worker", Repeat.NEVER, ends_job=False),
    "invalid": Meaning("its output broke the contract", "worker", Repeat.NEVER, ends_job=False),
    "oom": Meaning("memory could not be had", "worker", Repeat.WHEN_ASKED),
    "failed": Meaning("it raised an error", "worker", Repeat.WHEN_ASKED),
    "crashed": Meaning("its process ended", "runner", Repeat.WHEN_ASKED),
    "timeout": Meaning("it took longer than it may", "runner", Repeat.WHEN_ASKED),
    "interrupted": Meaning(
        "a person, or a change of its plugin, stopped it", "runner", Repeat.ALWAYS
    ),
}
"""Only ok has scores: it alone counts for ranks and the choice of a recipe. A final run that ends
otherwise, or a model of which no recipe ends so, makes the exit code 1. A table shows the others by
their names, and how many seeds ended so.
"""

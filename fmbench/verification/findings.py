"""What a verification finds, and what it says of each run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from msgspec import Struct

from fmbench.leaderboard.tiers import Tier
from fmbench.protocol import StageName
from fmbench.store import Store

Level = Literal["false", "note", "unchecked"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""*false*: something contradicts something else. *note*: it may be true, and a reader should know.
*unchecked*: nothing here can tell."""


class Finding(Struct, frozen=True, order=True):
    """Something that was found.

    kind:  what it is about, a word that programs can look for.
    where: the file, model or protocol it is about.
    what:  a sentence without its full stop.
    """

    level: Level
    kind: str
    where: str
    what: str


class VerdictOfRun(Struct, frozen=True, kw_only=True):
    """How far a run was checked.

    tier:                None where something about the run is false.
    record, predictions: SHA-256 of its files, empty where there are none.
    came_out:            how it came out when it was made again, empty when it was not.
    """

    stem: str
    id: str
    model: str
    distribution: str
    stage: StageName
    seed: int
    status: str
    tier: Tier | None
    record: str
    predictions: str = ""
    came_out: str = ""


@dataclass(frozen=True)
class Verdict:
    """What was found in one store.

    protocol:  its id, the name of the store's folder.
    protocols: SHA-256 of the texts of its protocols, by their files' names.
    runs:      those that were asked for, in the order of their files' names.
    """

    folder: str
    protocol: str
    protocols: dict[str, str] = field(default_factory=dict)
    runs: list[VerdictOfRun] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def store(self) -> Store:
        """The store."""
        return Store(Path(self.folder).parent, self.protocol)

    @property
    def false(self) -> list[Finding]:
        """What is false."""
        return [one for one in self.findings if one.level == "false"]

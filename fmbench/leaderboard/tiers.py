"""How far each run has been checked, as verifications that lie beside a board say."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

import msgspec
from msgspec import Struct

from fmbench import files
from fmbench.environment import Environment
from fmbench.records import Record
from fmbench.store import PREDICTIONS, RECORD_BYTES, Store

Tier = Literal["reported", "re-scored", "re-run"]
TIERS: tuple[Tier, ...] = get_args(Tier)
"""From the least to the most. *reported*: the record is well-formed, and its digests and its key
agree. *re-scored*: its accuracy was counted again from its predictions and the true labels.
*re-run*: it was trained again, and came out the same or alike."""
VERIFICATIONS = "verifications"


class VerifiedRun(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run that was checked.

    record, predictions: SHA-256 of the two files that were checked; the latter may be empty.
    came_out:            how it came out when it was made again, empty when it was not.
    """

    tier: Tier
    record: str
    predictions: str = ""
    came_out: str = ""


class Verification(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file in RESULTS/PROTOCOL/verifications: what one verification has found true, and when.

    environment: where it was made, with all versions; `threads` are those of a run made again.
    seed:        of the draw of runs to make again; None when none was drawn.
    protocols:   SHA-256 of the texts of protocols, by their files' names.
    runs:        by what the names of their files begin with.
    digest:      SHA-256 of all this as JSON, with the digest empty.
    """

    schema: Literal[1] = 1
    created: str
    environment: Environment
    seed: int | None = None
    protocols: dict[str, str]
    runs: dict[str, VerifiedRun]
    digest: str = ""

    def encoded(self) -> bytes:
        """The content of its file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    def sealed(self) -> "Verification":
        """The same with its digest."""
        blank = msgspec.structs.replace(self, digest="")
        content = msgspec.json.encode(blank, order="sorted")
        return msgspec.structs.replace(self, digest=hashlib.sha256(content).hexdigest())


def read_verification(path: Path) -> Verification | None:
    """What a file says; None when it says something else, or is not as it was written."""
    try:
        content = files.read_at_most(path, files.LARGEST_JSON)
    except (OSError, ValueError):
        return None
    found = files.decode_json(content, Verification)
    return found if found and found.sealed().encoded() == content else None


def read_tiers(store: Store, found: Iterable[Record]) -> dict[str, Tier]:
    """The highest tier of each record that has one, by its stem.

    A verification counts for a record only while the files it was about are what they were.
    """
    said: dict[str, list[VerifiedRun]] = {}
    for stem, run in runs_verified(store):
        said.setdefault(stem, []).append(run)
    tiers: dict[str, Tier] = {}
    for record in found if said else ():
        digests = digests_of(store, record) if record.stem in said else ("", "")
        for run in said.get(record.stem, ()):
            if (run.record, run.predictions) == digests:
                tiers[record.stem] = max(run.tier, tiers.get(record.stem, run.tier), key=height)
    return tiers


def runs_verified(store: Store) -> Iterator[tuple[str, VerifiedRun]]:
    """What all verifications of a store say of runs, each with the stem of its record."""
    for path in kept_verifications(store):
        if verification := read_verification(path):
            yield from verification.runs.items()


def kept_verifications(store: Store) -> list[Path]:
    """The files of a store's verifications, the oldest first."""
    return sorted((store.folder / VERIFICATIONS).glob("[!.]*.json"))


def digests_of(store: Store, record: Record) -> tuple[str, str]:
    """SHA-256 of a record's file and of its predictions', empty where one cannot be read."""
    return _digest(store.path(record, ".json")), _digest(store.path(record, PREDICTIONS))


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(files.read_at_most(path, RECORD_BYTES)).hexdigest()
    except (OSError, ValueError):
        return ""


def height(tier: Tier | None) -> int:
    """How much a tier says: 0 for none, then 1, 2 and 3."""
    return 0 if tier is None else 1 + TIERS.index(tier)

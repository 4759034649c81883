"""How far each run has been checked, as verifications that lie beside a board say."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

import msgspec
from msgspec import Struct

from fmbench import files, records
from fmbench.environment import Environment
from fmbench.records import Record
from fmbench.store import PREDICTIONS, Store

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

    def sealed(self) -> "Verification":
        """The same with its digest."""
        blank = msgspec.structs.replace(self, digest="")
        content = msgspec.json.encode(blank, order="sorted")
        return msgspec.structs.replace(self, digest=hashlib.sha256(content).hexdigest())


def read_verification(path: Path) -> Verification | None:
    """What a file says; None when it says something else, or is not what its digest is of."""
    found = files.read_json(path, Verification)
    return found if found and found == found.sealed() else None


def read_tiers(store: Store, found: Iterable[Record]) -> dict[str, Tier]:
    """The highest tier of each record that has one, by its stem.

    A verification counts for a record only while the files it was about are what they were.
    """
    said: dict[str, list[VerifiedRun]] = {}
    for path in kept_verifications(store):
        verification = read_verification(path)
        for stem, run in verification.runs.items() if verification else ():
            said.setdefault(stem, []).append(run)
    tiers: dict[str, Tier] = {}
    for record in found if said else ():
        digests = digests_of(store, record) if record.stem in said else ("", "")
        for run in said.get(record.stem, ()):
            if (run.record, run.predictions) == digests:
                tiers[record.stem] = max(run.tier, tiers.get(record.stem, run.tier), key=height)
    return tiers


def kept_verifications(store: Store) -> list[Path]:
    """The files of a store's verifications, the oldest first."""
    return sorted((store.folder / VERIFICATIONS).glob("[!.]*.json"))


def digests_of(store: Store, record: Record) -> tuple[str, str]:
    """SHA-256 of a record and of the predictions beside it, empty where there are none."""
    encoded = hashlib.sha256(records.encode(record)).hexdigest()
    try:
        content = files.read_at_most(store.path(record, PREDICTIONS), files.NPY_HEADER_BYTES * 100)
    except (OSError, ValueError):
        return encoded, ""
    return encoded, hashlib.sha256(content).hexdigest()


def height(tier: Tier | None) -> int:
    """How much a tier says: 0 for none, then 1, 2 and 3."""
    return 0 if tier is None else 1 + TIERS.index(tier)

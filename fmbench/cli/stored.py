"""Which records a reading command means."""

from typing import TYPE_CHECKING

from fmbench.errors import UsageError
from fmbench.leaderboard.opening import name_of, results_in, results_of, store_of, stores_of
from fmbench.wording import same_records

if TYPE_CHECKING:
    from fmbench.records import Record
    from fmbench.store import Store

__all__ = ["name_of", "record_of", "results_in", "results_of", "store_of", "stores_of"]


def record_of(store: "Store", beginning: str) -> "Record":
    """The record whose id begins so; raises `UsageError` when that is none or several."""
    contents = store.read()
    found = [record for record in contents.records if record.id.startswith(beginning)]
    if len(found) != 1:
        raise UsageError(
            f"{len(found)} records have an id that begins with {beginning!r}",
            hint="list them all: fmbench show"
            + same_records(store.folder.parent, store.folder.name),
        )
    return found[0]

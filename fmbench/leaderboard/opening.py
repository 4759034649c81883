"""Which records of a results folder are meant, and what they hold."""

from pathlib import Path
from typing import TYPE_CHECKING

from fmbench.errors import UsageError
from fmbench.wording import same_records

if TYPE_CHECKING:
    from fmbench.leaderboard.stored_results import StoredResults
    from fmbench.store import Store


def stores_of(results: Path, protocol: str | None) -> "list[Store]":
    """The stores in a results folder, or the one of a protocol, by its name or its file's path.

    Raises `UsageError` for none.
    """
    from fmbench.store import Store, protocols_in

    named = name_of(protocol)
    held = protocols_in(results)
    if not held:
        raise UsageError(
            f"holds no records{f' of {named}' if named else ''}",
            where=str(results),
            hint=f"make some: fmbench run --all{same_records(results, protocol)}",
        )
    if named is not None and named not in held:
        raise UsageError(
            f"holds no records of {named}",
            where=str(results),
            hint=f"it has records of {', '.join(held)}",
        )
    return [Store(results, name) for name in ([named] if named else held)]


def name_of(protocol: str | None) -> str | None:
    """The name of the protocol that an option means, by its name or its file's path."""
    from fmbench import protocol as protocols

    is_path = protocol is not None and protocols.is_path(protocol)
    return protocols.load(protocol).id if protocol and is_path else protocol


def store_of(results: Path, protocol: str | None) -> "Store":
    """The store a reader means; raises `UsageError` when that is not clear."""
    found = stores_of(results, protocol)
    if len(found) > 1:
        raise UsageError(
            f"holds records of {len(found)} protocols",
            where=str(results),
            hint=f"choose one: --protocol {' or '.join(store.folder.name for store in found)}",
        )
    return found[0]


def results_of(results: Path, protocol: str | None) -> "StoredResults":
    """What the store a reader means holds."""
    return results_in(store_of(results, protocol), protocol)


def results_in(store: "Store", protocol: str | None) -> "StoredResults":
    """What a store holds, under the very protocol in a file named, else its newest record's."""
    from fmbench import protocol as protocols
    from fmbench.leaderboard.stored_results import StoredResults

    named = protocols.load(protocol) if protocol and protocols.is_path(protocol) else None
    return StoredResults(store, named)

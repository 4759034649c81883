"""The board that lies beside records: whether it is what they say."""

from pathlib import Path

from fmbench.errors import FmbenchError
from fmbench.execution.claims import the_only_writer
from fmbench.leaderboard.board import read_board
from fmbench.leaderboard.published import stale, write_board
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.verification.findings import Finding, Verdict
from fmbench.verification.stores import Asked

FILES = ("leaderboard.md", "leaderboard.csv", "leaderboard.svg", "index.html")


def compare(asked: Asked, verdict: Verdict) -> bool:
    """Whether a store has a board that is what the records say.

    Where the whole store is asked about, a note is added for each file of it that is not: a board
    that is older than merged or new records is no fault of theirs.
    """
    there = {name for name in FILES if (asked.store.folder / name).exists()}
    if not there:
        return False
    try:
        found = there & {path.name for path in stale(StoredResults(asked.store))}
    except FmbenchError as error:
        verdict.findings.append(Finding("unchecked", "board", asked.store.folder.name, error.what))
        return False
    if not asked.stems:
        what = "it is not what the records say; `fmbench leaderboard --write` writes it anew"
        verdict.findings.extend(Finding("note", "board", name, what) for name in sorted(found))
    return not found


def write_anew(asked: Asked, data_dir: Path | None) -> None:
    """Write a store's board with the tiers of now; raises `StoreError` where that cannot be."""
    with the_only_writer(asked.store.claims):
        stored = StoredResults(asked.store)
        write_board(stored, read_board(stored, cached=False), data_dir)

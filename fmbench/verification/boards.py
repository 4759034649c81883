"""The board that lies beside records: whether it is what they say."""

from datetime import UTC, datetime
from pathlib import Path

from fmbench.errors import FmbenchError
from fmbench.leaderboard.board import read_board
from fmbench.leaderboard.published import stale, write_board
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.verification.findings import Finding, Verdict
from fmbench.verification.stores import Asked

FILES = ("leaderboard.md", "leaderboard.csv", "leaderboard.svg", "index.html")


def compare(asked: Asked, verdict: Verdict) -> bool:
    """Whether a store has a board that is what the records say.

    Where the whole store is asked about, a finding is added for each file of it that is not. It is
    false, unless a record was made after the file was written, which the next board will have.
    """
    stored = StoredResults(asked.store)
    there = {name for name in FILES if (asked.store.folder / name).exists()}
    if not there:
        return False
    try:
        found = there & {path.name for path in stale(stored)}
    except FmbenchError as error:
        verdict.findings.append(Finding("unchecked", "board", asked.store.folder.name, error.what))
        return False
    if not asked.stems:
        newest = max((one.created for one in stored.contents.records), default="")
        for name in sorted(found):
            if _written(asked.store.folder / name) < newest:
                what = (
                    "it is older than some of the records; `fmbench leaderboard --write` renews it"
                )
                verdict.findings.append(Finding("note", "board", name, what))
            else:
                what = "it is not what the records say; `fmbench leaderboard --write` renews it"
                verdict.findings.append(Finding("false", "board", name, what))
    return not found


def _written(path: Path) -> str:
    """When a file was written, as records say when they were made."""
    return datetime.fromtimestamp(path.lstat().st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_anew(asked: Asked, data_dir: Path | None) -> None:
    """Write a store's board with the tiers of now; raises `StoreError` where that cannot be."""
    stored = StoredResults(asked.store)
    write_board(stored, read_board(stored, cached=False), data_dir)

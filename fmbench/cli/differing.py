"""What `fmbench leaderboard --diff BASE` compares and prints."""

from pathlib import Path
from typing import TYPE_CHECKING

from fmbench.cli.app import write_text
from fmbench.cli.stored import results_in, stores_of
from fmbench.errors import UsageError

if TYPE_CHECKING:
    from fmbench.leaderboard.board import Board
    from fmbench.leaderboard.difference import Difference
    from fmbench.leaderboard.statistics import Target


def differences_between(
    base: Path, results: Path, protocol: str | None, target: "Target"
) -> "list[Difference]":
    """The difference of each protocol that either folder has records of, or of the one named.

    Raises `UsageError` where there is no such folder, or no records of that protocol.
    """
    from fmbench.leaderboard.board import read_board
    from fmbench.leaderboard.difference import difference
    from fmbench.store import Store, protocols_in

    if not base.is_dir():
        raise UsageError(
            "no such folder", where=str(base), hint="name a results folder after --diff"
        )
    if (base / "records").is_dir():
        raise UsageError(
            "it is the folder of one protocol, not a results folder",
            where=str(base),
            hint=f"name the one above it: --diff {base.parent}",
        )
    held = {folder: protocols_in(folder) for folder in (base, results)}
    names = {store.folder.name for store in stores_of(results, protocol)}
    if protocol is None:
        names.update(held[base])

    def board(folder: Path, name: str) -> "Board | None":
        if name not in held[folder]:
            return None
        return read_board(results_in(Store(folder, name), protocol), target)

    return [difference(board(base, name), board(results, name)) for name in sorted(names)]


def print_differences(found: "list[Difference]", format_: str, output: Path | None) -> None:
    """Print them as tables, or as Markdown or JSON, which a file may take."""
    from fmbench.console import tables
    from fmbench.leaderboard import formats

    if format_ == "md":
        write_text(formats.differences_to_markdown(found), output)
    elif format_ == "json":
        write_text(formats.differences_to_json(found), output)
    elif output is not None:
        raise UsageError(
            "a terminal table is not written to a file", hint="add --json or --format md"
        )
    else:
        tables.print_differences(found)

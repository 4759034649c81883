"""What a set of records changes on a leaderboard: two boards of one protocol, row by row."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

from fmbench.leaderboard.board import Board, Row
from fmbench.leaderboard.columns import COLUMNS
from fmbench.wording import counted

RANK = ("rank_best", "rank_worst")
OF_A_ROW = ("rank", "model", "plugin", "accuracy", "seeds", "n", "device", "status")
"""The columns that a row which is new or gone is shown by."""

Value = float | str | None
Section = tuple[str, list[dict[str, str]]]


@dataclass(frozen=True)
class ChangedRow:
    """A row that both boards have, and that is not the same on both."""

    before: Row
    after: Row

    @property
    def fields(self) -> dict[str, tuple[Value, Value]]:
        """The fields that differ, with their values on either board."""
        names = [field.name for field in fields(Row)]
        both = {name: (getattr(self.before, name), getattr(self.after, name)) for name in names}
        return {name: pair for name, pair in both.items() if pair[0] != pair[1]}


@dataclass(frozen=True)
class Difference:
    """The second of two boards held against the first, the base.

    digest, digest_before: of the protocol on the second and on the base; None where there are no
                           records of it. Where they differ no row is compared.
    conclusion:            what changes, in a sentence.
    changed:               rows of which more than the rank differs; moved: those whose rank alone
                           does, because of other rows.
    notes_new, notes_gone: notes that one board alone has.
    """

    protocol: str
    digest: str | None
    digest_before: str | None
    conclusion: str
    new: tuple[Row, ...]
    gone: tuple[Row, ...]
    changed: tuple[ChangedRow, ...]
    moved: tuple[ChangedRow, ...]
    notes_new: tuple[str, ...]
    notes_gone: tuple[str, ...]


def difference(before: Board | None, after: Board | None) -> Difference:
    """What the second board has otherwise than the base; None is a board without any record.

    A row is one model of one distribution. Raises `ValueError` when neither is a board, or they are
    of protocols of two names.
    """
    boards = [board for board in (before, after) if board is not None]
    if len({board.protocol for board in boards}) != 1:
        raise ValueError("two boards of one protocol have a difference, and no others")
    comparable = len(boards) == 2 and boards[0].digest == boards[1].digest
    rows = [{_name(row): row for row in board.rows} if board else {} for board in (before, after)]
    both = [
        ChangedRow(row, rows[1][name])
        for name, row in rows[0].items()
        if comparable and rows[1].get(name, row) != row
    ]
    notes = [board.notes if board else () for board in (before, after)]
    new, gone = (
        tuple(row for name, row in one.items() if not comparable or name not in other)
        for one, other in ((rows[1], rows[0]), (rows[0], rows[1]))
    )
    moved = tuple(one for one in both if set(one.fields) <= set(RANK))
    changed = tuple(one for one in both if one not in moved)
    return Difference(
        protocol=boards[0].protocol,
        digest=after.digest if after else None,
        digest_before=before.digest if before else None,
        conclusion=_conclusion(before, after, *map(len, (new, gone, changed, moved))),
        new=new,
        gone=gone,
        changed=changed,
        moved=moved,
        notes_new=tuple(note for note in notes[1] if note not in notes[0]),
        notes_gone=tuple(note for note in notes[0] if note not in notes[1]),
    )


def sections(of: Difference) -> Iterator[Section]:
    """The tables people read, each with its title; one without rows is left out."""
    tables = {
        "New rows": [_shown(row) for row in of.new],
        "Rows that are gone": [_shown(row) for row in of.gone],
        "Changed rows": [cells for row in of.changed for cells in _cells(row)],
        "Ranks that move because of other rows": [
            cells for row in of.moved for cells in _cells(row)
        ],
    }
    yield from ((title, rows) for title, rows in tables.items() if rows)


def _conclusion(
    before: Board | None, after: Board | None, new: int, gone: int, changed: int, moved: int
) -> str:
    if before is None:
        return "The base has no records of this protocol, so all rows are new."
    if after is None:
        return "All records of this protocol are gone, and so are all rows."
    if before.digest != after.digest:
        return (
            f"The protocol's digest is {after.digest[:12]}, and {before.digest[:12]} in the base. "
            "Results under two digests do not compare, so all rows are gone and all are new."
        )
    said = {
        f"{counted(new, 'row')} new": new,
        f"{counted(gone, 'row')} gone": gone,
        f"{counted(changed, 'row')} changed": changed,
        f"{counted(moved, 'rank')} moved by other rows": moved,
    }
    if any(said.values()):
        return f"{', '.join(words for words, number in said.items() if number)}."
    if before.records != after.records:
        return "No row changes, but some of the records that rows rest on do."
    if before.notes != after.notes:
        return "No row changes, but notes below them do."
    return "Nothing changes: the same rows rest on the same records."


def _name(row: Row) -> tuple[str, str]:
    return row.model, row.distribution


def _shown(row: Row) -> dict[str, str]:
    return {column.heading: column.cell(row) for column in COLUMNS if column.key in OF_A_ROW}


def _cells(row: ChangedRow) -> Iterator[dict[str, str]]:
    """A line for each column that differs; what is the same when rounded is shown unrounded."""
    for column in COLUMNS:
        differing = [row.fields[name] for name in column.fields if name in row.fields]
        if not differing:
            continue
        cells = column.cell(row.before), column.cell(row.after)
        if cells[0] == cells[1]:
            cells = tuple(", ".join(str(pair[side]) for pair in differing) for side in (0, 1))  # type: ignore[assignment]
        yield {
            "model": row.after.model,
            "plugin": row.after.distribution,
            "column": column.heading,
            "before": cells[0] or "none",
            "after": cells[1] or "none",
        }

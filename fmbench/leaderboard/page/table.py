"""The table: a leaderboard's columns, each with what its cells sort by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fmbench.leaderboard.board import Row
from fmbench.leaderboard.columns import COLUMNS, WORDS, Column
from fmbench.leaderboard.page.board_models import BoardModel
from fmbench.leaderboard.page.text import span
from fmbench.leaderboard.statistics import SEEDS_FOR_T

HEADINGS = {
    "accuracy": ("Accuracy", "%"),
    "seeds": ("Over seeds", "%"),
    "n": ("Runs", "seeds × images"),
    "no-twins": ("Without near-twins", "%"),
    "no-doubts": ("Without doubtful labels", "%"),
    "loss": ("Log-loss", "nats"),
    "flops": ("FLOPs", "per image"),
    "train": ("Training time", ""),
    "speed": ("Training speed", "images/s"),
    "inference": ("Inference speed", "images/s"),
    "memory": ("Peak memory", "largest run"),
}
"""Headings with their units, where a page has more room than a line of text."""
RANGE = "range"
ROOM = {"rank": 0, "accuracy": 0, "train": 24} | dict.fromkeys(
    ("loss", "calibration", "speed", "flops", "verified", "status"), 68
)


@dataclass(frozen=True)
class TableCell:
    """What a cell shows, the smaller line below it, and what it sorts by; empty sorts last."""

    text: str
    small: str = ""
    value: str = ""


@dataclass(frozen=True)
class TableColumn:
    """A column: its heading with the unit, and how it sorts when first asked to.

    kind:  numbers sort by size and stand to the right; words sort by letters.
    extra: whether it is shown only when asked for: it is a wide one, or the facts say the same.
    room:  how wide a window must be to show it unasked, in rem.
    """

    key: str
    heading: str
    unit: str
    kind: Literal["number", "words"]
    first: Literal["ascending", "descending"]
    extra: bool
    room: int


TableRow = tuple[BoardModel, tuple[TableCell, ...]]
"""A model with its cells in the order of the columns."""


def table(models: Sequence[BoardModel], seeds: int) -> tuple[list[TableColumn], list[TableRow]]:
    """The columns and the rows of the models; `seeds` is the number the protocol asks for.

    Columns in which no model has anything are left out.
    """
    columns = [column for column in COLUMNS if any(column.cell(model.row) for model in models)]
    usual = _kind_of_span(seeds)
    ranks = "provisional" if any(one.row.rank_best for one in models) and usual == RANGE else ""
    return (
        [
            _headed(column, usual, ranks if column.key == "rank" else "", _is_extra(column, models))
            for column in columns
        ],
        [(model, tuple(_cell(column, model.row, usual) for column in columns)) for model in models],
    )


def _kind_of_span(seeds: int) -> str:
    return "95 % t" if seeds >= SEEDS_FOR_T else RANGE


def _is_extra(column: Column, models: Sequence[BoardModel]) -> bool:
    if column.wide or column.key in ("plugin", "n"):
        return True
    alike = len({column.cell(model.row) for model in models}) == 1
    return alike and column.key in ("device", "status")


def _headed(column: Column, usual: str, provisional: str, extra: bool) -> TableColumn:
    heading, unit = HEADINGS.get(column.key, (column.heading.capitalize(), ""))
    return TableColumn(
        key=column.key,
        heading=heading,
        unit=f"{unit}, {usual}" if column.key == "seeds" else unit or provisional,
        kind="words" if column.key in WORDS else "number",
        first="descending" if column.best == "high" else "ascending",
        extra=extra,
        room=ROOM.get(column.key, 44),
    )


def _cell(column: Column, row: Row, usual: str) -> TableCell:
    if column.key == "plugin":
        return TableCell(row.distribution, small=row.version, value=column.cell(row))
    if column.key in WORDS:
        return TableCell(column.cell(row), value=column.cell(row))
    value = _number(column, row)
    text = column.cell(row)
    small = ""
    if row.accuracy_seed_low is not None and column.key == "seeds":
        text = span(row.accuracy_seed_low, row.accuracy_seed_high or 0.0)
        kind = _kind_of_span(row.seeds)
        small = "" if kind == usual else kind  # the heading names the usual one
    return TableCell(text, small=small, value="" if value is None else repr(float(value)))


def _number(column: Column, row: Row) -> float | None:
    """What a cell sorts by: of equal best ranks the worst decides."""
    if column.key == "rank" and row.rank_best is not None:
        return row.rank_best + (row.rank_worst or 0) / 1e6
    if column.key == "n":
        return row.seeds * (row.test_images or 1)
    value = column.value(row)
    assert not isinstance(value, str)  # noqa: S101 - those are words
    return value

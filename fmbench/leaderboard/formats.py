"""A board as Markdown, CSV and JSON: the same bytes for the same records."""

import dataclasses
import json
from typing import Any

import pandas as pd

from fmbench.leaderboard.board import Board, Row
from fmbench.leaderboard.words import readable

JSON_SCHEMA = 1
LEFT_ALIGNED = ("model", "plugin", "status")


def to_csv(board: Board) -> str:
    """Every field of every row, unrounded, shares from 0 to 1, SI units."""
    return str(_frame(board).map(_inert).to_csv(index=False, lineterminator="\n"))


def to_json(board: Board) -> str:
    """The whole board; `schema` is raised when a field changes its meaning."""
    content = {"schema": JSON_SCHEMA, **dataclasses.asdict(board)}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_markdown(board: Board) -> str:
    """The columns people read, and the notes below them."""
    table = pd.DataFrame([readable(row) for row in board.rows])
    lines = [f"# {board.protocol}", ""]
    if board.rows:
        table = table.map(lambda cell: cell.replace("|", "\\|"))
        align = ["left" if name in LEFT_ALIGNED else "right" for name in table.columns]
        lines += [table.to_markdown(index=False, colalign=align, disable_numparse=True), ""]
    lines += [f"- {note}" for note in board.notes]
    return "\n".join(lines) + "\n"


def _frame(board: Board) -> pd.DataFrame:
    names = [field.name for field in dataclasses.fields(Row)]
    return pd.DataFrame(
        [dataclasses.asdict(row) for row in board.rows], columns=names, dtype=object
    )


def _inert(cell: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets an apostrophe before it."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(tuple("=+-@\t\r")) else cell

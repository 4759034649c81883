"""A board, and what changes on one, as text or HTML: the same bytes for the same records."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from fmbench.leaderboard.board import Board, Row
from fmbench.leaderboard.columns import WORDS, Column, choose
from fmbench.leaderboard.difference import ChangedRow, Difference, sections
from fmbench.leaderboard.statistics import NEW_IMAGES
from fmbench.wording import inert, markdown_table

JSON_SCHEMA = 1
_HARMLESS = str.maketrans(
    {"<": "&lt;", "\n": " ", "\t": " "} | {mark: f"\\{mark}" for mark in "\\|[]`*"}
)
_LITERAL = _HARMLESS | str.maketrans({mark: f"\\{mark}" for mark in "_~$#:"} | {"&": "&amp;"})


def to_csv(board: Board, columns: Sequence[Column] = ()) -> str:
    """Every field of every row, or those behind columns; unrounded, shares 0 to 1, SI units.

    Ranks for this test set alone are called so in their headings.
    """
    names = [name for column in columns for name in column.fields]
    names = names or [field.name for field in dataclasses.fields(Row)]
    rows = [[_no_formula(getattr(row, name)) for name in names] for row in board.rows]
    weaker = "" if board.target == NEW_IMAGES else f"_{board.target.replace('-', '_')}"
    headings = [f"{name}{weaker}" if name.startswith("rank_") else name for name in names]
    table = pd.DataFrame(rows, columns=headings, dtype=object)
    return str(table.to_csv(index=False, lineterminator="\n"))


def to_json(board: Board, columns: Sequence[Column] = ()) -> str:
    """The whole board; `schema` is raised when a field changes its meaning."""
    content = {"schema": JSON_SCHEMA, **dataclasses.asdict(board)}
    if columns:
        names = [name for column in columns for name in column.fields]
        content["rows"] = [{name: row[name] for name in names} for row in content["rows"]]
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_markdown(board: Board, columns: Sequence[Column] = ()) -> str:
    """The columns people read, those that say anything, and the notes below them."""
    lines = [f"# {board.protocol}", ""]
    columns = columns or choose()
    if board.rows:
        table = _cells(board, columns).map(_unbroken)
        words = [column.heading for column in columns if column.key in WORDS]
        right = [name not in words for name in table.columns]
        lines += [markdown_table(list(table.columns), table.to_numpy().tolist(), right=right), ""]
    lines += [f"- {_unbroken(note)}" for note in board.notes]
    return "\n".join(lines) + "\n"


def differences_to_markdown(found: Sequence[Difference]) -> str:
    """What changes on each board, for a page that strangers' records are shown on."""
    lines = []
    for one in found:
        lines += [f"## {_literal(one.protocol)}", "", _literal(one.conclusion), ""]
        for title, rows in sections(one):
            cells = [[_literal(cell) for cell in row.values()] for row in rows]
            table = markdown_table(list(rows[0]), cells, right=[False] * len(rows[0]))
            lines += [f"### {title}", "", table, ""]
        for title, notes in (("New notes", one.notes_new), ("Notes that are gone", one.notes_gone)):
            if notes:
                lines += [f"### {title}", "", *(f"- {_literal(note)}" for note in notes), ""]
    return "\n".join(lines)


def differences_to_json(found: Sequence[Difference]) -> str:
    """All of it; `schema` is raised when a field changes its meaning."""
    content = {"schema": JSON_SCHEMA, "differences": [_plain(one) for one in found]}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(found: Difference) -> dict[str, Any]:
    def changes(rows: Sequence[ChangedRow]) -> list[dict[str, Any]]:
        return [
            {
                "model": row.after.model,
                "distribution": row.after.distribution,
                "fields": {
                    name: {"before": before, "after": after}
                    for name, (before, after) in row.fields.items()
                },
            }
            for row in rows
        ]

    rows = {"changed": changes(found.changed), "moved": changes(found.moved)}
    return dataclasses.asdict(found) | rows


def _literal(words: str) -> str:
    """Text of strangers as a page shows it: no markup, no link, no formula, no emoji."""
    return inert(words.translate(_LITERAL).replace("www.", "www\\."))


def to_html(board: Board) -> str:
    """The columns people read, those that say anything, and the notes, as a piece of a page.

    Whatever the words are, they are shown as they are: no markup, and no formula for MathJax.
    """
    table = _cells(board, choose())
    heads = _elements("th", table.columns)
    rows = Markup("").join(
        Markup("<tr>{}</tr>\n").format(_elements("td", cells)) for cells in table.to_numpy()
    )
    return str(
        Markup(
            '<div class="tex2jax_ignore mathjax_ignore">\n'
            '<table class="dataframe">\n<caption>{} leaderboard</caption>\n'
            "<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody>\n</table>\n<ul>{}</ul>\n</div>\n"
        ).format(inert(board.protocol), heads, rows, _elements("li", board.notes))
    )


def _elements(tag: str, words: Iterable[str]) -> Markup:
    each = Markup("<{0}>{1}</{0}>")
    return Markup("").join(each.format(tag, inert(one)) for one in words)


def _cells(board: Board, columns: Sequence[Column]) -> pd.DataFrame:
    """The cells of columns under their headings; columns that say nothing are left out."""
    cells = [[column.cell(row) for column in columns] for row in board.rows]
    table = pd.DataFrame(cells, columns=[column.heading for column in columns])
    return table.loc[:, (table != "").any()] if board.rows else table


def _unbroken(cell: str) -> str:
    """Text that can neither break a Markdown table nor become markup in it."""
    return inert(cell.translate(_HARMLESS))


def _no_formula(cell: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if not isinstance(cell, str):
        return cell
    return f"'{inert(cell)}" if cell.startswith(tuple("=+-@\t\r")) else inert(cell)

"""The two streams: stdout is data, stderr is talk. What plugins say is `plain`, never markup."""

import os
import re
from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fmbench.wording import inert

UNBROKEN = ("model", "record", "protocol", "recipe")
WIDTH_FOR_NAMES = 80
PADDING = 3
NARROWEST_WRAPPED = 20
WIDTH_OF_A_FILE = 500

out = Console(highlight=False, markup=False, emoji=False)
if not (out.file.isatty() or "COLUMNS" in os.environ):  # whatever FORCE_COLOR says
    out.width = WIDTH_OF_A_FILE  # a pipe has no width: nothing is dropped or broken
talk = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def plain(words: str, style: str = "") -> Text:
    """Words from anywhere as text that can neither style, move the cursor nor change direction."""
    return Text(inert(words), style)


def say(sentence: str) -> None:
    """Talk: a line on stderr."""
    talk.print(plain(sentence))


def tell(words: str, style: str = "") -> None:
    """Data: words on stdout, unbroken."""
    out.print(plain(words, style), soft_wrap=True)


def complain(error: str) -> None:
    """An error as people read it, on stderr."""
    talk.print(Text("error: ", "bold red").append_text(plain(error, "default")))


def print_table(
    rows: Sequence[dict[str, str]],
    *,
    title: str = "",
    faint: Sequence[bool] = (),
    droppable: Sequence[str] = (),
    wrapping: str = "",
) -> None:
    """Rows of cells under their names, on stdout; columns of numbers stand to the right.

    Where the terminal is too narrow, `droppable` columns go, in that order, and a line says which;
    where it still is, words are broken into lines, those of the column `wrapping` from the start.
    No number is broken, and from 80 columns on no name.
    """
    if not rows:
        return
    all_names = names = [name for name in rows[0] if any(row[name] for row in rows)]
    for dropped in ("", *droppable):
        names = [name for name in names if name != dropped]
        if sum(_width(rows, name, wrapping) for name in names) < out.width:
            break
    out.print(_table(rows, names, title, faint))
    if left_out := [name for name in all_names if name not in names]:
        out.print(plain(f"Too narrow for {', '.join(left_out)}.", "dim"))


def _width(rows: Sequence[dict[str, str]], name: str, wrapping: str) -> int:
    widest = max(cell_len(text) for text in (name, *(row[name] for row in rows)))
    return PADDING + (min(widest, NARROWEST_WRAPPED) if name == wrapping else widest)


def _table(
    rows: Sequence[dict[str, str]],
    names: Sequence[str],
    title: str,
    faint: Sequence[bool],
) -> Table:
    table = Table(
        title=plain(title, "bold") if title else None, title_justify="left", box=box.SIMPLE_HEAD
    )
    for name in names:
        numeric = all(not row[name] or _NUMBER.match(row[name]) for row in rows)
        whole = numeric or (name in UNBROKEN and out.width >= WIDTH_FOR_NAMES)
        widest = max(cell_len(row[name]) for row in rows)
        table.add_column(
            name,
            justify="right" if numeric else "left",
            no_wrap=whole and widest >= cell_len(name),  # a longer heading is broken instead
            min_width=widest if whole else None,
            overflow="fold",
        )
    for row, dim in zip(rows, faint or [False] * len(rows), strict=True):
        table.add_row(*(plain(row[name]) for name in names), style="dim" if dim else "")
    return table


_NUMBER = re.compile(r"[+-]?[0-9][0-9.,-]*( ?[^ ]{1,3}\b| of | to | × |$)")

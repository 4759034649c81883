"""What `leaderboard --diff` says a set of records changes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import simulated
from conftest import Fmbench
from fmbench.leaderboard import formats
from fmbench.leaderboard.board import Board, read_board
from fmbench.leaderboard.difference import difference, sections
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.store import Store

MODELS = {"a": 0.95, "b": 0.90, "c": 0.85}


def board_of(folder: Path, models: dict[str, float] = MODELS, **more: object) -> Board:
    """The board of some simulated models of three seeds."""
    store = simulated.write_store(folder, models, seeds=3, images=2000, **more)  # type: ignore[arg-type]
    return read_board(StoredResults(store), cached=False)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """A board of three models, told apart."""
    return board_of(tmp_path / "board")


def test_equal_boards_differ_in_nothing(board: Board) -> None:
    """A board held against itself has no section, and the sentence says that nothing changes."""
    found = difference(board, board)
    assert found.conclusion == "Nothing changes: the same rows rest on the same records."
    assert (found.new, found.gone, found.changed, found.moved) == ((), (), (), ())
    assert list(sections(found)) == []


def test_a_row_that_comes_moves_the_ranks_below_it(board: Board, tmp_path: Path) -> None:
    """The new row is new, those whose rank alone moves are told apart, and back it is gone."""
    few = tmp_path / "few"
    shutil.copytree(tmp_path / "board", few)
    for path in few.glob("*/records/a-*"):
        path.unlink()
    base = read_board(StoredResults(Store(few, board.protocol)), cached=False)
    found = difference(base, board)
    assert [row.model for row in found.new] == ["a"]
    assert [row.after.model for row in found.moved] == ["b", "c"]
    assert found.changed == found.gone == ()
    assert found.conclusion == "1 row new, 2 ranks moved by other rows."
    assert [row for _, rows in sections(found) for row in rows if row["model"] == "b"] == [
        {"model": "b", "plugin": "plugin-a", "column": "rank", "before": "1", "after": "2"}
    ]
    back = difference(board, base)
    assert (back.gone, back.new) == (found.new, ())
    assert back.notes_gone == found.notes_new


def test_a_changed_row_says_what_it_was(board: Board) -> None:
    """A row of which more than the rank differs is changed, with each field before and after."""
    row = board.rows[1]
    other = replace(row, accuracy=row.accuracy and row.accuracy - 0.01, seeds=2, rank_best=2)
    found = difference(board, replace(board, rows=(board.rows[0], other, board.rows[2])))
    (changed,) = found.changed
    assert changed.fields["seeds"] == (3, 2)
    assert set(changed.fields) <= {"accuracy", "seeds", "rank_best"}
    assert found.moved == ()
    ((title, cells),) = sections(found)
    assert title == "Changed rows"
    assert {"accuracy, %", "n"} <= {one["column"] for one in cells}
    assert all(one["before"] != one["after"] for one in cells)


def test_what_rounding_hides_is_shown_unrounded(board: Board) -> None:
    """A change too small for the table is a change, shown with all its digits."""
    row = board.rows[0]
    other = replace(row, log_loss=(row.log_loss or 0) + 1e-9)
    ((_, (cells,)),) = sections(difference(board, replace(board, rows=(other, *board.rows[1:]))))
    assert cells["column"] == "log-loss"
    assert cells["before"] != cells["after"]


def test_a_base_without_the_protocol_makes_all_rows_new(board: Board) -> None:
    """Without records in the base every row is new; the other way round every row is gone."""
    found, back = difference(None, board), difference(board, None)
    assert (found.new, found.digest_before) == (board.rows, None)
    assert "all rows are new" in found.conclusion
    assert (back.gone, back.digest) == (board.rows, None)
    with pytest.raises(ValueError, match="one protocol"):
        difference(None, None)


def test_results_under_two_digests_are_not_compared(board: Board) -> None:
    """Where the protocol's digests differ all rows are gone and new, and the sentence says why."""
    found = difference(replace(board, digest="f" * 64), board)
    assert found.new == found.gone == board.rows
    assert f"{board.digest[:12]}, and ffffffffffff in the base" in found.conclusion


def test_records_that_change_no_row_are_noticed(board: Board) -> None:
    """The same rows on other records, or with other notes, are not called unchanged."""
    assert "some of the records" in difference(replace(board, records="0"), board).conclusion
    found = difference(board, replace(board, notes=(*board.notes, "Left out: x.json.")))
    assert found.conclusion == "No row changes, but notes below them do."
    assert found.notes_new == ("Left out: x.json.",)


def test_strangers_text_is_never_markup_in_a_difference(board: Board) -> None:
    """Markup, links, formulas, emoji and line ends in records stay text in the Markdown."""
    evil = (
        "](http://e.example) ![x](y) <img src=x> &lt; `a` *b* _c_ ~~d~~ $e$ :f: #1 | \\| "
        "https://e.example www.e.example\n\n# heading\n| x |\n\x1b[31m\u202e"
    )
    row = replace(board.rows[0], distribution=evil, device=evil, status=evil)
    hostile = replace(board, rows=(row,), notes=(evil,))
    text = formats.differences_to_markdown([difference(None, hostile)])
    assert not set(text) & {"\x1b", "\u202e"}
    html = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text)
    tags = {tag.partition(" ")[0].strip("</>") for tag in html.split("<")[1:]}
    tags = {tag.partition(">")[0] for tag in tags}
    assert tags <= {"h2", "h3", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
    assert html.count("<tr>") == 2
    for mark in ("http:", "https:", "www.", ":f:", "$e$", " #1", "_c_"):
        assert mark not in text


@given(
    gone=st.sets(st.sampled_from(range(3))),
    changes=st.lists(
        st.tuples(
            st.sampled_from(range(3)),
            st.sampled_from(["rank_best", "accuracy", "seeds", "status", "version", "tier"]),
        )
    ),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_every_difference_is_found_once_and_turned_round(
    board: Board, gone: set[int], changes: list[tuple[int, str]]
) -> None:
    """What is gone or edited is in one list alone, all else in none, and back it is the same."""
    edited: dict[int, set[str]] = {}
    rows = list(board.rows)
    for place, field in changes:
        rows[place] = replace(rows[place], **{field: object()})  # type: ignore[arg-type]
        edited.setdefault(place, set()).add(field)
    other = replace(board, rows=tuple(row for place, row in enumerate(rows) if place not in gone))
    found, back = difference(board, other), difference(other, board)
    assert found.gone == back.new == tuple(board.rows[place] for place in sorted(gone))
    assert found.new == back.gone == ()
    listed = [*found.changed, *found.moved]
    assert {one.before.model: set(one.fields) for one in listed} == {
        board.rows[place].model: fields for place, fields in edited.items() if place not in gone
    }
    assert len(listed) == len({one.before.model for one in listed})
    assert all(set(one.fields) == {"rank_best"} for one in found.moved)
    assert {(one.after, one.before) for one in (*back.changed, *back.moved)} == {
        (one.before, one.after) for one in listed
    }


def test_a_difference_is_printed_for_people_and_programs(fmbench: Fmbench, tmp_path: Path) -> None:
    """Tables, Markdown in a file, and JSON hold the same change; a base is a results folder."""
    protocol = board_of(tmp_path / "results").protocol
    shutil.copytree(tmp_path / "results", tmp_path / "base")
    for path in (tmp_path / "base" / protocol / "records").glob("b-*"):
        path.unlink()
    said = fmbench("leaderboard", "--diff", "base")
    assert "1 row new, 1 rank moved by other rows." in said.stdout
    written = fmbench("leaderboard", "--diff", "base", "--format", "md", "--output", "change.md")
    assert (written.returncode, written.stdout) == (0, "")
    assert "### New rows" in (tmp_path / "change.md").read_text("utf-8")
    (found,) = json.loads(fmbench("leaderboard", "--diff", "base", "--json").stdout)["differences"]
    assert [row["model"] for row in found["new"]] == ["b"]
    assert found["moved"][0]["fields"]["rank_best"] == {"before": 2, "after": 3}
    (tmp_path / "empty").mkdir()
    assert "all rows are new" in fmbench("leaderboard", "--diff", "empty").stdout
    for words in (
        ("--diff", "nowhere"),
        ("--diff", f"base/{protocol}"),
        ("--diff", "base", "--format", "html"),
        ("--diff", "base", "--sort", "train"),
        ("--diff", "base", "--output", "x.txt"),
    ):
        refused = fmbench("leaderboard", *words)
        assert (refused.returncode, "hint:" in refused.stderr) == (2, True), refused

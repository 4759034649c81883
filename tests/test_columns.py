"""Columns, sorting and filtering of a leaderboard."""

import csv
import io
import json
from pathlib import Path

import pytest

import simulated
from fmbench.errors import NothingSelectedError, UsageError
from fmbench.leaderboard import formats
from fmbench.leaderboard.board import Board, read_board
from fmbench.leaderboard.columns import COLUMNS, KEYS, arrange, choose
from fmbench.leaderboard.stored_results import StoredResults

MODELS = {"a": 0.80, "timm/b": 0.90, "timm/c": 0.85}


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """A board of three models; each later one is larger and slower."""
    return read_board(StoredResults(simulated.write_store(tmp_path, MODELS, seeds=3)))


def models(board: Board) -> list[str]:
    """The models in the order of rows."""
    return [row.model for row in board.rows]


def test_every_column_can_be_chosen_and_sorted_by(board: Board) -> None:
    """Each key is a column, is sorted by its best first, and reversed by its worst."""
    for key in KEYS:
        assert [column.key for column in choose(key)] == [key]
        forth, back = arrange(board, sort=key), arrange(board, sort=key, reverse=True)
        values = [choose(key)[0].value(row) for row in forth.rows]
        assert values == [choose(key)[0].value(row) for row in reversed(back.rows)]
    assert models(arrange(board, sort="train")) == ["a", "timm/b", "timm/c"]
    assert models(arrange(board, sort="speed", reverse=True)) == ["timm/c", "timm/b", "a"]
    assert models(arrange(board, sort="accuracy")) == ["timm/b", "timm/c", "a"]
    assert models(arrange(board, reverse=True)) == ["a", "timm/c", "timm/b"]


def test_more_is_better_of_these_columns_alone() -> None:
    """Accuracies, seeds and speeds; of all others the lowest comes first."""
    high = {column.key for column in COLUMNS if column.best == "high"}
    assert high == {"accuracy", "no-twins", "no-doubts", "seeds", "n", "speed", "inference"}


def test_absent_values_come_last_in_either_direction(tmp_path: Path) -> None:
    """A row without a rank stands below those that have one, also when the worst come first."""
    store = simulated.write_store(tmp_path, MODELS, seeds=3, broken="timm/b")
    board = read_board(StoredResults(store))
    for reverse in (False, True):
        assert models(arrange(board, sort="rank", reverse=reverse))[-1] == "timm/b"


def test_a_filter_keeps_ranks_and_says_so(board: Board) -> None:
    """Filtered rows keep their ranks among all; a note counts what is hidden."""
    found = arrange(board, patterns=["timm/*"])
    assert [(row.model, row.rank_best) for row in found.rows] == [("timm/b", 1), ("timm/c", 2)]
    assert found.notes[-1] == "1 of 3 rows are filtered out; ranks are among all."
    with pytest.raises(NothingSelectedError, match="vgg"):
        arrange(board, patterns=["vgg*"])


def test_an_unknown_column_is_reported(board: Board) -> None:
    """A key that no column has is named, with those there are."""
    for wrong in (lambda: choose("model,colour"), lambda: arrange(board, sort="colour")):
        with pytest.raises(UsageError, match="colour") as raised:
            wrong()
        assert "accuracy" in raised.value.hint


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("acuracy", "accuracy"), ("Models", "model"), ("log-loss", "loss"), ("images/s", "speed")],
)
def test_a_column_nearly_named_is_suggested(board: Board, wrong: str, meant: str) -> None:
    """A key that is nearly a column's, or a heading, is answered with the key to type."""
    for typed in (lambda: choose(f"rank,{wrong}"), lambda: arrange(board, sort=wrong)):
        with pytest.raises(UsageError) as raised:
            typed()
        assert raised.value.hint == f"did you mean {meant}?"


def test_chosen_columns_hold_in_every_format(board: Board) -> None:
    """Markdown, CSV and JSON have the chosen columns, in that order, and no other."""
    chosen = choose("train,model")
    assert "|   train | model" in formats.to_markdown(board, chosen)
    reader = csv.reader(io.StringIO(formats.to_csv(board, chosen)))
    assert next(reader) == ["train_seconds", "model"]
    rows = json.loads(formats.to_json(board, chosen))["rows"]
    assert list(rows[0]) == ["train_seconds", "model"]


def test_every_field_of_a_row_belongs_to_a_column(board: Board) -> None:
    """What CSV and JSON hold, some column shows."""
    shown = {name for column in COLUMNS for name in column.fields}
    assert shown == set(json.loads(formats.to_json(board))["rows"][0])

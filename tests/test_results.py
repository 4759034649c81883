"""`fmbench.results`: a folder of records as frames, arrays, a table and a plot."""

import csv
import io
import math
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import msgspec
import numpy as np
import pandas as pd
import pytest

import samples
import simulated
from conftest import Fmbench
from fmbench import results
from fmbench.errors import StoreError, UsageError
from fmbench.leaderboard import formats
from fmbench.leaderboard.board import read_board
from fmbench.leaderboard.columns import COLUMNS
from fmbench.leaderboard.comparison import compare_entries, find_entry
from fmbench.leaderboard.frames import CURVES, RUNS, UNITS
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.records import Record
from fmbench.store import Store

MODELS = {"a": 0.80, "timm/b": 0.90, "timm/c": 0.85}
HOSTILE = "<script>alert(1)</script>$\\href{x}{y}$ & \u202e\x1b[2J"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store of three models with three seeds, of which one has lost its last."""
    return simulated.write_store(tmp_path / "results", MODELS, seeds=3, broken="a")


@pytest.fixture
def board(store: Store) -> results.Leaderboard:
    """It as it is opened."""
    return results.open(store.folder.parent)


def tuned(model: str, store: Store) -> Record:
    """A record of a run that tried a recipe on another model, as the store's own are."""
    first = store.read().records[0].run
    run = msgspec.structs.replace(first, model=model, stage="tune", seed=0)
    return samples.record(run, correct=40, images=80, id="ff")


def test_importing_it_loads_neither_torch_nor_matplotlib() -> None:
    """Neither the import nor what a board does loads torch; only a plot loads matplotlib."""
    code = """
import sys
import fmbench
light = {"numpy", "pandas", "torch", "msgspec"} & sys.modules.keys()
assert not light, light
board = fmbench.results.open("results/published", protocol="quick-v1")
for made in (board.frame(), board.runs(), board.curves(), board._repr_html_(), board.rank_sets):
    assert len(made)
assert board.predictions("softmax").shape == (1, 10_000)
heavy = {"torch", "matplotlib", "typer", "rich"} & sys.modules.keys()
assert not heavy, heavy
"""
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_a_table_says_the_same_three_ways(
    store: Store, board: results.Leaderboard, fmbench: Fmbench
) -> None:
    """Terminal, CSV and frame hold the same numbers: CSV to the last digit, the others rounded."""
    asked = ("leaderboard", "--results", store.folder.parent)
    frame = board.frame()
    found = list(csv.DictReader(io.StringIO(fmbench(*asked, "--format", "csv").stdout)))
    assert [UNITS.get(name, name) for name in found[0]] == list(frame.columns)
    assert len(found) == len(frame) == len(board) == 3
    for written, (_, row) in zip(found, frame.iterrows(), strict=True):
        for name, cell in written.items():
            value = row[UNITS.get(name, name)]
            assert ("" if pd.isna(value) else str(value)) == cell, name
    keys = ",".join(column.key for column in COLUMNS)
    shown = fmbench(*asked, "--columns", keys, COLUMNS="400").stdout
    lines = [line for line in shown.splitlines() if "plugin-a 1.0" in line]
    rows = read_board(StoredResults(store)).rows
    for row, (_, line) in zip(rows, frame.iterrows(), strict=True):
        (printed,) = (one for one in lines if f" {row.model} " in one)
        for column in COLUMNS:
            assert column.cell(row) in printed, column.key
        for name in ("accuracy", "accuracy_seed_low"):
            assert f"{100 * line[name]:.2f}" in printed
        assert f"{line['log_loss_nats']:.3f}" in printed


def test_columns_have_their_types_in_every_frame(
    board: results.Leaderboard, tmp_path: Path
) -> None:
    """Dtypes are those the docstrings name, also where a column is empty or there is no row."""
    frame = board.frame()
    assert frame["rank_best"].dtype == "Int64" and frame["rank_best"].isna().any()
    assert frame["accuracy"].dtype == frame["accuracy_without_near_twins"].dtype == "float64"
    assert frame["seeds"].dtype == "int64" and frame["model"].dtype == "string"
    assert list(frame["tier"].cat.categories) == ["reported", "re-scored", "re-run"]
    for made, columns in ((board.runs(), RUNS), (board.curves(), CURVES)):
        assert {name: made[name].dtype for name in made} == {
            name: pd.api.types.pandas_dtype(dtype) for name, dtype in columns.items()
        }
    nothing = Store(tmp_path / "empty", "tiny-v1")
    nothing.make()
    of = StoredResults(nothing, simulated.rules(3, np.zeros(10, np.uint8), tmp_path))
    empty = results.Leaderboard(of, read_board(of))
    for made, like in ((empty.frame(), frame), (empty.runs(), board.runs())):
        assert len(made) == 0 and list(made.dtypes) == list(like.dtypes)
    assert len(empty.curves()) == 0
    assert len(empty.plot().get_yticklabels()) == 0
    assert "<tbody>\n</tbody>" in empty._repr_html_()


def test_runs_are_all_records(store: Store, board: results.Leaderboard) -> None:
    """Each record is a row, failed ones too, and older ones that the board does not rest on."""
    simulated.write_store(store.folder.parent, {"a": 0.80}, seeds=3, random_seed=0, version="0.9")
    runs = results.open(store.folder.parent).runs()
    found = {record.stem: record for record in store.read().records}
    assert len(runs) == len(found) > len(board.runs())
    assert set(runs["status"]) == {"ok", "diverged"}
    assert 0 < runs["on_board"].sum() < len(runs)
    by_id = {(record.id, record.run.plugin.version): record for record in found.values()}
    for _, row in runs.iterrows():
        record = by_id[row["record"], row["version"]]
        assert row["seed"] == record.run.seed and row["stage"] == record.run.stage
        assert pd.isna(row["accuracy"]) == (record.result.accuracy is None)
        assert row["train_seconds"] == record.cost.train_seconds
        assert str(row["created"]) == "2026-01-01 00:00:00+00:00"


def test_curves_have_a_row_an_epoch(tmp_path: Path) -> None:
    """Epochs count from 1; a loss that was not finite and an accuracy not measured are NaN."""
    store = simulated.write_store(tmp_path, {"a": 0.8}, seeds=1)
    one = tuned("z", store)
    result = msgspec.structs.replace(one.result, curve=(1.5, None), validation_curve=(20, 40))
    store.add(msgspec.structs.replace(one, result=result))
    curves = results.open(tmp_path).curves()
    assert set(curves["epoch"]) == {1, 2}
    of_one = curves[curves["model"] == "z"]
    assert of_one["train_loss_nats"].iloc[0] == 1.5 and math.isnan(
        of_one["train_loss_nats"].iloc[1]
    )
    assert list(of_one["validation_accuracy"]) == [0.25, 0.5]
    assert curves[curves["model"] == "a"]["validation_accuracy"].isna().all()


def test_predictions_comparison_and_ranks_are_the_commands(
    store: Store, board: results.Leaderboard
) -> None:
    """What a board gives is what `compare` and the table rest on, by the same names."""
    stored = StoredResults(store)
    found = board.predictions("timm/b")
    assert found.dtype == np.uint8 and found.shape == (3, 10_000)
    assert board.predictions("a").shape == (2, 10_000)
    right = (found == board.labels).mean(axis=1)
    runs = board.runs()
    of_b = runs[(runs["model"] == "timm/b") & (runs["stage"] == "final")]
    assert list(of_b.sort_values("seed")["accuracy"]) == list(right)
    entries = (find_entry(stored, name) for name in ("timm/b", "plugin-a:timm/c"))
    assert board.compare("timm/b", "plugin-a:timm/c") == compare_entries(stored, *entries)
    assert board.rank_sets == {"timm/b": (1, 1), "timm/c": (2, 2), "a": None}


def test_what_cannot_be_had_is_an_error_with_a_hint(
    store: Store, board: results.Leaderboard, tmp_path: Path
) -> None:
    """A wrong folder, protocol or model, and lost predictions, raise what the commands say."""
    folder = store.folder.parent
    for wrong in (
        lambda: results.open(tmp_path / "nowhere"),
        lambda: results.open(folder, protocol="lite-v1"),
        lambda: board.predictions("timm/d"),
        lambda: board.compare("a", "a"),
    ):
        with pytest.raises(UsageError) as caught:
            wrong()
        assert caught.value.hint and "hint: " in str(caught.value)
    for path in store.records.glob("*.npy"):
        path.write_bytes(b"")
    with pytest.raises(StoreError):
        board.predictions("a")


def test_one_file_that_is_no_record_is_said_and_costs_nothing(store: Store) -> None:
    """A board opens beside it, and names it among its problems."""
    (store.records / "half.json").write_text("{")
    board = results.open(store.folder.parent)
    assert len(board) == 3
    (problem,) = board.problems
    assert problem.startswith("half.json is not a record")


class Tags(HTMLParser):
    """The tags of a piece of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - its parent's
        """Note a tag."""
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


def test_the_table_in_a_notebook_is_text_whatever_names_say(board: results.Leaderboard) -> None:
    """Hostile names add no tag, no formula and no control character to the table."""
    html = board._repr_html_()
    found = Tags()
    found.feed(html)
    expected = {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert found.tags == expected
    for row in board._board.rows:
        assert f"<td>{row.model}</td>" in html
    row = replace(board._board.rows[0], model=HOSTILE, status=HOSTILE, device=HOSTILE)
    bad = replace(board._board, rows=(row,), notes=(HOSTILE,), protocol=HOSTILE)
    text = formats.to_html(bad)
    found = Tags()
    found.feed(text)
    assert found.tags == expected
    assert "alert(1)</script>" in found.text and "\x1b" not in text and "\u202e" not in text
    assert text.startswith('<div class="tex2jax_ignore mathjax_ignore">')


def test_the_plot_shows_each_model_once(board: results.Leaderboard) -> None:
    """A line a model in the board's order, its accuracy in per cent; axes may be given."""
    mpl.use("Agg")
    from matplotlib import pyplot

    _, given = pyplot.subplots()
    axes = board.plot(given)
    assert axes is given
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["1   timm/b", "2   timm/c", "a"]
    means = [line for line in axes.lines if line.get_marker() == "o"]
    shown = [float(line.get_xdata()[0]) for line in means]  # type: ignore[index]
    assert shown == [pytest.approx(100 * one) for one in board.frame()["accuracy"]]
    pyplot.close("all")


def test_a_plot_is_drawn_whatever_names_say(board: results.Leaderboard) -> None:
    """A name that looks like a formula is drawn as it is written."""
    mpl.use("Agg")
    from matplotlib import pyplot

    stored = board._stored
    entry = replace(stored.entries[0], model="$\\frac{$")
    stored.entries = (entry, *stored.entries[1:])
    rows = [
        replace(row, model="$\\frac{$") if row.model == stored.entries[0].model else row
        for row in read_board(stored).rows
    ]
    bad = replace(board._board, rows=tuple(rows), protocol="$\\frac{$")
    axes = results.Leaderboard(stored, bad).plot()
    axes.figure.savefig(io.BytesIO())  # type: ignore[union-attr]
    pyplot.close("all")


def test_without_matplotlib_a_plot_says_what_to_install(
    board: results.Leaderboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra is named, and the picture that needs none."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError) as caught:
        board.plot()
    assert "pip install" in caught.value.hint and "leaderboard.svg" in caught.value.hint


def test_numbers_beyond_64_bits_are_kept(tmp_path: Path) -> None:
    """JSON can hold them, and a frame of such a record has them as Python's numbers."""
    store = simulated.write_store(tmp_path, {"a": 0.8}, seeds=1)
    one = tuned("z", store)
    cost = msgspec.structs.replace(one.cost, parameters=10**30)
    store.add(msgspec.structs.replace(one, cost=cost))
    assert results.open(tmp_path).runs()["parameters"].max() == 10**30

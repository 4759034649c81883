"""Ranks of stores whose truth is known, and what happens when predictions cannot be trusted."""

from pathlib import Path

import numpy as np
import pytest

import simulated
from fmbench import files
from fmbench.console import tables
from fmbench.errors import StoreError
from fmbench.leaderboard import formats, page
from fmbench.leaderboard.board import Board, read_board
from fmbench.leaderboard.columns import choose
from fmbench.leaderboard.statistics import THESE_IMAGES
from fmbench.leaderboard.stored_results import StoredResults, digest_of
from fmbench.store import Store

MODELS = {"worst": 0.80, "same-a": 0.90, "best": 0.94, "same-b": 0.90}


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fmbench"


def ranks(board: Board) -> dict[str, tuple[int | None, int | None]]:
    """The rank set of each model."""
    return {row.model: (row.rank_best, row.rank_worst) for row in board.rows}


def test_ranks_say_what_is_true(tmp_path: Path) -> None:
    """Models of different accuracy are told apart, models of the same are not."""
    board = read_board(StoredResults(simulated.write_store(tmp_path, MODELS, seeds=5)))
    assert ranks(board) == {"best": (1, 1), "same-a": (2, 3), "same-b": (2, 3), "worst": (4, 4)}
    assert board.smallest_gap is not None
    assert 0.001 < board.smallest_gap < 0.01
    assert any("percentage points apart to be told apart" in note for note in board.notes)
    assert not any("provisional" in note for note in board.notes)


def test_three_seeds_make_provisional_ranks_and_two_none(tmp_path: Path) -> None:
    """Ranks need three seeds, and are called provisional under five."""
    three = read_board(StoredResults(simulated.write_store(tmp_path / "3", MODELS, seeds=3)))
    assert ranks(three)["best"] == (1, 1)
    assert any("provisional" in note for note in three.notes)
    two = read_board(StoredResults(simulated.write_store(tmp_path / "2", MODELS, seeds=2)))
    assert set(ranks(two).values()) == {(None, None)}
    assert any("No ranks" in note for note in two.notes)


def test_an_incomplete_row_is_not_ranked_and_does_not_change_other_ranks(tmp_path: Path) -> None:
    """A model that lost a seed stands below, without a rank; the others rank among themselves."""
    store = simulated.write_store(tmp_path, MODELS, seeds=5, broken="same-a")
    board = read_board(StoredResults(store))
    assert ranks(board) == {
        "best": (1, 1), "same-b": (2, 2), "worst": (3, 3), "same-a": (None, None),
    }  # fmt: skip
    assert board.rows[-1].status == "4 of 5 seeds: 1 diverged"


def test_ranks_for_this_test_set_are_called_so_in_every_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The weaker claim is said in Markdown, JSON, CSV, on the page and in the terminal."""
    stored = StoredResults(simulated.write_store(tmp_path, MODELS, seeds=3))
    board = read_board(stored, THESE_IMAGES)
    html = page.render(board, stored, None)
    assert "on these test images" in html
    assert "% on new images" not in html
    tables.print_board(board, choose())
    assert "on this test set only" in " ".join(capsys.readouterr().out.split())
    assert "on this test set only" in formats.to_markdown(board)
    assert '"target": "this-test-set"' in formats.to_json(board)
    assert formats.to_csv(board).startswith("rank_best_this_test_set,rank_worst_this_test_set,")


def test_predictions_that_contradict_their_record_cost_only_that_rank(tmp_path: Path) -> None:
    """A swapped, missing or damaged prediction file unranks its model and is named in a note."""
    store = simulated.write_store(tmp_path, MODELS, seeds=3)
    victim = next(store.records.glob("best-final-s1-*.npy"))
    for content in (files.npy_bytes(np.zeros(10_000, np.uint8)), b"rubbish", None):
        victim.unlink()
        if content is not None:
            victim.write_bytes(content)
        board = read_board(StoredResults(store))
        assert ranks(board)["best"] == (None, None)
        assert ranks(board)["worst"] == (3, 3)
        assert any("best, not ranked" in note for note in board.notes)
        victim.touch()


def test_labels_that_are_not_the_protocols_are_refused(tmp_path: Path) -> None:
    """A store's labels are held to the protocol's digest, whatever they say."""
    store = simulated.write_store(tmp_path, MODELS, seeds=3)
    store.keep_labels(np.zeros(10_000, np.uint8))
    stored = StoredResults(store)
    with pytest.raises(StoreError, match="test labels"):
        _ = stored.labels
    assert set(ranks(read_board(stored)).values()) == {(None, None)}


def test_a_ranking_is_computed_once_for_the_same_records(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second board reads no prediction; another target or a damaged cache does."""
    store = simulated.write_store(tmp_path, MODELS, seeds=3)
    first = read_board(StoredResults(store))
    asked = []
    monkeypatch.setattr(Store, "predictions", lambda _, record: asked.append(record))
    assert read_board(StoredResults(store)) == first
    assert asked == []
    (kept,) = own_cache.glob("ranks-*.json")
    with pytest.raises(TypeError):
        read_board(StoredResults(store), "this-test-set")
    assert asked
    asked.clear()
    kept.write_bytes(b"{")
    with pytest.raises(TypeError):
        read_board(StoredResults(store))
    assert asked


def test_the_digest_of_records_is_of_all_they_say_and_not_of_their_order(tmp_path: Path) -> None:
    """Any changed record changes the digest, order does not."""
    found = simulated.write_store(tmp_path, {"a": 0.9, "b": 0.8}, seeds=2).read().records
    assert digest_of(found) == digest_of(tuple(reversed(found)))
    assert digest_of(found) != digest_of(found[1:])


def test_fifty_models_of_ten_seeds_are_ranked(tmp_path: Path) -> None:
    """A large board has a rank for each row; benchmarks/many_records.py says in what time."""
    models = {f"m{place:02}": 0.95 - 0.002 * place for place in range(50)}
    board = read_board(StoredResults(simulated.write_store(tmp_path, models, seeds=10)))
    sets = [(row.rank_best, row.rank_worst) for row in board.rows]
    assert sets[0][0] == 1
    assert sets[-1][1] == 50
    assert all(a <= b and c <= d for (a, c), (b, d) in zip(sets[:-5], sets[5:], strict=True))

"""The suspect test images: their list, accuracy without them, and what is told of them."""

import json
import re
from pathlib import Path

import mlcroissant
import msgspec
import numpy as np
import pytest

import simulated
import suspects as script
from fmbench import data
from fmbench.data import Dataset, croissant, suspects
from fmbench.data.twins import near_twins
from fmbench.leaderboard import formats, page
from fmbench.leaderboard.board import read_board
from fmbench.leaderboard.columns import choose
from fmbench.leaderboard.statistics import image_interval
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.store import Store, published
from test_page import parse
from test_twins import made

BOARD = "lite-v1"
KNOWN = suspects.load()


@pytest.fixture(scope="module")
def stored() -> StoredResults:
    """The published results that doubtful labels come from."""
    return StoredResults(Store(published(), BOARD))


def test_the_list_is_as_it_was_made(tmp_path: Path) -> None:
    """Its own digest holds, and it is written as its script writes it; an edit shows."""
    assert script.PATH.read_text("utf-8") == suspects.encode(KNOWN)
    assert suspects.sealed(KNOWN) == KNOWN
    twins = msgspec.structs.replace(KNOWN.near_twins, images=KNOWN.near_twins.images[1:])
    edited = msgspec.structs.replace(KNOWN, near_twins=twins)
    assert suspects.sealed(edited).digest != KNOWN.digest
    assert KNOWN.data == data.FASHION_MNIST


def test_the_doubtful_labels_are_what_the_published_runs_say() -> None:
    """Made again from the published records they are the same."""
    assert script.doubtful_labels() == KNOWN.doubtful_labels
    assert KNOWN.doubtful_labels.runs == 27
    assert all(sum(one.votes) == 27 for one in KNOWN.doubtful_labels.images)


def test_accuracy_without_suspects_is_of_the_other_images(stored: StoredResults) -> None:
    """The mean over seeds on the images that are left, with the interval of so many."""
    kept = np.setdiff1d(np.arange(10_000), [one.test for one in KNOWN.near_twins.images])
    sure = np.setdiff1d(np.arange(10_000), [one.image for one in KNOWN.doubtful_labels.images])
    for row in read_board(stored, cached=False).rows:
        hits = stored.predictions(stored.entry(row.model, row.distribution)) == stored.labels
        for images, found in (
            (kept, (row.accuracy_without_near_twins, row.accuracy_without_near_twins_low)),
            (
                sure,
                (row.accuracy_without_doubtful_labels, row.accuracy_without_doubtful_labels_low),
            ),
        ):
            accuracy = hits[:, images].mean()
            assert found[0] == pytest.approx(accuracy, abs=1e-12)
            assert found[1] == pytest.approx(image_interval(accuracy, len(images))[0], abs=1e-12)
        assert row.accuracy == pytest.approx(hits.mean(), abs=1e-12)


def test_it_is_kept_with_the_ranks(
    stored: StoredResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A board read from the cache is the same board, and reads no predictions."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    board = read_board(stored)
    monkeypatch.setattr(Store, "predictions", None)
    assert read_board(StoredResults(Store(published(), BOARD))) == board


def test_it_is_shown_to_those_who_ask(stored: StoredResults) -> None:
    """Files have it beside the official accuracy; a table only when its columns are named."""
    board = read_board(stored, cached=False)
    assert "near-twins" not in formats.to_markdown(board)
    asked = formats.to_markdown(board, choose("model,accuracy,no-twins,no-doubts"))
    assert "without near-twins, %" in asked and "without doubtful labels, %" in asked
    header = formats.to_csv(board).partition("\n")[0].split(",")
    assert header.index("accuracy") < header.index("accuracy_without_near_twins_low")
    assert json.loads(formats.to_json(board))["rows"][0]["accuracy_without_doubtful_labels"] > 0.9


def test_another_test_set_has_no_suspects(tmp_path: Path) -> None:
    """The lists are about Fashion-MNIST; elsewhere the values are absent and so are the columns."""
    stored = StoredResults(simulated.write_store(tmp_path, {"a": 0.9, "b": 0.8}, seeds=3))
    board = read_board(stored, cached=False)
    assert {row.accuracy_without_near_twins for row in board.rows} == {None}
    html = page.render(board, stored, None)
    assert "near-twin" not in html
    assert "runs of this board contradict most" in html


def test_unreadable_predictions_leave_it_out(tmp_path: Path) -> None:
    """A model whose predictions are gone keeps its official accuracy alone."""
    store = Store(tmp_path, BOARD)
    of = Store(published(), BOARD)
    store.make()
    for path in (*of.folder.glob("protocol-*"), of.folder / "t10k-labels-idx1-ubyte"):
        (store.folder / path.name).write_bytes(path.read_bytes())
    for path in of.records.glob("softmax-*.json"):
        (store.records / path.name).write_bytes(path.read_bytes())
    stored = StoredResults(store)
    board = read_board(stored, cached=False)
    (row,) = board.rows
    assert row.accuracy is not None and row.accuracy_without_near_twins is None
    assert page.is_of(page.render(board, stored, None), board, stored)


def test_a_board_without_rows_tells_of_its_test_set(stored: StoredResults, tmp_path: Path) -> None:
    """What is known of Fashion-MNIST stands on a page that has no model yet."""
    empty = StoredResults(Store(tmp_path, BOARD), stored.protocol)
    board = read_board(empty, cached=False)
    html = page.render(board, empty, None)
    assert "95 test images of 10,000 have a near-twin there" in html
    assert "accuracies change by" not in html
    assert page.is_of(html, board, empty)


def test_the_page_tells_what_concerns_its_board(stored: StoredResults) -> None:
    """How many there are, what models learned from, how accuracies change, and pictures."""
    board = read_board(stored, cached=False)
    noise = np.random.RandomState(0).randint(0, 256, (10_000, 28, 28)).astype(np.uint8)
    html = page.render(board, stored, noise, noise[: page.SHOWN])
    (section,) = [one for one in parse(html).all("section") if one.attributes["id"] == "data"]
    assert "95 test images of 10,000 have a near-twin there" in section.text
    assert "were trained on all 60,000 training images" in section.text
    assert re.search(r"accuracies change by −0\.11 to −0\.07 points", section.text)
    assert "All 27 agree against the label of 74 test images" in section.text
    assert html.count('alt="training image') == page.SHOWN
    assert page.is_of(html, board, stored)
    assert page.is_of(page.render(board, stored, None), board, stored)


def test_a_report_shows_every_pair_and_every_doubt() -> None:
    """Its pictures are those of the lists, it loads nothing, and says when a list differs."""
    tiny = made(0)
    images = np.resize(tiny.test_images, (10_000, 28, 28))
    dataset = Dataset(
        tiny.train_images, tiny.train_labels, images, np.resize(tiny.test_labels, 10_000)
    )
    found = near_twins(tiny)
    html = page.render_report(dataset, found, KNOWN)
    shown = parse(html)
    alts = [one.attributes["alt"] for one in shown.all("img")]
    assert len(alts) == 2 * len(found.images) + len(KNOWN.doubtful_labels.images)
    assert "differ from those of its own list" in html
    assert len(shown.all("caption")) == len(shown.all("table"))
    assert len(shown.all("figcaption")) == len(shown.all("figure"))
    assert "http:" not in html and "https:" not in html and "url(" not in html
    links = {one.attributes["href"] for one in shown.all("a")}
    assert {one for one in links if one[0] != "#"} == {suspects.FILE, croissant.FILE}


def test_the_description_is_valid_croissant(tmp_path: Path) -> None:
    """The format's own library finds no fault in it; its digests are those that are verified."""
    path = tmp_path / croissant.FILE
    path.write_text(croissant.describe(KNOWN), "utf-8")
    found = mlcroissant.Dataset(jsonld=path)
    assert not found.metadata.ctx.issues.errors and not found.metadata.ctx.issues.warnings
    held = {one.uuid: one.sha256 for one in found.metadata.distribution if one.sha256}
    assert held == dict(zip(data.FILES, msgspec.structs.astuple(data.FASHION_MNIST), strict=True))
    names = [one["classes/name"] for one in found.records("classes")]
    assert tuple(names) == data.LABELS

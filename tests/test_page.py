"""The page: what it says, that nothing on it can act, and how it behaves in a browser."""

import base64
import io
import itertools
import os
import re
import shutil
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

import samples
import simulated
from fmbench import records
from fmbench.hardware import Device
from fmbench.leaderboard.board import Board, read_board
from fmbench.leaderboard.comparison import compare_entries, find_entry
from fmbench.leaderboard.page import draw, is_of, render, scales
from fmbench.leaderboard.page.board_models import board_models
from fmbench.leaderboard.page.conclusions import Sentence, conclusions
from fmbench.leaderboard.page.confusion import ConfusedImage, ModelVotes, Pair, confused_pairs
from fmbench.leaderboard.page.curves import curve_plots
from fmbench.leaderboard.page.document import REPOSITORY
from fmbench.leaderboard.page.gallery import png_uri
from fmbench.leaderboard.page.labels import Box, place_labels
from fmbench.leaderboard.page.scatter import panels, pareto_front
from fmbench.leaderboard.page.text import shortened
from fmbench.leaderboard.published import stale_index, write_index
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.store import Store
from fmbench.wording import percent
from generated import PUBLISHED

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "a\u202eb\u200dc\x1b[31md\x07",
    "--></style></title><!--",
    '<meta name="fmbench-records" content="dead">',
)
IMAGES = 400
MODELS = {"m10": 0.95, "m9": 0.90, "Alpha/one_b": 0.85, "beta": 0.8, "gone": 0.75, "x" * 150: 0.7}
VOID = {"meta", "link", "img", "input", "wbr", "br"}


@dataclass
class Element:
    """An element as the page has it: its name, attributes and the text directly inside."""

    name: str
    attributes: dict[str, str]
    parents: tuple[str, ...]
    text: str = ""


@dataclass
class Parsed(HTMLParser):
    """All elements and all text of a page."""

    elements: list[Element] = field(default_factory=list)
    open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        parents = tuple(element.name for element in self.open)
        element = Element(tag, {name: value or "" for name, value in attrs}, parents)
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        """Close an element; each must close what was opened last."""
        assert self.open.pop().name == tag

    def handle_data(self, data: str) -> None:
        """Keep text with all elements it lies in."""
        for element in self.open:
            element.text += data

    def all(self, name: str) -> list[Element]:
        """The elements of a name."""
        return [element for element in self.elements if element.name == name]


def parse(html: str) -> Parsed:
    """A page as elements; fails when its tags are not nested as they should be."""
    parser = Parsed()
    parser.feed(html)
    parser.close()
    assert not parser.open
    return parser


def board_of(store: Store) -> tuple[Board, StoredResults]:
    """The board of a store, and what the store holds."""
    stored = StoredResults(store)
    return read_board(stored, cached=False), stored


def page_of(store: Store, images: NDArray[np.uint8] | None = None) -> str:
    """The page of a store."""
    return render(*board_of(store), images)


def in_words(sentences: tuple[Sentence, ...]) -> str:
    """Sentences as they are read."""
    return " ".join(
        "".join(part if isinstance(part, str) else part.name for part in sentence)
        for sentence in sentences
    )


def pictures(count: int = IMAGES) -> NDArray[np.uint8]:
    """Test images that are noise."""
    return np.random.RandomState(1).randint(0, 256, (count, 28, 28)).astype(np.uint8)


def small_store(folder: Path, models: dict[str, float], seeds: int = 3, **more: Any) -> Store:
    """A store of models on few images."""
    return simulated.write_store(folder, models, seeds=seeds, images=IMAGES, **more)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Six models of five seeds; one has lost a seed, one has a name as long as they may be."""
    return small_store(tmp_path_factory.mktemp("store"), MODELS, seeds=5, broken="gone")


@pytest.fixture(scope="module")
def html(store: Store) -> str:
    """Their page."""
    return page_of(store, pictures())


def spoilt_store(folder: Path, names: tuple[str, ...]) -> Store:
    """A store in which all that a plugin or a machine chooses are these names, in turn."""
    accuracies = {name: 0.9 - 0.1 * place for place, name in enumerate(names)}
    store = small_store(folder, accuracies, seeds=3, broken=names[-1])
    for number, old in enumerate(store.read().records):
        name = names[number % len(names)]
        device = Device(kind="cuda", name=name, memory=1, driver=name)
        record = msgspec.structs.replace(
            old,
            id=f"{number:08x}",
            created=f"2026-02-01T00:00:{number:02}Z{name}",
            run=msgspec.structs.replace(
                old.run,
                plugin=msgspec.structs.replace(
                    old.run.plugin, distribution=names[0], version=names[1], entry=names[2],
                    dependencies={names[3]: names[4]},
                ),
            ),
            result=msgspec.structs.replace(old.result, message=name),
            environment=msgspec.structs.replace(
                old.environment, device=device, cpu=name, os=name, python=name, commit=name,
                libraries={name: name},
            ),
        )  # fmt: skip
        record = msgspec.structs.replace(record, key=record.run.key)
        good = record.result.status == "ok" and record.run.stage == "final"
        store.add(record, store.predictions(old) if good else None)
    return store


# What it says


def test_every_element_is_closed_and_every_id_is_its_own(html: str) -> None:
    """Tags are nested, ids occur once, and links within the page lead somewhere."""
    page = parse(html)
    ids = [one.attributes["id"] for one in page.elements if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    targets = [one.attributes["href"] for one in page.all("a")]
    assert {one[1:] for one in targets if one.startswith("#")} <= set(ids)


def test_tables_and_pictures_speak_to_those_who_do_not_see(html: str) -> None:
    """Tables have captions and scopes, figures captions, drawings titles and descriptions."""
    page = parse(html)
    assert len(page.all("caption")) == len(page.all("table")) > 10
    assert len(page.all("figcaption")) == len(page.all("figure")) > 4
    assert all("scope" in heading.attributes for heading in page.all("th"))
    ids = {one.attributes.get("id") for one in page.elements}
    for drawing in page.all("svg"):
        if drawing.attributes.get("aria-hidden") == "true":
            continue
        assert drawing.attributes["role"] == "img"
        assert drawing.attributes["aria-labelledby"] in ids
        assert drawing.attributes["aria-describedby"] in ids
    assert all(
        re.fullmatch(
            r"test image \d+, .+, taken for .+ by (\d of 6 models|\d+ of 29 runs)",
            image.attributes["alt"],
        )
        for image in page.all("img")
    )
    assert page.all("img")


def test_it_loads_nothing(html: str) -> None:
    """Links apart, no address of anything outside the file, and a policy that would forbid it."""
    page = parse(html)
    assert "http:" not in html and "url(" not in html
    assert html.count("https:") == html.count(f'<a href="{REPOSITORY}') == 2
    assert "@import" not in html
    for element in page.elements:
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            if (element.name, name) != ("a", "href"):
                assert element.attributes.get(name, "#").startswith(("#", "data:image/png;base64,"))


def test_its_links_lead_to_what_lies_beside_it(store: Store, html: str) -> None:
    """Each record is linked where it lies, the protocol too; other files are those written."""
    found = {unquote(one.attributes["href"]) for one in parse(html).all("a")}
    beside = {one for one in found if not one.startswith(("#", "https:"))}
    written = {"leaderboard.csv", "leaderboard.md", "leaderboard.svg"}
    records_there = {f"records/{path.name}" for path in store.records.glob("*.json")}
    (protocol,) = store.folder.glob("protocol-*.toml")
    assert beside == written | records_there | {protocol.name}


def test_the_policy_allows_only_what_the_page_holds(html: str) -> None:
    """Nothing is loaded, no inline style is left, and no script but its own can run."""
    page = parse(html)
    (policy,) = [
        one.attributes["content"] for one in page.all("meta") if "http-equiv" in one.attributes
    ]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not any("style" in one.attributes for one in page.elements)


def test_the_same_evidence_gives_the_same_page(store: Store, html: str) -> None:
    """Nothing on the page comes from a clock or from chance."""
    assert page_of(store, pictures()) == html


@pytest.mark.parametrize("images", [pictures(), None, pictures()[:7]], ids=["all", "none", "wrong"])
def test_a_page_is_of_its_board_whatever_pictures_it_has(
    store: Store, images: np.ndarray | None
) -> None:
    """Written with the test images, without or with others it is fresh; an edited one is not."""
    board, stored = board_of(store)
    html = render(board, stored, images)
    assert is_of(html, board, stored)
    accuracy = percent(board.rows[0].accuracy)
    assert not is_of(html.replace(accuracy, "99.99", 1), board, stored)
    assert not is_of("<p>", board, stored)


def test_every_row_has_its_numbers_and_its_provenance(store: Store, html: str) -> None:
    """The table has a row a model with its accuracy; each has the command that makes it again."""
    board, stored = board_of(store)
    page = parse(html)
    rows = [row.text for row in page.all("tr") if row.parents[-2:] == ("table", "tbody")]
    for row in board.rows:
        assert row.accuracy is not None and row.accuracy_image_high is not None
        assert row.accuracy_image_low is not None
        margin = (row.accuracy_image_high - row.accuracy_image_low) / 2
        said = f"{100 * row.accuracy:.2f} ± {100 * margin:.2f}"
        assert any(row.model in text and said in text for text in rows)
    commands = [one.text for one in page.all("code") if one.attributes.get("class") == "command"]
    file = f"protocol-{board.digest[:8]}.toml"
    assert commands[1::2] == [f"fmbench run {row.model} --protocol {file}" for row in board.rows]
    for command, row in zip(commands[::2], board.rows, strict=True):
        first = stored.entry(row.model, row.distribution).ok[0].id
        assert command == f"fmbench reproduce {first} --results .. --protocol tiny-v1"
    for entry in stored.entries:
        for record in (*entry.finals, *entry.tunes):
            assert record.key in html and record.id in html


def test_an_incomplete_row_is_marked_in_words(html: str) -> None:
    """A model that lacks a seed is named incomplete in the dot plot and in the table."""
    marked = [
        one for one in parse(html).elements if "incomplete" in one.attributes.get("class", "")
    ]
    assert {one.name for one in marked} == {"li", "tr", "g"}
    assert all("incomplete" in one.text for one in marked)
    assert "4 of 5 seeds: 1 diverged" in html


def test_a_confusion_matrix_counts_every_image_once_a_seed(store: Store, html: str) -> None:
    """The rows of a matrix add up to the images of their class times the seeds."""
    page = parse(html)
    cells = [
        int(cell.text)
        for cell in page.all("td")
        if re.fullmatch("[rw][0-5]", cell.attributes.get("class", "")) and cell.text.isdigit()
    ]
    totals = np.array(cells).reshape(6, 10, 10).sum(axis=2)
    seeds = np.array([5, 5, 5, 5, 5, 4])
    assert (totals == np.outer(seeds, np.bincount(StoredResults(store).labels))).all()


def test_without_images_the_page_says_how_to_get_them(store: Store) -> None:
    """Pictures are left out, the pairs stay, and the command that fetches them is named."""
    html = page_of(store)
    assert "<img" not in html
    assert "<code>fmbench data</code>" in html
    assert re.search(r"image \d+, \d of 6", html)


def test_images_of_another_set_are_not_shown(store: Store) -> None:
    """As many images as labels, or none: a wrong picture would be a false claim."""
    assert "<img" not in page_of(store, pictures(IMAGES - 1))


def test_missing_predictions_cost_one_matrix_and_are_named(tmp_path: Path) -> None:
    """A model whose predictions cannot be read is named; the others keep their matrices."""
    store = small_store(tmp_path, {"whole": 0.9, "robbed": 0.8})
    for path in store.records.glob("robbed-*.npy"):
        path.unlink()
    page = parse(page_of(store))
    (problem,) = [one for one in page.all("p") if one.attributes.get("class") == "problem"]
    assert "robbed" in problem.text and "whole" not in problem.text
    matrices = [one for one in page.all("table") if one.attributes.get("class") == "matrix"]
    assert len(matrices) == 1


def test_missing_labels_leave_the_rest_of_the_page(tmp_path: Path) -> None:
    """Without test labels there is no confusion to show; table and plots stay."""
    store = small_store(tmp_path, {"a": 0.9, "b": 0.8}, seeds=1)
    (store.folder / "t10k-labels-idx1-ubyte").unlink()
    page = parse(page_of(store, pictures()))
    assert "There are no predictions to show" in page.elements[0].text
    assert len([row for row in page.all("tr") if row.parents[-1] == "tbody"]) > 2


def test_a_board_without_rows_has_a_page(tmp_path: Path) -> None:
    """Nothing run is said so, in words and without an empty table."""
    labels = np.arange(IMAGES, dtype=np.uint8) % 10
    stored = StoredResults(Store(tmp_path, "tiny-v1"), simulated.rules(3, labels, tmp_path))
    html = render(read_board(stored, cached=False), stored, None)
    assert "No model has been run under tiny-v1 yet" in html
    assert "<table" not in html


def test_a_board_of_failures_has_a_page(tmp_path: Path) -> None:
    """Models that only failed are rows, with what their runs said."""
    labels = np.arange(IMAGES, dtype=np.uint8) % 10
    protocol = simulated.rules(3, labels, tmp_path)
    store = Store(tmp_path, protocol.id)
    store.make()
    for model in ("a", "b"):
        run = samples.run(model=model, protocol=protocol.id, protocol_digest=protocol.digest)
        record = samples.record(run, status="crashed", id=model * 8)
        result = msgspec.structs.replace(record.result, message="out of luck")
        store.add(msgspec.structs.replace(record, result=result))
    stored = StoredResults(store, protocol)
    html = render(read_board(stored, cached=False), stored, pictures())
    assert "none of 2\N{NO-BREAK SPACE}models has a good run" in html
    assert html.count("out of luck") == 2
    assert "0 of 3 seeds: 1 crashed" in html


def test_a_board_of_incomplete_rows_has_a_page(tmp_path: Path) -> None:
    """Where no row is complete there is no front to draw, and still a page."""
    store = simulated.write_store(tmp_path, {"a": 0.9}, seeds=2, broken="a")
    html = page_of(store)
    assert "1 of 2 seeds" in html


def test_the_only_complete_model_is_not_called_the_only_one(tmp_path: Path) -> None:
    """Beside a model that lost a seed, and is better, one is the only complete model."""
    html = page_of(small_store(tmp_path, {"whole": 0.6, "part": 0.9}, seeds=2, broken="part"))
    assert "is the only model whose seeds all have a score" in html
    assert "not with every seed" in html


def test_the_caption_says_what_the_thin_line_spans(tmp_path: Path, html: str) -> None:
    """An interval of the mean from five seeds on, the range of fewer, and both where there are."""
    ran = "the seeds that ran, and others may fall outside"
    five = page_of(small_store(tmp_path / "five", {"a": 0.9, "b": 0.8}, seeds=5))
    three = page_of(small_store(tmp_path / "three", {"a": 0.9, "b": 0.8}, seeds=3))
    assert f"the thin line spans {ran}" in three
    assert "the thin line what other seeds could." in five
    assert f"the thin line what other seeds could, or of fewer than 5 {ran}." in html


def test_a_model_far_to_the_left_is_an_arrow(tmp_path: Path) -> None:
    """One at chance among good ones has no dot on the axis, and the caption says so."""
    named = {"a": 0.9, "b": 0.89, "c": 0.88, "chance": 0.1}
    html = page_of(small_store(tmp_path, named))
    assert html.count('class="off"') == 1
    assert "An arrow stands for a model" in html


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=5))
def test_every_log_axis_has_a_tick(values: list[float]) -> None:
    """Whatever times or counts there are, an axis has a label to read them by, and none collide."""
    for axis, found in ((scales.times, values), (scales.counts, [1 + one for one in values])):
        scale, ticks = axis(found)
        assert ticks
        assert all(0 <= scale.place(value) <= 1 for value in found)
        places = [tick.place for tick in ticks]
        assert all(b - a >= scales.LOG_GAP for a, b in itertools.pairwise(places))


def test_one_model_alone_has_a_page(tmp_path: Path) -> None:
    """A board of one model claims no comparison."""
    html = page_of(small_store(tmp_path, {"alone": 0.9}))
    assert "It is the only model ranked so far" in html


def test_fifty_models_fit(tmp_path: Path) -> None:
    """Names in the scatter plots thin out; every model keeps its mark and its row."""
    named = {f"family/model_{number:02}": 0.8 + 0.003 * number for number in range(50)}
    store = simulated.write_store(tmp_path, named, seeds=1, images=100)
    html = page_of(store)
    assert html.count('<g class="mark') == 5 * 50
    assert "found no room" in html
    assert len(html) < 1_000_000


def test_a_full_leaderboard_is_a_small_file(tmp_path: Path) -> None:
    """Twelve models of five seeds with pictures stay far below 1.5 MB."""
    named = {f"model-{number}": 0.8 + 0.01 * number for number in range(12)}
    html = page_of(small_store(tmp_path, named, seeds=5), pictures())
    assert len(html.encode()) < 500_000


@pytest.mark.parametrize("seeds", [1, 2])
def test_with_too_few_seeds_no_order_is_claimed(tmp_path: Path, seeds: int) -> None:
    """A board without ranks says that nothing may be concluded about order."""
    html = page_of(small_store(tmp_path, {"a": 0.9, "b": 0.5}, seeds=seeds))
    assert "nothing may be concluded about their order" in html
    assert "is best" not in html


@pytest.mark.parametrize(
    ("ranks", "says", "never"),
    [
        ([(1, 1), (2, 3), (2, 3)], "first is best", "differ"),
        ([(1, 2), (1, 2), (3, 3)], "does not differ beyond chance", "is best"),
        ([(1, 3), (1, 3), (1, 3)], "which is best of first, second and third", "first is best"),
        ([(1, 2), (2, 3), (1, 3)], "Second is second", "first is best"),
    ],
)
def test_the_conclusions_says_no_more_than_the_rank_sets(
    tmp_path: Path, ranks: list[tuple[int, int]], says: str, never: str
) -> None:
    """Only a first that is surely above all is best; a second within chance is said to be so."""
    named = {"first": 0.95, "second": 0.9, "third": 0.85}
    board, stored = board_of(small_store(tmp_path, named, seeds=5))
    rows = [
        replace(row, rank_best=best, rank_worst=worst)
        for row, (best, worst) in zip(board.rows, ranks, strict=True)
    ]
    board = replace(board, rows=tuple(rows))
    sentences = conclusions(board, 5, board_models(board, stored))
    said = in_words(sentences)
    assert says in said
    assert never not in said
    assert "Training takes" in said
    assert "as far as" not in said


def test_the_conclusions_counts_few_seeds_and_names_no_lone_candidate(tmp_path: Path) -> None:
    """With fewer than five seeds it says so; one model that may be best leaves no choice open."""
    named = {"first": 0.95, "second": 0.9, "third": 0.85}
    for seeds, ranks, says in (
        (3, [(1, 1), (2, 2), (3, 3)], "more than chance explains, as far as 3 seeds tell."),
        (5, [(1, 1), (2, 2), (3, 3)], "more than chance explains."),
        (5, [(1, 2), (2, 3), (2, 3)], "less by more than chance explains."),
    ):
        board, stored = board_of(small_store(tmp_path / says, named, seeds=seeds))
        rows = [
            replace(row, rank_best=best, rank_worst=worst)
            for row, (best, worst) in zip(board.rows, ranks, strict=True)
        ]
        board = replace(board, rows=tuple(rows))
        sentences = conclusions(board, seeds, board_models(board, stored))
        said = in_words(sentences)
        assert says in said
        assert "leave open" not in said


@pytest.mark.parametrize(
    ("lost", "why"), [(".npy", "its predictions cannot be read"), (".json", "not with every seed")]
)
def test_the_conclusions_says_why_the_highest_is_not_ranked(
    tmp_path: Path, lost: str, why: str
) -> None:
    """A model above the ranked ones lacks a seed, or predictions that can be read."""
    store = small_store(tmp_path, {"first": 0.95, "second": 0.9, "third": 0.85}, seeds=3)
    next(store.records.glob(f"first-final-*{lost}")).unlink()
    board, stored = board_of(store)
    sentences = conclusions(board, 3, board_models(board, stored))
    said = in_words(sentences)
    assert f", but {why}, so it is not ranked." in said


def test_times_are_compared_only_on_one_device(tmp_path: Path) -> None:
    """Each device has a plot and a front of its own; no times are compared across them."""
    store = small_store(tmp_path, {"slow": 0.95, "quick": 0.9, "worse": 0.6}, seeds=1)
    for record in store.read().records:
        if record.run.model != "slow":
            device = Device(kind="cuda", name="A GPU", memory=1)
            environment = msgspec.structs.replace(record.environment, device=device)
            path = store.path(record, ".json")
            path.write_bytes(
                records.encode(msgspec.structs.replace(record, environment=environment))
            )
    board, stored = board_of(store)
    models = board_models(board, stored)
    found = panels(models)
    assert [panel.title for panel in found] == [
        "Training time on A CPU, 2 threads",
        "Training time on A GPU",
        "Parameters",
        "FLOPs per image",
        "Peak memory, bytes",
        "Predicting 1,000 images on A CPU, 2 threads",
        "Predicting 1,000 images on A GPU",
    ]
    assert [[mark.model.name for mark in panel.marks if mark.on_front] for panel in found[:2]] == [
        ["slow"],
        ["quick"],
    ]
    assert "times on different devices do not compare" in render(board, stored, None)


# The page that lists boards


def test_the_list_of_boards_links_each_and_loads_only_their_pictures(tmp_path: Path) -> None:
    """Each board has a section with its files and picture; the script of a board is not there."""
    for name in ("a-v1", "b v1: <b>"):
        (tmp_path / name / "records").mkdir(parents=True)
        (tmp_path / name / "records" / "one.json").write_text("{}")
    (path,) = write_index(tmp_path)
    page = parse(path.read_text("utf-8"))
    assert [one.attributes["id"] for one in page.all("section")] == ["a-v1", "b v1: <b>"]
    assert [unquote(one.attributes["src"]) for one in page.all("img")] == [
        "a-v1/leaderboard.svg",
        "b v1: <b>/leaderboard.svg",
    ]
    assert not page.all("script")
    assert not stale_index(tmp_path)
    (tmp_path / "a-v1" / "records" / "one.json").unlink()
    assert stale_index(tmp_path)


def test_a_page_of_someone_else_is_not_overwritten(tmp_path: Path) -> None:
    """An index.html that fmbench has not written stays, and is nobody's stale list."""
    (tmp_path / "index.html").write_text("mine")
    assert write_index(tmp_path) == []
    assert not stale_index(tmp_path)
    assert (tmp_path / "index.html").read_text() == "mine"


# Nothing on it can act


def test_hostile_words_add_no_element_and_no_attribute(tmp_path: Path) -> None:
    """Whatever plugins and machines call themselves, the page has the elements it would have."""
    harmless = tuple(re.sub("[^/]", chr(ord("a") + n), name) for n, name in enumerate(HOSTILE))
    shapes = []
    for folder, names in (("hostile", HOSTILE), ("harmless", harmless)):
        page = parse(page_of(spoilt_store(tmp_path / folder, names), pictures()))
        shapes.append(
            [(one.name, sorted(one.attributes)) for one in page.elements if one.name != "wbr"]
        )
    assert shapes[0] == shapes[1]


def test_hostile_words_are_shown_as_they_are(tmp_path: Path) -> None:
    """They can be read; what moves the cursor or changes direction is U+FFFD, as on a terminal."""
    store = spoilt_store(tmp_path, HOSTILE)
    html = page_of(store, pictures())
    allowed = {"\n", "\t"}
    unsafe = {one for one in html if unicodedata.category(one) in ("Cc", "Cf")} - allowed
    assert not unsafe
    text = parse(html).elements[0].text
    for name in HOSTILE:
        shown = "".join(
            "\ufffd" if unicodedata.category(one) in ("Cc", "Cf") else one for one in name
        )
        assert text.count(shown) > 5
    assert is_of(html, *board_of(store))


# The picture


def test_the_picture_shows_each_model_where_its_accuracy_is(tmp_path: Path) -> None:
    """It is well-formed SVG; dots stand in the order and at the distances of the accuracies."""
    named = {"best": 0.95, "middle": 0.9, "x" * 150: 0.85}
    board, stored = board_of(small_store(tmp_path, named, seeds=3))
    svg = draw(board, stored)
    assert draw(board, stored) == svg
    root = ElementTree.fromstring(svg)  # noqa: S314 - our own
    space = "{http://www.w3.org/2000/svg}"
    texts = [element.text or "" for element in root.iter(f"{space}text")]
    assert [text for text in texts if text in ("best", "middle")] == ["best", "middle"]
    assert max(len(text) for text in texts if text.startswith("xxx")) == 30
    means = [e for e in root.iter(f"{space}circle") if e.get("class") == "mean"]
    places = [float(mean.get("cx", "")) for mean in means]
    accuracies = [row.accuracy or 0 for row in board.rows]
    assert places == sorted(places, reverse=True)
    steps = np.diff(places) / np.diff(accuracies)
    assert steps == pytest.approx([steps[0]] * 2, rel=1e-3)
    seeds = [e for e in root.iter(f"{space}circle") if e.get("class") == "seed"]
    assert len(seeds) == 9


def test_hostile_words_add_nothing_to_the_picture(tmp_path: Path) -> None:
    """Whatever models call themselves, the picture stays well-formed and holds no script."""
    store = spoilt_store(tmp_path, HOSTILE)
    root = ElementTree.fromstring(draw(*board_of(store)))  # noqa: S314 - our own
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names == {"svg", "title", "desc", "style", "rect", "text", "line", "circle"}


# The parts it is made of


def dominated(one: tuple[float, float], others: list[tuple[float, float]]) -> bool:
    """Whether another point is at least as good at both and better at one."""
    return any(other != one and other[0] <= one[0] and other[1] >= one[1] for other in others)


def test_the_front_of_known_points() -> None:
    """Cheapest first; a point as costly as a better one, or as good as a cheaper one, is off it."""
    points = [(3.0, 0.9), (1.0, 0.5), (2.0, 0.8), (2.0, 0.7), (4.0, 0.9), (1.0, 0.5)]
    assert pareto_front(points) == (1, 5, 2, 0)
    assert pareto_front([]) == ()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_the_front_is_exactly_what_nothing_dominates(points: list[tuple[int, int]]) -> None:
    """A point is on the front when and only when no other dominates it."""
    front = pareto_front([(float(cost), float(accuracy)) for cost, accuracy in points])
    assert set(front) == {
        place for place, one in enumerate(points) if not dominated(one, list(points))
    }
    costs = [points[place][0] for place in front]
    assert costs == sorted(costs)


@given(st.lists(st.tuples(st.integers(1, 20), st.floats(0, 300), st.floats(0, 200)), max_size=12))
def test_labels_cover_neither_each_other_nor_a_point(items: list[tuple[int, float, float]]) -> None:
    """Placed labels stay inside, apart from each other and off every point."""
    inside = Box(0, 0, 300, 200)
    texts = ["x" * length for length, _, _ in items]
    points = [(x, y, 5.0) for _, x, y in items]
    boxes = []
    for text, label in zip(
        texts, place_labels(texts, points, sizes=(20.0, 10.0), inside=inside), strict=True
    ):
        if not label.size:
            continue
        size = label.size
        assert size in (20.0, 10.0)
        width = len(text) * size * 0.6
        left = label.x - {"start": 0.0, "middle": width / 2, "end": width}[label.anchor]
        boxes.append(Box(left, label.y - 0.7 * size, left + width, label.y + 0.2 * size))
    for place, box in enumerate(boxes):
        assert box.within(inside)
        assert not any(box.overlaps(other) for other in boxes[:place])
        assert not any(box.overlaps(Box(x - 3, y - 3, x + 3, y + 3)) for x, y, _ in points)


def test_the_most_confused_pairs_of_a_small_case() -> None:
    """Models count alike however many runs they have; images that fool most models come first."""
    labels = np.array([0, 0, 0, 0, 1, 1], dtype=np.uint8)
    single = np.zeros((6, 10), dtype=np.int64)
    single[np.arange(6), [6, 6, 0, 0, 1, 1]] = 1  # images 0 and 1 taken for a Shirt
    four = np.zeros((6, 10), dtype=np.int64)
    four[:, 0] = [4, 1, 2, 4, 0, 4]
    four[:, 1] = [0, 0, 0, 0, 4, 0]
    four[:, 6] = [0, 3, 2, 0, 0, 0]  # image 1 in three runs of four, image 2 in two: no majority
    found = confused_pairs([ModelVotes("a", single, 1), ModelVotes("b", four, 4)], labels)
    assert found == (
        Pair(0, 6, (2 / 4 + 5 / 16) / 2, (ConfusedImage(1, 2), ConfusedImage(0, 1))),
        Pair(1, 0, (0 + 4 / 8) / 2, (ConfusedImage(5, 1),)),
    )


def test_a_picture_keeps_its_pixels() -> None:
    """What a data: URI holds is the image it was made from."""
    image = pictures(1)[0]
    content = base64.b64decode(png_uri(image).removeprefix("data:image/png;base64,"))
    assert (np.asarray(Image.open(io.BytesIO(content))) == image).all()


@given(st.text(max_size=60), st.integers(3, 40))
def test_a_shortened_name_is_short(words: str, most: int) -> None:
    """At most as many characters as asked for, and untouched when it fits."""
    short = shortened(words, most)
    assert len(short) <= most
    assert short == words or len(words) > most


# In a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium. Without one tests are skipped, but fail where CI runs them."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"none of {', '.join(names)} is installed")
        pytest.skip(f"none of {', '.join(names)} is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(html: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the page lies."""
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(html, "utf-8")
    return path.as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page, open at 1280 pixels; complaints and requests of the browser fail the test."""
    with browser.new_context(viewport=WIDE) as context:
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url))
        page.goto(address)
        yield page
        page.wait_for_load_state("networkidle")
        assert [one for one in complaints if not one.startswith("data:image/png")] == [address]


WIDE: ViewportSize = {"width": 1280, "height": 900}
NARROW: ViewportSize = {"width": 390, "height": 844}
Scheme = Literal["light", "dark"]


def shown(page: Page) -> list[str]:
    """The names of the models in the table, from top to bottom, that can be seen."""
    return [
        row.locator("th .name").inner_text()
        for row in page.locator("#board tbody tr").all()
        if row.is_visible()
    ]


def values(page: Page, column: int) -> list[str]:
    """What the rows of a column sort by, from top to bottom."""
    found: list[str] = page.evaluate(
        "column => [...document.querySelectorAll('#board tbody tr')]"
        ".map(row => row.cells[column].dataset.value)",
        column,
    )
    return found


def in_order(found: list[str], kind: str | None, direction: str | None) -> bool:
    """Whether values are sorted, the absent ones last."""
    known = [value for value in found if value]
    keys: list[Any] = [float(one) if kind == "number" else one.lower() for one in known]
    pairs = itertools.pairwise(keys)
    ordered = all(a <= b if direction == "ascending" else a >= b for a, b in pairs)
    return ordered and found[len(known) :] == [""] * (len(found) - len(known))


def test_every_column_sorts_both_ways(page: Page) -> None:
    """A heading's button sorts by its column, turns the order when pressed again, and says so."""
    headings = page.locator("#board thead th").all()
    assert len(headings) == 17
    page.locator("#columns summary").click()
    for box in page.locator("#columns input").all():
        box.check()
    for column, heading in enumerate(headings):
        directions = []
        for _ in range(2):
            heading.get_by_role("button").click()
            direction = heading.get_attribute("aria-sort")
            kind = heading.get_attribute("data-kind")
            found = [one.replace("m9", "m09") for one in values(page, column)]
            assert in_order(found, kind, direction), (column, direction, found)
            assert page.locator("[aria-sort]").count() == 1
            directions.append(direction)
        assert sorted(map(str, directions)) == ["ascending", "descending"]
    page.get_by_role("button", name="Model").click()
    assert shown(page)[:5] == ["Alpha/one_b", "beta", "gone", "m9", "m10"]
    page.get_by_role("button", name="Back to the board’s order").click()
    assert shown(page) == ["m10", "m9", "Alpha/one_b", "beta", "x" * 150, "gone"]
    assert page.locator("[aria-sort]").count() == 0


def test_an_absent_value_is_last_both_ways(page: Page) -> None:
    """A row without a value stands below all others, whichever way they are sorted."""
    page.evaluate(
        "document.querySelectorAll('#board tbody td.accuracy')"
        ".forEach((cell, place) => { if (place < 2) cell.dataset.value = ''; })"
    )
    for first in ("Alpha/one_b", "x" * 150):
        page.get_by_role("button", name="Accuracy").click()
        assert shown(page)[0] == first
        assert shown(page)[-2:] == ["m10", "m9"]


def test_the_filter_hides_rows_and_says_how_many_are_left(page: Page) -> None:
    """All words typed must occur in a row; a live region says the count."""
    status = page.get_by_role("status")
    assert status.inner_text() == "6 models"
    search = page.get_by_label("Filter")
    search.fill("PLUGIN-A m1")
    assert shown(page) == ["m10"]
    assert status.inner_text() == "1 of 6 models"
    search.fill("400")  # every row's n
    assert shown(page) == []
    search.fill("no such model")
    assert shown(page) == []
    assert status.inner_text() == "0 of 6 models"
    page.get_by_role("button", name="Log-loss").click()
    assert status.inner_text() == "0 of 6 models, by log-loss, ascending"
    search.fill("")
    assert len(shown(page)) == 6


def test_the_keyboard_alone_sorts(page: Page) -> None:
    """Tab leads from the filter over the table to its headings, and Enter sorts."""
    page.get_by_label("Filter").focus()
    for _ in range(5):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").startswith("Accuracy")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    assert page.locator("th.accuracy").get_attribute("aria-sort") == "descending"


def test_a_link_opens_the_provenance_it_leads_to(page: Page) -> None:
    """A model's name in the table leads to where its row comes from, and that is then open."""
    page.locator("#board a").first.click()
    assert page.locator("#about-1").is_visible()


CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const paint = (...colours) => {
    canvas.clearRect(0, 0, 1, 1);
    colours.forEach((colour) => { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); });
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.map((one) => {
      const c = one / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const backs = (element) => element
    ? [...backs(element.parentElement), getComputedStyle(element).backgroundColor] : [];
  const faint = [];
  document.querySelectorAll("details").forEach((one) => { one.open = true; });
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || element.closest("script, title, desc, [hidden]")) continue;
    const style = getComputedStyle(element);
    const behind = backs(element);
    const ink = element.closest("svg") ? style.fill : style.color;
    const [a, b] = [luminance(paint(...behind, ink)), luminance(paint(...behind))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push([element.className.toString(), element.textContent, ratio]);
  }
  return faint;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1280", "390"])
def test_it_fits_its_window_and_can_be_read(
    browser: Browser, address: str, size: ViewportSize, scheme: Scheme
) -> None:
    """Nothing sticks out of the window, and all words stand out 4.5 to 1, all details open."""
    with browser.new_context(viewport=size, color_scheme=scheme) as context:
        page = context.new_page()
        page.goto(address)
        assert page.evaluate(CONTRASTS) == []
        assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert back == ("rgb(253, 253, 251)" if scheme == "light" else "rgb(20, 22, 26)")


def test_it_is_whole_without_javascript(browser: Browser, address: str) -> None:
    """All rows can be seen, and no control that could do nothing."""
    with browser.new_context(viewport=WIDE, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address)
        assert len(shown(page)) == 6
        assert not page.get_by_label("Filter").is_visible()
        assert page.locator("button:visible").count() == 0


def test_motion_stops_for_those_who_ask(browser: Browser, address: str) -> None:
    """Who prefers reduced motion is not scrolled smoothly."""
    with browser.new_context(reduced_motion="reduce") as context:
        page = context.new_page()
        page.goto(address)
        assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_the_published_list_shows_its_pictures(browser: Browser) -> None:
    """Opened from the folder, the policy lets every board's picture in, and they fit a phone."""
    with browser.new_context(viewport=NARROW) as context:
        page = context.new_page()
        heard: list[str] = []
        page.on("console", lambda message: heard.append(message.text))
        page.goto((PUBLISHED / "index.html").as_uri(), wait_until="load")
        widths = page.evaluate("[...document.images].map((one) => one.naturalWidth)")
        assert len(widths) == 2 and all(widths)
        assert heard == []
        assert page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]


def test_hostile_words_do_nothing_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    """A page full of hostile words opens without a dialog, a request or a complaint."""
    path = tmp_path / "hostile.html"
    path.write_text(page_of(spoilt_store(tmp_path / "store", HOSTILE), pictures()), "utf-8")
    with browser.new_context(viewport=NARROW) as context:
        page = context.new_page()
        heard: list[str] = []
        page.on("dialog", lambda dialog: heard.append(dialog.message))
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: heard.append(request.url))
        page.goto(path.as_uri(), wait_until="networkidle")
        assert [one for one in heard if not one.startswith("data:image/png")] == [path.as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]


COLLISIONS = """() => {
  const found = [];
  const box = (one) => one.getBoundingClientRect();
  const meet = (a, b) => a.left + 1 < b.right && b.left + 1 < a.right
    && a.top + 2 < b.bottom && b.top + 2 < a.bottom;
  for (const plot of document.querySelectorAll(".panel svg, .curves svg")) {
    const words = [...plot.querySelectorAll("text")];
    const dots = [...plot.querySelectorAll("circle")];
    for (const [place, one] of words.entries()) {
      for (const other of words.slice(place + 1)) {
        if (meet(box(one), box(other))) found.push([one.textContent, other.textContent]);
      }
      for (const dot of dots.filter((dot) => dot.parentNode !== one.parentNode)) {
        if (meet(box(one), box(dot))) found.push([one.textContent, "a dot"]);
      }
    }
  }
  for (const cell of document.querySelectorAll("#board .number, .dots .value, .trials .value")) {
    const { left, right, width } = box(cell);
    if (width && (left < 0 || right > innerWidth)) found.push([cell.textContent, "cut"]);
  }
  return found;
}"""


@pytest.mark.parametrize("width", [1280, 768, 390])
@pytest.mark.parametrize("board", ["lite-v1", "quick-v1", "sixty"])
def test_no_label_meets_another_and_no_number_is_cut(
    browser: Browser, tmp_path: Path, board: str, width: int
) -> None:
    """Names in the plots keep off each other and off dots, and the window holds every number."""
    if board == "sixty":
        random = np.random.RandomState(1)
        named = {f"f/model_{n:02}": 0.8 + 0.12 * random.rand() for n in range(60 - len(HOSTILE))}
        store = small_store(tmp_path, named | dict.fromkeys(HOSTILE, 0.85), seeds=1)
        for record in store.read().records:
            share = random.rand()
            cost = msgspec.structs.replace(
                record.cost,
                train_seconds=30 * 60**share, parameters=int(1e4 * 1000**share),
            )  # fmt: skip
            changed = records.encode(msgspec.structs.replace(record, cost=cost))
            store.path(record, ".json").write_bytes(changed)
    else:
        store = Store(PUBLISHED, board)
    path = tmp_path / "index.html"
    path.write_text(render(*board_of(store), None), "utf-8")
    with browser.new_context(viewport={"width": width, "height": 900}) as context:
        page = context.new_page()
        page.goto(path.as_uri())
        assert page.evaluate(COLLISIONS) == []


def test_an_address_keeps_what_was_asked_of_the_page(page: Page) -> None:
    """Order, filter, columns, cost and selection are in it, and a page opened there shows them."""
    page.get_by_role("button", name="Training time").click()
    page.get_by_label("Filter").fill("m")
    page.locator("#columns summary").click()
    page.get_by_label("Log-loss").uncheck()
    page.get_by_role("radio", name="Parameters").check()
    page.get_by_label("Compare m9").check()
    page.get_by_label("Compare m10").check()
    query = parse_qs(page.url.partition("?")[2])
    assert "loss" not in query.pop("columns")[0].split(",")
    assert query == {
        "sort": ["train,ascending"],
        "filter": ["m"],
        "cost": ["Parameters"],
        "compare": ["m10", "m9"],
    }
    before = shown(page), page.locator("#compared").inner_text()
    with page.context.new_page() as other:
        other.goto(page.url)
        assert (shown(other), other.locator("#compared").inner_text()) == before
        assert other.locator("th.train").get_attribute("aria-sort") == "ascending"
        assert not other.locator("th.loss").is_visible()
        assert other.locator(".panel:visible").count() == 1
        assert other.get_by_role("radio", name="Parameters").is_checked()
        assert other.locator(".curve.picked").count() == 2


def test_ticked_models_are_compared_as_the_command_compares_them(store: Store, page: Page) -> None:
    """Gap and interval of all images and of each class are those of `fmbench compare`."""
    stored = StoredResults(store)
    for one, other in (("m10", "Alpha/one_b"), ("beta", "gone")):
        for box in page.locator("#board tbody input").all():
            box.set_checked(
                box.get_attribute("aria-label") in (f"Compare {one}", f"Compare {other}")
            )
        rows = page.locator("#compared tbody tr").all()
        found = [row.locator("td").last for row in rows]
        said = compare_entries(stored, find_entry(stored, other), find_entry(stored, one))
        expected = [(said.gap, said.low, said.high)]
        expected += [(group.gap, group.low, group.high) for group in said.classes]
        assert [cell.inner_text().replace("\N{NO-BREAK SPACE}", " ") for cell in found] == [
            f"{100 * gap:+.2f} ± {50 * (high - low):.2f}".replace("-", "−")
            for gap, low, high in expected
        ]
        assert ["beyond" in (cell.get_attribute("class") or "") for cell in found] == [
            low > 0 or high < 0 for _, low, high in expected
        ]
        apart = [group.name for group in said.classes if group.low > 0 or group.high < 0]
        (verdict,) = page.locator("#verdicts li").all()
        assert verdict.inner_text().endswith(f"beyond chance: {', '.join(apart) or 'none'}.")
    page.get_by_label("Compare beta").uncheck()
    assert not page.locator("#compared").is_visible()


def test_pointing_at_a_model_highlights_it_everywhere(page: Page) -> None:
    """Beside a drawing a tip says what the table says; all else of that model stands out."""
    page.locator(".dots svg[role=img]").nth(1).hover()
    assert page.locator(".dots li.lit").count() == 1 and not page.locator(".tip").is_visible()
    page.locator(".panel:visible .mark[data-model=about-2] circle").hover()
    lit = page.locator(".lit")
    assert set(lit.evaluate_all("all => all.map(one => one.dataset.model)")) == {"about-2"}
    kinds = set(lit.evaluate_all("all => all.map(one => one.localName)"))
    assert kinds == {"li", "tr", "g"}
    tip = page.locator(".tip").inner_text()
    cells = page.locator("#board tbody tr").nth(1)
    assert tip.startswith("m9")
    assert cells.locator("td.accuracy").inner_text() in tip
    page.locator("h1").hover()
    assert lit.count() == 0 and not page.locator(".tip").is_visible()


def test_the_cheapest_near_the_best_is_named(tmp_path: Path) -> None:
    """For each cost, the first on its front that is at most half a point below the best."""
    store = small_store(tmp_path, {"best": 0.93, "near": 0.93, "far": 0.6}, seeds=1)
    right = {"best": 380, "near": 378, "far": 300}
    for record in store.read().records:
        if record.run.stage == "tune":
            continue
        seconds = {"best": 100.0, "near": 10.0, "far": 1.0}[record.run.model]
        cost = msgspec.structs.replace(record.cost, train_seconds=seconds)
        result = msgspec.structs.replace(record.result, correct=right[record.run.model])
        changed = records.encode(msgspec.structs.replace(record, cost=cost, result=result))
        store.path(record, ".json").write_bytes(changed)
    panel = panels(board_models(*board_of(store)))[0]
    assert [(mark.model.name, mark.cost) for mark in panel.cheapest] == [
        ("far", "1.0\N{NO-BREAK SPACE}s"),
        ("near", "10\N{NO-BREAK SPACE}s"),
        ("best", "1\N{NO-BREAK SPACE}min\N{NO-BREAK SPACE}40\N{NO-BREAK SPACE}s"),
    ]
    assert panel.near and panel.near.model.name == "near"


def test_a_name_beside_the_curves_highlights_its_lines(browser: Browser, address: str) -> None:
    """Without JavaScript too: a name's link makes its lines those that stand out."""
    with browser.new_context(viewport=WIDE, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address)
        wide = "id => getComputedStyle(document.getElementById(id)).strokeWidth"
        assert (page.evaluate(wide, "loss-1"), page.evaluate(wide, "loss-2")) == ("2.25px", "1px")
        page.locator(".curves a").nth(1).click()
        assert (page.evaluate(wide, "loss-1"), page.evaluate(wide, "loss-2")) == ("1px", "2.25px")


def test_dots_that_coincide_are_rings_around_each_other(tmp_path: Path) -> None:
    """Models of equal cost and accuracy can all be seen."""
    right = {"a": 360, "b": 360, "c": 200}
    store = small_store(tmp_path, dict.fromkeys(right, 0.9), seeds=1)
    for record in store.read().records:
        if record.run.stage == "tune":
            continue
        cost = msgspec.structs.replace(record.cost, parameters=1000, train_seconds=1.0)
        result = msgspec.structs.replace(record.result, correct=right[record.run.model])
        changed = records.encode(msgspec.structs.replace(record, cost=cost, result=result))
        store.path(record, ".json").write_bytes(changed)
    panel = panels(board_models(*board_of(store)))[0]
    radii = {mark.model.name: mark.radius for mark in panel.marks}
    assert panel.marks[0].radius == 7.5
    assert sorted((radii["a"], radii["b"], radii["c"])) == [4.0, 4.0, 7.5]
    assert radii["c"] == 4.0


def test_validation_accuracy_is_drawn_where_it_was_measured(tmp_path: Path) -> None:
    """Tune runs of the chosen recipe give a curve of their own scale, epoch by epoch."""
    store = small_store(tmp_path, {"a": 0.9}, seeds=1)
    for record in store.read().records:
        if record.run.stage == "tune":
            result = msgspec.structs.replace(
                record.result, validation_curve=(30, 40, record.result.correct)
            )
            changed = records.encode(msgspec.structs.replace(record, result=result))
            store.path(record, ".json").write_bytes(changed)
    board, stored = board_of(store)
    (loss, validation) = curve_plots(board_models(board, stored))
    assert (loss.key, validation.key) == ("loss", "validation")
    assert [tick.label for tick in validation.x_ticks] == ["1", "2", "3"]
    assert validation.lines[0].path.count("L") == 2
    assert "Validation accuracy was not measured" not in render(board, stored, None)

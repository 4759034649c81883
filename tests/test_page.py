"""The page: what it says, and that nothing on it can act."""

import base64
import io
import itertools
import re
import unicodedata
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import samples
import simulated
from fmbench import records
from fmbench.hardware import Device
from fmbench.leaderboard.board import read_board
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
from made_up_pages import (
    HOSTILE,
    IMAGES,
    MODELS,
    board_of,
    full_store,
    page_of,
    pictures,
    small_store,
    spoilt_store,
)

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


def in_words(sentences: tuple[Sentence, ...]) -> str:
    """Sentences as they are read."""
    return " ".join(
        "".join(part if isinstance(part, str) else part.name for part in sentence)
        for sentence in sentences
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Six models of five seeds; one has lost a seed, one has a name as long as they may be."""
    return small_store(tmp_path_factory.mktemp("store"), MODELS, seeds=5, broken="gone")


@pytest.fixture(scope="module")
def html(store: Store) -> str:
    """Their page."""
    return page_of(store, pictures())


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
    """Sixty models of five seeds and 30 epochs, with pictures, stay below 1.5 MB."""
    html = page_of(full_store(tmp_path, 60, images=1_000), pictures(1_000))
    assert html.count("data:image/png;base64") > 50
    assert len(html.encode()) < 1_500_000


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


@given(
    st.lists(
        st.tuples(
            st.sampled_from("xW\u6a21"), st.integers(1, 20), st.floats(0, 300), st.floats(0, 200)
        ),
        max_size=12,
    )
)
def test_labels_cover_neither_each_other_nor_a_point(
    items: list[tuple[str, int, float, float]],
) -> None:
    """Placed labels stay inside, apart from each other and off every point, of whatever letters."""
    inside = Box(0, 0, 300, 200)
    texts = [letter * length for letter, length, _, _ in items]
    points = [(x, y, 5.0) for _, _, x, y in items]
    boxes = []
    for text, label in zip(
        texts, place_labels(texts, points, sizes=(20.0, 10.0), inside=inside), strict=True
    ):
        if not label.size:
            continue
        size = label.size
        assert size in (20.0, 10.0)
        width = len(text) * size * (0.6 if text[0] == "x" else 1.0)
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


def test_a_time_that_cannot_be_has_no_dot(tmp_path: Path) -> None:
    """A clock that a plugin has turned back costs its model a dot, and nobody the page."""
    store = small_store(tmp_path, {"liar": 0.9, "honest": 0.8}, seeds=1)
    for record in store.read().records:
        if record.run.model == "liar":
            cost = msgspec.structs.replace(record.cost, train_seconds=-4.0)
            changed = records.encode(msgspec.structs.replace(record, cost=cost))
            store.path(record, ".json").write_bytes(changed)
    (panel, *_) = panels(board_models(*board_of(store)))
    assert [mark.model.name for mark in panel.marks] == ["honest"]


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

"""The page in a browser: that it can be used and read, and that nothing on it collides."""

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from fmbench import records
from fmbench.leaderboard.page import render
from fmbench.store import Store
from generated import PUBLISHED
from made_up_pages import HOSTILE, MODELS, board_of, page_of, pictures, small_store, spoilt_store


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
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where a page of six models lies; one lost a seed, one has a name as long as they may be."""
    folder = tmp_path_factory.mktemp("page")
    path = folder / "index.html"
    store = small_store(folder / "store", MODELS, seeds=5, broken="gone")
    path.write_text(page_of(store, pictures()), "utf-8")
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
    page.get_by_label("All columns").check()
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


def test_an_address_keeps_what_was_asked_of_the_table(page: Page) -> None:
    """Order, filter and columns are in the address, and a page opened there shows the same."""
    page.get_by_role("button", name="Training time").click()
    page.get_by_label("Filter").fill("m")
    page.get_by_label("All columns").check()
    assert page.url.partition("?")[2] == "sort=train%2Cascending&filter=m&columns=all"
    before = shown(page)
    with page.context.new_page() as other:
        other.goto(page.url)
        assert shown(other) == before
        assert other.locator("th.train").get_attribute("aria-sort") == "ascending"
        assert other.get_by_label("All columns").is_checked()


def test_a_name_beside_the_curves_highlights_its_lines(browser: Browser, address: str) -> None:
    """Without JavaScript too: a name's link makes its lines those that stand out."""
    with browser.new_context(viewport=WIDE, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address)
        wide = "id => getComputedStyle(document.getElementById(id)).strokeWidth"
        assert (page.evaluate(wide, "loss-1"), page.evaluate(wide, "loss-2")) == ("2.25px", "1px")
        page.locator(".curves a").nth(1).click()
        assert (page.evaluate(wide, "loss-1"), page.evaluate(wide, "loss-2")) == ("1px", "2.25px")

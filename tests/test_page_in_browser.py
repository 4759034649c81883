"""The page in a browser: that it can be used, read and printed, and that nothing on it collides."""

import functools
import itertools
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from fmbench.leaderboard.comparison import compare_entries, find_entry
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.store import Store
from generated import PUBLISHED
from made_up_pages import (
    HOSTILE,
    MODELS,
    full_store,
    page_of,
    pictures,
    report,
    small_store,
    spoilt_store,
)

CHECKS = Path(__file__).with_name("page_checks.js").read_text("utf-8")
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text("utf-8")
WIDTHS = (1280, 768, 390)
PAPER = 718  # pixels between the margins of A4
BOARDS = ("one", "nine", "sixty", "hostile", "lite-v2", "quick-v1")
UNLIKELY = set(itertools.product(("one", "lite-v2", "quick-v1"), (1280, 768)))
Scheme = Literal["light", "dark"]
Visit = Callable[..., Page]
"""Opens a page by its name in a window of a width, a scheme and a medium."""


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


def six(folder: Path) -> Store:
    """Six models of five seeds; one has lost a seed, one has a name as long as they may be."""
    return small_store(folder, MODELS, seeds=5, broken="gone")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Where the page of a board lies, by its name; it is written when it is first asked for."""

    @functools.cache
    def written(name: str) -> str:
        if name == "index":
            return (PUBLISHED / "index.html").as_uri()
        folder = tmp_path_factory.mktemp("page")
        path = folder / "index.html"
        counts = {"one": 1, "nine": 9, "sixty": 60}
        if name == "report":
            path.write_text(report(), "utf-8")
        elif name in counts:
            store = full_store(folder / "store", counts[name], images=1_000)
            path.write_text(page_of(store, pictures(1_000)), "utf-8")
        elif name == "hostile":
            path.write_text(page_of(spoilt_store(folder / "store", HOSTILE), pictures()), "utf-8")
        elif name == "six":
            path.write_text(page_of(six(folder / "store"), pictures()), "utf-8")
        else:
            path.write_text(page_of(Store(PUBLISHED, name)), "utf-8")
        return path.as_uri()

    return written


def opened_in(page: Page, address: Callable[[str], str]) -> Iterator[Visit]:
    """Yield what opens pages. A complaint, a dialog or a request for anything else is a failure."""
    heard: list[str] = []
    expected = ["data:image/png;base64,"]
    listeners: dict[Any, Callable[[Any], None]] = {
        "dialog": lambda dialog: heard.append(dialog.message),
        "console": lambda message: heard.append(message.text),
        "pageerror": lambda error: heard.append(str(error)),
        "request": lambda request: heard.append(request.url),
    }
    for event, listener in listeners.items():
        page.on(event, listener)

    def visit(
        name: str,
        width: int = 1280,
        *,
        scheme: Scheme = "light",
        media: Literal["screen", "print"] = "screen",
    ) -> Page:
        expected.append(PUBLISHED.as_uri() if name == "index" else address(name))
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme, media=media)
        page.goto(address(name))
        return page

    yield visit
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
    assert [one for one in heard if not one.startswith(tuple(expected))] == []


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Page]:
    """A tab in which pages are opened one after the other."""
    with browser.new_context() as context:
        yield context.new_page()


@pytest.fixture(scope="module")
def tab_without_javascript(browser: Browser) -> Iterator[Page]:
    """A tab of someone who has switched JavaScript off."""
    with browser.new_context(java_script_enabled=False) as context:
        yield context.new_page()


@pytest.fixture
def visit(tab: Page, address: Callable[[str], str]) -> Iterator[Visit]:
    """Opens pages, of which the browser must not complain."""
    yield from opened_in(tab, address)


@pytest.fixture
def visit_without_javascript(
    tab_without_javascript: Page, address: Callable[[str], str]
) -> Iterator[Visit]:
    """Opens pages where JavaScript is off."""
    yield from opened_in(tab_without_javascript, address)


@pytest.fixture
def page(visit: Visit) -> Page:
    """A page of six models; one lost a seed, one has a name as long as they may be."""
    return visit("six")


def found_by(check: str, page: Page) -> list[str]:
    """What one of the checks in page_checks.js finds wrong with a page, empty if all is well."""
    found: list[str] = page.evaluate(f"(\n{CHECKS}).{check}()")
    return found


def open_all(page: Page) -> None:
    """Open all that can be folded out, and tick all that can be ticked."""
    page.evaluate(
        """() => {
          document.querySelectorAll("details").forEach((one) => { one.open = true; });
          document.querySelectorAll("[type=checkbox]:not(:checked)").forEach((one) => one.click());
        }"""
    )


# Use


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


def test_ticked_models_are_compared_as_the_command_compares_them(
    page: Page, tmp_path: Path
) -> None:
    """Gap and interval of all images and of each class are those of `fmbench compare`."""
    stored = StoredResults(six(tmp_path))
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


def test_a_name_beside_the_curves_highlights_its_lines(visit_without_javascript: Visit) -> None:
    """Without JavaScript too: a name's link makes its lines those that stand out."""
    page = visit_without_javascript("six")
    wide = "id => getComputedStyle(document.getElementById(id)).strokeWidth"
    assert (page.evaluate(wide, "loss-1"), page.evaluate(wide, "loss-2")) == ("2.25px", "1px")
    page.locator(".curves a").nth(1).click()
    assert (page.evaluate(wide, "loss-1"), page.evaluate(wide, "loss-2")) == ("1px", "2.25px")


def test_columns_follow_the_window_until_they_are_chosen(page: Page) -> None:
    """A narrower window shows fewer; what was chosen stays, and unknown names are ignored."""
    loss = page.locator("th.loss")
    assert loss.is_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    loss.wait_for(state="hidden")
    assert "columns" not in page.url
    page.goto(page.url + "?columns=nonsense&cost=nonsense")
    assert page.locator("th.accuracy").is_visible() and "nonsense" not in page.url
    page.locator("#columns summary").click()
    page.get_by_label("Log-loss").check()
    page.set_viewport_size({"width": 1280, "height": 844})
    assert loss.is_visible() and not page.locator("th.parameters").is_visible()


def test_a_ticked_model_keeps_its_colour(page: Page) -> None:
    """Another that is ticked takes a free one; there are four, and all can be cleared at once."""
    name = "#board tr:has-text('beta')"
    page.get_by_label("Compare beta").check()
    assert "p0" in (page.locator(name).get_attribute("class") or "")
    for box in page.locator("#board tbody input").all():
        box.check()
    assert "p0" in (page.locator(name).get_attribute("class") or "")
    assert page.locator("#board tr.picked").count() == 4
    assert page.locator("#verdicts li").count() == 5
    page.get_by_role("button", name="Clear").click()
    assert page.locator(".picked").count() == 0 and "compare" not in page.url


def test_the_published_list_shows_its_pictures(visit: Visit) -> None:
    """Opened from the folder, the policy lets every board's picture in, and they fit a phone."""
    page = visit("index", 390)
    widths = page.evaluate("[...document.images].map((one) => one.naturalWidth)")
    assert len(widths) == 4 and all(widths)
    assert found_by("sideways", page) == []


# What it looks like


NAMES = ("one", "nine", "sixty", "hostile", "index", "report")
EACH_ONCE = {
    ("one", 768, "light"),
    ("nine", 1280, "light"),
    ("hostile", 390, "dark"),
    ("index", 390, "light"),
    ("report", 1280, "dark"),
}
LOOKS = [
    pytest.param(
        *look,
        id="-".join(map(str, look)),
        marks=[] if look in EACH_ONCE else [pytest.mark.sweep],
    )
    for look in itertools.product(NAMES, WIDTHS, ("light", "dark"))
]
"""Pages as they look in all windows and schemes; `tox -e long` opens most of them."""
MADE_UP = [
    pytest.param(name, marks=[pytest.mark.sweep] if name == "sixty" else [])
    for name in ("one", "nine", "sixty", "hostile")
]


@pytest.mark.parametrize(
    ("board", "width"),
    [
        pytest.param(*look, marks=[pytest.mark.sweep] if look in UNLIKELY else [])
        for look in itertools.product(BOARDS, WIDTHS)
    ],
)
def test_no_word_meets_another_and_no_number_is_cut(visit: Visit, board: str, width: int) -> None:
    """In charts words keep off each other and off dots, and the window holds every number."""
    page = visit(board, width)
    assert found_by("collisions", page) == []
    assert found_by("cut", page) == []
    assert found_by("sideways", page) == []


@pytest.mark.parametrize(("name", "width", "scheme"), LOOKS)
def test_it_fits_its_window_and_can_be_read(
    visit: Visit, name: str, width: int, scheme: Scheme
) -> None:
    """Nothing sticks out of the window, and all words stand out 4.5 to 1, all open and ticked."""
    page = visit(name, width, scheme=scheme)
    open_all(page)
    assert found_by("faint", page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert back == ("rgb(253, 253, 251)" if scheme == "light" else "rgb(20, 22, 26)")


@pytest.mark.parametrize(("name", "width", "scheme"), LOOKS)
def test_axe_finds_no_violation(visit: Visit, name: str, width: int, scheme: Scheme) -> None:
    """By all rules of axe-core but those of WCAG's level AAA, all open and ticked."""
    page = visit(name, width, scheme=scheme)
    open_all(page)
    assert violations(page) == []


def violations(page: Page) -> list[str]:
    """What axe-core finds; contrast is left to a check that reads drawings and gradients too."""
    page.evaluate(AXE)
    found: list[str] = page.evaluate(
        """async () => {
          const left = (one) => one.tags.includes("wcag2aaa") || one.ruleId === "color-contrast";
          const rules = axe.getRules().map((one) => [one.ruleId, { enabled: !left(one) }]);
          const options = { resultTypes: ["violations"], rules: Object.fromEntries(rules) };
          const { violations } = await axe.run(options);
          return violations.flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.html}`));
        }"""
    )
    return found


@pytest.mark.parametrize("name", [*MADE_UP, "report"])
def test_on_paper_it_is_whole(visit: Visit, name: str) -> None:
    """Ink on white in any scheme, nothing cut, nothing to press, with four models compared."""
    page = visit(name, PAPER, scheme="dark", media="print")
    page.evaluate(
        """[...document.querySelectorAll("#board tbody input")].slice(0, 4)
          .forEach((one) => one.click())"""
    )
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    pressed = "button:visible:not(thead *), input:visible, select:visible, nav:visible"
    assert page.locator(pressed).count() == 0
    for check in ("collisions", "cut", "sideways", "faint"):
        assert found_by(check, page) == [], check


@pytest.mark.parametrize("name", MADE_UP)
def test_it_is_whole_without_javascript(
    visit: Visit, visit_without_javascript: Visit, name: str
) -> None:
    """Every number that is there with it can be seen, and each control shown does something."""
    with_it = numbers(visit(name))
    page = visit_without_javascript(name)
    assert with_it - numbers(page) == Counter()
    assert dead(page) == []


def numbers(page: Page) -> Counter[str]:
    """The numbers that can be seen, and how often."""
    return Counter(re.findall(r"\d[\d.,]*", "\n".join(found_by("visible", page))))


def dead(page: Page) -> list[str]:
    """Controls that can be seen and pressed without anything else being seen then."""
    found = []
    for control in page.query_selector_all("button, input, select"):
        if not control.is_visible() or control.evaluate("one => one.matches(':checked')"):
            continue
        before = found_by("visible", page)
        control.click()
        if found_by("visible", page) == before:
            found.append(control.evaluate("one => one.outerHTML"))
    return found


@pytest.mark.parametrize(
    ("name", "width"), [("nine", 1280), pytest.param("hostile", 390, marks=pytest.mark.sweep)]
)
def test_the_keyboard_alone_reaches_everything(visit: Visit, name: str, width: int) -> None:
    """Tab leads to all that can be pressed or scrolled, and each shows that it has the focus."""
    page = visit(name, width)
    page.locator("details").last.evaluate("one => { one.open = true; }")
    assert tabbed(page) == []


def tabbed(page: Page) -> list[str]:
    """What Tab does not reach, or reaches without showing it."""
    found = []
    for _ in range(10 + len(found_by("unreached", page))):
        page.keyboard.press("Tab")
        found += found_by("focused", page)
    return found + found_by("unreached", page)


# Each check finds what it is for


FAULTS = {
    "a label on another": (
        "collisions",
        """const [a, b] = document.querySelectorAll(".mark .name:not(.wide, .unplaced)");
        for (const one of ["x", "y", "text-anchor"]) a.setAttribute(one, b.getAttribute(one));""",
    ),
    "a label on a dot": (
        "collisions",
        """const [a, b] = document.querySelectorAll(".mark:has(.name:not(.wide, .unplaced))");
        const [label, dot] = [a.querySelector("text"), b.querySelector("circle")];
        label.setAttribute("x", dot.getAttribute("cx"));
        label.setAttribute("y", dot.getAttribute("cy"));""",
    ),
    "a number out of the window": (
        "cut", "document.querySelector('#board .accuracy').style.paddingLeft = '2000px'"
    ),
    "a number cut by its box": (
        "cut",
        """const { style } = document.querySelector("td.accuracy");
        Object.assign(style, { display: "block", width: "2em", overflow: "hidden" });""",
    ),
    "a number over two lines": (
        "cut",
        """const { style } = document.querySelector(".dots ol .value");
        Object.assign(style, { width: "2em", whiteSpace: "normal", overflowWrap: "anywhere" });""",
    ),
    "a wide page": ("sideways", "document.querySelector('h2').style.width = '2000px'"),
    "a wide table": ("sideways", "document.querySelector('#board').style.minWidth = '2000px'"),
    "faint words": ("faint", "document.querySelector('.rules').style.color = '#999'"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(visit: Visit, fault: str) -> None:
    """What a check is to find is found when it is there, and not before."""
    check, planted = FAULTS[fault]
    page = visit("nine")
    before = found_by(check, page)
    page.evaluate(f"() => {{ {planted} }}")
    assert before == [] and found_by(check, page)


def test_a_violation_is_found(visit: Visit) -> None:
    """A picture without words is one."""
    page = visit("one")
    page.evaluate("document.images[0].removeAttribute('alt')")
    (found,) = violations(page)
    assert found.startswith("image-alt")


def test_a_hidden_number_and_a_dead_control_are_found(visit_without_javascript: Visit) -> None:
    """Where nothing runs, a control that waits for a script is one."""
    page = visit_without_javascript("one")
    before = numbers(page)
    page.evaluate("document.querySelector('td.accuracy').style.display = 'none'")
    assert (before - numbers(page)).total() == 2
    page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    assert dead(page) == ["<button></button>"]


def test_what_tab_misses_is_found(visit: Visit) -> None:
    """What cannot get the focus, and what does not show it."""
    page = visit("one")
    page.evaluate(
        """() => {
          document.querySelector("#filter").tabIndex = -1;
          document.querySelector("#board a").style.outline = "none";
        }"""
    )
    assert sorted(tabbed(page)) == ["A softmax-1: no outline", "INPUT filter"]


def test_a_complaint_and_a_request_are_heard(tab: Page, address: Callable[[str], str]) -> None:
    """A message on the console fails a visit, and so does a request, which the policy stops."""
    for act in ("console.error('no')", "new Image().src = 'https://example.org/a.png'"):
        opened = opened_in(tab, address)
        page = next(opened)("one")
        page.evaluate(act)
        with pytest.raises(AssertionError, match=r"no|example\.org"):
            next(opened)

"""What README and the other pages say is true: run, or generated."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import astuple

import generated
from conftest import Fmbench, Install, TinyData
from fmbench import protocol
from fmbench.data import FASHION_MNIST
from fmbench.errors import ExitCode
from fmbench.leaderboard.board import read_board
from fmbench.leaderboard.notes import REPRODUCED
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.store import Store
from plugins_of_all_kinds import offering

ROOT = generated.ROOT
README = generated.README.read_text("utf-8")
PAGES = sorted(
    path
    for pattern in (
        "*.md",
        "docs/*.md",
        "docs/decisions/*.md",
        "results/*.md",
        "plugins/*.md",
        "plugins/*/*.md",
        "benchmarks/*.md",
        "contrib/*/*.md",
    )
    for path in ROOT.glob(pattern)
)


def block(language: str) -> str:
    """The code block of that language in README."""
    match = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert match
    return match[1]


def test_generated_files_are_fresh(fmbench: Fmbench) -> None:
    """Boards, README's table and the reference pages are what records and code say."""
    checked = fmbench("leaderboard", "--results", generated.PUBLISHED, "--check")
    assert checked.returncode == 0, checked.stderr
    for path, text in generated.pages().items():
        assert path.read_text("utf-8") == text, path


@pytest.mark.parametrize("name", ["quick-v1", "quick-v2", "lite-v1", "lite-v2"])
def test_a_published_board_stands_on_good_records(name: str) -> None:
    """All its records are of the built-in protocol and a named commit; good ones hold together."""
    store = Store(generated.PUBLISHED, name)
    contents = store.read()
    assert contents.problems == ()
    assert {record.run.protocol_digest for record in contents.records} == {
        protocol.load(name).digest
    }
    for record in contents.records:
        assert re.fullmatch("[0-9a-f]{40}", record.environment.commit)
        if record.ok and record.run.stage == "final":
            assert record.result.accuracy is not None
            assert record.result.accuracy > 0.6
            assert len(store.predictions(record)) == 10_000


def test_lite_v1_reaches_what_it_set_out_for() -> None:
    """Softmax 84.3 %, VGG-11 without batch norm 91 %, the best row 92.5 %; none is too good."""
    board = read_board(StoredResults(Store(generated.PUBLISHED, "lite-v1")))
    accuracies = {row.model: row.accuracy or 0 for row in board.rows if row.complete}
    assert accuracies["softmax"] >= 0.843
    assert accuracies["vgg11"] >= 0.91
    assert 0.925 <= max(accuracies.values()) <= REPRODUCED


def test_lite_v2_reaches_what_it_set_out_for() -> None:
    """Softmax 84.5 %, both VGG-11 91.5 %, the best row 92 %, each row of five seeds, one re-run."""
    board = read_board(StoredResults(Store(generated.PUBLISHED, "lite-v2")))
    accuracies = {row.model: row.accuracy or 0 for row in board.rows if row.complete}
    assert len(accuracies) == len(board.rows) == 12
    assert {(row.seeds, row.tier) for row in board.rows} == {(5, "re-run")}
    assert accuracies["softmax"] >= 0.845
    assert min(accuracies["vgg11"], accuracies["vgg11-bn"]) >= 0.915
    assert 0.92 <= max(accuracies.values()) <= REPRODUCED
    assert not any("provisional" in note for note in board.notes)


def test_a_small_net_beats_resnet18_at_a_fifth_of_its_time() -> None:
    """On lite-v2, small-cnn ranks above resnet18 with at most a million parameters."""
    board = read_board(StoredResults(Store(generated.PUBLISHED, "lite-v2")))
    rows = {row.model: row for row in board.rows}
    ours, other = rows["small-cnn"], rows["timm/resnet18"]
    assert (ours.rank_worst or 99) < (other.rank_best or 0)
    assert (ours.parameters or 1e9) <= 1_000_000
    assert 5 * (ours.train_seconds or 1e9) <= (other.train_seconds or 0)


def test_the_plugin_in_the_readme_works(
    fmbench: Fmbench, site: Path, tiny: TinyData, tmp_path: Path
) -> None:
    """README's plugin, installed as it stands, has at most 11 lines and gets a row."""
    code, project = block("python"), block("toml")
    assert len([line for line in code.splitlines() if line]) <= 11
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "my_plugin.py").write_text(code)
    (tmp_path / "mine" / "pyproject.toml").write_text(project)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
         "--target", site, tmp_path / "mine"],
        check=True,
    )  # fmt: skip
    assert "my-plugin 0.1.0" in fmbench("models").stdout
    ran = fmbench("run", "my-softmax", "--protocol", tiny.protocol, "--data-dir", tiny.folder)
    assert ran.returncode == 0, ran.stderr
    assert "my-softmax" in ran.stdout


def test_every_command_the_pages_name_exists(fmbench: Fmbench) -> None:
    """Each `fmbench COMMAND`, in a sentence or fenced, is a command, each option one of its own."""
    for page in PAGES:
        written = page.read_text("utf-8")
        blocks = "".join(re.findall(r"^```\w*\n(.*?)^```", written, re.MULTILINE | re.DOTALL))
        fenced = re.findall(r"^(?:\$ |.* && )?fmbench ([a-z]+)(.*)$", blocks, re.MULTILINE)
        inline = re.findall(r"`fmbench ([a-z]+)([^`]*)`", written)
        for command, rest in {*fenced, *inline}:
            text = fmbench(command, "--help").stdout
            assert text.startswith(f"Usage: fmbench {command}"), f"{page}: {command}"
            for option in re.findall(r"--[a-z-]+", rest):
                assert option in text, f"{page}: fmbench {command} {option}"


def test_the_readme_lists_the_exit_codes() -> None:
    """Every exit code is in README with its number."""
    sentence = README[README.index("Exit codes:") :].partition("\n\n")[0]
    numbers = [int(number) for number in re.findall(r"\b(\d+) [a-z]", sentence)]
    assert numbers == [code.value for code in ExitCode]


def test_local_links_lead_somewhere() -> None:
    """Every relative link in a page is a file or folder of the checkout, and a heading in it."""
    found = [
        (page, *link)
        for page in PAGES
        for link in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", page.read_text("utf-8"))
    ]
    assert any(heading for _, _, heading in found)
    for page, target, heading in found:
        place = page.parent / target if target else page
        assert place.exists(), f"{page}: {target}"
        assert not heading or heading in anchors(place), f"{page}: {target}#{heading}"


def anchors(page: Path) -> set[str]:
    """What links to the headings of a page are called, as GitHub makes them up."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_tests_that_hold_promises_exist() -> None:
    """Each test docs/promises.md names is there."""
    text = (ROOT / "docs" / "promises.md").read_text("utf-8")
    named = re.findall(r"`(tests/[a-z_]+\.py)(?:::([a-z_]+))?`", text)
    assert len(named) > 15
    for file, name in named:
        wanted = f"def {name}(" if name else "def test_"
        assert wanted in (ROOT / file).read_text("utf-8"), f"{file}::{name}"


def test_the_layout_in_the_page_is_the_layout() -> None:
    """Each folder CONTRIBUTING.md names is there."""
    named = re.findall(r"^([a-z]+)/ ", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert named
    assert [folder for folder in named if not (ROOT / folder).is_dir()] == []


def test_what_chaos_tried_has_its_place() -> None:
    """The promises' page has the part that `tox -e chaos` writes, and filling it keeps the rest."""
    page = ROOT / "docs" / "promises.md"
    before, _, rest = page.read_text("utf-8").partition("<!-- chaos: generated -->\n")
    written, _, after = rest.partition("<!-- end of chaos -->\n")
    assert generated.filled(page, "chaos", written[1:-1]) == page.read_text("utf-8")
    replaced = generated.filled(page, "chaos", "other")
    assert replaced.startswith(before)
    assert replaced.endswith(after)
    assert written not in replaced


def test_the_protocol_in_the_page_makes_a_ranked_board(
    fmbench: Fmbench, install: Install, tiny: TinyData, tmp_path: Path
) -> None:
    """docs/protocols.md's files are what is written there; with one models are tuned and ranked."""
    text = (ROOT / "docs/protocols.md").read_text()
    extended, match = re.finditer(r"```toml\n(.*?)```", text, re.DOTALL)
    (typed,) = re.findall(r"^fmbench (protocols new .*)$", text, re.MULTILINE)
    assert fmbench(*shlex.split(typed)).returncode == 0
    assert (tmp_path / "longer.toml").read_text() == extended[1]
    assert protocol.load(str(tmp_path / "longer.toml")).derived in text
    page = protocol.parse(match[1], "docs/protocols.md")
    assert page.data.sha256 == FASHION_MNIST
    small = protocol.load(str(tiny.protocol)).data.sha256
    text = match[1].replace("5_000", "60").replace("2_000", "200").replace("6_000", "240")
    text = text.replace("batch_size = 64", "batch_size = 8")
    for old, new in zip(astuple(FASHION_MNIST), astuple(small), strict=True):
        text = text.replace(old, new)
    (tmp_path / "mine.toml").write_text(text)
    install("plugin-a", offering("one=linear", "two=linear"))
    ran = fmbench("run", "one", "two", "--protocol", "mine.toml", "--data-dir", tiny.folder)
    assert ran.returncode == 0, ran.stderr
    shown = fmbench("leaderboard", "--protocol", "mine-v1", "--format", "csv").stdout
    assert shown.count("1,2,") == 2

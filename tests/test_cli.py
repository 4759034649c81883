"""The command as people use it: help, bad input, exit codes, and what is never loaded."""

import csv
import errno
import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typer.main import get_command

import manual
import samples
import simulated
from conftest import Fmbench, Install, TinyData, child_environment, install_into
from fmbench import cli, data, files, protocol, records
from fmbench.cli import boards
from fmbench.errors import ExitCode, StoreError
from fmbench.execution import claims
from fmbench.store import Store
from plugins_of_all_kinds import GOOD, offering

COMMANDS = manual.names()
PUBLISHED = Path(__file__).parents[1] / "results" / "published"


def test_help_lists_every_command_with_examples_and_exit_codes(fmbench: Fmbench) -> None:
    """`fmbench --help` names all commands and what exit codes mean; each command has examples."""
    text = fmbench("--help").stdout
    for command in COMMANDS:
        assert f"\n  {command} " in text
        assert "Examples:\n" in fmbench(command, "--help").stdout
    for code in ExitCode:
        assert f"{code.value} " in text


def test_help_is_in_sentences() -> None:
    """Every option and argument of every command has a help text that begins and ends as one."""
    for command in COMMANDS:
        for option in get_command(cli.app).commands[command].params:  # type: ignore[attr-defined]
            said = option.help or ""
            assert said[:1].isupper(), (command, option.name)
            assert said.endswith("."), (command, option.name)


def test_the_version_is_that_of_the_distribution(fmbench: Fmbench) -> None:
    """--version prints one line."""
    assert fmbench("--version").stdout == "fmbench 0.1.0\n"


BAD_INPUT = {
    "unknown model": (("run", "sotfmax"), 2, "did you mean"),
    "unknown protocol": (("run", "good", "--protocol", "quick-v9"), 2, "quick-v1"),
    "missing protocol file": (("run", "good", "--protocol", "no.toml"), 2, "no.toml"),
    "malformed TOML": (("run", "good", "--protocol", "broken.toml"), 4, "broken.toml"),
    "unknown key": (("run", "good", "--protocol", "key.toml"), 4, "speed"),
    "missing data": (("run", "good", "--data-dir", "nowhere"), 4, "nowhere"),
    "wrong data": (("run", "good", "--data-dir", "wrong"), 4, "wrong"),
    "a name that is too long": (("leaderboard", "--results", "a" * 300), 2, "cannot be read"),
    "unwritable results": (("run", "good", "--results", "a-file"), 2, "a-file"),
    "nothing named": (("run",), 5, "--all"),
    "no match": (("run", "nothing/*"), 5, "nothing/*"),
    "unknown device": (("run", "good", "--device", "tpu"), 2, "tpu"),
    "a device that is not supported": (
        ("run", "good", "--device", "mps"), 2, "'mps' is not a device that fmbench trains on",
    ),
    "absent device": (("run", "good", "--device", "cuda:99"), 2, "cuda:99"),
    "too many seeds": (("run", "good", "--seeds", "99"), 2, "seeds"),
    "no results": (("leaderboard",), 2, "results"),
    "no time at all": (("run", "good", "--checkpoint-every", "inf"), 2, "number of seconds"),
    "no time limit": (("reproduce", "ffff", "--timeout", "inf"), 2, "number of seconds"),
    "no plugin left out": (("run", "good", "-p", "no:plugin-z"), 2, "plugin-z"),
    "no records of it": (("leaderboard", "--protocol", "lite-v1"), 2, "lite-v1"),
    "no such record": (("show", "ffff", "--results", "some"), 2, "ffff"),
    "unknown column": (
        ("leaderboard", "--results", "some", "--columns", "rank,colour"), 2, "colour",
    ),
    "no row fits": (("leaderboard", "--results", "some", "--filter", "vgg*"), 5, "vgg*"),
    "unknown row": (("compare", "m", "x", "--results", "some"), 2, "there are m, n"),
    "labels not kept": (("compare", "m", "n", "--results", "some"), 2, "t10k-labels"),
    "one model twice": (("compare", "m", "m", "--results", "kept"), 2, "with itself"),
    "stale files": (("leaderboard", "--results", "some", "--check"), 4, "leaderboard.md"),
    "an unwritable picture": (
        ("compare", "m", "n", "--results", "kept", "--data-dir", "tiny", "--picture", "no/d.png"),
        2, "no/d.png",
    ),
    "a page of some rows": (
        ("leaderboard", "--results", "some", "--format", "html", "--sort", "train"), 2, "page",
    ),
    "written and checked": (
        ("leaderboard", "--results", "some", "--write", "--check"), 2, "one of them",
    ),
    "JSON written": (
        ("leaderboard", "--results", "some", "--write", "--json"), 2, "published files",
    ),
    "a part of a published board": (
        ("leaderboard", "--results", "some", "--check", "--filter", "m"), 2, "published files",
    ),
    "an unwritable board": (
        ("leaderboard", "--results", "some", "--format", "md", "--output", "no/board.md"),
        2, "another file",
    ),
    "an unwritable plugin": (("new", "my-cnn", "--folder", "a-file/x"), 2, "--folder"),
    "a price below nothing": (("run", "--all", "--dry-run", "--price", "-1"), 2, "--price"),
    "a price that is no number": (("run", "--all", "--dry-run", "--price", "nan"), 2, "--price"),
    "a cluster of the local engine": (("run", "--all", "--address", "auto"), 2, "--engine ray"),
    "no workers": (("run", "--all", "--workers", "0"), 2, "--workers"),
    "a price of runs that are made": (("run", "--all", "--price", "2.50"), 2, "--dry-run"),
    "a difference from nowhere": (
        ("leaderboard", "--results", "some", "--diff", "nowhere"), 2, "nowhere",
    ),
    "nothing to submit": (("submit", "nowhere"), 2, "fmbench run"),
    "no checkout to accept from": (("accept", "nowhere", "some"), 2, "results/published"),
    "a terminal table in a file": (
        ("leaderboard", "--results", "some", "--output", "x"), 2, "--format",
    ),
}  # fmt: skip


@pytest.fixture
def bad_inputs(tmp_path: Path, tiny: TinyData, install: Install) -> None:
    """Files that the bad inputs name."""
    install("plugin-a", GOOD)
    (tmp_path / "broken.toml").write_text("[data\n")
    tiny.variant(tmp_path / "key.toml", ("[final]", "[final]\nspeed = 1"))
    (tmp_path / "a-file").write_text("")
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    for file in tiny.folder.glob("*ubyte"):
        (wrong / file.name).write_bytes(file.read_bytes())
    (tmp_path / "tiny").symlink_to(tiny.folder)
    of = protocol.load(str(tiny.protocol))
    labels = data.read(tiny.folder, data.FILES[3], of.data.sha256)
    for name in ("some", "kept"):
        store = Store(tmp_path / name, "tiny-v1")
        store.make()
        for model, answers in (("m", labels), ("n", (labels + 1) % 10)):
            run = samples.run(model=model, protocol_digest=of.digest)
            store.add(samples.record(run, correct=int((answers == labels).sum())), answers)
        store.keep_protocol(of.digest, tiny.protocol.read_text())
    store.keep_labels(labels)


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_reported_with_a_hint_and_its_exit_code(
    fmbench: Fmbench, bad_inputs: None, case: str
) -> None:
    """Each kind of bad input names what is wrong, says what to do, and ends with its code."""
    arguments, code, said = BAD_INPUT[case]
    ran = fmbench(*arguments)
    assert ran.returncode == code, ran.stderr
    assert said in ran.stderr
    assert "hint:" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""


def test_no_plugin_installed_is_nothing_selected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With no plugin at all, run ends with 5 and a hint, and models with 0 and a hint."""
    from fmbench import cli
    from fmbench.discovery import listing

    monkeypatch.setattr(listing, "taking_part", lambda _: [])
    monkeypatch.setattr(sys, "argv", ["fmbench", "run", "--all"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == ExitCode.NOTHING_SELECTED
    assert "hint: " in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["fmbench", "models"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert "hint: pip install" in capsys.readouterr().err


def test_an_internal_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw ends with 3, never with another command's code."""
    from fmbench import cli, discovery

    def broken() -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(discovery, "catalogue", broken)
    monkeypatch.setattr(sys, "argv", ["fmbench", "models"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == ExitCode.INTERNAL


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/root/x"), "/root/x: Permission"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left"),
    ],
)
def test_what_the_system_refuses_is_no_fault_of_fmbench(
    error: OSError,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No permission and a full disk end with a message that names the place, not a traceback."""
    from fmbench import cli, discovery

    def refused() -> None:
        raise error

    monkeypatch.setattr(discovery, "catalogue", refused)
    monkeypatch.setattr(sys, "argv", ["fmbench", "models"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == StoreError.exit_code
    said = capsys.readouterr().err
    assert told in said
    assert "Traceback" not in said


GUARD = """
import sys

class Guard:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "timm"): raise AssertionError(f"{name} was loaded")

sys.meta_path.insert(0, Guard())
from fmbench.cli import main
main()
"""


@dataclass(frozen=True)
class Finished:
    """Where every run of two models has been made, by the arguments `asked`."""

    folder: Path
    environment: dict[str, str]
    asked: tuple[str, ...]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny: TinyData) -> Finished:
    """A folder in which nothing is left to run."""
    folder = tmp_path_factory.mktemp("finished")
    site = folder / "site"
    site.mkdir()
    install_into(site, "plugin-a", offering("good=linear", "other=linear"))
    environment = child_environment(site, folder / "cache")
    asked = ("--protocol", str(tiny.protocol), "--data-dir", str(tiny.folder))
    command = [Path(sys.executable).with_name("fmbench"), "run", "good", "other", *asked]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, env=environment)
    return Finished(folder, environment, asked)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["models"],
        ["protocols"],
        ["leaderboard"],
        ["leaderboard", "--format", "html"],
        ["compare", "good", "other"],
        ["show"],
        ["run", "good"],
    ],
)
def test_reading_commands_and_finished_runs_never_load_torch(
    finished: Finished, arguments: list[str]
) -> None:
    """Help, models, tables and a run with nothing left to do load neither torch nor timm."""
    if arguments[0] == "run":
        arguments = [*arguments, *finished.asked]
    ran = subprocess.run(
        [sys.executable, "-c", GUARD, *arguments],
        capture_output=True, text=True, cwd=finished.folder, env=finished.environment, timeout=600,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr


def test_locale_time_zone_and_hash_seed_change_no_byte(fmbench: Fmbench, tmp_path: Path) -> None:
    """The same records give the same bytes in every format, wherever they are read."""
    store = simulated.write_store(tmp_path / "results", {"a": 0.9, "b": 0.8}, seeds=5)
    for number, record in enumerate(store.read().records):
        device = replace(record.environment.device, name=f"CPU {number % 5}")
        moved = replace(record, environment=replace(record.environment, device=device))
        store.path(record, ".json").write_bytes(records.encode(moved))
    places = (
        {"PYTHONHASHSEED": "1", "TZ": "UTC", "XDG_CACHE_HOME": str(tmp_path / "here")},
        {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8",
         "PYTHONIOENCODING": "latin-1:strict", "XDG_CACHE_HOME": str(tmp_path / "there")},
    )  # fmt: skip
    for form in (("--json",), *(("--format", one) for one in ("md", "csv", "html"))):
        here, there = (fmbench("leaderboard", *form, **place) for place in places)
        assert here.stdout == there.stdout
        assert "CPU 4" in here.stdout
    written = []
    for place in places:
        assert fmbench("leaderboard", "--write", **place).returncode == 0
        files = sorted(store.folder.glob("*.*"))
        written.append({file.name: file.read_bytes() for file in files})
    assert written[0] == written[1]
    assert {"leaderboard.svg", "index.html"} <= written[0].keys()


def test_a_board_is_read_and_written_while_no_run_writes_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--write` holds the lock of runners while it reads records and writes its files."""
    store = simulated.write_store(tmp_path, {"a": 0.9, "b": 0.8}, seeds=1)
    held: list[bool] = []
    seen: list[bool] = []

    @contextmanager
    def lock(_: Path) -> Iterator[None]:
        held.append(True)
        yield
        held.clear()

    def noting(real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given, **named: (seen.append(bool(held)), real(*given, **named))[1]

    monkeypatch.setattr(claims, "lock", lock)
    monkeypatch.setattr(Store, "read", noting(Store.read))
    monkeypatch.setattr(files, "write", noting(files.write))
    boards.leaderboard(results=tmp_path, write=True)
    assert (store.folder / "index.html").exists()
    assert len(seen) > 4
    assert all(seen)


def test_a_board_is_written_where_and_for_what_it_is_asked(
    fmbench: Fmbench, tmp_path: Path
) -> None:
    """--for reaches the ranks, --output holds the text, and stdout then nothing."""
    simulated.write_store(tmp_path / "results", {"a": 0.9, "b": 0.8}, seeds=3)
    ran = fmbench("leaderboard", "--for", "this-test-set", "--format", "md", "--output", "b.md")
    assert ran.stdout == ""
    assert "on this test set only" in (tmp_path / "b.md").read_text()


def test_a_plugin_that_breaks_the_contract_fails_its_check(
    fmbench: Fmbench, install: Install
) -> None:
    """`fmbench check` ends with 1 when there is an error; --json has it."""
    install("bad-one", "import nothing_of_this_name")
    ran = fmbench("check", "bad-one", "--json")
    assert ran.returncode == ExitCode.RUN_FAILED
    assert [one["outcome"] for one in json.loads(ran.stdout)] == ["error"]


def test_a_check_finds_what_a_relative_path_names(fmbench: Fmbench, install: Install) -> None:
    """PYTHONPATH may be relative to where the command is typed, as for any other program."""
    install("plugin-a", GOOD)
    checked = fmbench("check", "good", PYTHONPATH="site")
    assert checked.returncode == 0, checked.stdout


def test_stdout_is_data_and_stderr_is_talk(
    fmbench: Fmbench, install: Install, tiny: TinyData
) -> None:
    """A run's table goes to stdout, its progress to stderr; neither has control characters."""
    install("plugin-a", GOOD)
    ran = fmbench("run", "good", "--protocol", tiny.protocol, "--data-dir", tiny.folder)
    assert "leaderboard" in ran.stdout
    assert "ok good, seed 1" in ran.stderr
    assert "\x1b" not in ran.stdout + ran.stderr


def test_a_plugins_text_is_never_markup(fmbench: Fmbench, install: Install) -> None:
    """What looks like terminal markup in a summary or an error is shown as it is."""
    code = GOOD.replace("linear)", "linear, summary='[red]not red[/red]')")
    install("plugin-a", code)
    install("plugin-b", "raise RuntimeError('[/nothing]')")
    shown = fmbench("models").stdout
    assert "[red]not red[/red]" in shown
    assert "[/nothing]" in shown


def test_protocols_are_listed_and_explained(fmbench: Fmbench) -> None:
    """`fmbench protocols` lists, with a name it prints Fixed and Free, with --json the rules."""
    assert "lite-v1" in fmbench("protocols").stdout
    text = fmbench("protocols", "quick-v1").stdout
    assert "Fixed" in text
    assert "Free" in text
    assert json.loads(fmbench("protocols", "quick-v1", "--json").stdout)["name"] == "quick"


def hinted(ran: subprocess.CompletedProcess[str]) -> list[str]:
    """The words of the command that a hint suggests, after `fmbench`."""
    return shlex.split(ran.stderr.rpartition("fmbench ")[2])


def test_a_suggested_command_works_as_it_is_printed(
    fmbench: Fmbench, bad_inputs: None, tiny: TinyData, tmp_path: Path
) -> None:
    """What a hint says to type is about the same folder and protocol, and does what it is for."""
    there = ("--results", "a folder", "--protocol", "tiny-v1")
    (tmp_path / "kept").rename(tmp_path / "a folder")
    records_of = Store(tmp_path / "a folder", "tiny-v1")
    failed = samples.run(model="o", protocol_digest=protocol.load(str(tiny.protocol)).digest)
    records_of.add(samples.record(failed, status="failed"))
    for asked in (("show", "ffff"), ("compare", "m", "o")):
        shown = hinted(fmbench(*asked, *there))
        assert shown == ["show", *there]
        assert fmbench(*shown).returncode == 0
    stale = ("leaderboard", *there[:2], "--check")
    assert fmbench(*hinted(fmbench(*stale))).returncode == 0
    assert fmbench(*stale).returncode == 0
    absent = ("--results", "nowhere", "--protocol", str(tiny.protocol))
    assert hinted(fmbench("show", *absent)) == ["run", "--all", *absent]
    assert hinted(fmbench("run", *absent))[:6] == ["run", "--all", *absent[:3], f"{absent[3]},"]
    assert hinted(fmbench("show")) == ["run", "--all"]


def test_an_unwritable_results_folder_costs_no_training(
    environment: dict[str, str], install: Install, tiny: TinyData, tmp_path: Path
) -> None:
    """A folder without write permission is found out before anything is trained."""
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere; the case of a file in the way is tested above")
    install("plugin-a", GOOD)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    ran = subprocess.run(
        [Path(sys.executable).with_name("fmbench"), "run", "good", "--results", locked,
         "--protocol", tiny.protocol, "--data-dir", tiny.folder],
        capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=600,
    )  # fmt: skip
    assert ran.returncode == ExitCode.USAGE
    assert "locked" in ran.stderr


def test_a_board_is_written_checked_and_found_stale(fmbench: Fmbench, tmp_path: Path) -> None:
    """--write makes the four files, --check passes, and fails with 4 when any of them changes."""
    store = simulated.write_store(tmp_path / "results", {"a": 0.9, "b": 0.8}, seeds=3)
    assert fmbench("leaderboard", "--write").returncode == 0
    assert fmbench("leaderboard", "--check").returncode == 0
    for name in ("leaderboard.md", "leaderboard.csv", "leaderboard.svg", "index.html"):
        path = store.folder / name
        kept = path.read_text("utf-8")
        path.write_text(kept.replace("fmbench-records", "other") if "html" in name else "")
        stale = fmbench("leaderboard", "--check")
        assert stale.returncode == ExitCode.CHECK_FAILED
        assert name in stale.stderr
        path.write_text(kept)
    next(store.records.glob("a-tune-*.json")).unlink()
    assert "index.html" in fmbench("leaderboard", "--check").stderr


def test_a_check_reads_the_predictions_themselves(fmbench: Fmbench, tmp_path: Path) -> None:
    """A prediction file spoilt after the board was ranked and cached is stale; --write mends it."""
    store = simulated.write_store(tmp_path / "results", {"a": 0.9, "b": 0.8}, seeds=3)
    fmbench("leaderboard", "--write")
    next(store.records.glob("a-final-*.npy")).write_bytes(b"")
    assert fmbench("leaderboard", "--check").returncode == ExitCode.CHECK_FAILED
    assert fmbench("leaderboard", "--write").returncode == 0
    assert fmbench("leaderboard", "--check").returncode == 0
    page = (store.folder / "index.html").read_text("utf-8")
    assert "but its predictions cannot be read, so it is not ranked." in page


def test_a_board_can_be_sorted_filtered_and_cut(fmbench: Fmbench, tmp_path: Path) -> None:
    """Options arrange every format alike; a narrow terminal keeps rank, model and accuracy."""
    simulated.write_store(tmp_path / "results", {"a": 0.8, "t/b": 0.9, "t/c": 0.85}, seeds=3)
    asked = ("leaderboard", "--filter", "t/*", "--sort", "train", "--columns", "model,train")
    assert fmbench(*asked, "--format", "csv").stdout == "model,train_seconds\nt/b,6.0\nt/c,18.0\n"
    shown = fmbench(*asked).stdout
    assert shown.index("t/b") < shown.index("t/c")
    assert ["model", "train"] in [line.split() for line in shown.splitlines()]
    narrow = fmbench("leaderboard", COLUMNS="60").stdout
    assert all(word in narrow for word in ("rank", "model", "accuracy, %", " n ", "status"))
    assert max(len(line) for line in narrow.splitlines()) <= 60
    shown = json.loads(fmbench(*asked, "--json").stdout)["rows"]
    assert shown == [{"model": "t/b", "train_seconds": 6}, {"model": "t/c", "train_seconds": 18}]
    two = fmbench("leaderboard", "--json", "--format", "csv")
    assert two.returncode == ExitCode.USAGE
    assert "two formats" in two.stderr
    (left_out,) = [line for line in narrow.splitlines() if line.startswith("Too narrow for ")]
    assert "plugin" in left_out
    wide = fmbench("leaderboard", COLUMNS="250").stdout
    assert "Too narrow" not in wide
    assert "calibration error" in wide


def test_no_terminal_is_so_narrow_that_a_number_is_cut(fmbench: Fmbench) -> None:
    """Of published boards, runs and comparisons all numbers are whole, and every record's id."""
    stored = ("--results", PUBLISHED, "--protocol", "lite-v1")

    def words(asked: tuple[str, ...], width: int) -> list[str]:
        return fmbench(*asked, *stored, COLUMNS=str(width)).stdout.split()

    def found(*asked: str) -> Any:
        return json.loads(fmbench(*asked, *stored, "--json").stdout)

    rows = found("leaderboard")["rows"]
    accuracies = {f"{100 * row['accuracy']:.2f}" for row in rows}
    margins = {
        f"{50 * (row['accuracy_image_high'] - row['accuracy_image_low']):.2f}" for row in rows
    }
    ranks = {f"{row['rank_best']}-{row['rank_worst']}" for row in rows if row["rank_best"] == 1}
    for width in (60, 50):
        assert accuracies | margins | ranks <= set(words(("leaderboard",), width))
    assert {record["id"] for record in found("show")} <= set(words(("show",), 80))
    two = ("compare", "timm/convnext_atto", "timm/edgenext_xx_small")
    bounds = {f"{100 * one[end]:+.2f}" for one in found(*two)["classes"] for end in ("low", "high")}
    assert bounds <= set(words(two, 80))


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_check_notices_predictions_that_are_not_the_records(
    fmbench: Fmbench, tmp_path: Path, seeds: int
) -> None:
    """Predictions that the record was not scored with are reported, without ranks too."""
    store = simulated.write_store(tmp_path / "results", {"a": 0.9, "b": 0.8}, seeds=seeds)
    fmbench("leaderboard", "--write")
    path = next(store.records.glob("a-final-*.npy"))
    path.write_bytes(next(store.records.glob("b-final-*.npy")).read_bytes())
    checked = fmbench("leaderboard", "--check")
    assert checked.returncode == ExitCode.CHECK_FAILED
    assert "leaderboard.md" in checked.stderr


def test_a_protocol_is_named_by_its_file_where_records_are_read(
    fmbench: Fmbench, tmp_path: Path
) -> None:
    """A path does what the name of the protocol in it does, and no file is a sentence."""
    simulated.write_store(tmp_path / "results", {"a": 0.8, "b": 0.9}, seeds=1)
    by_path = fmbench("leaderboard", "--protocol", tmp_path / "results" / "simulated.toml")
    assert by_path.returncode == 0, by_path.stderr
    assert by_path.stdout == fmbench("leaderboard").stdout
    absent = fmbench("show", "--protocol", "absent.toml")
    assert absent.returncode == ExitCode.USAGE
    assert "absent.toml" in absent.stderr


def test_a_byte_order_mark_is_no_part_of_a_protocol(tiny: TinyData, tmp_path: Path) -> None:
    """A file that an editor began with one is the same protocol."""
    marked = tmp_path / "marked.toml"
    marked.write_bytes(b"\xef\xbb\xbf" + tiny.protocol.read_bytes())
    assert protocol.load(str(marked)) == protocol.load(str(tiny.protocol))


def test_a_protocol_named_by_its_file_is_that_very_one(fmbench: Fmbench, tmp_path: Path) -> None:
    """Where one name had two digests, the file says whose board is shown; without, the newest's."""
    results = tmp_path / "results"
    store = simulated.write_store(results, {"a": 0.8, "b": 0.9}, seeds=1)
    mine = results / "simulated.toml"
    changed = tmp_path / "changed.toml"
    changed.write_text(mine.read_text().replace("batch_size = 16", "batch_size = 32"))
    newer = protocol.load(str(changed))
    store.keep_protocol(newer.digest, changed.read_text())
    run = samples.run(model="c", protocol=newer.id, protocol_digest=newer.digest)
    store.add(samples.record(run, status="interrupted", created="2999-01-01T00:00:00Z"))
    models = [
        [
            row["model"]
            for row in json.loads(fmbench("leaderboard", "--json", *named).stdout)["rows"]
        ]
        for named in ((), ("--protocol", changed), ("--protocol", mine))
    ]
    assert models == [["c"], ["c"], ["b", "a"]]
    assert fmbench("compare", "a", "b", "--protocol", mine).returncode == 0
    assert fmbench("leaderboard", "--write", "--protocol", mine).returncode == 0
    assert (store.folder / "leaderboard.csv").read_text().count("\n") == 3
    assert fmbench("leaderboard", "--check", "--protocol", mine).returncode == 0
    assert fmbench("leaderboard", "--check").returncode == ExitCode.CHECK_FAILED


def test_two_models_are_compared_in_words_and_in_json(fmbench: Fmbench, tmp_path: Path) -> None:
    """`compare` ends in a sentence; --json has the numbers behind it."""
    simulated.write_store(tmp_path / "results", {"a": 0.8, "b": 0.9}, seeds=3)
    said = fmbench("compare", "a", "b").stdout
    assert said.rstrip().endswith(".")
    assert "b is more accurate than a" in said.splitlines()[-1]
    found = json.loads(fmbench("compare", "a", "b", "--json").stdout)
    assert found["low"] < found["gap"] < found["high"] < 0
    assert found["conclusion"] in said


def test_hostile_names_are_inert_in_every_format(fmbench: Fmbench, tmp_path: Path) -> None:
    """What a plugin calls itself is text in terminal, Markdown, CSV and page, and moves nothing."""
    evil = "=1+1|<script>alert(1)</script>[red]\u202e\x1b[31m"
    store = simulated.write_store(tmp_path / "results", {"a": 0.8}, seeds=1, version=evil)
    assert len(store.read().records) == 4
    for form in ("terminal", "md", "csv", "html"):
        text = fmbench("leaderboard", "--format", form).stdout
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "<script>alert" not in text or form in ("terminal", "csv")
    rows = list(csv.DictReader(io.StringIO(fmbench("leaderboard", "--format", "csv").stdout)))
    assert rows[0]["version"].startswith("'=1+1")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("fmbench lea", "leaderboard"),
        ("fmbench run oth", "other"),
        ("fmbench run good --protocol st", "standard-v1"),
        ("fmbench protocols st", "standard-v1"),
        ("fmbench compare --results kept --protocol tiny-v1 n", "n"),
        ("fmbench show --results kept --protocol t", "tiny-v1"),
        ("fmbench show --results nowhere --protocol t", ""),
    ],
)
def test_the_shell_completes_commands_models_protocols_and_rows(
    fmbench: Fmbench, bad_inputs: None, install: Install, words: str, offered: str
) -> None:
    """Completion offers what there is, and nothing where there is nothing."""
    install("plugin-b", offering("other=linear"))
    asked = {
        "_FMBENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    assert fmbench(**asked).stdout.split() == offered.split()

"""The command as people use it: help, bad input, exit codes, and what is never loaded."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import samples
from conftest import Fmbench, Install, TinyData
from fmbench.errors import ExitCode
from fmbench.store import Store
from plugins_of_all_kinds import GOOD

COMMANDS = ("run", "leaderboard", "models", "protocols", "data", "show")


def test_help_lists_every_command_with_examples_and_exit_codes(fmbench: Fmbench) -> None:
    """`fmbench --help` names all commands and what exit codes mean; each command has examples."""
    text = fmbench("--help").stdout
    for command in COMMANDS:
        assert f"\n  {command} " in text
        assert "Examples:\n" in fmbench(command, "--help").stdout
    for code in ExitCode:
        assert f"{code.value} " in text


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
    "unwritable results": (("run", "good", "--results", "a-file"), 2, "a-file"),
    "nothing named": (("run",), 5, "--all"),
    "no match": (("run", "nothing/*"), 5, "nothing/*"),
    "unknown device": (("run", "good", "--device", "tpu"), 2, "tpu"),
    "absent device": (("run", "good", "--device", "cuda:99"), 2, "cuda:99"),
    "too many seeds": (("run", "good", "--seeds", "99"), 2, "seeds"),
    "no results": (("leaderboard",), 2, "results"),
    "no records of it": (("leaderboard", "--protocol", "lite-v1"), 2, "lite-v1"),
    "no such record": (("show", "ffff", "--results", "some"), 2, "ffff"),
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
    store = Store(tmp_path / "some", "tiny-v1")
    store.make()
    store.add(samples.record(samples.run(protocol_digest="0" * 64)))
    store.keep_protocol("0" * 64, tiny.protocol.read_text())


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_told_with_a_hint_and_its_exit_code(
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

    monkeypatch.setattr(listing, "entries", list)
    monkeypatch.setattr(sys, "argv", ["fmbench", "run", "--all"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == ExitCode.NOTHING_SELECTED
    monkeypatch.setattr(sys, "argv", ["fmbench", "models"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code


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


GUARD = """
import sys

class Guard:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "timm"): raise AssertionError(f"{name} was loaded")

sys.meta_path.insert(0, Guard())
from fmbench.cli import main
main()
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["models"], ["protocols"], ["leaderboard"], ["show"], ["run", "good"]],
)
def test_reading_commands_and_finished_runs_never_load_torch(
    fmbench: Fmbench,
    environment: dict[str, str],
    install: Install,
    tiny: TinyData,
    tmp_path: Path,
    arguments: list[str],
) -> None:
    """Help, models, tables and a run with nothing left to do load neither torch nor timm."""
    install("plugin-a", GOOD)
    asked = ["--protocol", str(tiny.protocol), "--data-dir", str(tiny.folder)]
    if arguments[0] in ("leaderboard", "show", "run"):
        assert fmbench("run", "good", *asked).returncode == 0
    if arguments[0] == "run":
        arguments = [*arguments, *asked]
    ran = subprocess.run(
        [sys.executable, "-c", GUARD, *arguments],
        capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr


def test_locale_time_zone_and_hash_seed_change_no_byte(
    fmbench: Fmbench, install: Install, tiny: TinyData
) -> None:
    """The same records give the same Markdown, CSV and JSON wherever and whenever they are read."""
    install("plugin-a", GOOD)
    asked = ("run", "good", "--protocol", tiny.protocol, "--data-dir", tiny.folder)
    assert fmbench(*asked).returncode == 0
    for form in ("md", "csv", "json"):
        here = fmbench("leaderboard", "--format", form, PYTHONHASHSEED="1", TZ="UTC")
        there = fmbench(
            "leaderboard", "--format", form, PYTHONHASHSEED="2", TZ="Asia/Tokyo", LC_ALL="C.UTF-8"
        )
        assert here.stdout == there.stdout
        assert here.stdout


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
        capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60,
    )  # fmt: skip
    assert ran.returncode == ExitCode.USAGE
    assert "locked" in ran.stderr

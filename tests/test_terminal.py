"""Where a command is typed: terminals that are odd or go away, locales, users without a home."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

import simulated
from conftest import Fmbench, Install, TinyData
from fmbench.errors import ExitCode
from fmbench.store import Store
from plugins_of_all_kinds import GOOD, offering

COMMAND = Path(sys.executable).with_name("fmbench")
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
SLOW = """
def slow(spec):
    import time
    time.sleep(1)
    return linear(spec)
"""


@pytest.fixture
def asked(install: Install, tiny: TinyData) -> list[object]:
    """A command that makes two runs of a plugin."""
    install("plugin-slow", offering("slow=slow", extra=SLOW))
    return ["run", "slow", "--protocol", tiny.protocol, "--data-dir", tiny.folder, "--threads", 1]


@pytest.mark.parametrize("columns", ["", "0", "-3", "wide"])
def test_a_width_that_is_none_is_as_if_it_were_not_set(
    fmbench: Fmbench, environment: dict[str, str], tmp_path: Path, columns: str
) -> None:
    """In a pipe nothing is dropped or broken, whatever COLUMNS says that is no width."""
    simulated.write_store(tmp_path / "results", {"a": 0.9, "b": 0.8}, seeds=5)
    del environment["COLUMNS"]
    plain = fmbench("leaderboard").stdout
    assert "calibration error" in plain
    assert fmbench("leaderboard", COLUMNS=columns, LINES="0").stdout == plain


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_a_pipe_has_no_width_whatever_asks_for_colours(
    fmbench: Fmbench, environment: dict[str, str], tmp_path: Path, variable: str
) -> None:
    """Where colours are asked for, in CI say, a pipe still gets every column."""
    simulated.write_store(tmp_path / "results", {"a": 0.9, "b": 0.8}, seeds=5)
    del environment["COLUMNS"]
    plain = fmbench("leaderboard").stdout
    assert "calibration error" in plain
    coloured = fmbench("leaderboard", **{variable: "1"}).stdout
    assert len(coloured.splitlines()[0]) >= 150
    assert "calibration error" in coloured


@pytest.mark.parametrize("locale", [{"PYTHONIOENCODING": "ascii"}, ASCII])
def test_what_a_locale_cannot_write_is_a_question_mark(
    fmbench: Fmbench, tmp_path: Path, locale: dict[str, str]
) -> None:
    """A board is printed in ASCII where that is all there is, and its data are UTF-8 as ever."""
    simulated.write_store(tmp_path / "results", {"a": 0.9, "b": 0.8}, seeds=5)
    shown = fmbench("leaderboard", **locale)
    assert shown.returncode == 0, shown.stderr
    assert "? is half the width" in shown.stdout
    assert (
        fmbench("leaderboard", "--json", **locale).stdout == fmbench("leaderboard", "--json").stdout
    )


def test_no_locale_makes_a_plugins_print_fail(
    fmbench: Fmbench, install: Install, tiny: TinyData, tmp_path: Path
) -> None:
    """What a plugin prints at import and in training is UTF-8 in its log, also under ASCII."""
    said = "print('\\u2713')\n"
    install("plugin-a", f"{said}{GOOD}")
    asked = ("--protocol", tiny.protocol, "--data-dir", tiny.folder, "--seeds", 1)
    ran = fmbench("run", "good", *asked, **ASCII)
    assert ran.returncode == 0, ran.stderr
    (log,) = Store(tmp_path / "results", "tiny-v1").records.glob("*.log")
    assert log.read_text("utf-8") == "\u2713\n"


@pytest.mark.parametrize("command", ["run", "leaderboard", "show"])
def test_a_folder_whose_name_is_no_text_is_a_usage_error(
    fmbench: Fmbench, install: Install, tmp_path: Path, command: str
) -> None:
    """Records and pages could not name such a results folder: exit code 2 with a hint."""
    install("plugin-a", GOOD)
    ran = fmbench(command, *(["good"] if command == "run" else []), "--results", "r\udcff")
    assert ran.returncode == ExitCode.USAGE
    assert "is not text in this locale" in ran.stderr
    assert "hint:" in ran.stderr
    assert not list(tmp_path.glob("r*"))


@pytest.mark.parametrize("streams", ["both", "data"])
def test_a_reader_that_has_gone_costs_no_run_and_no_board(
    environment: dict[str, str], asked: list[object], tmp_path: Path, streams: str
) -> None:
    """With `| head -1` behind it a command makes all its runs, writes its board and ends well."""
    child = subprocess.Popen(
        [COMMAND, *map(str, asked)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if streams == "both" else subprocess.DEVNULL,
    )
    assert child.stdout is not None
    if streams == "both":
        child.stdout.readline()
    child.stdout.close()
    assert child.wait(2000) == 0
    assert_whole(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("form", ["--format=terminal", "--json"])
def test_data_that_cannot_be_written_are_reported(
    environment: dict[str, str], tmp_path: Path, form: str
) -> None:
    """Into a full disk a board ends with exit code 2 and a hint; talk there is just lost."""
    simulated.write_store(tmp_path / "results", {"a": 0.9, "b": 0.8}, seeds=5)
    asked = [COMMAND, "leaderboard", form]
    with Path("/dev/full").open("w") as full:
        lost = subprocess.run(
            asked, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
        )
        assert lost.returncode == ExitCode.USAGE
        assert "standard output: cannot be written: No space left on device" in lost.stderr
        assert "hint:" in lost.stderr
        assert "Traceback" not in lost.stderr
        shown = subprocess.run(
            asked, stdout=subprocess.PIPE, stderr=full, text=True, cwd=tmp_path, env=environment
        )
        assert (shown.returncode, "calibration" in shown.stdout) == (0, True)


@pytest.mark.parametrize("form", ["--format=terminal", "--json"])
def test_a_closed_output_is_no_fault(
    environment: dict[str, str], tmp_path: Path, form: str
) -> None:
    """A command that was started without standard output ends well."""
    simulated.write_store(tmp_path / "results", {"a": 0.9, "b": 0.8}, seeds=5)
    asked = [COMMAND, "leaderboard", form]
    ran = subprocess.run(
        asked, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment,
        preexec_fn=lambda: os.close(1),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr


def test_a_folder_that_is_gone_is_a_usage_error(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Where the current folder was removed, a command says so: exit code 2 with a hint."""
    gone = tmp_path / "gone"
    gone.mkdir()
    ran = subprocess.run(
        [COMMAND, "leaderboard"], capture_output=True, text=True, cwd=gone, env=environment,
        preexec_fn=gone.rmdir,
    )  # fmt: skip
    assert ran.returncode == ExitCode.USAGE
    assert "hint:" in ran.stderr


def assert_whole(folder: Path) -> None:
    """Both runs are recorded, and the board is there."""
    store = Store(folder / "results", "tiny-v1")
    assert [record.result.status for record in store.read().records] == ["ok", "ok"]
    assert (store.folder / "leaderboard.md").exists()
    assert (store.folder / "index.html").exists()


def on_a_terminal(
    asked: list[object], environment: dict[str, str], folder: Path, *, hangup: signal.Handlers
) -> int:
    """The exit status of a command whose terminal is closed at its first run."""
    ours, theirs = pty.openpty()

    def take_it() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, hangup)

    child = subprocess.Popen(
        [COMMAND, *map(str, asked)],
        cwd=folder,
        env={**environment, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=take_it,
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    while not list(folder.glob("results/*/work/jobs/*/job-*/events.jsonl")):
        assert child.poll() is None
        time.sleep(0.02)
    os.close(ours)
    return child.wait(2000)


def test_a_terminal_that_closes_stops_no_run_that_ignores_it(
    environment: dict[str, str], asked: list[object], tmp_path: Path
) -> None:
    """Under nohup a command goes on without its terminal, to the board."""
    assert on_a_terminal(asked, environment, tmp_path, hangup=signal.SIG_IGN) == 0
    assert_whole(tmp_path)


def test_a_hangup_is_as_ctrl_c(
    environment: dict[str, str], asked: list[object], tmp_path: Path
) -> None:
    """Without nohup a command whose terminal closes stops, and leaves no claim behind."""
    status = on_a_terminal(asked, environment, tmp_path, hangup=signal.SIG_DFL)
    assert status == ExitCode.INTERRUPTED
    store = Store(tmp_path / "results", "tiny-v1")
    assert [record.result.status for record in store.read().records] == ["interrupted"]
    assert list(store.claims.glob("*.json")) == []


def test_a_parent_that_ignores_its_children_hinders_no_run(
    environment: dict[str, str], asked: list[object], tmp_path: Path
) -> None:
    """Started by what ignores SIGCHLD, a window manager say, runs are made as ever."""
    ran = subprocess.run(
        [COMMAND, *map(str, asked)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    )
    assert ran.returncode == 0, ran.stderr
    assert_whole(tmp_path)


NOBODY = """
import pwd
def nobody(uid): raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = nobody
"""


def test_a_user_without_a_home_loses_nothing(
    environment: dict[str, str],
    fmbench: Fmbench,
    asked: list[object],
    site: Path,
    tmp_path: Path,
) -> None:
    """In a container with a bare user id runs are made and scored; only the cache is not there."""
    (site / "sitecustomize.py").write_text(NOBODY)
    for name in ("HOME", "XDG_CACHE_HOME"):
        environment.pop(name, None)
    ran = fmbench(*asked)
    assert ran.returncode == 0, ran.stderr
    assert_whole(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results", "site"]
    data = fmbench("data", FMBENCH_DATA="", XDG_DATA_DIRS="/nowhere")
    assert data.returncode == ExitCode.CHECK_FAILED
    assert "there is no home folder" in data.stderr

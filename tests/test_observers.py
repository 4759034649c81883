"""Observers: loaded by name, called with what happens, and dropped when they fail."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

import samples
from conftest import Fmbench, Install, TinyData
from fmbench.discovery import choice
from fmbench.errors import ExitCode, PluginError
from fmbench.execution.observers import Observers
from fmbench.hookspecs import hookimpl
from plugins_of_all_kinds import GOOD

WATCHING = """
import fmbench, pathlib

def note(line):
    with pathlib.Path("seen.txt").open("a") as file:
        file.write(line + "\\n")

@fmbench.hookimpl
def fmbench_run_start(run):
    note(f"start {run.model} {run.seed}")

@fmbench.hookimpl
def fmbench_epoch_end(progress):
    note(f"epoch {progress.epoch} of {progress.epochs}")

@fmbench.hookimpl
def fmbench_run_end(record):
    note(f"end {record.result.status}")
    FAULT
"""


class UnprintableError(Exception):
    """An error that fails when it is printed."""

    def __str__(self) -> str:
        raise RuntimeError


class Failing:
    """An observer that fails at its first record."""

    def __init__(self, error: BaseException) -> None:
        self.calls = 0
        self.error = error

    @hookimpl
    def fmbench_run_end(self) -> None:
        """Count and fail."""
        self.calls += 1
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("on purpose"),
        SystemExit("on purpose"),
        asyncio.CancelledError("on purpose"),
        GeneratorExit("on purpose"),
        UnprintableError("on purpose"),
    ],
)
def test_an_observer_that_fails_is_reported_once_and_called_no_more(error: BaseException) -> None:
    """The first fault of an installed observer is said once; the run goes on without it."""
    said: list[str] = []
    failing = Failing(error)
    observers = Observers(guests={"g": failing}, say=said.append)
    for _ in range(3):
        observers.run_end(samples.record())
    assert failing.calls == 1
    words = "it has no message that can be printed"
    words = words if isinstance(error, UnprintableError) else "on purpose"
    assert said == [
        "the observer g failed at fmbench_run_end and is called no more: "
        f"{type(error).__name__}: {words}"
    ]


class Meddling:
    """An observer that changes what the process works with, and prints."""

    @hookimpl
    def fmbench_run_end(self) -> None:
        """Move, set a variable, take Ctrl-C away, and talk."""
        os.chdir("/")
        os.environ["OMP_NUM_THREADS"] = "7"
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        sys.stdout.write("from an observer\n")


def test_an_observer_changes_nothing_that_others_rely_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Folder, environment and Ctrl-C are as before the call, and its output goes to stderr."""
    monkeypatch.chdir(tmp_path)

    def surroundings() -> tuple[object, ...]:
        handlers = map(signal.getsignal, (signal.SIGINT, signal.SIGCHLD))
        return Path.cwd(), dict(os.environ), *handlers

    before = surroundings()
    Observers(guests={"g": Meddling()}).run_end(samples.record())
    assert surroundings() == before
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "from an observer\n")


def test_our_own_faults_are_raised() -> None:
    """A fault of fmbench's own observers is not swallowed."""
    with pytest.raises(RuntimeError, match="on purpose"):
        Observers(own=[Failing(RuntimeError("on purpose"))]).run_end(samples.record())


def test_what_implements_no_hook_is_no_observer() -> None:
    """An object without hooks, or with a misspelt one, is refused with its name."""

    class Misspelt:
        @hookimpl
        def fmbench_run_finish(self) -> None:
            """No such hook."""

    for observer in (object(), Misspelt()):
        with pytest.raises(PluginError) as raised:
            Observers(guests={"odd": observer})
        assert raised.value.where == "odd"


def test_an_installed_observer_sees_runs_when_it_is_named(
    fmbench: Fmbench, install: Install, tiny: TinyData, tmp_path: Path
) -> None:
    """-p NAME loads it, without it nothing is loaded; a fault costs only the observer itself."""
    install("plugin-a", GOOD)
    install("watching", WATCHING.replace("FAULT", "pass"), group="fmbench.observers")
    failing = WATCHING.replace("FAULT", "raise RuntimeError('on purpose')")
    install("failing", failing.replace("seen.txt", "less.txt"), group="fmbench.observers")
    asked = ("run", "good", "--protocol", tiny.protocol, "--data-dir", tiny.folder)
    assert fmbench(*asked, "--seeds", 1).returncode == 0
    assert not (tmp_path / "seen.txt").exists()
    ran = fmbench(*asked, "-p", "watching", "-p", "failing", "--results", "watched")
    assert ran.returncode == 0, ran.stderr
    seen = (tmp_path / "seen.txt").read_text()
    assert seen.startswith("start good 1\n")
    assert "epoch 2 of 2\n" in seen
    assert seen.count("end ok\n") == 2
    assert (tmp_path / "less.txt").read_text().count("end ok\n") == 1
    assert ran.stderr.count("called no more") == 1


def test_an_unknown_or_broken_observer_is_reported_before_anything_runs(
    fmbench: Fmbench, install: Install, tiny: TinyData, tmp_path: Path
) -> None:
    """A name nobody has, and an observer that cannot be imported, end with 2 and a hint."""
    install("plugin-a", GOOD)
    install("broken", "import nothing_of_this_name", group="fmbench.observers")
    asked = ("run", "good", "--protocol", tiny.protocol, "--data-dir", tiny.folder)
    for name, said in (("nobody", "no plugin is called"), ("broken", "nothing_of_this_name")):
        ran = fmbench(*asked, "-p", name)
        assert ran.returncode == ExitCode.USAGE
        assert said in ran.stderr
        assert "hint:" in ran.stderr
    assert not list((tmp_path / "results").glob("*/records/*"))


def test_two_observers_of_one_name_are_refused(
    fmbench: Fmbench, install: Install, tiny: TinyData
) -> None:
    """Of two distributions whose observers share a name none is taken silently: exit code 2."""
    install("plugin-a", GOOD)
    for name in ("watch-a", "watch-b"):
        install(name, "", group="fmbench.observers]\nmine = json\n[other")
    asked = ("run", "good", "--protocol", tiny.protocol, "--data-dir", tiny.folder)
    ran = fmbench(*asked, "-p", "mine")
    assert ran.returncode == ExitCode.USAGE
    assert "2 distributions have an observer 'mine'" in ran.stderr
    assert "watch-a, watch-b" in ran.stderr


def test_an_observer_that_is_named_can_be_left_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last word about a name counts, in any spelling."""
    for words, named in (
        ("a,no:a", []), ("no:a,a", ["a"]), ("A_b,c,no:a-b", ["c"]), ("b,a,b", ["b", "a"]),
    ):  # fmt: skip
        monkeypatch.setenv(choice.VARIABLE, words)
        assert choice.named() == named


def test_a_plugin_is_left_out_of_one_command(fmbench: Fmbench, install: Install) -> None:
    """-p no:NAME hides a distribution's models; without autoload only the named ones are there."""
    install("plugin-a", GOOD)
    assert "good" in fmbench("models").stdout
    assert "good" not in fmbench("models", "-p", "no:plugin-a").stdout
    alone = fmbench("models", "-p", "plugin-a", FMBENCH_DISABLE_PLUGIN_AUTOLOAD="1").stdout
    assert "good" in alone
    assert "softmax" not in alone

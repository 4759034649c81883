"""`fmbench.run` makes the runs of the command, and leaves the process it is called in alone."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fmbench as package
import samples
from conftest import Fmbench, Install, TinyData, alive
from fmbench import data, hardware, protocol
from fmbench.discovery import ListedModel
from fmbench.errors import FmbenchError, NothingSelectedError, UsageError
from fmbench.execution.local import LocalEngine
from fmbench.execution.plan import make_setting
from fmbench.execution.runner import Runner
from fmbench.execution.scorer import Scorer
from fmbench.store import Store
from plugins_of_all_kinds import GOOD, offering

STATE = """
import ctypes, os, resource, signal, sys, threading
import fmbench, psutil

def handler(*_): pass

def state():
    adopts = ctypes.c_int(-1)
    ctypes.CDLL(None).prctl(37, ctypes.byref(adopts), 0, 0, 0)  # PR_GET_CHILD_SUBREAPER
    umask = os.umask(0o22); os.umask(umask)
    return {
        "handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "blocked": signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "environment": dict(os.environ), "folder": os.getcwd(), "umask": umask,
        "adopts": adopts.value, "cores": os.sched_getaffinity(0), "nice": os.nice(0),
        "limits": resource.getrlimit(resource.RLIMIT_NOFILE),
        "streams": (sys.stdin, sys.stdout, sys.stderr, sys.excepthook, sys.path[:]),
        "threads": {one.name for one in threading.enumerate()},
        "files": {one for one in os.listdir("/proc/self/fd")
                  if os.path.exists(f"/proc/self/fd/{one}")},
        "children": {one.pid for one in psutil.Process().children(recursive=True)},
    }
"""
WITH_CHILDREN = """
signal.signal(signal.SIGUSR1, handler)
signal.signal(signal.SIGCHLD, {sigchld})
import subprocess
mine = subprocess.Popen(["sh", "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE,
                        stderr=subprocess.DEVNULL, text=True, start_new_session=True)
theirs = int(mine.stdout.readline())
def call():
    board = fmbench.run("stray", protocol={protocol!r}, data_dir={folder!r})
    assert list(board.frame()["status"]) == ["ok"], board.frame()
def in_a_thread():
    found = []
    def work():
        try: call()
        except BaseException as error: found.append(error)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not found, found
try:
    before = state()
    {call}()
    after = state()
    changed = [(before[one], after[one]) for one in before if before[one] != after[one]]
    assert [one for one in changed if one[0] is not before["files"]] == [], changed
    assert after["files"] <= before["files"], after["files"] - before["files"]
    assert mine.poll() is None and psutil.pid_exists(theirs)
finally:
    for pid in (mine.pid, theirs):
        psutil.Process(pid).kill()
assert "torch" not in sys.modules
"""
STRAY = """
def stray(spec):
    import subprocess
    left = subprocess.Popen(["sleep", "600"], start_new_session=True)
    with open({noted!r}, "a") as file: file.write(f"{{left.pid}} ")
    return linear(spec)
"""


def python(code: str, environment: dict[str, str], folder: Path) -> None:
    """Run code as a notebook's kernel might, in a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=2000,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("call", "sigchld"),
    [("call", "signal.SIG_DFL"), ("in_a_thread", "handler"), ("call", "signal.SIG_IGN")],
)
def test_a_notebooks_process_is_as_it_was(
    environment: dict[str, str], install: Install, tiny: TinyData, tmp_path: Path,
    call: str, sigchld: str,
) -> None:  # fmt: skip
    """Its children live, what plugins left does not, and signals, files, folder are as before."""
    noted = tmp_path / "pids"
    extra = STRAY.format(noted=str(noted))
    install("plugin-a", offering("stray=stray", extra=extra))
    code = STATE + WITH_CHILDREN.format(
        protocol=str(tiny.protocol), folder=str(tiny.folder), call=call, sigchld=sigchld
    )
    python(code, environment, tmp_path)
    strays = [int(pid) for pid in noted.read_text().split()]
    assert strays and not any(alive(pid) for pid in strays)


def test_the_function_and_the_command_share_their_runs(
    environment: dict[str, str], install: Install, fmbench: Fmbench, tiny: TinyData, tmp_path: Path
) -> None:
    """What one has made the other does not repeat, and both write the same files."""
    install("plugin-a", GOOD)
    asked = ("run", "good", "--protocol", tiny.protocol, "--data-dir", tiny.folder)
    code = f"""
import fmbench
board = fmbench.run("good", protocol={str(tiny.protocol)!r}, data_dir={str(tiny.folder)!r},
                    seeds={{seeds}}, workers=2)
assert len(board) == 1
same = fmbench.results.open("results").frame()
assert board.frame().equals(same), (board.frame(), same)
"""
    python(code.format(seeds=1), environment, tmp_path)
    store = Store(tmp_path / "results", "tiny-v1")
    (first,) = store.read().records
    assert fmbench(*asked).returncode == 0
    both = store.read().records
    assert first in both and [one.run.seed for one in both] == [1, 2]
    written = {path.name: path.read_bytes() for path in store.folder.glob("*.*") if path.is_file()}
    python(code.format(seeds=None), environment, tmp_path)
    assert store.read().records == both
    assert written == {
        path.name: path.read_bytes() for path in store.folder.glob("*.*") if path.is_file()
    }


def test_an_interrupted_call_goes_on_when_it_is_called_again(
    environment: dict[str, str], install: Install, tiny: TinyData, tmp_path: Path
) -> None:
    """A kernel's interrupt ends run and worker; the same process then makes what is missing."""
    marker = tmp_path / "slow"
    marker.touch()
    slow = f"""
def slow(spec):
    import os, time
    while os.path.exists({str(marker)!r}): time.sleep(0.05)
    return linear(spec)
"""
    install("plugin-a", offering("slow=slow", extra=slow))
    code = f"""
import os, signal, fmbench, psutil
signal.signal(signal.SIGINT, signal.default_int_handler)
def call():
    return fmbench.run("slow", protocol={str(tiny.protocol)!r}, data_dir={str(tiny.folder)!r})
try: call()
except KeyboardInterrupt: pass
else: raise AssertionError("it went on")
assert not psutil.Process().children(), psutil.Process().children()
os.unlink({str(marker)!r})
frame = call().frame()
assert list(frame["seeds"]) == [2], frame
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    jobs = Store(tmp_path / "results", "tiny-v1").jobs
    while not list(jobs.glob("*/job-*/events.jsonl")):
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=2000)
    assert child.returncode == 0, said
    assert "the same call goes on" in said


def test_an_interrupt_between_claim_and_job_leaves_no_claim(
    tiny: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that lives on would hold it for ever, and wait for itself."""
    rules = protocol.load(str(tiny.protocol))
    setting = make_setting(rules, hardware.cpu_device())
    model = ListedModel(name="m", summary="", size=28, source="", plugin=samples.PLUGIN)
    store = Store(tmp_path, rules.id)
    store.make()

    def interrupt(*_: object) -> None:
        assert list(store.claims.glob("*.json"))
        raise KeyboardInterrupt

    monkeypatch.setattr(Runner, "_place", interrupt)
    scorer = Scorer(data.load(tiny.folder, rules.data.sha256), rules)
    with pytest.raises(KeyboardInterrupt):
        Runner(setting=setting, store=store, scorer=scorer, engine=LocalEngine()).run([model])
    assert list(store.claims.glob("*.json")) == []


def test_an_engine_adopts_nobodys_orphans(environment: dict[str, str], tmp_path: Path) -> None:
    """A process that places jobs does not become the parent of what its own children leave."""
    python(
        STATE + "from fmbench.execution.local import LocalEngine\n"
        "before = state()\nLocalEngine(2)\nassert state() == before\n",
        environment,
        tmp_path,
    )


@pytest.mark.parametrize(
    ("arguments", "error", "where"),
    [
        ({"models": []}, NothingSelectedError, ""),
        ({"models": "good", "workers": 0}, UsageError, "workers"),
        ({"models": "good", "workers": "two"}, UsageError, "workers"),
        ({"models": "good", "threads": 1.5}, UsageError, "threads"),
        ({"models": "good", "seeds": -1}, UsageError, "seeds"),
        ({"models": "good", "timeout": float("nan")}, UsageError, "timeout"),
        ({"models": "good", "timeout": float("inf")}, UsageError, "timeout"),
        ({"models": "good", "protocol": "none-v1"}, UsageError, ""),
        ({"models": "good", "device": "mps"}, UsageError, ""),
        ({"models": "no-such-model-anywhere"}, FmbenchError, ""),
    ],
)
def test_what_cannot_be_meant_is_an_error_with_a_hint(
    tmp_path: Path, arguments: dict[str, object], error: type[FmbenchError], where: str
) -> None:
    """Nothing is written, and the error says what is wrong and what to do, as a command would."""
    with pytest.raises(error) as caught:
        package.run(results=tmp_path / "results", **arguments)  # type: ignore[arg-type]
    assert caught.value.hint
    assert not where or caught.value.where == where
    assert not (tmp_path / "results").exists()


def test_importing_the_package_stays_light() -> None:
    """What a plugin imports loads no runner; its names are there, and no others."""
    code = """
import sys, fmbench
assert not {"rich", "tqdm", "pandas", "numpy", "torch", "psutil"} & sys.modules.keys()
assert not hasattr(fmbench, "rum")
from fmbench import *
assert "pandas" not in sys.modules
assert callable(fmbench.run) and "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)

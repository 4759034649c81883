"""Engines: what a worker's end is taken to mean, told apart by its guard."""

import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import samples
from conftest import TinyData, alive, install_into
from fmbench import data, discovery, hardware, limits, processes, protocol
from fmbench.discovery import ListedModel
from fmbench.errors import UsageError
from fmbench.execution import guard
from fmbench.execution.engines import outcome_of
from fmbench.execution.estimate import UNKNOWN_MEMORY, Estimate
from fmbench.execution.job import Ending, JobFolder, RunOutcome
from fmbench.execution.local import LocalEngine
from fmbench.execution.observers import Observers
from fmbench.execution.plan import make_setting
from fmbench.execution.runner import Runner
from fmbench.execution.scorer import Scorer
from fmbench.hardware import Device
from fmbench.hookspecs import hookimpl
from fmbench.store import Store
from plugins_of_all_kinds import offering

STARTS_A_PROCESS = """
def starts(spec):
    import os, subprocess, sys, time
    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3000)'])
    with open(os.environ['NOTED'], 'w') as file: file.write(str(child.pid))
    time.sleep(3000)
"""


@pytest.mark.parametrize(
    ("ending", "status", "said"),
    [
        (Ending(status=0), "crashed", "exit status 0"),
        (Ending(status=7), "crashed", "exit status 7"),
        (Ending(status=-signal.SIGSEGV), "crashed", "SIGSEGV"),
        (Ending(status=-signal.SIGKILL), "crashed", "SIGKILL"),
        (Ending(status=-40), "crashed", "signal 40"),
        (Ending(status=-signal.SIGKILL, out_of_memory=True), "oom", "out of memory"),
        (None, "crashed", "guard"),
    ],
)
def test_ends_are_told_apart(ending: Ending | None, status: str, said: str) -> None:
    """Exit, signal, the kernel's want of memory and the death of the guard have their own words."""
    outcome = outcome_of(ending)
    assert outcome.status == status
    assert said in outcome.message


def test_the_kernels_count_is_read(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of processes killed for want of memory comes from /proc/vmstat, or is 0."""
    monkeypatch.setattr(guard, "OUT_OF_MEMORY_KILLS", tmp_path / "vmstat")
    assert guard._out_of_memory_kills() == 0
    (tmp_path / "vmstat").write_text("nr_free_pages 5\noom_kill 3\n")
    assert guard._out_of_memory_kills() == 3


def test_a_guard_that_cannot_start_a_worker_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where there is no room for another process, that is how the worker ended, not a crash."""

    def no_room(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    for module, name in ((guard.signal, "signal"), (processes, "end_with_parent"),
                         (processes, "adopt_orphans")):  # fmt: skip
        monkeypatch.setattr(module, name, lambda *_: None)
    monkeypatch.setattr(guard.subprocess, "Popen", no_room)
    monkeypatch.setattr(guard, "_pin", lambda *_: None)
    guard.main(str(tmp_path), "1")
    assert JobFolder(tmp_path).read_ending() == Ending(status=1)
    assert "Resource temporarily unavailable" in capfd.readouterr().err


class Busy:
    """A worker of the local engine that is under way, with what it uses and is taken to need."""

    def __init__(self, memory: float, used: float = 0.0) -> None:
        self.memory = memory
        self.used = used
        self.done = False

    def ended(self) -> RunOutcome | None:
        """None until it is done."""
        return RunOutcome(status="ok") if self.done else None

    def memory_to_come(self) -> float:
        """What it has not taken yet."""
        return max(0.0, self.memory - self.used)


@pytest.mark.parametrize(
    ("under_way", "memory", "available", "room"),
    [
        ([], math.inf, 1, True),  # alone it may take what there is
        ([Busy(2e9)], 2e9, 5e9, True),
        ([Busy(2e9)], 4e9, 5e9, False),
        ([Busy(2e9, used=2e9)], 4e9, 5e9, True),
        ([Busy(math.inf)], 1e9, 64e9, False),  # who is to be alone is
        ([Busy(1e9)], math.inf, 64e9, False),
        ([Busy(0), Busy(0), Busy(0)], 0, 64e9, False),  # no slot
    ],
)
def test_workers_start_while_memory_lasts(
    monkeypatch: pytest.MonkeyPatch,
    under_way: list[Busy],
    memory: float,
    available: float,
    room: bool,
) -> None:
    """A job starts where what is free holds all that those under way will take, and it."""
    monkeypatch.setattr(limits, "memory_available", lambda: available)
    engine = LocalEngine(3)
    engine._under_way = under_way  # type: ignore[assignment]
    assert engine.has_room(memory) is room
    for one in under_way:
        one.done = True
    assert engine.has_room(memory)


def test_little_memory_makes_runs_wait(
    tiny: TinyData, tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where memory for one worker is left two are never under way, though there are slots."""
    install_into(site, "plugin-a", offering("one=linear", "two=linear"))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(limits, "memory_available", lambda: UNKNOWN_MEMORY / 10)
    rules = protocol.load(str(tiny.protocol))
    setting = make_setting(rules, hardware.cpu_device(), threads=1, seeds=1)
    store = Store(tmp_path / "results", rules.id)
    store.make()
    models = [one for one in discovery.catalogue().models if one.name in ("one", "two")]
    made = Runner(
        setting=setting,
        store=store,
        scorer=Scorer(data.load(tiny.folder, rules.data.sha256), rules),
        engine=LocalEngine(2),
        forecast=Estimate([], setting, own=[], published=[]),
    ).run(models)
    assert [(record.ok, record.cost.beside) for record in made] == [(True, 0), (True, 0)]


def test_a_worker_that_trains_is_measured() -> None:
    """What a process takes at its peak is known while it runs, with all that it has started."""
    code = "x = bytearray(300_000_000); x = None; print('ready', flush=True); input()"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", nested], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == b"ready\n"
        now, peak = processes.memory_of(child.pid)
        child.communicate(b"\n")
    assert now < 200e6 < 300e6 < peak < 500e6
    assert processes.memory_of(child.pid) == (0, 0)


def test_a_lost_guard_costs_its_own_job_alone(
    tiny: TinyData, tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a guard is killed its worker and what that started end; other children live on."""
    install_into(site, "plugin-a", offering("good=starts", extra=STARTS_A_PROCESS))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.syspath_prepend(site)
    rules = protocol.load(str(tiny.protocol))
    setting = make_setting(rules, hardware.cpu_device(), threads=1, seeds=1)
    store = Store(tmp_path / "results", rules.id)
    store.make()
    (model,) = [one for one in discovery.catalogue().models if one.name == "good"]

    class Killing:
        """An observer that kills the guard once the model has started its process."""

        @hookimpl
        def fmbench_run_start(self) -> None:
            """Kill it."""
            noted = tmp_path / "pid"
            while not (noted.exists() and noted.read_text()):
                time.sleep(0.02)
            (guard,) = (
                one
                for one in psutil.Process().children(recursive=True)
                if "execution.guard" in " ".join(one.cmdline())
            )
            guard.kill()

    monkeypatch.setenv("NOTED", str(tmp_path / "pid"))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as mine:
        (record,) = Runner(
            setting=setting,
            store=store,
            scorer=Scorer(data.load(tiny.folder, rules.data.sha256), rules),
            engine=LocalEngine(2),
            observers=Observers(own=[Killing()]),
        ).run([model])
        assert mine.poll() is None
        mine.communicate(b"\n")
    assert (record.result.status, "guard" in record.result.message) == ("crashed", True)
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_device_that_torch_cannot_use_is_reported_and_makes_no_row(
    tiny: TinyData, tmp_path: Path
) -> None:
    """A device only the driver sees ends the command with a hint; no model is blamed for it."""
    cuda = ("[devices.cpu]", '[devices.cuda]\nprecision = "float32"\n\n[devices.cpu]')
    rules = protocol.load(str(tiny.variant(tmp_path / "cuda.toml", cuda)))
    store = Store(tmp_path / "results", rules.id)
    store.make()
    runner = Runner(
        setting=make_setting(rules, Device(kind="cuda", name="Absent", memory=1, index=63)),
        store=store,
        scorer=Scorer(data.load(tiny.folder, rules.data.sha256), rules),
        engine=LocalEngine(),
    )
    model = ListedModel(name="m", summary="", size=28, source="", plugin=samples.PLUGIN)
    with pytest.raises(UsageError, match="cannot use cuda:63") as raised:
        runner.run([model])
    assert "--device cpu" in raised.value.hint
    assert store.read().records == ()
    assert list(store.jobs.iterdir()) == []

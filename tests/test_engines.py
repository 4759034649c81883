"""Engines: what a worker's end is taken to mean, told apart by its guard."""

import signal
from pathlib import Path

import pytest

import samples
from conftest import TinyData
from fmbench import data, processes, protocol
from fmbench.discovery import ListedModel
from fmbench.errors import UsageError
from fmbench.execution import guard
from fmbench.execution.engines import outcome_of
from fmbench.execution.job import Ending, JobFolder
from fmbench.execution.local import LocalEngine
from fmbench.execution.plan import make_setting
from fmbench.execution.runner import Runner
from fmbench.execution.scorer import Scorer
from fmbench.hardware import Device
from fmbench.store import Store


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

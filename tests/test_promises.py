"""Crashes, kills and company: what is stored stays right, and nothing is made twice."""

import errno
import io
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from rich.console import Console

import samples
from conftest import Fmbench, Install, TinyData
from crash_sweep import MODELS, TUNED, LightEngine
from fmbench import data, files, hardware, processes, protocol
from fmbench.console import live
from fmbench.console.live import LiveProgress
from fmbench.discovery import ListedModel
from fmbench.errors import StoreError
from fmbench.execution import runner
from fmbench.execution.claims import Claim, Claims
from fmbench.execution.estimate import Estimate
from fmbench.execution.local import LocalEngine
from fmbench.execution.observers import Observers
from fmbench.execution.plan import make_setting, pending
from fmbench.execution.scorer import Scorer
from fmbench.execution.scratch import clear_leftovers
from fmbench.hardware import Device
from fmbench.hookspecs import hookimpl
from fmbench.processes import ProcessId
from fmbench.records import Run
from fmbench.store import Store
from kills import KILLED, LONG, Killing, results
from plugins_of_all_kinds import offering

DEAD = ProcessId(2**22 + 1, 0.0)


@pytest.mark.parametrize(("mode", "step"), [("die", 1), ("fail", 3)])
def test_no_crash_point_leaves_a_wrong_or_half_row(tmp_path: Path, mode: str, step: int) -> None:
    """Dying or failing at any write, fsync, link, rename or unlink, the store stays right."""
    script = Path(__file__).with_name("crash_sweep.py")
    ran = subprocess.run(
        [sys.executable, script, tmp_path, mode, str(step)],
        capture_output=True,
        text=True,
        timeout=2800,
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 150 // step


@pytest.fixture
def long_protocol(tiny: TinyData, tmp_path: Path) -> Path:
    """The tiny protocol with epochs enough to be killed in."""
    return tiny.variant(tmp_path / "long.toml", LONG)


@pytest.mark.long
def test_random_kills_lose_nothing_that_was_finished(
    environment: dict[str, str],
    install: Install,
    tiny: TinyData,
    long_protocol: Path,
    tmp_path: Path,
) -> None:
    """Ten kill -9 of runner, guard, worker or all: in the end the results of a quiet run."""
    install("plugin-good", KILLED)
    asked = ["run", "good", "conv", "--protocol", str(long_protocol)]
    asked += [
        "--threads",
        "1",
        "--workers",
        "2",
        "--data-dir",
        str(tiny.folder),
        "--checkpoint-every",
        "0",
    ]
    killing = Killing(environment, [*asked, "--retry-failed"], tmp_path, {})
    killing.finish("quiet")
    assert len(killing.expected) == 4
    half_way = [half for _, half in killing.until_done("killed", random.Random(4), most=10)]
    assert sum(half_way) >= 2, "no kill came half way"


@pytest.mark.long
def test_four_runners_share_the_work(
    environment: dict[str, str], install: Install, tiny: TinyData, tmp_path: Path
) -> None:
    """Four `fmbench run` on one folder at once: each run is made once, all four end well."""
    install("plugin-good", offering(*(f"m{n}=linear" for n in range(4))))
    asked = ["run", "m*", "--protocol", tiny.protocol, "--data-dir", tiny.folder, "--threads", 1]
    children = [
        subprocess.Popen(
            [Path(sys.executable).with_name("fmbench"), *map(str, asked)],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for child in children:
        _, said = child.communicate(timeout=2000)
        assert child.returncode == 0, said
    found = Store(tmp_path / "results", "tiny-v1").read().records
    assert len(found) == len({record.key for record in found}) == 8


@pytest.mark.parametrize(
    ("kind", "deterministic", "level"),
    [("cpu", "true", "bitwise"), ("cpu", "false", "statistical"), ("cuda", "true", "statistical")],
)
def test_bits_are_promised_of_deterministic_cpus_alone(
    tiny: TinyData, tmp_path: Path, kind: Any, deterministic: str, level: str
) -> None:
    """A record says bitwise where the protocol asks for determinism on a CPU, nowhere else."""
    table = f'[devices.{kind}]\nprecision = "float32"\ndeterministic = {deterministic}'
    change = '[devices.cpu]\nprecision = "float32"', table
    rules = protocol.load(str(tiny.variant(tmp_path / "p.toml", change)))
    store = Store(tmp_path, rules.id)
    store.make()
    made = runner.Runner(
        setting=make_setting(rules, Device(kind=kind, name="A device", memory=1), seeds=1),
        store=store,
        scorer=Scorer(data.load(tiny.folder, rules.data.sha256), rules),
        engine=LightEngine(),
    ).run(MODELS[:1])
    assert [record.reproducibility for record in made] == [level]


class Curious:
    """An observer of ours that looks at the claim of the run that has begun."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.workers: list[ProcessId | None] = []

    @hookimpl
    def fmbench_run_start(self, run: Run) -> None:
        """Note who the claim says works at it."""
        claim = files.read_json(self.store.claims / f"{run.key}.json", Claim)
        self.workers.append(claim.worker if claim else None)


def test_a_claim_names_the_worker(tiny: TinyData, tmp_path: Path) -> None:
    """Once a run has begun its claim says which process works at it, should the runner die."""
    rules = protocol.load(str(tiny.protocol))
    store = Store(tmp_path, rules.id)
    store.make()
    curious = Curious(store)
    runner.Runner(
        setting=make_setting(rules, hardware.cpu_device(), seeds=1),
        store=store,
        scorer=Scorer(data.load(tiny.folder, rules.data.sha256), rules),
        engine=LightEngine(),
        observers=Observers(own=[curious]),
    ).run(MODELS[:1])
    assert curious.workers == [processes.identify()]


class Impatient:
    """An observer of ours that presses Ctrl-C as soon as it is called with a record."""

    @hookimpl
    def fmbench_run_end(self) -> None:
        """Stop."""
        raise KeyboardInterrupt


def test_stopping_while_a_run_is_recorded_takes_nothing_from_it(
    tiny: TinyData, tmp_path: Path
) -> None:
    """A run that was stored as it ended is not recorded as interrupted on top."""
    rules = protocol.load(str(tiny.protocol))
    store = Store(tmp_path, rules.id)
    store.make()
    with pytest.raises(KeyboardInterrupt):
        runner.Runner(
            setting=make_setting(rules, hardware.cpu_device(), seeds=1),
            store=store,
            scorer=Scorer(data.load(tiny.folder, rules.data.sha256), rules),
            engine=LightEngine(),
            observers=Observers(own=[Impatient()]),
        ).run(MODELS[:1])
    assert [record.result.status for record in store.read().records] == ["ok"]


@pytest.mark.parametrize("asked", [False, True])
def test_logits_are_kept_for_finals_when_asked(tiny: TinyData, tmp_path: Path, asked: bool) -> None:
    """Without the option no logits are stored; with it those of final runs, and of no other."""
    rules = protocol.load(str(tiny.variant(tmp_path / "tuned.toml", TUNED)))
    store = Store(tmp_path, rules.id)
    store.make()
    made = runner.Runner(
        setting=make_setting(rules, hardware.cpu_device()),
        store=store,
        scorer=Scorer(data.load(tiny.folder, rules.data.sha256), rules),
        engine=LightEngine(),
        keep_logits=asked,
    ).run(MODELS[:1])
    finals = {store.path(record, ".logits.npy") for record in made if record.run.stage == "final"}
    assert len(made) > len(finals) > 0
    assert set(store.records.glob("*.logits.npy")) == (finals if asked else set())


def test_what_another_runner_has_made_is_counted(
    tiny: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runner that waits for another's runs says, as each is stored, which are still pending."""
    rules = protocol.load(str(tiny.protocol))
    setting = make_setting(rules, hardware.cpu_device())
    model = ListedModel(name="m", summary="", size=28, source="", plugin=samples.PLUGIN)
    store = Store(tmp_path, rules.id)
    store.make()
    theirs = pending(model, setting, {}).finals
    assert Claims(store.claims).take(theirs) == theirs
    stored = iter(theirs)
    monkeypatch.setattr(runner.time, "sleep", lambda _: store.add(samples.record(next(stored))))
    plan: list[tuple[Run, ...]] = []
    made = runner.Runner(
        setting=setting,
        store=store,
        scorer=Scorer(data.load(tiny.folder, rules.data.sha256), rules),
        engine=LocalEngine(),
        replanned=lambda left: plan.append(tuple(run for one in left for run in one.finals)),
    ).run([model])
    assert made == []
    assert plan == [theirs, theirs[1:], ()]


def test_a_bar_takes_off_what_another_runner_has_made(tiny: TinyData) -> None:
    """Its count and its time left are those of the runs still pending."""
    setting = make_setting(protocol.load(str(tiny.protocol)), samples.ENVIRONMENT.device)
    model = ListedModel(name="m", summary="", size=28, source="", plugin=samples.PLUGIN)
    whole = pending(model, setting, {})
    rest = pending(model, setting, {whole.finals[0].key: samples.record(whole.finals[0])})
    estimate = Estimate([whole], setting, own=[samples.record()], published=[])
    estimate.sizes = 320, 100
    before = estimate.remaining()
    bar = LiveProgress(whole.count, estimate)
    bar.replan((rest,))
    assert "1 of 2 runs" in drawn(bar)
    assert 0 < estimate.remaining() < before


class Terminal(io.StringIO):
    """A terminal that keeps what it shows."""

    def isatty(self) -> bool:
        """It is one."""
        return True


@pytest.mark.parametrize("no_color", [True, False])
def test_no_color_is_plain_lines(
    tiny: TinyData, monkeypatch: pytest.MonkeyPatch, no_color: bool
) -> None:
    """With NO_COLOR a terminal gets no bar, and so no cursor movement, only a line for each run."""
    said = Terminal()
    terminal = Console(
        file=said, force_terminal=True, no_color=no_color, _environ={"TERM": "xterm"}
    )
    monkeypatch.setattr(live, "talk", terminal)
    setting = make_setting(protocol.load(str(tiny.protocol)), hardware.cpu_device())
    with LiveProgress(1, Estimate([], setting, own=[], published=[])) as bar:
        bar.fmbench_run_end(samples.record())
    assert " m, seed 1: 80.00 %" in said.getvalue()
    assert ("\x1b" in said.getvalue()) != no_color


def drawn(bar: LiveProgress) -> str:
    """What the bar shows now."""
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(bar._picture())
    return console.export_text()


def test_a_dead_claimers_work_is_taken_over(
    environment: dict[str, str], fmbench: Fmbench, install: Install, tiny: TinyData, tmp_path: Path
) -> None:
    """A runner killed while it holds a claim does not hold up the next one, which says so."""
    marker = tmp_path / "slow"
    marker.touch()
    slow = f"""
def slow(spec):
    import os, time
    while os.path.exists({str(marker)!r}): time.sleep(0.05)
    return linear(spec)
"""
    install("plugin-slow", offering("slow=slow", extra=slow))
    asked = ["run", "slow", "--protocol", str(tiny.protocol), "--data-dir", str(tiny.folder)]
    child = subprocess.Popen(
        [Path(sys.executable).with_name("fmbench"), *asked],
        cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    store = Store(tmp_path / "results", "tiny-v1")
    while not list(store.jobs.glob("*/job-*/events.jsonl")):
        assert child.poll() is None
        time.sleep(0.05)
    assert len(list(store.claims.glob("*.json"))) == 2
    child.kill()
    child.wait()
    marker.unlink()
    ran = fmbench(*asked)
    assert ran.returncode == 0, ran.stderr
    assert "removed the scratch of a runner that died" in ran.stderr
    assert {record.result.status for record in store.read().records} == {"ok"}


def test_a_resumed_run_equals_an_uninterrupted_one_across_processes(
    environment: dict[str, str],
    fmbench: Fmbench,
    install: Install,
    tiny: TinyData,
    long_protocol: Path,
    tmp_path: Path,
) -> None:
    """A run killed in the middle goes on from its checkpoint and ends with the same logits."""
    stop_at = tmp_path / "stop"
    waiting = f"""
import os, time
from torch import nn
class Waiting(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = linear_of(28)
        self.register_buffer("steps", __import__("torch").zeros(()))
    def forward(self, batch):
        if self.training:
            self.steps += 1
            while self.steps > 150 and os.path.exists({str(stop_at)!r}): time.sleep(0.05)
        return self.layers(batch)
def linear_of(size):
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(size**2, 10))
"""
    code = offering(
        "waiting=waiting",
        extra=f"CODE = {waiting!r}\ndef waiting(spec):\n"
        "    space = {'__name__': 'made'}\n    exec(CODE, space)\n    return space['Waiting']()\n",
    )
    install("plugin-waiting", code)
    asked = ["run", "waiting", "--protocol", str(long_protocol), "--data-dir", str(tiny.folder),
             "--checkpoint-every", "0", "--seeds", "1"]  # fmt: skip
    assert fmbench(*asked, "--results", "whole").returncode == 0
    stop_at.touch()
    child = subprocess.Popen(
        [Path(sys.executable).with_name("fmbench"), *asked, "--results", "cut"],
        cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    store = Store(tmp_path / "cut", "tiny-v1")
    while not list(store.checkpoints.glob("*/epoch-7.json")):
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    stop_at.unlink()
    ran = fmbench(*asked, "--results", "cut")
    assert ran.returncode == 0, ran.stderr
    assert "kept the checkpoints of an unfinished run" in ran.stderr
    (record,) = store.read().records
    assert record.cost.resumed_after == 7
    assert {record.key: record.result} == results(tmp_path / "whole")
    assert list(store.checkpoints.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EACCES, errno.EOPNOTSUPP])
def test_where_nothing_can_be_locked_a_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Another user's lock, or a file system without any, is an error with a hint."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.raises(StoreError, match="cannot be locked") as raised:
        Claims(tmp_path).take((samples.run(seed=1),))
    assert "--results" in raised.value.hint


def test_what_a_file_manager_leaves_in_scratch_is_left_alone(tmp_path: Path) -> None:
    """It is not called a runner's, and what dead runners have left is cleared all the same."""
    store = Store(tmp_path, "tiny-v1")
    store.make()
    for folder in (store.jobs, store.checkpoints):
        (folder / ".DS_Store").write_text("")
    (store.jobs / "4194305-1").mkdir()
    (store.checkpoints / "finished").mkdir()
    said = clear_leftovers(store, {"finished"})
    assert said == [
        "removed the scratch of a runner that died: 4194305-1",
        "removed the checkpoints of a finished run: finished",
    ]
    assert (store.jobs / ".DS_Store").exists()


def test_claims_are_held_by_the_living_only(tmp_path: Path) -> None:
    """A run is claimed once; a claim whose runner and worker are dead is free again."""
    claims = Claims(tmp_path)
    runs = (samples.run(seed=1), samples.run(seed=2))
    assert claims.take(runs) == runs
    assert claims.take(runs) == ()
    with subprocess.Popen(["sleep", "600"]) as worker:
        claims.name_worker(runs, worker.pid)
        named = files.read_json(tmp_path / f"{runs[0].key}.json", Claim)
        assert named == Claim(runner=processes.identify(), worker=processes.identify(worker.pid))
        worker.kill()
    assert claims.take(runs) == ()
    claims.release(runs[:1])
    assert claims.take(runs) == runs[:1]
    claims._write(runs, Claim(runner=DEAD))
    assert claims.take(runs) == runs
    claims._write(runs, Claim(runner=DEAD, worker=processes.identify()))
    assert claims.take(runs) == ()
    (tmp_path / f"{runs[0].key}.json").write_bytes(b"spoilt")
    assert claims.take(runs) == runs[:1]


def test_a_pid_used_again_is_another_process() -> None:
    """A process is its pid and its start: the same pid started at another time is not it."""
    me = processes.identify()
    assert me.alive
    assert not ProcessId(me.pid, me.started - 60).alive
    assert not DEAD.alive


def test_leftovers_are_removed_or_kept_and_said(tmp_path: Path) -> None:
    """Scratch, checkpoints and files of dead runs go, what can be used stays; all of it is said."""
    store = Store(tmp_path, "tiny-v1")
    store.make()
    store.add(samples.record())
    for path in (store.jobs / "4194305-1", store.checkpoints / "done", store.checkpoints / "open"):
        path.mkdir()
    (store.checkpoints / "open" / "epoch").write_bytes(bytes(1500))
    (store.records / "half.npy").write_bytes(b"")
    (store.records / ".whole.json.4194305.tmp").write_bytes(b"")
    (store.folder / f".leaderboard.md.{os.getpid()}.tmp").write_bytes(b"")
    said = clear_leftovers(store, {"done"})
    assert len(said) == 5
    assert f"an unfinished run, 1.50 kB: {store.checkpoints / 'open'}" in "\n".join(said)
    assert [path.name for path in store.checkpoints.iterdir()] == ["open"]
    assert [path.suffix for path in store.records.iterdir()] == [".json"]
    assert list(store.jobs.iterdir()) == []
    assert len(list(store.folder.glob(".leaderboard*"))) == 1, "its writer lives"


def test_what_a_living_runner_uses_is_left_alone(tmp_path: Path) -> None:
    """While another runner is at work only the scratch of dead ones goes."""
    store = Store(tmp_path, "tiny-v1")
    store.make()
    me = processes.identify()
    (store.jobs / f"{me.pid}-{me.started * 1000:.0f}").mkdir()
    (store.records / "half.npy").write_bytes(b"")
    assert clear_leftovers(store, set()) == []
    assert (store.records / "half.npy").exists()

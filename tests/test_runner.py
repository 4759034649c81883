"""The runner's loop: whatever becomes of workers and rivals, each run is recorded once."""

import os
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import samples
from conftest import TinyData
from crash_sweep import MODELS, TUNED
from fmbench import data, files, hardware, protocol
from fmbench.data import Dataset
from fmbench.execution import runner
from fmbench.execution.claims import Claim, Claims
from fmbench.execution.engines import Lost
from fmbench.execution.job import Event, Inputs, Job, JobFolder, Refusal, RunOutcome
from fmbench.execution.lifecycle import FINAL, TRANSITIONS, Lifecycle, State, Step
from fmbench.execution.plan import Pending, make_setting
from fmbench.execution.runner import Runner
from fmbench.execution.scorer import Scorer
from fmbench.processes import identify
from fmbench.protocol import Protocol
from fmbench.records import Record, Run
from fmbench.store import Store

FATES = ("ok", "ok", "ok", "failed", "dies", "lost", "oom", "changed", "never begins")


class FatedWorker:
    """A worker that takes a step of its fate each time it is looked at."""

    place = "here"

    def __init__(self, job: Job, folder: JobFolder, draw: random.Random) -> None:
        self.pid = os.getpid()
        self.stopped = False
        self._draw = draw
        self._end: RunOutcome | Lost = RunOutcome(status="crashed", message="on purpose")
        self._steps = list(self._fate(job, folder))

    def _fate(self, job: Job, folder: JobFolder) -> Iterator[Callable[[], object]]:
        for number, run in enumerate(job.runs):
            fate = self._draw.choice(FATES)
            if fate == "changed" and number == 0:
                yield partial(folder.refuse, Refusal(what="changed", hint="", changed=True))
                return
            if fate == "never begins":
                return
            yield partial(folder.append, Event(kind="start", run=number))
            if fate == "lost":
                self._end = Lost("its node is gone")
            if fate in ("lost", "dies"):
                return
            yield lambda: None
            status: Any = fate if fate in ("failed", "oom") else "ok"
            yield partial(self._answer, job, folder, number, run, RunOutcome(status=status))
            if status != "ok":
                return

    def _answer(
        self, job: Job, folder: JobFolder, number: int, run: Run, outcome: RunOutcome
    ) -> None:
        count = len(Inputs(Path(job.inputs)).read("evaluation_images"))
        logits = np.random.RandomState(run.seed).standard_normal((count, 10)).astype(np.float32)
        files.make_folder(folder.answers(number).logits.parent)
        files.write(folder.answers(number).logits, files.npy_bytes(logits))
        folder.write_outcome(number, outcome)
        folder.append(Event(kind="end", run=number))

    def ended(self) -> RunOutcome | Lost | None:
        """Take a step; after the last it has ended."""
        if self._steps and self._draw.random() < 0.7:
            self._steps.pop(0)()
        return None if self._steps else self._end

    def log(self) -> bytes:
        """It says nothing."""
        return b""

    def settle(self) -> None:
        """It needs no memory."""

    def ask_to_stop(self) -> None:
        """It is stopped all the same."""

    def stop(self) -> None:
        """It is looked at no more."""
        self.stopped = True


class FatedEngine:
    """Starts fated workers, so many at once, and knows how many there were."""

    def __init__(self, draw: random.Random, slots: int, rival: "Rival") -> None:
        self.slots = slots
        self.most = 0
        self.workers: list[FatedWorker] = []
        self._draw = draw
        self._rival = rival

    def has_room(self, memory: float) -> bool:
        """Whether fewer are under way than may be; who needs all memory has to be alone."""
        self._rival.act()  # between the runner's look and its claim
        busy = sum(not worker.stopped for worker in self.workers)
        return not busy if memory == float("inf") else busy < self.slots

    def start(self, job: Job, folder: JobFolder, memory: float) -> FatedWorker:  # noqa: ARG002
        """Start one."""
        folder.write_job(job)
        self.workers.append(FatedWorker(job, folder, self._draw))
        self.most = max(self.most, sum(not worker.stopped for worker in self.workers))
        return self.workers[-1]

    def close(self) -> None:
        """Nothing outlives a job."""


class Rival:
    """Another runner on the same store: it claims runs, and then stores them or dies."""

    def __init__(self, store: Store, draw: random.Random) -> None:
        self._store = store
        self._draw = draw
        self._wanted: list[Run] = []
        self._held: list[Run] = []
        self._done: set[str] = set()
        self._claims = Claims(store.claims)
        self._claims._me = identify(1)

    def hear(self, plans: tuple[Pending, ...]) -> None:
        """Learn what there is to do."""
        self._wanted = [run for plan in plans for run in plan.next]

    def act(self) -> None:
        """Claim something, or end something."""
        if self._held and self._draw.random() < 0.5:
            run = self._held.pop()
            if self._draw.random() < 0.5:
                self._done.add(run.key)
                self._store.add(samples.record(run), np.zeros(100, np.uint8))
            self._claims.release([run])
        elif self._wanted and self._draw.random() < 0.3:
            taken = self._claims.take([self._draw.choice(self._wanted)])
            found = self._store.read_new().records
            self._done |= {record.key for record in found if record.done}
            self._held += [run for run in taken if run.key not in self._done]
            self._claims.release([run for run in taken if run.key in self._done])


class Noted(Lifecycle):
    """A lifecycle that notes which transitions were made."""

    made: ClassVar[set[tuple[State, Step]]] = set()

    def move(self, runs: Any, step: Step) -> None:
        """Take a step and note it."""
        runs = list(runs)
        self.made |= {(self.of(run), step) for run in runs}
        super().move(runs, step)


class FakeTime:
    """Time that passes only when the runner sleeps; a rival acts then, or a person stops it all."""

    def __init__(self, rival: Rival, draw: random.Random) -> None:
        self.now = 0.0
        self._rival = rival
        self._draw = draw

    def monotonic(self) -> float:
        """The time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let it pass."""
        self.now += seconds
        self._rival.act()
        if self._draw.random() < 0.01:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, tiny: TinyData) -> tuple[Protocol, Dataset]:
    """The tiny protocol with two recipes to choose from, and its data."""
    folder = tmp_path_factory.mktemp("tuned")
    rules = protocol.load(str(tiny.variant(folder / "tuned.toml", TUNED)))
    return rules, data.load(tiny.folder, rules.data.sha256)


def walk(tuned: tuple[Protocol, Dataset], folder: Path, seed: int) -> None:
    """Let one runner work under a random fate, and hold it to what it promises."""
    rules, dataset = tuned
    draw = random.Random(seed)
    setting = make_setting(rules, hardware.cpu_device(), threads=1)
    store = Store(folder, rules.id)
    store.make()
    rival = Rival(Store(folder, rules.id), draw)
    models = MODELS[: draw.choice([1, 3])]
    with pytest.MonkeyPatch.context() as patch:
        clock = FakeTime(rival, draw)
        patch.setattr(runner.time, "monotonic", clock.monotonic)
        patch.setattr(runner.time, "sleep", clock.sleep)
        patch.setattr(runner, "Lifecycle", Noted)
        stopped = True
        while stopped:
            engine = FatedEngine(draw, draw.choice([1, 2, 5]), rival)
            working = Runner(
                setting=setting,
                store=store,
                scorer=Scorer(dataset, rules),
                engine=engine,
                replanned=rival.hear,
            )
            try:
                made = working.run(models)
                stopped = False
            except KeyboardInterrupt:
                made = []
            check(store, engine, made)


def check(store: Store, engine: FatedEngine, made: list[Record]) -> None:
    """Hold what a runner leaves to its promises."""
    stored = store.read().records
    done = [record.key for record in stored if record.done]
    assert len(done) == len(set(done)), "a run was made twice"
    assert {record.id for record in made} <= {record.id for record in stored}
    assert engine.most <= engine.slots
    assert all(worker.stopped for worker in engine.workers)
    assert all((record.cost.beside or 0) < engine.slots for record in made)
    assert list(store.jobs.iterdir()) == []
    claims = [files.read_json(path, Claim) for path in store.claims.glob("*.json")]
    assert all(claim and claim.runner == identify(1) for claim in claims)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_each_run_is_recorded_once_whatever_happens(
    tuned: tuple[Protocol, Dataset], tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """Workers that fail, die or are lost, and rivals, cost what they may: nothing is left over."""
    walk(tuned, tmp_path_factory.mktemp("walk"), seed)


def test_every_transition_happens(
    tuned: tuple[Protocol, Dataset], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No row of the table is there for nothing: random walks take every one of them."""
    Noted.made = set()
    seeds = iter(range(100))
    while Noted.made != set(TRANSITIONS):
        walk(tuned, tmp_path_factory.mktemp("walk"), next(seeds))


def test_final_states_have_no_way_out() -> None:
    """A run that is recorded, failed or interrupted takes no other step; any other state does."""
    left = {before for before, _ in TRANSITIONS}
    assert left == set(State) - FINAL


def test_a_step_that_is_not_in_the_table_is_a_fault() -> None:
    """A run that is pending cannot begin: it has no worker."""
    with pytest.raises(KeyError):
        Lifecycle().move([samples.run()], Step.BEGIN)

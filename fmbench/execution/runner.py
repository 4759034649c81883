"""The runner: gives out jobs, marks what comes back, records it and tells observers."""

import contextlib
import math
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from fmbench import files
from fmbench.discovery import ListedModel
from fmbench.environment import Environment, describe
from fmbench.errors import UsageError
from fmbench.execution.claims import Claims
from fmbench.execution.engines import Engine, Worker
from fmbench.execution.following import Ended, follow
from fmbench.execution.job import Job, JobFolder, RunOutcome, Spent
from fmbench.execution.observers import Observers
from fmbench.execution.plan import Pending, Setting, done_records, pending
from fmbench.execution.scorer import Scorer
from fmbench.execution.scratch import scratch
from fmbench.execution.timings import Part, Timings
from fmbench.protocol import StageName
from fmbench.records import Progress, Record, Reproducibility, Run
from fmbench.statuses import STATUSES
from fmbench.store import Store

SECONDS_BETWEEN_LOOKS_AT_OTHERS = 0.5


class Runner:
    """Makes the runs that a setting still owes in a store, one job at a time.

    timeout:            seconds a run may take, from its start to its end.
    checkpoint_seconds: the least time between two checkpoints of a run.
    keep_logits:        whether the logits of final runs are stored beside their records.
    replanned:          told what is pending at the start, whenever another runner has done some of
                        it, and when a model has no finals because no recipe ended well.
    """

    def __init__(
        self,
        *,
        setting: Setting,
        store: Store,
        scorer: Scorer,
        engine: Engine,
        observers: Observers | None = None,
        replanned: Callable[[tuple[Pending, ...]], None] = lambda _: None,
        timeout: float = math.inf,
        checkpoint_seconds: float = 60.0,
        retry_failed: bool = False,
        keep_logits: bool = False,
        timings: Timings | None = None,
    ) -> None:
        self._timings = timings or Timings()
        self._setting = setting
        self._store = store
        self._scorer = scorer
        self._engine = engine
        self._timeout = timeout
        self._checkpoint_seconds = checkpoint_seconds
        self._keep_logits = keep_logits
        self._done = done_records(store.read().records, retry_failed=retry_failed)
        self._claims = Claims(store.claims)
        self._scratch: Path  # while it runs
        self._tell = observers or Observers()
        self._replanned = replanned
        self._left: list[ListedModel] = []

    def run(self, models: Sequence[ListedModel]) -> list[Record]:
        """Make every run pending for these models; return the new records, failures included.

        Runs that another runner on this store has claimed are left to it and waited for; when it
        dies they are taken over. A worker that dies costs the run it was at; its other runs
        go into a new job. When a plugin has changed meanwhile the next run is recorded as
        interrupted, and its model's others are left for another command. On `KeyboardInterrupt`
        the run under way is recorded as interrupted.
        """
        made: list[Record] = []
        self._left = list(models)
        self._replan()
        with scratch(self._store) as self._scratch:
            while self._left:
                busy = False
                for model in tuple(self._left):
                    plan = pending(model, self._setting, self._done)
                    runs = plan.next
                    if not runs:
                        self._left.remove(model)
                        if plan.recipe is None:
                            self._replan()
                        continue
                    with self._claimed(runs) as mine:
                        if mine:
                            busy = True
                            self._do(mine, made)
                            if not made[-1].done:
                                self._left.remove(model)  # it would be so again
                                self._replan()
                if self._left and not busy:
                    time.sleep(SECONDS_BETWEEN_LOOKS_AT_OTHERS)
                    self._look_at_others()
        return made

    def make(self, run: Run) -> Record:
        """Make one run, whatever else is pending, and return its record."""
        made: list[Record] = []
        with scratch(self._store) as self._scratch:
            self._do((run,), made)
        return made[0]

    @contextlib.contextmanager
    def _claimed(self, runs: tuple[Run, ...]) -> Iterator[tuple[Run, ...]]:
        """Hold those of the runs that nobody else holds or has finished meanwhile."""
        taken = self._claims.take(runs)
        try:
            self._look_at_others()
            yield tuple(run for run in taken if run.key not in self._done)
        finally:
            self._claims.release(taken)

    def _look_at_others(self) -> None:
        """Take in the records that other runners have stored since."""
        found = done_records(self._store.read_new().records)
        others = found.keys() - self._done.keys()
        self._done |= found
        if others:
            self._replan()

    def _replan(self) -> None:
        self._replanned(tuple(pending(model, self._setting, self._done) for model in self._left))

    def _do(self, runs: tuple[Run, ...], made: list[Record]) -> None:
        folder = JobFolder(self._scratch / f"job-{secrets.token_hex(4)}")
        folder.write_job(self._job(runs))
        owing = list(runs)
        worker = self._engine.start(folder)
        looked, begun = time.perf_counter(), False
        try:
            self._claims.name_worker(runs, worker.pid)
            for happening in follow(folder, worker, runs, self._epochs(runs), self._timeout):
                match happening:
                    case Run():
                        if not begun:
                            begun = True
                            self._timings.add(Part.WORKER, time.perf_counter() - looked)
                            looked = time.perf_counter()
                        self._tell.run_start(happening)
                    case Progress():
                        self._tell.epoch_end(happening)
                    case Ended():
                        if not begun:
                            happening = self._before_it_began(folder, worker, happening)
                        self._count(happening.outcome.spent, time.perf_counter() - looked)
                        owing.pop(0)
                        made.append(self._record(folder, happening, worker.log()))
                        looked = time.perf_counter()
        except KeyboardInterrupt:
            worker.stop()
            if owing:
                outcome = RunOutcome(status="interrupted", message="stopped by the user")
                end = Ended(owing[0], outcome, folder.answers(0), 0.0)
                made.append(self._record(folder, end, worker.log()))
            raise
        finally:
            worker.stop()
            shutil.rmtree(folder.path, ignore_errors=True)

    def _before_it_began(self, folder: JobFolder, worker: Worker, end: Ended) -> Ended:
        """What is to be made of a worker that ended before any plugin's code had run.

        A plugin that has changed meanwhile costs its own runs, and none is done. Raises
        `UsageError` when no worker can work here.
        """
        where = self._setting.device.torch_name
        if refusal := folder.read_refusal():
            if refusal.changed:
                return replace(end, outcome=RunOutcome(status="interrupted", message=refusal.what))
            raise UsageError(refusal.what, where=where, hint=refusal.hint)
        ending = folder.read_ending()
        if ending and ending.status > 0:
            said = worker.log().decode().strip().rpartition("\n")[2]
            raise UsageError(
                f"no worker can start here, whatever the model: {said or 'it says nothing'}",
                where=where,
                hint="see whether torch works: python -c 'import torch; torch.ones(1) + 1'",
            )
        return end

    def _count(self, spent: Spent, seconds: float) -> None:
        """Count a run's seconds by what its worker says it spent them on."""
        self._timings.add(Part.TRAINING, spent.training)
        self._timings.add(Part.EVALUATION, spent.evaluation)
        self._timings.add(Part.CHECKPOINTS, spent.checkpoints)
        said = spent.training + spent.evaluation + spent.checkpoints
        self._timings.add(Part.BUILDING, max(0.0, seconds - said))

    def _job(self, runs: tuple[Run, ...]) -> Job:
        return Job(
            model=runs[0].model,
            plugin=runs[0].plugin,
            protocol=self._setting.protocol,
            runs=runs,
            device=self._setting.device,
            threads=self._setting.threads,
            inputs=str(self._inputs(runs[0].stage)),
            checkpoints=str(self._store.checkpoints.resolve()),
            checkpoint_seconds=self._checkpoint_seconds,
        )

    def _inputs(self, stage: StageName) -> Path:
        folder = self._scratch / f"inputs-{stage}"
        if not folder.exists():
            with self._timings.during(Part.DATA):
                self._scorer.write_inputs(stage, folder)
        return folder

    def _epochs(self, runs: tuple[Run, ...]) -> int:
        return self._setting.protocol.stage(runs[0].stage).epochs

    def _record(self, folder: JobFolder, end: Ended, log: bytes) -> Record:
        """Mark a run, store its record for good, and only then tell the observers."""
        outcome = end.outcome
        with self._timings.during(Part.SCORING):
            scored = self._scorer.score_run(end.run.stage, outcome, end.answers)
        record = Record(
            id=secrets.token_hex(4),
            key=end.run.key,
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            reproducibility=self._reproducibility(outcome),
            departure=outcome.departure,
            run=end.run,
            result=scored.result,
            cost=msgspec.structs.replace(outcome.cost, runner_seconds=end.seconds),
            environment=self._environment(folder),
        )
        final = end.run.stage == "final"
        with self._timings.during(Part.RECORDS):
            self._store.add(
                record,
                predictions=scored.predictions if final else None,
                logits=scored.logits if final and self._keep_logits else None,
                log=log,
            )
        if record.done:
            self._done[record.key] = record
        if record.meaning.models_own:
            shutil.rmtree(self._store.checkpoints / record.key, ignore_errors=True)
        self._tell.run_end(record)
        return record

    def _reproducibility(self, outcome: RunOutcome) -> Reproducibility:
        if not (outcome.repeatable and STATUSES[outcome.status].models_own):
            return "none"
        device = self._setting.device
        # On CUDA some of torch's operations only warn that they are not deterministic.
        exact = device.kind == "cpu" and self._setting.protocol.devices["cpu"].deterministic
        return "bitwise" if exact else "statistical"

    def _environment(self, folder: JobFolder) -> Environment:
        """Where the worker says it works; where it has not come to say so, this machine."""
        told = files.read_json(folder.environment, Environment)
        return told or describe(self._setting.device, self._setting.threads)

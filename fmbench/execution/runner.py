"""The runner: an event loop over the jobs under way, from what is pending to what is recorded."""

import math
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fmbench import weights
from fmbench.discovery import ListedModel
from fmbench.execution.claims import Claims
from fmbench.execution.engines import Engine, Lost
from fmbench.execution.following import Ended, JobUnderWay
from fmbench.execution.job import Job, JobFolder, RunOutcome
from fmbench.execution.lifecycle import Lifecycle, State, Step, step_of
from fmbench.execution.observers import Observers
from fmbench.execution.plan import Pending, Setting, done_records, pending
from fmbench.execution.recording import Recorder
from fmbench.execution.schedule import Forecast, NoForecast, next_job
from fmbench.execution.scorer import Scorer
from fmbench.execution.scratch import scratch
from fmbench.execution.timings import Part, Timings
from fmbench.protocol import StageName
from fmbench.records import Progress, Record, Run
from fmbench.store import Store

SECONDS_BETWEEN_LOOKS = 0.05
SECONDS_BETWEEN_LOOKS_AT_OTHERS = 0.5
MOST_LOSSES = 3
"""How often a run whose worker's place was lost is begun before it counts as crashed."""


class Runner:
    """Makes the runs that are pending in a store, as many side by side as its engine has room for.

    forecast:           what tells which runs are long and how much memory they need.
    timeout:            seconds a run may take, from its start to its end.
    checkpoint_seconds: the least time between two checkpoints of a run.
    checkpoints:        the folder they are kept in; the store's own by default.
    keep_logits:        whether the logits of final runs are stored beside their records.
    keep_weights:       how the weights of good final runs are, if at all.
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
        forecast: Forecast | None = None,
        observers: Observers | None = None,
        replanned: Callable[[tuple[Pending, ...]], None] = lambda _: None,
        timeout: float = math.inf,
        checkpoint_seconds: float = 60.0,
        checkpoints: Path | None = None,
        retry_failed: bool = False,
        keep_logits: bool = False,
        keep_weights: weights.Kind | None = None,
        timings: Timings | None = None,
    ) -> None:
        self._timings = timings or Timings()
        self._setting = setting
        self._store = store
        self._scorer = scorer
        self._engine = engine
        self._forecast = forecast or NoForecast()
        self._timeout = timeout
        self._checkpoint_seconds = checkpoint_seconds
        self._done = done_records(store.read().records, retry_failed=retry_failed)
        self._claims = Claims(store.claims)
        self._checkpoints = (checkpoints or store.checkpoints).resolve()
        self._recorder = Recorder(
            setting,
            store,
            scorer,
            self._timings,
            self._checkpoints,
            keep_logits,
            keep_weights is not None,
        )
        self._keep_weights = keep_weights
        self._scratch: Path  # while it runs
        self._tell = observers or Observers()
        self._replanned = replanned
        self._left: list[ListedModel] = []
        self._states = Lifecycle()
        self._under_way: list[JobUnderWay] = []
        self._losses: Counter[str] = Counter()
        self._alone: set[str] = set()
        self._made: list[Record] = []

    def run(self, models: Sequence[ListedModel]) -> list[Record]:
        """Make every run pending for these models; return the new records, failures included.

        Runs that another runner on this store has claimed are left to it and waited for; when it
        dies they are taken over. A worker that dies costs the run it was at; its other runs
        go into a new job. One whose place is lost costs none, and neither does one that had too
        little memory beside others: that run is made once more, alone. When a plugin has changed
        meanwhile the next run is recorded as interrupted, and its model's others are left for
        another command. On `KeyboardInterrupt` the runs under way are recorded as interrupted.
        """
        self._left = list(models)
        self._replan()
        with self._at_work():
            next_fill = 0.0
            while self._left or self._under_way:
                if time.monotonic() >= next_fill:
                    self._fill()
                    next_fill = time.monotonic() + SECONDS_BETWEEN_LOOKS_AT_OTHERS
                if self._look():
                    next_fill = 0.0
                elif self._under_way:
                    time.sleep(SECONDS_BETWEEN_LOOKS)
                elif self._left:
                    time.sleep(SECONDS_BETWEEN_LOOKS_AT_OTHERS)
                    next_fill = 0.0
        return self._made

    def make(self, run: Run) -> Record:
        """Make one run, whatever else is pending, and return its record."""
        with self._at_work():
            while not self._made:
                if not self._under_way:
                    self._states.move([run], Step.CLAIM)
                    self._place((run,))
                if not self._look():
                    time.sleep(SECONDS_BETWEEN_LOOKS)
        return self._made[0]

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Have a scratch folder; in the end no worker, no job and no claim is left."""
        with scratch(self._store) as self._scratch:
            try:
                yield
            except KeyboardInterrupt:
                for job in self._under_way:
                    job.worker.ask_to_stop()
                for job in self._under_way:
                    job.worker.stop()
                    if job.left:
                        outcome = RunOutcome(status="interrupted", message="stopped by the user")
                        self._record(job, Ended(job.left[0], outcome, job.folder.answers(0), 0.0))
                raise
            finally:
                for job in tuple(self._under_way):
                    self._retire(job)
                self._claims.release_all()  # an interrupt may come between a claim and its job

    def _fill(self) -> None:
        """Give out jobs while there are runs to make and room for them."""
        if len(self._under_way) == self._engine.slots:
            return
        self._look_at_others()
        while len(self._under_way) < self._engine.slots:
            runs = next_job(self._plans(), self._states, self._forecast, self._engine.slots)
            if not runs or not self._engine.has_room(self._memory(runs[0])):
                return
            if mine := self._claim(runs):
                self._place(mine)

    def _plans(self) -> list[Pending]:
        """What is pending for each model that is left; those with nothing are left no more."""
        plans = [pending(model, self._setting, self._done) for model in self._left]
        self._left = [plan.model for plan in plans if plan.next]
        if any(plan.recipe is None and not plan.next for plan in plans):
            self._replan()
        return [plan for plan in plans if plan.next]

    def _memory(self, run: Run) -> float:
        return math.inf if run.model in self._alone else self._forecast.memory(run.model)

    def _claim(self, runs: tuple[Run, ...]) -> tuple[Run, ...]:
        """Claim those of the runs that nobody else holds or has finished meanwhile."""
        taken = self._claims.take(runs)
        self._states.move(taken, Step.CLAIM)
        self._states.move((run for run in runs if run not in taken), Step.YIELD)
        self._take_in_records()
        mine = tuple(run for run in taken if self._states.of(run) is State.CLAIMED)
        self._claims.release(run for run in taken if run not in mine)
        return mine

    def _look_at_others(self) -> None:
        """Take in what other runners have stored; what they hold besides may be free by now."""
        self._take_in_records()
        self._states.move(self._states.those_in(State.ELSEWHERE), Step.FREE)

    def _take_in_records(self) -> None:
        found = done_records(self._store.read_new().records)
        others = found.keys() - self._done.keys()
        self._done |= found
        known = self._states.those_in(State.PENDING, State.ELSEWHERE, State.CLAIMED)
        self._states.move((run for run in known if run.key in others), Step.FIND)
        if others:
            self._replan()

    def _replan(self) -> None:
        self._replanned(tuple(pending(model, self._setting, self._done) for model in self._left))

    def _place(self, runs: tuple[Run, ...]) -> None:
        """Give runs that are claimed to a worker."""
        folder = JobFolder(self._scratch / f"job-{secrets.token_hex(4)}")
        worker = self._engine.start(self._job(runs), folder, self._memory(runs[0]))
        epochs = self._setting.protocol.stage(runs[0].stage).epochs
        self._under_way.append(JobUnderWay(runs, folder, worker, epochs, self._timeout))
        self._states.move(runs, Step.PLACE)
        self._claims.name_worker(runs, worker.pid)
        for job in self._under_way:
            job.beside = max(job.beside, self._beside(job))

    def _beside(self, job: JobUnderWay) -> int:
        """How many other workers are under way where this job is."""
        return sum(one.worker.place == job.worker.place for one in self._under_way) - 1

    def _job(self, runs: tuple[Run, ...]) -> Job:
        return Job(
            model=runs[0].model,
            plugin=runs[0].plugin,
            protocol=self._setting.protocol,
            runs=runs,
            device=self._setting.device,
            threads=self._setting.threads,
            inputs=str(self._inputs(runs[0].stage)),
            checkpoints=str(self._checkpoints),
            checkpoint_seconds=self._checkpoint_seconds,
            keep_weights=self._keep_weights if runs[0].stage == "final" else None,
        )

    def _inputs(self, stage: StageName) -> Path:
        folder = self._scratch / f"inputs-{stage}"
        if not folder.exists():
            with self._timings.during(Part.DATA):
                self._scorer.write_inputs(stage, folder)
        return folder

    def _look(self) -> bool:
        """Take in what has happened in the jobs under way; whether a run or a job has ended."""
        return sum(self._take_in(job) for job in tuple(self._under_way)) > 0

    def _take_in(self, job: JobUnderWay) -> bool:
        ended = False
        for happening in job.happenings:
            match happening:
                case None:
                    return ended
                case Run():
                    self._states.move([happening], Step.BEGIN)
                    if not job.begun:
                        job.begun = True
                        self._timings.add(Part.WORKER, job.lap())
                    self._tell.run_start(happening)
                case Progress():
                    if happening.step > 1:  # memory for the backward pass has been taken
                        job.worker.settle()
                    self._tell.epoch_end(happening)
                case Lost(why):
                    self._lose(job, why)
                case Ended():
                    self._end(job, happening)
                    ended = True
        self._retire(job)
        return True

    def _end(self, job: JobUnderWay, end: Ended) -> None:
        """Record a run that has ended, unless it is to be made again alone."""
        if not job.begun:
            end = job.ended_before_it_began(end, self._setting.device.torch_name)
        self._timings.add_run(end.outcome.spent, job.lap())
        if end.outcome.status == "oom" and job.beside and end.run.model not in self._alone:
            self._alone.add(end.run.model)
            self._tell.run_again(end.run, f"{end.outcome.message}; it is made again alone")
            return
        self._states.move([end.run], Step.ANSWER)
        job.left.pop(0)
        record = self._record(job, end)
        if not record.done:  # it would be so again
            self._left = [model for model in self._left if model.name != end.run.model]
            self._replan()

    def _lose(self, job: JobUnderWay, why: str) -> None:
        """Have the run under way made again; a few losses are no crash."""
        run = job.left[0]
        self._losses[run.key] += 1
        if self._losses[run.key] == MOST_LOSSES:
            outcome = RunOutcome(status="crashed", message=f"{why}, {MOST_LOSSES} times")
            self._end(job, Ended(run, outcome, job.folder.answers(0), 0.0))
        else:
            self._tell.run_again(run, why)

    def _retire(self, job: JobUnderWay) -> None:
        """Let go of a job that has ended; its runs without an end are pending again."""
        job.worker.stop()
        self._under_way.remove(job)
        for run in job.left:
            if self._states.of(run) is State.RUNNING:
                self._states.move([run], Step.LOSE)
            elif self._states.of(run) is State.STARTING:
                self._states.move([run], Step.RELEASE)
        self._claims.release(job.runs)
        shutil.rmtree(job.folder.path, ignore_errors=True)

    def _record(self, job: JobUnderWay, end: Ended) -> Record:
        """Have a run scored and stored for good, and only then tell the observers."""
        record = self._recorder.record(job.folder, end, beside=job.beside, log=job.worker.log())
        self._states.move([end.run], step_of(record))
        job.beside = self._beside(job)
        self._made.append(record)
        if record.done:
            self._done[record.key] = record
        self._tell.run_end(record)
        return record

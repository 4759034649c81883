"""The runner: gives out jobs, marks what comes back, records it and tells observers."""

import os
import secrets
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pluggy
import psutil

from fmbench import hookspecs
from fmbench.discovery import ListedModel
from fmbench.environment import Environment, cores, describe
from fmbench.execution.engines import Engine
from fmbench.execution.job import Job, JobFolder, Outcome
from fmbench.execution.judge import Judge
from fmbench.execution.plan import Setting, done_records, owed
from fmbench.execution.watch import Ended, follow
from fmbench.protocol import StageName
from fmbench.records import Cost, Progress, Record, Run
from fmbench.store import Store


class Runner:
    """Makes the runs that a setting still owes in a store, one job at a time.

    timeout: seconds a run may take, from its start to its end; None for no limit.
    """

    def __init__(
        self,
        *,
        setting: Setting,
        store: Store,
        judge: Judge,
        engine: Engine,
        observers: Sequence[object] = (),
        timeout: float | None = None,
        retry_failed: bool = False,
    ) -> None:
        self._setting = setting
        self._store = store
        self._judge = judge
        self._engine = engine
        self._timeout = timeout
        self._done = done_records(store.read().records, retry_failed=retry_failed)
        self._scratch = store.work / str(os.getpid())
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs.ObserverHooks)
        for observer in observers:
            manager.register(observer)
        self._tell = manager.hook

    def run(self, models: Sequence[ListedModel]) -> list[Record]:
        """Make every run these models owe and return the new records, failures included.

        A worker that dies costs the run it was at; what it still owed goes into a new job.
        On `KeyboardInterrupt` the run under way is recorded as interrupted.
        """
        self._store.make()
        _clear_leftovers(self._store)
        made: list[Record] = []
        try:
            for model in models:
                while runs := owed(model, self._setting, self._done).next:
                    self._do(runs, made)
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)
        return made

    def _do(self, runs: tuple[Run, ...], made: list[Record]) -> None:
        folder = JobFolder(self._scratch / f"job-{secrets.token_hex(4)}")
        folder.write_job(self._job(runs))
        owing = list(runs)
        worker = self._engine.start(folder.path)
        try:
            for happening in follow(folder, worker, runs, self._epochs(runs), self._timeout):
                match happening:
                    case Run():
                        self._tell.fmbench_run_start(run=happening)
                    case Progress():
                        self._tell.fmbench_epoch_end(progress=happening)
                    case Ended():
                        made.append(self._record(folder, happening))
                        owing.pop(0)
        except KeyboardInterrupt:
            worker.stop()
            if owing:
                outcome = Outcome(status="interrupted", message="stopped by the user")
                made.append(self._record(folder, Ended(owing[0], outcome, folder.path, 0.0)))
            raise
        finally:
            worker.stop()
            shutil.rmtree(folder.path, ignore_errors=True)

    def _job(self, runs: tuple[Run, ...]) -> Job:
        return Job(
            model=runs[0].model,
            plugin=runs[0].plugin,
            protocol=self._setting.protocol,
            runs=runs,
            device=self._setting.device,
            threads=cores(),
            inputs=str(self._inputs(runs[0].stage)),
        )

    def _inputs(self, stage: StageName) -> Path:
        folder = self._scratch / f"inputs-{stage}"
        if not folder.exists():
            self._judge.write_inputs(stage, folder)
        return folder

    def _epochs(self, runs: tuple[Run, ...]) -> int:
        return self._setting.protocol.stage(runs[0].stage).epochs

    def _record(self, folder: JobFolder, end: Ended) -> Record:
        """Mark a run, store its record for good, and only then tell the observers."""
        outcome = end.outcome
        result, predictions = self._judge.mark(end.run.stage, outcome, end.logits)
        bitwise = self._setting.protocol.devices[end.run.device_kind].deterministic
        record = Record(
            id=secrets.token_hex(4),
            key=end.run.key,
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            reproducibility="bitwise" if bitwise else "statistical",
            run=end.run,
            result=result,
            cost=Cost(
                train_seconds=outcome.train_seconds,
                runner_seconds=end.seconds,
                images_per_second=outcome.images_per_second,
                inference_images_per_second=outcome.inference_images_per_second,
                parameters=outcome.parameters,
                forward_flops=outcome.forward_flops,
                peak_memory=outcome.peak_memory,
            ),
            environment=self._environment(folder),
        )
        keep = predictions if end.run.stage == "final" else None
        self._store.add(record, keep, folder.read_log())
        if record.done:
            self._done[record.key] = record
        self._tell.fmbench_run_end(record=record)
        return record

    def _environment(self, folder: JobFolder) -> Environment:
        """Where the worker says it works; where it has not come to say so, this machine."""
        try:
            return msgspec.json.decode(folder.environment.read_bytes(), type=Environment)
        except (OSError, msgspec.DecodeError):
            return describe(self._setting.device, cores())


def _clear_leftovers(store: Store) -> None:
    """Remove the scratch of runners that are no more."""
    for folder in store.work.iterdir():
        if not (folder.name.isdecimal() and psutil.pid_exists(int(folder.name))):
            shutil.rmtree(folder, ignore_errors=True)

"""A run that has ended becomes a record: scored, described, and stored for good."""

import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from fmbench import files
from fmbench.environment import Environment, describe
from fmbench.execution.following import Ended
from fmbench.execution.job import JobFolder, RunOutcome
from fmbench.execution.plan import Setting
from fmbench.execution.scorer import Scorer
from fmbench.execution.timings import Part, Timings
from fmbench.records import Record, Reproducibility
from fmbench.statuses import STATUSES
from fmbench.store import Store


@dataclass(frozen=True)
class Recorder:
    """Scores runs and stores their records.

    checkpoints: the folder of all runs' checkpoints.
    keep_logits: whether the logits of final runs are stored beside their records.
    keep_weights: whether the weights are that good final runs have left.
    """

    setting: Setting
    store: Store
    scorer: Scorer
    timings: Timings
    checkpoints: Path
    keep_logits: bool
    keep_weights: bool = False

    def record(self, folder: JobFolder, end: Ended, *, beside: int, log: bytes) -> Record:
        """Store the record of a run; what is not made again needs its checkpoints no more.

        beside: how many other workers were under way on that machine meanwhile, at most.
        """
        outcome = end.outcome
        with self.timings.during(Part.SCORING):
            scored = self.scorer.score_run(end.run.stage, outcome, end.answers)
        record = Record(
            id=secrets.token_hex(4),
            key=end.run.key,
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            reproducibility=self._reproducibility(outcome),
            departure=outcome.departure,
            run=end.run,
            result=scored.result,
            cost=msgspec.structs.replace(outcome.cost, runner_seconds=end.seconds, beside=beside),
            environment=self._environment(folder),
        )
        final = end.run.stage == "final"
        weights = final and self.keep_weights and record.ok
        with self.timings.during(Part.RECORDS):
            record = self.store.add(
                record,
                predictions=scored.predictions if final else None,
                logits=scored.logits if final and self.keep_logits else None,
                log=log,
                weights_from=end.answers.weights if weights else None,
            )
        if record.meaning.models_own:
            shutil.rmtree(self.checkpoints / record.key, ignore_errors=True)
        return record

    def _reproducibility(self, outcome: RunOutcome) -> Reproducibility:
        if not (outcome.repeatable and STATUSES[outcome.status].models_own):
            return "none"
        device = self.setting.device
        # On CUDA some of torch's operations only warn that they are not deterministic.
        exact = device.kind == "cpu" and self.setting.protocol.devices["cpu"].deterministic
        return "bitwise" if exact else "statistical"

    def _environment(self, folder: JobFolder) -> Environment:
        """Where the worker says it works; where it has not come to say so, this machine."""
        told = files.read_json(folder.environment, Environment)
        return told or describe(self.setting.device, self.setting.threads)

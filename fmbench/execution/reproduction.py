"""A recorded run made again: what was not as before, and whether it came out the same."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fmbench import discovery, files, hardware
from fmbench.data import Dataset
from fmbench.discovery import ListedModel
from fmbench.errors import UsageError
from fmbench.execution.local import LocalEngine
from fmbench.execution.observers import Observers
from fmbench.execution.plan import Pending, Setting, make_run, settle_threads
from fmbench.execution.runner import Runner
from fmbench.execution.scorer import Scorer
from fmbench.execution.selection import select
from fmbench.leaderboard.spread import Prediction, predict_another_seed
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.protocol import Protocol
from fmbench.records import Record, Run
from fmbench.store import Store
from fmbench.wording import same_records, then_and_now

Conclusion = Literal["same bits", "alike", "not alike", "no conclusion"]


@dataclass(frozen=True)
class Reproduction:
    """A record, and the one its run left when it was made again.

    expected: where another seed of its row would lie; None where nothing tells.
    agree:    test images that both give the same class; None where either gave none.
    log:      what the plugin printed now.
    """

    then: Record
    now: Record
    expected: Prediction | None
    agree: int | None
    log: str

    @property
    def changes(self) -> tuple[str, ...]:
        """What the two were not made alike with, as `torch: 2.14.1 then, 2.15.0 now`."""
        return then_and_now(_made_with(self.then), _made_with(self.now))

    @property
    def promised(self) -> bool:
        """Whether the same bits were to be expected."""
        return (
            not self.changes
            and bool(self.then.environment.device.digest)
            and self.then.reproducibility == self.now.reproducibility == "bitwise"
        )

    @property
    def same(self) -> bool:
        """Whether all that is deterministic about a run is the same, the logits' bits included."""
        return self.then.result == self.now.result

    @property
    def conclusion(self) -> Conclusion:
        """Where the same bits are promised nothing else is alike; elsewhere another seed's run is.

        Runs that ended badly are alike when they ended the same way.
        """
        if self.same:
            return "same bits"
        if self.promised or self.then.result.status != self.now.result.status:
            return "not alike"
        if self.now.result.accuracy is None:
            return "alike"
        if self.expected is None:
            return "no conclusion"
        return "alike" if self.expected.covers(self.now.result.accuracy) else "not alike"


@dataclass(frozen=True)
class Again:
    """A run to be made again as a record describes it, with the plugin that is installed.

    predictions: the classes it gave the test images, uint8 (n,); None where it has no such.
    expected:    where another seed of its row would lie, if anything tells.
    """

    record: Record
    predictions: NDArray[np.uint8] | None
    expected: Prediction | None
    setting: Setting
    model: ListedModel

    @property
    def run(self) -> Run:
        """The run, with the versions of now."""
        of = self.record.run
        return make_run(self.model, self.setting, of.stage, of.recipe, of.seed)

    @property
    def pending(self) -> Pending:
        """That one run as what is pending."""
        tune, finals = ((self.run,), ()) if self.run.stage == "tune" else ((), (self.run,))
        return Pending(self.model, self.run.recipe, tune, finals, 1)

    def make(self, dataset: Dataset, observers: Observers, timeout: float) -> Reproduction:
        """Make it in a folder of its own that is gone afterwards; see `Runner`.

        Raises `UsageError` when its plugin changes before it begins.
        """
        with files.temporary_folder() as folder:
            store = Store(folder, self.setting.protocol.id)
            store.make()
            now = Runner(
                setting=self.setting,
                store=store,
                scorer=Scorer(dataset, self.setting.protocol),
                engine=LocalEngine(),
                observers=observers,
                timeout=timeout,
                checkpoint_seconds=timeout,  # none: the folder is gone when it stops
            ).make(self.run)
            if not now.done:
                raise UsageError(
                    now.result.message.partition("\n")[0], hint="type the command once more"
                )
            agree = None
            if self.predictions is not None and now.ok:
                agree = int((self.predictions == store.predictions(now)).sum())
            return Reproduction(self.record, now, self.expected, agree, store.log(now))


def plan_again(
    record: Record, store: Store, protocol: Protocol, *, device: str, threads: int | None
) -> Again:
    """Plan to make a record's run again; nothing is written yet.

    device: as `find_device` takes it, or empty for one of the record's kind. Without `threads` as
    many as then. Raises `UsageError` when the run was interrupted, there is no such device or the
    model is not offered, and `StoreError` when the record's predictions are not there.
    """
    run = record.run
    if not record.done:
        raise UsageError(
            "it was interrupted, and has no end to compare with",
            where=record.id,
            hint="finish it with the command that began it, or choose another: fmbench show"
            + same_records(store.folder.parent, store.folder.name),
        )
    scored = run.stage == "final" and record.ok
    predictions = store.predictions(record) if scored else None
    on = hardware.find_device(device or run.device_kind)
    threads = settle_threads(protocol, on, threads, otherwise=record.environment.threads)
    setting = Setting(protocol, on, threads, (run.seed,))
    (model,) = select(discovery.catalogue(), [f"{run.plugin.distribution}:{run.model}"])
    expected = predict_another_seed(StoredResults(store, protocol), record) if scored else None
    return Again(record, predictions, expected, setting, model)


def _made_with(record: Record) -> dict[str, str]:
    run, where = record.run, record.environment
    digest = where.device.digest[:12] or "not identified"
    return {
        "device": f"{where.device.name} ({digest})",
        "threads": str(where.threads),
        "Python": where.python,
        **where.libraries,
        **run.plugin.dependencies,
        "torch": run.torch,
        run.plugin.distribution: run.plugin.version,
        f"source of {run.plugin.distribution}": run.plugin.source[:12],
        "training semantics": str(run.semantics),
    }

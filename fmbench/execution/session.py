"""What one `fmbench run` is about: a setting, models, a store, and what is still owed there."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fmbench import discovery, environment, protocol
from fmbench.data import Dataset
from fmbench.discovery import ListedModel
from fmbench.environment import Device
from fmbench.execution.engines import LocalEngine
from fmbench.execution.estimate import Estimate
from fmbench.execution.judge import Judge
from fmbench.execution.plan import Owed, Setting, done_records, make_setting, owed
from fmbench.execution.runner import Runner
from fmbench.execution.scratch import clear_leftovers
from fmbench.execution.selection import select
from fmbench.records import Record
from fmbench.store import Store, published


@dataclass(frozen=True)
class Session:
    """One command's work, planned but not begun. `protocol_text` is kept beside the records."""

    setting: Setting
    protocol_text: str
    models: tuple[ListedModel, ...]
    store: Store
    retry_failed: bool
    owed: tuple[Owed, ...] = field(default=())

    @property
    def count(self) -> int:
        """How many runs are to be made."""
        return sum(one.count for one in self.owed)

    def estimate(self) -> Estimate:
        """A fresh estimate of the time these runs take."""
        known = Store(published(), self.setting.protocol.id).read().records
        own = self.store.read().records
        return Estimate(self.owed, self.setting, [*known, *own])

    def prepare(self) -> list[str]:
        """Make the store and clear what dead runners left in it; says what, in sentences."""
        self.store.make()
        self.store.keep_protocol(self.setting.protocol.digest, self.protocol_text)
        return clear_leftovers(self.store, done_records(self.store.read().records))

    def run(
        self,
        dataset: Dataset,
        observers: Sequence[object],
        *,
        timeout: float,
        checkpoint_seconds: float,
    ) -> list[Record]:
        """Make the runs in the prepared store; see `Runner`."""
        return Runner(
            setting=self.setting,
            store=self.store,
            judge=Judge(dataset, self.setting.protocol),
            engine=LocalEngine(),
            observers=observers,
            timeout=timeout,
            checkpoint_seconds=checkpoint_seconds,
            retry_failed=self.retry_failed,
        ).run(self.models)

    def all_ok(self) -> bool:
        """Whether every run of every model asked for now has an ok record."""
        done = done_records(self.store.read().records)
        asked = {(model.plugin.distribution, model.name) for model in self.models}
        finals = [
            record
            for record in done.values()
            if record.run.protocol_digest == self.setting.protocol.digest
        ]
        return all(
            record.result.status == "ok"
            for record in finals
            if (record.run.plugin.distribution, record.run.model) in asked
        )


def plan_session(
    requests: Sequence[str],
    *,
    protocol_name: str,
    device: str,
    seeds: int | None,
    threads: int | None,
    results: Path,
    retry_failed: bool,
) -> Session:
    """Plan a command; nothing is written yet. Raises the error that says which option is wrong."""
    chosen_device = environment.find_device(device)
    name = default_protocol(chosen_device) if protocol_name == "auto" else protocol_name
    text = protocol.source(name)
    setting = make_setting(protocol.parse(text, name), chosen_device, seeds=seeds, threads=threads)
    models = tuple(select(discovery.catalogue(), requests))
    store = Store(results, setting.protocol.id)
    done = done_records(store.read().records, retry_failed=retry_failed)
    return Session(
        setting=setting,
        protocol_text=text,
        models=models,
        store=store,
        retry_failed=retry_failed,
        owed=tuple(owed(model, setting, done) for model in models),
    )


def default_protocol(device: Device) -> str:
    """standard-v1 for a CUDA device of at least 16 GB once it is released, else quick-v1."""
    large = device.kind == "cuda" and device.memory >= environment.CUDA_MEMORY_FOR_AUTO
    if large and protocol.load("standard-v1").status == "released":
        return "standard-v1"
    return "quick-v1"

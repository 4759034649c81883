"""What one `fmbench run` is about: a setting, models, a store, and what is still pending there."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fmbench import discovery, hardware, protocol, weights
from fmbench.data import Dataset
from fmbench.discovery import ListedModel, Problem
from fmbench.execution.engines import Engine
from fmbench.execution.estimate import Estimate
from fmbench.execution.local import LocalEngine
from fmbench.execution.observers import Observers
from fmbench.execution.plan import (
    Pending,
    Setting,
    done_records,
    make_setting,
    pending,
    settle_workers,
)
from fmbench.execution.runner import Runner
from fmbench.execution.schedule import Forecast
from fmbench.execution.scorer import Scorer
from fmbench.execution.scratch import clear_leftovers
from fmbench.execution.selection import select
from fmbench.execution.timings import Timings
from fmbench.hardware import Device
from fmbench.limits import cores
from fmbench.protocol_files import QUICK
from fmbench.records import Record
from fmbench.store import Store, protocols_in, published


@dataclass(frozen=True)
class Session:
    """One command's work, planned but not begun. `protocol_text` is kept beside the records.

    asked:   how many workers were asked for; None for as many as fit.
    workers: how many make runs side by side on this machine, at most.
    devices: what they train on.
    """

    setting: Setting
    protocol_text: str
    models: tuple[ListedModel, ...]
    problems: tuple[Problem, ...]
    store: Store
    retry_failed: bool
    asked: int | None = None
    workers: int = 1
    devices: tuple[Device, ...] = ()
    pending: tuple[Pending, ...] = ()

    @property
    def count(self) -> int:
        """How many runs are to be made."""
        return sum(one.count for one in self.pending)

    @property
    def machines(self) -> int:
        """How many machines like this one have cores, or GPUs, for all the workers."""
        of_cores = cores() // self.setting.threads
        here = len(self.devices) if self.setting.device.kind == "cuda" else of_cores
        return math.ceil(self.workers / max(1, here))

    def estimate(self) -> Estimate:
        """A fresh estimate of the time these runs take."""
        return Estimate(
            self.pending,
            self.setting,
            own=_records_in(self.store.folder.parent),
            published=_records_in(published()),
            workers=self.workers,
        )

    def prepare(self, dataset: Dataset) -> list[str]:
        """Make the store and clear what dead runners left in it; says what, in sentences."""
        self.store.make()
        self.store.keep_protocol(self.setting.protocol.digest, self.protocol_text)
        self.store.keep_labels(dataset.test_labels)
        finished = done_records(self.store.read().records, retry_failed=True)
        return clear_leftovers(self.store, finished)

    def run(
        self,
        dataset: Dataset,
        observers: Observers,
        *,
        engine: Engine,
        forecast: Forecast,
        replanned: Callable[[tuple[Pending, ...]], None],
        timeout: float,
        checkpoint_seconds: float,
        checkpoints: Path | None = None,
        keep_logits: bool = False,
        keep_weights: weights.Kind | None = None,
        timings: Timings | None = None,
    ) -> list[Record]:
        """Make the runs in the prepared store; see `Runner`."""
        return Runner(
            setting=self.setting,
            store=self.store,
            scorer=Scorer(dataset, self.setting.protocol),
            engine=engine,
            forecast=forecast,
            observers=observers,
            replanned=replanned,
            timeout=timeout,
            checkpoint_seconds=checkpoint_seconds,
            checkpoints=checkpoints,
            retry_failed=self.retry_failed,
            keep_logits=keep_logits,
            keep_weights=keep_weights,
            timings=timings,
        ).run(self.models)

    def start_engine(
        self,
        name: Literal["local", "ray"],
        *,
        address: str = "",
        shared: Path | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> Engine:
        """The engine that places the runs; see `LocalEngine` and `RayEngine`.

        Raises `UsageError` when there is no such cluster, or none of its nodes can make the runs.
        """
        if name == "local":
            return LocalEngine(self.workers, self.devices)
        from fmbench.execution.cluster import RayEngine

        plugins = {model.plugin.distribution: model.plugin for model in self.models}
        return RayEngine(
            self.setting,
            tuple(plugins.values()),
            address=address,
            workers=self.asked,
            shared=shared,
            say=say,
        )

    def all_ok(self) -> bool:
        """Whether every final run wanted has an ok record; recipes may fail, if one is left."""
        good = {
            key: record
            for key, record in done_records(self.store.read().records).items()
            if record.run.stage == "tune" or record.ok
        }
        plans = [pending(model, self.setting, good) for model in self.models]
        return all(plan.recipe is not None and plan.count == 0 for plan in plans)


def plan_session(
    requests: Sequence[str],
    *,
    protocol_name: str,
    device: str,
    seeds: int | None,
    tune_only: bool,
    threads: int | None,
    workers: int | None,
    results: Path,
    retry_failed: bool,
    on_cluster: bool = False,
) -> Session:
    """Plan a command; nothing is written yet. Raises the error that says which option is wrong.

    workers:    how many runs are made side by side; None for what `settle_workers` says.
    on_cluster: whether GPUs of other machines can be meant.
    """
    elsewhere = on_cluster and device == "cuda" and not hardware.cuda_devices()
    chosen_device = hardware.some_gpu() if elsewhere else hardware.find_device(device)
    name = default_protocol(chosen_device) if protocol_name == "auto" else protocol_name
    text = protocol.source(name)
    rules = protocol.parse(text, name)
    devices = (chosen_device,) if elsewhere else hardware.devices_like(chosen_device, device)
    setting = make_setting(
        rules,
        chosen_device,
        seeds=seeds,
        tune_only=tune_only,
        threads=threads,
        workers=workers or len(devices),
    )
    catalogue = discovery.catalogue()
    models = tuple(select(catalogue, requests))
    store = Store(results, setting.protocol.id)
    done = done_records(store.read().records, retry_failed=retry_failed)
    return Session(
        setting=setting,
        protocol_text=protocol.whole_text(rules, text),
        models=models,
        problems=catalogue.problems,
        store=store,
        retry_failed=retry_failed,
        asked=workers,
        workers=workers or settle_workers(setting, len(devices)),
        devices=devices,
        pending=tuple(pending(model, setting, done) for model in models),
    )


def _records_in(results: Path) -> list[Record]:
    """The records of all protocols in a results folder."""
    names = protocols_in(results)
    return [record for name in names for record in Store(results, name).read().records]


def default_protocol(device: Device) -> str:
    """standard-v1 for a CUDA device of at least 16 GB once it is released, else QUICK."""
    large = device.kind == "cuda" and device.memory >= hardware.CUDA_MEMORY_FOR_AUTO
    if large and protocol.load("standard-v1").status == "released":
        return "standard-v1"
    return QUICK

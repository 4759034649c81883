"""Which runs a comparison needs, which are pending, and which recipe a model's finals use."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean

from fmbench import training
from fmbench.discovery import ListedModel
from fmbench.environment import version
from fmbench.errors import ProtocolError, UsageError
from fmbench.hardware import Device
from fmbench.limits import cores
from fmbench.protocol import Protocol, StageName
from fmbench.records import Record, Run


@dataclass(frozen=True)
class Setting:
    """What every run of one command shares. No `seeds` means that no final run is wanted yet."""

    protocol: Protocol
    device: Device
    threads: int
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Pending:
    """What is still to be run for one model: its tune runs first, then its finals.

    Which finals those are is known once the tune runs are there; `count` knows how many. `recipe`
    is the one of the finals: None until it is chosen, and when none has ended well.
    """

    model: ListedModel
    recipe: str | None
    tune: tuple[Run, ...]
    finals: tuple[Run, ...]
    count: int

    @property
    def next(self) -> tuple[Run, ...]:
        """The runs of the next job; empty when nothing is pending."""
        return self.tune or self.finals


def make_setting(
    protocol: Protocol,
    device: Device,
    *,
    seeds: int | None = None,
    tune_only: bool = False,
    threads: int | None = None,
    workers: int | None = None,
) -> Setting:
    """A setting with the first `seeds` of the protocol's seeds, or all.

    Where neither the protocol nor `threads` says how many threads a run has, the workers share this
    machine's cores.

    Raises `UsageError` when the protocol has fewer, has nothing to tune when only that is wanted,
    or as `settle_threads` does.
    """
    share = max(1, cores() // (workers or 1))
    threads = settle_threads(protocol, device, threads, otherwise=share)
    if seeds is not None and not 1 <= seeds <= len(protocol.seeds):
        raise UsageError(
            f"{protocol.id} has {len(protocol.seeds)} seeds, not {seeds}",
            hint="a protocol's seeds are fixed; --seeds K runs the first K of them",
        )
    if tune_only and seeds is not None:
        raise UsageError(
            "--seeds counts the seeds of final runs, and --tune-only makes none",
            hint="leave one of them out",
        )
    if tune_only and not protocol.tuning:
        raise UsageError(
            f"{protocol.id} has one recipe and tries none",
            hint="leave --tune-only out, or give the protocol a second recipe and a [tune] table",
        )
    return Setting(protocol, device, threads, () if tune_only else protocol.seeds[:seeds])


def settle_threads(protocol: Protocol, device: Device, asked: int | None, *, otherwise: int) -> int:
    """The CPU threads of a run: the protocol's, else those asked for, else `otherwise`.

    Raises `UsageError` when the protocol names others than are asked for, or does not say how to
    train on the device.
    """
    if device.kind not in protocol.devices:
        raise UsageError(
            f"the protocol {protocol.id} has no [devices.{device.kind}] table",
            hint=f"use --device {next(iter(protocol.devices), 'cpu')}",
        )
    fixed = protocol.devices[device.kind].threads
    if fixed and asked and asked != fixed:
        raise UsageError(
            f"{protocol.id} sets threads to {fixed} on a {device.kind} device, not to {asked}",
            hint="leave --threads out: other counts give other bits",
        )
    return fixed or asked or otherwise


def settle_workers(setting: Setting, devices: int) -> int:
    """How many runs are made side by side where nobody says it: as many as do not share cores.

    On a CPU that is known only where the protocol names the threads of a run: all cores over those.
    Elsewhere one run has all of them. Of GPUs each takes one.
    """
    if setting.device.kind == "cuda":
        return devices
    fixed = setting.protocol.devices["cpu"].threads
    return max(1, cores() // fixed) if fixed else 1


def pending(model: ListedModel, setting: Setting, done: dict[str, Record]) -> Pending:
    """What a model still lacks, given the records that count as done, by their keys."""
    protocol = setting.protocol
    recipe: str | None = protocol.recipes[0].name
    if tuning := protocol.tuning:
        wanted = [
            make_run(model, setting, "tune", recipe.name, seed)
            for recipe in protocol.recipes
            for seed in tuning.seeds
        ]
        missing = tuple(run for run in wanted if run.key not in done)
        if missing:
            return Pending(model, None, missing, (), len(missing) + len(setting.seeds))
        recipe = best_recipe(done[run.key] for run in wanted)
    if recipe is None:
        return Pending(model, None, (), (), 0)
    finals = (make_run(model, setting, "final", recipe, seed) for seed in setting.seeds)
    missing = tuple(run for run in finals if run.key not in done)
    return Pending(model, recipe, (), missing, len(missing))


def best_recipe(tune_records: Iterable[Record]) -> str | None:
    """The recipe of highest validation accuracy, of lower log-loss on a tie, else listed first.

    Means over the seeds of its tune runs; one that failed rules its recipe out. None when no
    recipe is left: the model then has no finals.
    """
    by_recipe: dict[str, list[Record]] = defaultdict(list)
    for record in tune_records:
        by_recipe[record.run.recipe].append(record)
    good = {
        recipe: [record.result for record in tried]
        for recipe, tried in by_recipe.items()
        if all(record.ok for record in tried)
    }

    def standing(recipe: str) -> tuple[float, float]:
        results = good[recipe]
        return (
            -mean(result.correct or 0 for result in results),
            mean(result.log_loss or 0.0 for result in results),
        )

    return min(good, key=standing, default=None)


def make_run(model: ListedModel, setting: Setting, stage: StageName, recipe: str, seed: int) -> Run:
    """One run of a model in a setting."""
    return Run(
        model=model.name,
        plugin=model.plugin,
        protocol=setting.protocol.id,
        protocol_digest=setting.protocol.digest,
        stage=stage,
        recipe=recipe,
        seed=seed,
        device_kind=setting.device.kind,
        semantics=training.SEMANTICS,
        torch=version("torch"),
    )


def done_records(records: Sequence[Record], *, retry_failed: bool = False) -> dict[str, Record]:
    """By key, the newest record that makes a run unnecessary; an ok one before any other.

    retry_failed: a failure that may be a machine's doing does not count. What diverged or answered
    wrongly does: tried until it ends well, a run would be better than its model.
    """
    in_order = sorted(records, key=lambda one: (one.ok, one.created, one.id))
    return {
        one.key: one
        for one in in_order
        if one.done and (one.meaning.models_own or not retry_failed)
    }


def train_steps(protocol: Protocol, stage: StageName, available: int) -> int:
    """Optimiser steps of a run with that many images available.

    Raises `ProtocolError` when a batch or the warm-up does not fit into them.
    """
    budget = protocol.stage(stage)
    images = min(budget.train_images or available, available)
    steps = images // protocol.training.batch_size * budget.epochs
    if not steps or (
        protocol.training.schedule == "one-cycle" and steps * protocol.training.warmup <= 1
    ):
        raise ProtocolError(
            f"{steps} steps of {protocol.training.batch_size} images are too few for "
            f"the stage {stage}",
            where=protocol.id,
            hint="use a smaller batch, more images or more epochs",
        )
    return steps

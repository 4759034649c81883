"""Each lever alone, beside the eager loop: how fast it is, and whether results stay equal."""

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import msgspec
import torch
from torch import Tensor

import contenders
from fmbench.training import devices, loop
from fmbench.training.batches import Images
from gpu.measures import Source, attempt, source
from gpu.settings import Settings
from gpu.task import Line
from workload import Workload

STEPS = 20
"""Steps of an epoch. Parameters are compared after the first, so after as many steps."""


@dataclass(frozen=True)
class Variant:
    """One lever: fields of `fmbench.training.levers.Levers`, or of the device's rules, to change.

    evaluation: whether `predict` is timed instead of `train`.
    """

    name: str
    levers: Mapping[str, object] = field(default_factory=dict)
    rules: Mapping[str, object] = field(default_factory=dict)
    evaluation: bool = False


VARIANTS = {
    "levers": (
        Variant("the same again"),
        Variant("epoch_indices", {"epoch_indices": True}),
        Variant("fused off", {"fused": False}),
        Variant("channels first", rules={"channels_last": False}),
        Variant("float32", rules={"precision": "float32"}),
        Variant("float32 with TF32", rules={"precision": "float32", "tf32": True}),
    ),
    "graphs": (
        Variant("cuda_graph", {"cuda_graph": True}),
        Variant("cuda_graph, epoch_indices", {"cuda_graph": True, "epoch_indices": True}),
        Variant("evaluation_graph", {"evaluation_graph": True}, evaluation=True),
    ),
    "compile": (
        Variant("reduce-overhead", {"compile_mode": "reduce-overhead"}),
        Variant("max-autotune-no-cudagraphs", {"compile_mode": "max-autotune-no-cudagraphs"}),
    ),
}
"""By stage. What has never run on a GPU, and may fail at it, is in a stage of its own."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """Images a second of each epoch or pass, and what came out: parameters or logits."""

    rates: list[float]
    results: list[Tensor]


def lever_trials(settings: Settings, stage: str) -> Iterator[Line]:
    """For each variant of a stage and each model: rates beside the eager ones, and the difference.

    difference: of the results as one vector, ‖variant − eager‖ / ‖eager‖; that of "the same again"
                is what two eager runs differ by.
    """
    of = source(settings)
    models = settings.compiled_models if stage == "compile" else settings.lever_models
    eager: dict[tuple[str, bool], Outcome | None] = {}
    for variant in VARIANTS[stage]:
        for name in models:
            facts: dict[str, Any] = {"model": name, "batch": settings.lever_batch}
            facts |= {"variant": variant.name}
            key = name, variant.evaluation
            if key not in eager:
                found = attempt(partial(_outcome, of, name, Variant("", evaluation=key[1])))
                eager[key] = found.get("outcome")
                if "error" in found:
                    yield "lever", facts | {"variant": "eager"} | found
            base = eager[key]
            if base is None:
                continue
            if absent := lacking(variant):
                yield "lever", facts | {"absent": absent}
                continue
            found = attempt(partial(_outcome, of, name, variant))
            if "outcome" in found:
                found = compared(found["outcome"], base)
            yield "lever", facts | found


def compared(variant: Outcome, eager: Outcome) -> dict[str, Any]:
    """The rates of both, whether results are equal to the bit, and how far apart they are."""
    pairs = list(zip(variant.results, eager.results, strict=True))
    apart = sum(float((one - other).square().sum()) for one, other in pairs)
    size = sum(float(other.square().sum()) for _, other in pairs)
    return {
        "rates": variant.rates,
        "eager_rates": eager.rates,
        "equal": all(torch.equal(one, other) for one, other in pairs),
        "difference": (apart / size) ** 0.5 if size else None,
    }


def lacking(variant: Variant) -> str:
    """Why this fmbench cannot try a variant, or ""."""
    if not variant.levers:
        return ""
    try:
        known = importlib.import_module("fmbench.training.levers").Levers
    except ImportError:
        return "there is no fmbench.training.levers"
    of = _predict if variant.evaluation else _train
    fields = inspect.signature(known).parameters
    unknown = [name for name in variant.levers if name not in fields]
    if unknown:
        return f"Levers has no {', '.join(unknown)}"
    return "" if "levers" in inspect.signature(of).parameters else "the loop takes no levers"


_train: Callable[..., Any] = loop.train
_predict: Callable[..., Any] = loop.predict


def _outcome(of: Source, name: str, variant: Variant) -> dict[str, Any]:
    batch, epochs = of.settings.lever_batch, of.settings.lever_epochs
    work = of.work(name, batch, STEPS * batch, epochs)
    devices_rules = dict(work.protocol.devices)
    kind = work.device.kind
    devices_rules[kind] = msgspec.structs.replace(devices_rules[kind], **variant.rules)
    rules = msgspec.structs.replace(work.protocol, devices=devices_rules)
    levers = {}
    if variant.levers:
        made = importlib.import_module("fmbench.training.levers").Levers(**variant.levers)
        levers = {"levers": made}
    measure = predicted if variant.evaluation else trained
    return {"outcome": measure(of, replace(work, protocol=rules), levers)}


def trained(of: Source, work: Workload, levers: Mapping[str, object]) -> Outcome:  # noqa: ARG001
    """Train; the rate of each epoch, the first with what is captured or compiled in it."""
    device = contenders.prepare(work)
    network = contenders.build(work, device)
    rates: list[float] = []
    results: list[Tensor] = []

    def report(_: int, step: int, steps: int, __: float, rate: float) -> None:
        if step == steps:
            rates.append(rate)

    def after_epoch(epoch: int) -> None:
        if epoch == 1:
            results.extend(one.detach().float().cpu() for one in network.parameters())

    _train(
        network,
        contenders.resident_images(work, device),
        torch.from_numpy(work.labels).to(device, torch.int64),
        protocol=work.protocol,
        stage=work.stage,
        recipe=work.recipe,
        seed=work.seed,
        report=report,
        after_epoch=after_epoch,
        **levers,
    )
    return Outcome(rates, results)


def predicted(of: Source, work: Workload, levers: Mapping[str, object]) -> Outcome:
    """Classify the test images as often as a training has epochs; the rate of each pass."""
    device = contenders.prepare(work)
    network = contenders.build(work, device)
    images = Images(
        torch.from_numpy(of.dataset.test_images.copy()),
        size=work.model.size,
        rules=work.protocol.data,
        device=device,
        memory_format=devices.memory_format(work.rules),
    )
    rates, logits = [], torch.empty(0)
    for _ in range(work.epochs):
        logits, seconds = _predict(network, images, protocol=work.protocol, device=device, **levers)
        rates.append(len(images) / seconds)
    return Outcome(rates, [logits])

"""What is measured in one process: the device's ceilings, speed, and time to an accuracy."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import torch

import contenders
import script
import time_to_accuracy as to_accuracy
import workload
from contenders import Contender
from fmbench import data, discovery, hardware, limits, protocol, wording
from fmbench.contract import InputSpec
from fmbench.data import Dataset
from fmbench.execution.selection import select
from fmbench.protocol import Protocol
from fmbench.training import cost, devices
from gpu.settings import Settings
from gpu.task import Line
from workload import Workload


@dataclass(frozen=True, eq=False)
class Source:
    """What every workload of a stage comes from: the candidate's rules and the images."""

    settings: Settings
    rules: Protocol
    dataset: Dataset

    def work(self, model: str, batch: int, images: int | None, epochs: int = 1) -> Workload:
        """A model and its first `images` training images, or all, in batches of another size.

        Each batch that is counted is full, and there are as many as the schedule needs to rise.
        """
        training = msgspec.structs.replace(self.rules.training, batch_size=batch)
        rules = msgspec.structs.replace(self.rules, training=training)
        available = len(self.dataset.train_labels)
        count = available if images is None else max(images, workload.least_images(rules))
        return Workload(
            model=workload.find_model(model),
            protocol=rules,
            recipe=workload.find_recipe(rules, None),
            pixels=self.dataset.train_images[:count].copy(),
            labels=self.dataset.train_labels[:count].copy(),
            device=hardware.find_device(self.settings.device),
            threads=self.settings.threads or limits.cores(),
            epochs=epochs,
        )


def source(settings: Settings) -> Source:
    """The candidate and its data set."""
    rules = protocol.load(settings.protocol)
    folder = data.find(Path(settings.data) if settings.data else None, digests=rules.data.sha256)
    return Source(settings, rules, data.load(folder, rules.data.sha256))


def attempt(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a measurement finds, or the error it ends with, so that others go on.

    A fault of the device goes up: after it nothing more can be measured in this process.
    """
    try:
        return measure()
    except Exception as error:
        if "CUDA error" in str(error):
            raise
        return {"error": wording.raised(error)[-2000:], "failed": True}


def matrix_product(device: torch.device, side: int) -> dict[str, Any]:
    """The most floating-point operations a second: a product of two random bfloat16 matrices."""
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = repeated(lambda: left @ right, device)
    return {"what": "bfloat16 product", "side": side, "flops_per_second": 2 * side**3 / seconds}


def copy(device: torch.device, side: int) -> dict[str, Any]:
    """The most bytes a second, read and written: a copy on the device, larger than its caches."""
    original = torch.randn(8 * side, side, device=device)
    target = torch.empty_like(original)
    seconds = repeated(lambda: target.copy_(original), device)
    return {"what": "copy", "bytes_per_second": 2 * original.nbytes / seconds}


def repeated(work: Callable[[], object], device: torch.device, times: int = 10) -> float:
    """Mean seconds of some work, after it was done three times."""
    for _ in range(3):
        work()
    devices.synchronize(device)
    start = perf_counter()
    for _ in range(times):
        work()
    devices.synchronize(device)
    return (perf_counter() - start) / times


def speed(settings: Settings) -> Iterator[Line]:
    """The eager loop beside the bare steps, for each batch and model; then the peers."""
    of, ours = source(settings), ("fmbench", "floor")
    names = models(settings)
    own = {one: contenders.CONTENDERS[one] for one in ours}
    for batch in settings.batches:
        for name in names:
            images = None if name in settings.whole else settings.steps * batch
            yield from timed(of, name, batch, images, own, settings.rounds)
    for name in names:
        for batch in settings.batches:
            images = None if name in settings.whole else settings.peer_images
            for peer, train in peers(settings.peer_workers).items():
                yield from timed(of, name, batch, images, {peer: train}, 1)


def models(settings: Settings) -> list[str]:
    """The models that the settings select."""
    return [model.name for model in select(discovery.catalogue(), list(settings.models))]


def costs(name: str) -> dict[str, Any]:
    """Parameters of a model, and the operations of one image's forward pass."""
    model = workload.find_model(name)
    spec = InputSpec(size=model.size)
    network = model.build(spec)
    image = torch.zeros(1, spec.channels, spec.size, spec.size)
    return {
        "parameters": cost.parameters(network),
        "forward_flops": cost.forward_flops(network, image),
    }


def peers(workers: tuple[int, ...]) -> dict[str, Contender]:
    """The peers by their names: a plain torchvision loop, and Lightning's where it is installed."""
    found: dict[str, Contender] = {
        f"torchvision, {count} workers": partial(contenders.train_with_torchvision, workers=count)
        for count in workers
    }
    try:
        from gpu.lightning_peer import train_with_lightning
    except Exception as error:  # absent, or of another time than this torch
        script.say(f"no peer of Lightning's: {error}")
        return found
    most = max(workers)
    return found | {f"lightning, {most} workers": partial(train_with_lightning, workers=most)}


def timed(
    of: Source,
    name: str,
    batch: int,
    images: int | None,
    turns: Mapping[str, Contender],
    rounds: int,
) -> Iterator[Line]:
    """Let contenders take turns; a line for each, with the images and the seconds of each round."""
    facts = {"model": name, "batch": batch}

    def take() -> dict[str, Any]:
        work = of.work(name, batch, images)
        taken = contenders.take_turns({one: (train, work) for one, train in turns.items()}, rounds)
        return {
            one: {"images": work.images, "seconds": [timing.seconds for timing in timings]}
            for one, timings in taken.items()
        }

    taken = attempt(take)
    if "error" in taken:
        yield "speed", facts | {"contender": ", ".join(turns)} | taken
        return
    for contender, found in taken.items():
        yield "speed", facts | {"contender": contender} | found


def time_to_accuracy(settings: Settings) -> Iterator[Line]:
    """Train by schedules of some epochs and batches until the test accuracy that is asked for."""
    of = source(settings)
    images, labels = of.dataset.test_images.copy(), of.dataset.test_labels

    def reach(work: Workload) -> dict[str, Any]:
        contenders.train_with_fmbench(work.warm_up())
        epochs = to_accuracy.train(work, images, labels, settings.target)
        return {
            "recipe": work.recipe.name,
            "seconds": [epoch.seconds for epoch in epochs],
            "accuracy": [epoch.accuracy for epoch in epochs],
            "reached": bool(epochs) and epochs[-1].accuracy >= settings.target,
        }

    for epochs in settings.target_epochs:
        for batch in settings.batches:
            facts = {"model": settings.target_model, "target": settings.target, "batch": batch}
            work = of.work(settings.target_model, batch, None, epochs)
            yield "time", facts | {"epochs": epochs} | attempt(partial(reach, work))

"""The contenders: fmbench's loop, a plain torchvision loop, and bare steps on one ready batch."""

import gc
import math
import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import transforms  # type: ignore[import-untyped]
from torchvision.datasets import FashionMNIST  # type: ignore[import-untyped]
from torchvision.models import vgg11  # type: ignore[import-untyped]

from fmbench.contract import RAW_SIZE, InputSpec, Model
from fmbench.data import FILES, idx
from fmbench.training import devices, loop
from fmbench.training.batches import SMALLEST_RESIZED, Images
from script import say
from workload import Workload


@dataclass(frozen=True)
class Timing:
    """Seconds of training alone, images trained on, and their mean loss (the floor's: its last)."""

    seconds: float
    images: int
    loss: float


Contender = Callable[[Workload], Timing]


def train_with_fmbench(work: Workload) -> Timing:
    """Train with fmbench's own loop, called as a worker calls it; the clock is the loop's."""
    device = prepare(work)
    trained = loop.train(
        build(work, device),
        resident_images(work, device),
        torch.from_numpy(work.labels).to(device, torch.int64),
        protocol=work.protocol,
        stage=work.stage,
        recipe=work.recipe,
        seed=work.seed,
        report=lambda *_: None,
    )
    return Timing(trained.seconds, trained.images, math.fsum(trained.curve) / work.epochs)


def train_on_one_batch(work: Workload) -> Timing:
    """Take as many bare steps on one batch that is ready: forward, backward, update.

    Network, optimiser, loss, memory format, precision and flags are fmbench's; there is no
    schedule, no metric and no new image.
    """
    device = prepare(work)
    network = build(work, device)
    optimizer = loop.make_optimizer(network, work.recipe)
    first = torch.arange(work.batch_size, device=device)
    images = resident_images(work, device).batch(first)
    labels = torch.from_numpy(work.labels).to(device, torch.int64)[first]
    network.train()
    devices.synchronize(device)
    start = perf_counter()
    for _ in range(work.steps):
        loss = _step(work, network, optimizer, images, labels)
    devices.synchronize(device)
    return Timing(perf_counter() - start, work.images, loss.item())


def train_with_torchvision(work: Workload, *, workers: int) -> Timing:
    """Train as a user would with torchvision's data set, a DataLoader and a plain loop.

    The DataLoader's processes, `workers` of them, start within the clock. Optimiser, schedule and
    loss are fmbench's, fused update included, so that only data path and loop differ; memory format
    and determinism are torch's defaults. The loss is summed without waiting for the device.
    """
    device = prepare(work)
    torch.use_deterministic_algorithms(False)
    devices.seed_everything(work.protocol.id, work.seed, "build")
    network = build_plain(work.model).to(device)
    optimizer = loop.make_optimizer(network, work.recipe)
    schedule = loop.make_schedule(optimizer, work.protocol, work.recipe, work.steps)
    total = torch.zeros((), device=device)
    with tempfile.TemporaryDirectory() as folder:
        loader = make_loader(work, Path(folder), workers, device)
        network.train()
        devices.synchronize(device)
        start = perf_counter()
        for _ in range(work.epochs):
            for images, labels in loader:
                total += _step(
                    work,
                    network,
                    optimizer,
                    images.to(device, non_blocking=True),
                    labels.to(device, non_blocking=True),
                )
                schedule.step()
        devices.synchronize(device)
        seconds = perf_counter() - start
    return Timing(seconds, work.images, total.item() / work.steps)


CONTENDERS: dict[str, Contender] = {
    "fmbench": train_with_fmbench,
    "floor": train_on_one_batch,
    "torchvision, 0 workers": partial(train_with_torchvision, workers=0),
    "torchvision, 2 workers": partial(train_with_torchvision, workers=2),
}


def take_turns(
    turns: Mapping[str, tuple[Contender, Workload]], rounds: int
) -> dict[str, list[Timing]]:
    """Warm each contender up, then let each train once a round, all of them in turn: A B C, A B C.

    What slows the machine for a while then slows neighbours in one round, and spares ratios taken
    within it. What a contender leaves behind is collected before the next one begins.
    """
    timings: dict[str, list[Timing]] = {name: [] for name in turns}
    for number in range(rounds + 1):
        for name, (train, work) in turns.items():
            gc.collect()
            timing = train(work if number else work.warm_up())
            if number:
                timings[name].append(timing)
                say(f"{work.model.name}, round {number}, {name}: {timing.seconds:.2f} s")
    return timings


def prepare(work: Workload) -> torch.device:
    """Set torch's flags as a worker does and return the device."""
    return devices.prepare(work.device.torch_name, work.rules, work.threads)


def build(work: Workload, device: torch.device) -> nn.Module:
    """A fresh network, drawn and laid out as a worker's."""
    devices.seed_everything(work.protocol.id, work.seed, "build")
    network = work.model.build(InputSpec(size=work.model.size))
    devices.place(network, device, work.rules)
    return network


def resident_images(work: Workload, device: torch.device) -> Images:
    """The training images as a worker holds them."""
    return Images(
        torch.from_numpy(work.pixels),
        size=work.model.size,
        rules=work.protocol.data,
        device=device,
        augmentation=work.augmentation,
        memory_format=devices.memory_format(work.rules),
    )


def build_plain(model: Model) -> nn.Module:
    """The network a user without fmbench would train: for vgg11 torchvision's, adapted."""
    spec = InputSpec(size=model.size)
    if model.name != "vgg11":
        return model.build(spec)
    network: nn.Module = vgg11(weights=None, num_classes=spec.classes)
    network.set_submodule("features.0", nn.Conv2d(spec.channels, 64, 3, padding=1))
    return network


def make_dataset(work: Workload, root: Path) -> FashionMNIST:
    """Torchvision's data set with the workload's images, its files in `root`, an empty folder.

    It crops and flips as the recipe augments, pads or resizes to the model's size, and normalises.
    """
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name in FILES:
        array = work.pixels if "images" in name else work.labels
        if name.startswith("t10k"):
            array = array[:1]  # only looked for, never read
        (raw / name).write_bytes(idx.encode(array))
    size, rules = work.model.size, work.protocol.data
    steps: list[object] = []
    if work.augmentation.shift:
        steps.append(transforms.RandomCrop(RAW_SIZE, padding=work.augmentation.shift))
    if work.augmentation.flip:
        steps.append(transforms.RandomHorizontalFlip())
    if RAW_SIZE < size < SMALLEST_RESIZED:
        before = (size - RAW_SIZE) // 2
        after = size - RAW_SIZE - before
        steps.append(transforms.Pad((before, before, after, after)))
    steps.append(transforms.ToTensor())
    if size >= SMALLEST_RESIZED:
        steps.append(transforms.Resize(size, antialias=False))
    steps.append(transforms.Normalize((rules.mean,), (rules.std,)))
    return FashionMNIST(root, train=True, transform=transforms.Compose(steps), download=False)


def make_loader(
    work: Workload, folder: Path, workers: int, device: torch.device
) -> DataLoader[Any]:
    """A `DataLoader` of `make_dataset`'s images that shuffles, with so many processes."""
    return DataLoader(
        make_dataset(work, folder),
        batch_size=work.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
    )


def _step(
    work: Workload,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
) -> Tensor:
    """One step on a batch, and its loss."""
    training, reduced = work.protocol.training, work.rules.precision == "bfloat16"
    with devices.autocast(images.device, work.rules) if reduced else nullcontext():
        loss = functional.cross_entropy(
            network(images), labels, label_smoothing=training.label_smoothing
        )
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    if training.clip_norm:
        nn.utils.clip_grad_norm_(network.parameters(), training.clip_norm)
    optimizer.step()
    return loss.detach()

"""The contenders: each trains a workload in its own way and says how long it took."""

import contextlib
import math
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import torch
from measurements import FLOOR, FMBENCH, LIGHTNING, PEERS
from timing import Timing
from torch import nn
from torch.nn import functional
from workload import Workload

from fmbench.contract import InputSpec
from fmbench.errors import UsageError
from fmbench.training import devices, loop
from fmbench.training.batches import Images

Contender = Callable[[Workload], Timing]


def choose(
    names: Sequence[str] = (), *, memory_format: torch.memory_format = torch.contiguous_format
) -> dict[str, Contender]:
    """The contenders of these names in the order of a round, all of them for no names.

    memory_format: of the peers' networks; fmbench and the floor have the protocol's.

    Raises `UsageError` for a name that is none, and when Lightning is asked for and not installed.
    """
    known: dict[str, Contender] = {
        FMBENCH: train_with_fmbench,
        FLOOR: train_on_one_batch,  # next to it: their ratio is the closest
        **{
            name: partial(train_with_torchvision, workers=workers, memory_format=memory_format)
            for name, workers in zip(PEERS, (0, 2), strict=True)
        },
        **{
            name: partial(train_with_lightning, workers=workers, memory_format=memory_format)
            for name, workers in zip(LIGHTNING, (0, 2), strict=True)
        },
    }
    for name in names:
        if name not in known:
            raise UsageError(f"there is no contender {name!r}", hint=f"choose of {list(known)}")
    chosen = {name: known[name] for name in known if not names or name in names}
    if set(chosen) & set(LIGHTNING) and find_spec("lightning") is None:
        raise UsageError("Lightning is not installed", hint="pip install lightning")
    return chosen


def train_with_fmbench(workload: Workload) -> Timing:
    """Train with fmbench's own loop, called as a worker calls it; the clock is the loop's."""
    device = prepare(workload)
    outcome = loop.train(
        build(workload, device),
        resident_images(workload, device),
        torch.from_numpy(workload.labels).to(device, torch.int64),
        protocol=workload.protocol,
        stage=workload.stage,
        recipe=workload.recipe,
        seed=workload.seed,
        report=lambda *_: None,
    )
    return Timing(outcome.seconds, outcome.images, math.fsum(outcome.curve) / workload.epochs)


def train_with_torchvision(workload: Workload, **options: Any) -> Timing:
    """Train as a user would with torchvision; the options are those of `torchvision_peer.train`."""
    import torchvision_peer  # inside: it imports torchvision, and not every script needs that

    return torchvision_peer.train(workload, **options)


def train_with_lightning(workload: Workload, **options: Any) -> Timing:
    """Train as a user would with Lightning; the options are those of `lightning_peer.train`."""
    import lightning_peer  # inside: it imports Lightning, which may not be installed

    return lightning_peer.train(workload, **options)


def train_on_one_batch(workload: Workload) -> Timing:
    """Take the same number of bare steps on one batch that is ready: forward, backward, update.

    Same network, optimiser, loss, memory format, precision and flags as fmbench's; no schedule, no
    metrics, no new images.
    """
    device = prepare(workload)
    network = build(workload, device)
    optimizer = loop.make_optimizer(network, workload.recipe)
    first = torch.arange(workload.batch_size, device=device)
    images = resident_images(workload, device).batch(first)
    labels = torch.from_numpy(workload.labels).to(device, torch.int64)[first]
    reduced = workload.rules.precision == "bfloat16"
    precision = devices.autocast(device, workload.rules) if reduced else contextlib.nullcontext()
    smoothing = workload.protocol.training.label_smoothing
    network.train()
    devices.synchronize(device)
    start = perf_counter()
    for _ in range(workload.steps):
        with precision:
            loss = functional.cross_entropy(network(images), labels, label_smoothing=smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if clip_norm := workload.protocol.training.clip_norm:
            nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
        optimizer.step()
    devices.synchronize(device)
    seconds = perf_counter() - start
    return Timing(seconds, workload.images, loss.item())


def prepare(workload: Workload) -> torch.device:
    """Set torch's flags as a worker does and return the device."""
    return devices.prepare(workload.device.torch_name, workload.rules, workload.threads)


def build(workload: Workload, device: torch.device) -> nn.Module:
    """A fresh network, drawn and laid out as a worker's."""
    devices.seed_everything(workload.protocol.id, workload.seed, "build")
    network = workload.model.build(InputSpec(size=workload.model.size))
    memory_format = devices.memory_format(workload.rules)
    return network.to(device, memory_format=memory_format)  # type: ignore[call-overload, no-any-return]


def resident_images(workload: Workload, device: torch.device) -> Images:
    """The training images as a worker holds them."""
    return Images(
        torch.from_numpy(workload.pixels),
        size=workload.model.size,
        rules=workload.protocol.data,
        device=device,
        augmentation=workload.augmentation,
        memory_format=devices.memory_format(workload.rules),
    )

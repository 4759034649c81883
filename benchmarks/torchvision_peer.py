"""The peer: what a user would write with torchvision, a DataLoader and a plain loop."""

import tempfile
from pathlib import Path
from time import perf_counter

import networks
import torch
from timing import Timing
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import transforms  # type: ignore[import-untyped]
from torchvision.datasets import FashionMNIST  # type: ignore[import-untyped]
from workload import Workload

from fmbench.contract import RAW_SIZE
from fmbench.data import FILES, idx
from fmbench.training import devices, loop
from fmbench.training.batches import SMALLEST_RESIZED


def train(
    workload: Workload,
    *,
    workers: int,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Timing:
    """Train with a DataLoader of `workers` processes; they start within the clock.

    Optimiser, schedule and loss are fmbench's own, fused update included, so that nothing but data
    path and loop differ. The loss is summed without waiting for the device.
    """
    device = prepare(workload)
    network = build(workload, device, memory_format)
    optimizer = loop.make_optimizer(network, workload.recipe)
    schedule = loop.make_schedule(optimizer, workload.protocol, workload.recipe, workload.steps)
    smoothing = workload.protocol.training.label_smoothing
    total = torch.zeros((), device=device)
    with tempfile.TemporaryDirectory() as folder:
        loader = make_loader(make_dataset(workload, Path(folder)), workload, workers)
        network.train()
        devices.synchronize(device)
        start = perf_counter()
        for _ in range(workload.epochs):
            for images, labels in loader:
                images = images.to(device, non_blocking=True)
                labels = labels.to(device, non_blocking=True)
                with devices.autocast(device, workload.rules):
                    logits = network(images)
                    loss = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                if clip_norm := workload.protocol.training.clip_norm:
                    nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
                optimizer.step()
                schedule.step()
                total += loss.detach()
        devices.synchronize(device)
        seconds = perf_counter() - start
    return Timing(seconds, workload.images, total.item() / workload.steps)


def prepare(workload: Workload) -> torch.device:
    """Set torch's flags as the protocol says, without the cost of determinism."""
    device = devices.prepare(workload.device.torch_name, workload.rules, workload.threads)
    torch.use_deterministic_algorithms(False)
    return device


def build(
    workload: Workload, device: torch.device, memory_format: torch.memory_format
) -> nn.Module:
    """A fresh network as a user without fmbench builds it, from the workload's seed."""
    devices.seed_everything(workload.protocol.id, workload.seed, "build")
    network = networks.build_plain(workload.model)
    return network.to(device, memory_format=memory_format)  # type: ignore[call-overload, no-any-return]


def make_dataset(workload: Workload, root: Path) -> FashionMNIST:
    """The data set of torchvision, with the workload's images and the protocol's transforms.

    root: an empty folder; the files are written there as torchvision's download leaves them.
    """
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name in FILES:
        array = workload.pixels if "images" in name else workload.labels
        if name.startswith("t10k"):
            array = array[:1]  # only looked for, never read
        (raw / name).write_bytes(idx.encode(array))
    return FashionMNIST(root, train=True, transform=make_transforms(workload), download=False)


def make_transforms(workload: Workload) -> transforms.Compose:
    """Crop and flip as the recipe augments, pad or resize to the model's size, normalise."""
    augmentation, size, rules = workload.augmentation, workload.model.size, workload.protocol.data
    steps: list[object] = []
    if augmentation.shift:
        steps.append(transforms.RandomCrop(RAW_SIZE, padding=augmentation.shift))
    if augmentation.flip:
        steps.append(transforms.RandomHorizontalFlip())
    if RAW_SIZE < size < SMALLEST_RESIZED:
        before = (size - RAW_SIZE) // 2
        after = size - RAW_SIZE - before
        steps.append(transforms.Pad((before, before, after, after)))
    steps.append(transforms.ToTensor())
    if size >= SMALLEST_RESIZED:
        steps.append(transforms.Resize(size, antialias=False))
    steps.append(transforms.Normalize((rules.mean,), (rules.deviation,)))
    return transforms.Compose(steps)


def make_loader(
    dataset: FashionMNIST, workload: Workload, workers: int
) -> DataLoader[tuple[torch.Tensor, torch.Tensor]]:
    """A shuffling DataLoader of whole batches, whose processes live as long as the training."""
    return DataLoader(
        dataset,
        batch_size=workload.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=workload.device.kind == "cuda",
    )

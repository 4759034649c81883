"""The other peer: the same DataLoader, the loop written with PyTorch Lightning."""

import logging
import tempfile
import warnings
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
import torchvision_peer
from lightning import LightningModule, Trainer
from lightning.pytorch import Callback
from timing import Timing
from torch import Tensor, nn
from torch.nn import functional
from workload import Workload

from fmbench.training import devices, loop

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


def train(
    workload: Workload,
    *,
    workers: int,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Timing:
    """Train with Lightning; logger, checkpoints, progress bar and summary are turned off.

    The clock runs from the start of training to its end as callbacks see them. Lightning has
    started the DataLoader's processes by then, which is in its favour.
    """
    device = torchvision_peer.prepare(workload)
    network = torchvision_peer.build(workload, device, memory_format)
    module, clock = Classifier(network, workload), Clock(device)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that more processes might help
        dataset = torchvision_peer.make_dataset(workload, Path(folder))
        Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=[workload.device.index] if device.type == "cuda" else 1,
            precision="bf16-mixed" if workload.rules.precision == "bfloat16" else "32-true",
            max_epochs=workload.epochs,
            callbacks=[clock],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        ).fit(module, torchvision_peer.make_loader(dataset, workload, workers))
    return Timing(clock.seconds, workload.images, module.total.item() / workload.steps)


class Classifier(LightningModule):
    """A network with fmbench's optimiser, schedule and loss, as Lightning wants them.

    total: the sum of the losses of all steps.
    """

    def __init__(self, network: nn.Module, workload: Workload) -> None:
        super().__init__()
        self.network = network
        self.workload = workload
        self.total = torch.zeros(())

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """The loss of a batch."""
        images, labels = batch
        smoothing = self.workload.protocol.training.label_smoothing
        loss = functional.cross_entropy(self.network(images), labels, label_smoothing=smoothing)
        self.total = self.total.to(loss.device) + loss.detach()
        return loss

    def on_before_optimizer_step(self, _: torch.optim.Optimizer) -> None:
        """Clip as the protocol says; Lightning's own clipping refuses fused updates in bfloat16."""
        if clip_norm := self.workload.protocol.training.clip_norm:
            nn.utils.clip_grad_norm_(self.parameters(), clip_norm)

    def configure_optimizers(self) -> Any:
        """The optimiser, and a schedule that moves on every step."""
        workload = self.workload
        optimizer = loop.make_optimizer(self, workload.recipe)
        schedule = loop.make_schedule(optimizer, workload.protocol, workload.recipe, workload.steps)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


class Clock(Callback):
    """Measures the seconds between the start and the end of training, device synchronised."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.start = self.seconds = 0.0

    def on_train_start(self, *_: object) -> None:
        """Read the clock for the first time."""
        devices.synchronize(self.device)
        self.start = perf_counter()

    def on_train_end(self, *_: object) -> None:
        """Read the clock for the last time."""
        devices.synchronize(self.device)
        self.seconds = perf_counter() - self.start

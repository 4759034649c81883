"""The peer that needs Lightning: torchvision's data set in a Trainer of its."""

import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional

import contenders
from contenders import Timing
from fmbench.training import devices, loop
from workload import Workload


class Module(lightning.LightningModule):  # type: ignore[misc]
    """A network with the workload's loss, optimiser and schedule, and the time of its training."""

    def __init__(self, work: Workload, network: nn.Module) -> None:
        super().__init__()
        self.work, self.network = work, network
        self.begun = self.seconds = 0.0
        self.loss = torch.zeros(())

    def on_train_start(self) -> None:
        """Start the clock when loaders, optimiser and network are there."""
        self.loss = self.loss.to(self.device)
        devices.synchronize(self.device)
        self.begun = perf_counter()

    def on_train_end(self) -> None:
        """Stop it when the device has done all it was given."""
        devices.synchronize(self.device)
        self.seconds = perf_counter() - self.begun

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """The loss of a batch."""
        images, labels = batch
        loss = functional.cross_entropy(
            self.network(images),
            labels,
            label_smoothing=self.work.protocol.training.label_smoothing,
        )
        self.loss += loss.detach()
        return loss

    def configure_optimizers(self) -> Any:
        """The recipe's optimiser and schedule, a step of it each step."""
        optimizer = loop.make_optimizer(self.network, self.work.recipe)
        schedule = loop.make_schedule(
            optimizer, self.work.protocol, self.work.recipe, self.work.steps
        )
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def train_with_lightning(work: Workload, *, workers: int) -> Timing:
    """Train as a user of Lightning would, with nothing logged, shown or saved.

    The clock is around the Trainer's loop, in which the loader's processes start.
    """
    device = contenders.prepare(work)
    torch.use_deterministic_algorithms(False)
    devices.seed_everything(work.protocol.id, work.seed, "build")
    module = Module(work, contenders.build_plain(work.model))
    with tempfile.TemporaryDirectory() as folder:
        loader = contenders.make_loader(work, Path(folder), workers, device)
        trainer = lightning.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=[work.device.index] if device.type == "cuda" else 1,
            precision="bf16-mixed" if work.rules.precision == "bfloat16" else "32-true",
            max_epochs=work.epochs,
            gradient_clip_val=work.protocol.training.clip_norm,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        trainer.fit(module, loader)
    return Timing(module.seconds, work.images, module.loss.item() / work.steps)

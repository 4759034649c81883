"""The one training loop, and the evaluation after it."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn import functional

from fmbench.contract import CLASSES
from fmbench.errors import StoreError
from fmbench.protocol import Protocol, Recipe, Stage
from fmbench.training import devices, reading
from fmbench.training.batches import Images
from fmbench.training.checkpoints import Checkpoints

SECONDS_BETWEEN_REPORTS = 1.0
STEPS_BEFORE_FIRST_REPORT = 10

Report = Callable[[int, int, int, float, float], None]
"""Takes epoch, step, steps an epoch, mean loss of the epoch so far, images per second."""


class DivergedError(Exception):
    """The training loss is no longer a finite number."""


class InvalidOutputError(Exception):
    """A model's output is not a float tensor of shape (batch, classes)."""


@dataclass(frozen=True)
class Trained:
    """What training leaves beside the model.

    seconds:       training alone, device synchronised; of all processes that worked on the run.
    here:          the part of it that was spent in this process.
    checkpointing: seconds spent on reading and writing checkpoints, not part of the others.
    resumed_after: the epoch of the checkpoint it went on from, 0 for none.
    """

    curve: tuple[float, ...]
    seconds: float
    here: float
    checkpointing: float
    images: int
    resumed_after: int = 0


def train(
    model: nn.Module,
    images: Images,
    labels: Tensor,
    *,
    protocol: Protocol,
    stage: Stage,
    recipe: Recipe,
    seed: int,
    report: Report,
    checkpoints: Checkpoints | None = None,
    curve: list[float] | None = None,
    after_epoch: Callable[[int], None] | None = None,
) -> Trained:
    """Train a model in place by a protocol's recipe.

    labels:      int64 (n,) on the device. The last incomplete batch of an epoch is left out.
    checkpoints: where to go on from, and where to keep the state at an epoch's end when one is
                 due, outside the clock.
    curve:       an empty list that gets the mean loss of each epoch, also when training fails.

    after_epoch: called with the number of each epoch that ended well, outside the clock; it leaves
                 the model in training mode.

    Within an epoch nothing is read from the device but for `report`, see `reading`: on a CUDA
    device that tells what it had reached one report earlier.

    Raises `DivergedError` at the end of an epoch whose loss is not finite, and
    `InvalidOutputError` as `predict` does.
    """
    device = labels.device
    rules = protocol.devices[device.type]  # type: ignore[index]
    batch_size, clip_norm = protocol.training.batch_size, protocol.training.clip_norm
    steps = len(labels) // batch_size
    optimizer = make_optimizer(model, recipe)
    schedule = make_schedule(optimizer, protocol, recipe, steps * stage.epochs)
    model.train()
    before = perf_counter()
    saved = checkpoints.restore(model, optimizer, schedule) if checkpoints else None
    checkpointing = perf_counter() - before
    curve = [] if curve is None else curve
    curve += saved.curve if saved else ()
    seconds = earlier = saved.seconds if saved else 0.0
    for epoch in range(len(curve) + 1, stage.epochs + 1):
        devices.seed_everything(protocol.id, seed, f"epoch {epoch}")
        loss_sum = torch.zeros((), device=device)
        reader = reading.reader(loss_sum)
        devices.synchronize(device)
        start = last_report = perf_counter()
        order = torch.randperm(len(labels), device=device)[: steps * batch_size]
        for step, index in enumerate(order.view(steps, batch_size), start=1):
            batch = images.batch(index)
            with devices.autocast(device, rules):
                logits = model(batch)
                check_output(logits, batch_size)
                loss = functional.cross_entropy(
                    logits, labels[index], label_smoothing=protocol.training.label_smoothing
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if clip_norm:
                nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            optimizer.step()
            schedule.step()
            loss_sum += loss.detach()
            now = perf_counter()
            quiet = now - last_report < SECONDS_BETWEEN_REPORTS
            if not quiet and STEPS_BEFORE_FIRST_REPORT <= step < steps:
                last_report = now
                if at := reader.read(step, now - start):
                    rate = at.step * batch_size / at.seconds
                    report(epoch, at.step, steps, at.value / at.step, rate)
        devices.synchronize(device)
        elapsed = perf_counter() - start
        seconds += elapsed
        curve.append(loss_sum.item() / steps)
        report(epoch, steps, steps, curve[-1], steps * batch_size / elapsed)
        if not math.isfinite(curve[-1]):
            raise DivergedError(f"the training loss was {curve[-1]} after epoch {epoch}")
        if after_epoch:
            after_epoch(epoch)
        if checkpoints and epoch < stage.epochs and checkpoints.due:
            before = perf_counter()
            try:
                checkpoints.save(model, optimizer, schedule, curve=curve, seconds=seconds)
            except StoreError as error:  # costs no more than a kill would
                sys.stderr.write(f"no checkpoint after epoch {epoch}: it {error.what}\n")
            checkpointing += perf_counter() - before
    return Trained(
        curve=tuple(curve),
        seconds=seconds,
        here=seconds - earlier,
        checkpointing=checkpointing,
        images=stage.epochs * steps * batch_size,
        resumed_after=len(saved.curve) if saved else 0,
    )


@torch.no_grad()
def predict(
    model: nn.Module, images: Images, *, protocol: Protocol, device: torch.device
) -> tuple[Tensor, float]:
    """Logits of every image, float32 (n, classes) on the CPU, and the seconds they took.

    Not in torch's inference mode: a table that a model makes in its first pass, and keeps, could
    not be trained with then. Raises `InvalidOutputError` when the model's output has another shape
    or is not floating.
    """
    rules = protocol.devices[device.type]  # type: ignore[index]
    model.eval()
    logits = []
    devices.synchronize(device)
    start = perf_counter()
    everything = torch.arange(len(images), device=device)
    for index in torch.split(everything, protocol.training.evaluation_batch_size):
        with devices.autocast(device, rules):
            output = model(images.batch(index))
        check_output(output, len(index))
        logits.append(output.detach().float())
    devices.synchronize(device)
    seconds = perf_counter() - start
    return torch.cat(logits).cpu(), seconds


def check_output(output: object, count: int) -> None:
    """Raise `InvalidOutputError` unless `output` is floating and of shape (count, classes)."""
    if not isinstance(output, Tensor):
        raise InvalidOutputError(f"the model returned a {type(output).__name__}, not a tensor")
    if output.shape != (count, CLASSES) or not output.is_floating_point():
        raise InvalidOutputError(
            f"the model returned {output.dtype} of shape {tuple(output.shape)}, "
            f"not floats of shape ({count}, {CLASSES})"
        )


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser; weight decay acts on parameters of two or more dimensions.

    It is torch's fused one, but for models with complex parameters, which that does not take.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    fused = not any(map(torch.is_complex, parameters))
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            groups,
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
            fused=fused,
        )
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=fused)


def make_schedule(
    optimizer: torch.optim.Optimizer, protocol: Protocol, recipe: Recipe, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """The protocol's learning-rate schedule over that many steps."""
    match protocol.training.schedule:
        case "constant":
            return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
        case "cosine":
            return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
        case "one-cycle":
            return torch.optim.lr_scheduler.OneCycleLR(
                optimizer,
                max_lr=recipe.learning_rate,
                total_steps=steps,
                pct_start=protocol.training.warmup,
                cycle_momentum=False,
            )

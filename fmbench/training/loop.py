"""The one training loop, and the evaluation after it."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor, nn

from fmbench.errors import StoreError
from fmbench.protocol import Protocol, Recipe, Stage
from fmbench.training import devices, graphs, reading
from fmbench.training.batches import Images
from fmbench.training.checkpoints import Checkpoints
from fmbench.training.levers import Forward, Levers, UncapturableError, compiled
from fmbench.training.steps import EagerTraining, classify
from fmbench.training.steps import InvalidOutputError as InvalidOutputError
from fmbench.training.steps import check_output as check_output

SECONDS_BETWEEN_REPORTS = 1.0
STEPS_BEFORE_FIRST_REPORT = 10

Report = Callable[[int, int, int, float, float], None]
"""Takes epoch, step, steps an epoch, mean loss of the epoch so far, images per second."""


class DivergedError(Exception):
    """The training loss is no longer a finite number."""


@dataclass(frozen=True)
class Trained:
    """What training leaves beside the model.

    seconds:       training alone, device synchronised; of all processes that worked on the run.
    here:          the part of it that was spent in this process.
    checkpointing: seconds spent on reading and writing checkpoints, not part of the others.
    resumed_after: the epoch of the checkpoint it went on from, 0 for none.
    preparing:     seconds spent on compiling and capturing, not part of the others.
    """

    curve: tuple[float, ...]
    seconds: float
    here: float
    checkpointing: float
    images: int
    resumed_after: int = 0
    preparing: float = 0.0


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
    levers: Levers = Levers(),  # noqa: B008 - frozen
) -> Trained:
    """Train a model in place by a protocol's recipe.

    labels:      int64 (n,) on the device. The last incomplete batch of an epoch is left out.
    checkpoints: where to go on from, and where to keep the state at an epoch's end when one is
                 due, outside the clock.
    curve:       an empty list that gets the mean loss of each epoch, also when training fails.

    after_epoch: called with the number of each epoch that ended well, outside the clock; it leaves
                 the model in training mode.
    levers:      how; with `cuda_graph` there can be no checkpoints yet.

    Within an epoch nothing is read from the device but for `report`, see `reading`: on a CUDA
    device that tells what it had reached one report earlier.

    Raises `DivergedError` at the end of an epoch whose loss is not finite, `InvalidOutputError` as
    `predict` does, and `UncapturableError` when a CUDA graph is asked for that cannot hold a step.
    """
    device, batch_size = labels.device, protocol.training.batch_size
    steps = len(labels) // batch_size
    if levers.cuda_graph and checkpoints:
        raise UncapturableError("a run whose steps are in a CUDA graph keeps no checkpoints yet")
    optimizer = make_optimizer(model, recipe, fused=levers.fused)
    schedule = make_schedule(optimizer, protocol, recipe, steps * stage.epochs)
    model.train()
    before = perf_counter()
    saved = checkpoints.restore(model, optimizer, schedule) if checkpoints else None
    checkpointing = perf_counter() - before
    curve = [] if curve is None else curve
    curve += saved.curve if saved else ()
    seconds = earlier = saved.seconds if saved else 0.0
    before = perf_counter()
    work: EagerTraining | graphs.StaticTraining
    if levers.cuda_graph:
        rates = learning_rates(protocol, recipe, steps * stage.epochs)
        work = graphs.training(
            model,
            images,
            labels,
            key=(protocol, recipe, rates, levers),
            rates=rates,
            steps=steps,
            protocol=protocol,
            levers=levers,
            optimizer_of=lambda network, rate: make_optimizer(
                network, recipe, rate=rate, fused=levers.fused
            ),
        )
    else:
        work = EagerTraining(
            model,
            images,
            labels,
            optimizer=optimizer,
            schedule=schedule,
            protocol=protocol,
            levers=levers,
        )
    devices.synchronize(device)
    preparing = perf_counter() - before
    for epoch in range(len(curve) + 1, stage.epochs + 1):
        devices.seed_everything(protocol.id, seed, f"epoch {epoch}")
        devices.synchronize(device)
        start = last_report = perf_counter()
        order = torch.randperm(len(labels), device=device)[: steps * batch_size]
        work.begin(order.view(steps, batch_size))
        reader = reading.reader(work.loss_sum)
        for step in range(1, steps + 1):
            work.step()
            now = perf_counter()
            quiet = now - last_report < SECONDS_BETWEEN_REPORTS
            if not quiet and STEPS_BEFORE_FIRST_REPORT <= step < steps:
                last_report = now
                if at := reader.read(step, now - start):
                    rate = at.step * batch_size / at.seconds
                    report(epoch, at.step, steps, at.value / at.step, rate)
        work.end()
        devices.synchronize(device)
        elapsed = perf_counter() - start
        seconds += elapsed
        curve.append(work.loss_sum.item() / steps)
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
        preparing=preparing,
    )


@torch.no_grad()
def predict(
    model: nn.Module,
    images: Images,
    *,
    protocol: Protocol,
    device: torch.device,
    levers: Levers = Levers(),  # noqa: B008 - frozen
) -> tuple[Tensor, float]:
    """Logits of every image, float32 (n, classes) on the CPU, and the seconds they took.

    Not in torch's inference mode: a table that a model makes in its first pass, and keeps, could
    not be trained with then. Compiling and capturing are not timed. Raises `InvalidOutputError`
    when the model's output has another shape or is not floating, and `UncapturableError` when a
    graph cannot hold the evaluation.
    """
    model.eval()
    everything = torch.arange(len(images), device=device)
    batches = torch.split(everything, protocol.training.evaluation_batch_size)
    forward: Forward = model
    if levers.evaluation_graph:
        captured = graphs.evaluation(model, images, protocol=protocol, levers=levers)
    elif levers.compile_mode:
        forward = compiled(model, levers)
        classify(forward, images, batches[0], protocol)
    devices.synchronize(device)
    start = perf_counter()
    if levers.evaluation_graph:
        logits = [captured.run(model)]
    else:
        logits = [
            classify(forward if len(index) == len(batches[0]) else model, images, index, protocol)
            for index in batches
        ]
    devices.synchronize(device)
    seconds = perf_counter() - start
    return torch.cat(logits).cpu(), seconds


def make_optimizer(
    model: nn.Module,
    recipe: Recipe,
    *,
    rate: Tensor | None = None,
    fused: bool | None = None,
) -> torch.optim.Optimizer:
    """The recipe's optimiser; weight decay acts on parameters of two or more dimensions.

    rate:  a scalar on the device that holds the learning rate, for steps that a graph can hold; by
           default it is the recipe's, a number.
    fused: by default it is torch's fused one, but for models with complex parameters, which that
           does not take.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if fused is None:
        fused = not any(map(torch.is_complex, parameters))
    learning_rate = recipe.learning_rate if rate is None else rate
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            groups,
            lr=learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
            fused=fused,
        )
    return torch.optim.AdamW(groups, lr=learning_rate, fused=fused, capturable=rate is not None)


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


def learning_rates(protocol: Protocol, recipe: Recipe, steps: int) -> tuple[float, ...]:
    """The learning rate of each of that many steps, by the protocol's schedule."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=recipe.learning_rate)
    schedule = make_schedule(optimizer, protocol, recipe, steps)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return tuple(rates)

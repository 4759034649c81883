"""What checks compare in networks, and the short training they put them through."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from fmbench.protocol import Recipe
from fmbench.testing.facts import Fault
from fmbench.testing.surroundings import random_streams
from fmbench.training import loop
from fmbench.training.checkpoints import Checkpoints
from fmbench.training.hidden import hidden_state

STEPS = 20
RECIPE = Recipe(name="check", optimizer="adamw", learning_rate=3e-4)


@dataclass
class Built:
    """A network as `build` returned it, with what it was like when it was fresh."""

    network: nn.Module
    attributes: dict[str, dict[str, str]]
    streams: dict[str, str]


@dataclass(frozen=True)
class Trial:
    """What twenty steps of AdamW on one batch come to.

    first, last: its loss before and after them, with the same draws of dropout.
    unreached:   names of parameters whose gradient was zero or absent in all of them.
    hidden:      what changed outside the state dict, in words; see `checkpoints.hidden_state`.
    streams:     where the random streams stood after them.
    """

    first: float
    last: float
    unreached: tuple[str, ...]
    hidden: str
    streams: dict[str, str]


def train_on_one_batch(
    network: nn.Module,
    batch: Callable[[], Tensor],
    labels: Tensor,
    *,
    attributes: dict[str, dict[str, str]],
    seed: Callable[[], None],
    watched: Callable[[], AbstractContextManager[None]],
) -> Trial:
    """Train a network in place; its plugin's code runs while `watched`.

    batch:      makes the same images anew each time.
    attributes: what the network was like when it was fresh.
    seed:       starts the random streams.

    Raises `Fault` when the loss is not finite in the end.
    """
    trainable = {name: value for name, value in network.named_parameters() if value.requires_grad}
    optimizer = loop.make_optimizer(network, RECIPE)
    unreached, losses = dict(trainable), []
    network.train()
    seed()
    with watched():
        for _ in range(STEPS):
            loss = functional.cross_entropy(network(batch()), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            unreached = {
                name: value
                for name, value in unreached.items()
                if value.grad is None or not value.grad.any()
            }
            optimizer.step()
            losses.append(loss.item())
        streams = random_streams()
    hidden = hidden_state(attributes, network)
    seed()
    with watched(), torch.no_grad():
        last = functional.cross_entropy(network(batch()), labels).item()
    for value in trainable.values():
        value.grad = None
    if not math.isfinite(last):
        raise Fault(f"the loss is {last} after {STEPS} steps of AdamW")
    return Trial(losses[0], last, tuple(unreached), hidden, streams)


def checked(output: object, count: int) -> Tensor:
    """An output that is floating, finite and of shape (count, classes).

    Raises `Fault` for any other, and says which.
    """
    try:
        loop.check_output(output, count)
    except loop.InvalidOutputError as error:
        raise Fault(str(error), hint="return logits: floats of shape (batch, classes)") from error
    if not isinstance(output, Tensor) or not output.isfinite().all():
        raise Fault("the model returned values that are not finite")
    return output


def check_gradients(network: nn.Module, logits: Tensor, labels: Tensor) -> None:
    """Send the loss back; raises `Fault` where its gradient is absent or not finite."""
    trainable = [one for one in network.named_parameters() if one[1].requires_grad]
    if not trainable:
        raise Fault("it has no trainable parameter", hint="register parameters as nn.Parameter")
    if not logits.requires_grad:
        raise Fault(
            "the logits do not depend on any parameter that can be trained",
            hint="look for detach(), .data, torch.no_grad() or a tensor made anew in forward",
        )
    functional.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
    for name, parameter in trainable:
        if parameter.grad is not None and not parameter.grad.isfinite().all():
            raise Fault(f"the gradient of {name} is not finite")
        parameter.grad = None


def modes(network: nn.Module) -> dict[str, bool]:
    """Whether each module is in training mode, by its name."""
    return {name or "the model": module.training for name, module in network.named_modules()}


def difference(first: nn.Module, second: nn.Module) -> str:
    """The first parameter or buffer in which two networks differ; "" when there is none."""
    ours, theirs = (
        {**dict(one.named_parameters()), **dict(one.named_buffers())} for one in (first, second)
    )
    if ours.keys() != theirs.keys():
        return min(ours.keys() ^ theirs.keys())
    return next((name for name in ours if not _alike(ours[name], theirs[name])), "")


def same_parameters(first: nn.Module, second: nn.Module) -> bool:
    """Whether two networks have parameters, as many, and all of them are equal."""
    ours, theirs = list(first.parameters()), list(second.parameters())
    return bool(ours) and len(ours) == len(theirs) and all(map(_alike, ours, theirs))


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same, NaN for NaN."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    one, other = one.to_dense(), other.to_dense()
    nan_too = one.is_floating_point() and torch.allclose(one, other, 0, 0, equal_nan=True)
    return torch.equal(one, other) or nan_too


def distance(first: Tensor, second: Tensor) -> float:
    """The largest difference of two outputs, relative to the largest logit where that exceeds 1."""
    gap = float((first - second).abs().max())
    return gap / max(1.0, float(first.abs().max())) if math.isfinite(gap) else math.inf


def pass_on(trained: nn.Module, fresh: nn.Module, folder: Path) -> bool:
    """Save one network's checkpoint and read it into another; False when none is ever saved.

    Raises `Fault` when the second is not the first afterwards.
    """
    saving = Checkpoints(folder, 0.0)
    saving.restore(trained, *_plain_training(trained))
    saving.save(trained, *_plain_training(trained), curve=[0.0], seconds=0.0)
    if not folder.exists():
        return False
    if Checkpoints(folder, 0.0).restore(fresh, *_plain_training(fresh)) is None:
        fresh.load_state_dict(trained.state_dict())  # says why, if that is the reason
        raise Fault("a checkpoint of it cannot be read back")
    ours, theirs = trained.state_dict(), fresh.state_dict()
    for name, value in ours.items():
        if not _alike(value, theirs[name]):
            raise Fault(f"{name} is not what it was after a checkpoint was read back")
    return True


def _plain_training(
    network: nn.Module,
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """An optimiser without state and a schedule for it, as a checkpoint wants them."""
    optimizer = torch.optim.SGD([one for one in network.parameters() if one.requires_grad], lr=0.1)
    return optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)

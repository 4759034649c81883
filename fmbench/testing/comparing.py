"""How networks and their outputs are compared."""

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from fmbench.testing.reports import Fault
from fmbench.training import loop
from fmbench.training.checkpoints import Checkpoints


def valid(output: object, count: int) -> Tensor:
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


def differing(first: nn.Module, second: nn.Module) -> list[str]:
    """The parameters and buffers in which two networks differ, or that one of them lacks."""
    ours, theirs = (
        {**dict(one.named_parameters()), **dict(one.named_buffers())} for one in (first, second)
    )
    both = ours.keys() & theirs.keys()
    return [one for one in ours | theirs if one not in both or not _alike(ours[one], theirs[one])]


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


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same, NaN for NaN."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    one, other = one.to_dense(), other.to_dense()
    nan_too = one.is_floating_point() and torch.allclose(one, other, 0, 0, equal_nan=True)
    return torch.equal(one, other) or nan_too


def _plain_training(
    network: nn.Module,
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """An optimiser without state and a schedule for it, as a checkpoint wants them."""
    optimizer = torch.optim.SGD([one for one in network.parameters() if one.requires_grad], lr=0.1)
    return optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)

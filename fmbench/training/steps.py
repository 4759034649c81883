"""One step of training and one batch of evaluation: the arithmetic, however it is driven."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from fmbench.contract import CLASSES
from fmbench.protocol import Protocol
from fmbench.training import devices
from fmbench.training.batches import Images
from fmbench.training.levers import Forward, Levers, compiled

Step = Callable[[Tensor, Tensor], Tensor]
"""Takes indices of images and their labels, both int64 (b,); returns the mean loss, a scalar."""


class InvalidOutputError(Exception):
    """A model's output is not a float tensor of shape (batch, classes)."""


def check_output(output: object, count: int) -> None:
    """Raise `InvalidOutputError` unless `output` is floating and of shape (count, classes)."""
    if not isinstance(output, Tensor):
        raise InvalidOutputError(f"the model returned a {type(output).__name__}, not a tensor")
    if output.shape != (count, CLASSES) or not output.is_floating_point():
        raise InvalidOutputError(
            f"the model returned {output.dtype} of shape {tuple(output.shape)}, "
            f"not floats of shape ({count}, {CLASSES})"
        )


def stepper(
    model: nn.Module,
    forward: Forward,
    images: Images,
    optimizer: torch.optim.Optimizer,
    protocol: Protocol,
) -> Step:
    """What takes one step: a batch, its gradients, clipped, and what the optimiser makes of them.

    forward: the model, or what computes the same.

    Neither clipping nor a fused optimiser reads a value from the device (torch's documentation of
    `clip_grad_norm_`, with `error_if_nonfinite` off, and its source).
    """
    device = images.pixels.device
    rules, training = protocol.devices[device.type], protocol.training  # type: ignore[index]

    def step(index: Tensor, targets: Tensor) -> Tensor:
        batch = images.batch(index)
        with devices.autocast(device, rules):
            logits = forward(batch)
            check_output(logits, len(index))
            loss = functional.cross_entropy(
                logits, targets, label_smoothing=training.label_smoothing
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if training.clip_norm:
            nn.utils.clip_grad_norm_(model.parameters(), training.clip_norm)
        optimizer.step()
        return loss.detach()

    return step


def classify(forward: Forward, images: Images, index: Tensor, protocol: Protocol) -> Tensor:
    """Logits of the images `index`, int64 (b,), as float32 (b, classes)."""
    rules = protocol.devices[index.device.type]  # type: ignore[index]
    with devices.autocast(index.device, rules):
        output = forward(images.batch(index))
    check_output(output, len(index))
    return output.detach().float()


class EagerTraining:
    """Epochs step by step, as Python gives the device its work: the reference.

    loss_sum: the sum of the losses of the epoch so far, a scalar on the device.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Images,
        labels: Tensor,
        *,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        protocol: Protocol,
        levers: Levers,
    ) -> None:
        self.model = model
        self.labels = labels
        self.optimizer = optimizer
        self.schedule = schedule
        self.levers = levers
        self.loss_sum = torch.zeros((), device=labels.device)
        self._forward = compiled(model, levers)
        self._take = stepper(model, self._forward, images, optimizer, protocol)
        self._batches: Iterator[tuple[Tensor, Tensor]] = iter(())
        if levers.compile_mode:
            index = torch.arange(protocol.training.batch_size, device=labels.device)
            self._compile(images.batch(index), protocol)

    def begin(self, order: Tensor) -> None:
        """Begin an epoch over the batches of `order`, int64 (steps, batch)."""
        indices = order.unbind()
        targets: Iterable[Tensor] = (self.labels[index] for index in indices)
        if self.levers.epoch_indices:
            targets = self.labels[order].unbind()
        self._batches = zip(indices, targets, strict=True)
        self.loss_sum = torch.zeros((), device=self.labels.device)

    def step(self) -> None:
        """Take the epoch's next step."""
        index, targets = next(self._batches)
        loss = self._take(index, targets)
        self.schedule.step()
        self.loss_sum += loss

    def end(self) -> None:
        """End an epoch; the model has been trained in place."""

    def _compile(self, batch: Tensor, protocol: Protocol) -> None:
        """Have both passes compiled for such a batch; parameters and buffers stay as they were."""
        kept = [buffer.clone() for buffer in self.model.buffers()]
        rules = protocol.devices[batch.device.type]  # type: ignore[index]
        with devices.autocast(batch.device, rules):
            output = self._forward(batch)
        check_output(output, len(batch))
        output.float().sum().backward()  # type: ignore[no-untyped-call]
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for buffer, before in zip(self.model.buffers(), kept, strict=True):
                buffer.copy_(before)

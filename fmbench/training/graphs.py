"""Training and evaluation in tensors that stay where they are, so that a CUDA graph can hold them.

Never run on a GPU: docs/decisions/devices.md has the list.
"""

import copy
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fmbench.contract import CLASSES
from fmbench.protocol import Protocol
from fmbench.training.batches import Images
from fmbench.training.capture import capture, signature, tensors
from fmbench.training.levers import Levers, UncapturableError, compiled
from fmbench.training.steps import Step, classify, stepper

OptimizerOf = Callable[[nn.Module, Tensor], torch.optim.Optimizer]
"""Takes a network, and the scalar on the device that holds its learning rate."""


class StaticTraining:
    """Epochs of a network of its own, each step the same work on the same tensors.

    A model's tensors, images and labels are copied in by `load`, and the model's back to it at the
    `end` of each epoch. The indices of an epoch, the rates of all steps, and the numbers of the
    steps lie on the device, so a step is a graph's replay and nothing else.

    rates:    the learning rates of all steps. They are float32 here, as fused optimisers on a GPU
              take them; the eager loop's are doubles.
    steps:    of an epoch.
    loss_sum: the sum of the losses of the epoch so far, a scalar on the device.

    Raises `UncapturableError` when a graph cannot hold the step.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Images,
        labels: Tensor,
        *,
        rates: tuple[float, ...],
        steps: int,
        protocol: Protocol,
        optimizer_of: OptimizerOf,
        levers: Levers,
    ) -> None:
        device = labels.device
        self.network = _own(model)
        self.images = _own_images(images)
        self.labels = labels.clone()
        self.order = torch.zeros(
            steps, protocol.training.batch_size, dtype=torch.int64, device=device
        )
        self.rates = torch.tensor(rates, device=device)
        self.rate = torch.zeros((), device=device)
        self.number = torch.zeros((), dtype=torch.int64, device=device)
        self.number_of_all = torch.zeros((), dtype=torch.int64, device=device)
        self.loss_sum = torch.zeros((), device=device)
        self.optimizer = optimizer_of(self.network, self.rate)
        plain, work = (
            self._worker(stepper(self.network, forward, self.images, self.optimizer, protocol))
            for forward in (self.network, compiled(self.network, levers))
        )
        self.step = capture(plain, work, self.network, device, before_each_try=self._rewind)
        self._trained = weakref.ref(model)

    def _worker(self, take: Step) -> Callable[[], None]:
        def work() -> None:
            self.rate.copy_(self.rates.take(self.number_of_all))
            index = self.order.index_select(0, self.number).view(-1)
            self.loss_sum += take(index, self.labels.index_select(0, index))
            self.number += 1
            self.number_of_all += 1

        return work

    def _rewind(self) -> None:
        self.number.zero_()
        self.number_of_all.zero_()

    @torch.no_grad()
    def load(self, model: nn.Module, images: Images, labels: Tensor) -> None:
        """Begin the training of a model: its values go in, the optimiser's go back to zero.

        Zeros are what torch's AdamW begins with, and an SGD whose momentum is not damped.
        """
        _copy(model, self.network)
        self.images.pixels.copy_(images.pixels)
        self.labels.copy_(labels)
        for of_parameter in self.optimizer.state.values():
            for value in of_parameter.values():
                value.zero_()
        self._rewind()
        self._trained = weakref.ref(model)

    def begin(self, order: Tensor) -> None:
        """Begin an epoch over the batches of `order`, int64 (steps, batch)."""
        self.order.copy_(order)
        self.number.zero_()
        self.loss_sum.zero_()

    def end(self) -> None:
        """End an epoch: the model has what was trained."""
        if model := self._trained():
            _copy(self.network, model)


class StaticEvaluation:
    """The evaluation of a network of its own, all its batches as one work on the same tensors.

    Raises `UncapturableError` when a graph cannot hold it.
    """

    @torch.no_grad()
    def __init__(
        self, model: nn.Module, images: Images, *, protocol: Protocol, levers: Levers
    ) -> None:
        device, size = images.pixels.device, protocol.training.evaluation_batch_size
        self.network = _own(model)
        self.images = _own_images(images)
        self.logits = torch.zeros(len(images), CLASSES, device=device)
        everything = torch.arange(len(images), device=device)
        batches = list(
            zip(torch.split(everything, size), torch.split(self.logits, size), strict=True)
        )
        compiled_forward = compiled(self.network, levers)

        def work(forward: Callable[[Tensor], Tensor]) -> None:
            for index, logits in batches:
                whole = len(index) == size
                logits.copy_(
                    classify(forward if whole else self.network, self.images, index, protocol)
                )

        self._work = capture(
            lambda: work(self.network), lambda: work(compiled_forward), self.network, device
        )

    @torch.no_grad()
    def load(self, images: Images) -> None:
        """Take other images of the same number and kind."""
        self.images.pixels.copy_(images.pixels)

    @torch.no_grad()
    def run(self, model: nn.Module) -> Tensor:
        """Logits of all images by a model, float32 (n, classes), valid until the next call."""
        _copy(model, self.network)
        self._work()
        return self.logits


_latest: dict[type, tuple[object, Any]] = {}
"""The latest of each class, with what it was made for: a job's next seed takes it again."""


def training(
    model: nn.Module,
    images: Images,
    labels: Tensor,
    *,
    key: object,
    **more: Any,
) -> StaticTraining:
    """A `StaticTraining` loaded with a model: the latest one, if it was made for such a model.

    key: what else it depends on; `more` goes to the class.
    """
    wanted = (key, signature(model), _kind(images), labels.shape)
    found: StaticTraining = _kept(
        StaticTraining, wanted, lambda: StaticTraining(model, images, labels, **more)
    )
    found.load(model, images, labels)
    return found


def evaluation(
    model: nn.Module, images: Images, *, protocol: Protocol, levers: Levers
) -> StaticEvaluation:
    """A `StaticEvaluation` of such a model on these images: the latest one, if it was made so."""
    wanted = (protocol, levers, signature(model), _kind(images))
    found: StaticEvaluation = _kept(
        StaticEvaluation,
        wanted,
        lambda: StaticEvaluation(model, images, protocol=protocol, levers=levers),
    )
    found.load(images)
    return found


def release() -> None:
    """Let go of the latest graphs, their networks and the memory they hold on the device."""
    _latest.clear()


def _kept(kind: type, wanted: object, make: Callable[[], Any]) -> Any:
    known, kept = _latest.get(kind, (None, None))
    if known != wanted:
        _latest.pop(kind, None)
        kept = None  # before there is another
        kept = make()
        _latest[kind] = wanted, kept
    return kept


def _kind(images: Images) -> object:
    """What decides how batches are made, but for the pixels' values."""
    return (
        {name: value for name, value in vars(images).items() if not isinstance(value, Tensor)},
        images.pixels.shape,
        images.pixels.device,
    )


def _own_images(images: Images) -> Images:
    own = copy.copy(images)
    own.pixels = images.pixels.clone()
    return own


def _own(model: nn.Module) -> nn.Module:
    try:
        network = copy.deepcopy(model)
    except Exception as error:
        raise UncapturableError(f"the model cannot be copied: {error}") from error
    network.zero_grad(set_to_none=True)
    return network


@torch.no_grad()
def _copy(source: nn.Module, target: nn.Module) -> None:
    """Copy the values of parameters and buffers."""
    for (_, value), (_, into) in zip(tensors(source), tensors(target), strict=True):
        into.copy_(value)

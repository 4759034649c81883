"""A model that is being checked: its networks, built, run and trained as a worker does."""

import functools
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor, nn
from torch.nn import functional

from fmbench.protocol import DeviceRules, Protocol, Recipe
from fmbench.testing.comparing import differing, distance, pass_on, valid
from fmbench.testing.expected_cost import ExpectedCost, expected_cost
from fmbench.testing.importing import Imported
from fmbench.testing.process_state import SideEffects, random_streams
from fmbench.testing.reports import Fault
from fmbench.training import departures, devices, loop
from fmbench.training.batches import Images
from fmbench.training.builder import Builder
from fmbench.training.hidden import attributes, hidden_state

CPU = torch.device("cpu")
IMAGES, IMAGES_SEED = 64, 7
BATCH = 8
STEPS = 20
RECIPE = Recipe(name="check", optimizer="adamw", learning_rate=3e-4)


@dataclass(frozen=True)
class ShortTraining:
    """What twenty steps of AdamW on one batch come to.

    first, last: its loss before and after them, with the same draws of dropout.
    unreached:   names of parameters whose gradient was zero or absent in all of them.
    hidden:      what changed outside the state dict, in words; see `hidden.hidden_state`.
    """

    first: float
    last: float
    unreached: tuple[str, ...]
    hidden: str


class CheckedModel:
    """A model, and what its checks have found out so far, which later ones need.

    memory:        bytes that this machine has.
    first, second: two networks from one seed. The first is never trained.
    other:         one from another seed.
    differing:     parameters and buffers in which the first two differ when they are new.
    seed_ignored:  whether the other has the parameters of the first when it is new.
    logits:        what the first answers in training mode.
    trainings:     of the second network and of the other.

    Networks are on the CPU, in float32, and are given synthetic images.
    """

    first: nn.Module
    second: nn.Module
    other: nn.Module
    differing: list[str]
    seed_ignored: bool
    logits: Tensor
    trainings: tuple[ShortTraining, ShortTraining]

    def __init__(
        self,
        name: str,
        imported: Imported,
        protocol: Protocol,
        folder: Path,
        effects: SideEffects,
        *,
        memory: int | None = None,
    ) -> None:
        self.name = name
        self.imported = imported
        self.protocol = protocol
        self.folder = folder
        self.effects = effects
        self.memory = memory or psutil.virtual_memory().total
        self._given = protocol.devices.get("cpu", DeviceRules(precision="float32"))
        self._rules = self._given
        self._streams: dict[tuple[str, int], dict[str, object]] = {}

    @functools.cached_property
    def _builder(self) -> Builder:
        return Builder(self.imported.model)

    def build(self, seed: int) -> nn.Module:
        """Build a network; raises as `Builder.build` does."""
        with self._during("build", seed):
            network = self._builder.build()
        self._rules, _ = departures.avoid_known_faults(network, self._given)
        devices.place(network, CPU, self._rules)
        return network

    def compare_seeds(self) -> None:
        """Compare the networks while they are new."""
        self.differing = differing(self.first, self.second)
        parameters = dict(self.first.named_parameters()).keys()
        by_seed = differing(self.first, self.other)
        self.seed_ignored = bool(parameters) and parameters.isdisjoint(by_seed)

    def answer(
        self, network: nn.Module, images: Sequence[int], seed: int, *, training: bool = False
    ) -> Tensor:
        """The network's output for images by number; raises `Fault` as `valid` does."""
        network.train(training)
        with torch.no_grad(), self._during("training" if training else "evaluation", seed, network):
            output = network(self._images(images))
        return valid(output, len(images))

    def movement(self, expected: Tensor, images: Sequence[int], seed: int) -> float:
        """How far the second network's logits of the first images are from those expected."""
        return distance(expected, self.answer(self.second, images, seed)[: len(expected)])

    def bfloat16(self) -> AbstractContextManager[None]:
        """Autocast as it is where a protocol says bfloat16."""
        return devices.autocast(CPU, DeviceRules(precision="bfloat16"))

    def train(self, network: nn.Module, seed: int) -> ShortTraining:
        """Train a network in place.

        Raises `Fault` where a gradient is absent or not finite, and when the loss is not finite in
        the end.
        """
        self.answer(network, range(1), seed)  # a table made in the first pass is not hidden state
        fresh = attributes(network)
        trainable = {name: one for name, one in network.named_parameters() if one.requires_grad}
        if not trainable:
            raise Fault("it has no trainable parameter", hint="register parameters as nn.Parameter")
        optimizer = loop.make_optimizer(network, RECIPE)
        unreached, losses = dict(trainable), list[float]()
        network.train()
        with self._during("training", seed, network):
            for _ in range(STEPS):
                loss = self._loss(network)
                optimizer.zero_grad(set_to_none=True)
                _send_back(loss)
                if not losses:
                    _check_gradients(trainable)
                unreached = {
                    name: value
                    for name, value in unreached.items()
                    if value.grad is None or not value.grad.any()
                }
                optimizer.step()
                losses.append(loss.item())
        hidden = hidden_state(fresh, network)
        with torch.no_grad(), self._during("training", seed, network):
            last = self._loss(network).item()
        optimizer.zero_grad(set_to_none=True)
        if not math.isfinite(last):
            raise Fault(f"the loss is {last} after {STEPS} steps of AdamW")
        return ShortTraining(losses[0], last, tuple(unreached), hidden)

    def seeded(self) -> list[str]:
        """Random streams that stood at the same place whatever seed they started from."""
        return [
            f"{moment} seeds {library}"
            for (moment, seed), (other, other_seed) in combinations(self._streams, 2)
            if moment == other and seed != other_seed
            for library, place in self._streams[moment, seed].items()
            if place == self._streams[moment, other_seed][library]
        ]

    def departure(self) -> str:
        """What a worker does otherwise than the protocol says, found in an unwatched fork."""

        def batch() -> tuple[Tensor, Tensor]:
            index = range(min(self.protocol.training.batch_size, IMAGES))
            return self._images(index), torch.tensor(index) % 10

        try:
            return departures.settle(self.first, batch, self._given)[1]
        except departures.WrongGradientError as error:
            return f"runs fail here: {error}"

    def unstorable(self) -> str:
        """What in the second network's state dict is not a tensor; empty when all is."""
        state = self.second.state_dict()
        return next((name for name, value in state.items() if not torch.is_tensor(value)), "")

    def saved(self) -> bool:
        """That a checkpoint of the second network can be read into the first; see `pass_on`."""
        return pass_on(self.second, self.first, self.folder / "checkpoint")

    def expected_cost(self) -> ExpectedCost:
        """What a run under the protocol is expected to cost here."""
        with self._during("cost", 0):
            return expected_cost(
                self.second,
                lambda count: self._images([number % IMAGES for number in range(count)]),
                self.protocol,
            )

    def _images(self, index: Sequence[int]) -> Tensor:
        """Images of noise by number, float32 (len(index), 1, size, size)."""
        pixels = np.random.RandomState(IMAGES_SEED).randint(0, 256, (IMAGES, 28, 28))
        images = Images(
            torch.from_numpy(pixels.astype(np.uint8)),
            size=self.imported.model.size,
            rules=self.protocol.data,
            device=CPU,
            memory_format=devices.memory_format(self._rules),
        )
        return images.batch(torch.tensor(index))

    def _loss(self, network: nn.Module) -> Tensor:
        images = self._images(range(BATCH))  # anew: a model may change what it is given
        return functional.cross_entropy(network(images), torch.arange(BATCH) % 10)

    @contextmanager
    def _during(self, moment: str, seed: int, network: nn.Module | None = None) -> Iterator[None]:
        """Run a plugin's code from a seed."""
        devices.seed_everything(self.protocol.id, seed, moment)
        with self.effects.during(moment, network):
            yield
        self._streams.setdefault((moment, seed), random_streams())


def _send_back(loss: Tensor) -> None:
    if not loss.requires_grad:
        raise Fault(
            "the logits do not depend on any parameter that can be trained",
            hint="look for detach(), .data, torch.no_grad() or a tensor made anew in forward",
        )
    loss.backward()  # type: ignore[no-untyped-call]


def _check_gradients(trainable: dict[str, nn.Parameter]) -> None:
    for name, value in trainable.items():
        if value.grad is not None and not value.grad.isfinite().all():
            raise Fault(f"the gradient of {name} is not finite")

"""A model that is being checked: its networks, built, run and trained as a worker does."""

import copy
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from fmbench.protocol import DeviceRules, Protocol, Recipe, Stage, TrainingRules
from fmbench.records import Cost
from fmbench.testing.conformance import BATCH
from fmbench.testing.expected_cost import expected_cost
from fmbench.testing.importing import Imported
from fmbench.testing.process_state import SideEffects, random_streams
from fmbench.testing.reports import Fault, SkipError
from fmbench.training import departures, devices, loop, states
from fmbench.training.batches import Images
from fmbench.training.builder import Builder
from fmbench.training.checkpoints import Checkpoints
from fmbench.training.hidden import attributes

CPU = torch.device("cpu")
IMAGES, IMAGES_SEED = 64, 7
STEPS = 20
RECIPE = Recipe(name="check", optimizer="adamw", learning_rate=3e-4)
TRAINING = TrainingRules(batch_size=BATCH, evaluation_batch_size=BATCH, schedule="constant")
LABELS = torch.arange(BATCH)
CUDNN = ("benchmark", "deterministic", "allow_tf32")


@dataclass(frozen=True)
class ShortTraining:
    """What twenty epochs of AdamW on one batch come to.

    first, last: its loss before and after them, with the same draws of dropout.
    unreached:   names of parameters whose gradient was zero or absent in all of them.
    obstacle:    what a checkpoint would lack; see `states.obstacle`.
    """

    first: float
    last: float
    unreached: tuple[str, ...]
    obstacle: str


class CheckedModel:
    """A model, and what its checks have found out so far, which later ones need.

    first, second: two networks from one seed. The second is trained, the first is not.
    other:         one from another seed, which does nothing until it is trained.
    trainings:     of the second network, of the other, and of a third if those two disagree.
    saved:         the second network's state dict when a checkpoint of it was written.

    Networks are on the CPU, in float32, and are given synthetic images.
    """

    first: nn.Module
    second: nn.Module
    other: nn.Module
    trainings: list[ShortTraining]
    saved: dict[str, Any]

    def __init__(
        self, imported: Imported, protocol: Protocol, folder: Path, effects: SideEffects
    ) -> None:
        self.imported = imported
        self.protocol = protocol
        self.folder = folder
        self.effects = effects
        self._given = protocol.devices.get("cpu", DeviceRules(precision="float32"))
        self._rules = self._given
        self._threads = torch.get_num_threads()
        self._streams: dict[tuple[str, int], dict[str, object]] = {}
        devices.set_flags(self._given, self._threads)

    @functools.cached_property
    def _builder(self) -> Builder:
        return Builder(self.imported.model)

    @functools.cached_property
    def _images(self) -> Images:
        """Images of noise."""
        generator = torch.Generator().manual_seed(IMAGES_SEED)
        return Images(
            torch.randint(0, 256, (IMAGES, 28, 28), dtype=torch.uint8, generator=generator),
            size=self.imported.model.size,
            rules=self.protocol.data,
            device=CPU,
            memory_format=devices.memory_format(self._rules),
        )

    def build(self, seed: int) -> nn.Module:
        """Build a network; raises as `Builder.build` does."""
        with self._during("build", seed):
            network = self._builder.build()
        self._rules, _ = departures.avoid_known_faults(network, self._given)
        devices.place(network, CPU, self._rules)
        return network

    def differing(self, other: nn.Module) -> list[str]:
        """The parameters and buffers in which the first network and another differ."""
        ours, theirs = (
            {**dict(one.named_parameters()), **dict(one.named_buffers())}
            for one in (self.first, other)
        )
        return _differing(ours, theirs)

    def answer(
        self,
        network: nn.Module,
        images: Sequence[int],
        seed: int,
        *,
        training: bool = False,
        precision: Literal["float32", "bfloat16"] = "float32",
    ) -> Tensor:
        """The network's output for images by number.

        Raises `Fault` unless it is floating, finite and of shape (images, classes).
        """
        network.train(training)
        with (
            torch.no_grad(),
            devices.autocast(CPU, DeviceRules(precision=precision)),
            self._during("training" if training else "evaluation", seed, network),
        ):
            output: Tensor = network(self._images.batch(torch.tensor(images)))
        hint = "return logits: finite floats of shape (batch, classes)"
        try:
            loop.check_output(output, len(images))
        except loop.InvalidOutputError as error:
            raise Fault(str(error), hint=hint) from error
        if not output.isfinite().all():
            raise Fault("the model returned values that are not finite", hint=hint)
        return output

    def movement(self, expected: Tensor, images: Sequence[int], seed: int) -> float:
        """How far the second network's logits of the first images are from those expected.

        The largest difference, relative to the largest logit where that exceeds 1.
        """
        found = self.answer(self.second, images, seed)[: len(expected)]
        return float((expected - found).abs().max() / expected.abs().max().clamp(min=1))

    def train(self, network: nn.Module, seed: int) -> ShortTraining:
        """Train a network in place; raises `Fault` without a finite gradient."""
        trainable = {name: one for name, one in network.named_parameters() if one.requires_grad}
        if not trainable:
            raise Fault("it has no trainable parameter", hint="register parameters as nn.Parameter")
        self.answer(network, range(1), seed)  # a table made in the first pass is not hidden state
        fresh = attributes(network)
        first = self._loss(network, seed)
        unreached = dict(trainable)
        checkpoints = self._checkpoints() if network is self.second else None

        def look(epoch: int) -> None:
            for name, value in trainable.items():
                if value.grad is None:
                    continue
                if not value.grad.isfinite().all():
                    raise Fault(
                        f"the gradient of {name} is not finite",
                        hint="look for a root, logarithm or quotient at 0",
                    )
                if value.grad.any():
                    unreached.pop(name, None)
            if checkpoints and epoch == STEPS - 1:
                checkpoints.interval = 0.0  # one is written now
                self.saved = copy.deepcopy(network.state_dict())

        self._train(network, seed, STEPS, checkpoints, look)
        last = self._loss(network, seed)
        return ShortTraining(first, last, tuple(unreached), states.obstacle(fresh, network))

    def spoilt(self, seed: int) -> list[str]:
        """What the first network holds otherwise than was saved, once it has read the checkpoint.

        Raises what loading raises when it cannot, and `SkipError` when none was written.
        """
        if not self._train(self.first, seed, STEPS - 1, self._checkpoints()).resumed_after:
            self.first.load_state_dict(self.saved)  # says why, if that is the reason
            raise SkipError("no checkpoint was written: is there room in TMPDIR?")
        return _differing(self.saved, self.first.state_dict())

    def seeded(self) -> list[str]:
        """Random streams that stood at the same place whatever seed they started from."""
        return [
            f"{moment} seeds {stream}"
            for (moment, seed), (other, other_seed) in combinations(self._streams, 2)
            if moment == other and seed != other_seed
            for stream, place in self._streams[moment, seed].items()
            if place == self._streams[moment, other_seed][stream]
        ]

    def departure(self) -> str:
        """What a worker does otherwise than the protocol says, found in an unwatched fork."""

        def batch() -> tuple[Tensor, Tensor]:
            index = torch.arange(min(self.protocol.training.batch_size, IMAGES))
            return self._images.batch(index), index % 10

        try:
            return departures.settle(self.first, batch, self._given)[1]
        except departures.WrongGradientError as error:
            return f"runs fail here: {error}"

    def expected_cost(self, seed: int) -> Cost:
        """What a run under the protocol is expected to cost here."""
        with self._during("training", seed, self.other, reseeded=True):
            return expected_cost(self.other, self._images, self.protocol)

    def _checkpoints(self) -> Checkpoints:
        return Checkpoints(self.folder / "checkpoints", math.inf)

    def _train(
        self,
        network: nn.Module,
        seed: int,
        epochs: int,
        checkpoints: Checkpoints | None,
        after_epoch: Callable[[int], None] | None = None,
    ) -> loop.Trained:
        """Train a network by the worker's own loop, with one batch an epoch."""
        rules = msgspec.structs.replace(self._rules, precision="float32")
        protocol = msgspec.structs.replace(self.protocol, training=TRAINING, devices={"cpu": rules})
        with self._during("training", seed, network, reseeded=True):
            return loop.train(
                network,
                self._images,
                LABELS,
                protocol=protocol,
                stage=Stage(epochs=epochs),
                recipe=RECIPE,
                seed=seed,
                report=lambda *_: None,
                checkpoints=checkpoints,
                after_epoch=after_epoch,
            )

    def _loss(self, network: nn.Module, seed: int) -> float:
        """The loss of the batch in training mode."""
        logits = self.answer(network, range(len(LABELS)), seed, training=True)
        return functional.cross_entropy(logits, LABELS).item()

    @contextmanager
    def _during(
        self, moment: str, seed: int, network: nn.Module | None = None, *, reseeded: bool = False
    ) -> Iterator[None]:
        """Run a plugin's code from a seed, and set torch's flags anew afterwards.

        reseeded: whether more than the plugin's code is run, which seeds torch.
        """
        modules = dict(network.named_modules()) if network is not None else {}

        def watched() -> dict[str, object]:
            modes = {
                f"the mode of {name or 'the model'}": module.training
                for name, module in modules.items()
            }
            seed_of_torch = {} if reseeded else {"the seed of torch": torch.initial_seed()}
            return _flags() | seed_of_torch | modes

        devices.seed_everything(self.protocol.id, seed, moment)
        try:
            with self.effects.during(moment, watched):
                yield
        finally:
            devices.set_flags(self._rules, self._threads)
        self._streams.setdefault((moment, seed), random_streams())


def _flags() -> dict[str, object]:
    """What torch is set to, by its name for people."""
    cudnn = torch.backends.cudnn
    return {
        "the default dtype": torch.get_default_dtype(),
        "the default device": torch.get_default_device(),
        "the number of threads": torch.get_num_threads(),
        "the gradient mode": torch.is_grad_enabled(),
        "the deterministic mode": torch.get_deterministic_debug_mode(),
        "the precision of matrix products": torch.get_float32_matmul_precision(),
        **{f"the cudnn {name} flag": getattr(cudnn, name) for name in CUDNN},
    }


def _differing(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> list[str]:
    """The names of tensors that differ, or that one side lacks."""
    both = ours.keys() & theirs.keys()
    return [one for one in ours | theirs if one not in both or not _alike(ours[one], theirs[one])]


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same, NaN for NaN."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    one, other = one.to_dense(), other.to_dense()
    nan_too = one.is_floating_point() and torch.allclose(one, other, 0, 0, equal_nan=True)
    return torch.equal(one, other) or nan_too

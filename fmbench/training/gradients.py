"""Whether a device computes a network's gradients right, in the way a protocol trains it.

Some kernels below torch are wrong without a word: under AVX2 oneDNN gives a 1x1 convolution of
stride 2 with under 8 input channels weight gradients a hundred times too large, channels last only.
One batch, as the protocol trains, is therefore held against contiguous float32 first.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from fmbench.protocol import DeviceRules
from fmbench.training import devices

TOLERANCE = {"float32": 0.1, "bfloat16": 0.3}
"""The error of a gradient over its norm, by precision, that calls for a closer look."""

GROSS = 10.0
"""The error over its norm that rounding to bfloat16 alone seldom causes."""

PERTURBATION = {"float32": 2.0**-14, "bfloat16": 2.0**-7}
"""Of each weight, relative: some times more than what rounding changes."""

BESIDE_NOISE = 30.0
"""How many times the error must exceed what such a perturbation changes."""

Name = tuple[str, str]
"""The module that a value belongs to, and what the value is called."""

Values = dict[Name, Tensor]


@dataclass(frozen=True)
class Wrong:
    """What a device computes wrong.

    what:        the gradient or output, and its layer: `the weight gradient of conv1`.
    error:       the norm of its error over its own norm.
    format_only: whether contiguous memory in the same precision is right.
    """

    what: str
    error: float
    format_only: bool

    def __str__(self) -> str:
        if not math.isfinite(self.error):
            return f"{self.what} is not finite"
        return f"{self.what} is off by {self.error:.2g} times its size"


def examine(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    rules: DeviceRules,
    label_smoothing: float = 0.0,
) -> Wrong | None:
    """What is wrong of one batch's loss and gradients as `rules` have them; None if nothing shows.

    network: is placed and run in several ways, never trained.
    images:  float32 (b, channels, size, size); labels: int64 (b,).

    The reference is contiguous float32 with the same weights, buffers and random draws. An error
    counts when it is large beside the gradient and the others of its module, and many times what
    a perturbation of the weights changes: some gradients are nothing but rounding, and some
    networks amplify it. The memory format is to blame where contiguous memory in the same precision
    errs far less. Nothing is said where the reference is not finite, nor where a protocol trains in
    contiguous float32. Random streams are left as they were.
    """
    plain = msgspec.structs.replace(rules, precision="float32", channels_last=False)
    trial = _Trial(network, images, labels, label_smoothing)
    with devices.streams_kept():
        right = trial.run(plain)
        if rules == plain or not all(value.isfinite().all() for value in right.values()):
            return None
        found = trial.run(rules)
        doubtful = _beyond(TOLERANCE[rules.precision], found, right)
        if not doubtful:
            return None
        in_order = msgspec.structs.replace(rules, channels_last=False)
        contiguous = right if in_order == plain else trial.run(in_order)
        noisy = trial.run(in_order, perturbation=PERTURBATION[rules.precision])
        noise = {name: BESIDE_NOISE * _error(name, noisy, contiguous) for name in doubtful}
        gross = [
            name
            for name in _beyond(GROSS, contiguous, right)
            if name in noise and not _error(name, contiguous, right) <= noise[name]
        ]
        of_format = [
            name
            for name in doubtful
            if not _error(name, found, contiguous)
            <= max(noise[name], BESIDE_NOISE * _error(name, contiguous, right))
        ]
        wrong = gross or of_format
        if not wrong:
            return None
        what, error = trial.layer_to_blame(plain, rules) or _worst(wrong, found, right)
        return Wrong(f"the {what}", error, format_only=not gross)


class _Trial:
    """One network and one batch, run in ways that may differ in speed and bits alone."""

    def __init__(
        self, network: nn.Module, images: Tensor, labels: Tensor, label_smoothing: float
    ) -> None:
        self._network = network
        self._images = images
        self._labels = labels
        self._label_smoothing = label_smoothing
        self._buffers = [buffer.clone() for buffer in network.buffers()]
        self._draws = _SameDraws()

    def run(self, rules: DeviceRules, *, perturbation: float = 0.0) -> Values:
        """The loss and each parameter's gradient, float32; `perturbation` moves the weights."""
        network, device = self._network, self._images.device
        for buffer, kept in zip(network.buffers(), self._buffers, strict=True):
            buffer.copy_(kept)
        devices.place(network, device, rules)
        network.train()
        with ExitStack() as until_the_end:
            if perturbation:
                until_the_end.enter_context(_perturbed(network, perturbation))
            devices.seed_everything("gradients", 0, "pass")
            until_the_end.enter_context(torch.enable_grad())
            until_the_end.enter_context(self._draws.from_the_first())
            with devices.autocast(device, rules):
                loss = functional.cross_entropy(
                    network(_laid_out(self._images, rules)),
                    self._labels,
                    label_smoothing=self._label_smoothing,
                )
            loss.backward()  # type: ignore[no-untyped-call]
        return {("", "loss"): _plain(loss)} | _taken_gradients(network, "gradient of {}")

    def layer_to_blame(self, plain: DeviceRules, rules: DeviceRules) -> tuple[str, float] | None:
        """The worst of what single layers compute wrong of what they get here, and its error."""
        calls: dict[str, _Call] = {}
        with ExitStack() as hooks:
            for name, module in self._network.named_modules():
                if next(module.children(), None) is None:
                    calls[name or "the model"] = call = _Call(module)
                    hooks.callback(module.register_forward_pre_hook(call.take_input).remove)
                    hooks.callback(module.register_forward_hook(call.take_output).remove)
            self.run(plain)
        found = ((name, call.worst(plain, rules)) for name, call in calls.items())
        worst = [(f"{one[0]} of {name}", one[1]) for name, one in found if one]
        return max(worst, key=lambda one: one[1], default=None)


class _Call:
    """What a layer was given in one pass, forward and backward, so that it can be run alone."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._input: Tensor | None = None
        self._gradient: Tensor | None = None

    def take_input(self, _: nn.Module, given: tuple[Any, ...]) -> None:
        """Note the input of the first call, where that is one tensor."""
        if self._input is None and len(given) == 1 and isinstance(given[0], Tensor):
            self._input = given[0].detach().clone()

    def take_output(self, _: nn.Module, __: tuple[Any, ...], output: object) -> None:
        """Note the gradient that comes back to the output."""
        if self._gradient is None and isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(self._take_gradient)  # type: ignore[no-untyped-call]

    def _take_gradient(self, gradient: Tensor) -> None:
        self._gradient = gradient.detach().clone()

    def worst(self, plain: DeviceRules, rules: DeviceRules) -> tuple[str, float] | None:
        """The output or gradient that is furthest off, and its error; None when all are right."""
        given, gradient = self._input, self._gradient
        if given is None or gradient is None or gradient.is_complex():
            return None
        draws = _SameDraws()
        right, found = (self._run(given, gradient, one, draws) for one in (plain, rules))
        beyond = _beyond(TOLERANCE[rules.precision], found, right)
        return _worst(beyond, found, right) if beyond else None

    def _run(
        self, given: Tensor, gradient: Tensor, rules: DeviceRules, draws: "_SameDraws"
    ) -> Values:
        device = given.device
        devices.place(self._module, device, rules)
        given = _laid_out(given, rules).requires_grad_(given.is_floating_point())
        devices.seed_everything("gradients", 0, "layer")
        with torch.enable_grad(), draws.from_the_first():
            with devices.autocast(device, rules):
                output = self._module(given.clone())
            output.backward(gradient.to(output.dtype))
        found = {("output", "output"): _plain(output)}
        if given.grad is not None:
            found["input", "input gradient"] = _plain(given.grad)
        return found | _taken_gradients(self._module, "{} gradient")


class _SameDraws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Gives every pass the random numbers of the first, element by element.

    The same seed does not: torch fills tensors in the order in which they lie in memory.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._drawn: list[Tensor] = []
        self._next = 0

    def from_the_first(self) -> "_SameDraws":
        """This mode, for a pass that begins."""
        self._next = 0
        return self

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return result
        match func.overloadpacket:
            case torch.ops.aten.native_dropout:
                self._settle(result[1])
                result[0].copy_(args[0] * result[1] / (1 - args[1]))
            case torch.ops.aten.rrelu_with_noise:
                self._settle(args[1])
                result.copy_(args[0] * args[1])
            case _ if isinstance(result, Tensor):
                self._settle(result)
        return result

    def _settle(self, drawn: Tensor) -> None:
        """Keep what is drawn first; put it in the place of what is drawn later."""
        if self._next == len(self._drawn):
            self._drawn.append(drawn.detach().clone())
        elif self._drawn[self._next].shape == drawn.shape:
            drawn.copy_(self._drawn[self._next])
        self._next += 1


@contextmanager
def _perturbed(network: nn.Module, size: float) -> Iterator[None]:
    """Move each weight by about `size` of it while this lasts."""
    moved = [one for one in network.parameters() if one.is_floating_point() or one.is_complex()]
    weights = [parameter.data for parameter in moved]
    devices.seed_everything("gradients", 0, "perturbation")
    for parameter, weight in zip(moved, weights, strict=True):
        parameter.data = weight * (1 + size * torch.randn_like(weight))
    yield
    for parameter, weight in zip(moved, weights, strict=True):
        parameter.data = weight


def _laid_out(images: Tensor, rules: DeviceRules) -> Tensor:
    """A detached copy in the memory format of the rules."""
    if images.dim() != 4:
        return images.detach().clone()
    return images.detach().clone(memory_format=devices.memory_format(rules))


def _taken_gradients(module: nn.Module, called: str) -> Values:
    """The gradients of a module's parameters, which have none any more."""
    found = {}
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            owner = name.rpartition(".")[0] or "itself"
            found[owner, called.format(name)] = _plain(parameter.grad)
            parameter.grad = None
    return found


def _plain(value: Tensor) -> Tensor:
    value = value.detach().to_dense()
    return torch.view_as_real(value).float() if value.is_complex() else value.float()


def _beyond(tolerance: float, found: Values, right: Values) -> list[Name]:
    """What is off by more than so many times its size, or that of its owner's elements."""
    sums: dict[str, tuple[float, int]] = {}
    for (owner, _), value in right.items():
        squares, count = sums.get(owner, (0.0, 0))
        sums[owner] = squares + float(value.square().sum()), count + value.numel()

    def size(name: Name) -> float:
        squares, count = sums[name[0]]
        usual = math.sqrt(squares * right[name].numel() / count) if count else 0.0
        return max(float(right[name].norm()), usual)

    both = [name for name in right if name in found]
    return [name for name in both if not _error(name, found, right) <= tolerance * size(name)]


def _error(name: Name, found: Values, right: Values) -> float:
    return float((found[name] - right[name]).norm())


def _worst(names: list[Name], found: Values, right: Values) -> tuple[str, float]:
    """What is furthest off for its size, and how far."""
    sizes = {name: float(right[name].norm()) for name in names}
    errors = {
        name[1]: _error(name, found, right) / size if size else math.inf
        for name, size in sizes.items()
    }
    return max(errors.items(), key=lambda one: one[1])

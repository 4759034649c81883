"""Trying a network out where it costs nothing: on torch's meta device, shapes without numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

import fmbench
from fmbench.contract import LARGEST_SIZE
from fmbench_timm.building import build
from fmbench_timm.inputs import POOLED, RESIZABLE, SIZE, Input

TRIES = (  # 48 and 56 are for patches of 16 × 16 taken by threes, and of 14 × 14
    *((way, size) for size in (SIZE, 64, 48, 56, 0) for way in RESIZABLE),
    *((POOLED, size) for size in (SIZE, 48, 56)),  # last: a network's own head is better than ours
)
REASON_CHARACTERS = 160
_FILLS = {"add_", "clamp_", "erfinv_", "fill_", "mul_", "normal_", "uniform_", "zero_"}


class _Unfilled(TorchFunctionMode):
    """Leaves out what fills a tensor in its place: without numbers that is nothing but time."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        filled = args[0] if args else named.get("tensor")  # how torch.nn.init hands itself on
        if getattr(func, "__name__", "") in _FILLS and filled is not None and filled.is_meta:
            return filled
        return func(*args, **named)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try: the network's parameters, or the reason why it does not run."""

    parameters: int = 0
    reason: str = ""


def probe(architecture: str, way: str, spec: fmbench.InputSpec) -> Outcome:
    """Build `architecture` on the meta device and run two images through it, forward only.

    Both in evaluation and in training mode its answer has to be logits of shape (2, classes).
    No stream of random numbers moves.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"), torch.no_grad():
            with _Unfilled():
                network = build(architecture, way, spec)
            images = torch.empty(2, spec.channels, spec.size, spec.size)
            for training in (False, True):
                _check_logits(network.train(training), images, spec.classes)
    except Exception as error:  # whatever a network raises is its reason
        return Outcome(reason=_one_line(error))
    return Outcome(parameters=sum(parameter.numel() for parameter in network.parameters()))


def find_input(architecture: str) -> Input:
    """Return the first way in which `architecture` runs, `TRIES` in their order.

    A size of 0 among them stands for the size that timm made the architecture for.
    """
    import timm

    module = timm.model_entrypoint(architecture).__module__
    first = ""
    for way, size in TRIES:
        spec = fmbench.InputSpec(size or _own_size(architecture))
        if spec.size > LARGEST_SIZE:
            continue
        outcome = probe(architecture, way, spec)
        if not outcome.reason:
            return Input(way, spec.size, outcome.parameters, module)
        first = first or outcome.reason
    return Input("", 0, 0, module, first)


def _own_size(architecture: str) -> int:
    """The side of the images that timm made the architecture for."""
    import timm

    configuration = timm.get_pretrained_cfg(architecture, allow_unregistered=True)
    return max(configuration.input_size[1:]) if configuration else 224


def _check_logits(network: nn.Module, images: torch.Tensor, classes: int) -> None:
    answer = network(images)
    if not isinstance(answer, torch.Tensor):
        raise TypeError(f"it answers with a {type(answer).__name__}, not with logits")
    if answer.shape != (len(images), classes):
        shape = "×".join(str(side) for side in answer.shape)
        raise ValueError(f"it answers {shape} for {len(images)} images, not {classes} logits each")


def _one_line(error: Exception) -> str:
    line = " ".join(str(error).split()) or type(error).__name__
    return line if len(line) <= REASON_CHARACTERS else line[: REASON_CHARACTERS - 1] + "…"

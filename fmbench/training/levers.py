"""Switches that may make training faster on a GPU; all are off until one has proved them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

COMPILE_MODES = ("", "default", "max-autotune-no-cudagraphs", "reduce-overhead")

Forward = Callable[[Tensor], Tensor]


class UncapturableError(Exception):
    """A graph cannot hold what it was asked to hold; the message says why."""


@dataclass(frozen=True)
class Levers:
    """How the loop computes what a protocol says; none of them changes what is computed.

    Results may differ in their last bits. With all of them off the loop is the reference.

    cuda_graph:       a whole training step is one CUDA graph; see `StaticTraining`. On a CPU the
                      same step runs without a graph.
    compile_mode:     the mode of `torch.compile` for forward and backward passes; "" for none.
                      `reduce-overhead` captures CUDA graphs of its own, so it excludes the others.
                      Compiled models draw other random numbers on a GPU: dropout then differs.
    epoch_indices:    the labels of an epoch, too, are gathered in one call, not one a step. Its
                      indices always are.
    evaluation_graph: an evaluation is one CUDA graph; see `StaticEvaluation`.
    fused:            whether the optimiser is torch's fused one; None for what `make_optimizer`
                      takes by itself.

    Raises `ValueError` for another mode, or two kinds of graphs at once.
    """

    cuda_graph: bool = False
    compile_mode: str = ""
    epoch_indices: bool = False
    evaluation_graph: bool = False
    fused: bool | None = None

    def __post_init__(self) -> None:
        if self.compile_mode not in COMPILE_MODES:
            raise ValueError(f"there is no compile_mode {self.compile_mode!r}")
        if self.compile_mode == "reduce-overhead" and (self.cuda_graph or self.evaluation_graph):
            raise ValueError("reduce-overhead captures CUDA graphs of its own, within no other")


def compiled(model: nn.Module, levers: Levers) -> Forward:
    """The model as the levers have it called; compiled at its first call, and for each other shape.

    What `reduce-overhead` returns is overwritten by the next call (torch.compiler's documentation,
    "CUDAGraph Trees"), so it is copied.
    """
    if not levers.compile_mode:
        return model
    forward: Forward = torch.compile(model, mode=levers.compile_mode, dynamic=False)

    def copied(batch: Tensor) -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        output = forward(batch)
        return output.clone() if isinstance(output, Tensor) else output

    return copied if levers.compile_mode == "reduce-overhead" else forward

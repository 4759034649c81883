"""What a model costs before it is trained: parameters and floating-point operations."""

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fmbench.training.loop import check_output


def parameters(model: nn.Module) -> int:
    """The trainable parameters in real numbers, shared ones counted once; a complex one is two."""
    trainable = (one for one in model.parameters() if one.requires_grad)
    return sum(one.numel() * (1 + one.is_complex()) for one in trainable)


@torch.enable_grad()
def forward_flops(model: nn.Module, image: Tensor) -> int:
    """Floating-point operations of one image's forward pass; shape (1, channels, size, size).

    Counted by torch's FlopCounterMode: matrix products, convolutions and attention, a
    multiplication with its addition as two. It knows none of the operations that torch fuses for
    attention on a CPU and, without gradients, for whole transformer layers: neither is used here.
    Leaves the model in evaluation mode.
    Raises `InvalidOutputError` when the output is not what the contract says.
    """
    model.eval()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        output = model(image)
    check_output(output, 1)
    return int(counter.get_total_flops())

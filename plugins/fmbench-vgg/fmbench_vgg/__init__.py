"""VGG-11 for fmbench, plain and with batch normalisation. Listing it imports no torch."""

from functools import partial
from typing import TYPE_CHECKING

import fmbench

if TYPE_CHECKING:
    from torch import nn

SIZE = 32  # five halvings leave one pixel; the raw 28 would leave none
PAPER = (
    "Simonyan and Zisserman 2014, Very Deep Convolutional Networks for Large-Scale Image "
    "Recognition, configuration A, arXiv:1409.1556"
)


@fmbench.hookimpl
def fmbench_models() -> list[fmbench.Model]:
    """Offer VGG-11 without and with batch normalisation."""
    return [
        fmbench.Model(
            "vgg11",
            partial(build, batch_norm=False),
            summary="VGG-11: 8 convolutions, 3 linear layers, 128,806,154 parameters.",
            size=SIZE,
            source=PAPER,
        ),
        fmbench.Model(
            "vgg11-bn",
            partial(build, batch_norm=True),
            summary="VGG-11 with batch normalisation after each convolution, "
            "128,811,658 parameters.",
            size=SIZE,
            source=f"{PAPER}; Ioffe and Szegedy 2015, Batch Normalization, arXiv:1502.03167",
        ),
    ]


def build(spec: fmbench.InputSpec, *, batch_norm: bool) -> "nn.Module":
    """Return a freshly initialised VGG-11 for images of `spec`.

    Raises `ValueError` when the images are smaller than 32 pixels.
    """
    if spec.size < SIZE:
        raise ValueError(
            f"VGG-11 halves its input five times, so {spec.size} pixels are too few: "
            f"it needs {SIZE} or more"
        )
    from fmbench_vgg.network import VGG11  # inside: listing models must not import torch

    return VGG11(spec.channels, spec.classes, batch_norm)

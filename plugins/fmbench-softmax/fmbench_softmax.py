"""Softmax regression: the floor that every other model has to clear."""

from typing import TYPE_CHECKING

import fmbench

if TYPE_CHECKING:
    from torch import nn


@fmbench.hookimpl
def fmbench_models() -> list[fmbench.Model]:
    """Offer one linear layer on raw pixels."""
    return [
        fmbench.Model(
            "softmax",
            build,
            summary="Softmax regression: one linear layer on raw pixels, 7,850 parameters.",
            source="Cox 1958, The Regression Analysis of Binary Sequences; Bridle 1990, softmax",
        )
    ]


def build(spec: fmbench.InputSpec) -> "nn.Module":
    """Return a linear map from (batch, channels, size, size) to (batch, classes)."""
    from torch import nn  # inside: listing models must not import torch

    return nn.Sequential(
        nn.Flatten(), nn.Linear(spec.channels * spec.size * spec.size, spec.classes)
    )

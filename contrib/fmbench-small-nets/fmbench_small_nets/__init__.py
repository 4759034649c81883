"""Three small baselines for fmbench. Listing them imports no torch."""

from typing import TYPE_CHECKING

import fmbench

if TYPE_CHECKING:
    from torch import nn


@fmbench.hookimpl
def fmbench_models() -> list[fmbench.Model]:
    """Offer `small-cnn`, `two-conv` and `random-features`."""
    return [
        fmbench.Model(
            "small-cnn",
            small_cnn,
            summary="Three 3×3 convolutions with batch norm, and one linear layer.",
            source="fmbench; its shape was chosen on validation images, under lite-v2's training",
        ),
        fmbench.Model(
            "two-conv",
            two_conv,
            summary="Two 5×5 convolutions with pooling and a hidden layer: the tutorial's network.",
            source="Fashion-MNIST's benchmark/convnet.py, after TensorFlow's layers tutorial",
        ),
        fmbench.Model(
            "random-features",
            random_features,
            summary="4,096 random cosine features, which are not trained, and one linear layer.",
            source="Rahimi and Recht 2007; its bandwidth was chosen on validation images",
        ),
    ]


def small_cnn(spec: fmbench.InputSpec) -> "nn.Module":
    """Return the small CNN; see `networks.SmallCNN`."""
    from fmbench_small_nets.networks import SmallCNN  # inside: listing imports no torch

    return SmallCNN(spec.channels, spec.classes, spec.size)


def two_conv(spec: fmbench.InputSpec) -> "nn.Module":
    """Return the tutorial's network; see `networks.TwoConv`."""
    from fmbench_small_nets.networks import TwoConv

    return TwoConv(spec.channels, spec.classes, spec.size)


def random_features(spec: fmbench.InputSpec) -> "nn.Module":
    """Return the random features with their linear layer; see `networks.RandomFeatures`."""
    from fmbench_small_nets.networks import RandomFeatures

    return RandomFeatures(spec.channels, spec.classes, spec.size)

"""The small networks: their sizes, what is trained in them, and the contract."""

import subprocess
import sys
from collections.abc import Callable

import fmbench_small_nets
import pytest
import torch
from fmbench_small_nets.networks import RandomFeatures, SmallCNN, TwoConv

from fmbench.testing import contract


@pytest.mark.parametrize(
    ("network", "parameters"),
    [(SmallCNN, 61_042), (TwoConv, 3_274_634), (RandomFeatures, 40_970)],
)
def test_the_number_of_trained_parameters(
    network: Callable[[int, int, int], torch.nn.Module], parameters: int
) -> None:
    """Each network has as many parameters as its README says."""
    assert sum(one.numel() for one in network(1, 10, 28).parameters()) == parameters


def test_random_features_approximate_a_gaussian_kernel() -> None:
    """Their inner products are those of the kernel, within what so many draws give."""
    torch.manual_seed(0)
    network = RandomFeatures(1, 10, 28)
    network.linear = torch.nn.Identity()  # type: ignore[assignment]
    images = 0.5 * torch.randn(20, 1, 28, 28)
    with torch.no_grad():
        features = network(images)
    found = features @ features.T / RandomFeatures.FEATURES
    squares = torch.cdist(images.flatten(1), images.flatten(1)) ** 2
    kernel = torch.exp(-squares / (2 * RandomFeatures.BANDWIDTH**2))
    assert (found - kernel).abs().max() < 5 / RandomFeatures.FEATURES**0.5


def test_random_features_are_not_trained() -> None:
    """An optimiser is given the linear layer alone, and weights that are kept hold the features."""
    network = RandomFeatures(1, 10, 28)
    assert {name for name, _ in network.named_parameters()} == {"linear.weight", "linear.bias"}
    assert {"frequencies", "phases"} <= set(network.state_dict())


@contract(fmbench_small_nets)
def test_contract(check: Callable[[], None]) -> None:
    """The models do what fmbench expects of a plugin."""
    check()


def test_listing_imports_no_torch() -> None:
    """The names and summaries are there without a framework."""
    lines = (
        "import sys, fmbench_small_nets as p; p.fmbench_models(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", lines], check=True)

"""What changes nothing in a network with batch norm: tested exactly, without any training."""

from importlib.metadata import version
from pathlib import Path

import msgspec
from fmbench_vgg_variants.variants import PREFIX, Variant

from fmbench import discovery, files
from fmbench.records import Plugin

FACTORS = (0.01, 0.1, 10.0, 100.0)
IMAGES = 64
METHOD = (
    f"Exact tests: an untrained network, {IMAGES} images of random noise, float64, no dropout, in "
    "training mode, where batch norm normalises by the batch; one layer at a time, the worst of "
    "the eight is given. In evaluation mode stored statistics do not follow, and outputs change."
)
ALGEBRA = (
    "The exact half is algebra, and tests the code: alone it makes the claim hold partly, whatever "
    "training does."
)
NOTHING = 1e-300
"""Added to a variance it changes no bit; torch refuses 0."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """The largest change of any logit, relative to the largest logit, over the eight layers.

    with_epsilon is that of batch norm as it is used, with 1e-5 added to each variance;
    without_epsilon adds nothing; plain is the network without batch norm.
    """

    with_epsilon: float
    without_epsilon: float
    plain: float


class Invariance(msgspec.Struct, frozen=True, kw_only=True):
    """Changes by the factor of a layer's weights, and that of biases moved by standard normals.

    plugin and torch are what was tested, as records of runs name them.
    """

    width: int
    plugin: Plugin
    torch: str
    scaled: dict[str, Change]
    moved: Change


def path(results: Path, width: int) -> Path:
    """Where the measurement of a width lies."""
    return results / f"invariance-width-{width}.json"


def read(results: Path, width: int) -> Invariance | None:
    """What was measured of a width into a results folder; None when there is nothing."""
    return files.read_json(path(results, width), Invariance)


def write(results: Path, found: Invariance) -> None:
    """Keep a measurement beside the records."""
    content = msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n"
    files.write(path(results, found.width), content)


def of_this_installation(found: Invariance) -> bool:
    """Whether a measurement would be made with the same versions today."""
    return (found.plugin, found.torch) == (_plugin(), version("torch"))


def _plugin() -> Plugin:
    return next(f.plugin for f in discovery.catalogue().families if f.prefix == PREFIX)


def measure(width: int) -> Invariance:
    """Test networks of that width."""
    return Invariance(
        width=width,
        plugin=_plugin(),
        torch=version("torch"),
        scaled={f"{factor:g}": _change(width, factor=factor) for factor in FACTORS},
        moved=_change(width, factor=1.0, move=True),
    )


def _change(width: int, *, factor: float, move: bool = False) -> Change:
    normalised = Variant(width=width, batch_norm=True)
    return Change(
        with_epsilon=_largest(normalised, factor, move, epsilon=1e-5),
        without_epsilon=_largest(normalised, factor, move, epsilon=NOTHING),
        plain=_largest(normalised.plain, factor, move, epsilon=NOTHING),
    )


def _largest(variant: Variant, factor: float, move: bool, epsilon: float) -> float:
    import torch
    from fmbench_vgg_variants.network import VGG11Variant, convolutions
    from torch import nn

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = VGG11Variant(1, 10, variant).double()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = epsilon
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        images = torch.randn(IMAGES, 1, 32, 32, dtype=torch.float64)
        before = network(images)
        changes = []
        for layer in convolutions(network):
            assert layer.bias is not None  # noqa: S101 - for the type checker
            weight, bias = layer.weight.clone(), layer.bias.clone()
            layer.weight *= factor
            if move:
                layer.bias += torch.randn_like(layer.bias)
            changes.append((network(images) - before).abs().max() / before.abs().max())
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
        return float(max(changes))

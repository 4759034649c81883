"""The two small models of the doctor: softmax regression and a network, built as plugins do."""

from pathlib import Path
from typing import TYPE_CHECKING

from fmbench import protocol
from fmbench.contract import InputSpec, Model
from fmbench.protocol import Protocol

if TYPE_CHECKING:
    from torch import nn


def softmax(spec: InputSpec) -> "nn.Module":
    """One linear layer on raw pixels."""
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(spec.channels * spec.size**2, spec.classes))


def network(spec: InputSpec) -> "nn.Module":
    """Two convolutions; batch norm and dropout, which act otherwise in evaluation."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(spec.channels, 16, 5, stride=2, padding=2), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(32 * (spec.size // 4) ** 2, spec.classes),
    )  # fmt: skip


MODELS = {
    "softmax": Model("softmax", softmax, summary="Softmax regression."),
    "network": Model("network", network, summary="Two convolutions, batch norm and dropout."),
}


def rules_of(name: str) -> Protocol:
    """The protocol that the model of that name is trained by."""
    return protocol.load(str(Path(__file__).with_name(f"{name}.toml")))

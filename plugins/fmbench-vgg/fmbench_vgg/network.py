"""The VGG-11 network, interchangeable with torchvision's and shorter on small images."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool")
GRID = 7  # side of the feature map the first linear layer reads
HIDDEN = 4096


class VGG11(nn.Module):
    """Configuration A of Simonyan and Zisserman 2014 (arXiv:1409.1556).

    The module tree, the state dict, the initialisation and the order of its random draws are those
    of `torchvision.models.vgg11` and `vgg11_bn` (torchvision/models/vgg.py, BSD-3-Clause), so
    weights go from one to the other. It maps float images (batch, channels, height, width), each
    side at least 32 pixels, to logits (batch, classes).
    """

    def __init__(self, channels: int, classes: int, batch_norm: bool) -> None:
        """Build the network for images with `channels` channels and draw its parameters."""
        super().__init__()
        self.features = _convolutions(channels, batch_norm)
        self.avgpool = nn.AdaptiveAvgPool2d((GRID, GRID))
        self.classifier = nn.Sequential(
            nn.Linear(512 * GRID * GRID, HIDDEN),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(HIDDEN, classes),
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh parameters from torch's global generator."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (batch, classes) of `images`."""
        features = self.features(images)
        if features.shape[-2:] != (1, 1):
            logits: Tensor = self.classifier(torch.flatten(self.avgpool(features), 1))
            return logits
        first, *rest = self.classifier
        assert isinstance(first, nn.Linear)  # noqa: S101 - for the type checker
        hidden = linear_on_copies(features.flatten(1), first.weight, first.bias)
        for layer in rest:
            hidden = layer(hidden)
        return hidden


def linear_on_copies(pixel: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply a linear layer to a pixel copied onto a grid, without making the copies.

    pixel:  (batch, features), what pooling a 1×1 map to a grid of g cells copies into each cell.
    weight: (outputs, features * g); bias: (outputs,). Returns (batch, outputs).

    A row of weights meets the same value in each cell, so their sum gives the same product: exact
    in real numbers, for values and gradients, and a g-th of the multiplications.
    """
    per_cell = weight.view(weight.shape[0], pixel.shape[1], -1)
    return F.linear(pixel, per_cell.sum(-1), bias)


def _convolutions(channels: int, batch_norm: bool) -> nn.Sequential:
    """Return the eight 3×3 convolutions and five halvings of configuration A."""
    layers: list[nn.Module] = []
    for width in WIDTHS:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            continue
        layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=1))
        if batch_norm:
            layers.append(nn.BatchNorm2d(width))
        layers.append(nn.ReLU(inplace=True))
        channels = width
    return nn.Sequential(*layers)

"""The networks. Each maps float images (batch, channels, size, size) to logits (batch, classes)."""

from math import pi, sqrt

import torch
from torch import Tensor, nn


class SmallCNN(nn.Sequential):
    """Three 3×3 convolutions of `WIDTHS` channels, each pooled, and one linear layer.

    Pooling stands before batch norm and ReLU, which then have a quarter of the values to work on.
    """

    WIDTHS = (24, 48, 96)

    def __init__(self, channels: int, classes: int, size: int) -> None:
        """Build the network; parameters come from torch's global generator."""
        super().__init__()
        for width in self.WIDTHS:
            self.extend(
                [
                    nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False),
                    nn.MaxPool2d(2),
                    nn.BatchNorm2d(width),
                    nn.ReLU(inplace=True),
                ]
            )
            channels, size = width, size // 2
        self.extend([nn.Flatten(), nn.Linear(channels * size * size, classes)])


class TwoConv(nn.Sequential):
    """Two 5×5 convolutions of 32 and 64 channels with pooling, 1,024 hidden units, dropout of 0.4.

    It is `cnn_model_fn` of benchmark/convnet.py in the data set's repository.
    """

    def __init__(self, channels: int, classes: int, size: int) -> None:
        """Build the network; parameters come from torch's global generator."""
        super().__init__(
            nn.Conv2d(channels, 32, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * (size // 4) ** 2, 1024),
            nn.ReLU(inplace=True),
            nn.Dropout(0.4),
            nn.Linear(1024, classes),
        )


class RandomFeatures(nn.Module):
    """Random Fourier features of the pixels, which stay as they were drawn, and a linear layer.

    Their inner products approximate a Gaussian kernel exp(-|x - y|² / (2 · BANDWIDTH²)) of
    normalised images (Rahimi and Recht 2007), so this is a kernel machine, trained as the protocol
    trains.
    """

    FEATURES = 4096
    BANDWIDTH = 14.0

    frequencies: Tensor
    phases: Tensor

    def __init__(self, channels: int, classes: int, size: int) -> None:
        """Draw features and parameters from torch's global generator."""
        super().__init__()
        pixels = channels * size * size
        self.register_buffer("frequencies", torch.randn(self.FEATURES, pixels) / self.BANDWIDTH)
        self.register_buffer("phases", 2 * pi * torch.rand(self.FEATURES))
        self.linear = nn.Linear(self.FEATURES, classes)
        nn.init.zeros_(self.linear.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, classes) of images (batch, channels, size, size)."""
        angles = nn.functional.linear(images.flatten(1), self.frequencies, self.phases)
        logits: Tensor = self.linear(sqrt(2) * angles.cos())
        return logits

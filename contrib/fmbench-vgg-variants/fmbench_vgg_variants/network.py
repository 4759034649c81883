"""The network of a variant."""

import torch
from torch import Tensor, nn

from fmbench_vgg_variants.variants import Variant

CONFIGURATION_A = (1, "pool", 2, "pool", 4, 4, "pool", 8, 8, "pool", 8, 8, "pool")
HIDDEN = 64
_MODULES = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


class VGG11Variant(nn.Module):
    """Configuration A of Simonyan and Zisserman 2014 (arXiv:1409.1556) for 32-pixel images.

    Eight 3×3 convolutions, of which the first has `variant.width` channels and the last eight times
    as many, then linear layers to 64 times as many hidden units, as many again, and the classes.
    Five halvings leave one pixel, which the first linear layer reads as it is: torchvision's VGG-11
    copies it 49 times first. All weights start as in He et al. 2015 (arXiv:1502.01852), with the
    gain of the activation, so that no width, activation or depth is favoured.

    It maps float images (batch, channels, 32, 32) to logits (batch, classes).
    """

    def __init__(self, channels: int, classes: int, variant: Variant) -> None:
        """Build the network and draw its parameters from torch's global generator."""
        super().__init__()
        activation = _MODULES[variant.activation]
        self.features = nn.Sequential()
        for factor in CONFIGURATION_A:
            if isinstance(factor, str):
                self.features.append(nn.MaxPool2d(kernel_size=2, stride=2))
                continue
            width = factor * variant.width
            self.features.append(nn.Conv2d(channels, width, 3, padding=1, bias=variant.bias))
            if variant.batch_norm:
                self.features.append(nn.BatchNorm2d(width))
            self.features.append(activation())
            channels = width
        hidden = HIDDEN * variant.width
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels, hidden),
            activation(),
            nn.Dropout(variant.dropout),
            nn.Linear(hidden, hidden),
            activation(),
            nn.Dropout(variant.dropout),
            nn.Linear(hidden, classes),
        )
        self._initialise(variant)

    @torch.no_grad()
    def _initialise(self, variant: Variant) -> None:
        for module in self.modules():
            if not isinstance(module, nn.Conv2d | nn.Linear):
                continue
            nn.init.kaiming_normal_(module.weight, nonlinearity=variant.activation)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
            if isinstance(module, nn.Conv2d):
                if variant.std is not None:
                    nn.init.normal_(module.weight, 0.0, variant.std)
                module.weight *= variant.scale

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (batch, classes) of `images`."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    """The convolutions of a network, first to last."""
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]

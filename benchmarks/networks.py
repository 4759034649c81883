"""The networks under comparison: fmbench's, and those a user without fmbench would build."""

from torch import nn

from fmbench import discovery
from fmbench.contract import InputSpec, Model
from fmbench.discovery.child import load_model, unchanged
from fmbench.errors import UsageError
from fmbench.execution.selection import select


def find(name: str) -> Model:
    """The model of that name: `cnn`, or what an installed plugin offers.

    Raises `UsageError` when nobody offers it, or a pattern stands for several.
    """
    if name == CNN.name:
        return CNN
    found = select(discovery.catalogue(), [name])
    if len(found) != 1:
        raise UsageError(f"{name!r} means {len(found)} models", hint="name one of them")
    return load_model(unchanged(found[0].plugin), found[0].name)


def build_cnn(spec: InputSpec) -> nn.Module:
    """Two convolutions, two linear layers: (batch, channels, size, size) to (batch, classes).

    The network of https://github.com/pytorch/examples/blob/main/mnist/main.py (BSD-3-Clause),
    which a newcomer to PyTorch is shown first; it returns logits.
    """
    side = (spec.size - 4) // 2
    return nn.Sequential(
        nn.Conv2d(spec.channels, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(64 * side * side, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, spec.classes),
    )


CNN = Model("cnn", build_cnn, summary="Two convolutions, two linear layers.")


def build_plain(model: Model) -> nn.Module:
    """The network a user without fmbench would train for this model.

    For vgg11 that is torchvision's, its first convolution and its classifier adapted; for any other
    model it is the very same network.
    """
    spec = InputSpec(size=model.size)
    if model.name != "vgg11":
        return model.build(spec)
    from torchvision.models import vgg11  # type: ignore[import-untyped]

    network: nn.Module = vgg11(weights=None, num_classes=spec.classes)
    network.set_submodule("features.0", nn.Conv2d(spec.channels, 64, 3, padding=1))
    return network

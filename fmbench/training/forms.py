"""How a trained network can be built where its plugin is not: by timm, or by torch alone."""

import runpy
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from fmbench.contract import CLASSES, InputSpec
from fmbench.training import states
from fmbench.weights import Form

TOLERANCE = 1e-4
"""How far logits may lie apart, relatively and as such: sums in another order, not other sums."""

HEAD = '''"""The network of these weights, built by torch alone. Written by `fmbench export`."""

from collections import OrderedDict

from torch import nn


def network() -> nn.Module:
    """Return the network, untrained."""
    return '''


def find(network: nn.Module, size: int, path: Path, images: Tensor, folder: Path) -> Form:
    """How a network can be built without its plugin: by timm, by torch, or not.

    size:   side of its images in pixels.
    path:   the kept weights, loaded into what is built to prove it.
    images: float32 (n, 1, size, size), what both are given.
    folder: an empty one to work in.
    """
    if config := timm_config(network, InputSpec(size=size), path, images, folder):
        return Form(kind="timm", config=config)
    if source := torch_source(network, path, images, folder):
        return Form(kind="torch", source=source)
    return Form()


def timm_config(
    network: nn.Module, spec: InputSpec, path: Path, images: Tensor, folder: Path
) -> dict[str, Any]:
    """What timm needs to know to build a network from a folder, else nothing; see `find`."""
    timm = sys.modules.get("timm")  # the plugin has imported it, or the network is none of timm's
    named = getattr(network, "pretrained_cfg", None)
    if timm is None or not named or not type(network).__module__.startswith("timm."):
        return {}
    expected = _logits(network, images)
    (folder / "model.safetensors").symlink_to(path)
    for further in ({}, {"img_size": spec.size}):
        config = {
            "architecture": named["architecture"],
            "num_classes": spec.classes,
            "num_features": getattr(network, "num_features", None),
            "model_args": {"in_chans": spec.channels, **further},
            "pretrained_cfg": {
                "custom_load": False,
                "input_size": [spec.channels, spec.size, spec.size],
                "num_classes": spec.classes,
                **{name: named[name] for name in ("first_conv", "classifier") if named.get(name)},
            },
        }
        with suppress(Exception):  # whatever timm raises: so it does not build this network
            (folder / "config.json").write_bytes(msgspec.json.encode(config))
            loaded = timm.create_model(f"local-dir:{folder}", pretrained=True)
            if _alike(_logits(loaded, images), expected):
                return config
    return {}


def torch_source(network: nn.Module, path: Path, images: Tensor, folder: Path) -> str:
    """A Python module that builds a network of torch's own layers; empty where there is none.

    Arguments are those of `find`. A network of another class counts when it does no more
    than to apply its children one after another, flattened before the last.
    """
    expected = _logits(network, images)
    for written in _written(network):
        with suppress(Exception):  # whatever it raises: it is not what it looks like
            (folder / "network.py").write_text(HEAD + written + "\n", encoding="utf-8")
            built = runpy.run_path(str(folder / "network.py"))["network"]()
            states.load(built, path)
            if _alike(_logits(built, images), expected):
                return HEAD + written + "\n"
    return ""


def _written(network: nn.Module) -> Iterator[str]:
    """Expressions that may build a network."""
    if _is_torchs(network):
        yield _expression(network, 1)
        return
    children = dict(network.named_children())
    if len(children) > 1 and not list(network.parameters(recurse=False)):
        *first, last = children
        yield _sequence(children, 1)
        flattened = {name: children[name] for name in first}
        yield _sequence({**flattened, "flattened": nn.Flatten(), last: children[last]}, 1)


def _expression(module: nn.Module, depth: int) -> str:
    """A module as Python; raises `ValueError` for one whose description does not build it."""
    if not _is_torchs(module):
        return "None"  # not torch's: the attempt fails
    if type(module) is nn.Sequential:
        return _sequence(dict(module.named_children()), depth)
    return f"nn.{type(module).__name__}({module.extra_repr()})"


def _sequence(children: dict[str, nn.Module], depth: int) -> str:
    space = "    " * (depth + 1)
    lines = [
        f'{space}("{name}", {_expression(child, depth + 1)}),\n' for name, child in children.items()
    ]
    return f"nn.Sequential(OrderedDict([\n{''.join(lines)}{'    ' * depth}]))"


def _is_torchs(module: nn.Module) -> bool:
    """Whether a module is one of torch's own layers, or a plain sequence."""
    own = getattr(nn, type(module).__name__, None) is type(module)
    return own and (type(module) is nn.Sequential or not list(module.children()))


@torch.no_grad()
def _logits(network: nn.Module, images: Tensor) -> Tensor:
    answer: Tensor = network.eval()(images)
    if answer.shape != (len(images), CLASSES):
        raise ValueError("its answer has another shape")
    return answer.float()


def _alike(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE)

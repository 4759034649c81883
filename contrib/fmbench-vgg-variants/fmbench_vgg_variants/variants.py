"""A variant of VGG-11: what may differ, and its one name."""

import re
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

PREFIX = "vgg11@"
SIZE = 32
FULL_WIDTH = 64
Activation = Literal["relu", "sigmoid", "tanh"]


@dataclass(frozen=True)
class Variant:
    """VGG-11 for 32-pixel images, and what is changed in it.

    width:      channels of the first convolution; 64 is VGG-11, all layers shrink with it.
    batch_norm: normalise the output of each convolution, before the activation.
    bias:       whether the convolutions have one.
    activation: after each layer but the last.
    std:        standard deviation of the convolutions' initial weights, normal around zero; None
                for that of He et al. 2015 (arXiv:1502.01852), which depends on the layer.
    scale:      what the convolutions' initial weights are multiplied by.
    dropout:    share of hidden units dropped after each of the two hidden linear layers.
    """

    width: int = FULL_WIDTH
    batch_norm: bool = False
    bias: bool = True
    activation: Activation = "relu"
    std: float | None = None
    scale: float = 1.0
    dropout: float = 0.5

    @property
    def name(self) -> str:
        """`vgg11@width=8,bn,std=0.1`: the width, then what differs from plain VGG-11."""
        parts = [f"width={self.width}"]
        parts += ["bn"] if self.batch_norm else []
        parts += [] if self.bias else ["nobias"]
        parts += [f"act={self.activation}"] if self.activation != "relu" else []
        parts += [f"std={self.std:g}"] if self.std is not None else []
        parts += [f"scale={self.scale:g}"] if self.scale != 1 else []
        parts += [f"dropout={self.dropout:g}"] if self.dropout != 0.5 else []
        return PREFIX + ",".join(parts)

    @property
    def summary(self) -> str:
        """One line for people."""
        said = f"VGG-11 with {self.width} to {8 * self.width} channels"
        return f"{said}{', batch norm' if self.batch_norm else ''}: {self.name}."

    @property
    def plain(self) -> "Variant":
        """The same without batch norm."""
        return replace(self, batch_norm=False)

    @property
    def without_bias(self) -> "Variant":
        """The same without biases in its convolutions."""
        return replace(self, bias=False)

    @property
    def normalised(self) -> "Variant":
        """The same with batch norm."""
        return replace(self, batch_norm=True)


_PARTS = {
    "width": re.compile(r"width=([1-9]\d{0,3})"),
    "batch_norm": re.compile(r"(bn)"),
    "bias": re.compile(r"(nobias)"),
    "activation": re.compile(rf"act=({'|'.join(get_args(Activation))})"),
    "std": re.compile(r"std=(\d+(?:\.\d+)?(?:e-\d+)?)"),
    "scale": re.compile(r"scale=(\d+(?:\.\d+)?(?:e-\d+)?)"),
    "dropout": re.compile(r"dropout=(0(?:\.\d+)?)"),
}


def parse(name: str) -> Variant:
    """The variant of a full name; raises `LookupError` with a sentence when there is none."""
    changed: dict[str, object] = {}
    for part in name.removeprefix(PREFIX).split(","):
        for field, pattern in _PARTS.items():
            if found := pattern.fullmatch(part):
                changed[field] = _value(field, found[1])
                break
        else:
            raise LookupError(
                f"{part!r} is no part of a variant: they are width=64, bn, nobias, act=sigmoid or "
                "tanh, std=0.1, scale=10, dropout=0, with commas between them"
            )
    variant = Variant(**changed)  # type: ignore[arg-type]
    if variant.name != name:
        raise LookupError(f"a variant has one name, and that of this one is {variant.name}")
    return variant


def _value(field: str, text: str) -> object:
    match field:
        case "width":
            return int(text)
        case "batch_norm":
            return True
        case "bias":
            return False
        case "activation":
            return text
    return float(text)


assert {field.name for field in fields(Variant)} == set(_PARTS)  # noqa: S101 - one pattern each

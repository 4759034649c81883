"""What a plugin hands to fmbench: models, families of models, and the input they are built for."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING

from fmbench.errors import PluginError
from fmbench.wording import encodable

if TYPE_CHECKING:
    from torch import nn

CONTRACT = 1
"""Raised when plugins have to change; a plugin may name the one it was written for."""

CLASSES = 10
RAW_SIZE = 28
LARGEST_SIZE = 512

_SEGMENT = r"[a-z0-9][a-z0-9._-]{0,63}"
_VARIANT = r"@[a-z0-9=,._-]{1,32}"
MODEL_NAME = re.compile(rf"{_SEGMENT}(/{_SEGMENT})?({_VARIANT})?")
FAMILY_PREFIX = re.compile(rf"{_SEGMENT}(/|(/{_SEGMENT})?@)")


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The input a model is built for: float tensors of shape (batch, channels, size, size)."""

    size: int
    channels: int = 1
    classes: int = CLASSES


def _text(value: object) -> object:
    """Text as Python's own str, which UTF-8 can hold, where it is a kind of it: numpy's, say."""
    return encodable(str.__str__(value)) if isinstance(value, str) else value


def _whole(value: object) -> object:
    """A whole number as Python's own int, where it is a kind of it: numpy's, say."""
    return int(value) if isinstance(value, Integral) else value


@dataclass(frozen=True, slots=True)
class Model:
    """One named entry a plugin offers.

    name:    up to 64 characters of a-z, 0-9 and `. _ -`, the first a letter or digit; then, if at
             all, `/` and another such part; then, if at all, `@` and up to 32 characters, of which
             `=` and `,` are allowed too: `softmax`, `timm/resnet18`, `vgg11@width=8,bn`.
    build:   called in the worker with an `InputSpec`; returns an `nn.Module` with fresh parameters
             that maps float images (batch, channels, size, size) to logits (batch, classes).
    summary: one line for people.
    size:    side of the square input in pixels. 28 is the raw image, 29 to 63 zero-pads to that
             size, 64 to 512 resizes bilinearly.
    source:  where the architecture comes from, a paper or an address.

    Raises `PluginError` when a field breaks these rules.
    """

    name: str
    build: "Callable[[InputSpec], nn.Module]"
    summary: str = ""
    size: int = RAW_SIZE
    source: str = ""

    def __post_init__(self) -> None:
        for field in ("name", "summary", "source"):
            object.__setattr__(self, field, _text(getattr(self, field)))
        object.__setattr__(self, "size", _whole(self.size))
        if not isinstance(self.name, str) or not MODEL_NAME.fullmatch(self.name):
            raise PluginError(
                f"{self.name!r} is not a model name",
                hint="use up to 64 lower-case letters, digits and . _ - with at most one / and one "
                "@variant of up to 32",
            )
        if not callable(self.build):
            raise PluginError(
                f"the build function of {self.name} is a {type(self.build).__name__}",
                hint="pass a function that takes an fmbench.InputSpec and returns an nn.Module",
            )
        if not isinstance(self.size, int) or not RAW_SIZE <= self.size <= LARGEST_SIZE:
            raise PluginError(
                f"the input size of {self.name} is {self.size!r}",
                hint=f"choose a whole number of pixels from {RAW_SIZE} to {LARGEST_SIZE}",
            )
        for field in ("summary", "source"):
            if not isinstance(getattr(self, field), str):
                raise PluginError(
                    f"the {field} of {self.name} is not a string",
                    hint=f"write {field}='...', one line for people",
                )


@dataclass(frozen=True, slots=True)
class Family:
    """A prefix whose members a plugin resolves on request.

    prefix:  what every member's name begins with; ends in `/` or `@`, for instance `timm/`.
    resolve: called with a member's full name; returns its `Model`, and raises `LookupError` with a
             message, one sentence, when there is no such member.
    listed:  full names of the members that `fmbench models` shows and `fmbench run --all` runs.
             Resolving one of these must not import anything heavy.
    members: called by `fmbench models 'timm/*'`; returns the full names of all members. None for a
             family that has no list of them.

    Raises `PluginError` when a field breaks these rules.
    """

    prefix: str
    resolve: Callable[[str], Model]
    listed: Sequence[str] = ()
    members: Callable[[], Sequence[str]] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "prefix", _text(self.prefix))
        object.__setattr__(self, "listed", tuple(map(_text, self.listed)))
        if not isinstance(self.prefix, str) or not FAMILY_PREFIX.fullmatch(self.prefix):
            raise PluginError(
                f"{self.prefix!r} is not a family prefix", hint="it ends in / or @, like 'timm/'"
            )
        if not callable(self.resolve):
            raise PluginError(
                f"the resolve function of {self.prefix} cannot be called",
                hint="pass a function that takes a full name and returns its fmbench.Model",
            )
        if self.members is not None and not callable(self.members):
            raise PluginError(
                f"the members function of {self.prefix} cannot be called",
                hint="pass a function without arguments that returns full names, or None",
            )
        for name in self.listed:
            if not isinstance(name, str) or not name.startswith(self.prefix):
                raise PluginError(
                    f"{name!r} is listed in the family {self.prefix} but does not begin with it",
                    hint=f"list full names, each of which begins with {self.prefix}",
                )

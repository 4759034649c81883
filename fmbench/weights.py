"""Kept weights: a safetensors file that says which run they are of, read without torch."""

import os
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct
from safetensors import SafetensorError, safe_open

from fmbench import files
from fmbench.contract import MODEL_NAME
from fmbench.protocol import Protocol
from fmbench.records import Run

Kind = Literal["float32", "bf16"]
RUN, PROTOCOL = "fmbench.run", "fmbench.protocol"


class Weights(Struct, frozen=True, kw_only=True):
    """What a file of kept weights says of itself.

    run:      the run that left them.
    protocol: the rules it was made under.
    dtypes:   of its tensors, safetensors' names of them: `F32`, `BF16`, `I64`.
    size:     bytes of the file.
    """

    run: Run
    protocol: Protocol
    dtypes: tuple[str, ...]
    size: int

    @property
    def rounded(self) -> bool:
        """Whether numbers were rounded when they were stored."""
        return "BF16" in self.dtypes


class Form(Struct, frozen=True, kw_only=True):
    """How a network can be built: by timm, by torch alone, else by its plugin.

    config: what timm needs in config.json.
    source: a Python module whose `network()` returns it.
    """

    kind: Literal["timm", "torch", "plugin"] = "plugin"
    config: dict[str, Any] = {}
    source: str = ""


def metadata(run: Run, protocol: Protocol) -> dict[str, str]:
    """The metadata that makes a safetensors file one of kept weights."""
    return {
        "format": "pt",
        RUN: msgspec.json.encode(run).decode(),
        PROTOCOL: msgspec.json.encode(protocol).decode(),
    }


def read(path: Path) -> Weights:
    """What a file of kept weights says of itself; no tensor is read, and nothing in it is run.

    Raises `ValueError` when it is none, and `OSError` when it cannot be read.
    """
    with files.open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            with safe_open(f"/dev/fd/{file.fileno()}", framework="numpy") as opened:
                about = opened.metadata() or {}
                dtypes = {opened.get_slice(name).get_dtype() for name in opened.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"it is not a safetensors file: {error}") from error
    if RUN not in about or PROTOCOL not in about:
        raise ValueError("it does not say which run of fmbench its weights are of")
    try:
        run = msgspec.json.decode(about[RUN], type=Run)
        protocol = msgspec.json.decode(about[PROTOCOL], type=Protocol)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"what it says of its run cannot be read: {error}") from error
    if not MODEL_NAME.fullmatch(run.model) or run.protocol_digest != protocol.digest:
        raise ValueError("what it says of its run contradicts itself")
    return Weights(run=run, protocol=protocol, dtypes=tuple(sorted(dtypes)), size=size)

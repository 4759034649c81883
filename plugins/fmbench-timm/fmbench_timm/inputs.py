"""For which input, and how, each of timm's architectures is built: what coverage.py measured."""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_name("inputs.json")
SIZE = 32  # what these networks halve five times without a remainder
PLAIN = "plain"
IMG_SIZE = "img_size"
POOLED = "pooled"
RESIZABLE = (PLAIN, IMG_SIZE)


class Input(NamedTuple):
    """How one architecture is built: the way, the side of its images in pixels, and what of it.

    way is empty and `reason` one line when there is no way.
    """

    way: str
    size: int
    parameters: int
    module: str
    reason: str = ""


class Measured(NamedTuple):
    """All inputs, and the versions they were measured with."""

    timm: str
    torch: str
    inputs: dict[str, Input]


@cache
def measured() -> Measured:
    """Return the contents of `FILE`, read once."""
    content = json.loads(FILE.read_text(encoding="utf-8"))
    inputs = {name: Input(*fields) for name, fields in content["inputs"].items()}
    return Measured(content["timm"], content["torch"], inputs)


def write(contents: Measured, path: Path = FILE) -> None:
    """Write `contents` to `path`, an architecture a line."""
    lines = [
        f"    {json.dumps(name)}: "
        f"{json.dumps(fields if fields.reason else fields[:4], ensure_ascii=False)}"
        for name, fields in sorted(contents.inputs.items())
    ]
    head = f'{{\n  "timm": "{contents.timm}",\n  "torch": "{contents.torch}",\n  "inputs": {{\n'
    path.write_text(head + ",\n".join(lines) + "\n  }\n}\n", encoding="utf-8")

"""The journal: a JSON object a line, each written whole as soon as it is measured."""

import json
import math
from pathlib import Path
from typing import Any

NAME = "measurements.jsonl"

Line = dict[str, Any]
"""What a line holds: `stage` and `kind`, which are text, and what was measured."""


def write(folder: Path, stage: str, kind: str, **facts: object) -> None:
    """Append one line to the journal of a folder, in one write, so that a kill tears none.

    A number that is not finite, which JSON does not have, becomes null.
    """
    line = json.dumps(_plain({"stage": stage, "kind": kind, **facts}), allow_nan=False)
    with (folder / NAME).open("ab", buffering=0) as file:
        file.write(f"{line}\n".encode())


def read(folder: Path) -> list[Line]:
    """The lines of a folder's journal in order, without any that is torn; empty without one."""
    try:
        text = (folder / NAME).read_text("utf-8", "replace")
    except FileNotFoundError:
        return []
    lines = []
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and {"stage", "kind"} <= found.keys():
            lines.append(found)
    return lines


def _plain(value: object) -> object:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {name: _plain(one) for name, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case _:
            return value

"""How rules derive from others: tables laid over tables, and what they then say otherwise."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

OWN = ("name", "version", "status", "summary", "extends", "differs")
"""Keys that a protocol never takes from the one it extends."""


def merge(parent: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """The child's tables laid over the parent's: tables merge key by key, all else replaces."""
    merged = dict(parent)
    for key, value in child.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged


def differences(parent: Struct, child: Struct) -> tuple[str, ...]:
    """What the child says otherwise, a phrase for each key: `final.epochs 30 instead of 8`.

    Of a recipe that only one of them has, only the name is given.
    """
    old, new = dict(_leaves(parent)), dict(_leaves(child))
    return tuple(
        f"{key} {new.get(key, 'none')} instead of {old.get(key, 'none')}"
        for key in dict.fromkeys([*new, *old])
        if old.get(key) != new.get(key)
        and key not in OWN
        and ((key in old and key in new) or not key.startswith("recipes."))
    )


def _leaves(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Every key with its value in words; what is absent has none."""
    match value:
        case None:
            return
        case Struct() | Mapping():
            for key, one in (asdict(value) if isinstance(value, Struct) else value).items():
                yield from _leaves(one, (*path, key))
        case (Struct(), *_):
            named = {str(asdict(one)["name"]): one for one in value if isinstance(one, Struct)}
            yield ".".join(path), ", ".join(named)
            yield from _leaves(named, path)
        case _:
            yield ".".join(path), _shown(value)


def _shown(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return value[:12] if re.fullmatch("[0-9a-f]{64}", value) else value
        case tuple():
            return f"[{', '.join(map(_shown, value))}]"
        case _:
            return str(value)

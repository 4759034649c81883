"""The user's cache: answers by name. One that is lost, or cannot be kept, costs only time."""

import contextlib
from pathlib import Path
from typing import TypeVar

import msgspec
import platformdirs

from fmbench import files
from fmbench.errors import StoreError

T = TypeVar("T")


def folder() -> Path | None:
    """Where it lies; None for a user who has no home, in a container say."""
    try:
        path = platformdirs.user_cache_path("fmbench", appauthor=False)
    except RuntimeError:
        return None
    return path if path.is_absolute() else None  # older platformdirs give ~/.cache itself


def read(name: str, kind: type[T]) -> T | None:
    """What was kept under a name; None when that is nothing, or something else."""
    place = folder()
    return files.read_json(place / f"{name}.json", kind) if place else None


def keep(name: str, value: object) -> None:
    """Keep a value under a name, where that can be done."""
    if place := folder():
        with contextlib.suppress(StoreError):
            files.write(files.make_folder(place) / f"{name}.json", msgspec.json.encode(value))

"""How fmbench puts files on disk: whole or not at all, and never over an existing record."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmbench.errors import StoreError


def write_new(path: Path, content: bytes) -> None:
    """Place a file that must not exist yet, atomically and durably.

    Raises `FileExistsError` when it exists and `StoreError` when the folder cannot be written.
    """
    _place(path, content, os.link)


def write(path: Path, content: bytes) -> None:
    """Place or replace a file, atomically and durably.

    Raises `StoreError` when the folder cannot be written.
    """
    _place(path, content, os.replace)


def make_folder(path: Path) -> Path:
    """Make a folder with its parents; raises `StoreError` when that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def unwritable(path: Path, error: OSError) -> StoreError:
    """The error that says why `path` cannot be written."""
    return StoreError(
        f"cannot be written: {error.strerror or error}",
        where=str(path),
        hint="choose another folder with --results FOLDER",
    )


def npy_bytes(array: NDArray[Any]) -> bytes:
    """An array as the bytes of a .npy file, without pickle."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _place(path: Path, content: bytes, move: Callable[[Path, Path], None]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _write_through(temporary, content)
        move(temporary, path)
        _sync_folder(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _write_through(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

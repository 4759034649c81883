"""How fmbench puts files on disk: whole or not at all, and never over an existing record."""

import os
from pathlib import Path

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


def _place(path: Path, content: bytes, move) -> None:  # type: ignore[no-untyped-def]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        move(temporary, path)
        _sync_folder(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""How fmbench puts files on disk: whole or not at all, and never over an existing record."""

import contextlib
import errno
import functools
import hashlib
import io
import math
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, TypeVar

import msgspec
import numpy as np
import psutil
from numpy.typing import NDArray

from fmbench.errors import FmbenchError, StoreError

NPY_HEADER_BYTES = 10_000
LARGEST_JSON = 64 * 1024 * 1024
PIECE_BYTES = 4 * 1024 * 1024
TEMPORARY = ".tmp"
T = TypeVar("T")
Buffer = bytes | memoryview


def write_new(path: Path, content: bytes) -> None:
    """Place a file that must not exist yet, atomically and durably.

    Raises `FileExistsError` when it exists and `StoreError` when the folder cannot be written.
    """
    _place(path, [content], os.link)


def write(path: Path, content: bytes) -> None:
    """Place or replace a file, atomically and durably.

    Raises `StoreError` when the folder cannot be written.
    """
    _place(path, [content], os.replace)


def write_stream(path: Path, parts: Iterable[Buffer]) -> str:
    """Place or replace a file as `write` does, part by part; returns the SHA-256 of its content."""
    digest = hashlib.sha256()

    def noted() -> Iterator[Buffer]:
        for part in parts:
            digest.update(part)
            yield part

    _place(path, noted(), os.replace)
    return digest.hexdigest()


def pieces(file: IO[bytes], size: int = PIECE_BYTES) -> Iterator[bytes]:
    """What is left of an open file, in pieces of at most `size` bytes."""
    while piece := file.read(size):
        yield piece


def digest_of_file(path: Path) -> str:
    """The SHA-256 of a regular file's content, read piece by piece; see `open_regular`."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(path: Path) -> Path:
    """Make a folder with its parents; raises `StoreError` when that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def size_of_folder(path: Path) -> int:
    """Bytes of the files in a folder, of those that do not go away meanwhile."""
    size = 0
    for file in path.rglob("*"):
        with contextlib.suppress(OSError):
            size += file.stat().st_size
    return size


def reason(error: Exception) -> str:
    """Why a file cannot be read, without where it lies and what to do about it."""
    if isinstance(error, FmbenchError):
        return error.what
    return (isinstance(error, OSError) and error.strerror) or str(error)


def unwritable(path: Path, error: OSError) -> StoreError:
    """The error that says why `path` cannot be written."""
    return StoreError(
        f"cannot be written: {error.strerror or error}",
        where=str(path),
        hint="choose another folder",
    )


def require_hard_links(folder: Path) -> None:
    """Make and remove a file as `write_new` does; raises `StoreError` where that cannot be done."""
    probe = folder / f"probe-{os.getpid()}"
    probe.unlink(missing_ok=True)
    write_new(probe, b"")
    probe.unlink()


def open_regular(path: Path) -> io.BufferedReader:
    """A file opened to be read that is one: no link is followed, no pipe or device waited for.

    Raises `OSError` when it is anything else or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_at_most(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes; see `open_regular`.

    Raises `ValueError` when there is more.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size  # a limit from a record may be more than memory
        content = file.read(min(limit, size) + 1)
    if len(content) > limit:
        raise ValueError(f"it is larger than {limit} bytes")
    return content


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is gone afterwards; raises `StoreError` where none can be made or filled."""
    hint = "name a temporary folder with room: export TMPDIR=FOLDER"
    try:
        folder = tempfile.TemporaryDirectory(prefix="fmbench-", ignore_cleanup_errors=True)
    except OSError as error:
        raise StoreError(
            f"no temporary folder can be made: {error.strerror or error}", hint=hint
        ) from error
    with folder as name:
        path = Path(name)
        try:
            yield path
        except StoreError as error:
            if not Path(error.where).resolve().is_relative_to(path.resolve()):
                raise
            raise StoreError(error.what, where=error.where, hint=hint) from error
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise StoreError(f"is full: {error.strerror}", where=str(path), hint=hint) from error


def writer_lives(temporary: Path) -> bool:
    """Whether the process that was placing this temporary file may still be at it."""
    pid = temporary.name.removesuffix(TEMPORARY).rpartition(".")[2]
    return pid.isdecimal() and psutil.pid_exists(int(pid))


def decode_json(content: bytes, kind: type[T]) -> T | None:
    """What JSON bytes hold, or None when they are malformed or hold something else."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (ValueError, RecursionError):
        return None


def read_json(path: Path, kind: type[T]) -> T | None:
    """What a JSON file holds, or None when it is missing, malformed or holds something else."""
    try:
        return decode_json(read_at_most(path, LARGEST_JSON), kind)
    except (OSError, ValueError):
        return None


def append_json(path: Path, value: object) -> None:
    """Add a line of JSON. The file is opened each time: a plugin may close every descriptor."""
    with path.open("ab") as file:
        file.write(msgspec.json.encode(value) + b"\n")


def json_lines(path: Path, kind: type[T], offset: int = 0) -> tuple[list[T], int]:
    """The whole lines past a byte offset, and the offset after them.

    A line that holds anything else, which a plugin may have written, is passed over.
    """
    try:
        with open_regular(path) as file:
            file.seek(offset)
            content = file.read(LARGEST_JSON)
    except OSError:
        return [], offset
    whole = content[: content.rfind(b"\n") + 1]
    found = (decode_json(line, kind) for line in whole.splitlines())
    return [one for one in found if one is not None], offset + len(whole)


def npy_bytes(array: NDArray[Any]) -> bytes:
    """An array as the bytes of a .npy file, without pickle."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def read_npy(
    path: Path, dtype: type[np.generic], shape: tuple[int, ...], *, sha256: str | None = None
) -> NDArray[Any]:
    """Read a .npy file that must hold exactly such an array; nothing in it is ever run.

    sha256: the digest its content must have, where that is known.

    Raises `ValueError` when it holds anything else and `OSError` when it cannot be read.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size < size:
            raise ValueError(f"it holds fewer than {size} bytes")
        content = file.read(NPY_HEADER_BYTES + size + 1)
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError("its content is not what its record was made with")
    return parse_npy(content, dtype, shape)


def parse_npy(content: bytes, dtype: type[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
    """The array in a .npy file's content; see `read_npy`. Raises `ValueError`."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    header = _npy_header(np.dtype(dtype).str, shape)
    if content.startswith(header) and len(content) == len(header) + size:
        return np.frombuffer(content, dtype, offset=len(header)).reshape(shape)
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        found_shape, fortran, found_dtype = read_header(stream)
    except (ValueError, KeyError, TypeError, SyntaxError, TokenError) as error:
        raise ValueError(f"it is not a .npy file: {error}") from error
    if (found_shape, found_dtype, fortran) != (shape, np.dtype(dtype), False):
        raise ValueError(
            f"it holds {found_dtype} of shape {found_shape}, not {np.dtype(dtype)} of {shape}"
        )
    data = content[stream.tell() :]
    if len(data) != size:
        raise ValueError(f"it holds {len(data)} bytes of data, not {size}")
    return np.frombuffer(data, dtype).reshape(shape)


@functools.cache
def _npy_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """What `npy_bytes` puts before the data of such an array."""
    stream = io.BytesIO()
    described = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, described)
    return stream.getvalue()


def _place(path: Path, parts: Iterable[Buffer], move: Callable[[Path, Path], None]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        _write_through(temporary, parts)
        move(temporary, path)
        _sync_folder(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _write_through(path: Path, parts: Iterable[Buffer]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        for part in parts:
            left = memoryview(part)
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

"""The idx file format of MNIST: bytes in, read-only numpy arrays out, anything else refused."""

import gzip
import hashlib
import io
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmbench.errors import DataError

LARGEST_FILE = 100_000_000  # bytes, decompressed; the largest true file has 47 million
LARGEST_SIDE = 1_000_000
GZIP_MAGIC = b"\x1f\x8b"
UNSIGNED_BYTE = 0x08


def read(path: Path, *, limit: int = LARGEST_FILE) -> bytes:
    """Return the decompressed content of `path`, plain or gzip as its first bytes say.

    Never holds more than about `limit` bytes of either form. Raises `DataError` naming the file
    when it is missing, unreadable, larger than that, or a damaged gzip stream.
    """
    try:
        if not path.is_file():
            raise DataError("there is no such file", where=str(path))
        with path.open("rb") as file:
            data = file.read(limit + 1)
        if data.startswith(GZIP_MAGIC) and len(data) <= limit:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
                data = stream.read(limit + 1)
    except EOFError as error:
        raise DataError("the gzip stream is cut short", where=str(path)) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError("the gzip stream is damaged", where=str(path)) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"it cannot be read: {reason}", where=str(path)) from error
    if len(data) > limit:
        raise DataError(f"it holds more than {limit} bytes", where=str(path))
    return data


def digest(data: bytes) -> str:
    """Return the SHA-256 of decompressed idx bytes, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def parse(data: bytes, *, rank: int, where: str) -> NDArray[np.uint8]:
    """Return the array that decompressed idx bytes spell, uint8 with `rank` axes, read-only.

    The format: two zero bytes, a type code, the rank, the sides as big-endian int32, the values in
    C order (http://yann.lecun.com/exdb/mnist, "The IDX file format"). Raises `DataError` naming
    `where` unless the bytes are exactly that.
    """
    header = 4 + 4 * rank
    if len(data) < 4:
        raise DataError(f"it is too short for an idx file: {len(data)} bytes", where=where)
    if data[:2] != b"\0\0":
        raise DataError(f"it is not an idx file: it begins with {data[:4].hex()}", where=where)
    if data[2] != UNSIGNED_BYTE:
        raise DataError(f"its values are of type 0x{data[2]:02x}, not unsigned bytes", where=where)
    if data[3] != rank:
        raise DataError(f"its array has {data[3]} axes instead of {rank}", where=where)
    if len(data) < header:
        raise DataError("it is cut short inside its header", where=where)
    shape = tuple(
        int.from_bytes(data[at : at + 4], "big", signed=True) for at in range(4, header, 4)
    )
    for side in shape:
        if not 0 < side <= LARGEST_SIDE:
            raise DataError(f"it says that an axis has {side} entries", where=where)
    missing = header + math.prod(shape) - len(data)
    if missing > 0:
        raise DataError(f"it is cut short: {missing} bytes are missing", where=where)
    if missing < 0:
        raise DataError(f"{-missing} bytes follow the end of its array", where=where)
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


def encode(array: NDArray[np.uint8]) -> bytes:
    """Return the idx bytes that spell `array`, uint8: what `parse` reads."""
    sides = b"".join(side.to_bytes(4, "big") for side in array.shape)
    return bytes((0, 0, UNSIGNED_BYTE, array.ndim)) + sides + array.tobytes()

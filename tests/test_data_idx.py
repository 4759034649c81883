"""The idx reader accepts exactly the format and refuses the rest in words."""

import gzip
import struct
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmbench.data import idx
from fmbench.errors import DataError, ExitCode

T = TypeVar("T")


def spell(*shape: int, code: int = 8, values: bytes | None = None) -> bytes:
    """Spell an idx file of this shape."""
    head = bytes((0, 0, code, len(shape))) + struct.pack(f">{len(shape)}i", *shape)
    return head + (bytes(i % 256 for i in range(prod(shape))) if values is None else values)


def attempt(function: Callable[[], T]) -> T | DataError:
    """Return the result of a call, or the error it raised on purpose."""
    try:
        return function()
    except DataError as error:
        return error


shapes = st.lists(st.integers(1, 6), min_size=1, max_size=3)
near_idx = st.builds(
    lambda head, rest: bytes(head) + rest,
    st.tuples(st.just(0), st.just(0), st.sampled_from([0, 8, 9]), st.integers(0, 4)),
    st.binary(max_size=40),
)


@given(st.binary(max_size=64) | near_idx, st.sampled_from([1, 3]))
def test_parse_raises_nothing_else(data: bytes, rank: int) -> None:
    """Whatever the bytes, parse returns an array of the requested rank or raises DataError."""
    result = attempt(lambda: idx.parse(data, rank=rank, where="x"))
    if isinstance(result, DataError):
        assert result.where == "x"
        assert result.what
        assert result.exit_code == ExitCode.CHECK_FAILED
    else:
        assert result.ndim == rank
        assert result.dtype == np.uint8
        assert result.size == len(data) - 4 - 4 * rank


@given(st.binary(max_size=64) | st.binary(max_size=64).map(idx.GZIP_MAGIC.__add__))
def test_read_raises_nothing_else(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Whatever a file holds, read returns bytes or raises DataError naming the file."""
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(data)
    result = attempt(lambda: idx.read(path))
    assert isinstance(result, bytes) or result.where == str(path)


@given(shapes)
def test_parse_inverts_spelling(shape: list[int]) -> None:
    """A well-formed file gives its own shape and values, in an array nobody can write to."""
    array = idx.parse(spell(*shape), rank=len(shape), where="x")
    assert array.shape == tuple(shape)
    assert array.ravel().tolist() == [i % 256 for i in range(prod(shape))]
    assert not array.flags.writeable


@given(shapes, st.data())
def test_every_truncation_is_refused(shape: list[int], draw: st.DataObject) -> None:
    """No proper beginning of a file is a file."""
    data = spell(*shape)
    kept = draw.draw(st.integers(0, len(data) - 1))
    with pytest.raises(DataError, match="short"):
        idx.parse(data[:kept], rank=len(shape), where="x")


@given(shapes, st.binary(min_size=1, max_size=9))
def test_trailing_bytes_are_refused(shape: list[int], tail: bytes) -> None:
    """Nothing may follow the array, and the message counts what does."""
    with pytest.raises(DataError, match=f"{len(tail)} bytes follow"):
        idx.parse(spell(*shape) + tail, rank=len(shape), where="x")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x01" + spell(3)[1:], "not an idx file"),
        (b"<!DOCTYPE html>", "not an idx file"),
        (spell(3, code=0x0D), "type 0x0d"),
        (spell(1, 1, 3), "3 axes instead of 1"),
        (spell(-1, values=b""), "-1 entries"),
        (spell(0), "0 entries"),
        (spell(2**31 - 1, values=b""), "2147483647 entries"),
    ],
)
def test_each_fault_has_its_reason(data: bytes, reason: str) -> None:
    """A wrong magic, type, rank or size is told apart from the others."""
    with pytest.raises(DataError, match=reason):
        idx.parse(data, rank=1, where="x")


def test_huge_sides_allocate_nothing() -> None:
    """A header that promises 10**18 bytes is refused by arithmetic."""
    data = spell(idx.LARGEST_SIDE, idx.LARGEST_SIDE, idx.LARGEST_SIDE, values=b"")
    with pytest.raises(DataError, match=f"{10**18} bytes are missing"):
        idx.parse(data, rank=3, where="x")


def test_gzip_is_recognised_by_content(tmp_path: Path) -> None:
    """Plain and gzip files of any name and compression have one content and one digest."""
    data = spell(2, 3, 4)
    contents = {"a.gz": data, "b": gzip.compress(data, 1), "c": gzip.compress(data, 9)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    assert {idx.digest(idx.read(tmp_path / name)) for name in contents} == {idx.digest(data)}


@pytest.mark.parametrize(
    "content", [bytes(2000), gzip.compress(bytes(2000))], ids=["plain", "gzip"]
)
def test_content_is_bounded(tmp_path: Path, content: bytes) -> None:
    """A file that is, or unpacks to, more than the limit is refused."""
    path = tmp_path / "bomb"
    path.write_bytes(content)
    assert len(idx.read(path, limit=2000)) == 2000
    with pytest.raises(DataError, match="more than 1999 bytes"):
        idx.read(path, limit=1999)


@given(st.data())
def test_damaged_gzip_never_lies(
    tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject
) -> None:
    """A bit flipped behind the magic of a gzip file changes nothing or raises DataError."""
    data = spell(4, 5, 6)
    packed = bytearray(gzip.compress(data))
    packed[draw.draw(st.integers(2, len(packed) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(packed)
    result = attempt(lambda: idx.read(path))
    assert result.where == str(path) if isinstance(result, DataError) else result == data


def test_cut_gzip_is_refused(tmp_path: Path) -> None:
    """A download that broke off is called that."""
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(spell(50, 50))[:-9])
    with pytest.raises(DataError, match="cut short"):
        idx.read(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A missing file, a folder and an endless device are refused at once."""
    for path in (tmp_path / "none", tmp_path, Path("/dev/zero")):
        with pytest.raises(DataError, match="no such file"):
            idx.read(path)

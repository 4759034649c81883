"""The data set is loaded only from the right bytes (promise P6)."""

import gzip
import struct
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from fmbench.data import FASHION_MNIST, FILES, LABELS, Dataset, dataset, load, summary
from fmbench.data.idx import digest
from fmbench.errors import DataError, ExitCode
from fmbench.protocol import Digests


def spell(array: NDArray[np.uint8]) -> bytes:
    """Spell an array as an idx file."""
    head = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}i", *array.shape)
    return head + array.tobytes()


def tiny(train: int = 20, test: int = 10) -> list[bytes]:
    """Return the contents of four small files, labels going round from 0 to 9."""
    random = np.random.RandomState(0)
    return [
        spell(array)
        for count in (train, test)
        for array in (
            random.randint(0, 256, (count, 28, 28)).astype(np.uint8),
            (np.arange(count) % 10).astype(np.uint8),
        )
    ]


def put(folder: Path, contents: list[bytes]) -> Digests:
    """Write four files and return their digests."""
    for name, content in zip(FILES, contents, strict=True):
        (folder / name).write_bytes(content)
    return Digests(*map(digest, contents))


def refusal(folder: Path, digests: Digests) -> DataError:
    """Return the error of loading a folder."""
    with pytest.raises(DataError) as caught:
        load(folder, digests)
    assert caught.value.exit_code == ExitCode.CHECK_FAILED
    assert caught.value.hint
    return caught.value


def test_load_gives_what_the_files_hold(tmp_path: Path) -> None:
    """Right bytes give four read-only uint8 arrays in a frozen data set."""
    loaded = load(tmp_path, put(tmp_path, tiny()))
    assert loaded.train_images.shape == (20, 28, 28)
    assert loaded.test_images.shape == (10, 28, 28)
    assert loaded.train_labels.tolist() == [*range(10), *range(10)]
    assert loaded.test_labels.tolist() == [*range(10)]
    for array in (loaded.train_images, loaded.train_labels, loaded.test_images, loaded.test_labels):
        assert array.dtype == np.uint8
        assert not array.flags.writeable
    with pytest.raises(AttributeError):
        loaded.test_labels = loaded.train_labels  # type: ignore[misc]  # it must fail


def test_plain_and_gzip_mix(tmp_path: Path) -> None:
    """Each file may be plain or .gz, however it was compressed."""
    contents = tiny()
    digests = put(tmp_path, contents)
    for name, content, level in zip(FILES[1:], contents[1:], (1, 6, 9), strict=True):
        (tmp_path / name).unlink()
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content, level))
    assert load(tmp_path, digests).train_images.shape == (20, 28, 28)


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_found(tmp_path: Path, name: str) -> None:
    """A single wrong bit in any file is refused, and the file is named."""
    digests = put(tmp_path, tiny())
    content = bytearray((tmp_path / name).read_bytes())
    content[-1] ^= 1
    (tmp_path / name).write_bytes(content)
    error = refusal(tmp_path, digests)
    assert error.where == str(tmp_path / name)
    assert "its bytes are not those that [data.sha256] of the protocol asks for" in error.what
    assert error.hint


@pytest.mark.parametrize("name", FILES)
def test_truncation_is_called_that(tmp_path: Path, name: str) -> None:
    """A file that is cut short says so, and by how much."""
    digests = put(tmp_path, tiny())
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-3])
    error = refusal(tmp_path, digests)
    assert error.where == str(tmp_path / name)
    assert "cut short: 3 bytes are missing" in error.what


@pytest.mark.parametrize(("one", "other"), [(0, 2), (1, 3), (0, 1)])
def test_swapped_files_are_called_that(tmp_path: Path, one: int, other: int) -> None:
    """A file with another's content says whose it is."""
    contents = tiny()
    digests = put(tmp_path, contents)
    contents[one], contents[other] = contents[other], contents[one]
    put(tmp_path, contents)
    error = refusal(tmp_path, digests)
    assert error.where == str(tmp_path / FILES[one])
    assert FILES[other] in error.what
    assert "swapped" in error.what


def test_plain_mnist_is_known_by_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digits, whose files have the same names, are known by their SHA-256."""
    monkeypatch.setattr(dataset, "MNIST", put(tmp_path, tiny()))
    error = refusal(tmp_path, FASHION_MNIST)
    assert error.where == str(tmp_path / FILES[0])
    assert "plain MNIST" in error.what


def test_web_page_is_no_data(tmp_path: Path) -> None:
    """The page of an error saved under a file's name is called what it is not."""
    digests = put(tmp_path, tiny())
    (tmp_path / FILES[2]).write_bytes(b"<html>404</html>")
    assert "not an idx file" in refusal(tmp_path, digests).what


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    """A file that is absent in both forms is named."""
    digests = put(tmp_path, tiny())
    (tmp_path / name).unlink()
    assert refusal(tmp_path, digests).where == str(tmp_path / name)


@pytest.mark.parametrize(
    ("at", "array", "reason"),
    [
        (1, np.full(20, 10), "a label 10"),
        (3, np.zeros(9), "9 labels for 10 images"),
        (2, np.zeros((10, 28, 27)), "pixels"),
    ],
)
def test_own_digests_excuse_nothing(
    tmp_path: Path, at: int, array: NDArray[np.float64], reason: str
) -> None:
    """Files that match their digests must still fit one another and the ten classes."""
    contents = tiny()
    contents[at] = spell(array.astype(np.uint8))
    error = refusal(tmp_path, put(tmp_path, contents))
    assert reason in error.what
    assert error.where == str(tmp_path / FILES[at])


def test_data_of_another_protocol_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With digests of one's own, Fashion-MNIST and any other file are what was not asked for."""
    own = put(tmp_path, tiny(train=30))
    other = put(tmp_path, tiny())
    error = refusal(tmp_path, own)
    assert "not those that [data.sha256] of the protocol asks for" in error.what
    assert "remove" not in error.hint
    monkeypatch.setattr(dataset, "FASHION_MNIST", other)
    assert "it is Fashion-MNIST's" in refusal(tmp_path, own).what


def test_summary_counts_every_label(tmp_path: Path) -> None:
    """The summary has a line a class, in order, and its counts add up to the shapes."""
    told = summary(load(tmp_path, put(tmp_path, tiny(train=25))))
    assert told.train_images == (25, 28, 28)
    assert tuple(line.name for line in told.labels) == LABELS
    assert [line.train for line in told.labels] == [3, 3, 3, 3, 3, 2, 2, 2, 2, 2]
    assert sum(line.test for line in told.labels) == told.test_images[0]
    assert msgspec.json.decode(msgspec.json.encode(told), type=dataset.Summary) == told


@pytest.mark.parametrize(
    "change", [{"extra": "x"}, {"train_images": "c59f"}, {"train_images": "C" * 64}]
)
def test_digests_are_strict(change: dict[str, str]) -> None:
    """Digests read from a file have exactly four keys of 64 lower-case hexadecimal digits."""
    good = msgspec.structs.asdict(FASHION_MNIST)
    assert msgspec.convert(good, Digests) == FASHION_MNIST
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(good | change, Digests)


def test_importing_stays_light() -> None:
    """Importing the package loads no torch, pandas, Pillow, network or lock library."""
    heavy = {"torch", "pandas", "PIL", "pooch", "requests", "filelock", "rich"}
    code = f"import sys, fmbench.data; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_constants_agree() -> None:
    """There are four files, four digests in their order, and a name for each of ten classes."""
    assert Digests.__struct_fields__ == (
        "train_images",
        "train_labels",
        "test_images",
        "test_labels",
    )
    assert [name[:12] for name in FILES] == [
        "train-images",
        "train-labels",
        "t10k-images-",
        "t10k-labels-",
    ]
    assert len(set(LABELS)) == 10
    assert Dataset.__slots__ == Digests.__struct_fields__

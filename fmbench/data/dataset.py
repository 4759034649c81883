"""Fashion-MNIST in memory, and the proof that its bytes are the right ones."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from fmbench.contract import CLASSES, RAW_SIZE
from fmbench.data import idx
from fmbench.errors import DataError
from fmbench.protocol import Digests

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
LABELS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

FASHION_MNIST = Digests(
    train_images="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    train_labels="bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    test_images="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    test_labels="0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
)
DIGITS = tuple("0123456789")
# The digits, whose files have the same names: the set people mix up with this one.
MNIST = Digests(
    train_images="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    train_labels="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    test_images="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    test_labels="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)
_NAME = "name the folder that holds the four files, plain or .gz: FMBENCH_DATA=FOLDER"
_HINT = "remove the file, so that it is fetched anew, or name another folder: FMBENCH_DATA=FOLDER"
_OWN_DIGESTS = "correct the file and its digest in the protocol's [data.sha256]"


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """The four arrays, uint8 and read-only.

    train_images: (n, 28, 28), n = 60,000 in Fashion-MNIST; 0 is background, 255 full ink.
    train_labels: (n,), values below 10.
    test_images:  (m, 28, 28), m = 10,000.
    test_labels:  (m,).
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]


class LabelCount(msgspec.Struct, frozen=True):
    """How many training and test images have one label."""

    label: int
    name: str
    train: int
    test: int


class Summary(msgspec.Struct, frozen=True):
    """What a data set holds, for people: shapes of both image arrays, and counts by label."""

    train_images: tuple[int, ...]
    test_images: tuple[int, ...]
    labels: tuple[LabelCount, ...]


def locate(folder: Path, name: str) -> Path | None:
    """Return the path in `folder` of one of `FILES`, as it is or with .gz, or None.

    Raises `DataError` when the folder cannot be looked into.
    """
    try:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    except OSError as error:
        raise DataError(
            f"it cannot be read: {error.strerror}", where=str(folder), hint=_NAME
        ) from error
    return None


def missing(folder: Path) -> list[str]:
    """Return those of `FILES` that `folder` lacks, in both forms."""
    return [name for name in FILES if locate(folder, name) is None]


def load(folder: Path, digests: Digests = FASHION_MNIST) -> Dataset:
    """Read the four files in `folder` and verify every byte of them.

    Raises `DataError` naming the file when one is missing or is not the one that `digests` names.
    """
    arrays = {name: read(folder, name, digests) for name in FILES}
    # Only digests of one's own can let these through.
    for images, labels in (FILES[:2], FILES[2:]):
        size = arrays[images].shape[1:]
        largest = arrays[labels].max()
        counts = len(arrays[images]), len(arrays[labels])
        if size != (RAW_SIZE, RAW_SIZE):
            what = f"its images have {size} pixels"
            raise DataError(what, where=str(folder / images), hint=_OWN_DIGESTS)
        if counts[0] != counts[1]:
            what = f"it has {counts[1]} labels for {counts[0]} images"
            raise DataError(what, where=str(folder / labels), hint=_OWN_DIGESTS)
        if largest >= CLASSES:
            what = f"it has a label {largest}; the largest is {CLASSES - 1}"
            raise DataError(what, where=str(folder / labels), hint=_OWN_DIGESTS)
    return Dataset(*arrays.values())


def read(folder: Path, name: str, digests: Digests = FASHION_MNIST) -> NDArray[np.uint8]:
    """Return the array in the file `name` of `folder`, (n, h, w) images or (n,) labels, verified.

    Raises `DataError` naming the file when it is missing or is not the one that `digests` names.
    """
    path = locate(folder, name)
    if path is None:
        raise DataError(
            "there is no such file, nor one with .gz", where=str(folder / name), hint=_NAME
        )
    try:
        data = idx.read(path)
    except DataError as error:
        raise DataError(error.what, where=error.where, hint=_HINT) from error
    found = idx.digest(data)
    expected = dict(zip(FILES, msgspec.structs.astuple(digests), strict=True))
    if found != expected[name]:
        hint = _HINT if digests == FASHION_MNIST else _NAME
        raise DataError(_reason(data, name, path, expected, found), where=str(path), hint=hint)
    return idx.parse(data, rank=_rank(name), where=str(path))


def summary(dataset: Dataset) -> Summary:
    """Return the shapes of `dataset` and how often each label occurs in it."""
    train = np.bincount(dataset.train_labels, minlength=CLASSES)
    test = np.bincount(dataset.test_labels, minlength=CLASSES)
    return Summary(
        train_images=dataset.train_images.shape,
        test_images=dataset.test_images.shape,
        labels=tuple(
            LabelCount(label, name, int(train[label]), int(test[label]))
            for label, name in enumerate(LABELS)
        ),
    )


def _rank(name: str) -> int:
    return 3 if "images" in name else 1


def _reason(data: bytes, name: str, path: Path, expected: dict[str, str], found: str) -> str:
    """Say what is wrong with bytes whose digest is not the expected one."""
    for other, digest in expected.items():
        if found == digest:
            return f"it holds what belongs in {other}: the files are swapped"
    wanted = "[data.sha256] of the protocol asks for"
    if found in msgspec.structs.astuple(FASHION_MNIST):
        return f"it is Fashion-MNIST's, and not what {wanted}"
    if found in msgspec.structs.astuple(MNIST):
        return "it is from plain MNIST, the digits, not Fashion-MNIST"
    try:
        idx.parse(data, rank=_rank(name), where=str(path))
    except DataError as error:
        return error.what
    own = expected[name] not in msgspec.structs.astuple(FASHION_MNIST)
    return (
        f"its bytes are not those {f'that {wanted}' if own else 'of Fashion-MNIST'}"
        f" (SHA-256 {found[:12]}… instead of {expected[name][:12]}…)"
    )


def names_of_classes(digests: Digests) -> tuple[str, ...]:
    """The names of the classes of a protocol's data set; their numbers where it is not known."""
    return LABELS if digests == FASHION_MNIST else DIGITS

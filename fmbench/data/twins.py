"""Near-twins: test images that all but occur in the training set; none is missed."""

from collections.abc import Iterator, Sequence
from itertools import product

import msgspec
import numpy as np
from numpy.typing import NDArray

from fmbench.data.dataset import Dataset

BELOW = 1.5
"""The distance below which a training image is a near-twin."""
COUNTED = (1.0, BELOW, 2.0)
SHIFT = 2
RULE = (
    "A test image has a near-twin when a training image lies nearer than `below` in L2 of pixels "
    "in 0 to 1, with the test image as it is, or mirrored left to right, or moved by up to `shift` "
    "pixels along either axis, or both. What is moved beyond the edge is lost, zeros move in. "
    "The nearest training image is listed; of equally near ones that which needs no change, then "
    "the first."
)
_FULL = 255  # a pixel of 1; squared distances are whole in units of its square
_COMPONENTS = 48
_ROWS, _COLUMNS, _EXACT = 256, 8192, 4096  # of a block: what is in memory at a time
_SLACK = 0.05  # of a squared distance; see `_Index`

Floats = NDArray[np.float32]
Images = NDArray[np.uint8]
Move = tuple[bool, int, int]
"""Whether an image is mirrored, and how many pixels it then moves down and right."""


class Duplicates(msgspec.Struct, frozen=True):
    """How many images equal an earlier one byte for byte: within each part, and across.

    across: test images that occur among the training images.
    """

    train: int
    test: int
    across: int


class Count(msgspec.Struct, frozen=True):
    """How many test images have a training image nearer than `below`.

    in_place: as they are; other_label: of these, how many whose nearest has another label.
    moved:    as they are, mirrored or moved.
    """

    below: float
    in_place: int
    other_label: int
    moved: int


class Twin(msgspec.Struct, frozen=True, array_like=True):
    """A test image and the training image nearest to it, by their numbers.

    squared: their squared distance, exact, in units of 1/255².
    mirrored, down, right: what was done to the test image.
    """

    test: int
    train: int
    squared: int
    mirrored: bool
    down: int
    right: int

    @property
    def distance(self) -> float:
        """Their L2 distance, of pixels in 0 to 1."""
        return float(np.sqrt(self.squared) / _FULL)

    def is_below(self, distance: float) -> bool:
        """Whether they lie nearer than that, in whole numbers."""
        return self.squared < (distance * _FULL) ** 2


class NearTwins(msgspec.Struct, frozen=True, kw_only=True):
    """All near-twins of a data set, nearest first, and the rule they were found by."""

    rule: str
    below: float
    shift: int
    mirrored: bool
    duplicates: Duplicates
    counts: tuple[Count, ...]
    images: tuple[Twin, ...]


def near_twins(dataset: Dataset) -> NearTwins:
    """Find them: exact, the same on every machine, in about a minute on two cores."""
    train, test = dataset.train_images, dataset.test_images
    index = _Index(train, max(COUNTED))
    in_place = index.nearest(test, [(False, 0, 0)])
    moved = index.nearest(test, list(moves(SHIFT)))
    return NearTwins(
        rule=RULE,
        below=BELOW,
        shift=SHIFT,
        mirrored=True,
        duplicates=duplicates(train, test),
        counts=tuple(_count(dataset, in_place, moved, below) for below in COUNTED),
        images=tuple(sorted((one for one in moved if one.is_below(BELOW)), key=_order)),
    )


def duplicates(train: Images, test: Images) -> Duplicates:
    """Count byte-equal images."""
    trained, tested = ({image.tobytes() for image in images} for images in (train, test))
    across = sum(image.tobytes() in trained for image in test)
    return Duplicates(len(train) - len(trained), len(test) - len(tested), across)


def moves(shift: int) -> Iterator[Move]:
    """Every change up to that many pixels, the image as it is first."""
    steps = sorted(range(-shift, shift + 1), key=abs)
    yield from product((False, True), steps, steps)


def moved(images: Images, move: Move) -> Images:
    """Images, uint8 (n, h, w), mirrored and moved; zeros move in."""
    mirrored, down, right = move
    source = images[:, :, ::-1] if mirrored else images
    found = np.zeros_like(source)
    found[:, _to(down), _to(right)] = source[:, _to(-down), _to(-right)]
    return found


def _to(step: int) -> slice:
    return slice(step, None) if step >= 0 else slice(None, step)


def _count(
    dataset: Dataset, in_place: Sequence[Twin], moved: Sequence[Twin], below: float
) -> Count:
    near = [one for one in in_place if one.is_below(below)]
    labels = ((dataset.test_labels[one.test], dataset.train_labels[one.train]) for one in near)
    return Count(
        below=below,
        in_place=len(near),
        other_label=sum(bool(own != other) for own, other in labels),
        moved=sum(one.is_below(below) for one in moved),
    )


def _order(twin: Twin) -> tuple[int, int]:
    return twin.squared, twin.test


class _Index:
    """Training images, to look up those within a radius of others.

    An image x becomes (P'x, |x - PP'x|), with orthonormal P: its principal components and the
    length of what they leave. The distance of two such vectors is never larger than that of the
    images (Pythagoras, and the triangle inequality in what is left), so who lies further apart than
    the radius is passed over; the others' distances are computed in whole numbers. The vectors are
    sorted by their first component, which bounds the distance too. With 784 pixels of at most 1 and
    50 terms the rounding of a float32 product is below 0.01, well within `_SLACK`. P only decides
    how many are passed over, never what is found.
    """

    def __init__(self, images: Images, radius: float) -> None:
        self._images, self._radius = images.reshape(len(images), -1), radius
        some = self._images[:: max(1, len(images) // 10_000)] / _FULL
        self._mean = some.mean(axis=0)
        centred = some - self._mean
        _, vectors = np.linalg.eigh(centred.T @ centred)
        self._basis = vectors[:, ::-1][:, :_COMPONENTS]
        rows, halves = self._project(self._images)
        self._order = np.argsort(rows[:, 0], kind="stable")
        ones = np.ones_like(halves)
        self._first = rows[self._order, 0]
        self._rows = np.concatenate([rows, ones, -halves], axis=1)[self._order]

    def nearest(self, images: Images, changes: Sequence[Move]) -> list[Twin]:
        """Of each image, uint8 (n, h, w), what is nearest within the radius after any change."""
        best: dict[int, tuple[int, int, int]] = {}
        for number, change in enumerate(changes):
            changed = moved(images, change).reshape(len(images), -1)
            for image, train, squared in self._within(changed):
                key = squared, number, train
                best[image] = min(best.get(image, key), key)
        return [
            Twin(image, train, squared, *changes[number])
            for image, (squared, number, train) in sorted(best.items())
        ]

    def _within(self, images: Images) -> Iterator[tuple[int, int, int]]:
        """Pairs within the radius: the image, the training image, their squared distance."""
        rows, halves = self._project(images)
        order = np.argsort(rows[:, 0], kind="stable")
        rows = np.concatenate([rows, -halves, np.ones_like(halves)], axis=1)
        reach = self._radius + _SLACK
        for start in range(0, len(order), _ROWS):
            block = order[start : start + _ROWS]
            first, last = rows[block[0], 0] - reach, rows[block[-1], 0] + reach
            low, high = np.searchsorted(self._first, (first, last))
            for at in range(int(low), int(high), _COLUMNS):
                columns = self._rows[at : min(at + _COLUMNS, int(high))]
                # The product is minus half the squared distance of the vectors.
                left = rows[block] @ columns.T >= -(self._radius**2 + _SLACK) / 2
                here, there = np.nonzero(left)
                yield from self._exact(images, block[here], self._order[at + there])

    def _exact(
        self, images: Images, here: NDArray[np.intp], there: NDArray[np.intp]
    ) -> Iterator[tuple[int, int, int]]:
        for start in range(0, len(here), _EXACT):
            pairs = here[start : start + _EXACT], there[start : start + _EXACT]
            apart = images[pairs[0]].astype(np.int32) - self._images[pairs[1]]
            squared = np.einsum("np,np->n", apart, apart)
            for near in np.flatnonzero(squared < (self._radius * _FULL) ** 2):
                yield int(pairs[0][near]), int(pairs[1][near]), int(squared[near])

    def _project(self, images: Images) -> tuple[Floats, Floats]:
        """The vectors of images, float32 (n, k + 1), and half their squared lengths, (n, 1)."""
        parts, halves = [], []
        for start in range(0, len(images), _EXACT):
            pixels = images[start : start + _EXACT] / _FULL - self._mean
            inside = pixels @ self._basis
            squares = (pixels**2).sum(axis=1, keepdims=True)
            left = np.sqrt(np.maximum(squares - (inside**2).sum(axis=1, keepdims=True), 0))
            parts.append(np.concatenate([inside, left], axis=1).astype(np.float32))
            halves.append((squares / 2).astype(np.float32))
        return np.concatenate(parts), np.concatenate(halves)

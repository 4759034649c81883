"""Confusion: what each model takes for what, and the pairs of classes that all confuse most."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmbench.contract import CLASSES
from fmbench.data import LABELS
from fmbench.errors import StoreError
from fmbench.leaderboard.page.board_models import BoardModel
from fmbench.leaderboard.page.text import count
from fmbench.leaderboard.statistics import Sample
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.store import COPY_OR_REDO

PAIRS, IMAGES = 8, 6
# Where the shades begin, as shares of a row: mistakes matter from one in a hundred on.
MISTAKE_STEPS = (0.005, 0.02, 0.05, 0.10, 0.20)
RIGHT_STEPS = (0.50, 0.70, 0.80, 0.90, 0.95)

Votes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ModelVotes:
    """What one model's runs said of each test image.

    votes:   int64 (n, 10), how many of its `runs` runs named each class.
    anchor:  the id of the model on the page.
    samples: what its runs had right: of all images, then of each class.
    """

    name: str
    votes: Votes
    runs: int
    anchor: str = ""
    samples: tuple[Sample, ...] = ()

    def matrix(self, labels: NDArray[np.uint8]) -> Votes:
        """How often each true class (row) was named each class (column), int64 (10, 10)."""
        matrix = np.zeros((CLASSES, CLASSES), dtype=np.int64)
        np.add.at(matrix, labels, self.votes)
        return matrix


@dataclass(frozen=True)
class ConfusedImage:
    """A test image by its number, and how many models took it for the wrong class.

    A model did when more than half of its runs did.
    """

    number: int
    models: int


@dataclass(frozen=True)
class Pair:
    """A true class taken for another: the share of its images, 0 to 1, as the mean over models."""

    true: int
    predicted: int
    share: float
    images: tuple[ConfusedImage, ...]


def read_votes(
    stored: StoredResults, models: Sequence[BoardModel]
) -> tuple[list[ModelVotes], dict[str, list[str]]]:
    """The votes of each model with a good run, in their order.

    Also the names of those whose predictions cannot be read, by why.
    """
    read: list[ModelVotes] = []
    unread: dict[str, list[str]] = defaultdict(list)
    for model in models:
        if not model.entry.ok:
            continue
        try:
            predictions = stored.predictions(model.entry)
            if max(predictions.max(), stored.labels.max()) >= CLASSES:
                what = "its predictions or labels hold a class that there is not"
                raise StoreError(what, hint=COPY_OR_REDO)
        except StoreError as error:
            place = f" ({Path(error.where).name})" if error.where else ""
            unread[f"{error.what}{place}"].append(model.name)
        else:
            votes = [(predictions == label).sum(axis=0) for label in range(CLASSES)]
            hits = predictions == stored.labels
            classes = [hits[:, stored.labels == label] for label in range(CLASSES)]
            samples = tuple(Sample.of(one) for one in (hits, *classes) if one.shape[1] > 1)
            runs, anchor = len(predictions), model.anchor
            read.append(ModelVotes(model.name, np.stack(votes, axis=1), runs, anchor, samples))
    return read, unread


def confused_pairs(read: Sequence[ModelVotes], labels: NDArray[np.uint8]) -> tuple[Pair, ...]:
    """The most confused pairs over all models, which count alike however many runs they have.

    Each with the images that most models confuse so; of equal ones those that more runs confuse,
    then the first.
    """
    if not read:
        return ()
    sizes = np.maximum(np.bincount(labels, minlength=CLASSES), 1)
    shares = np.zeros((CLASSES, CLASSES))
    weights = np.zeros((len(labels), CLASSES))
    models = np.zeros((len(labels), CLASSES), dtype=np.int64)
    for one in read:
        shares += one.matrix(labels) / one.runs / sizes[:, None] / len(read)
        weights += one.votes / one.runs
        models += 2 * one.votes > one.runs
    wrong = [(true, said) for true in range(CLASSES) for said in range(CLASSES) if true != said]
    most = sorted(wrong, key=lambda pair: (-round(float(shares[pair]), 12), pair))[:PAIRS]
    return tuple(
        Pair(true, said, float(shares[true, said]), _images(labels == true, said, models, weights))
        for true, said in most
        if shares[true, said] > 0
    )


def _images(
    of_class: NDArray[np.bool_], said: int, models: Votes, weights: NDArray[np.float64]
) -> tuple[ConfusedImage, ...]:
    best = sorted(
        np.flatnonzero(of_class & (models[:, said] > 0)).tolist(),
        key=lambda image: (-int(models[image, said]), -round(float(weights[image, said]), 9)),
    )
    return tuple(ConfusedImage(image, int(models[image, said])) for image in best[:IMAGES])


@dataclass(frozen=True)
class MatrixRow:
    """What images of one class were taken for; `recall` is the share named right, in per cent.

    cells: counts, each with the class of its shade: `r0` to `r5` where right, `w0` to `w5` where
           wrong.
    """

    label: str
    cells: tuple[tuple[int, str], ...]
    recall: str


@dataclass(frozen=True)
class Matrix:
    """One model's confusion matrix, summed over its good seeds; the worst mistake in words."""

    name: str
    runs: str
    rows: tuple[MatrixRow, ...]
    worst: str


def matrix_of(model: ModelVotes, labels: NDArray[np.uint8]) -> Matrix:
    """The confusion matrix of a model."""
    matrix = model.matrix(labels)
    return Matrix(
        name=model.name,
        runs=count(model.runs, "seed"),
        rows=tuple(_row(label, row) for label, row in enumerate(matrix)),
        worst=_worst(matrix),
    )


def _row(label: int, row: NDArray[np.int64]) -> MatrixRow:
    total = int(row.sum())
    shares = [int(number) / max(total, 1) for number in row]
    return MatrixRow(
        label=LABELS[label],
        cells=tuple(
            (int(number), _shade(share, named == label))
            for named, (number, share) in enumerate(zip(row, shares, strict=True))
        ),
        recall=f"{100 * shares[label]:.1f}" if total else "",
    )


def _shade(share: float, right: bool) -> str:
    kind, steps = ("r", RIGHT_STEPS) if right else ("w", MISTAKE_STEPS)
    return f"{kind}{bisect_right(steps, share)}"


def _worst(matrix: NDArray[np.int64]) -> str:
    wrong = matrix * (1 - np.eye(CLASSES, dtype=np.int64))
    true, named = divmod(int(wrong.argmax()), CLASSES)
    if not wrong[true, named]:
        return ""
    share = 100 * wrong[true, named] / matrix[true].sum()
    return f"{LABELS[true]} taken for {LABELS[named]}: {share:.1f} %"

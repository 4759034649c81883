"""Confusion matrices as tables whose cells are shaded by the share of their row."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmbench.contract import CLASSES
from fmbench.data import LABELS
from fmbench.leaderboard.page.confusion import ModelVotes
from fmbench.leaderboard.page.text import count

# Where the shades begin, as shares of a row: mistakes matter from one in a hundred on.
MISTAKE_STEPS = (0.005, 0.02, 0.05, 0.10, 0.20)
RIGHT_STEPS = (0.50, 0.70, 0.80, 0.90, 0.95)


@dataclass(frozen=True)
class MatrixCell:
    """A count with the class of its shade: `r0` to `r5` where right, `w0` to `w5` where wrong."""

    number: int
    shade: str


@dataclass(frozen=True)
class MatrixRow:
    """What images of one class were taken for; `recall` is the share named right, in per cent."""

    label: str
    cells: tuple[MatrixCell, ...]
    recall: str


@dataclass(frozen=True)
class Matrix:
    """One model's confusion matrix, summed over its good seeds; the worst mistake in words."""

    name: str
    runs: str
    rows: tuple[MatrixRow, ...]
    worst: str


def matrices(read: Sequence[ModelVotes], labels: NDArray[np.uint8]) -> tuple[Matrix, ...]:
    """The matrix of each model."""
    return tuple(_matrix(one, one.matrix(labels)) for one in read)


def _matrix(of: ModelVotes, counts: NDArray[np.int64]) -> Matrix:
    return Matrix(
        name=of.name,
        runs=count(of.runs, "seed"),
        rows=tuple(_row(label, row) for label, row in enumerate(counts)),
        worst=_worst(counts),
    )


def _row(label: int, row: NDArray[np.int64]) -> MatrixRow:
    total = int(row.sum())
    shares = [int(number) / max(total, 1) for number in row]
    return MatrixRow(
        label=LABELS[label],
        cells=tuple(
            MatrixCell(int(number), _shade(share, named == label))
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

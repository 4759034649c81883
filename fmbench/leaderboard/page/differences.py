"""What any two models differ by, computed for all pairs, and what each gets right of each class."""

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from markupsafe import Markup

from fmbench.contract import CLASSES
from fmbench.data import LABELS
from fmbench.leaderboard import statistics
from fmbench.leaderboard.page.confusion import ModelVotes
from fmbench.leaderboard.statistics import CONFIDENCE, SMALLEST_GAP, Sample, half_width_alone

UNITS = 1_000_000  # of a share
SHADES = (0.1, 0.3, 0.5, 0.7, 0.9)  # where they begin, from a class's lowest to its highest


@dataclass(frozen=True)
class ClassRow:
    """A model's accuracy on each class in per cent, each with its shade among the models."""

    name: str
    anchor: str
    cells: tuple[tuple[str, str], ...]


def class_rows(read: Sequence[ModelVotes]) -> tuple[ClassRow, ...]:
    """A row for each model; without any where a class has no images to tell by."""
    if not read or any(len(model.samples) != CLASSES + 1 for model in read):
        return ()
    found = np.array([_means(model)[1:] for model in read])
    low, width = found.min(axis=0), np.maximum(np.ptp(found, axis=0), SMALLEST_GAP)
    return tuple(
        ClassRow(model.name, model.anchor, tuple(_cell(*one) for one in zip(*row, strict=True)))
        for model, row in zip(read, zip(found, (found - low) / width, strict=True), strict=True)
    )


def _cell(share: float, level: float) -> tuple[str, str]:
    return f"{100 * share:.1f}", f"r{bisect_right(SHADES, level)}"


def differences(read: Sequence[ModelVotes]) -> Markup:
    """All pairs as JSON that may stand in a page: numbers, ids and labels alone.

    models: [id, accuracy, and that of each class] each. pairs: for the first model and each after
    it, then the second and so on, half the width of the 95 % interval of their difference: of all
    images, then of each class, which hold together (Bonferroni). They are those of `fmbench
    compare`. Numbers are in `units` of a share; `smallest` is what counts as a tie.
    """
    whole = [model for model in read if len(model.samples) == CLASSES + 1]
    found = {
        "labels": LABELS,
        "units": UNITS,
        "smallest": round(SMALLEST_GAP * UNITS),
        "models": [[one.anchor, *map(_rounded, _means(one))] for one in whole],
        "pairs": [
            [*map(_rounded, _half_widths(one.samples, other.samples))]
            for one, other in combinations(whole, 2)
        ],
    }
    return Markup(json.dumps(found, separators=(",", ":")))  # noqa: S704 - no word from outside


def _means(model: ModelVotes) -> list[float]:
    return [float(sample.accuracies.mean()) for sample in model.samples]


def _half_widths(first: Sequence[Sample], second: Sequence[Sample]) -> list[float]:
    classes = zip(first[1:], second[1:], strict=True)
    each = 1 - (1 - CONFIDENCE) / CLASSES
    return [
        float(statistics.compare([first[0], second[0]]).half_widths[0, 1]),
        *(half_width_alone(*pair, confidence=each) for pair in classes),
    ]


def _rounded(share: float) -> int:
    return round(share * UNITS)

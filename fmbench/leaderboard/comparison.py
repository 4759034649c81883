"""Two models of a leaderboard compared image by image, and what may be concluded."""

from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from fmbench.contract import CLASSES
from fmbench.data import LABELS
from fmbench.environment import normal_name
from fmbench.errors import UsageError
from fmbench.leaderboard import statistics
from fmbench.leaderboard.statistics import (
    CONFIDENCE,
    SEEDS_FOR_RANKS,
    SEEDS_FOR_T,
    SMALLEST_GAP,
    Sample,
    no_tie,
)
from fmbench.leaderboard.stored_results import ModelResults, StoredResults
from fmbench.wording import points, same_records


@dataclass(frozen=True)
class Side:
    """One of the two models; accuracy is its mean over `seeds` good runs, 0 to 1.

    name: the model, with its distribution where both models have one name.
    """

    name: str
    model: str
    distribution: str
    version: str
    seeds: int
    seeds_expected: int
    accuracy: float


@dataclass(frozen=True)
class ClassGap:
    """One class: both accuracies on its images, their gap, and its interval, shares from 0 to 1.

    The ten intervals hold together with 95 % confidence (Bonferroni), however few the seeds are.
    """

    name: str
    images: int
    first: float
    second: float
    gap: float
    low: float
    high: float


@dataclass(frozen=True)
class Disagreement:
    """A test image that one model usually has right and the other wrong; classes are numbers.

    lead: share of runs of the first model that are right, less that of the second.
    """

    image: int
    label: int
    first: int
    second: int
    lead: float


@dataclass(frozen=True)
class Compared:
    """The paired difference of two models; `gap` is the first less the second, 0 to 1.

    low, high: its 95 % interval for expected accuracy on new images.
    mcnemar_p: of single runs, the exact p of McNemar's test; None for more runs.
    """

    protocol: str
    digest: str
    first: Side
    second: Side
    images: int
    gap: float
    low: float
    high: float
    mcnemar_p: float | None
    classes: tuple[ClassGap, ...]
    disagreements: tuple[Disagreement, ...]
    conclusion: str


def find_entry(stored: StoredResults, name: str) -> ModelResults:
    """The entry of MODEL or DISTRIBUTION:MODEL; raises `UsageError` unless exactly one has runs."""
    distribution, _, model = name.rpartition(":")
    distribution = normal_name(distribution)
    found = [
        entry
        for entry in stored.entries
        if entry.model == model and distribution in ("", entry.plugin.distribution)
    ]
    if not found:
        known = [entry.model for entry in stored.entries]
        near = get_close_matches(model, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none'}"
        raise UsageError("no such model on this leaderboard", where=name, hint=hint)
    if len(found) > 1:
        names = " or ".join(f"{entry.plugin.distribution}:{model}" for entry in found)
        raise UsageError("two distributions offer that model", where=name, hint=f"say {names}")
    if not found[0].ok:
        raise UsageError(
            "it has no good run to compare",
            where=name,
            hint="list its runs: fmbench show"
            + same_records(stored.folder.parent, stored.folder.name),
        )
    return found[0]


def compare_entries(stored: StoredResults, first: ModelResults, second: ModelResults) -> Compared:
    """Compare two entries on the test images both were scored on.

    Raises `StoreError` when predictions or labels are missing or contradict the records, and
    `UsageError` when both are the same.
    """
    if first is second:
        raise UsageError(
            "a model cannot be compared with itself", where=first.model, hint="name another model"
        )
    labels = stored.labels
    predictions = stored.predictions(first), stored.predictions(second)
    hits = predictions[0] == labels, predictions[1] == labels
    found = statistics.compare([Sample.of(each) for each in hits])
    gap, half = float(found.gaps[0, 1]), float(found.half_widths[0, 1])
    low, high = gap - half, gap + half
    single = len(hits[0]) == len(hits[1]) == 1
    expected = len(stored.protocol.seeds)
    alike = first.model == second.model
    sides = _side(first, expected, alike), _side(second, expected, alike)
    return Compared(
        protocol=stored.protocol.id,
        digest=stored.protocol.digest,
        first=sides[0],
        second=sides[1],
        images=len(labels),
        gap=gap,
        low=low,
        high=high,
        mcnemar_p=statistics.mcnemar(
            int((hits[0] & ~hits[1]).sum()), int((hits[1] & ~hits[0]).sum())
        )
        if single
        else None,
        classes=tuple(
            _class_gap(label, hits[0][:, labels == label], hits[1][:, labels == label])
            for label in range(CLASSES)
            if (labels == label).sum() > 1
        ),
        disagreements=_disagreements(labels, predictions, hits),
        conclusion=_conclusion(*sides, gap, low, high),
    )


def _side(entry: ModelResults, seeds_expected: int, by_distribution: bool) -> Side:
    return Side(
        name=f"{entry.plugin.distribution}:{entry.model}" if by_distribution else entry.model,
        model=entry.model,
        distribution=entry.plugin.distribution,
        version=entry.plugin.version,
        seeds=len(entry.ok),
        seeds_expected=seeds_expected,
        accuracy=sum(entry.accuracies) / len(entry.accuracies),
    )


def _class_gap(label: int, first: NDArray[np.bool_], second: NDArray[np.bool_]) -> ClassGap:
    samples = Sample.of(first), Sample.of(second)
    gap = float(samples[0].accuracies.mean() - samples[1].accuracies.mean())
    half = statistics.half_width_alone(*samples, confidence=1 - (1 - CONFIDENCE) / CLASSES)
    return ClassGap(
        name=LABELS[label],
        images=first.shape[1],
        first=float(first.mean()),
        second=float(second.mean()),
        gap=gap,
        low=gap - half,
        high=gap + half,
    )


def _disagreements(
    labels: NDArray[np.uint8],
    predictions: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    hits: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> tuple[Disagreement, ...]:
    """Images that most runs of one model only have right, the clearest first."""
    lead = hits[0].mean(axis=0) - hits[1].mean(axis=0)
    usual = [_usual_class(each, labels) for each in predictions]
    differ = (usual[0] == labels) != (usual[1] == labels)
    order = sorted(np.flatnonzero(differ), key=lambda image: (-abs(lead[image]), image))
    return tuple(
        Disagreement(
            image=int(image),
            label=int(labels[image]),
            first=int(usual[0][image]),
            second=int(usual[1][image]),
            lead=float(lead[image]),
        )
        for image in order
    )


def _usual_class(predictions: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The right class where more than half of the runs (S, n) have it, else the commonest error."""
    votes = np.array([(predictions == label).sum(axis=0) for label in range(CLASSES)])
    right = 2 * (predictions == labels).sum(axis=0) > len(predictions)
    votes[labels, np.arange(len(labels))] = np.where(right, len(predictions) + 1, -1)
    return np.asarray(votes.argmax(axis=0))


def _conclusion(first: Side, second: Side, gap: float, low: float, high: float) -> str:
    better, worse = (first, second) if gap >= 0 else (second, first)
    near, far = (low, high) if gap >= 0 else (-high, -low)
    said = f"{points(abs(gap))}, 95 % interval {100 * near:+.2f} to {100 * far:+.2f}"
    which = "".join(
        f"{side.name} has good runs of {side.seeds} of {side.seeds_expected} seeds, and nothing "
        "here speaks of the others. "
        for side in (first, second)
        if side.seeds < side.seeds_expected
    )
    fewest = min(first.seeds, second.seeds)
    if fewest == 1:
        which += "With one run of a model nothing is known of its other seeds; as to new images, "
    elif fewest < SEEDS_FOR_RANKS:
        which += "Two runs of a model say little of its other seeds; as to new images, "
    elif fewest < SEEDS_FOR_T:
        which += f"As far as {fewest} seeds tell, on new images "
    else:
        which += "On new images, "
    if near > 0 and no_tie(np.asarray(gap)):
        return f"{which}{better.name} is more accurate than {worse.name}: by {said}."
    if near > 0:
        return (
            f"{which}{better.name} and {worse.name} differ by less than "
            f"{points(SMALLEST_GAP)}: {said}. Call it a tie."
        )
    favour = f" in favour of {better.name}" if gap else ""
    return (
        f"{which}these runs cannot tell {first.name} and {second.name} apart: the difference is "
        f"{points(abs(gap))}{favour}, 95 % interval {100 * near:+.2f} to {100 * far:+.2f}."
    )

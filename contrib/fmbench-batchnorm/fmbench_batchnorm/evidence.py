"""What the study's records say: runs by variant and learning rate, a seed each."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from fmbench_vgg_variants.variants import PREFIX, Variant, parse

from fmbench import protocol
from fmbench.errors import StoreError, UsageError
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.protocol import Protocol, Tuning
from fmbench.records import Record
from fmbench.statuses import STATUSES
from fmbench.store import Store
from fmbench_batchnorm import invariance
from fmbench_batchnorm.invariance import Invariance
from fmbench_batchnorm.plan import CHANGES, GAPS, RATES, Plan

CHANCE = 0.1
TRAINS = 0.8
"""The validation accuracy from which on a run counts as one that trains."""

Key = tuple[Variant, float]


@dataclass(frozen=True)
class Runs:
    """The runs of one variant at one learning rate, one for each seed, in the order of seeds.

    A run that diverged counts as chance: 10 % right on whatever it is asked, after every epoch.
    `threshold` is the accuracy from which on a run counts as one that trains.
    """

    variant: Variant
    rate: float
    epochs: int
    records: tuple[Record, ...]
    threshold: float = TRAINS

    @property
    def train(self) -> bool:
        """Whether every seed ends at an accuracy that counts as trained."""
        return min(self.accuracies) >= self.threshold

    @property
    def diverged(self) -> int:
        """How many of them diverged."""
        return sum(one.result.accuracy is None for one in self.records)

    @property
    def accuracies(self) -> list[float]:
        """Validation accuracy of each seed after its last epoch, 0 to 1."""
        return [CHANCE if (a := one.result.accuracy) is None else a for one in self.records]

    @property
    def curves(self) -> list[list[float]]:
        """Validation accuracy after each epoch, a seed each."""
        return [
            [count / one.result.images for count in one.result.validation_curve]
            or [CHANCE] * self.epochs
            for one in self.records
        ]

    @property
    def gaps(self) -> list[float]:
        """Accuracy on images trained on less validation accuracy, a seed each."""
        return [fit - accuracy for fit, accuracy in zip(self.fits, self.accuracies, strict=True)]

    @property
    def fits(self) -> list[float]:
        """Accuracy on images trained on, a seed each."""
        return [
            CHANCE if (right := one.result.fit_correct) is None else right / one.result.fit_images
            for one in self.records
        ]

    @property
    def mean(self) -> float:
        """Mean validation accuracy over the seeds, 0 to 1."""
        return fmean(self.accuracies)

    def epochs_to(self, target: float) -> list[float | None]:
        """Epochs until each seed first had that accuracy; None where it never had.

        Between two epochs' ends, and from chance before the first, accuracy counts as linear.
        """
        return [_crossing([CHANCE, *curve], target) for curve in self.curves]


def _crossing(accuracies: Sequence[float], target: float) -> float | None:
    for epoch, (before, after) in enumerate(pairwise(accuracies)):
        if after >= target:
            return epoch + (target - before) / (after - before)
    return None


@dataclass(frozen=True)
class Part:
    """The runs of one part of the study, by variant and learning rate, and their protocol."""

    rules: Protocol
    runs: Mapping[Key, Runs]

    def of(self, variant: Variant) -> list[Runs]:
        """A variant's runs, from the smallest learning rate to the largest."""
        found = (runs for (one, _), runs in self.runs.items() if one == variant)
        return sorted(found, key=lambda runs: runs.rate)

    @property
    def tried(self) -> list[float]:
        """The learning rates tried."""
        return [recipe.learning_rate for recipe in self.rules.recipes]

    def best(self, variant: Variant) -> Runs:
        """A variant's runs at its best rate: one at which every seed trains, then by the mean."""
        return max(self.of(variant), key=lambda runs: (runs.train, runs.mean))

    def count(self, variants: Iterable[Variant]) -> int:
        """How many runs of these variants there are."""
        return sum(len(runs.records) for one in set(variants) for runs in self.of(one))

    @property
    def records(self) -> list[Record]:
        """All its records."""
        return [record for runs in self.runs.values() for record in runs.records]

    def judged_by(self, threshold: float) -> "Part":
        """The same runs, with another accuracy from which on they count as trained."""
        judged = {key: replace(runs, threshold=threshold) for key, runs in self.runs.items()}
        return replace(self, runs=judged)


@dataclass(frozen=True)
class Study:
    """All runs of one width, and the exact tests.

    rates:   the plain and the normalised network at many learning rates.
    changes: every change of them at few.
    gaps:    with and without dropout, on few images and for long.
    """

    width: int
    rates: Part
    changes: Part
    gaps: Part
    invariance: Invariance

    @property
    def plain(self) -> Variant:
        """VGG-11 as it is, at the study's width."""
        return Variant(width=self.width)

    @property
    def parts(self) -> tuple[Part, Part, Part]:
        """Its parts."""
        return self.rates, self.changes, self.gaps

    @property
    def records(self) -> list[Record]:
        """All records of the study."""
        return [record for part in self.parts for record in part.records]

    @property
    def seeds(self) -> int:
        """Runs of each network at each learning rate."""
        return len(tuning(self.changes.rules).seeds)

    def judged_by(self, threshold: float) -> "Study":
        """The same study, with another accuracy from which on a run counts as trained."""
        rates, changes, gaps = (part.judged_by(threshold) for part in self.parts)
        return replace(self, rates=rates, changes=changes, gaps=gaps)


def tuning(rules: Protocol) -> Tuning:
    """How one of the study's protocols tries its recipes."""
    assert rules.tuning  # noqa: S101 - for the type checker
    return rules.tuning


def read(results: Path, width: int | None = None) -> Study:
    """The study in a results folder; whatever else lies in it is left alone.

    Raises `UsageError` when it holds runs of several widths and none is named, and `StoreError`
    when runs are missing, say nothing about their network, or were made with several versions or
    kinds of device.
    """
    plans = (RATES, CHANGES, GAPS)
    there = [_runs(results, plan) for plan in plans]
    if width is None:
        width = _only_width(results, {variant.width for part in there for variant, _ in part.runs})
    exact = invariance.read(results, width)
    if exact is None:
        raise StoreError(
            "is missing: the exact tests",
            where=str(invariance.path(results, width)),
            hint=f"make them with: fmbench-batchnorm run --width {width} --results {results}",
        )
    rates, changes, gaps = (
        _wanted(results, part, plan.variants(width))
        for part, plan in zip(there, plans, strict=True)
    )
    found = Study(width, rates, changes, gaps, exact)
    first = found.records[0].run
    ran = {(one.run.device_kind, one.run.semantics) for one in found.records}
    made_with = [(one.run.plugin, one.run.torch) for one in found.records]
    made_with.append((exact.plugin, exact.torch))
    if len(ran) > 1 or any(one != (first.plugin, first.torch) for one in made_with):
        raise StoreError(
            "holds runs or exact tests of several versions or kinds of device: they do not compare",
            where=str(results),
            hint="make the study anew in an empty folder",
        )
    return found


def _runs(results: Path, plan: Plan) -> Part:
    rules = protocol.load(str(plan.file))
    by_key: dict[Key, list[Record]] = defaultdict(list)
    for entry in StoredResults(Store(results, plan.protocol), rules).entries:
        if entry.model.startswith(PREFIX):
            variant = parse(entry.model)
            for record in entry.tunes:
                by_key[variant, rules.recipe(record.run.recipe).learning_rate].append(record)
    epochs = tuning(rules).epochs
    return Part(rules, {key: Runs(*key, epochs, tuple(found)) for key, found in by_key.items()})


def _only_width(results: Path, widths: set[int]) -> int:
    if not widths:
        raise StoreError(
            "holds no runs of the study",
            where=str(results),
            hint=f"make them with: fmbench-batchnorm run --results {results}",
        )
    if len(widths) > 1:
        raise UsageError(
            f"holds runs of the widths {', '.join(map(str, sorted(widths)))}",
            where=str(results),
            hint="name one with --width",
        )
    return widths.pop()


def _wanted(results: Path, part: Part, variants: Sequence[Variant]) -> Part:
    """The runs of the variants wanted, at every learning rate; raises as `read` does."""
    chosen = {}
    for variant in variants:
        for recipe in part.rules.recipes:
            key = variant, recipe.learning_rate
            runs = part.runs.get(key)
            ends = {one.result.status for one in runs.records} if runs else set()
            if not runs or len(runs.records) < len(tuning(part.rules).seeds):
                problem, option = "lacks runs", ""
            elif not all(STATUSES[end].models_own for end in ends):
                problem, option = (
                    f"has runs that ended {', '.join(sorted(ends))}",
                    "--retry-failed ",
                )
            else:
                chosen[key] = runs
                continue
            raise StoreError(
                f"{problem} of {variant.name} with {recipe.name}",
                where=str(results / part.rules.id),
                hint=f"make them with: fmbench-batchnorm run {option}--width {variant.width} "
                f"--results {results}",
            )
    return replace(part, runs=chosen)

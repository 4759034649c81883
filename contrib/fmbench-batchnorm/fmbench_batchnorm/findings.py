"""What a claim's measurements come to: tables, a rule, and the verdict that follows from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from fmbench_batchnorm.evidence import Runs
from fmbench_batchnorm.intervals import Interval, difference, mean

HOLDS, PARTLY, NOT = "holds", "holds partly", "does not hold here"
"""Verdicts; the last says that a rule was not met, not that the opposite was shown."""

TRAINS = 0.8
"""The validation accuracy from which on a run counts as one that trains."""

MARGIN = 0.02
"""The difference in accuracy that is called none, when the whole interval is smaller."""


@dataclass(frozen=True)
class Table:
    """Cells under headings, as people read them."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Finding:
    """One claim and what became of it.

    rule:       when the verdict is which, decided before the runs.
    conclusion: a sentence with the numbers that the verdict rests on.
    runs:       how many runs it rests on.
    method:     how the tables were measured, where it differs from what is said at the top.
    """

    number: int
    claim: str
    rule: str
    verdict: str
    conclusion: str
    runs: int
    tables: tuple[Table, ...]
    method: str = ""


def verdict(*, whole: bool, part: bool) -> str:
    """The verdict when the whole of a claim was found, or a part of it."""
    return HOLDS if whole else PARTLY if part else NOT


def trains(runs: Runs) -> bool:
    """Whether every seed ends at an accuracy that counts as trained."""
    return min(runs.accuracies) >= TRAINS


def trained(group: Sequence[Runs]) -> str:
    """How many of a group train, in words."""
    return f"{sum(map(trains, group))} of {len(group)}"


def seeds_that_train(runs: Runs) -> str:
    """How many seeds train, where the lowest ends, and how many diverged."""
    right = [accuracy >= TRAINS for accuracy in runs.accuracies]
    said = f"{sum(right)} of {len(right)}, least {100 * min(runs.accuracies):.1f}"
    return f"{said}, {runs.diverged} diverged" if runs.diverged else said


def all_diverged(runs: Runs) -> bool:
    """Whether no seed's accuracy was measured: all count as chance, and nothing scatters."""
    return runs.diverged == len(runs.records)


def splits(runs: Runs) -> bool:
    """Whether some seeds train and others do not: their mean then has no interval."""
    return min(runs.accuracies) < TRAINS <= max(runs.accuracies)


def over_seeds(runs: Runs, shares: Sequence[float]) -> str:
    """The mean of a share for each seed in per cent, with its interval where it has one."""
    alone = splits(runs) or all_diverged(runs)
    return f"{100 * fmean(shares):.1f}" if alone else mean(shares).percent()


def accuracy(runs: Runs) -> str:
    """Mean accuracy in per cent, with its interval where it has one."""
    return over_seeds(runs, runs.accuracies)


def gain(after: Runs, before: Runs) -> str:
    """The difference of two accuracies in points; empty where all runs of both diverged."""
    if all_diverged(after) and all_diverged(before):
        return ""
    return difference(after.accuracies, before.accuracies).points()


def shortfall(group: Sequence[Runs]) -> Interval:
    """How far a group's runs lie below its best, seed by seed: of those the lowest interval."""
    best = max(group, key=lambda runs: runs.mean)
    others = [runs for runs in group if runs is not best]
    below = [difference(runs.accuracies, best.accuracies) for runs in others]
    return min(below, key=lambda interval: interval.low)


def insensitive(group: Sequence[Runs]) -> bool:
    """Whether all of a group train, and none lies more than the margin below its best."""
    return all(map(trains, group)) and shortfall(group).low > -MARGIN


def compared(
    caption: str, name: str, values: Sequence[str], plain: Sequence[Runs], other: Sequence[Runs]
) -> Table:
    """A table of networks without and with batch norm, each at its better learning rate."""
    return Table(
        caption,
        (
            name,
            *("without", "at rate", "seeds that train"),
            *("with batch norm", "at rate", "seeds that train"),
            "difference, points",
        ),
        tuple(
            (
                value,
                *(accuracy(one), f"{one.rate:g}", seeds_that_train(one)),
                *(accuracy(two), f"{two.rate:g}", seeds_that_train(two)),
                gain(two, one),
            )
            for value, one, two in zip(values, plain, other, strict=True)
        ),
    )


def count(groups: Sequence[Runs]) -> int:
    """The number of runs in groups of them."""
    return sum(len(runs.records) for runs in groups)

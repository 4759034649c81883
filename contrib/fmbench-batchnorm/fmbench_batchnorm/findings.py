"""What a claim's measurements come to: tables, a rule, and the verdict that follows from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from fmbench_batchnorm.evidence import TRAINS, Runs
from fmbench_batchnorm.intervals import Interval, difference, mean

HOLDS, PARTLY, NOT = "holds", "holds partly", "does not hold here"
"""Verdicts; the last says that a rule was not met, not that the opposite was shown."""

ALL_TRAIN = f"every seed ends at {TRAINS:.0%} or more"

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

    rule:       when the verdict is which.
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


def trained(group: Sequence[Runs]) -> str:
    """How many of a group train, in words."""
    return f"{sum(runs.train for runs in group)} of {len(group)}"


def seeds_that_train(runs: Runs) -> str:
    """How many seeds train, where the lowest ends, and how many diverged."""
    right = [accuracy >= runs.threshold for accuracy in runs.accuracies]
    said = f"{sum(right)} of {len(right)}, least {100 * min(runs.accuracies):.1f}"
    return f"{said}, {runs.diverged} diverged" if runs.diverged else said


def stuck(runs: Runs) -> bool:
    """Whether all seeds end alike, at chance: that nothing scatters is no precision."""
    return len(set(runs.accuracies)) == 1


def splits(runs: Runs) -> bool:
    """Whether some seeds train and others do not: their mean then has no interval."""
    return min(runs.accuracies) < runs.threshold <= max(runs.accuracies)


def alone(runs: Runs) -> bool:
    """Whether a mean over these seeds stands without an interval."""
    return splits(runs) or stuck(runs)


def over_seeds(runs: Runs, shares: Sequence[float]) -> str:
    """The mean of a share for each seed in per cent, with its interval where it has one."""
    return f"{100 * fmean(shares):.1f}" if alone(runs) else mean(shares).percent()


def accuracy(runs: Runs) -> str:
    """Mean accuracy in per cent, with its interval where it has one."""
    return over_seeds(runs, runs.accuracies)


def gain(after: Runs, before: Runs) -> str:
    """The difference of two accuracies in points; empty where both are stuck at chance."""
    if stuck(after) and stuck(before):
        return ""
    return difference(after.accuracies, before.accuracies).points()


def best(group: Sequence[Runs]) -> Runs:
    """The runs of a group with the highest mean accuracy."""
    return max(group, key=lambda runs: runs.mean)


def shortfalls(group: Sequence[Runs]) -> list[Interval]:
    """How far each of a group but the best lies from it, seed by seed."""
    top = best(group)
    return [difference(runs.accuracies, top.accuracies) for runs in group if runs is not top]


def spans(group: Sequence[Runs]) -> list[float]:
    """The highest accuracy in a group less the lowest, a seed each."""
    return [max(each) - min(each) for each in zip(*(r.accuracies for r in group), strict=True)]


@dataclass(frozen=True)
class Sensitivity:
    """How much a change matters without and with batch norm; each group changes one thing.

    It does not matter when all of a group train and none lies more than the margin below its best;
    it matters when one trains at no seed, or lies more than the margin below.
    """

    plain: Sequence[Runs]
    normalised: Sequence[Runs]

    @property
    def gone(self) -> bool:
        """Whether it does not matter with batch norm."""
        near = all(interval.low > -MARGIN for interval in shortfalls(self.normalised))
        return near and all(runs.train for runs in self.normalised)

    @property
    def there(self) -> bool:
        """Whether it matters without."""
        far = any(interval.high < -MARGIN for interval in shortfalls(self.plain))
        return far or any(max(runs.accuracies) < runs.threshold for runs in self.plain)

    @property
    def narrower(self) -> Interval:
        """By how much batch norm brings the best and the worst together, seed by seed."""
        return difference(spans(self.plain), spans(self.normalised))

    @property
    def less(self) -> bool:
        """Whether it matters less with batch norm, to a network that trains."""
        return best(self.normalised).train and self.narrower.above_zero

    def conclusion(self, things: str) -> str:
        """Both groups in words, by what is changed in them."""
        worst = min(shortfalls(self.normalised), key=lambda interval: interval.value)
        return (
            f"With batch norm {trained(self.normalised)} {things} train, the worst "
            f"{worst.points()} points from the best; without {trained(self.plain)}. Batch norm "
            f"brings the best and the worst closer by {self.narrower.points()} points"
            + (
                ", mostly its distance from chance, where the worst without it stays."
                if any(stuck(runs) for runs in self.plain)
                else "."
            )
        )


def compared(
    caption: str,
    name: str,
    values: Sequence[str],
    plain: Sequence[Runs],
    other: Sequence[Runs],
    tried: Sequence[float],
) -> Table:
    """A table of networks without and with batch norm, each at the best of the rates tried.

    Where all seeds are at chance, none is better than another.
    """

    def at(runs: Runs) -> str:
        ends = {min(tried): ", the least", max(tried): ", the largest"}
        return "" if stuck(runs) else f"{runs.rate:g}{ends.get(runs.rate, '')}"

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
                *(accuracy(one), at(one), seeds_that_train(one)),
                *(accuracy(two), at(two), seeds_that_train(two)),
                gain(two, one),
            )
            for value, one, two in zip(values, plain, other, strict=True)
        ),
    )

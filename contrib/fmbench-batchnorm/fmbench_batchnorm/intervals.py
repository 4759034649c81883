"""Means over seeds, differences seed by seed, and their 95 % intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtrit

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A number, and the ends of its 95 % interval over seeds."""

    value: float
    low: float
    high: float

    def percent(self) -> str:
        """A share as `88.1 (87.5 to 88.7)`, in per cent."""
        return _said([100 * x for x in (self.value, self.low, self.high)], "")

    def points(self) -> str:
        """A difference of shares as `+1.2 (+0.5 to +1.9)`, in percentage points."""
        return _said([100 * x for x in (self.value, self.low, self.high)], "+")

    def plain(self) -> str:
        """The numbers as they are."""
        return _said([self.value, self.low, self.high], "")

    def number(self) -> str:
        """The numbers as they are, with their signs."""
        return _said([self.value, self.low, self.high], "+")

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval is above zero."""
        return self.low > 0

    def within(self, margin: float) -> bool:
        """Whether the whole interval lies closer to zero than `margin`."""
        return max(abs(self.low), abs(self.high)) < margin


def _said(numbers: Sequence[float], sign: str) -> str:
    value, low, high = (f"{number:{sign}.1f}" for number in numbers)
    return f"{value} ({low} to {high})"


def mean(values: Sequence[float]) -> Interval:
    """The mean of a value for each seed, two at least, with Student's t interval."""
    value = fmean(values)
    error = stdev(values) / math.sqrt(len(values))
    half = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * error
    return Interval(value, value - half, value + half)


def difference(first: Sequence[float], second: Sequence[float]) -> Interval:
    """The mean of the first less the second, seed by seed.

    Runs of one seed share the order of images and, with and without batch norm, the initial
    weights: they are not independent, and paired they need not be.
    """
    return mean(differences(first, second))


def differences(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """The first less the second, seed by seed."""
    return [one - other for one, other in zip(first, second, strict=True)]

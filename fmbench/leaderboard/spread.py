"""How far apart runs of a model lie that differ in their seed, and whether another is as near."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from math import inf, sqrt

import msgspec
import numpy as np
from msgspec import Struct

from fmbench.errors import StoreError
from fmbench.leaderboard.stored_results import ModelResults, StoredResults
from fmbench.protocol import Protocol
from fmbench.records import Record

ALARMS = 0.005
"""How often a run that is as good as its row is called another, at most about."""


@dataclass(frozen=True)
class Spread:
    """What is known of a model's runs.

    accuracies: of single runs, 0 to 1.
    noise:      the part of their variance that single images explain; see `Sample.image_noise`.
    """

    accuracies: tuple[float, ...]
    noise: float = 0.0

    @property
    def freedom(self) -> int:
        """How many runs there are beyond the first."""
        return max(0, len(self.accuracies) - 1)

    @property
    def variance(self) -> float:
        """Of single runs, no smaller than single images explain."""
        return max(float(np.var(self.accuracies, ddof=1)), self.noise) if self.freedom else 0.0


class Kept(Struct, frozen=True, forbid_unknown_fields=True):
    """Runs of a model under a protocol of one seed, made once with others.

    correct: images right of `images`, one number a seed; noise: see `Spread`.
    """

    correct: tuple[int, ...]
    images: int
    noise: float


class KeptSpreads(Struct, frozen=True, forbid_unknown_fields=True):
    """The file PROTOCOL.spread.json beside a protocol; models by `DISTRIBUTION:MODEL`."""

    digest: str
    device: str
    torch: str
    models: dict[str, Kept]


@dataclass(frozen=True)
class Prediction:
    """Where another seed's accuracy is to be expected: `centre` plus or minus `margin`.

    runs: how many runs the centre is the mean of; freedom: those behind the margin, less one each.
    """

    centre: float
    margin: float
    runs: int
    freedom: float

    def covers(self, accuracy: float) -> bool:
        """Whether a run may be one of another seed."""
        return abs(accuracy - self.centre) <= self.margin + 1e-12


def predict_another_seed(stored: StoredResults, record: Record) -> Prediction | None:
    """Where a final run lies that differs from a good one in its seed alone; see `predict`."""
    of = (record.run.model, record.run.plugin.distribution)
    kept = kept_spreads(stored.protocol)
    same = kept.pop(":".join(reversed(of)), None)
    others, row = [*kept.values()], Spread((record.result.accuracy or 0.0,))
    for entry in stored.entries:
        spread = _spread(stored, entry)
        if (entry.model, entry.plugin.distribution) != of:
            others.append(spread)
        elif record in entry.ok:
            row = spread
    return predict(row, others, same)


def kept_spreads(protocol: Protocol) -> dict[str, Spread]:
    """What is known of models under a protocol of one seed, by `DISTRIBUTION:MODEL`."""
    file = resources.files("fmbench") / "protocols" / f"{protocol.id}.spread.json"
    if not file.is_file():
        return {}
    kept = msgspec.json.decode(file.read_bytes(), type=KeptSpreads)
    if kept.digest != protocol.digest:
        return {}
    return {
        name: Spread(tuple(right / one.images for right in one.correct), one.noise)
        for name, one in kept.models.items()
    }


def _spread(stored: StoredResults, entry: ModelResults) -> Spread:
    noise = 0.0
    if len(entry.ok) > 1:
        with contextlib.suppress(StoreError):  # then the runs themselves are all there is
            noise = stored.sample(entry).image_noise
    return Spread(entry.accuracies, noise)


def predict(row: Spread, others: Sequence[Spread], same: Spread | None = None) -> Prediction | None:
    """Where another seed of a row would lie; None when nothing shows how far runs lie apart.

    others: of other models under the same protocol, each with several runs.
    same:   further runs of the row's model, which show its spread but not its mean.

    A run's variance is the row's own, moderated by those of the others: an empirical Bayes estimate
    with the prior's degrees of freedom added (Smyth 2004, doi:10.2202/1544-6115.1027), or the row's
    own where that is larger. The interval is the t interval for one more run.
    """
    from scipy.special import stdtrit

    own = [one for one in (row, same) if one and one.freedom]
    known = [one for one in others if one.freedom]
    freedom = float(sum(one.freedom for one in own))
    variance = sum(one.freedom * one.variance for one in own) / freedom if own else 0.0
    prior, prior_freedom = _prior(known + own)
    if prior_freedom == inf:
        moderated, freedom = prior, inf
    elif freedom + prior_freedom:
        moderated = (prior_freedom * prior + freedom * variance) / (prior_freedom + freedom)
        freedom += prior_freedom
    else:
        return None
    quantile = float(stdtrit(min(freedom, 1e9), 1 - ALARMS / 2))
    runs = len(row.accuracies)
    return Prediction(
        centre=float(np.mean(row.accuracies)),
        margin=quantile * sqrt(max(moderated, variance) * (1 + 1 / runs)),
        runs=runs,
        freedom=freedom,
    )


def _prior(known: Sequence[Spread]) -> tuple[float, float]:
    """A typical variance, and how many degrees of freedom it is worth; infinite where all agree.

    The moments of log variances, as in Smyth's equations 10 and 11. Two models show too little.
    """
    from scipy.special import digamma, polygamma

    found = [(one.variance, one.freedom / 2) for one in known if one.variance > 0]
    if len(found) < 3:
        return 0.0, 0.0
    variances, halves = np.array(found).T
    logs = np.log(variances) - digamma(halves) + np.log(halves)
    excess = float(logs.var(ddof=1) - polygamma(1, halves).mean())
    if excess <= 0:
        return float(np.exp(logs.mean())), inf
    half = _inverse_trigamma(excess)
    return float(np.exp(logs.mean() + digamma(half) - np.log(half))), 2 * half


def _inverse_trigamma(value: float) -> float:
    """Solve trigamma(x) = value by Newton's method, as in Smyth's appendix."""
    from scipy.special import polygamma

    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        x += trigamma * (1 - trigamma / value) / float(polygamma(2, x))
    return x

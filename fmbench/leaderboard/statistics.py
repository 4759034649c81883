"""What runs of models on the same test images allow to be said about expected accuracy.

Models are scored on the same n images, each by S runs that differ in their seed. Images and seeds
are crossed: a run's accuracy varies with the images and with its seed, and the images vary alike
for all models. The target is a model's expected accuracy, over seeds, on new images of the same
kind (`NEW_IMAGES`), or on these very images (`THESE_IMAGES`), a weaker claim.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
NORMAL_95 = 1.959963984540054
SEEDS_FOR_T = 5
SEEDS_FOR_RANKS = 3
SMALLEST_GAP = 0.001
DRAWS, DRAWS_AT_ONCE = 10_000, 500

Target = Literal["new-images", "this-test-set"]
NEW_IMAGES: Target = "new-images"
THESE_IMAGES: Target = "this-test-set"

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sample:
    """What S runs of one model did on n images.

    shares:     float64 (n,), the share of runs that classified each image right.
    accuracies: float64 (S,), the accuracy of each run.
    """

    shares: Floats
    accuracies: Floats

    @classmethod
    def of(cls, hits: NDArray[np.bool_]) -> "Sample":
        """The sample of hits, bool (S, n)."""
        return cls(hits.mean(axis=0), hits.mean(axis=1))

    @cached_property
    def seed_variance(self) -> float:
        """Variance of run accuracies over seeds, sum of squares over S - 1; 0 for one run."""
        return float(self.accuracies.var(ddof=1)) if len(self.accuracies) > 1 else 0.0

    @cached_property
    def image_noise(self) -> float:
        """The part of `seed_variance` that single images explain, were their errors independent.

        An image's hits over S seeds vary by S/(S-1)·p(1-p); a mean over n images by the sum over
        n². What the accuracies vary beyond it is common to all images: a better or worse run.
        """
        runs, images = len(self.accuracies), len(self.shares)
        if runs < 2:
            return 0.0
        return float((self.shares * (1 - self.shares)).sum() * runs / (runs - 1) / images**2)


@dataclass(frozen=True, eq=False)
class Comparison:
    """All pairs of K models. Positive gaps are in favour of the row's model.

    gaps:        float64 (K, K), differences of mean accuracy.
    half_widths: float64 (K, K), half the width of their simultaneous 95 % intervals.
    """

    gaps: Floats
    half_widths: Floats

    @property
    def better(self) -> NDArray[np.bool_]:
        """Whether the row's model is surely better than the column's, bool (K, K).

        A gap under 0.1 percentage points is a tie whatever its interval: nobody should choose a
        model for it.
        """
        return np.asarray((self.gaps > self.half_widths) & no_tie(self.gaps))

    def rank_sets(self) -> list[tuple[int, int]]:
        """For each model the best and the worst rank it may have (Chiang et al. 2024)."""
        above, below = self.better.sum(axis=0), self.better.sum(axis=1)
        models = len(self.gaps)
        return [
            (1 + int(more), models - int(less)) for more, less in zip(above, below, strict=True)
        ]

    def visible_gaps(self) -> tuple[float, float] | None:
        """The smallest gap any pair could have shown, and what half of all pairs need."""
        widths = self.half_widths[np.triu_indices(len(self.gaps), 1)]
        widths = np.maximum(widths[widths > 0], SMALLEST_GAP)
        return (float(widths.min()), float(np.median(widths))) if len(widths) else None


def no_tie(gaps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where differences of accuracy are large enough to matter, but for their last bits."""
    return np.asarray(np.abs(gaps) >= SMALLEST_GAP * (1 - 1e-9))


def compare(samples: Sequence[Sample], target: Target = NEW_IMAGES) -> Comparison:
    """Compare all pairs of K models, scored on the same n images.

    The variance of a gap has two parts. The image part is the variance of the per-image
    differences of `shares`, over n: it holds the images, and what single images do from seed to
    seed. The seed part is the sum of both models' `seed_parts`. For the target these images there
    is no image part, and the seed part is all by which runs vary.

    Intervals hold for all pairs at once: their quantile is that of max |t| in a multiplier
    bootstrap over images (Chernozhukov, Chetverikov, Kato 2013), which with Gaussian multipliers is
    a draw from the normal distribution with the samples' own covariance, to which seed effects are
    added. Pairs without variance stay out. Draws come from a fixed seed: the same samples in the
    same order give the same numbers.

    Why images and seeds are kept apart: Bouthillier et al. 2021 (arXiv:2103.03098), Jordan 2023
    (arXiv:2304.01910). Why pairs on the same images: Dietterich 1998. Why all at once: Demšar 2006.
    """
    covariance = np.diag(seed_parts(samples, target))
    if target == NEW_IMAGES:
        shares = np.array([sample.shares for sample in samples])
        covariance += np.atleast_2d(np.cov(shares, ddof=1)) / shares.shape[1]
    own = covariance.diagonal()
    variances = own[:, None] + own[None, :] - 2 * covariance
    variances[variances < 1e-12 * own.max(initial=0)] = 0  # rounding, not variance
    errors = np.sqrt(variances)
    means = np.array([sample.accuracies.mean() for sample in samples])
    return Comparison(means[:, None] - means[None, :], _quantile(covariance, errors) * errors)


def seed_parts(samples: Sequence[Sample], target: Target) -> Floats:
    """Variance of each mean accuracy that the choice of seeds leaves, float64 (K,).

    For new images the noise of single images is counted with the images, so only what goes beyond
    it is left; for these images all of it. A few runs may agree by chance, so a model's variance is
    taken to be at least what single images explain, and at least as far beyond that as it is for
    half of the models. Without the second floor twelve models of five seeds each, whose runs differ
    by 0.15 points beyond image noise, have intervals that hold together in 92 % of simulations;
    with it in 95 %.
    """
    runs = np.array([len(sample.accuracies) for sample in samples])
    found = np.array([sample.seed_variance for sample in samples])
    noise = np.array([sample.image_noise for sample in samples])
    known = noise > 0
    if not known.any():
        return np.zeros(len(samples))
    usual = np.median(found[known] / noise[known] / _median_of_variance(runs[known] - 1))
    variances = np.maximum(found, noise * max(1.0, float(usual)))
    return np.asarray((variances - (noise if target == NEW_IMAGES else 0)) / runs)


def half_width_alone(first: Sample, second: Sample, *, confidence: float) -> float:
    """Half the width of the interval of one pair, for new images, however few the runs are.

    The quantile is Student's, its degrees of freedom those of the variance's parts together
    (Welch 1947, Satterthwaite 1946): of the seeds' part there are as few as runs less one, and all
    together have no fewer.
    """
    from scipy.special import stdtrit

    samples = first, second
    error = float(compare(samples).half_widths[0, 1]) / NORMAL_95
    if not error:
        return 0.0
    parts = [
        (sample.seed_variance / len(sample.accuracies), len(sample.accuracies) - 1)
        for sample in samples
        if len(sample.accuracies) > 1
    ]
    parts.append((error**2, len(first.shares) - 1))
    freedom = error**4 / sum(part**2 / count for part, count in parts)
    freedom = max(freedom, min(count for _, count in parts))
    return float(stdtrit(freedom, (1 + confidence) / 2)) * error


def _median_of_variance(freedom: NDArray[np.int64]) -> Floats:
    """The median of an estimated variance over its mean, chi-squared (Wilson, Hilferty 1931)."""
    return np.asarray((1 - 2 / (9 * freedom)) ** 3)


def _quantile(covariance: Floats, errors: Floats) -> float:
    """The 95 % quantile of the largest |t| over all pairs that have any variance."""
    models = len(errors)
    if models < 3 or not errors.any():
        return NORMAL_95
    precisions = np.divide(1, errors, out=np.zeros_like(errors), where=errors > 0)
    jitter = np.eye(models) * covariance.diagonal().max() * 1e-12
    factor = np.linalg.cholesky(covariance + jitter)
    random = np.random.RandomState(0)
    largest: list[float] = []
    while len(largest) < DRAWS:
        draws = random.standard_normal((DRAWS_AT_ONCE, models)) @ factor.T
        most = np.zeros(DRAWS_AT_ONCE)
        for one in range(models - 1):
            rest = slice(one + 1, None)
            t = np.abs(draws[:, rest] - draws[:, one, None]) * precisions[one, rest]
            np.maximum(most, t.max(axis=1), out=most)
        largest.extend(most)
    return float(np.quantile(np.array(largest), CONFIDENCE))


def seed_interval(accuracies: Sequence[float]) -> tuple[float, float]:
    """The 95 % t interval of the mean over seeds, from five runs on; else the range of the runs."""
    runs = np.asarray(accuracies, dtype=float)
    if len(runs) < SEEDS_FOR_T:
        return float(runs.min()), float(runs.max())
    from scipy.special import stdtrit  # not scipy.stats, which takes a second to import

    quantile = float(stdtrit(len(runs) - 1, (1 + CONFIDENCE) / 2))
    half = quantile * float(runs.std(ddof=1)) / sqrt(len(runs))
    return float(runs.mean()) - half, float(runs.mean()) + half


def image_interval(accuracy: float, images: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy for new images: binomial, by Wilson's score (1927)."""
    z = NORMAL_95**2 / images
    middle = (accuracy + z / 2) / (1 + z)
    spread = accuracy * (1 - accuracy) / images + z / (4 * images)
    half = NORMAL_95 / (1 + z) * sqrt(spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p of McNemar's test of two single runs (1947; Dietterich 1998).

    The counts are of images that one run alone has right; the p is the chance of a split at least
    as uneven were both runs equally good.
    """
    total, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(comb(total, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / (1 << total))

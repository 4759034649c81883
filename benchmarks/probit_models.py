"""Models whose true accuracy is known: the truth that simulated boards are held against.

An image has a difficulty common to all models and one of its own for each model; a run has an
effect of its seed. A model is right when its strength and its run's effect exceed both and chance:
a probit model with crossed random effects, whose expected accuracy on new images is known exactly.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

COMMON, OWN = 1.2, 0.6  # standard deviations beside a chance of 1; errors of models agree as usual
SPREAD = (1 + COMMON**2 + OWN**2) ** 0.5


@dataclass(frozen=True, eq=False)
class Simulated:
    """One model: its hits, bool (seeds, images), and its expected accuracy, over seeds.

    accuracy is that on new images, accuracy_here that on these.
    """

    hits: NDArray[np.bool_]
    accuracy: float
    accuracy_here: float


def models(
    accuracies: list[float],
    seeds: int,
    images: int,
    seed_effect: float | Sequence[float],
    random: np.random.RandomState,
    *,
    shift: float = 0.0,
) -> Iterator[Simulated]:
    """Models of these accuracies on new images, were there no seed effects.

    `seed_effect` is the standard deviation, in accuracy, of what makes a whole run better or worse;
    one for all models, or one each. `shift` is added to the accuracy of each model's last run.
    """
    common = COMMON * random.standard_normal(images)
    each = np.broadcast_to(seed_effect, len(accuracies))
    for accuracy, effect in zip(accuracies, each, strict=True):
        strength = ndtri(accuracy) * SPREAD + common + OWN * random.standard_normal(images)
        slope = np.exp(-(ndtri(accuracy) ** 2) / 2) / (2 * np.pi) ** 0.5 / SPREAD
        deviation = effect / slope
        effects = deviation * random.standard_normal((seeds, 1))
        effects[-1] += shift / slope
        yield Simulated(
            hits=random.random_sample((seeds, images)) < ndtr(strength + effects),
            accuracy=float(ndtr(ndtri(accuracy) / (1 + (deviation / SPREAD) ** 2) ** 0.5)),
            accuracy_here=float(ndtr(strength / (1 + deviation**2) ** 0.5).mean()),
        )


def hits(
    accuracies: list[float],
    seeds: int,
    images: int,
    seed_effect: float,
    random: np.random.RandomState,
) -> Iterator[NDArray[np.bool_]]:
    """The hits of such models alone."""
    return (one.hits for one in models(accuracies, seeds, images, seed_effect, random))

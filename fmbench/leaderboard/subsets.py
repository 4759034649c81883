"""Accuracy on the test images that are left without the suspect ones of Fashion-MNIST."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from fmbench.data import suspects
from fmbench.leaderboard.statistics import Sample, image_interval
from fmbench.protocol import Digests

Mask = NDArray[np.bool_]
Estimate = tuple[float, float, float]
"""An accuracy, 0 to 1, and its 95 % interval for new images, as of the official one."""


class Without(msgspec.Struct, frozen=True):
    """A model's accuracy without the near-twins, and without the images of doubtful label."""

    near_twins: Estimate
    doubtful_labels: Estimate


def kept_images(of: Digests) -> tuple[Mask, Mask] | None:
    """Which test images are no near-twins, and which have no doubtful label, bool (n,) each.

    None for a test set that is not the one the lists are about.
    """
    known = suspects.load()
    if (of.test_images, of.test_labels) != (known.data.test_images, known.data.test_labels):
        return None
    twins = [one.test for one in known.near_twins.images]
    doubts = [one.image for one in known.doubtful_labels.images]
    return _without(twins), _without(doubts)


def without(sample: Sample, kept: tuple[Mask, Mask] | None) -> Without | None:
    """What a sample's runs had right of the kept images; None where the lists do not apply."""
    if kept is None:
        return None
    return Without(*(_estimate(sample.shares[mask]) for mask in kept))


def _without(images: Sequence[int]) -> Mask:
    mask = np.ones(suspects.TEST_IMAGES, dtype=bool)
    mask[list(images)] = False
    return mask


def _estimate(shares: NDArray[np.float64]) -> Estimate:
    accuracy = float(shares.mean())
    return accuracy, *image_interval(accuracy, len(shares))

"""Stratified choices of images: the validation split, and smaller training sets."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def stratified_split(
    labels: NDArray[np.uint8], validation: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split the images with these labels into a training and a validation part.

    labels:     (n,) integers.
    validation: how many images the validation part gets, 0 to n; as equal a number from every
                class as the classes allow.
    seed:       0 to 2**32 - 1; the same seed gives the same split on every machine.

    Returns (train_indices, validation_indices), shapes (n - validation,) and (validation,), int64,
    sorted. Raises `ValueError` when `validation` is out of range.
    """
    chosen = stratified_subset(labels, np.arange(len(labels)), validation, seed)
    rest = np.ones(len(labels), dtype=bool)
    rest[chosen] = False
    return np.flatnonzero(rest).astype(np.int64), chosen


def stratified_subset(
    labels: NDArray[np.uint8], indices: ArrayLike, size: int, seed: int
) -> NDArray[np.int64]:
    """Choose `size` of `indices`, as equal a number from every class as the classes allow.

    labels:  (n,) integers.
    indices: (m,) different positions in `labels`; their order does not matter.
    size:    0 to m.
    seed:    0 to 2**32 - 1; the same seed gives the same choice on every machine.

    Returns (size,) int64, sorted. Raises `ValueError` when `size` is out of range.
    """
    pool = np.sort(np.asarray(indices, dtype=np.int64))
    if not 0 <= size <= len(pool):
        raise ValueError(f"cannot choose {size} of {len(pool)} images")
    random = np.random.RandomState(seed)  # its stream is frozen: NEP 19
    shuffled = pool[random.permutation(len(pool))]
    classes, counts = np.unique(labels[pool], return_counts=True)
    quotas = _level(counts, size, random.permutation(len(classes)))
    parts = [
        shuffled[labels[shuffled] == label][:quota]
        for label, quota in zip(classes, quotas, strict=True)
    ]
    return np.sort(np.concatenate([pool[:0], *parts]))


def _level(counts: NDArray[np.int64], size: int, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Deal `size` out evenly over classes of `counts` images, a remainder in the given `order`."""
    quotas = np.zeros_like(counts)
    while left := size - int(quotas.sum()):
        unfilled = order[quotas[order] < counts[order]]
        share = left // len(unfilled)
        if share == 0:
            unfilled, share = unfilled[:left], 1
        quotas[unfilled] = np.minimum(counts[unfilled], quotas[unfilled] + share)
    return quotas

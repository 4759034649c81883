"""Stratified choices are exact, balanced, and the same everywhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fmbench.data import stratified_split, stratified_subset

Labels = NDArray[np.uint8]
labels_of_images = st.lists(st.integers(0, 9), max_size=60).map(
    lambda values: np.array(values, dtype=np.uint8)
)
seeds = st.integers(0, 2**32 - 1)


def as_level_as_possible(chosen: Labels, available: Labels) -> bool:
    """Tell if no class has two more than one that still had images left."""
    counts = np.bincount(chosen, minlength=10)
    left = np.bincount(available, minlength=10) - counts
    return all(counts.max(initial=0) - counts[k] <= 1 for k in range(10) if left[k] > 0)


@given(labels_of_images, seeds, st.data())
def test_split_is_a_partition(labels: Labels, seed: int, draw: st.DataObject) -> None:
    """Both parts are sorted int64, of the sizes asked for, and together hold every index once."""
    validation = draw.draw(st.integers(0, len(labels)))
    train, held_out = stratified_split(labels, validation, seed)
    assert train.dtype == held_out.dtype == np.int64
    assert len(held_out) == validation
    assert (np.diff(train) > 0).all()
    assert (np.diff(held_out) > 0).all()
    assert sorted([*train, *held_out]) == list(range(len(labels)))


@given(labels_of_images, seeds, st.data())
def test_subset_is_level(labels: Labels, seed: int, draw: st.DataObject) -> None:
    """A subset comes from the indices given, each once, as evenly over classes as they allow."""
    pool = np.flatnonzero(draw.draw(st.lists(st.booleans(), max_size=len(labels))))
    size = draw.draw(st.integers(0, len(pool)))
    chosen = stratified_subset(labels, pool, size, seed)
    assert chosen.dtype == np.int64
    assert len(chosen) == size
    assert (np.diff(chosen) > 0).all()
    assert set(chosen) <= set(pool)
    assert as_level_as_possible(labels[chosen], labels[pool])


@given(labels_of_images, seeds, st.randoms(use_true_random=False), st.data())
def test_order_of_indices_does_not_matter(
    labels: Labels, seed: int, random: "np.random.RandomState", draw: st.DataObject
) -> None:
    """The same set of indices gives the same subset in any order."""
    pool = list(range(len(labels)))
    size = draw.draw(st.integers(0, len(pool)))
    expected = stratified_subset(labels, pool, size, seed)
    random.shuffle(pool)
    assert np.array_equal(stratified_subset(labels, pool, size, seed), expected)


def test_seeds_differ() -> None:
    """Another seed chooses other images."""
    labels = np.repeat(np.arange(10, dtype=np.uint8), 50)
    splits = {stratified_split(labels, 100, seed)[1].tobytes() for seed in range(20)}
    assert len(splits) == 20


def test_stream_is_frozen() -> None:
    """A golden split: a change here makes every record of a tune run wrong."""
    labels = (np.arange(30) % 10).astype(np.uint8)
    assert stratified_split(labels, 12, 2017)[1].tolist() == [
        3,
        5,
        11,
        12,
        14,
        16,
        17,
        19,
        20,
        23,
        25,
        28,
    ]


@pytest.mark.parametrize("size", [-1, 4])
def test_impossible_sizes_are_refused(size: int) -> None:
    """Fewer than none or more than all is an error, never a shorter answer."""
    with pytest.raises(ValueError, match=f"cannot choose {size} of 3"):
        stratified_split(np.zeros(3, dtype=np.uint8), size, 0)

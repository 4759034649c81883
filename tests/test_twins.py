"""Near-twins: all are found, as comparing every pair would find them."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from fmbench.data import Dataset
from fmbench.data.twins import SHIFT, Duplicates, Twin, duplicates, moved, moves, near_twins


def made(seed: int, train: int = 300, test: int = 60) -> Dataset:
    """Noise on blobs, among it test images that are training images, moved and blurred a little."""
    random = np.random.RandomState(seed)
    images = np.zeros((train + test, 28, 28), np.uint8)
    for image in images:
        top, left = random.randint(4, 12, 2)
        image[top : top + 12, left : left + 12] = random.randint(60, 200)
    noise = random.randint(0, 50, images.shape)
    trained, tested = np.split((images + noise * (images > 0)).astype(np.uint8), [train])
    changes = list(moves(SHIFT + 1))
    for number in range(0, test, 2):
        change = changes[random.randint(len(changes))]
        copied = moved(trained[random.randint(train)][None], change)[0]
        wave = random.randint(0, random.randint(1, 60), copied.shape)
        tested[number] = np.minimum(copied + wave * (copied > 0), 255)
    labels = random.randint(0, 10, train + test).astype(np.uint8)
    return Dataset(trained, labels[:train], tested, labels[train:])


def squares(test: NDArray[np.uint8], train: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The squared distances of all pairs, int64 (n, m)."""
    a, b = (images.reshape(len(images), -1).astype(np.int64) for images in (test, train))
    return (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(4))
def test_the_near_twins_are_those_that_comparing_all_pairs_finds(seed: int) -> None:
    """None is missed, none is invented, and each stands with its exact distance and change."""
    of = made(seed)
    changes = list(moves(SHIFT))
    each = np.stack([squares(moved(of.test_images, one), of.train_images) for one in changes])
    found = near_twins(of)
    nearest = each.min(axis=(0, 2))
    assert {one.test for one in found.images} == set(np.flatnonzero(nearest < (1.5 * 255) ** 2))
    assert len(found.images) > 3
    for one in found.images:
        change = changes.index((one.mirrored, one.down, one.right))
        assert one.squared == nearest[one.test] == each[change, one.test, one.train]
        assert one.squared < each[:change, one.test].min(initial=2**40)
    for count in found.counts:
        below = (count.below * 255) ** 2
        assert count.moved == (nearest < below).sum()
        assert count.in_place == (each[0].min(axis=1) < below).sum()
        near = np.flatnonzero(each[0].min(axis=1) < below)
        others = of.train_labels[each[0][near].argmin(axis=1)] != of.test_labels[near]
        assert count.other_label == others.sum()


def test_whole_numbers_decide_what_is_below_a_distance() -> None:
    """1.5 is 146,306.25 in units of 1/255²: what is exactly at a distance is not below it."""
    assert Twin(0, 0, 146_306, False, 0, 0).is_below(1.5)
    assert not Twin(0, 0, 146_307, False, 0, 0).is_below(1.5)
    assert not Twin(0, 0, 255**2, False, 0, 0).is_below(1.0)


def test_what_moves_out_is_lost_and_zeros_move_in() -> None:
    """An image is mirrored first and then moved; every change is tried once."""
    image = np.arange(28 * 28).reshape(1, 28, 28).astype(np.uint8)
    found = moved(image, (True, 2, -1))[0]
    assert (found[:2] == 0).all() and (found[:, -1] == 0).all()
    assert (found[2:, :-1] == image[0, :-2, ::-1][:, 1:]).all()
    assert set(moves(2)) == set(product((False, True), range(-2, 3), range(-2, 3)))
    assert next(moves(2)) == (False, 0, 0)


def test_equal_images_are_counted() -> None:
    """Within each part those that equal an earlier one, across both the test images."""
    of = made(1, train=5, test=4)
    train = of.train_images[[0, 1, 1, 1, 2]]
    test = np.concatenate([of.train_images[[1, 1]], of.test_images[:2]])
    assert duplicates(train, test) == Duplicates(train=2, test=1, across=2)

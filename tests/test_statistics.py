"""The statistics: golden numbers, invariances, and simulations whose truth is known."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import probit_models
from fmbench.leaderboard.statistics import (
    NEW_IMAGES,
    THESE_IMAGES,
    Comparison,
    Sample,
    Target,
    compare,
    image_interval,
    mcnemar,
    seed_interval,
    seed_parts,
)

IMAGES = 10_000
TABLES = 250


def samples_of(
    accuracies: Sequence[float], seeds: int, effect: float, random: np.random.RandomState
) -> list[Sample]:
    """Samples of models with these expected accuracies."""
    every = probit_models.hits(list(accuracies), seeds, IMAGES, effect, random)
    return [Sample.of(hits) for hits in every]


def holds(comparison: Comparison, accuracies: Sequence[float], shrunk: float = 1.0) -> bool:
    """Whether every interval of the comparison, so much narrower, contains the true gap."""
    truth = np.array(accuracies)
    errors = comparison.gaps - (truth[:, None] - truth[None, :])
    return bool((np.abs(errors) <= shrunk * comparison.half_widths + 1e-12).all())


@pytest.mark.parametrize(
    ("models", "seeds", "effect"),
    [(2, 5, 0.0), (2, 5, 0.0015), (6, 5, 0.0007), (12, 5, 0.0), (12, 5, 0.0015)],
)
def test_all_intervals_hold_together_in_95_percent_of_tables(
    models: int, seeds: int, effect: float
) -> None:
    """Simultaneous coverage of the true gaps on new images is 93 % or more, and no third more."""
    draws = np.random.RandomState(models * 100 + seeds)
    accuracies = np.linspace(0.93, 0.90, models)
    held = tight = 0
    for _ in range(TABLES):
        found = compare(samples_of(accuracies, seeds, effect, draws))
        held += holds(found, accuracies)
        tight += holds(found, accuracies, 0.75)
    assert held / TABLES > 0.93 - 2.6 * (0.95 * 0.05 / TABLES) ** 0.5
    assert tight / TABLES < 0.93


def test_a_model_varies_at_least_as_half_of_the_models_do() -> None:
    """Runs that agree by chance get the others' seed part; alone they have none."""
    shares, spread = np.full(1000, 0.6), 0.05 * np.arange(-2, 3)
    steady = Sample(shares, np.full(5, 0.6))
    parts = seed_parts([*[Sample(shares, 0.6 + spread)] * 3, steady], NEW_IMAGES)
    assert parts == pytest.approx([parts[0]] * 4)
    assert parts[0] > 1e-3
    assert (seed_parts([steady, steady], NEW_IMAGES) == 0).all()


@pytest.mark.parametrize("seeds", [3, 5])
def test_a_model_under_two_names_ties_with_itself(seeds: int) -> None:
    """A/A: two models of the same accuracy share all ranks in 95 % of tables or more."""
    draws = np.random.RandomState(seeds)
    tied = 0
    for _ in range(TABLES):
        sets = compare(samples_of([0.92, 0.92], seeds, 0.0007, draws)).rank_sets()
        tied += sets == [(1, 2), (1, 2)]
    assert tied / TABLES > 0.95 - 2.6 * (0.95 * 0.05 / TABLES) ** 0.5


def power(models: int, gap: float, tables: int) -> float:
    """How often the gap between the first two of some models is seen."""
    draws = np.random.RandomState(7)
    accuracies = [0.92, 0.92 - gap, *([0.9] * (models - 2))]
    found = (compare(samples_of(accuracies, 5, 0.0005, draws)) for _ in range(tables))
    return sum(bool(one.better[0, 1]) for one in found) / tables


def test_power_grows_with_the_gap_and_shrinks_with_the_number_of_models() -> None:
    """Larger gaps are seen more often; more models on a board make each pair harder to tell."""
    table = {(k, gap): power(k, gap, 60) for k in (2, 12) for gap in (0.002, 0.005, 0.010)}
    for models in (2, 12):
        assert table[models, 0.002] < table[models, 0.005] < table[models, 0.010]
    assert table[12, 0.005] < table[2, 0.005]
    assert table[12, 0.010] > 0.9


def test_seeds_as_the_only_noise_see_more_and_claim_less() -> None:
    """For this test set alone intervals are narrower than for new images."""
    found = samples_of([0.92, 0.91, 0.9], 5, 0.0005, np.random.RandomState(1))
    here, new = (compare(found, target) for target in (THESE_IMAGES, NEW_IMAGES))
    upper = np.triu_indices(3, 1)
    assert (here.half_widths[upper] < new.half_widths[upper]).all()
    assert (here.gaps == new.gaps).all()


@pytest.mark.parametrize("target", [NEW_IMAGES, THESE_IMAGES])
def test_the_order_of_models_changes_no_rank(target: Target) -> None:
    """Models in another order keep their rank sets, and their intervals but for drawing error."""
    found = samples_of(np.linspace(0.93, 0.90, 8), 5, 0.0007, np.random.RandomState(2))
    order = random.Random(3).sample(range(8), 8)
    before, after = compare(found, target), compare([found[one] for one in order], target)
    assert after.rank_sets() == [before.rank_sets()[one] for one in order]
    ratio = after.half_widths[0, 1] / before.half_widths[order[0], order[1]]
    assert ratio == pytest.approx(1, abs=0.02)


def test_the_order_of_images_and_seeds_changes_nothing() -> None:
    """Images and seeds are exchangeable."""
    draws = np.random.RandomState(4)
    hits = list(probit_models.hits([0.93, 0.91], 5, 500, 0.001, draws))
    images, seeds = draws.permutation(500), draws.permutation(5)
    before = compare([Sample.of(one) for one in hits])
    after = compare([Sample.of(one[seeds][:, images]) for one in hits])
    assert after.half_widths == pytest.approx(before.half_widths, rel=1e-9)


def test_equal_models_tie_however_few_differ() -> None:
    """Models that agree on every image have no variance, tie, and stay out of the maximum."""
    one, other = samples_of([0.92, 0.85], 3, 0.0, np.random.RandomState(5))
    twins = compare([one, other, one])
    assert twins.rank_sets() == [(1, 2), (3, 3), (1, 2)]
    assert twins.half_widths[0, 2] == twins.gaps[0, 2] == 0


def test_a_gap_nobody_should_choose_by_is_a_tie() -> None:
    """Nine images of ten thousand are a tie, however sure; eleven are not."""
    for images, tie in ((9, True), (11, False)):
        hits = np.zeros((3, IMAGES), bool)
        hits[:, :9_000] = True
        better = hits.copy()
        better[:, 9_000 : 9_000 + images] = True
        found = compare([Sample.of(better), Sample.of(hits)])
        assert found.half_widths[0, 1] < images / IMAGES
        assert (found.rank_sets() == [(1, 2), (1, 2)]) is tie


def test_a_single_run_has_no_seed_part() -> None:
    """With one run each the gap's variance is that of the per-image differences alone."""
    hits = list(probit_models.hits([0.92, 0.90], 1, 2_000, 0.0, np.random.RandomState(6)))
    differences = hits[0][0].astype(float) - hits[1][0]
    found = compare([Sample.of(one) for one in hits])
    expected = 1.959963984540054 * (differences.var(ddof=1) / 2_000) ** 0.5
    assert found.half_widths[0, 1] == pytest.approx(expected)


def test_image_noise_is_what_independent_errors_explain() -> None:
    """Where images err on their own, run accuracies vary as `image_noise` says, and not beyond."""
    draws = np.random.RandomState(8)
    found = [samples_of([0.92], 10, 0.0, draws)[0] for _ in range(60)]
    ratio = np.mean([one.seed_variance for one in found]) / np.mean(
        [one.image_noise for one in found]
    )
    assert ratio == pytest.approx(1, abs=0.25)


def test_a_seed_effect_is_found_and_shared() -> None:
    """A whole-run effect of 0.3 points is estimated within a third, over S, for new images."""
    found = samples_of([0.92] * 40, 5, 0.003, np.random.RandomState(9))
    parts = seed_parts(found, NEW_IMAGES)
    assert np.median(parts) == pytest.approx(0.003**2 / 5, rel=1 / 3)
    assert (seed_parts(found, THESE_IMAGES) > parts).all()


@given(
    st.lists(st.lists(st.booleans(), min_size=12, max_size=12), min_size=2, max_size=6),
    st.sampled_from([NEW_IMAGES, THESE_IMAGES]),
)
def test_rank_sets_are_possible_ranks(rows: list[list[bool]], target: Target) -> None:
    """For any hits: sets are ranges within 1 to K, and a better model's comes before a worse's."""
    found = compare([Sample.of(np.array([row[:6], row[6:]])) for row in rows], target)
    sets = found.rank_sets()
    for one, (best, worst) in enumerate(sets):
        assert 1 <= best <= worst <= len(sets)
        for other, (other_best, other_worst) in enumerate(sets):
            if found.better[one, other]:
                assert best < other_best or worst < other_worst
                assert not found.better[other, one]


def test_golden_numbers() -> None:
    """Hand-checked values: the binomial interval, the t interval, McNemar's p, and one board's."""
    assert image_interval(0.85, 10_000) == pytest.approx((0.842867, 0.856864), abs=1e-6)
    assert image_interval(0.0, 10) == pytest.approx((0.0, 0.277533), abs=1e-6)
    assert seed_interval([0.90, 0.91, 0.92]) == (0.90, 0.92)
    runs = [0.90, 0.91, 0.92, 0.90, 0.905]
    assert seed_interval(runs) == pytest.approx((0.896611, 0.917389), abs=1e-6)
    assert mcnemar(3, 10) == pytest.approx(0.092285, abs=1e-6)
    assert mcnemar(0, 0) == mcnemar(5, 5) == 1.0
    board = compare(samples_of([0.93, 0.92, 0.90], 5, 0.0007, np.random.RandomState(0)))
    assert board.rank_sets() == [(1, 1), (2, 2), (3, 3)]
    assert board.visible_gaps() == pytest.approx((0.00513903, 0.00535591), abs=1e-8)

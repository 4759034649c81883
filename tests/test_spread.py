"""Whether a run lies as near to its row as another seed would: alarms and power, simulated."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import polygamma

import probit_models
import simulated
from fmbench import protocol
from fmbench.leaderboard import spread
from fmbench.leaderboard.spread import Spread, predict
from fmbench.leaderboard.statistics import Sample
from fmbench.leaderboard.stored_results import StoredResults

IMAGES = 10_000


def calls(seeds: int, effect: float, shift: float, boards: int) -> float:
    """The share of runs that are called another, each of a row of that many seeds; nine rows."""
    draws = np.random.RandomState(0)
    called = []
    for _ in range(boards):
        accuracies = list(np.linspace(0.93, 0.85, 9))
        made = probit_models.models(accuracies, seeds + 1, IMAGES, effect, draws, shift=shift)
        hits = [one.hits for one in made]
        rows = [Sample.of(one[:-1]) for one in hits]
        known = [Spread(tuple(one.accuracies), one.image_noise) for one in rows]
        for number, one in enumerate(hits):
            found = predict(known[number], known[:number] + known[number + 1 :])
            assert found
            called.append(not found.covers(float(one[-1].mean())))
    return float(np.mean(called))


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("effect", [0.0, 0.0015, 0.005])
def test_a_run_like_its_row_is_seldom_called_another(seeds: int, effect: float) -> None:
    """False alarms stay under one in a hundred, whatever seeds do."""
    assert calls(seeds, effect, 0.0, 100) <= 0.01


@pytest.mark.parametrize("effect", [0.0, 0.0007, 0.0015])
def test_a_shift_of_one_and_a_half_points_is_seen(effect: float) -> None:
    """On a board of five seeds nine of ten such runs are called another."""
    assert calls(5, effect, -0.015, 20) >= 0.9


def test_nothing_is_said_where_nothing_is_known() -> None:
    """A single run without other rows, or with a single one, has no interval."""
    one = Spread((0.9,))
    assert predict(one, []) is None
    assert predict(one, [one, one]) is None
    assert predict(one, [Spread((0.8, 0.81))]) is None


def test_a_model_without_a_good_run_tells_no_spread() -> None:
    """It has no freedom and no variance, beside others and alone."""
    none, others = Spread(()), [Spread((0.8, 0.81)), Spread((0.7, 0.72)), Spread((0.6, 0.61))]
    assert (none.freedom, none.variance) == (0, 0.0)
    assert predict(Spread((0.9,)), [*others, none]) == predict(Spread((0.9,)), others)


def test_further_runs_of_the_model_tell_its_spread_not_its_mean() -> None:
    """The centre is the row's own; ten further runs of another version give the margin."""
    ten = Spread(tuple(np.linspace(0.5, 0.6, 10)))
    found = predict(Spread((0.9,)), [], ten)
    assert found
    assert found.centre == 0.9
    assert found.freedom == 9
    assert found.margin == pytest.approx(3.69 * ten.variance**0.5 * 2**0.5, rel=0.01)


def test_runs_that_agree_by_chance_are_not_believed() -> None:
    """Two equal runs have at least the variance that single images explain."""
    assert Spread((0.9, 0.9), noise=1e-6).variance == 1e-6
    found = predict(Spread((0.9, 0.9), noise=1e-6), [])
    assert found
    assert found.margin > 0


def test_the_prior_is_worth_more_the_more_rows_agree() -> None:
    """Equal variances are worth infinitely much, scattered ones little."""
    draws = np.random.RandomState(1)

    def rows(deviations: list[float]) -> list[Spread]:
        return [Spread(tuple(0.9 + one * draws.standard_normal(5))) for one in deviations]

    _, agreeing = spread._prior(rows([0.002] * 200))
    _, scattered = spread._prior(rows(list(0.002 * 10 ** draws.uniform(-1, 1, 200))))
    assert scattered < 10 < agreeing


@pytest.mark.parametrize("value", [0.01, 0.5, 3.0, 100.0])
def test_trigamma_is_inverted(value: float) -> None:
    """Newton's method ends at the solution."""
    assert float(polygamma(1, spread._inverse_trigamma(value))) == pytest.approx(value)


def test_a_row_is_predicted_from_its_store(tmp_path: Path) -> None:
    """A record's row, with those of other models, says where another seed would lie."""
    store = simulated.write_store(tmp_path, {"a": 0.9, "b": 0.88, "c": 0.91}, seeds=5)
    stored = StoredResults(store)
    entry = stored.entry("a", "plugin-a")
    found = spread.predict_another_seed(stored, entry.ok[0])
    assert found
    assert found.runs == 5
    assert found.centre == pytest.approx(np.mean(entry.accuracies))
    assert 0.002 < found.margin < 0.015


@pytest.mark.parametrize("name", protocol.names())
def test_protocols_of_one_seed_that_are_published_have_their_spread(name: str) -> None:
    """Ten seeds of each published model are kept beside a released protocol of one seed."""
    of = protocol.load(name)
    kept = spread.kept_spreads(of)
    if of.status == "released" and len(of.seeds) == 1:
        assert len(kept) == 9
        assert all(len(one.accuracies) == 10 and one.variance > 0 for one in kept.values())
    else:
        assert not kept

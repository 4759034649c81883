"""Two models compared: the difference, its interval, and the sentence that says what follows."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

import simulated
from fmbench.errors import UsageError
from fmbench.leaderboard import comparison
from fmbench.leaderboard.comparison import (
    Compared,
    Side,
    _conclusion,
    compare_entries,
    find_entry,
)
from fmbench.leaderboard.page.gallery import disagreements
from fmbench.leaderboard.statistics import Sample, compare, half_width_alone
from fmbench.leaderboard.stored_results import StoredResults


def compared(folder: Path, models: dict[str, float], seeds: int = 5, **more: object) -> Compared:
    """The first two of some simulated models compared."""
    stored = StoredResults(simulated.write_store(folder, models, seeds=seeds, **more))  # type: ignore[arg-type]
    first, second, *_ = models
    return compare_entries(stored, find_entry(stored, first), find_entry(stored, second))


def test_a_true_difference_is_found_and_said(tmp_path: Path) -> None:
    """Three points apart: the interval holds the truth but not zero, and the sentence says who."""
    found = compared(tmp_path, {"low": 0.88, "high": 0.91})
    assert found.low < -0.03 < found.high < 0
    assert found.gap == pytest.approx(found.first.accuracy - found.second.accuracy)
    assert "high is more accurate than low" in found.conclusion
    assert found.mcnemar_p is None


def test_equal_models_are_not_told_apart(tmp_path: Path) -> None:
    """Models of the same accuracy: the interval holds zero and the sentence says so."""
    found = compared(tmp_path, {"a": 0.90, "b": 0.90})
    assert found.low < 0 < found.high
    assert "cannot tell a and b apart" in found.conclusion


def test_comparing_the_other_way_round_turns_every_sign(tmp_path: Path) -> None:
    """B against A is A against B with the signs turned, and the same conclusion."""
    stored = StoredResults(simulated.write_store(tmp_path, {"a": 0.88, "b": 0.91}, seeds=3))
    a, b = find_entry(stored, "a"), find_entry(stored, "b")
    one, other = compare_entries(stored, a, b), compare_entries(stored, b, a)
    assert (one.gap, one.low, one.high) == pytest.approx((-other.gap, -other.high, -other.low))
    assert [gap.gap for gap in one.classes] == pytest.approx([-gap.gap for gap in other.classes])
    assert one.conclusion == other.conclusion
    assert {d.image: d.lead for d in one.disagreements} == {
        d.image: -d.lead for d in other.disagreements
    }


def test_single_runs_are_tagged_with_mcnemar(tmp_path: Path) -> None:
    """Two single runs get McNemar's exact p, and the sentence says what one run cannot say."""
    found = compared(tmp_path, {"a": 0.88, "b": 0.91}, seeds=1)
    assert found.mcnemar_p is not None
    assert found.mcnemar_p < 1e-6
    assert found.conclusion.startswith("With one run of a model nothing is known")


def test_class_gaps_add_up_to_the_gap(tmp_path: Path) -> None:
    """Weighted by images, the gaps by class are the whole gap."""
    found = compared(tmp_path, {"a": 0.88, "b": 0.91})
    whole = sum(one.gap * one.images for one in found.classes) / found.images
    assert whole == pytest.approx(found.gap)
    assert sum(one.images for one in found.classes) == found.images == 10_000


def test_intervals_by_class_hold_together() -> None:
    """Where runs differ by class, ten intervals of three runs hold together in 93 % of tables."""
    random = np.random.RandomState(7)
    held = []
    for _ in range(200):
        gaps = []
        for _ in range(10):
            shares = 0.9 + 0.02 * random.standard_normal((2, 3))  # of each model and run
            hits = random.random_sample((2, 3, 300)) < shares[..., None]
            first, second = map(Sample.of, hits)
            half = half_width_alone(first, second, confidence=0.995)
            gap = first.accuracies.mean() - second.accuracies.mean()
            gaps.append(abs(gap) <= half)
        held.append(all(gaps))
    assert np.mean(held) >= 0.93


def test_intervals_of_near_twins_stay_narrow() -> None:
    """Two models that differ on few images, or on none, never have an interval of many points."""
    random = np.random.RandomState(8)
    for changed in (0, 2, 20):
        for _ in range(100):
            hits = random.random_sample((3, 1000)) < 0.9
            other = hits.copy()
            other[:, :changed] = random.random_sample((3, changed)) < 0.9
            half = half_width_alone(Sample.of(hits), Sample.of(other), confidence=0.995)
            assert half < 0.2


def test_an_interval_by_class_is_students(tmp_path: Path) -> None:
    """Of single runs it is Bonferroni's; of several wider, by the freedom of all parts together."""
    for seeds in (1, 3):
        store = simulated.write_store(tmp_path / str(seeds), {"a": 0.88, "b": 0.91}, seeds=seeds)
        stored = StoredResults(store)
        a, b = (find_entry(stored, name) for name in "ab")
        shirts = stored.labels == 6
        hits = [stored.predictions(one)[:, shirts] == 6 for one in (a, b)]
        alone = float(compare([Sample.of(one) for one in hits]).half_widths[0, 1])
        shown = compare_entries(stored, a, b).classes[6]
        ratio = (shown.high - shown.low) / 2 / (alone * 2.807034 / 1.959964)
        assert ratio == pytest.approx(1, rel=0.01) if seeds == 1 else 1 < ratio < 1.7


@pytest.mark.parametrize(
    ("seeds", "opening"),
    [(2, "Two runs of a model say little"), (3, "As far as 3 seeds tell,"), (5, "On new images,")],
)
def test_a_conclusion_says_how_few_the_seeds_are(tmp_path: Path, seeds: int, opening: str) -> None:
    """Under three seeds it says what they cannot, under five it is provisional."""
    found = compared(tmp_path, {"a": 0.8, "b": 0.9}, seeds=seeds)
    assert found.conclusion.startswith(opening)


@pytest.mark.parametrize("first", [[6, 6], [0, 6], [6, 0]])
def test_half_of_the_runs_are_not_most(first: list[int]) -> None:
    """An image is right for a model when more than half of its runs have it, whatever ties."""
    predictions = np.array([[6], [0]], np.uint8), np.array(first, np.uint8)[:, None]
    labels = np.array([6], np.uint8)
    hits = predictions[0] == labels, predictions[1] == labels
    (*found,) = comparison._disagreements(labels, predictions, hits)
    if first == [6, 6]:
        assert [(one.first, one.second, one.lead) for one in found] == [(0, 6, -0.5)]
    else:
        assert found == []


def test_disagreements_are_images_that_one_model_alone_usually_has_right(tmp_path: Path) -> None:
    """Listed images are right for one usual class only, the clearest first, and none is missing."""
    stored = StoredResults(
        simulated.write_store(tmp_path, {"a": 0.8, "b": 0.9}, seeds=3, images=200)
    )
    a, b = (find_entry(stored, name) for name in "ab")
    found = compare_entries(stored, a, b)
    for one in found.disagreements:
        assert (one.first == one.label) != (one.second == one.label)
        assert one.label == stored.labels[one.image]
    leads = [abs(one.lead) for one in found.disagreements]
    assert leads == sorted(leads, reverse=True)
    right = [np.asarray(stored.predictions(one) == stored.labels).sum(axis=0) for one in (a, b)]
    clear = np.flatnonzero(np.abs(right[0] - right[1]) == 3)
    assert set(clear) <= {one.image for one in found.disagreements}


def test_pictures_show_either_models_commonest_mistakes(tmp_path: Path) -> None:
    """Rows name who is right and what the other sees, and hold only such images."""
    found = compared(tmp_path, {"a": 0.8, "b": 0.85}, seeds=3)
    by_image = {one.image: one for one in found.disagreements}
    rows = disagreements(found)
    assert len(rows) == 10
    for row in rows:
        ahead = 1 if row.name.startswith("a right") else -1
        assert all(by_image[image].lead * ahead > 0 for image in row.images)


def test_a_name_that_is_not_one_entry_is_reported(tmp_path: Path) -> None:
    """Unknown names get a suggestion; a model without a good run is refused."""
    stored = StoredResults(
        simulated.write_store(tmp_path, {"alpha": 0.8, "b": 0.9}, seeds=1, broken="b")
    )
    with pytest.raises(UsageError, match="no such model") as raised:
        find_entry(stored, "alpa")
    assert "alpha" in raised.value.hint
    with pytest.raises(UsageError, match="no good run"):
        find_entry(stored, "b")
    assert find_entry(stored, "plugin-a:alpha") is find_entry(stored, "alpha")
    one = find_entry(stored, "alpha")
    twin = replace(one, plugin=msgspec.structs.replace(one.plugin, distribution="plugin-b"))
    stored.entries = (*stored.entries, twin)
    with pytest.raises(UsageError, match="two distributions") as raised:
        find_entry(stored, "alpha")
    assert "plugin-b:alpha" in raised.value.hint


def test_seeds_that_did_not_end_well_are_not_spoken_for(tmp_path: Path) -> None:
    """A model that lost a seed is compared by the others, and the sentence begins with that."""
    stored = StoredResults(
        simulated.write_store(tmp_path, {"a": 0.8, "b": 0.9}, seeds=3, broken="b", images=500)
    )
    found = compare_entries(stored, find_entry(stored, "a"), find_entry(stored, "b"))
    assert found.conclusion.startswith("b has good runs of 2 of 3 seeds")
    assert "a has good runs" not in found.conclusion
    assert (found.first.seeds_expected, found.second.seeds) == (3, 2)


def test_models_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Two distributions' models of one name are called by both in everything that is said."""
    store = simulated.write_store(tmp_path, {"a": 0.8, "b": 0.9}, seeds=3, images=500)
    stored = StoredResults(store)
    a, b = (find_entry(stored, name) for name in "ab")
    other = msgspec.structs.replace(b.plugin, distribution="plugin-b")
    found = compare_entries(stored, a, replace(b, model="a", plugin=other))
    assert "plugin-b:a is more accurate than plugin-a:a" in found.conclusion
    assert {row.name.partition(" ")[0] for row in disagreements(found)} == {
        "plugin-a:a", "plugin-b:a",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("gap", "says"), [(0.0009, "Call it a tie"), (0.0011, "a is more accurate than b")]
)
def test_a_gap_nobody_should_choose_by_is_called_a_tie(gap: float, says: str) -> None:
    """However sure, under 0.1 points nobody is called better."""
    a, b = (
        Side(name, name, "plugin-a", "1.0", seeds=3, seeds_expected=3, accuracy=0.9)
        for name in "ab"
    )
    assert says in _conclusion(a, b, gap, gap - 0.0004, gap + 0.0004)

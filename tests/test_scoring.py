"""Scores: checked against plain restatements of their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from fmbench.scoring import score

LOGITS = arrays.arrays(np.float32, (7, 3), elements=st.floats(-200, 200, width=32))
LABELS = arrays.arrays(np.uint8, 7, elements=st.integers(0, 2))


@given(LOGITS, LABELS)
def test_scores_follow_their_definitions(
    logits: NDArray[np.float32], labels: NDArray[np.uint8]
) -> None:
    """Accuracy, log-loss and calibration error equal sums written out in plain Python."""
    scores = score(logits, labels)
    losses, bins = [], {}
    for row, label in zip(logits.astype(float).tolist(), labels.tolist(), strict=True):
        top = max(row)
        normaliser = math.fsum(math.exp(value - top) for value in row)
        losses.append(top + math.log(normaliser) - row[label])
        confidence = 1 / normaliser
        bins.setdefault(min(int(confidence * 15), 14), []).append(
            confidence - (row.index(top) == label)
        )
    assert scores.predictions.tolist() == [row.index(max(row)) for row in logits.tolist()]
    assert scores.correct == (scores.predictions == labels).sum()
    assert scores.log_loss == pytest.approx(math.fsum(losses) / 7, abs=1e-6)
    expected = sum(abs(math.fsum(gaps)) for gaps in bins.values()) / 7
    assert scores.calibration_error == pytest.approx(expected, abs=1e-6)


@given(LOGITS, LABELS, st.permutations(range(7)))
def test_the_order_of_images_changes_no_score(
    logits: NDArray[np.float32], labels: NDArray[np.uint8], order: list[int]
) -> None:
    """Scores are sums over images, whatever their order."""
    before, after = score(logits, labels), score(logits[order], labels[order])
    assert before.correct == after.correct
    assert before.log_loss == pytest.approx(after.log_loss)
    assert before.calibration_error == pytest.approx(after.calibration_error)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_logit_that_is_not_finite_is_refused(bad: float) -> None:
    """One bad logit is enough to refuse all, and the message counts the images."""
    logits = np.zeros((4, 3), np.float32)
    logits[2, 1] = bad
    with pytest.raises(ValueError, match="1 of 4"):
        score(logits, np.zeros(4, np.uint8))


def test_shapes_that_do_not_fit_are_refused() -> None:
    """Logits for another number of images are not scored."""
    with pytest.raises(ValueError, match="do not fit"):
        score(np.zeros((3, 10), np.float32), np.zeros(4, np.uint8))

"""From logits and labels to scores. Numpy only, so that anyone can repeat it from stored files."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Scores:
    """Scores of one model on n images; `predictions` is uint8 (n,)."""

    predictions: NDArray[np.uint8]
    correct: int
    log_loss: float
    calibration_error: float


def score(logits: NDArray[np.float32], labels: NDArray[np.uint8]) -> Scores:
    """Score finite logits (n, classes) against labels (n,).

    log_loss is the mean negative log-likelihood in nats. calibration_error is the expected
    calibration error over 15 equal bins of confidence (Guo et al. 2017, arXiv:1706.04599).
    Ties between logits go to the lower class.
    Raises `ValueError` when shapes disagree or a logit is not finite.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(f"logits of shape {logits.shape} do not fit {len(labels)} labels")
    if not np.isfinite(logits).all():
        bad = int((~np.isfinite(logits).all(axis=1)).sum())
        raise ValueError(f"logits of {bad} of {len(logits)} images are not finite")
    rows = np.arange(len(labels))
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    predictions = logits.argmax(axis=1)
    hits = predictions == labels
    confidence = np.exp(log_probabilities[rows, predictions])
    return Scores(
        predictions=predictions.astype(np.uint8),
        correct=int(hits.sum()),
        log_loss=float(-log_probabilities[rows, labels].mean()),
        calibration_error=_calibration_error(confidence, hits),
    )


def _calibration_error(confidence: NDArray[np.float64], hits: NDArray[np.bool_]) -> float:
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - hits, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(hits))

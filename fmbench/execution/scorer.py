"""What a worker is given, and how its answers are scored. Test labels stay in here."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmbench import files
from fmbench.contract import CLASSES
from fmbench.data import Dataset, stratified_split, stratified_subset
from fmbench.errors import ProtocolError
from fmbench.execution.job import Answers, Inputs, RunOutcome
from fmbench.execution.plan import train_steps
from fmbench.protocol import Protocol, StageName
from fmbench.records import Result
from fmbench.scoring import score
from fmbench.statuses import Status


@dataclass(frozen=True)
class EvaluationImages:
    """What a model answers in a stage: images that are scored, then some it was trained on."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    scored: int


@dataclass(frozen=True)
class Scored:
    """A run's result; when it is ok the predicted classes uint8 (n,), logits float32 (n, 10)."""

    result: Result
    predictions: NDArray[np.uint8] | None = None
    logits: NDArray[np.float32] | None = None


class Scorer:
    """Holds a data set under a protocol, hands out what a stage may see, and marks logits.

    Raises `ProtocolError` when the data set has too few images for what the protocol asks.
    """

    def __init__(self, dataset: Dataset, protocol: Protocol) -> None:
        self._dataset = dataset
        self._protocol = protocol
        everything = np.arange(len(dataset.train_labels))
        rules = protocol.data
        if rules.validation_images >= len(everything):
            raise ProtocolError(
                f"{rules.validation_images} validation images leave none of {len(everything)}",
                where=protocol.id,
                hint="lower data.validation_images in the protocol",
            )
        kept, validation = stratified_split(
            dataset.train_labels, rules.validation_images, rules.split_seed
        )
        self._validation = validation
        self._trained_on: dict[StageName, NDArray[np.int64]] = {
            "final": self._subset(everything, protocol.final.train_images)
        }
        if tuning := protocol.tuning:
            self._trained_on["tune"] = self._subset(kept, tuning.train_images)
            self._fit = self._subset(self._trained_on["tune"], tuning.fit_images)
        for stage, images in self._trained_on.items():
            train_steps(protocol, stage, len(images))

    def write_inputs(self, stage: StageName, folder: Path) -> None:
        """Place the arrays of a stage: training images with labels, evaluation images without."""
        trained_on = self._trained_on[stage]
        Inputs(folder).write(
            self._dataset.train_images[trained_on],
            self._dataset.train_labels[trained_on],
            self._evaluation_images(stage).images,
        )

    def score_run(self, stage: StageName, outcome: RunOutcome, answers: Answers) -> Scored:
        """Scorer what a run left behind.

        The worker's word that a run went well counts only when its logits hold: float32 of shape
        (evaluation images, classes), all finite.
        """
        if outcome.status != "ok":
            return _unscored(outcome, outcome.status, outcome.message)
        evaluation = self._evaluation_images(stage)
        scored, fit_images = evaluation.scored, len(evaluation.labels) - evaluation.scored
        try:
            logits = files.read_npy(answers.logits, np.float32, (len(evaluation.labels), CLASSES))
            scores = score(logits[:scored], evaluation.labels[:scored])
            fit = score(logits[scored:], evaluation.labels[scored:]).correct if fit_images else None
            curve = self._validation_curve(stage, answers.epochs, evaluation)
        except (OSError, ValueError) as error:
            return _unscored(outcome, "invalid", str(error))
        result = Result(
            status="ok",
            images=scored,
            correct=scores.correct,
            log_loss=scores.log_loss,
            calibration_error=scores.calibration_error,
            curve=outcome.curve,
            logits_sha256=hashlib.sha256(logits.tobytes()).hexdigest(),
            validation_curve=curve,
            fit_images=fit_images,
            fit_correct=fit,
        )
        return Scored(result, scores.predictions, logits[:scored])

    def _validation_curve(
        self, stage: StageName, path: Path, evaluation: EvaluationImages
    ) -> tuple[int, ...]:
        tuning = self._protocol.tuning
        if stage == "final" or not tuning or not tuning.each_epoch:
            return ()
        predicted = files.read_npy(path, np.uint8, (tuning.epochs, evaluation.scored))
        right = predicted == evaluation.labels[: evaluation.scored]
        return tuple(int(count) for count in right.sum(1))

    def _subset(self, candidates: NDArray[np.int64], wanted: int | None) -> NDArray[np.int64]:
        if wanted is None or wanted == len(candidates):
            return candidates
        if wanted > len(candidates):
            raise ProtocolError(
                f"it asks for {wanted:,} training images of {len(candidates):,}",
                where=self._protocol.id,
                hint="lower train_images or fit_images, or leave train_images out to take all",
            )
        return stratified_subset(
            self._dataset.train_labels, candidates, wanted, self._protocol.data.split_seed
        )

    def _evaluation_images(self, stage: StageName) -> EvaluationImages:
        data = self._dataset
        if stage == "final":
            return EvaluationImages(data.test_images, data.test_labels, len(data.test_labels))
        chosen = np.concatenate([self._validation, self._fit])
        return EvaluationImages(
            data.train_images[chosen], data.train_labels[chosen], len(self._validation)
        )


def _unscored(outcome: RunOutcome, status: Status, message: str) -> Scored:
    return Scored(Result(status=status, message=message, curve=outcome.curve))

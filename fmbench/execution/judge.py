"""What a worker is given and asked, and how its answers are marked. Test labels stay in here."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmbench import files
from fmbench.contract import CLASSES
from fmbench.data import Dataset, stratified_split, stratified_subset
from fmbench.errors import ProtocolError
from fmbench.execution.job import Inputs, Outcome
from fmbench.protocol import Protocol, StageName
from fmbench.records import Result, Status
from fmbench.scoring import score

Marked = tuple[Result, NDArray[np.uint8] | None]


class Judge:
    """Holds a data set under a protocol, hands out what a stage may see, and marks logits."""

    def __init__(self, dataset: Dataset, protocol: Protocol) -> None:
        self._dataset = dataset
        self._protocol = protocol
        everything = np.arange(len(dataset.train_labels))
        rules = protocol.data
        if rules.validation_images >= len(everything):
            raise ProtocolError(
                f"{rules.validation_images} validation images leave none of {len(everything)}",
                where=protocol.id,
            )
        kept, validation = stratified_split(
            dataset.train_labels, rules.validation_images, rules.split_seed
        )
        self._validation = validation
        self._trained_on = {
            stage: self._subset(stage, kept if stage == "tune" else everything)
            for stage in ("tune", "final")
        }

    def write_inputs(self, stage: StageName, folder: Path) -> None:
        """Place the arrays of a stage: training images with labels, asked images without."""
        trained_on = self._trained_on[stage]
        Inputs(folder).write(
            self._dataset.train_images[trained_on],
            self._dataset.train_labels[trained_on],
            self._asked_images(stage),
        )

    def mark(self, stage: StageName, outcome: Outcome, logits: Path) -> Marked:
        """The result of a run, and the predicted classes, uint8 (n,), when it is ok.

        The worker's word that a run went well counts only when its logits hold: float32 of shape
        (asked images, classes), all finite.
        """
        if outcome.status != "ok":
            return _unmarked(outcome, outcome.status, outcome.message), None
        labels = self._asked_labels(stage)
        try:
            answers = files.read_npy(logits, np.float32, (len(labels), CLASSES))
            scores = score(answers, labels)
        except (OSError, ValueError) as error:
            return _unmarked(outcome, "invalid", str(error)), None
        result = Result(
            status="ok",
            images=len(labels),
            correct=scores.correct,
            log_loss=scores.log_loss,
            calibration_error=scores.calibration_error,
            curve=outcome.curve,
            logits_sha256=hashlib.sha256(answers.tobytes()).hexdigest(),
        )
        return result, scores.predictions

    def _subset(self, stage: StageName, candidates: NDArray[np.int64]) -> NDArray[np.int64]:
        wanted = self._protocol.stage(stage).train_images
        if wanted is None or wanted >= len(candidates):
            return candidates
        return stratified_subset(
            self._dataset.train_labels, candidates, wanted, self._protocol.data.split_seed
        )

    def _asked_images(self, stage: StageName) -> NDArray[np.uint8]:
        if stage == "tune":
            return self._dataset.train_images[self._validation]
        return self._dataset.test_images

    def _asked_labels(self, stage: StageName) -> NDArray[np.uint8]:
        if stage == "tune":
            return self._dataset.train_labels[self._validation]
        return self._dataset.test_labels


def _unmarked(outcome: Outcome, status: Status, message: str) -> Result:
    return Result(status=status, message=message, curve=outcome.curve)

"""The files beside a record: whether they are its own, and give the scores that it has."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fmbench import files, records, weights
from fmbench.contract import CLASSES
from fmbench.protocol import Protocol
from fmbench.records import Record
from fmbench.scoring import score
from fmbench.store import LOG, LOG_BYTES, LOGITS, PREDICTIONS, WEIGHTS, Store
from fmbench.verification.findings import Level
from fmbench.verification.rules import Rules

LOSS_TOLERANCE = 2e-3
CALIBRATION_TOLERANCE = 5e-3
"""How far the scores of kept logits may lie from the recorded ones: they are kept as float16, which
moves the probability of a class by up to a thousandth, and an image over the edge of a bin."""


class Answers(NamedTuple):
    """What a run answered.

    predictions: uint8 (n,); None where they cannot be read, or it has none.
    digest:      SHA-256 of their file.
    hits:        which are right, bool (n,); None where nothing tells.
    """

    predictions: NDArray[np.uint8] | None = None
    digest: str = ""
    hits: NDArray[np.bool_] | None = None


NO_ANSWERS = Answers()


class FilesBeside:
    """Reads the files beside records, and says of each what is wrong.

    say: takes the level and the kind of a finding, what it is about, and the finding.
    """

    def __init__(
        self, store: Store, rules: Rules, say: Callable[[Level, str, str, str], None]
    ) -> None:
        self._store, self._rules, self._say = store, rules, say

    def answers(self, record: Record, rules: Protocol, beside: set[str]) -> Answers:
        """What a run answered, counted against the true labels."""
        if not record.ok or record.run.stage != "final":
            if PREDICTIONS in beside:
                self._say("false", "predictions", record.stem, "only a good final run has them")
            return NO_ANSWERS
        if PREDICTIONS not in beside:
            self._say("false", "predictions", record.stem, "they are missing")
            return NO_ANSWERS
        shape = (record.result.images,)
        labels = self._rules.labels(rules)
        if labels is not None and len(labels) != shape[0]:
            what = f"they are of {shape[0]:,} images, and {len(labels):,} have labels"
            self._say("false", "predictions", record.stem, what)
            return NO_ANSWERS
        try:
            content = self._content(record, PREDICTIONS, files.NPY_HEADER_BYTES + shape[0])
            predictions = files.parse_npy(content, np.uint8, shape)
        except (OSError, ValueError) as error:
            self._say(
                "false", "predictions", record.stem, f"they cannot be read: {files.reason(error)}"
            )
            return NO_ANSWERS
        digest = hashlib.sha256(content).hexdigest()
        if len(predictions) and predictions.max() >= CLASSES:
            what = f"they name the class {predictions.max()}, and there are {CLASSES}"
            self._say("false", "predictions", record.stem, what)
            return NO_ANSWERS
        if labels is None:
            return Answers(predictions, digest)
        hits = predictions == labels
        correct = int(hits.sum())
        if correct != record.result.correct:
            what = f"it says {record.result.correct:,} are right, and {correct:,} are"
            self._say("false", "accuracy", record.stem, what)
        elif LOGITS in beside:
            self._score_again(record, predictions, labels)
        return Answers(predictions, digest, hits)

    def _score_again(
        self, record: Record, predictions: NDArray[np.uint8], labels: NDArray[np.uint8]
    ) -> None:
        shape = (len(labels), CLASSES)
        limit = files.NPY_HEADER_BYTES + 2 * len(labels) * CLASSES
        try:
            content = self._content(record, LOGITS, limit)
            logits = files.parse_npy(content, np.float16, shape).astype(np.float32)
            scores = score(logits, labels)
        except (OSError, ValueError) as error:
            self._say("false", "logits", record.stem, f"they cannot be read: {files.reason(error)}")
            return
        result = record.result
        rows = np.arange(len(labels))
        if (logits[rows, predictions] < logits.max(axis=1)).any():
            self._say("false", "logits", record.stem, "they give other classes than were predicted")
        for name, now, then, margin in (
            ("log-loss", scores.log_loss, result.log_loss or 0.0, LOSS_TOLERANCE),
            (
                "calibration error",
                scores.calibration_error,
                result.calibration_error or 0.0,
                CALIBRATION_TOLERANCE,
            ),
        ):
            if abs(now - then) > margin * (1 + abs(then)):
                what = f"its {name} is {then:.4f}, and that of its logits {now:.4f}"
                self._say("false", "logits", record.stem, what)

    def look_at(self, record: Record, beside: set[str]) -> None:
        """Log and weights, and whether the files beside a record are those that it names.

        Logs, logits and weights need not be there: they are submitted only when they are asked for.
        """
        if record.schema == records.SCHEMA:
            for kind in sorted((set(record.files) ^ beside) - ({LOG, LOGITS, WEIGHTS} - beside)):
                what = "is missing" if kind in record.files else "is not of this record"
                self._say("false", "files", record.stem, f"its {kind[:40]} {what}")
        if LOG in beside:
            try:
                self._content(record, LOG, LOG_BYTES)
            except (OSError, ValueError) as error:
                self._say("false", "files", record.stem, f"its log: {files.reason(error)}")
        if WEIGHTS in beside:
            self._look_at_weights(record)

    def _look_at_weights(self, record: Record) -> None:
        """Whether kept weights are what the record was made with; they are read in pieces."""
        path = self._store.path(record, WEIGHTS)
        if not record.ok or record.run.stage != "final":
            self._say("false", "weights", record.stem, "only a good final run has them")
            return
        try:
            found = weights.read(path)
            if files.digest_of_file(path) != record.files.get(WEIGHTS):
                raise ValueError("their content is not what its record was made with")
        except (OSError, ValueError) as error:
            self._say(
                "false", "weights", record.stem, f"they cannot be used: {files.reason(error)}"
            )
            return
        if found.run != record.run:
            self._say("false", "weights", record.stem, "they say that they are of another run")

    def _content(self, record: Record, kind: str, limit: int) -> bytes:
        """A file beside a record, of the digest that the record has of it, where it has one."""
        content = files.read_at_most(self._store.path(record, kind), limit)
        wanted = record.files.get(kind)
        if wanted and hashlib.sha256(content).hexdigest() != wanted:
            raise ValueError("its content is not what its record was made with")
        return content

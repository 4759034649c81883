"""The judge: what a worker says counts only when its logits hold."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import TinyData
from fmbench import data, protocol
from fmbench.execution.job import Answers, Outcome
from fmbench.execution.judge import Judge

VALIDATION, FIT = 60, 40
WATCHED = f"""[tune]
epochs = 1
fit_images = {FIT}

[[recipes]]
name = "other"
optimizer = "sgd"
learning_rate = 0.1

[[recipes]]"""


@dataclass(frozen=True)
class Hearing:
    """A judge of a protocol that asks for the fit, and where answers lie."""

    judge: Judge
    answers: Answers

    def mark(self, logits: NDArray[np.float32]) -> tuple[str, int | None]:
        """Status and fit of these answers to a tune run."""
        np.save(self.answers.logits, logits)
        result, _ = self.judge.mark("tune", Outcome(status="ok"), self.answers)
        return result.status, result.fit_correct


@pytest.fixture
def hearing(tiny: TinyData, tmp_path: Path) -> Hearing:
    """A judge of the tiny data."""
    rules = protocol.load(str(tiny.variant(tmp_path / "watched.toml", ("[[recipes]]", WATCHED))))
    return Hearing(Judge(data.load(tiny.folder, rules.data.sha256), rules), Answers(tmp_path))


def test_the_fit_is_marked_apart(hearing: Hearing) -> None:
    """Answers to images trained on are counted among them, by class: one in ten is class 0."""
    logits = np.zeros((VALIDATION + FIT, 10), np.float32)
    assert hearing.mark(logits) == ("ok", FIT // 10)


@pytest.mark.parametrize("image", [0, VALIDATION - 1, VALIDATION, VALIDATION + FIT - 1])
def test_no_logit_may_be_other_than_finite(hearing: Hearing, image: int) -> None:
    """One NaN makes a run invalid, on an image that scores and on one that shows the fit."""
    logits = np.zeros((VALIDATION + FIT, 10), np.float32)
    logits[image, 3] = np.nan
    assert hearing.mark(logits) == ("invalid", None)

"""Kept weights scored again: whether they give the answers that are on record."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from fmbench.data import Dataset
from fmbench.errors import FmbenchError, PluginError
from fmbench.execution import answering
from fmbench.hardware import find_device
from fmbench.records import Record
from fmbench.scoring import score
from fmbench.store import WEIGHTS
from fmbench.verification.findings import Finding, Level, Verdict, VerdictOfRun
from fmbench.wording import percent


class Tolerance(NamedTuple):
    """How far what weights give may lie from what is on record.

    classes: the share of images that may get another class.
    loss:    the difference of log-losses, relatively to one and the recorded one together.
    """

    classes: float
    loss: float


EXACT = Tolerance(classes=0.001, loss=0.001)
"""Of float32: other sums on another machine move an image over the edge now and then."""
ROUNDED = Tolerance(classes=0.05, loss=0.02)
"""Where weights were rounded to bfloat16, or forward passes ran in it: on quick-v1 rounding gave
another class to 1.0 % of the images at most, of regnety_002, and moved the loss by 0.1 %."""


def with_weights(verdicts: Sequence[Verdict]) -> list[tuple[Verdict, VerdictOfRun]]:
    """The good final runs of which nothing is false and whose weights are kept."""
    return [
        (verdict, run)
        for verdict in verdicts
        for run in verdict.runs
        if run.tier
        and run.stage == "final"
        and run.status == "ok"
        and (verdict.store.records / f"{run.stem}{WEIGHTS}").exists()
    ]


def score_again(
    verdict: Verdict, run: VerdictOfRun, dataset: Dataset, *, device: str, timeout: float
) -> bool:
    """Compute the answers of a run's weights in a worker, and put what came of it into the verdict.

    device: as `find_device` takes it, or empty for one of the recorded kind. Whether answers were
    computed is returned; a finding says why they were not.
    """

    def say(level: Level, what: str) -> None:
        verdict.findings.append(Finding(level, "weights", run.stem, what))

    store = verdict.store
    try:
        record = store.read_record(store.records / f"{run.stem}.json")
        kept, path = store.weights(record)
        model = answering.installed(kept)
        on = find_device(device or record.run.device_kind)
        logits = answering.answer(kept, path, model, dataset.test_images, on, timeout=timeout)
    except PluginError as error:
        say("unchecked", f"{error.where} gives no answer: {error.what}")
        return False
    except (FmbenchError, ValueError) as error:
        what = error.what if isinstance(error, FmbenchError) else str(error)
        say("unchecked", f"they could not be scored: {what}")
        return False
    bfloat16 = kept.protocol.devices[record.run.device_kind].precision == "bfloat16"
    tolerance = ROUNDED if kept.rounded or bfloat16 else EXACT
    if wrong := contradiction(
        record, store.predictions(record), logits, dataset.test_labels, tolerance
    ):
        changed = "; ".join(answering.changes(kept, model))
        say("false", f"{wrong}{f', with {changed}' if changed else ''}")
        place = verdict.runs.index(run)
        verdict.runs[place] = msgspec.structs.replace(run, tier=None)
    return True


def contradiction(
    record: Record,
    predictions: NDArray[np.uint8],
    logits: NDArray[np.float32],
    labels: NDArray[np.uint8],
    tolerance: Tolerance,
) -> str:
    """How logits contradict a record, in words; empty when they do not.

    predictions: the recorded classes, uint8 (n,).
    logits:      float32 (n, classes).
    """
    scores = score(logits, labels)
    others = float((scores.predictions != predictions).mean())
    if others > tolerance.classes:
        return f"its weights give another class to {percent(others)} % of the images"
    then = record.result.log_loss or 0.0
    if abs(scores.log_loss - then) > tolerance.loss * (1 + then):
        return f"its log-loss is {then:.4f}, and that of its weights {scores.log_loss:.4f}"
    return ""

"""TensorBoard curves of fmbench runs, through the observer hooks alone."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

import fmbench

if TYPE_CHECKING:
    from fmbench.records import Progress, Record, Run

VARIABLE = "FMBENCH_TENSORBOARD"
FOLDER = "tensorboard"
SECONDS = 5
"""The longest that what is written may wait to be seen."""


class Curves:
    """Writes a folder of events for each run: PROTOCOL/DISTRIBUTION/MODEL/STAGE-RECIPE-SEED.

    The folder of them all is ./tensorboard, or what FMBENCH_TENSORBOARD in the environment says.
    """

    def __init__(self) -> None:
        self._writer: EventFileWriter | None = None
        self._step = 0

    @fmbench.hookimpl
    def fmbench_run_start(self, run: "Run") -> None:
        """Open the run's folder."""
        root = Path(os.environ.get(VARIABLE) or FOLDER)
        name = f"{run.stage}-{run.recipe}-s{run.seed}"
        folder = root / run.protocol / run.plugin.distribution / run.model / name
        self._writer = EventFileWriter(str(folder), flush_secs=SECONDS)
        self._step = 0

    @fmbench.hookimpl
    def fmbench_epoch_end(self, progress: "Progress") -> None:
        """Add the loss so far and the speed, at the number of steps done."""
        self._step = (progress.epoch - 1) * progress.steps + progress.step
        if progress.loss is not None:
            self._add("training loss", progress.loss)
        self._add("images per second", progress.images_per_second)

    @fmbench.hookimpl
    def fmbench_run_end(self, record: "Record") -> None:
        """Add the scores and close the folder."""
        where = "test" if record.run.stage == "final" else "validation"
        for name, score in (
            ("accuracy", record.result.accuracy),
            ("log-loss", record.result.log_loss),
            ("calibration error", record.result.calibration_error),
        ):
            if score is not None:
                self._add(f"{where} {name}", score)
        if self._writer:
            self._writer.close()
            self._writer = None

    def _add(self, name: str, value: float) -> None:
        if self._writer is None:
            return
        summary = Summary(value=[Summary.Value(tag=name, simple_value=value)])
        self._writer.add_event(Event(wall_time=time.time(), step=self._step, summary=summary))


curves = Curves()

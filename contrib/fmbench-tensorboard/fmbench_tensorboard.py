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
        self._open: dict[str, EventFileWriter] = {}
        self._steps: dict[str, int] = {}

    @fmbench.hookimpl
    def fmbench_run_start(self, run: "Run") -> None:
        """Open the run's folder."""
        root = Path(os.environ.get(VARIABLE) or FOLDER)
        name = f"{run.stage}-{run.recipe}-s{run.seed}"
        folder = root / run.protocol / run.plugin.distribution / run.model / name
        self._open[run.key] = EventFileWriter(str(folder), flush_secs=SECONDS)
        self._steps[run.key] = 0

    @fmbench.hookimpl
    def fmbench_epoch_end(self, progress: "Progress") -> None:
        """Add the loss so far and the speed, at the number of steps done."""
        run = progress.run
        self._steps[run.key] = (progress.epoch - 1) * progress.steps + progress.step
        if progress.loss is not None:
            self._add(run, "training loss", progress.loss)
        self._add(run, "images per second", progress.images_per_second)

    @fmbench.hookimpl
    def fmbench_run_again(self, run: "Run") -> None:
        """Close the folder of a run that begins again."""
        self._close(run)

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
                self._add(record.run, f"{where} {name}", score)
        self._close(record.run)

    def _add(self, run: "Run", name: str, value: float) -> None:
        if writer := self._open.get(run.key):
            summary = Summary(value=[Summary.Value(tag=name, simple_value=value)])
            step = self._steps[run.key]
            writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))

    def _close(self, run: "Run") -> None:
        if writer := self._open.pop(run.key, None):
            writer.close()


curves = Curves()

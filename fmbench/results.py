"""Results of fmbench in Python: a board as data frames, arrays, a table and a plot.

    from fmbench import results
    board = results.open("results", protocol="lite-v2")

Nothing here imports torch or a plugin, and nothing writes into the folder.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fmbench.leaderboard import formats, frames
from fmbench.leaderboard.board import Board, read_board
from fmbench.leaderboard.comparison import Compared, compare_entries, find_entry
from fmbench.leaderboard.opening import results_of
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.wording import counted

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

__all__ = ["Compared", "Leaderboard", "open"]


def open(  # noqa: A001 - as `gzip.open` and `wave.open`
    folder: str | os.PathLike[str], protocol: str | os.PathLike[str] | None = None
) -> "Leaderboard":
    """Read the records of one protocol in a results folder, and rank their models.

    folder:   a results folder, such as `results` or `results/published`.
    protocol: its name, or the path of its .toml file; needed where the folder has records of
              several.

    A file that cannot be read costs no other its row; see `Leaderboard.problems`. Ranks are kept
    in the user's cache, as those of `fmbench leaderboard`.

    Raises `UsageError` when the folder has no records of the protocol, or of several and none is
    named; `StoreError` when the folder, or the protocol kept there, cannot be read;
    `ProtocolError` for a malformed protocol file.
    """
    stored = results_of(Path(folder), None if protocol is None else os.fspath(protocol))
    return Leaderboard(stored, read_board(stored))


class Leaderboard:
    """The board of one protocol, as it was when its folder was read; made by `open`.

    A model is named as on the board, and as DISTRIBUTION:MODEL where two distributions offer one of
    that name. Jupyter shows the table that `fmbench leaderboard` prints.

    protocol:  the protocol's id, such as `lite-v2`.
    notes:     what has to be said below the table, a sentence each.
    problems:  files among the records that are none, a sentence each.
    """

    def __init__(self, stored: StoredResults, board: Board) -> None:
        self._stored = stored
        self._board = board
        self.protocol: str = board.protocol
        self.notes: tuple[str, ...] = board.notes
        self.problems: tuple[str, ...] = stored.contents.problems

    def __len__(self) -> int:
        return len(self._board.rows)

    def __repr__(self) -> str:
        models = counted(len(self), "model")
        return f"<Leaderboard of {self.protocol}: {models} in {self._stored.folder}>"

    def _repr_html_(self) -> str:
        """The table with its notes as HTML, which no name or message can add to."""
        return formats.to_html(self._board)

    def frame(self) -> "pd.DataFrame":
        """The whole board: a row a model, best first, the columns of `leaderboard.csv`.

        Accuracies, their intervals and `calibration_error` are shares from 0 to 1, float64, NaN
        where there is none. Counts and ranks that may be absent are Int64, others int64; words are
        `string`, and `tier` is an ordered category. Units are in the names: `train_seconds`,
        `train_images_per_second`, `forward_flops` (of one image), and `log_loss_nats` and
        `peak_memory_bytes`, which the file calls `log_loss` and `peak_memory`.
        """
        return frames.board_frame(self._board)

    def runs(self) -> "pd.DataFrame":
        """A row a run in the folder, failed ones and those that try recipes included.

        `on_board` says whether the board rests on it. `accuracy` is a share from 0 to 1 of
        `images`: of the test set in stage `final`, of the validation split in stage `tune`. Times
        are in seconds, `created` is a UTC time, `workers_beside` is absent where it is not on
        record. Dtypes as in `frame`.
        """
        return frames.runs_frame(self._stored)

    def curves(self) -> "pd.DataFrame":
        """Learning curves in long form: a row an epoch of each run; `epoch` counts from 1.

        `train_loss_nats` is the mean training loss of the epoch, float64, NaN where it was not
        finite; `validation_accuracy` is a share from 0 to 1, NaN where the protocol did not measure
        it. `record` is that of `runs`.
        """
        return frames.curves_frame(self._stored)

    def predictions(self, model: str) -> "NDArray[np.uint8]":
        """The predicted class of each test image: uint8 (seeds, images), a row each good seed.

        Raises `UsageError` for a model that is not on the board or has no good run, and
        `StoreError` when predictions are missing or contradict their records.
        """
        return self._stored.predictions(find_entry(self._stored, model))

    @property
    def labels(self) -> "NDArray[np.uint8]":
        """The true class of each test image: uint8 (images,).

        Raises `StoreError` when they were not kept, or are not the protocol's.
        """
        return self._stored.labels

    def compare(self, first: str, second: str) -> Compared:
        """Two models compared image by image, as `fmbench compare` does.

        `gap`, `low` and `high` are the first model's accuracy less the second's with its 95 %
        interval, shares from -1 to 1; `conclusion` says in words what may be concluded.

        Raises what `predictions` raises, and `UsageError` when both are the same model.
        """
        found = self._stored
        return compare_entries(found, find_entry(found, first), find_entry(found, second))

    @property
    def rank_sets(self) -> dict[str, tuple[int, int] | None]:
        """The best and the worst rank that the runs leave each model; None for one without."""
        names = [row.model for row in self._board.rows]
        return {
            row.model if names.count(row.model) == 1 else f"{row.distribution}:{row.model}": None
            if row.rank_best is None or row.rank_worst is None
            else (row.rank_best, row.rank_worst)
            for row in self._board.rows
        }

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """The dot plot of the board on matplotlib's axes, new ones unless some are given.

        The horizontal axis is test accuracy in per cent. Needs the extra
        `fashion-mnist-bench[plot]`; raises `UsageError` without it.
        """
        from fmbench.leaderboard.figure import draw_on_axes

        return draw_on_axes(self._board, self._stored, axes)

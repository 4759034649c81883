"""The models of a board as the page shows them: each row with its stored results."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from fmbench.leaderboard.board import Board, Row
from fmbench.leaderboard.places import place_names
from fmbench.leaderboard.stored_results import ModelResults, StoredResults
from fmbench.records import Record


@dataclass(frozen=True)
class BoardModel:
    """One row, its stored results and what the page calls it.

    name:   the model, with its distribution where two distributions offer a model of that name.
    anchor: the id of its provenance on the page.
    times:  each device that trained it with the mean training time there, in seconds.
    """

    row: Row
    entry: ModelResults
    name: str
    anchor: str
    times: tuple[tuple[str, float], ...]

    @property
    def margin(self) -> float | None:
        """Half of its interval for new images, a share from 0 to 1."""
        low, high = self.row.accuracy_image_low, self.row.accuracy_image_high
        return None if low is None or high is None else (high - low) / 2

    @property
    def recipe(self) -> str:
        """The recipe of its final runs, empty when it has none."""
        return self.entry.finals[-1].run.recipe if self.entry.finals else ""


def board_models(board: Board, stored: StoredResults) -> tuple[BoardModel, ...]:
    """The models of a board in its order; `KeyError` when a row has no stored results."""
    offered = Counter(row.model for row in board.rows)
    entries = [stored.entry(row.model, row.distribution) for row in board.rows]
    place = place_names([record for one in entries for record in one.ok], with_threads=True)
    return tuple(
        BoardModel(
            row=row,
            entry=entry,
            times=_times(entry, place),
            name=row.model if offered[row.model] == 1 else f"{row.model} ({row.distribution})",
            anchor=f"about-{number}",
        )
        for number, (row, entry) in enumerate(zip(board.rows, entries, strict=True), start=1)
    )


def _times(entry: ModelResults, place: Callable[[Record], str]) -> tuple[tuple[str, float], ...]:
    by_place = defaultdict(list)
    for record in entry.ok:
        by_place[place(record)].append(record.cost.train_seconds)
    return tuple((name, fmean(times)) for name, times in sorted(by_place.items()))


def devices_of(models: Sequence[BoardModel]) -> tuple[str, ...]:
    """The devices that trained any of the models, sorted."""
    return tuple(sorted({device for model in models for device, _ in model.times}))

"""What the page is about: each row of the board with the entry that it stands for."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from fmbench.leaderboard.board import Board, Row
from fmbench.leaderboard.places import place_names
from fmbench.leaderboard.stored_results import ModelResults, StoredResults
from fmbench.records import Cost, Record


@dataclass(frozen=True)
class BoardModel:
    """One row, its entry and what the page calls it.

    name:   the model, with its distribution where two distributions offer a model of that name.
    anchor: the id of its provenance on the page.
    times:  the mean training time in seconds on each device that trained it, by their names.
    inference: there, the mean time in seconds that it takes to predict 1,000 images.
    """

    row: Row
    entry: ModelResults
    name: str
    anchor: str
    times: dict[str, float]
    inference: dict[str, float]

    @property
    def accuracy(self) -> float:
        """Its mean accuracy, a share from 0 to 1; 0 where it has none."""
        return self.row.accuracy or 0.0

    @property
    def recipe(self) -> str:
        """The recipe of its final runs, empty when it has none."""
        return self.entry.finals[-1].run.recipe if self.entry.finals else ""


def board_models(board: Board, stored: StoredResults) -> tuple[BoardModel, ...]:
    """The models of a board in its order; `KeyError` when a row has none stored."""
    offered = Counter(row.model for row in board.rows)
    entries = [stored.entry(row.model, row.distribution) for row in board.rows]
    place = place_names([record for one in entries for record in one.ok], with_threads=True)
    return tuple(
        BoardModel(
            row=row,
            entry=entry,
            times=_means(entry, place, lambda cost: cost.train_seconds),
            inference=_means(entry, place, _inference),
            name=row.model if offered[row.model] == 1 else f"{row.model} ({row.distribution})",
            anchor=f"about-{number}",
        )
        for number, (row, entry) in enumerate(zip(board.rows, entries, strict=True), start=1)
    )


def _means(
    entry: ModelResults, place: Callable[[Record], str], seconds: Callable[[Cost], float]
) -> dict[str, float]:
    by_place = defaultdict(list)
    for record in entry.ok:
        by_place[place(record)].append(seconds(record.cost))
    return {name: fmean(times) for name, times in sorted(by_place.items())}


def _inference(cost: Cost) -> float:
    speed = cost.inference_images_per_second
    return 1000 / speed if speed else 0.0


def devices_of(models: Sequence[BoardModel]) -> tuple[str, ...]:
    """The devices that trained any of the models, sorted."""
    return tuple(sorted({device for model in models for device in model.times}))

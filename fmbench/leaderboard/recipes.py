"""What trying the recipes on a model's behalf has shown, a line each recipe."""

from collections import defaultdict
from dataclasses import dataclass
from statistics import mean

from fmbench.leaderboard.stored_results import ModelResults
from fmbench.records import Record


@dataclass(frozen=True)
class Tried:
    """One recipe tried on one model: its tune runs, one for each seed of the protocol's."""

    recipe: str
    records: tuple[Record, ...]

    @property
    def accuracy(self) -> float | None:
        """Mean validation accuracy, 0 to 1; None when a run has none."""
        known = [record.result.accuracy for record in self.records]
        good = [accuracy for accuracy in known if accuracy is not None]
        return mean(good) if len(good) == len(known) else None

    @property
    def status(self) -> str:
        """`ok`, or the first other status."""
        return next((one.result.status for one in self.records if not one.ok), "ok")


def recipes_tried(entry: ModelResults) -> tuple[Tried, ...]:
    """The recipes tried for an entry, in the protocol's order."""
    by_recipe: dict[str, list[Record]] = defaultdict(list)
    for record in entry.tunes:
        by_recipe[record.run.recipe].append(record)
    return tuple(Tried(recipe, tuple(records)) for recipe, records in by_recipe.items())

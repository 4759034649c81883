"""Recipes tried: each model's validation accuracy under each recipe, the chosen one marked."""

from collections.abc import Sequence
from dataclasses import dataclass

from fmbench.leaderboard.page import scales
from fmbench.leaderboard.page.board_models import BoardModel
from fmbench.leaderboard.page.scales import Tick
from fmbench.leaderboard.page.text import count
from fmbench.leaderboard.recipes import Tried, recipes_tried
from fmbench.protocol import Protocol
from fmbench.wording import percent


@dataclass(frozen=True)
class Trial:
    """One recipe tried on one model: its place on the axis in per cent, None without a score.

    With several seeds its accuracy is their mean, and the status the first that is not ok.
    """

    place: float | None
    accuracy: str
    status: str
    chosen: bool


@dataclass(frozen=True)
class TriedOn:
    """A model and its trials, one for each recipe of the protocol; None where it was not tried."""

    name: str
    trials: tuple[Trial | None, ...]


@dataclass(frozen=True)
class Trials:
    """All models with tune runs, by recipes in the protocol's order; the ends of the axis.

    images: how many validation images each run was scored on; seeds: runs of each recipe; epochs:
            how long each took.
    """

    recipes: tuple[str, ...]
    rows: tuple[TriedOn, ...]
    low: str
    high: str
    images: int
    seeds: int
    epochs: str
    chosen: bool


def trials(protocol: Protocol, models: Sequence[BoardModel]) -> Trials:
    """The tune runs of the models; without rows when there are none."""
    tried = [model for model in models if model.entry.tunes]
    results = [record.result for model in tried for record in model.entry.tunes]
    known = [result.accuracy for result in results if result.accuracy is not None]
    scale, ticks = scales.shares(known) if known else (scales.Scale(0, 1), (Tick(0, "0"),))
    recipes = tuple(recipe.name for recipe in protocol.recipes)
    return Trials(
        recipes=recipes,
        rows=tuple(_tried(model, recipes, scale) for model in tried),
        low=ticks[0].label,
        high=ticks[-1].label,
        images=max((result.images for result in results), default=0),
        seeds=len(protocol.tuning.seeds) if protocol.tuning else 1,
        epochs=count(protocol.stage("tune").epochs, "epoch"),
        chosen=any(model.recipe for model in tried),
    )


def _tried(model: BoardModel, recipes: Sequence[str], scale: scales.Scale) -> TriedOn:
    by_recipe = {tried.recipe: tried for tried in recipes_tried(model.entry)}
    return TriedOn(
        model.name,
        tuple(
            _trial(by_recipe[recipe], model.recipe == recipe, scale)
            if recipe in by_recipe
            else None
            for recipe in recipes
        ),
    )


def _trial(tried: Tried, chosen: bool, scale: scales.Scale) -> Trial:
    accuracy = tried.accuracy
    return Trial(
        place=None if accuracy is None else round(100 * scale.place(accuracy), 2),
        accuracy="" if accuracy is None else percent(accuracy),
        status=tried.status,
        chosen=chosen,
    )

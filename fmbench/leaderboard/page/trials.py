"""Recipes tried: each model's validation accuracy under each recipe, the chosen one marked."""

from collections.abc import Sequence
from dataclasses import dataclass

from fmbench.leaderboard.page.board_models import BoardModel
from fmbench.leaderboard.page.text import count
from fmbench.leaderboard.recipes import Tried, recipes_tried
from fmbench.protocol import Protocol


@dataclass(frozen=True)
class Trials:
    """All models with tune runs, by recipes in the protocol's order.

    rows:   each model with what trying recipes has shown, by their names.
    images: how many validation images each run was scored on; seeds: runs of each recipe; epochs:
            how long each took.
    """

    recipes: tuple[str, ...]
    rows: tuple[tuple[BoardModel, dict[str, Tried]], ...]
    images: int
    seeds: int
    epochs: str
    chosen: bool


def trials(protocol: Protocol, models: Sequence[BoardModel]) -> Trials:
    """The tune runs of the models; without rows when there are none."""
    tried = [model for model in models if model.entry.tunes]
    results = [record.result for model in tried for record in model.entry.tunes]
    return Trials(
        recipes=tuple(recipe.name for recipe in protocol.recipes),
        rows=tuple(
            (model, {one.recipe: one for one in recipes_tried(model.entry)}) for model in tried
        ),
        images=max((result.images for result in results), default=0),
        seeds=len(protocol.tuning.seeds) if protocol.tuning else 1,
        epochs=count(protocol.stage("tune").epochs, "epoch"),
        chosen=any(model.recipe for model in tried),
    )

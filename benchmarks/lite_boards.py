"""What changed between the boards of lite-v1 and lite-v2, and what it is due to.

    python benchmarks/lite_boards.py [--write]

Trains nothing: it reads the records of both protocols, and those of two protocols that lie between
them, made by

    fmbench run MODELS --protocol benchmarks/lite/lite-float32.toml --results benchmarks/lite
    fmbench run MODELS --protocol benchmarks/lite/lite-rates.toml --results benchmarks/lite

Differences are paired by test image, with 95 % intervals for new images; see
`fmbench.leaderboard.statistics.compare`.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import script
from fmbench.leaderboard.statistics import Sample, compare
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.store import Store
from fmbench.wording import percent, rank_set

PAGE = script.ROOT / "docs" / "lite.md"
BETWEEN = script.ROOT / "benchmarks" / "lite"
STEPS = (
    script.PUBLISHED / "lite-v1",
    BETWEEN / "lite-float32-v1",
    BETWEEN / "lite-rates-v1",
    script.PUBLISHED / "lite-v2",
)
FEWER_SEEDS = 3


class Row:
    """A model on a board: the recipe it was given, and what its runs had right, bool (S, n)."""

    def __init__(self, recipe: str, hits: NDArray[np.bool_]) -> None:
        self.recipe = recipe
        self.hits = hits
        self.sample = Sample.of(hits)

    @property
    def accuracy(self) -> float:
        """The mean over its runs, 0 to 1."""
        return float(self.sample.accuracies.mean())

    def less(self, other: "Row") -> str:
        """By how many points its accuracy lies above another's, ± half the 95 % interval."""
        found = compare([self.sample, other.sample])
        return f"{100 * found.gaps[0, 1]:+.2f} ± {100 * found.half_widths[0, 1]:.2f}"


Board = dict[str, Row]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    options = script.parser(__doc__).parse_args(arguments)
    page = PAGE if options.write else None
    found = [read(folder) for folder in STEPS]
    script.finish("boards", boards(found[0], found[-1]), page=page)
    script.finish("steps", steps(found), page=page)
    script.finish("seeds", seeds(found[-1]), page=page)
    return 0


def read(folder: Path) -> Board:
    """The rows of a board that have all their seeds, by model and in the board's order."""
    stored = StoredResults(Store(folder.parent, folder.name))
    return {
        entry.model: Row(entry.ok[0].run.recipe, stored.predictions(entry) == stored.labels)
        for entry in stored.entries
        if len(entry.ok) == len(stored.protocol.seeds)
    }


def best_first(board: Board) -> list[str]:
    """The models of a board, the most accurate first."""
    return sorted(board, key=lambda model: -board[model].accuracy)


def boards(first: Board, last: Board) -> str:
    """Both accuracies of each model that both boards have, its recipes, and the difference."""
    headings = ("model", "lite-v1, %", "recipe", "lite-v2, %", "recipe", "difference, points")
    lines = []
    for model in best_first(last):
        if before := first.get(model):
            after = last[model]
            both = [cell for row in (before, after) for cell in (percent(row.accuracy), row.recipe)]
            lines.append([model, *both, after.less(before)])
    return script.table(headings, lines)


def steps(found: Sequence[Board]) -> str:
    """What each step changed, with the recipe after it, for models run under all protocols.

    The last step's recipe is left out: `boards` has those of the first and the last board.
    """
    headings = (
        "model", "lite-v1, %",
        "float32", "its recipe", "recipes", "its recipe", "epochs",
        "lite-v2, %",
    )  # fmt: skip
    lines = []
    for model in best_first(found[-1]):
        if all(model in board for board in found):
            rows = [board[model] for board in found]
            *changes, _ = [
                cell
                for before, after in pairwise(rows)
                for cell in (after.less(before), after.recipe)
            ]
            lines.append([model, percent(rows[0].accuracy), *changes, percent(rows[-1].accuracy)])
    return script.table(headings, lines)


def seeds(board: Board) -> str:
    """Accuracies and ranks by the first seeds alone, beside those of all seeds."""
    fewer = Board((model, Row(row.recipe, row.hits[:FEWER_SEEDS])) for model, row in board.items())
    headings, columns = ["model"], [list(board)]
    for rows in (fewer, board):
        (count,) = {len(row.hits) for row in rows.values()}
        headings += [f"%, {count} seeds", f"rank, {count} seeds"]
        ranks = compare([row.sample for row in rows.values()]).rank_sets()
        columns += [
            [percent(row.accuracy) for row in rows.values()],
            [rank_set(*one) for one in ranks],
        ]
    lines = dict(zip(board, zip(*columns, strict=True), strict=True))
    return script.table(headings, [lines[model] for model in best_first(board)])


if __name__ == "__main__":
    script.run(main)

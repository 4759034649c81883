"""How often the intervals of simulated boards hold, and which gaps boards see.

    python benchmarks/intervals.py [--tables 1000] [--write]

prints the tables of docs/statistics.md (`--write` puts them there). Models, images and seeds are
made up, so that the truth is known: see tests/simulated.py.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import simulated
from fmbench.leaderboard.statistics import NEW_IMAGES, THESE_IMAGES, Sample, Target, compare

PAGE = ROOT / "docs" / "statistics.md"
BEGIN, END = "<!-- simulated: generated -->\n", "<!-- end of simulated -->\n"
IMAGES = 10_000
EFFECTS = (0.0, 0.0007, 0.0015)
LARGE = 0.005


def coverage(
    models: int, seeds: int, effect: float | Sequence[float], tables: int
) -> tuple[float, float]:
    """The share of boards whose intervals all hold, for new images and for the test set."""
    draws = np.random.RandomState(1000 * models + seeds)
    accuracies = np.linspace(0.93, 0.90, models)
    held = np.zeros(2)
    for _ in range(tables):
        board = list(simulated.models(list(accuracies), seeds, IMAGES, effect, draws))
        found = [Sample.of(one.hits) for one in board]
        new = np.array([one.accuracy for one in board])
        here = np.array([one.accuracy_here for one in board])
        held[0] += _holds(found, NEW_IMAGES, new)
        held[1] += _holds(found, THESE_IMAGES, here)
    share_new, share_here = held / tables
    return float(share_new), float(share_here)


def _holds(found: list[Sample], target: Target, truth: np.ndarray) -> bool:
    comparison = compare(found, target)
    errors = comparison.gaps - (truth[:, None] - truth[None, :])
    return bool((np.abs(errors) <= comparison.half_widths + 1e-12).all())


def power(models: int, gap: float, tables: int, target: Target) -> float:
    """The share of boards of five seeds that see a gap between two of their models."""
    draws = np.random.RandomState(models)
    accuracies = [0.92, 0.92 - gap, *np.linspace(0.91, 0.88, models - 2)]
    seen = 0
    for _ in range(tables):
        hits = simulated.hits(list(accuracies), 5, IMAGES, 0.0005, draws)
        seen += bool(compare([Sample.of(one) for one in hits], target).better[0, 1])
    return seen / tables


def lines(tables: int) -> Iterator[str]:
    """The Markdown tables, line by line."""
    yield f"Share of {tables:,} simulated boards whose intervals hold for all pairs together:"
    yield ""
    yield "| models | seeds | seed effect, points | for new images | for this test set |"
    yield "|--:|--:|--:|--:|--:|"
    for models in (2, 6, 12):
        for seeds in (3, 5, 10):
            for effect in EFFECTS:
                new, these = coverage(models, seeds, effect, tables)
                yield f"| {models} | {seeds} | {100 * effect:.2f} | {new:.3f} | {these:.3f} |"
    yield ""
    yield f"The same where some models' seed effect is {100 * LARGE:.2f} points, the others' 0.07:"
    yield ""
    yield "| models | seeds | of them with the larger effect | for new images | for this test set |"
    yield "|--:|--:|--:|--:|--:|"
    for models in (2, 12):
        for seeds in (3, 5, 10):
            for many in (1, models):
                effects = [0.0007] * (models - many) + [LARGE] * many
                new, these = coverage(models, seeds, effects, tables)
                yield f"| {models} | {seeds} | {many} | {new:.3f} | {these:.3f} |"
    yield ""
    yield (
        f"Share of {tables:,} simulated boards (five seeds, effect 0.05 points) that see a gap "
        "between two of their models:"
    )
    yield ""
    yield "| models | gap, points | for new images | for this test set |"
    yield "|--:|--:|--:|--:|"
    for models in (2, 12):
        for gap in (0.002, 0.003, 0.005, 0.010):
            new, these = (power(models, gap, tables, t) for t in (NEW_IMAGES, THESE_IMAGES))
            yield f"| {models} | {100 * gap:.1f} | {new:.2f} | {these:.2f} |"


def main() -> None:
    """Print the tables, and put them into the page when asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--tables", type=int, default=1_000)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    text = ""
    for line in lines(options.tables):
        print(line, flush=True)
        text += f"{line}\n"
    if options.write:
        before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", "utf-8")


if __name__ == "__main__":
    main()

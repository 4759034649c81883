"""How often the intervals of a board hold, and which gaps a board sees.

    python benchmarks/interval_coverage.py [--boards 1000] [--write]

makes the tables of docs/statistics.md. Models, images and seeds are simulated, so that the truth
is known: see probit_models.py.
"""

from collections.abc import Iterator, Sequence

import numpy as np

import probit_models
import script
from fmbench.leaderboard.statistics import NEW_IMAGES, THESE_IMAGES, Sample, Target, compare

PAGE = script.ROOT / "docs" / "statistics.md"
TARGETS = ("for new images", "for this test set")
IMAGES = 10_000
EFFECTS = (0.0, 0.0007, 0.0015)
LARGE = 0.005


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, and put them into the page when asked."""
    parser = script.parser(__doc__)
    parser.add_argument("--boards", type=int, default=1_000, help="of each kind; 1,000")
    options = parser.parse_args(arguments)
    found = paragraphs(options.boards)
    script.finish("simulated", *found, page=PAGE if options.write else None)
    return 0


def paragraphs(boards: int) -> Iterator[str]:
    """The three tables, each after what it says."""
    yield f"Share of {boards:,} simulated boards whose intervals hold for all pairs together:"
    yield script.table(
        ("models", "seeds", "seed effect, points", *TARGETS),
        [
            [str(models), str(seeds), f"{100 * effect:.2f}"]
            + [f"{share:.3f}" for share in coverage(models, seeds, effect, boards)]
            for models in (2, 6, 12)
            for seeds in (3, 5, 10)
            for effect in EFFECTS
        ],
        words=0,
    )
    yield f"The same where some models' seed effect is {100 * LARGE:.2f} points, the others' 0.07:"
    yield script.table(
        ("models", "seeds", "of them with the larger effect", *TARGETS),
        [
            [str(models), str(seeds), str(many)]
            + [f"{share:.3f}" for share in coverage(models, seeds, effects, boards)]
            for models in (2, 12)
            for seeds in (3, 5, 10)
            for many in (1, models)
            for effects in [[0.0007] * (models - many) + [LARGE] * many]
        ],
        words=0,
    )
    yield (
        f"Share of {boards:,} simulated boards (five seeds, effect 0.05 points) that see a gap "
        "between two of their models:"
    )
    yield script.table(
        ("models", "gap, points", *TARGETS),
        [
            [str(models), f"{100 * gap:.1f}"]
            + [f"{power(models, gap, boards, one):.2f}" for one in (NEW_IMAGES, THESE_IMAGES)]
            for models in (2, 12)
            for gap in (0.002, 0.003, 0.005, 0.010)
        ],
        words=0,
    )


def coverage(
    models: int, seeds: int, effect: float | Sequence[float], boards: int
) -> tuple[float, float]:
    """The share of boards whose intervals all hold, for new images and for the test set."""
    script.say(f"{models} models, {seeds} seeds")
    draws = np.random.RandomState(1000 * models + seeds)
    accuracies = np.linspace(0.93, 0.90, models)
    held = np.zeros(2)
    for _ in range(boards):
        board = list(probit_models.models(list(accuracies), seeds, IMAGES, effect, draws))
        found = [Sample.of(one.hits) for one in board]
        held[0] += holds(found, NEW_IMAGES, np.array([one.accuracy for one in board]))
        held[1] += holds(found, THESE_IMAGES, np.array([one.accuracy_here for one in board]))
    share_new, share_here = held / boards
    return float(share_new), float(share_here)


def holds(found: list[Sample], target: Target, truth: np.ndarray) -> bool:
    """Whether every pair's interval contains the true gap."""
    comparison = compare(found, target)
    errors = comparison.gaps - (truth[:, None] - truth[None, :])
    return bool((np.abs(errors) <= comparison.half_widths + 1e-12).all())


def power(models: int, gap: float, boards: int, target: Target) -> float:
    """The share of boards of five seeds that see a gap between two of their models."""
    draws = np.random.RandomState(models)
    accuracies = [0.92, 0.92 - gap, *np.linspace(0.91, 0.88, models - 2)]
    seen = 0
    for _ in range(boards):
        hits = probit_models.hits(list(accuracies), 5, IMAGES, 0.0005, draws)
        seen += bool(compare([Sample.of(one) for one in hits], target).better[0, 1])
    return seen / boards


if __name__ == "__main__":
    script.run(main)

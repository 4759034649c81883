"""The dot plot of a board as matplotlib draws it, with accuracies in per cent on its axis."""

from typing import TYPE_CHECKING

from fmbench.errors import UsageError
from fmbench.leaderboard.board import Board, Row
from fmbench.leaderboard.page.board_models import board_models
from fmbench.leaderboard.page.dots import Dot, dot_plot
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.wording import inert

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREY = "#00699e", "#b84a00", "#5a5f69"
WIDTH, HEIGHT_OF_ROW, MARGINS = 8.0, 0.42, 1.1  # inches
LANE = 0.22  # how far a model's seeds are below its mean, as a part of its row


def draw_on_axes(board: Board, stored: StoredResults, axes: "Axes | None" = None) -> "Axes":
    """Draw the dot plot on these axes, or on those of a new figure; see `dot_plot`.

    Raises `UsageError` when matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise UsageError(
            "matplotlib is not installed",
            where="plot",
            hint="pip install matplotlib, or fmbench with its extra 'plot'; leaderboard.svg, which "
            "`fmbench leaderboard --write` writes, is the same plot",
        ) from error
    models = board_models(board, stored)
    plot = dot_plot(models)
    if axes is None:
        height = MARGINS + HEIGHT_OF_ROW * max(1, len(plot.dots))
        _, axes = pyplot.subplots(figsize=(WIDTH, height), layout="constrained")
    for place, dot in enumerate(plot.dots):
        _draw(axes, dot, place, 100 * plot.ends[0], lanes=bool(plot.seeds))
    names = [inert(f"{dot.rank}   {dot.model.name}".lstrip()) for dot in plot.dots]
    axes.set_yticks(range(len(names)))
    axes.set_yticklabels(names, parse_math=False)
    axes.set_ylim(max(1, len(names)) - 0.5, -0.5)  # the first row is on top
    axes.set_xlim(*(100 * end for end in plot.ends))
    axes.set_xlabel("test accuracy, %; bars: 95 % interval for new images")
    ranks = "; ranks before names" if plot.ranks else ""
    provisional = ", provisional" if plot.provisional else ""
    title = f"{board.protocol}, {board.status}{ranks}{provisional}"
    axes.set_title(inert(title), parse_math=False)
    axes.grid(axis="x", alpha=0.4)
    axes.set_axisbelow(True)
    return axes


def _draw(axes: "Axes", dot: Dot, place: int, left: float, *, lanes: bool) -> None:
    row, lane = dot.model.row, LANE if lanes else 0.0
    if dot.off:
        axes.plot([left], [place], marker="<", color=GREY, clip_on=False)
        return
    _line(axes, row, "image", place - lane, width=7, colour=BLUE)
    axes.plot(
        [100 * dot.model.accuracy], [place - lane], marker="o", color=BLUE, markeredgecolor="w"
    )
    if lanes:
        _line(axes, row, "seed", place + lane, width=1.2, colour=ORANGE)
        each = [100 * accuracy for accuracy in dot.model.entry.accuracies]
        axes.plot(each, [place + lane] * len(each), ".", color=ORANGE)


def _line(axes: "Axes", row: Row, of: str, place: float, *, width: float, colour: str) -> None:
    low, high = getattr(row, f"accuracy_{of}_low"), getattr(row, f"accuracy_{of}_high")
    if low is not None and high is not None:
        axes.hlines(
            place, 100 * low, 100 * high, colors=colour, linewidth=width,
            alpha=0.6 if of == "image" else 1.0,
        )  # fmt: skip

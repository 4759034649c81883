"""The board as one picture: an SVG file of its dot plot, for a README or a slide."""

from fmbench.leaderboard.board import Board
from fmbench.leaderboard.page.board_models import board_models
from fmbench.leaderboard.page.document import templates
from fmbench.leaderboard.page.dots import DotPlot, dot_plot
from fmbench.leaderboard.page.text import count, shortened
from fmbench.leaderboard.stored_results import StoredResults

LEFT, RIGHT = 300, 740
LONGEST_NAME = 30  # characters that fit left of the axis
TOP, ROW, FOOT, LINE = 62, 36, 22, 18


def draw(board: Board, stored: StoredResults) -> str:
    """The picture of a board, as SVG. The same input gives the same bytes."""
    plot = dot_plot(board_models(board, stored))
    bottom = TOP + ROW * len(plot.dots)
    about = _about(plot, board)
    seeds = count(len(stored.protocol.seeds), "seed")
    return (
        templates()
        .get_template("picture.svg.j2")
        .render(
            plot=plot,
            title=f"{board.protocol}, {board.status}: Fashion-MNIST test accuracy, {seeds}",
            top=TOP,
            row=ROW,
            bottom=bottom,
            height=bottom + FOOT + LINE * len(about),
            about=about,
            x=_x,
            name=lambda name: shortened(name, LONGEST_NAME),
        )
    )


def _about(plot: DotPlot, board: Board) -> list[str]:
    """What the marks mean and what is not there, a line each."""
    sizes = sorted({row.test_images for row in board.rows if row.test_images})
    images = " or ".join(f"{size:,}" for size in sizes)
    said = [f"Dots are means on {images} test images, broad bars their 95 % interval for new ones."]
    if plot.seeds:
        said.append(f"Small dots are {plot.seeds}.")
    if plot.any_off:
        said.append("An arrow stands for a model that lies further left than the axis goes.")
    if plot.missing:
        said.append(f"Without a good run: {plot.missing} of {len(board.rows)}.")
    return said if plot.dots else []


def _x(percent: float) -> float:
    """Where a place on the axis, in per cent of it, lies in the picture."""
    return round(LEFT + (RIGHT - LEFT) * percent / 100, 2)

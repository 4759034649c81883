"""Learning curves: the mean training loss of each epoch, a small plot for each model."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

from fmbench.leaderboard.page.board_models import BoardModel
from fmbench.leaderboard.page.scales import Scale
from fmbench.leaderboard.page.text import count
from fmbench.records import Record

LEFT, RIGHT, TOP, BOTTOM = 6, 234, 8, 102


@dataclass(frozen=True)
class CurvePlot:
    """A model's curves, all plots of a page on one scale.

    paths: the line of each run, and whether the run has a score.
    last:  the loss of the last epoch, the mean of its seeds.
    """

    name: str
    paths: tuple[tuple[str, bool], ...]
    last: str
    said: str


@dataclass(frozen=True)
class CurvePlots:
    """The curves of all models that have any.

    epochs: of the longest curve; with one epoch there are no plots.
    low, high: the losses at the lower and upper edge, as they are read.
    clipped:   whether a run without a score had higher ones.
    """

    epochs: int
    low: str
    high: str
    plots: tuple[CurvePlot, ...]
    clipped: bool = False


def curve_plots(models: Sequence[BoardModel]) -> CurvePlots:
    """The curves of the models' final runs, failed ones included."""
    finals = [record for model in models for record in model.entry.finals]
    known = _losses(finals)
    lengths = [len(one.result.curve) for one in finals]
    epochs = max(lengths, default=0)
    if epochs < 2 or not known:
        return CurvePlots(epochs, "", "", ())
    # A diverging run must not press all others flat.
    top = max(_losses([one for one in finals if one.ok]) or known)
    scale = Scale(min(known) / 1.1, top * 1.1, log=True)
    plots = [_plot(model, scale, epochs) for model in models]
    return CurvePlots(
        epochs,
        f"{scale.low:.2g}",
        f"{scale.high:.2g}",
        tuple(plot for plot in plots if plot.paths),
        clipped=max(known) > scale.high,
    )


def _losses(records: Sequence[Record]) -> list[float]:
    """All losses of these runs that a log scale has a place for."""
    found = (loss for record in records for loss in record.result.curve)
    return [loss for loss in found if loss is not None and loss > 0]


def _plot(model: BoardModel, scale: Scale, epochs: int) -> CurvePlot:
    finals, ok = model.entry.finals, model.entry.ok
    drawn = [(_path(record.result.curve, scale, epochs), record.ok) for record in finals]
    first, last = _mean_loss(ok, 0), _mean_loss(ok, -1)
    said = f"{count(len(finals), 'run')}, none with a score"
    if first and last:
        of_seeds = f"mean of {count(len(ok), 'seed')}"
        said = f"training loss {first} after the first epoch, {last} after the last; {of_seeds}"
    return CurvePlot(
        name=model.name,
        paths=tuple((path, good) for path, good in drawn if path),
        last=last,
        said=said,
    )


def _path(curve: Sequence[float | None], scale: Scale, epochs: int) -> str:
    """A line through the finite losses, broken where one is not; a point where one stands alone."""
    steps, pen_down = [], False
    for epoch, loss in enumerate(curve):
        if loss is None:
            pen_down = False
            continue
        x = LEFT + (RIGHT - LEFT) * epoch / (epochs - 1)
        y = BOTTOM - (BOTTOM - TOP) * scale.place(loss)
        steps.append(f"L{x:.1f} {y:.1f}" if pen_down else f"M{x:.1f} {y:.1f}h.01")
        pen_down = True
    return "".join(steps)


def _mean_loss(ok: Sequence[Record], epoch: int) -> str:
    losses = [record.result.curve[epoch] for record in ok if record.result.curve]
    known = [loss for loss in losses if loss is not None]
    if not known:
        return ""
    mean = sum(known) / len(known)
    digits = max(2, min(4, 1 - int(log10(mean)))) if mean > 0 else 2
    return f"{mean:.{digits}f}"

"""Learning curves: training loss and, where it was measured, validation accuracy by epoch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from fmbench.leaderboard.page import scales
from fmbench.leaderboard.page.board_models import BoardModel
from fmbench.leaderboard.page.scales import Scale, Tick
from fmbench.leaderboard.page.scatter import Axis, across, up
from fmbench.wording import percent

Curve = tuple[float | None, ...]


@dataclass(frozen=True)
class CurveLine:
    """A model's curves, one for each run, as paths; `last` is the mean of where good ones end.

    lost: the path of its runs without a score.
    """

    name: str
    anchor: str
    path: str
    lost: str
    last: str


@dataclass(frozen=True)
class CurvePlot:
    """The curves of all models on one scale. Ticks have their place in units of the drawing.

    clipped: whether a run without a score goes beyond the upper edge.
    """

    title: str
    key: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[CurveLine, ...]
    clipped: bool = False


def curve_plots(models: Sequence[BoardModel]) -> tuple[CurvePlot, ...]:
    """Training loss of final runs, validation accuracy of tune runs; without those of one epoch."""
    finals = [
        (model, [(record.result.curve, record.ok) for record in model.entry.finals])
        for model in models
    ]
    tunes = [
        (
            model,
            [
                (tuple(right / one.result.images for right in one.result.validation_curve), one.ok)
                for one in model.entry.tunes
                if one.run.recipe == model.recipe
            ],
        )
        for model in models
    ]
    found = (
        _plot("Training loss", "loss", finals, scales.counts, lambda x: f"{x:#.3g}".rstrip(".")),
        _plot("Validation accuracy, %", "validation", tunes, scales.shares, percent),
    )
    return tuple(plot for plot in found if plot)


def _plot(
    title: str,
    key: str,
    found: Sequence[tuple[BoardModel, Sequence[tuple[Curve, bool]]]],
    axis: Axis,
    worded: Callable[[float], str],
) -> CurvePlot | None:
    """The plot of models with their runs' curves and whether each has a score."""
    runs = [run for _, of_model in found for run in of_model]
    known, good = ([one for c, ok in runs if ok or every for one in c if one] for every in (1, 0))
    epochs = max((len(curve) for curve, _ in runs), default=0)
    if epochs < 2 or not known:
        return None
    scale, ticks = axis(good or known)  # a diverging run must not press all others flat
    step = int(next(one for one in scales.COUNTS if one >= 1 and epochs <= 8 * one))
    lines = []
    for model, of_model in found:
        ends = [curve[-1] for curve, ok in of_model if ok and curve]
        path, lost = (
            "".join(_path(curve, scale, epochs) for curve, ok in of_model if ok is good_ones)
            for good_ones in (True, False)
        )
        last = [end for end in ends if end is not None]
        end = worded(fmean(last)) if last else ""
        if path or lost:
            lines.append(CurveLine(model.name, model.anchor, path, lost, end))
    return CurvePlot(
        title=title,
        key=key,
        x_ticks=tuple(
            Tick(across((epoch - 1) / (epochs - 1)), str(epoch))
            for epoch in range(step, epochs + 1, step)
        ),
        y_ticks=tuple(Tick(up(tick.place), tick.label) for tick in ticks),
        lines=tuple(lines),
        clipped=max(known) > scale.high,
    )


def _path(curve: Curve, scale: Scale, epochs: int) -> str:
    """A line through the finite values, broken where one is not; a point where one is alone."""
    steps, pen_down = [], False
    for epoch, value in enumerate(curve):
        if value is None:
            pen_down = False
            continue
        place = f"{across(epoch / (epochs - 1))} {up(scale.place(value))}"
        steps.append(f"L{place}" if pen_down else f"M{place}h.01")
        pen_down = True
    return "".join(steps)

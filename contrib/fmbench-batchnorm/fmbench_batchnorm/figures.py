"""A figure for each claim, as SVG."""

import io
import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fmbench_batchnorm.claims import activations, deviations, dropout, rates, scales
from fmbench_batchnorm.evidence import TRAINS, Runs, Study
from fmbench_batchnorm.findings import alone
from fmbench_batchnorm.intervals import Interval, mean

PLAIN, NORMALISED = "#b45309", "#1d4ed8"
STYLES = ((PLAIN, "s", "without"), (NORMALISED, "o", "with batch norm"))
THRESHOLD: dict[str, Any] = {"color": "0.55", "linestyle": "--", "linewidth": 0.8}
CLOSE = (75, 92)
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fmbench-batchnorm",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}


def draw(study: Study) -> dict[int, str]:
    """The SVG elements of the figures, by the numbers of their claims."""
    drawings: dict[int, Callable[[Study], Figure]] = {
        1: _rates,
        2: _bias,
        3: _deviations,
        4: _scales,
        5: _activations,
        6: _dropout,
    }
    with mpl.rc_context(STYLE):
        return {number: _svg(drawing(study)) for number, drawing in drawings.items()}


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].strip()


def _panels(count: int) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(3.6 * count + 0.4, 2.9), layout="constrained")
    panels = figure.subplots(1, count, squeeze=False)[0]
    return figure, list(panels)


def _against(axes: Axes, places: Sequence[float], group: Sequence[Runs], style: int) -> None:
    """The accuracies of runs against what was changed."""
    _plot(axes, places, group, [runs.accuracies for runs in group], style)


def _plot(
    axes: Axes,
    places: Sequence[float],
    group: Sequence[Runs],
    shares: Sequence[Sequence[float]],
    style: int,
) -> None:
    """Mean shares as a line, with intervals where there are any, and each seed as a faint dot."""
    color, marker, label = STYLES[style]
    found = [
        Interval(fmean(each), math.nan, math.nan) if alone(runs) else mean(each)
        for runs, each in zip(group, shares, strict=True)
    ]
    axes.errorbar(
        places,
        [100 * one.value for one in found],
        yerr=[
            [100 * (one.value - one.low) for one in found],
            [100 * (one.high - one.value) for one in found],
        ],
        color=color, marker=marker, markersize=4, capsize=2, linewidth=1.2, label=label,
    )  # fmt: skip
    for place, each in zip(places, shares, strict=True):
        percents = [100 * share for share in each]
        axes.scatter([place] * len(each), percents, color=color, s=8, alpha=0.35, linewidths=0)


def _accuracy(axes: Axes, across: str, *, legend: bool = True) -> None:
    axes.set_ylim(0, 100)
    axes.set_ylabel("validation accuracy, %")
    axes.set_xlabel(across)
    axes.axhline(100 * TRAINS, **THRESHOLD)
    if legend:
        axes.legend()


def _categories(axes: Axes, names: Sequence[str], across: str, *, legend: bool) -> None:
    axes.set_xlim(-0.4, len(names) - 0.6)
    axes.set_xticks(range(len(names)), names)
    _accuracy(axes, across, legend=legend)


def _curves(axes: Axes, runs: Runs, style: int) -> None:
    color, marker, label = STYLES[style]
    curves = runs.curves
    epochs = range(1, len(curves[0]) + 1)
    for curve in curves:
        axes.plot(epochs, [100 * share for share in curve], color=color, alpha=0.3, linewidth=0.8)
    means = [100 * fmean(at) for at in zip(*curves, strict=True)]
    axes.plot(
        epochs, means, color=color, marker=marker, markersize=4, label=f"{label}, at {runs.rate:g}"
    )


def _rates(study: Study) -> Figure:
    figure, (left, right) = _panels(2)
    for style, variant in enumerate((study.plain, study.plain.normalised)):
        group = study.rates.of(variant)
        _against(left, [runs.rate for runs in group], group, style)
        _curves(right, rates.fastest(group, rates.JUDGED), style)
    left.set_xscale("log")
    _accuracy(left, "learning rate")
    _accuracy(right, "epoch")
    right.axhline(100 * rates.JUDGED, **THRESHOLD)
    return figure


def _bias(study: Study) -> Figure:
    figure, (axes,) = _panels(1)
    normalised = study.plain.normalised
    group = [study.changes.best(variant) for variant in (normalised, normalised.without_bias)]
    for place, runs in enumerate(group):
        _against(axes, [place], [runs], 1)
    _accuracy(axes, "convolutions of a network with batch norm", legend=False)
    axes.set_ylim(auto=True)
    axes.autoscale(axis="y")
    axes.set_xlim(-0.6, 1.6)
    axes.set_xticks(
        [0, 1],
        [f"{label}\nat {runs.rate:g}" for label, runs in zip(("bias", "none"), group, strict=True)],
    )
    return figure


def _deviations(study: Study) -> Figure:
    figure, panels = _panels(2)
    for axes in panels:
        for style, group in enumerate(deviations.groups(study)):
            _against(axes, range(len(group)), group, style)
            names = [deviations.named(runs) for runs in group]
        _categories(
            axes, names, "standard deviation of the initial weights", legend=axes is panels[0]
        )
    panels[-1].set_ylim(*CLOSE)
    return figure


def _scales(study: Study) -> Figure:
    figure, (left, *panels) = _panels(3)
    scaled = study.invariance.scaled
    factors = [float(factor) for factor in scaled]
    tiny = 1e-17
    for style, changes in enumerate(
        (
            [change.plain for change in scaled.values()],
            [change.with_epsilon for change in scaled.values()],
        )
    ):
        color, marker, label = STYLES[style]
        left.plot(factors, [c + tiny for c in changes], color=color, marker=marker, label=label)
    left.plot(
        factors,
        [change.without_epsilon + tiny for change in scaled.values()],
        color=NORMALISED, marker="o", mfc="white", linestyle=":",
        label="nothing added to variances",
    )  # fmt: skip
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_xlabel("factor of one layer's weights")
    left.set_ylabel("largest change of a logit,\nof the largest logit")
    left.legend()
    for axes in panels:
        for style, group in enumerate(scales.groups(study)):
            _against(axes, range(len(group)), group, style)
            names = [f"{runs.variant.scale:g}" for runs in group]
        _categories(
            axes, names, "factor of all convolutions' initial weights", legend=axes is panels[0]
        )
    panels[-1].set_ylim(*CLOSE)
    return figure


def _activations(study: Study) -> Figure:
    pairs = activations.groups(study)
    figure, panels = _panels(len(pairs))
    for axes, pair in zip(panels, pairs, strict=True):
        for style, runs in enumerate(pair):
            _curves(axes, runs, style)
        _accuracy(axes, f"epoch, {pair[0].variant.activation}")
    return figure


def _dropout(study: Study) -> Figure:
    every = dropout.fours(study)
    figure, panels = _panels(len(every))
    for axes, four in zip(panels, every, strict=True):
        for style, pair in enumerate(((four.bare, four.dropped), (four.normalised, four.both))):
            _plot(axes, [0, 1], pair, [runs.gaps for runs in pair], style)
        axes.axhline(0, color="black", linewidth=0.6)
        axes.set_xlim(-0.4, 1.4)
        axes.set_xticks([0, 1], ["no dropout", "dropout 0.5"])
        axes.set_xlabel(f"at learning rate {four.rate:g}{'' if four.train else ', not judged'}")
        axes.set_ylabel("gap, points: trained on − validation")
        axes.sharey(panels[0])
        axes.legend()
    return figure

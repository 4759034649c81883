"""The dot plot: each model's accuracy with what is uncertain about it, on one axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from fmbench.leaderboard.page import scales
from fmbench.leaderboard.page.board_models import BoardModel
from fmbench.leaderboard.page.scales import Scale, Tick
from fmbench.leaderboard.page.text import span
from fmbench.leaderboard.statistics import SEEDS_FOR_T
from fmbench.wording import percent, rank_set

REACH = 4.0  # times as far below the best as the median model is: all that lies further is an arrow


@dataclass(frozen=True)
class Interval:
    """From where to where, in per cent of the axis."""

    low: float
    high: float


@dataclass(frozen=True)
class Dot:
    """A model on the axis. Places are in per cent of its length.

    off:     whether the model lies left of the axis; then nothing else is drawn.
    by_images, by_seeds: its intervals, None where there are none.
    each:    every seed on its own.
    said:    the same in words.
    """

    model: BoardModel
    rank: str
    off: bool
    mean: float
    by_images: Interval | None
    by_seeds: Interval | None
    each: tuple[float, ...]
    said: str


@dataclass(frozen=True)
class DotPlot:
    """All models that have an accuracy, in the board's order.

    seeds:   what the lower lane shows, empty when no model has more than one seed.
    line:    what its thin line spans.
    ranks:   whether any model has a rank; provisional: whether they rest on few seeds.
    missing: how many models have no accuracy.
    ends:    the accuracies at the ends of the axis, shares from 0 to 1.
    """

    ticks: tuple[Tick, ...]
    dots: tuple[Dot, ...]
    seeds: str
    line: str
    ranks: bool
    provisional: bool
    missing: int
    ends: tuple[float, float] = (0.0, 1.0)

    @property
    def any_off(self) -> bool:
        """Whether a model lies left of the axis."""
        return any(dot.off for dot in self.dots)


def dot_plot(models: Sequence[BoardModel]) -> DotPlot:
    """The dot plot of a board's models; without dots when none has an accuracy."""
    scored = [model for model in models if model.row.accuracy is not None]
    missing = len(models) - len(scored)
    if not scored:
        return DotPlot((), (), seeds="", line="", ranks=False, provisional=False, missing=missing)
    accuracies = [model.accuracy for model in scored]
    best, middle = max(accuracies), median(accuracies)
    lowest = best - max(REACH * (best - middle), 0.01)
    on = [model for model in scored if model.accuracy >= lowest - 1e-9]
    scale, ticks = scales.shares([value for model in on for value in _all_values(model)], room=0.03)
    counts = [model.row.seeds for model in scored]
    ranked = [model.row for model in scored if model.row.rank_best]
    return DotPlot(
        ticks=ticks,
        dots=tuple(_dot(model, scale, model not in on) for model in scored),
        seeds=_about_seeds(counts),
        line=_about_line(counts),
        ranks=bool(ranked),
        provisional=any(row.seeds < SEEDS_FOR_T for row in ranked),
        missing=missing,
        ends=(scale.low, scale.high),
    )


def _all_values(model: BoardModel) -> list[float]:
    row = model.row
    bounds = (
        *(row.accuracy_image_low, row.accuracy_image_high),
        *(row.accuracy_seed_low, row.accuracy_seed_high),
        *model.entry.accuracies,
    )
    return [min(1.0, max(0.0, bound)) for bound in bounds if bound is not None]


def _dot(model: BoardModel, scale: Scale, off: bool) -> Dot:
    row = model.row
    return Dot(
        model=model,
        rank=rank_set(row.rank_best, row.rank_worst),
        off=off,
        mean=_place(scale, model.accuracy),
        by_images=_interval(scale, row.accuracy_image_low, row.accuracy_image_high),
        by_seeds=_interval(scale, row.accuracy_seed_low, row.accuracy_seed_high),
        each=tuple(_place(scale, accuracy) for accuracy in model.entry.accuracies),
        said=_in_words(model),
    )


def _about_seeds(counts: Sequence[int]) -> str:
    several = [count for count in counts if count > 1]
    if not several:
        return ""
    if max(several) < SEEDS_FOR_T:
        return "single seeds, in their range"
    said = "single seeds, and the 95 % interval of their mean"
    return f"{said} (fewer than {SEEDS_FOR_T}: range)" if min(several) < SEEDS_FOR_T else said


def _about_line(counts: Sequence[int]) -> str:
    several = [count for count in counts if count > 1]
    few = [count for count in several if count < SEEDS_FOR_T]
    ran = "the seeds that ran, and others may fall outside"
    if len(few) == len(several):
        return f"spans {ran}"
    return "what other seeds could" + (f", or of fewer than {SEEDS_FOR_T} {ran}" if few else "")


def _interval(scale: Scale, low: float | None, high: float | None) -> Interval | None:
    if low is None or high is None:
        return None
    return Interval(_place(scale, low), _place(scale, high))


def _place(scale: Scale, value: float) -> float:
    return round(100 * scale.place(value), 3)


def _in_words(model: BoardModel) -> str:
    row = model.row
    said = [f"rank {rank_set(row.rank_best, row.rank_worst)}"] if row.rank_best else []
    said.append(f"accuracy {percent(model.accuracy)} %")
    if row.accuracy_image_low is not None and row.accuracy_image_high is not None:
        said.append(f"{span(row.accuracy_image_low, row.accuracy_image_high)} % for new images")
    if row.accuracy_seed_low is not None and row.accuracy_seed_high is not None:
        kind = "95 % interval over" if row.seeds >= SEEDS_FOR_T else "range of"
        said.append(
            f"{span(row.accuracy_seed_low, row.accuracy_seed_high)} % {kind} {row.seeds} seeds"
        )
    if not row.complete:
        said.append(f"incomplete: {row.status}")
    return "; ".join(said)

"""Scatter plots: accuracy against what a model costs, one plot for each device, with its front."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fmbench.leaderboard.page import scales
from fmbench.leaderboard.page.board_models import BoardModel, devices_of
from fmbench.leaderboard.page.fronts import pareto_front
from fmbench.leaderboard.page.labels import Box, Label, place_labels
from fmbench.leaderboard.page.scales import Scale, Tick
from fmbench.leaderboard.page.text import count, shortened
from fmbench.wording import duration, percent, short

WIDTH, HEIGHT = 480, 360
PLOT = Box(44, 14, 468, 312)
LETTERS = 14.0  # their size on narrow screens, in units of the drawing; wide screens take less
LONGEST = 26
MOST_NAMED = 8

Axis = Callable[[Sequence[float]], tuple[Scale, tuple[Tick, ...]]]


@dataclass(frozen=True)
class Mark:
    """A model in the plot, in units of the drawing; `label` is None where there was no room."""

    name: str
    x: float
    y: float
    on_front: bool
    complete: bool
    label: Label | None
    short: str
    said: str


@dataclass(frozen=True)
class Panel:
    """One scatter plot. Ticks have their place in units of the drawing.

    front: the path of the front, empty without one.
    said:  the front in words, cheapest first.
    unplaced: what is to be said of names that found no room, empty without any.
    """

    title: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    front: str
    said: str
    unplaced: str


@dataclass(frozen=True)
class _Point:
    model: BoardModel
    cost: float


def panels(models: Sequence[BoardModel]) -> tuple[Panel, ...]:
    """Accuracy against training time on each device, then against parameters."""
    scored = [model for model in models if model.row.accuracy is not None]
    found = []
    for device in devices_of(scored):
        of_device = [
            _Point(model, dict(model.times)[device])
            for model in scored
            if device in dict(model.times)
        ]
        found.append(_panel(f"Training time on {device}", of_device, scales.times, duration))
    sizes = [_Point(model, float(model.row.parameters or 0)) for model in scored]
    found.append(_panel("Parameters", sizes, scales.counts, short))
    return tuple(panel for panel in found if panel)


def _panel(
    title: str, points: Sequence[_Point], axis: Axis, worded: Callable[[float], str]
) -> Panel | None:
    points = [point for point in points if point.cost > 0]  # a log axis has no place for nothing
    if not points:
        return None
    x_scale, x_ticks = axis([point.cost for point in points])
    y_scale, y_ticks = scales.shares([_accuracy(point) for point in points], room=0.08)
    candidates = [number for number, point in enumerate(points) if point.model.row.complete]
    front = [
        candidates[place]
        for place in pareto_front(
            [(points[number].cost, _accuracy(points[number])) for number in candidates]
        )
    ]
    places = [(_x(x_scale.place(p.cost)), _y(y_scale.place(_accuracy(p)))) for p in points]
    steps = _steps([places[number] for number in front])
    # Those on the front are named first, then the others, best first.
    order = sorted(
        range(len(points)), key=lambda one: (one not in front, -_accuracy(points[one]), one)
    )
    names = [shortened(points[one].model.name, LONGEST) for one in order]
    found = place_labels(
        names,
        [places[one] for one in order],
        size=LETTERS,
        inside=Box(PLOT.left + 2, PLOT.top, WIDTH, PLOT.bottom - 2),
        lines=steps,
    )
    marks = tuple(
        Mark(
            name=points[one].model.name,
            x=places[one][0],
            y=places[one][1],
            on_front=one in front,
            complete=points[one].model.row.complete,
            label=label,
            short=name,
            said=_in_words(points[one], worded),
        )
        for one, name, label in zip(order, names, found, strict=True)
    )
    return Panel(
        title=title,
        x_ticks=tuple(Tick(_x(tick.place), tick.label) for tick in x_ticks),
        y_ticks=tuple(Tick(_y(tick.place), tick.label) for tick in y_ticks),
        marks=marks,
        front=_path([places[number] for number in front]),
        said=_summed([_in_words(points[number], worded) for number in front]),
        unplaced=_unplaced(sum(label is None for label in found)),
    )


def _summed(front: Sequence[str]) -> str:
    """Those on the front in words, when there are many only the first."""
    rest = len(front) - MOST_NAMED
    if rest <= 1:
        return ", ".join(front)
    return f"{', '.join(front[:MOST_NAMED])} and {count(rest, 'more', 'more')}"


def _unplaced(names: int) -> str:
    return f"{count(names, 'name')} found no room." if names else ""


def _path(front: Sequence[tuple[float, float]]) -> str:
    if not front:
        return ""
    steps = [f"M{front[0][0]} {front[0][1]}"]
    steps += [f"H{x}V{y}" for x, y in front[1:]]
    return f"{''.join(steps)}H{PLOT.right}"


def _steps(front: Sequence[tuple[float, float]]) -> list[Box]:
    """The lines of the front's path as thin boxes."""
    boxes: list[Box] = []
    if not front:
        return boxes
    for (x, y), (next_x, next_y) in zip(front, [*front[1:], (PLOT.right, 0.0)], strict=True):
        boxes.append(Box(x, y - 1, next_x, y + 1))
        if next_y:
            boxes.append(Box(next_x - 1, next_y, next_x + 1, y))
    return boxes


def _x(place: float) -> float:
    return round(PLOT.left + place * (PLOT.right - PLOT.left), 1)


def _y(place: float) -> float:
    return round(PLOT.bottom - place * (PLOT.bottom - PLOT.top), 1)


def _accuracy(point: _Point) -> float:
    return point.model.row.accuracy or 0.0


def _in_words(point: _Point, worded: Callable[[float], str]) -> str:
    return f"{point.model.name} ({worded(point.cost)}, {percent(_accuracy(point))} %)"

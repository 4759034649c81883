"""Scatter plots: accuracy against what a model costs, one for each device, with its Pareto front.

The front is of the models that no other beats at both cost and accuracy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fmbench.leaderboard.page import scales
from fmbench.leaderboard.page.board_models import BoardModel, devices_of
from fmbench.leaderboard.page.labels import Box, Label, place_labels
from fmbench.leaderboard.page.scales import Scale, Tick
from fmbench.leaderboard.page.text import count, shortened
from fmbench.wording import duration, percent, short

WIDTH = 480
PLOT = Box(44, 14, 468, 312)
LETTERS = 14.0  # their size on narrow screens, in units of the drawing; wide screens take less
LONGEST = 26
MOST_NAMED = 8

Axis = Callable[[Sequence[float]], tuple[Scale, tuple[Tick, ...]]]


@dataclass(frozen=True)
class Mark:
    """A model in the plot, in units of the drawing; `label` is None where there was no room."""

    model: BoardModel
    x: float
    y: float
    on_front: bool
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


def panels(models: Sequence[BoardModel]) -> tuple[Panel, ...]:
    """Accuracy against training time on each device, then against parameters."""
    scored = [model for model in models if model.row.accuracy is not None]
    found = []
    for device in devices_of(scored):
        times = [(model, model.times.get(device, 0.0)) for model in scored]
        found.append(_panel(f"Training time on {device}", times, scales.times, duration))
    sizes = [(model, float(model.row.parameters or 0)) for model in scored]
    found.append(_panel("Parameters", sizes, scales.counts, short))
    return tuple(panel for panel in found if panel)


def _panel(
    title: str,
    costs: Sequence[tuple[BoardModel, float]],
    axis: Axis,
    worded: Callable[[float], str],
) -> Panel | None:
    """The plot of models with their costs; those without one are left out."""
    costs = [(model, cost) for model, cost in costs if cost > 0]
    if not costs:
        return None
    models = [model for model, _ in costs]
    points = [(cost, model.accuracy) for model, cost in costs]
    x_scale, x_ticks = axis([cost for cost, _ in points])
    y_scale, y_ticks = scales.shares([accuracy for _, accuracy in points], room=0.08)
    complete = [number for number, model in enumerate(models) if model.row.complete]
    front = [complete[place] for place in pareto_front([points[number] for number in complete])]
    places = [(_x(x_scale.place(x)), _y(y_scale.place(y))) for x, y in points]
    steps = _steps([places[number] for number in front])
    # Those on the front are named first, then the others, best first.
    order = sorted(range(len(points)), key=lambda one: (one not in front, -points[one][1], one))
    names = [shortened(models[one].name, LONGEST) for one in order]
    said = [f"{model.name} ({worded(cost)}, {percent(model.accuracy)} %)" for model, cost in costs]
    found = place_labels(
        names,
        [places[one] for one in order],
        size=LETTERS,
        inside=Box(PLOT.left + 2, PLOT.top, WIDTH, PLOT.bottom - 2),
        lines=steps,
    )
    marks = tuple(
        Mark(
            model=models[one],
            x=places[one][0],
            y=places[one][1],
            on_front=one in front,
            label=label,
            short=name,
            said=said[one],
        )
        for one, name, label in zip(order, names, found, strict=True)
    )
    unplaced = sum(label is None for label in found)
    return Panel(
        title=title,
        x_ticks=tuple(Tick(_x(tick.place), tick.label) for tick in x_ticks),
        y_ticks=tuple(Tick(_y(tick.place), tick.label) for tick in y_ticks),
        marks=marks,
        front=_path([places[number] for number in front]),
        said=_summed([said[number] for number in front]),
        unplaced=f"{count(unplaced, 'name')} found no room." if unplaced else "",
    )


def pareto_front(points: Sequence[tuple[float, float]]) -> tuple[int, ...]:
    """The indices of (cost, accuracy) points on the front, cheapest first.

    A point is on the front unless another costs no more and is at least as accurate, and is better
    at one of the two. Equal points stand or fall together.
    """
    order = sorted(range(len(points)), key=lambda one: (points[one][0], -points[one][1], one))
    front: list[int] = []
    for one in order:
        cost, accuracy = points[one]
        last = points[front[-1]] if front else None
        if last is None or accuracy > last[1] or (cost, accuracy) == last:
            front.append(one)
    return tuple(front)


def _summed(front: Sequence[str]) -> str:
    """Those on the front in words, when there are many only the first."""
    rest = len(front) - MOST_NAMED
    if rest <= 1:
        return ", ".join(front)
    return f"{', '.join(front[:MOST_NAMED])} and {count(rest, 'more', 'more')}"


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

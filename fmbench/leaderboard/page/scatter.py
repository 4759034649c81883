"""Scatter plots: accuracy against each thing that a model costs, with the Pareto front.

The front is of the models that no other beats at both cost and accuracy.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import hypot

from fmbench.leaderboard.page import scales
from fmbench.leaderboard.page.board_models import BoardModel, devices_of
from fmbench.leaderboard.page.labels import Box, Label, place_labels
from fmbench.leaderboard.page.scales import Scale, Tick
from fmbench.leaderboard.page.text import count, shortened, whole
from fmbench.wording import duration, memory, short

WIDTH = 480
PLOT = Box(44, 14, 468, 312)
ROOM = {14.0: "", 10.0: "wide", 0.0: "unplaced"}  # by the size of letters: phones have larger ones
RADIUS, RING, HIDING = 4.0, 3.5, 3.0
LONGEST = 26
NEAR = 0.005

Axis = Callable[[Sequence[float]], tuple[Scale, tuple[Tick, ...]]]


@dataclass(frozen=True)
class Mark:
    """A model in the plot, in units of the drawing; of those that coincide each rings the others.

    cost: in words.
    """

    model: BoardModel
    cost: str
    x: float
    y: float
    radius: float
    on_front: bool
    label: Label
    short: str

    @property
    def room(self) -> str:
        """Which windows have room for its name, a value of `ROOM`."""
        return ROOM[self.label.size]


@dataclass(frozen=True)
class Panel:
    """One scatter plot. Ticks have their place in units of the drawing.

    front: the corners of the front's line, empty without one.
    cheapest: the marks on the front, cheapest first.
    near:  the first of them that is less accurate than the best by at most `NEAR`.
    unplaced: what is to be said of names that found no room, empty without any.
    """

    title: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    front: str
    cheapest: tuple[Mark, ...]
    near: Mark | None
    unplaced: str


def panels(models: Sequence[BoardModel]) -> tuple[Panel, ...]:
    """Accuracy against training time on each device, sizes, memory, and inference on each device.

    A cost that no model has on record has no plot.
    """
    scored = [model for model in models if model.row.accuracy is not None]
    devices = devices_of(scored)

    def on(device: str) -> str:
        return f" on {device}" if len(devices) > 1 else ""

    seconds, counts, sizes = (
        (scales.times, duration),
        (scales.counts, short),
        (scales.counts, memory),
    )
    costs: list[tuple[str, list[float | None], tuple[Axis, Callable[[float], str]]]] = [
        *(
            (f"Training time{on(one)}", [m.times.get(one) for m in scored], seconds)
            for one in devices
        ),
        ("Parameters", [model.row.parameters for model in scored], counts),
        ("FLOPs per image", [model.row.forward_flops for model in scored], counts),
        ("Peak memory, bytes", [model.row.peak_memory for model in scored], sizes),
        *(
            (f"Predicting 1,000 images{on(one)}", [m.inference.get(one) for m in scored], seconds)
            for one in devices
        ),
    ]
    found = [
        _panel(
            title,
            [(model, cost) for model, cost in zip(scored, each, strict=True) if cost and cost > 0],
            *how,
        )
        for title, each, how in costs
    ]
    return tuple(panel for panel in found if panel)


def _panel(
    title: str,
    costs: Sequence[tuple[BoardModel, float]],
    axis: Axis,
    worded: Callable[[float], str],
) -> Panel | None:
    """The plot of models with their costs, which are greater than 0; None without any."""
    if not costs:
        return None
    models = [model for model, _ in costs]
    points = [(cost, model.accuracy) for model, cost in costs]
    x_scale, x_ticks = axis([cost for cost, _ in points])
    y_scale, y_ticks = scales.shares([accuracy for _, accuracy in points])
    complete = [number for number, model in enumerate(models) if model.row.complete]
    front = [complete[place] for place in pareto_front([points[number] for number in complete])]
    places = [(across(x_scale.place(x)), up(y_scale.place(y))) for x, y in points]
    line = _corners([places[number] for number in front])
    # Those on the front are named first, then the others, best first.
    order = sorted(range(len(points)), key=lambda one: (one not in front, -points[one][1], one))
    circles = _circles([places[one] for one in order])
    ends = Counter(model.name.rpartition("/")[2] for model in models)
    names = []
    for one in order:
        end = models[one].name.rpartition("/")[2]
        names.append(shortened(end if ends[end] == 1 else models[one].name, LONGEST))
    found = place_labels(
        names,
        [
            (x, y, max(r for a, b, r in circles if hypot(x - a, y - b) < HIDING))
            for x, y, _ in circles
        ],
        sizes=[size for size in ROOM if size],
        inside=Box(PLOT.left + 2, PLOT.top, WIDTH, PLOT.bottom - 2),
        lines=[Box(x - 1, to_y - 1, to_x + 1, y + 1) for (x, y), (to_x, to_y) in pairwise(line)],
    )
    marks = {
        one: Mark(models[one], whole(worded(points[one][0])), *circle, one in front, label, name)
        for one, name, label, circle in zip(order, names, found, circles, strict=True)
    }
    cheapest = tuple(marks[one] for one in front)
    enough = cheapest[-1].model.accuracy - NEAR - 1e-9 if cheapest else 0.0
    unplaced = sum(not label.size for label in found)
    return Panel(
        title=title,
        x_ticks=tuple(Tick(across(tick.place), tick.label) for tick in x_ticks),
        y_ticks=tuple(Tick(up(tick.place), tick.label) for tick in y_ticks),
        marks=tuple(sorted(marks.values(), key=lambda mark: -mark.radius)),
        front="L".join(f"{x} {y}" for x, y in line),
        cheapest=cheapest,
        near=next((one for one in cheapest if one.model.accuracy > enough), None),
        unplaced=f"{count(unplaced, 'name')} found no room; point at a dot to see its own."
        if unplaced
        else "",
    )


def _circles(places: Sequence[tuple[float, float]]) -> list[tuple[float, float, float]]:
    """Each place with the radius of its dot: larger by a ring than those it would hide."""
    found: list[tuple[float, float, float]] = []
    for x, y in places:
        hidden = sum(hypot(x - other_x, y - other_y) < HIDING for other_x, other_y, _ in found)
        found.append((x, y, RADIUS + RING * min(hidden, 2)))
    return found


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


def _corners(front: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points between which the front's line goes, across and up in turn."""
    found: list[tuple[float, float]] = []
    for x, y in front:
        found += [(x, found[-1][1])] if found else []
        found.append((x, y))
    return [*found, (PLOT.right, found[-1][1])] if found else []


def across(place: float) -> float:
    """Where a place from 0 to 1 on the horizontal axis lies in the drawing."""
    return round(PLOT.left + place * (PLOT.right - PLOT.left), 1)


def up(place: float) -> float:
    """Where a place from 0 to 1 on the vertical axis lies in the drawing."""
    return round(PLOT.bottom - place * (PLOT.bottom - PLOT.top), 1)

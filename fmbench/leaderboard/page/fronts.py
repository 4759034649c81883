"""The Pareto front: the models that no other beats at both cost and accuracy."""

from collections.abc import Sequence


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

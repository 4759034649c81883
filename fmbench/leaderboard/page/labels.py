"""Labels of points: each where it covers neither a point nor another label, as far as that goes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import hypot
from typing import Literal
from unicodedata import east_asian_width

Anchor = Literal["start", "middle", "end"]

WIDTH = 0.65  # of a letter, in heights: that of wide system fonts; some are as wide as high
GAPS = (4.0, 10.0)  # between a point's edge and its label
SIDES = ((1, 0), (-1, 0), (0, -1), (0, 1), (0.7, -0.7), (0.7, 0.7), (-0.7, -0.7), (-0.7, 0.7))


@dataclass(frozen=True)
class Box:
    """A rectangle from (left, top) to (right, bottom)."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def around(cls, x: float, y: float, reach: float) -> "Box":
        """The square whose sides are so far from a point."""
        return cls(x - reach, y - reach, x + reach, y + reach)

    def overlaps(self, other: "Box") -> bool:
        """Whether the two share more than an edge."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def distance(self, x: float, y: float) -> float:
        """How far a point is from the rectangle, 0 inside."""
        return hypot(max(self.left - x, 0, x - self.right), max(self.top - y, 0, y - self.bottom))

    def within(self, other: "Box") -> bool:
        """Whether the other holds all of this one."""
        return (
            other.left <= self.left
            and self.right <= other.right
            and other.top <= self.top
            and self.bottom <= other.bottom
        )


@dataclass(frozen=True)
class Label:
    """Where the anchor of a label's baseline stands, and at most how high its letters may be.

    size: 0 where there is no room: it would cover something.
    """

    x: float
    y: float
    anchor: Anchor
    size: float = 0.0


def place_labels(
    texts: Sequence[str],
    points: Sequence[tuple[float, float, float]],
    *,
    sizes: Sequence[float],
    inside: Box,
    lines: Sequence[Box] = (),
) -> list[Label]:
    """A place for each text beside its point, the first texts first.

    points: (x, y, radius) each; sizes: heights of letters, tried in turn; inside: what labels may
    cover. A label keeps off `lines` where it can, and no other point is nearer to it than its own.
    The same input gives the same places.
    """
    taken = [Box.around(*point) for point in points]
    middle = (inside.left + inside.right) / 2
    placed = [[*_candidates(*point, 0)][point[0] > middle] for point in points]
    for avoided, size in product((lines, ()), sizes):
        for place, (text, point) in enumerate(zip(texts, points, strict=True)):
            if placed[place].size:
                continue
            width = size * sum(1.0 if _is_wide(one) else WIDTH for one in text)
            for label in _candidates(*point, size):
                box = _box(label, width)
                covers = any(box.overlaps(other) for other in (*taken, *avoided))
                if box.within(inside) and not covers and _is_nearest(point, points, box):
                    placed[place] = label
                    taken.append(box)
                    break
    return placed


def _is_nearest(
    point: tuple[float, float, float], points: Sequence[tuple[float, float, float]], box: Box
) -> bool:
    """Whether a reader would take a label for that of its own point."""
    return all(box.distance(*other[:2]) >= box.distance(*point[:2]) for other in points)


def _is_wide(letter: str) -> bool:
    return letter in "MWmw@%" or east_asian_width(letter) in "WF"


def _candidates(x: float, y: float, radius: float, size: float) -> Iterator[Label]:
    for gap in GAPS:
        for right, down in SIDES:
            to = (x + right * (radius + gap), y + down * (radius + gap))
            below = 0.35 if not down else -0.2 if down < 0 else 0.85
            anchor: Anchor = "start" if right > 0 else "end" if right else "middle"
            yield Label(to[0], to[1] + below * size, anchor, size)


def _box(label: Label, width: float) -> Box:
    left = label.x - {"start": 0.0, "middle": width / 2, "end": width}[label.anchor]
    return Box(left, label.y - 0.85 * label.size, left + width, label.y + 0.25 * label.size)

"""Labels of points: each where it covers neither a point nor another label, else left out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from unicodedata import east_asian_width

Anchor = Literal["start", "middle", "end"]

WIDTH = 0.65  # of a letter, in heights: that of wide system fonts; some are as wide as high
GAPS = (4.0, 14.0, 26.0, 40.0, 56.0)  # between a point's edge and its label; a line spans the far
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
    """Where the anchor of a label's baseline stands, and where a line from its point ends."""

    x: float
    y: float
    anchor: Anchor
    leader: tuple[float, float] | None


def place_labels(
    texts: Sequence[str],
    points: Sequence[tuple[float, float, float]],
    *,
    size: float,
    inside: Box,
    lines: Sequence[Box] = (),
) -> tuple[Label | None, ...]:
    """A place for each text beside its point, the first texts first; None where there is none.

    points: (x, y, radius) each; size: the height of letters; inside: what labels may cover.
    Labels keep off `lines` where they can. The same input gives the same places.
    """
    marks = [Box.around(*point) for point in points]
    taken: list[Box] = []
    placed: list[Label | None] = []
    for text, point in zip(texts, points, strict=True):
        width = size * sum(1.0 if _is_wide(letter) else WIDTH for letter in text)
        boxes = {label: _box(label, width, size) for label in _candidates(*point, size)}
        here = Box.around(*point[:2], 1)
        others = [*(mark for mark in marks if not here.overlaps(mark)), *taken]
        free = (
            label
            for avoided in (lines, ())
            for label, box in boxes.items()
            if box.within(inside)
            and not any(box.overlaps(other) for other in (*marks, *taken, *avoided))
            and not any(step.overlaps(other) for step in _steps(label, point) for other in others)
        )
        label = next(free, None)
        placed.append(label)
        if label:
            taken += [boxes[label], *_steps(label, point)]
    return tuple(placed)


def _is_wide(letter: str) -> bool:
    return letter in "MWmw@%" or east_asian_width(letter) in "WF"


def _candidates(x: float, y: float, radius: float, size: float) -> Iterator[Label]:
    for gap in GAPS:
        for right, down in SIDES:
            to = (x + right * (radius + gap), y + down * (radius + gap))
            below = 0.35 if not down else -0.2 if down < 0 else 0.85
            anchor: Anchor = "start" if right > 0 else "end" if right else "middle"
            yield Label(to[0], to[1] + below * size, anchor, to if gap > GAPS[0] else None)


def _steps(label: Label, point: tuple[float, float, float]) -> list[Box]:
    """The line from a point to its label as small boxes."""
    if label.leader is None:
        return []
    (x, y, _), (to_x, to_y) = point, label.leader
    shares = [part / 16 for part in range(1, 16)]
    return [Box.around(x + (to_x - x) * share, y + (to_y - y) * share, 1) for share in shares]


def _box(label: Label, width: float, size: float) -> Box:
    left = label.x - {"start": 0.0, "middle": width / 2, "end": width}[label.anchor]
    return Box(left, label.y - 0.85 * size, left + width, label.y + 0.25 * size)

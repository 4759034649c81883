"""Labels of points: each where it covers neither a point nor another label, else left out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Anchor = Literal["start", "middle", "end"]

WIDTH = 0.62  # of a letter, in heights: that of wide system fonts
NEAR, FAR, FURTHER = 8.0, 20.0, 34.0


@dataclass(frozen=True)
class Box:
    """A rectangle from (left, top) to (right, bottom)."""

    left: float
    top: float
    right: float
    bottom: float

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
    """Where the anchor of a label's baseline stands, and whether a line joins it to its point."""

    x: float
    y: float
    anchor: Anchor
    leader: bool


def place_labels(
    texts: Sequence[str],
    points: Sequence[tuple[float, float]],
    *,
    size: float,
    inside: Box,
    lines: Sequence[Box] = (),
) -> tuple[Label | None, ...]:
    """A place for each text beside its point, the first texts first; None where there is none.

    `size` is the height of letters, `inside` what labels may cover; labels keep off `lines` where
    they can. The same input gives the same places.
    """
    marks = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    taken: list[Box] = []
    placed: list[Label | None] = []
    for text, point in zip(texts, points, strict=True):
        width = len(text) * size * WIDTH
        boxes = {label: _box(label, width, size) for label in _candidates(*point, size)}
        free = (
            label
            for avoided in ((*marks, *taken, *lines), (*marks, *taken))
            for label, box in boxes.items()
            if box.within(inside) and not any(box.overlaps(other) for other in avoided)
        )
        label = next(free, None)
        placed.append(label)
        if label:
            taken.append(boxes[label])
    return tuple(placed)


def _candidates(x: float, y: float, size: float) -> Iterator[Label]:
    middle = y + 0.35 * size
    for away in (NEAR, FAR, FURTHER):
        leader = away > NEAR
        slant = 0.7 * away
        yield Label(x + away, middle, "start", leader)
        yield Label(x - away, middle, "end", leader)
        yield Label(x, y - away, "middle", leader)
        yield Label(x, y + away + 0.8 * size, "middle", leader)
        yield Label(x + slant, y - slant, "start", leader)
        yield Label(x + slant, y + slant + 0.8 * size, "start", leader)
        yield Label(x - slant, y - slant, "end", leader)
        yield Label(x - slant, y + slant + 0.8 * size, "end", leader)


def _box(label: Label, width: float, size: float) -> Box:
    left = label.x - {"start": 0.0, "middle": width / 2, "end": width}[label.anchor]
    return Box(left, label.y - 0.85 * size, left + width, label.y + 0.25 * size)

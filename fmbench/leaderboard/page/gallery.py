"""Test images in pairs of classes: those most often confused, those two models disagree on."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fmbench.data import LABELS, PictureRow
from fmbench.leaderboard.comparison import Compared
from fmbench.leaderboard.page.confusion import Pair
from fmbench.wording import counted

PICTURE_ROWS, PICTURE_COLUMNS = 5, 12
ICON_SIDE = 16
ICON_BARS = ((2, 9, 3), (7, 5, 3), (12, 2, 3))  # left, top, width
ICON_INK = (0, 105, 148, 255)


@dataclass(frozen=True)
class Picture:
    """A test image: its data URI, empty when images are not at hand, and what it shows in words."""

    uri: str
    number: int
    caption: str
    said: str


@dataclass(frozen=True)
class Confusions:
    """A pair of classes in words, how often it is confused, in per cent, and its pictures."""

    true: str
    predicted: str
    share: str
    pictures: tuple[Picture, ...]


def gallery(
    pairs: Sequence[Pair], models: int, images: NDArray[np.uint8] | None
) -> tuple[Confusions, ...]:
    """The pairs as they are shown; `images` are the test images, uint8 (n, 28, 28), or None."""
    return tuple(
        Confusions(
            true=LABELS[pair.true],
            predicted=LABELS[pair.predicted],
            share=f"{100 * pair.share:.1f}",
            pictures=tuple(
                Picture(
                    uri="" if images is None else png_uri(images[image.number]),
                    number=image.number,
                    caption=f"{image.models} of {models}",
                    said=(
                        f"test image {image.number}, {LABELS[pair.true]}, taken for "
                        f"{LABELS[pair.predicted]} by {image.models} of "
                        f"{counted(models, 'model')}"
                    ),
                )
                for image in pair.images
            ),
        )
        for pair in pairs
    )


def disagreements(found: Compared) -> list[PictureRow]:
    """Rows of the images two models disagree on most: who is right, and what the other sees.

    For either model the mistakes that are made most often come first.
    """
    rows = []
    for side, favour in ((found.first, 1), (found.second, -1)):
        mistakes: dict[tuple[int, int], list[int]] = {}
        for one in found.disagreements:
            if one.lead * favour > 0:
                taken_for = one.second if favour > 0 else one.first
                mistakes.setdefault((one.label, taken_for), []).append(one.image)
        often = sorted(mistakes.items(), key=lambda mistake: (-len(mistake[1]), mistake[0]))
        rows += [
            PictureRow(
                f"{side.name} right: {LABELS[label]}, not {LABELS[taken_for]}",
                tuple(images[:PICTURE_COLUMNS]),
            )
            for (label, taken_for), images in often[:PICTURE_ROWS]
        ]
    return rows


def png_uri(image: NDArray[np.uint8]) -> str:
    """A grey image, uint8 (h, w), or one with colours, (h, w, 4), as a PNG in a data: URI."""
    png = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(png, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"


def icon_uri() -> str:
    """The page's icon: three rising bars."""
    icon = np.zeros((ICON_SIDE, ICON_SIDE, 4), dtype=np.uint8)
    for left, top, width in ICON_BARS:
        icon[top : ICON_SIDE - 1, left : left + width] = ICON_INK
    return png_uri(icon)

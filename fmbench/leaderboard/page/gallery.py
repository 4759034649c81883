"""Test images in a picture: those that two models disagree on, and any one in a page."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fmbench.data import LABELS, PictureRow
from fmbench.leaderboard.comparison import Compared

PICTURE_ROWS, PICTURE_COLUMNS = 5, 12


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
    """A grey image, uint8 (h, w), as a PNG in a data: URI."""
    png = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(png, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"

"""Pictures of the data set: rows of images, each with its name."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmbench.contract import RAW_SIZE
from fmbench.data.dataset import LABELS, Dataset

# All in pixels of the file. A whole scale keeps the images' own pixels square and sharp.
_SCALE = 3
_SIDE = _SCALE * RAW_SIZE
_GAP = 12
_MARGIN = 24
_LETTERS = 22
_INK = 34


@dataclass(frozen=True)
class PictureRow:
    """A row of a picture: what stands before it, and which images are in it."""

    name: str
    images: tuple[int, ...]


def class_picture(dataset: Dataset, path: Path, columns: int = 10) -> None:
    """Write a PNG to `path`: a row a class, its name and its first `columns` training images.

    The same data and library versions give the same bytes. Raises `OSError` when `path` cannot be
    written.
    """
    rows = [
        PictureRow(name, tuple(np.flatnonzero(dataset.train_labels == label)[:columns].tolist()))
        for label, name in enumerate(LABELS)
    ]
    _write_picture(dataset.train_images, rows, path)


def test_picture(dataset: Dataset, rows: Sequence[PictureRow], path: Path) -> None:
    """Write a PNG to `path`: rows of test images, each with its name; raises as `class_picture`."""
    _write_picture(dataset.test_images, rows, path)


def _write_picture(images: NDArray[np.uint8], rows: Sequence[PictureRow], path: Path) -> None:
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(_LETTERS)  # it comes with Pillow: the same on every machine
    samples = Image.fromarray(_page(images, rows))
    names = ceil(max((font.getlength(row.name) for row in rows), default=0)) + 2 * _GAP
    size = samples.width + names + 2 * _MARGIN, samples.height + 2 * _MARGIN
    sheet = Image.new("L", size, "white")
    sheet.paste(samples, (_MARGIN + names, _MARGIN))
    pen = ImageDraw.Draw(sheet)
    for place, row in enumerate(rows):
        middle = _MARGIN + place * (_SIDE + _GAP) + _SIDE / 2
        pen.text((_MARGIN + names - 2 * _GAP, middle), row.name, _INK, font, anchor="rm")
    png = io.BytesIO()
    sheet.save(png, "PNG")
    path.write_bytes(png.getvalue())


def _page(images: NDArray[np.uint8], rows: Sequence[PictureRow]) -> NDArray[np.uint8]:
    """Return one grey page, (height, width) uint8, dark on white, blank where images run out."""
    step = _SIDE + _GAP
    columns = max((len(row.images) for row in rows), default=1)
    page = np.full((len(rows) * step - _GAP, columns * step - _GAP), 255, dtype=np.uint8)
    for place, row in enumerate(rows):
        for column, index in enumerate(row.images):
            image = 255 - images[index]
            top, left = place * step, column * step
            page[top : top + _SIDE, left : left + _SIDE] = np.kron(
                image, np.ones((_SCALE, _SCALE), dtype=np.uint8)
            )
    return page

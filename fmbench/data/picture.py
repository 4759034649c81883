"""The picture of the data set: a row of sample images for every class."""

import io
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
_NAMES = 148
_DPI = 144


def class_picture(dataset: Dataset, path: Path, columns: int = 10) -> None:
    """Write a PNG to `path`: a row a class, its name and its first `columns` training images.

    The same data and library versions give the same bytes. Raises `OSError` when `path` cannot be
    written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    samples = _samples(dataset, columns)
    height, width = samples.shape
    page_width, page_height = width + _NAMES + 2 * _MARGIN, height + 2 * _MARGIN
    size = page_width / _DPI, page_height / _DPI
    figure = Figure(figsize=size, dpi=_DPI, facecolor="white")
    left = _MARGIN + _NAMES
    figure.figimage(samples, left, _MARGIN, cmap="gray", vmin=0, vmax=255, origin="upper")
    for row, name in enumerate(LABELS):
        middle = _MARGIN + row * (_SIDE + _GAP) + _SIDE / 2
        figure.text(
            (left - 2 * _GAP) / page_width,
            1 - middle / page_height,
            name,
            ha="right",
            va="center_baseline",
            family="DejaVu Sans",  # comes with matplotlib: the same on every machine
            fontsize=11,
            color="#222222",
        )
    png = io.BytesIO()
    # Not savefig, which obeys a person's matplotlibrc.
    canvas = FigureCanvasAgg(figure)
    canvas.print_png(png, metadata={"Software": None})  # type: ignore[no-untyped-call]  # theirs
    path.write_bytes(png.getvalue())


def _samples(dataset: Dataset, columns: int) -> NDArray[np.uint8]:
    """Return one grey page, (height, width) uint8, dark on white, blank where images run out."""
    step = _SIDE + _GAP
    page = np.full((len(LABELS) * step - _GAP, columns * step - _GAP), 255, dtype=np.uint8)
    for label in range(len(LABELS)):
        for column, index in enumerate(np.flatnonzero(dataset.train_labels == label)[:columns]):
            image = 255 - dataset.train_images[index]
            top, left = label * step, column * step
            page[top : top + _SIDE, left : left + _SIDE] = np.kron(
                image, np.ones((_SCALE, _SCALE), dtype=np.uint8)
            )
    return page

"""The picture of the classes is whole, and the same each time."""

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fmbench import data
from fmbench.data import LABELS, Dataset, class_picture
from fmbench.data.drawing import PictureRow


@pytest.fixture
def blocks() -> Dataset:
    """Return a data set of black squares, three a class except for two of class 9."""
    labels = np.delete(np.repeat(np.arange(10, dtype=np.uint8), 3), -1)
    images = np.full((len(labels), 28, 28), 255, dtype=np.uint8)
    return Dataset(images, labels, images[:0], labels[:0])


def grey(path: Path) -> NDArray[np.float64]:
    """The brightness of each of a picture's pixels, 0 to 1."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L")) / 255


def test_picture_has_every_sample_on_white(tmp_path: Path, blocks: Dataset) -> None:
    """Each of the first `columns` images of a class is drawn once, dark, and the rest is white."""
    path = tmp_path / "classes.png"
    class_picture(blocks, path, columns=3)
    page = grey(path)
    assert page[0].min() == page[-1].min() == page[:, 0].min() == page[:, -1].min() == 1.0
    width = 3 * (84 + 12) - 12
    samples = page[:, -width - 24 : -24]
    assert (samples == 0).sum() == 29 * 84 * 84
    assert (samples == 1).sum() == samples.size - 29 * 84 * 84
    names = page[:, : -width - 24]
    rows = [names[24 + row * 96 : 24 + row * 96 + 84] for row in range(len(LABELS))]
    assert all((row < 0.5).any() for row in rows)


def test_picture_has_deterministic_bytes(tmp_path: Path, blocks: Dataset) -> None:
    """The same data give the same bytes, with no version or date in them."""
    class_picture(blocks, tmp_path / "a.png", columns=2)
    class_picture(blocks, tmp_path / "b.png", columns=2)
    data = (tmp_path / "a.png").read_bytes()
    assert data == (tmp_path / "b.png").read_bytes()
    at, kinds = 8, []
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        kinds.append(kind)
        at += 12 + length
    assert set(kinds) <= {b"IHDR", b"pHYs", b"IDAT", b"IEND"}


def test_rows_show_the_test_images_they_name(tmp_path: Path, blocks: Dataset) -> None:
    """A picture of test images is of test images."""
    swapped = Dataset(
        blocks.test_images, blocks.test_labels, blocks.train_images, blocks.train_labels
    )
    data.test_picture(swapped, [PictureRow("x", (0, 1))], tmp_path / "p.png")
    assert (grey(tmp_path / "p.png") == 0).sum() >= 2 * 84 * 84

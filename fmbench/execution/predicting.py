"""Pictures classified: each file by itself, so that a bad one costs only its own answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from fmbench.data.pictures import PictureError, find_pictures, read_picture


@dataclass(frozen=True)
class Prediction:
    """What was made of one file.

    probabilities: of each class, 0 to 1; empty where the file is no picture.
    fault:         why it is none; empty where it is one.
    """

    path: Path
    probabilities: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    fault: str = ""

    def best(self, count: int) -> list[tuple[int, float]]:
        """The most probable classes with their probabilities, the best first."""
        order = sorted(enumerate(self.probabilities), key=lambda one: -one[1])
        return order[:count]


def predict_pictures(
    paths: Sequence[Path], answer: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
) -> list[Prediction]:
    """Classify pictures, those in folders included, in their order.

    answer: gives the logits, float32 (n, classes), of images, uint8 (n, 28, 28); called at most
            once. What it raises is passed on.
    """
    read = [_read(file, follow=named) for file, named in find_pictures(paths)]
    pixels = [one for one, _ in read if not isinstance(one, str)]
    if not pixels:
        return [found for _, found in read]
    shares = iter(softmax(answer(np.stack(pixels)).astype(np.float64), axis=1).tolist())
    return [
        found if isinstance(one, str) else Prediction(found.path, tuple(next(shares)), found.notes)
        for one, found in read
    ]


def _read(path: Path, *, follow: bool) -> tuple[NDArray[np.uint8] | str, Prediction]:
    """The pixels of a file, or why it has none, and what is known of its prediction by then."""
    try:
        picture = read_picture(path, follow=follow)
    except PictureError as error:
        return str(error), Prediction(path, fault=str(error))
    return picture.pixels, Prediction(path, notes=picture.notes)

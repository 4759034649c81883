"""Pictures from anywhere, made into images as the data set's own were made.

Xiao, Rasul and Vollgraf 2017 (arXiv:1708.07747, section 2): margins in the colour of the background
are cut off, the longer side becomes 28 pixels, the image is put into the middle of a square, and
made grey with a dark background.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fmbench import files
from fmbench.contract import RAW_SIZE

if TYPE_CHECKING:
    from PIL import Image

FORMATS = (
    "PNG", "JPEG", "MPO", "GIF", "BMP", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000", "ICO", "TGA",
)  # fmt: skip
"""Those that Pillow decodes by itself: for PostScript it would start another program."""

LARGEST_FILE = 256 * 1024 * 1024
LARGEST_PIXELS = 100_000_000
WORKING_SIDE = 1024
"""What is larger is made smaller first: 28 pixels need no more."""

CORNER = 14
"""A corner is a fourteenth of each side. By the median of its corners none of Fashion-MNIST's
70,000 images is light, and each of their negatives is."""

MARGIN = 0.05 * 255
"""How far a pixel may lie from the background and still belong to a margin."""


class PictureError(ValueError):
    """A file is no picture that can be read; the message says why."""


@dataclass(frozen=True)
class Picture:
    """An image made from a file: uint8 (28, 28), light on dark, and what was done on the way."""

    pixels: NDArray[np.uint8]
    notes: tuple[str, ...]


def find_pictures(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """The files that paths mean, and whether one was named: else it lies in a folder that was.

    Of a folder they are the pictures in it, by name. What lies in folders below, is hidden or has
    another ending is passed over.
    """
    for path in paths:
        try:
            inside = sorted(path.iterdir())
        except OSError:  # no folder, or one whose content is not for us
            yield path, True
            continue
        for file in inside:
            if file.suffix.lower() in _endings() and not file.name.startswith("."):
                yield file, False


def read_picture(path: Path, *, follow: bool = True) -> Picture:
    """The image that a file holds, as the data set would have it.

    follow: whether the path may be a link.

    Raises `PictureError` for what is no picture, is too large or cannot be decoded.
    """
    from PIL import Image, UnidentifiedImageError

    if not follow and path.is_symlink():
        raise PictureError("it is a link: name it to have it read")
    try:
        with (
            files.open_regular(path.resolve() if follow else path) as file,
            warnings.catch_warnings(action="ignore"),  # of its size: see LARGEST_PIXELS
        ):
            if os.fstat(file.fileno()).st_size > LARGEST_FILE:  # first: Pillow may read it whole
                raise PictureError(f"it is larger than {LARGEST_FILE // 2**20} MiB")
            with Image.open(file, formats=_formats()) as image:
                if image.width * image.height > LARGEST_PIXELS:
                    raise PictureError(
                        f"it has {image.width:,} × {image.height:,} pixels, and at most "
                        f"{LARGEST_PIXELS:,} are read"
                    )
                return _prepared(image)
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError(f"it is no picture in a format that is read: {_known()}") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"it has more than {LARGEST_PIXELS:,} pixels") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise PictureError(f"it cannot be read: {why}") from error
    except Exception as error:  # damaged files make decoders raise whatever they meet
        said = str(error) or type(error).__name__
        raise PictureError(f"it cannot be decoded: {said}") from error


def _prepared(image: "Image.Image") -> Picture:
    from PIL import ImageOps

    notes = []
    if getattr(image, "is_animated", False) and image.format != "MPO":  # phones' previews
        notes.append("of its frames the first is taken")
    if image.format in ("JPEG", "MPO"):
        image.draft(None, (WORKING_SIDE, WORKING_SIDE))  # decoded smaller at once
    upright = ImageOps.exif_transpose(image)
    grey, note = _grey(upright)
    notes += [note] if note else []
    background = _background(grey)
    if background > 127:
        grey, background = 255 - grey, 255 - background
        notes.append("its background is light: inverted")
    if grey.shape == (RAW_SIZE, RAW_SIZE):
        return Picture(np.rint(grey).astype(np.uint8), tuple(notes))
    return Picture(_centred(grey, background), tuple(notes))


def _grey(image: "Image.Image") -> tuple[NDArray[np.float32], str]:
    """A picture's brightness, 0 to 255, float32 (height, width), and what became of transparency.

    The shades of colours are ITU-R 601-2's, as Pillow's mode L has them. Behind what is transparent
    comes black or white, whichever lies further from what is seen.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return _deep(image), ""
    image = _smaller(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    grey = np.asarray(image.convert("RGB").convert("L"), np.float32)
    if image.mode == "RGB":
        return grey, ""
    seen = np.asarray(image.getchannel("A"), np.float32) / 255
    if seen.min() == 1.0:
        return grey, ""
    light = (grey * seen).sum() > 127.5 * seen.sum()
    behind, name = (0.0, "black") if light else (255.0, "white")
    composed = (seen * (grey - behind) + behind).astype(np.float32)
    return composed, f"it is transparent: put on {name}"


def _deep(image: "Image.Image") -> NDArray[np.float32]:
    """A grey picture of more than 8 bits, its largest value that of 16 bits where it has more."""
    values = np.nan_to_num(np.asarray(image, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    values = np.maximum(values, 0)
    peak = float(values.max(initial=0))
    if image.mode == "F" and peak <= 1:
        whole = 1.0
    elif image.mode in ("I", "F") and peak <= 255:
        whole = 255.0
    else:
        whole = max(peak, 65535.0)
    from PIL import Image

    shades = Image.fromarray((values * (255 / whole)).astype(np.float32))
    return np.asarray(_smaller(shades), np.float32)


def _smaller(image: "Image.Image") -> "Image.Image":
    factor = max(image.size) // WORKING_SIDE
    return image.reduce(min(factor, *image.size)) if factor > 1 else image


def _background(grey: NDArray[np.float32]) -> float:
    rows, columns = (max(1, side // CORNER) for side in grey.shape)
    corners = [
        grey[vertical, horizontal].mean()
        for vertical in (slice(None, rows), slice(-rows, None))
        for horizontal in (slice(None, columns), slice(-columns, None))
    ]
    return float(np.median(corners))


def _centred(grey: NDArray[np.float32], background: float) -> NDArray[np.uint8]:
    from PIL import Image

    ink = np.abs(grey - background) > MARGIN
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    if len(rows):
        grey = grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = (max(1, round(RAW_SIZE * side / max(grey.shape))) for side in grey.shape)
    shades = Image.fromarray(grey).resize((width, height), Image.Resampling.LANCZOS)
    pixels = np.full((RAW_SIZE, RAW_SIZE), background, np.float32)
    top, left = (RAW_SIZE - height) // 2, (RAW_SIZE - width) // 2
    pixels[top : top + height, left : left + width] = np.asarray(shades, np.float32)
    return np.rint(pixels).clip(0, 255).astype(np.uint8)


@cache
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow was built with."""
    from PIL import Image

    Image.init()
    return tuple(one for one in FORMATS if one in Image.OPEN)


@cache
def _endings() -> frozenset[str]:
    from PIL import Image

    known = Image.registered_extensions().items()
    return frozenset(ending for ending, of in known if of in _formats())


def _known() -> str:
    return ", ".join(one for one in _formats() if one != "MPO")

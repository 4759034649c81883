"""Pictures from anywhere: each becomes an image as the data set's own are, or says why not."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from conftest import tiny_images
from fmbench.data.pictures import PictureError, find_pictures, read_picture

Grey = NDArray[np.uint8]


def shape(width: int = 60, height: int = 60, ink: int = 200, paper: int = 0) -> Grey:
    """A tall block, its upper half brighter, left of the middle of a picture."""
    picture = np.full((height, width), paper, np.uint8)
    picture[height // 10 : height * 9 // 10, width // 5 : width // 2] = ink
    picture[height // 10 : height // 2, width // 5 : width // 2] = ink + (20 if ink < 128 else -20)
    return picture


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    """The path, with the picture written to it."""
    image.save(path, **options)
    return path


def pixels_of(path: Path) -> Grey:
    """What is read from a file."""
    return read_picture(path).pixels


@pytest.fixture
def expected(tmp_path: Path) -> Grey:
    """The image of the block."""
    return pixels_of(saved(tmp_path / "expected.png", Image.fromarray(shape())))


def test_an_image_of_the_data_set_stays_what_it_is(tmp_path: Path) -> None:
    """Grey, dark and 28 × 28: not a pixel is changed, and nothing is said."""
    for number, image in enumerate(tiny_images(20, 3)[0]):
        read = read_picture(saved(tmp_path / f"{number}.png", Image.fromarray(image)))
        assert np.array_equal(read.pixels, image)
        assert read.notes == ()


def test_a_shape_is_cut_out_and_put_into_the_middle(expected: Grey) -> None:
    """Its longer side fills the image, its aspect is kept, and the rest is background."""
    rows, columns = (np.flatnonzero((expected > 90).any(axis)) for axis in (1, 0))
    assert (rows[0], rows[-1]) == (0, 27)
    assert abs((columns[-1] - columns[0] + 1) - 28 * 18 / 48) <= 1
    assert abs(columns[0] - (27 - columns[-1])) <= 1


def test_a_light_background_is_inverted_and_said(tmp_path: Path, expected: Grey) -> None:
    """The negative of a picture gives the same image."""
    read = read_picture(saved(tmp_path / "light.png", Image.fromarray(255 - shape())))
    assert np.array_equal(read.pixels, expected)
    assert read.notes == ("its background is light: inverted",)


def _sixteen_bits(path: Path) -> Path:
    return saved(path, Image.fromarray(shape().astype(np.uint16) * 257))


def _floats(path: Path) -> Path:
    return saved(path.with_suffix(".tiff"), Image.fromarray(shape().astype(np.float32) / 255))


def _palette(path: Path) -> Path:
    image = Image.fromarray(shape()).convert("RGB").quantize(16)
    return saved(path, image)


def _transparent(path: Path) -> Path:
    seen = np.where(shape() > 0, 255, 0).astype(np.uint8)
    return saved(path, Image.merge("LA", [Image.fromarray(one) for one in (shape(), seen)]))


def _transparent_palette(path: Path) -> Path:
    return saved(path, Image.fromarray(shape()).convert("P"), transparency=0)


def _animated(path: Path) -> Path:
    frames = [Image.fromarray(one) for one in (shape(), np.zeros_like(shape()))]
    return saved(path.with_suffix(".gif"), frames[0], save_all=True, append_images=frames[1:])


def _turned(path: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    return saved(path, Image.fromarray(np.rot90(shape())), exif=exif)


def _cmyk(path: Path) -> Path:
    return saved(path.with_suffix(".tiff"), Image.fromarray(shape()).convert("RGB").convert("CMYK"))


KINDS: dict[str, Callable[[Path], Path]] = {
    "colour": lambda path: saved(path, Image.fromarray(shape()).convert("RGB")),
    "16 bits": _sixteen_bits,
    "floats": _floats,
    "palette": _palette,
    "transparent": _transparent,
    "transparent palette": _transparent_palette,
    "animated": _animated,
    "turned": _turned,
    "CMYK": _cmyk,
    "larger": lambda path: saved(
        path, Image.fromarray(np.kron(shape(), np.ones((9, 9), np.uint8)))
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_file_gives_the_same_image(kind: str, tmp_path: Path, expected: Grey) -> None:
    """However a picture is stored, what is seen is what counts."""
    found = pixels_of(KINDS[kind](tmp_path / "picture.png")).astype(int)
    assert abs(found - expected).max() <= 12
    assert abs(found - expected).mean() <= 1


@pytest.mark.parametrize(("ink", "behind"), [(30, "white"), (220, "black")])
def test_what_is_transparent_is_put_on_what_it_stands_out_from(
    ink: int, behind: str, tmp_path: Path
) -> None:
    """A dark thing comes on white, a light one on black; both end light on dark."""
    grey = shape(ink=ink)
    seen = np.where(grey > 0, 255, 0).astype(np.uint8)
    image = Image.merge("LA", [Image.fromarray(one) for one in (grey, seen)])
    read = read_picture(saved(tmp_path / "cut-out.png", image))
    assert f"it is transparent: put on {behind}" in read.notes
    assert read.pixels[:, 0].max() == 0
    assert read.pixels[14, 14] > 150


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (3000, 2), (28, 27)])
def test_any_size_and_aspect_gives_an_image(size: tuple[int, int], tmp_path: Path) -> None:
    """One pixel, one row or one column is a picture too."""
    assert pixels_of(saved(tmp_path / "a.png", Image.new("RGB", size, "red"))).shape == (28, 28)


def _png_of(width: int, height: int) -> bytes:
    """A PNG that says it is so large and holds nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


BAD = {
    "no picture": (b"words", "no picture"),
    "nothing": (b"", "no picture"),
    "a program for PostScript": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "no picture",
    ),
    "a bomb": (_png_of(60_000, 60_000), "pixels"),
    "a large one": (_png_of(11_000, 10_000), "at most"),
    "cut off": (_png_of(20, 20), "cannot"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture_says_why(name: str, tmp_path: Path) -> None:
    """Other files, bombs and damaged pictures are refused with a reason."""
    content, reason = BAD[name]
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(PictureError, match=reason):
        read_picture(tmp_path / "bad.png")


def test_a_folder_means_the_pictures_in_it_and_no_links(tmp_path: Path) -> None:
    """By name; not what is hidden, has another ending, lies below, or is elsewhere."""
    folder, outside = tmp_path / "folder", tmp_path / "outside.png"
    (folder / "below").mkdir(parents=True)
    saved(outside, Image.fromarray(shape()))
    for name in ("b.JPG", "a.png", ".hidden.png", "below/c.png"):
        content = io.BytesIO()
        Image.fromarray(shape()).save(content, "PNG")
        (folder / name).write_bytes(content.getvalue())
    (folder / "notes.txt").write_text("words")
    (folder / "link.png").symlink_to(outside)
    found = list(find_pictures([folder, outside, tmp_path / "none.png"]))
    assert found == [
        (folder / "a.png", False),
        (folder / "b.JPG", False),
        (folder / "link.png", False),
        (outside, True),
        (tmp_path / "none.png", True),
    ]
    with pytest.raises(PictureError, match="it is a link"):
        read_picture(folder / "link.png", follow=False)
    assert read_picture(folder / "link.png").pixels.any()

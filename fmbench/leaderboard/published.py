"""The files computed from a store that lie beside its records, and whether they are fresh."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmbench import data, files
from fmbench.data import suspects
from fmbench.errors import DataError
from fmbench.leaderboard import formats, page
from fmbench.leaderboard.board import Board, read_board
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.protocol import Protocol
from fmbench.store import protocols_in

MARKDOWN, CSV, PICTURE = "leaderboard.md", "leaderboard.csv", "leaderboard.svg"
PAGE = "index.html"
LARGEST = 256 * 1024 * 1024  # bytes; what is larger was not written here


def write_board(stored: StoredResults, board: Board, data_dir: Path | None = None) -> list[Path]:
    """Write Markdown, CSV, picture and page, with images when they are on this machine.

    data_dir: the folder of the data set, where it is not one of those that are always looked into.
    """
    images = images_at_hand(stored.protocol, data_dir)
    texts = {
        MARKDOWN: formats.to_markdown(board),
        CSV: formats.to_csv(board),
        PICTURE: page.draw(board, stored),
        PAGE: page.render(board, stored, images, twins_at_hand(stored.protocol, data_dir)),
    }
    for name, text in texts.items():
        files.write(stored.folder / name, text.encode())
    return [stored.folder / name for name in texts]


def write_index(results: Path) -> list[Path]:
    """Write the page that lists the boards of a results folder, unless another's page is there."""
    path = results / PAGE
    if path.exists() and not _is_index(path):
        return []
    files.write(path, page.render_index(protocols_in(results)).encode())
    return [path]


def stale_index(results: Path) -> bool:
    """Whether the page that lists the boards is there and lists others."""
    path = results / PAGE
    return _is_index(path) and _text(path) != page.render_index(protocols_in(results))


def stale(stored: StoredResults) -> list[Path]:
    """Those of the files that are missing or not what the records say.

    They are compared byte by byte, with ranks computed anew; of the page all but its pictures,
    whose bytes depend on the library that wrote them and on the data set being at hand.
    """
    board = read_board(stored, cached=False)
    found = {
        MARKDOWN: _text(stored.folder / MARKDOWN) == formats.to_markdown(board),
        CSV: _text(stored.folder / CSV) == formats.to_csv(board),
        PICTURE: _text(stored.folder / PICTURE) == page.draw(board, stored),
        PAGE: page.is_of(_text(stored.folder / PAGE), board, stored),
    }
    return [stored.folder / name for name, fresh in found.items() if not fresh]


def images_at_hand(protocol: Protocol, data_dir: Path | None = None) -> NDArray[np.uint8] | None:
    """A protocol's test images, uint8 (n, 28, 28), when they are on this machine; never fetched."""
    folder = data_dir or data.present()
    if folder is None:
        return None
    try:
        return data.read(folder, data.FILES[2], protocol.data.sha256)
    except DataError:
        return None


def twins_at_hand(protocol: Protocol, data_dir: Path | None = None) -> NDArray[np.uint8] | None:
    """The training images, uint8 (n, 28, 28), of the near-twins that a page shows, where at hand.

    None for a data set that is not Fashion-MNIST.
    """
    folder = data_dir or data.present()
    if folder is None or protocol.data.sha256 != data.FASHION_MNIST:
        return None
    numbers = [one.train for one in suspects.load().near_twins.images[: page.SHOWN]]
    try:
        return data.read(folder, data.FILES[0])[numbers]
    except DataError:
        return None


def _is_index(path: Path) -> bool:
    return '<meta name="generator" content="fmbench">' in _text(path)


def _text(path: Path) -> str:
    try:
        return files.read_at_most(path, LARGEST).decode()
    except (OSError, ValueError):
        return ""

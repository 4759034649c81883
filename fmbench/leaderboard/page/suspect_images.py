"""Suspect test images: near-twins of training images, and those whose label runs contradict."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmbench.data import LABELS, suspects
from fmbench.data.suspects import Suspects
from fmbench.data.twins import Twin
from fmbench.leaderboard.board import Board
from fmbench.leaderboard.page.confusion import ModelVotes, Votes
from fmbench.leaderboard.page.gallery import png_uri
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.leaderboard.subsets import kept_images
from fmbench.protocol import TRAINING_IMAGES

SHOWN = 12
Images = NDArray[np.uint8]


@dataclass(frozen=True)
class TwinPicture:
    """A test image beside the training image nearest to it, and how it was changed to be so near.

    labels:   their label, both where they differ.
    pictures: both as data: URIs, the test image first.
    """

    twin: Twin
    labels: str
    distance: str
    change: str
    pictures: tuple[str, ...]


@dataclass(frozen=True)
class DoubtPicture:
    """A test image with its label, the other class that most runs name, and how many do."""

    image: int
    label: str
    said: str
    votes: int
    picture: str


@dataclass(frozen=True)
class SuspectImages:
    """What a board's page says of its test images.

    known:     the lists that come with fmbench; None where the test set is another.
    learned:   how many training images its models learned from; all: whether these are all.
    no_twins, no_doubts: by how many points accuracies change without either, as a span.
    runs:      the board's own readable runs; against: on how many images they all name one and
               the same other class.
    """

    known: Suspects | None
    learned: int
    all: bool
    no_twins: str
    no_doubts: str
    runs: int
    against: int
    twins: tuple[TwinPicture, ...]
    doubts: tuple[DoubtPicture, ...]


def suspect_images(
    board: Board,
    stored: StoredResults,
    read: Sequence[ModelVotes],
    labels: Images,
    pictures: Images | None,
    twins: Images | None,
) -> SuspectImages:
    """What there is to say; `twins` are the training images of the first `SHOWN` near-twins."""
    known = suspects.load() if kept_images(stored.protocol.data.sha256) else None
    learned = stored.protocol.final.train_images or TRAINING_IMAGES
    votes = sum((one.votes for one in read), np.zeros((len(labels), len(LABELS)), np.int64))
    runs = sum(one.runs for one in read)
    shown: tuple[TwinPicture, ...] = ()
    if known and len(labels) and pictures is not None and twins is not None:
        images = known.near_twins.images[:SHOWN]
        names = [LABELS[labels[one.test]] for one in images]
        shown = twin_pictures(images, pictures, twins, names)
    return SuspectImages(
        known=known,
        learned=learned,
        all=learned == TRAINING_IMAGES,
        no_twins=_changes(board, "accuracy_without_near_twins"),
        no_doubts=_changes(board, "accuracy_without_doubtful_labels"),
        runs=runs,
        against=int((_against(votes, labels) == runs).sum()) if runs else 0,
        twins=shown,
        doubts=doubts_of(votes, labels, pictures) if runs > 1 else (),
    )


def twin_pictures(
    found: Sequence[Twin], test: Images, train: Images, labels: Sequence[str]
) -> tuple[TwinPicture, ...]:
    """The near-twins with their labels; `train` are their training images, (n, 28, 28)."""
    return tuple(
        TwinPicture(
            twin=twin,
            labels=label,
            distance=f"{twin.distance:.2f}",
            change=_change(twin),
            pictures=(png_uri(test[twin.test]), png_uri(image)),
        )
        for twin, image, label in zip(found, train, labels, strict=True)
    )


def doubts_of(
    votes: Votes, labels: Images, pictures: Images | None, most: int = SHOWN
) -> tuple[DoubtPicture, ...]:
    """The images whose label most runs contradict with one voice, of equal ones the first.

    votes: int64 (n, 10), how many runs named each class; labels: uint8 (n,).
    """
    against = _against(votes, labels)
    order = np.argsort(-against, kind="stable")[:most].tolist()
    return tuple(
        doubt_picture(
            image,
            votes[image],
            int(labels[image]),
            "" if pictures is None else png_uri(pictures[image]),
        )
        for image in order
        if against[image]
    )


def doubt_picture(
    image: int, votes: NDArray[np.int64], label: int, picture: str = ""
) -> DoubtPicture:
    """One test image by its number, with the votes of all runs, int64 (10,), and its label."""
    against = votes.copy()
    against[label] = 0
    said = int(against.argmax())
    return DoubtPicture(image, LABELS[label], LABELS[said], int(against[said]), picture)


def _against(votes: Votes, labels: Images) -> NDArray[np.int64]:
    """How many runs name the other class that most of them name, int64 (n,)."""
    rest = votes.copy()
    rest[np.arange(len(labels)), labels] = 0
    return np.asarray(rest.max(axis=1, initial=0))


def _changes(board: Board, field: str) -> str:
    pairs = [(getattr(row, field), row.accuracy) for row in board.rows]
    found = [after - before for after, before in pairs if after is not None]
    if not found:
        return ""
    ends = dict.fromkeys(f"{100 * one:+.2f}".replace("-", "−") for one in (min(found), max(found)))
    return " to ".join(ends)


def _change(twin: Twin) -> str:
    steps = (twin.down, "down", "up"), (twin.right, "right", "left")
    said = ["mirrored"] if twin.mirrored else []
    said += [f"{abs(step)} {forth if step > 0 else back}" for step, forth, back in steps if step]
    return ", ".join(said)

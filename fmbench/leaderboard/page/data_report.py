"""The data report: what of Fashion-MNIST's test images is near the training set or in doubt."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import astuple

from fmbench.data import FILES, LABELS, Dataset
from fmbench.data.suspects import Suspects
from fmbench.data.twins import NearTwins
from fmbench.leaderboard.page.document import assets, templates
from fmbench.leaderboard.page.gallery import png_uri
from fmbench.leaderboard.page.suspect_images import DoubtPicture, doubt_picture, twin_pictures


@dataclass(frozen=True)
class Doubts:
    """The doubtful images of one label that are taken for one other class."""

    label: str
    said: str
    images: tuple[DoubtPicture, ...]


def render_report(dataset: Dataset, found: NearTwins, known: Suspects) -> str:
    """The report as HTML. The same input gives the same.

    found: the near-twins of this very data set; known: the lists that come with fmbench.
    """
    pairs = [
        (dataset.test_labels[one.test], dataset.train_labels[one.train]) for one in found.images
    ]
    return (
        templates()
        .get_template("report.html.j2")
        .render(
            found=found,
            known=known,
            same=found == known.near_twins,
            sizes=(len(dataset.train_images), len(dataset.test_images)),
            twins=twin_pictures(
                found.images,
                dataset.test_images,
                dataset.train_images[[one.train for one in found.images]],
                [
                    LABELS[test] if test == train else f"{LABELS[test]}, {LABELS[train]}"
                    for test, train in pairs
                ],
            ),
            doubts=_doubts(dataset, known),
            files=list(zip(FILES, astuple(known.data), strict=True)),
            **assets(),
        )
    )


def _doubts(dataset: Dataset, known: Suspects) -> Sequence[Doubts]:
    """By what is taken for what, the most frequent first."""
    groups: dict[tuple[str, str], list[DoubtPicture]] = defaultdict(list)
    for one in known.doubtful_labels.images:
        label = int(dataset.test_labels[one.image])
        picture = png_uri(dataset.test_images[one.image])
        shown = doubt_picture(one.image, np.array(one.votes), label, picture)
        groups[shown.label, shown.said].append(shown)
    found = [Doubts(label, said, tuple(images)) for (label, said), images in groups.items()]
    return sorted(found, key=lambda one: (-len(one.images), one.label, one.said))

"""The document: everything the page says, put into its template."""

import base64
import hashlib
import re
from dataclasses import dataclass
from importlib import resources

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from fmbench.data import LABELS
from fmbench.leaderboard.board import Board
from fmbench.leaderboard.page.board_models import BoardModel, board_models, devices_of
from fmbench.leaderboard.page.conclusions import Sentence, conclusions, rules_in_words
from fmbench.leaderboard.page.confusion import Unread, confused_pairs, read_votes
from fmbench.leaderboard.page.curves import CurvePlots, curve_plots
from fmbench.leaderboard.page.dots import DotPlot, dot_plot
from fmbench.leaderboard.page.gallery import Confusions, gallery, icon_uri
from fmbench.leaderboard.page.matrices import Matrix, matrices
from fmbench.leaderboard.page.provenance import Origin, origins
from fmbench.leaderboard.page.scatter import Panel, panels
from fmbench.leaderboard.page.table import Table, table
from fmbench.leaderboard.page.text import breakable, count, inert, listing
from fmbench.leaderboard.page.trials import Trials, trials
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.protocol import TRAINING_IMAGES

_PICTURE = re.compile(r'"data:image/[^"]*"')


@dataclass(frozen=True)
class BoardFact:
    """A name and a value of the strip below the conclusions."""

    name: str
    value: str


@dataclass(frozen=True)
class Page:
    """Everything a page says, ready for its template."""

    board: Board
    icon: str
    rules: str
    conclusions: tuple[Sentence, ...]
    facts: tuple[BoardFact, ...]
    dots: DotPlot
    table: Table
    panels: tuple[Panel, ...]
    curves: CurvePlots
    trials: Trials
    labels: tuple[str, ...]
    confusions: tuple[Confusions, ...]
    models_read: int
    pictures: str
    matrices: tuple[Matrix, ...]
    unread: tuple[Unread, ...]
    origins: tuple[Origin, ...]


def render(board: Board, stored: StoredResults, images: NDArray[np.uint8] | None) -> str:
    """The page of a board and the stored it rests on, as HTML. The same input gives the same.

    `images` are the test images, uint8 (n, 28, 28), or None when the data set is not at hand.
    Labels or predictions that cannot be read are left out and said to be; nothing is raised.
    """
    models = board_models(board, stored)
    read, unread = read_votes(stored, models)
    # Votes are read only where the labels can be.
    labels = stored.labels if read else np.zeros(0, dtype=np.uint8)
    fitting = images if images is not None and len(images) == len(labels) else None
    page = Page(
        board=board,
        icon=icon_uri(),
        rules=rules_in_words(stored.protocol),
        conclusions=conclusions(board, len(stored.protocol.seeds), models),
        facts=_facts(board, stored, models),
        dots=dot_plot(models),
        table=table(models, len(stored.protocol.seeds)),
        panels=panels(models),
        curves=curve_plots(models),
        trials=trials(stored.protocol, models),
        labels=LABELS,
        confusions=gallery(confused_pairs(read, labels), len(read), fitting),
        models_read=len(read),
        pictures=_about_pictures(images, fitting),
        matrices=matrices(read, labels),
        unread=unread,
        origins=origins(stored, models),
    )
    return _fill(page)


def is_of(html: str, board: Board, stored: StoredResults) -> bool:
    """Whether a page says what it should of this board and stored, whatever its pictures are.

    It may have been written with the test images, without them, or with others.
    """
    blank = np.zeros((board.rows[0].test_images or 0 if board.rows else 0, 28, 28), np.uint8)
    return any(
        _PICTURE.sub("", render(board, stored, images)) == _PICTURE.sub("", html)
        for images in (blank, None, blank[:0])
    )


def _facts(
    board: Board, stored: StoredResults, models: tuple[BoardModel, ...]
) -> tuple[BoardFact, ...]:
    protocol = stored.protocol
    complete = sum(model.row.complete for model in models)
    counted = count(len(models), "model")
    images = protocol.final.train_images or TRAINING_IMAGES
    tested = sorted({row.test_images for row in board.rows if row.test_images})
    devices = devices_of(models)
    return (
        BoardFact("Protocol", f"{board.protocol}, {board.status}"),
        BoardFact(
            "Models", counted if complete == len(models) else f"{counted}, {complete} complete"
        ),
        BoardFact("Seeds", f"{len(protocol.seeds)} for each model"),
        BoardFact("Trained on", f"{images:,} images, {count(protocol.final.epochs, 'epoch')}"),
        BoardFact("Scored on", f"{listing([f'{size:,}' for size in tested]) or 'no'} test images"),
        BoardFact("Device" if len(devices) < 2 else "Devices", "; ".join(devices) or "none"),
    )


def _about_pictures(images: NDArray[np.uint8] | None, fitting: NDArray[np.uint8] | None) -> str:
    """Why pictures are left out, empty when they are not."""
    if images is None:
        return "Pictures are left out: the data set is not at hand. It is fetched by"
    if fitting is None:
        return "Pictures are left out: these are not the images the runs were scored on. See"
    return ""


def templates() -> Environment:
    """The templates; what they are given cannot do anything but be read."""
    environment = Environment(
        loader=PackageLoader(__package__ or "", "templates"),
        autoescape=True,
        finalize=inert,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["breakable"] = breakable
    return environment


def _fill(page: Page) -> str:
    style, script = _asset("style.css"), _asset("page.js")
    return (
        templates()
        .get_template("page.html.j2")
        .render(
            page=page,
            style=Markup(style),  # noqa: S704 - a file of this package
            script=Markup(script),  # noqa: S704 - a file of this package
            policy=(
                "default-src 'none'; img-src data:; "
                f"style-src {_source(style)}; script-src {_source(script)}; "
                "base-uri 'none'; form-action 'none'"
            ),
        )
    )


def _asset(name: str) -> str:
    return (resources.files(__package__ or "") / "templates" / name).read_text("utf-8")


def _source(text: str) -> str:
    """What a content security policy calls an inline style or script: its digest."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

"""The document: everything the page says, put into its templates."""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from importlib import resources

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from fmbench.data import LABELS
from fmbench.leaderboard.board import Board
from fmbench.leaderboard.columns import KEYS
from fmbench.leaderboard.page.board_models import BoardModel, board_models, devices_of
from fmbench.leaderboard.page.conclusions import conclusions, rules_in_words
from fmbench.leaderboard.page.confusion import confused_pairs, matrix_of, read_votes
from fmbench.leaderboard.page.curves import curve_plots
from fmbench.leaderboard.page.differences import class_rows, differences
from fmbench.leaderboard.page.dots import dot_plot
from fmbench.leaderboard.page.gallery import png_uri
from fmbench.leaderboard.page.provenance import CODE, origins
from fmbench.leaderboard.page.scatter import panels
from fmbench.leaderboard.page.suspect_images import SHOWN, suspect_images
from fmbench.leaderboard.page.table import table
from fmbench.leaderboard.page.text import breakable, count, inert, listing
from fmbench.leaderboard.page.trials import trials
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.leaderboard.tiers import TIERS
from fmbench.protocol import TRAINING_IMAGES
from fmbench.standing import standing, successor
from fmbench.wording import counted, percent

REPOSITORY = "https://github.com/fashion-mnist-bench/fashion-mnist-bench"
_PICTURE = re.compile(r'"data:image/[^"]*"')


def render(
    board: Board,
    stored: StoredResults,
    images: NDArray[np.uint8] | None,
    twins: NDArray[np.uint8] | None = None,
) -> str:
    """The page of a board and the results it rests on, as HTML. The same input gives the same.

    `images` are the test images, uint8 (n, 28, 28), or None when the data set is not at hand;
    `twins` the training images of the nearest near-twins, or None.
    Labels or predictions that cannot be read are left out and said to be; nothing is raised.
    """
    models = board_models(board, stored)
    read, unread = read_votes(stored, models)
    # Votes are read only where the labels can be.
    labels = stored.labels if read else np.zeros(0, dtype=np.uint8)
    pictures = images if images is not None and len(images) == len(labels) else None
    seeds = len(stored.protocol.seeds)
    columns, rows = table(models, seeds)
    return (
        templates()
        .get_template("page.html.j2")
        .render(
            board=board,
            later=successor(board.protocol),
            rules=rules_in_words(stored.protocol),
            conclusions=conclusions(board, seeds, models),
            facts=_facts(board, stored, models),
            dots=dot_plot(models),
            columns=columns,
            rows=rows,
            panels=panels(models),
            curves=curve_plots(models),
            trials=trials(stored.protocol, models),
            labels=LABELS,
            classes=class_rows(read),
            differences=differences(read),
            seeds=seeds,
            pairs=confused_pairs(read, labels),
            matrices=[matrix_of(model, labels) for model in read],
            models_read=len(read),
            unread=unread,
            pictures=pictures,
            suspects=suspect_images(board, stored, read, labels, pictures, twins),
            no_pictures=_why_no_pictures(images, pictures),
            png_uri=png_uri,
            origins=origins(stored, models),
            code=CODE,
            protocol_file=f"protocol-{board.digest[:8]}.toml",
            repository=REPOSITORY,
            **assets(),
        )
    )


def render_index(names: Sequence[str]) -> str:
    """The page that lists boards, each in a folder beside it, by these names.

    Those of superseded protocols come last.
    """
    about = assets()
    about["policy"] = about["policy"].replace("img-src", "img-src 'self'")
    template = templates().get_template("index.html.j2")
    later = {name: successor(name) for name in names}
    current_first = sorted(names, key=lambda name: later[name] is not None)
    return template.render(names=current_first, later=later, repository=REPOSITORY, **about)


def is_of(html: str, board: Board, stored: StoredResults) -> bool:
    """Whether a page says what it should of this board and its results, whatever its pictures are.

    It may have been written with the test images, without them, or with others.
    """
    blank = np.zeros((board.rows[0].test_images or 0 if board.rows else 0, 28, 28), np.uint8)
    beside = np.zeros((SHOWN, 28, 28), np.uint8)
    return any(
        _PICTURE.sub("", render(board, stored, images, twins)) == _PICTURE.sub("", html)
        for images, twins in ((blank, beside), (blank, None), (None, None), (blank[:0], None))
    )


def _facts(board: Board, stored: StoredResults, models: Sequence[BoardModel]) -> dict[str, str]:
    """What stands in the strip below the conclusions, by name."""
    protocol = stored.protocol
    complete = sum(model.row.complete for model in models)
    counted = count(len(models), "model")
    images = protocol.final.train_images or TRAINING_IMAGES
    tested = sorted({row.test_images for row in board.rows if row.test_images})
    devices = devices_of(models)
    return {
        "Protocol": f"{board.protocol}, {standing(protocol)}",
        "Models": counted if complete == len(models) else f"{counted}, {complete} complete",
        "Seeds": f"{len(protocol.seeds)} for each model",
        "Trained on": f"{images:,} images, {count(protocol.final.epochs, 'epoch')}",
        "Scored on": f"{listing([f'{size:,}' for size in tested]) or 'no'} test images",
        **({"Recipe": protocol.recipes[0].name} if len(protocol.recipes) == 1 else {}),
        "Device" if len(devices) < 2 else "Devices": "; ".join(devices) or "none",
        **_verified(models),
    }


def _verified(models: Sequence[BoardModel]) -> dict[str, str]:
    """How far how many models were checked; nothing where none was."""
    found = Counter[str](model.row.tier or "not verified" for model in models)
    words = (*reversed(TIERS), "not verified")
    said = ", ".join(f"{found[word]} {word}" for word in words if found[word])
    return {"Verified": said} if any(found[tier] for tier in TIERS) else {}


def _why_no_pictures(images: NDArray[np.uint8] | None, fitting: NDArray[np.uint8] | None) -> str:
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
    environment.filters |= {"breakable": breakable, "counted": counted, "percent": percent}
    return environment


def assets() -> dict[str, str]:
    """The style and the script of a page, and the policy that allows nothing else."""
    chosen = (
        f"#models:has(#column-{key}:not(:checked)) .{key} {{ display: none; }}" for key in KEYS
    )
    style, script = "\n".join((_asset("style.css"), *chosen)), _asset("page.js")
    return {
        "style": Markup(style),  # noqa: S704 - a file of this package
        "script": Markup(script),  # noqa: S704 - a file of this package
        "policy": (
            "default-src 'none'; img-src data:; "
            f"style-src {_source(style)}; script-src {_source(script)}; "
            "base-uri 'none'; form-action 'none'"
        ),
    }


def _asset(name: str) -> str:
    return (resources.files(__package__ or "") / "templates" / name).read_text("utf-8")


def _source(text: str) -> str:
    """What a content security policy calls an inline style or script: its digest."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

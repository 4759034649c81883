"""The commands that say what there is: models, data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbench.cli import completion
from fmbench.cli.app import (
    DataOption,
    JsonOption,
    PluginsOption,
    choose_plugins,
    print_json,
    writing,
)

if TYPE_CHECKING:
    from fmbench.data import Dataset


def models(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATTERN...]",
            help="Show only models that match; one such as 'timm/*' shows a whole family.",
            autocompletion=completion.models,
        ),
    ] = None,
    plugins: PluginsOption = None,
    json: JsonOption = False,
) -> None:
    """List installed models, families, and what is wrong with broken plugins.

    \b
    Examples:
      fmbench models
      fmbench models 'timm/*'           every member of a family, not only the listed ones
      fmbench models -p no:fmbench-vgg --json
    """
    from fmbench import discovery
    from fmbench.console import stream, tables
    from fmbench.execution.selection import members_matching

    choose_plugins(plugins or [])
    catalogue = discovery.catalogue()
    if patterns:
        catalogue = members_matching(catalogue, patterns)
    if json:
        print_json(catalogue)
        return
    tables.print_catalogue(catalogue)
    if not catalogue.models and not patterns:
        stream.say(f"no plugin offers a model\n\nhint: {discovery.INSTALL_MODELS}")


def data(
    data_dir: DataOption = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw some images of every class.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Compare test with training images, and write a page of near-twins and doubtful "
            "labels, their list, and a Croissant description; takes about a minute.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Find or fetch Fashion-MNIST, verify its bytes, and say what is in it.

    \b
    Examples:
      fmbench data
      fmbench data --picture classes.png
      fmbench data --report data-report
      fmbench data --data-dir /mnt/fashion-mnist
    """
    import msgspec

    from fmbench import data as sets
    from fmbench.console import stream, tables

    folder = sets.find(data_dir, say=stream.say)
    dataset = sets.load(folder)
    found = sets.summary(dataset)
    if json:
        print_json({"folder": str(folder), **msgspec.structs.asdict(found)})
    else:
        tables.print_data(folder, found)
    if picture:
        with writing(picture):
            sets.class_picture(dataset, picture)
        stream.say(f"wrote {picture}")
    if report:
        _write_report(dataset, report)


def _write_report(dataset: "Dataset", folder: Path) -> None:
    """Compute and write a data report; raises `UsageError` where that cannot be written."""
    from fmbench.console import stream
    from fmbench.data import croissant, suspects
    from fmbench.data.twins import near_twins
    from fmbench.leaderboard import page

    with writing(folder):  # known now, not after a minute
        folder.mkdir(parents=True, exist_ok=True)
    counts = f"{len(dataset.test_images):,} test with {len(dataset.train_images):,} training images"
    stream.say(f"comparing {counts}, as they are, mirrored and moved")
    known = suspects.load()
    texts = {
        "index.html": page.render_report(dataset, near_twins(dataset), known),
        suspects.FILE: suspects.encode(known),
        croissant.FILE: croissant.describe(known),
    }
    for name, text in texts.items():
        with writing(folder / name):
            (folder / name).write_text(text, "utf-8")
        stream.say(f"wrote {folder / name}")

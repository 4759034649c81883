"""The commands that say what there is: models, data."""

from pathlib import Path
from typing import Annotated

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
    json: JsonOption = False,
) -> None:
    """Find or fetch Fashion-MNIST, verify its bytes, and say what is in it.

    \b
    Examples:
      fmbench data
      fmbench data --picture classes.png
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

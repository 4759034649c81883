"""The commands for those who write plugins."""

import shlex
from pathlib import Path
from typing import Annotated

import typer


def new(
    name: Annotated[str, typer.Argument(help="Name of the new distribution, such as my-cnn.")],
    folder: Annotated[
        Path | None, typer.Option(help="Write it to this folder instead of ./NAME.")
    ] = None,
) -> None:
    """Write a new plugin: a distribution with a model, its test, a README and a CI example.

    \b
    Examples:
      fmbench new my-cnn
      fmbench new my-cnn --folder ~/plugins/my-cnn
    """
    from fmbench.console import stream
    from fmbench.scaffold import names_of, write_plugin

    model = names_of(name).model  # before its folder is there, which Python could import
    written = write_plugin(name, folder)
    for path in written:
        stream.say(f"wrote {path}")
    place = written[0].parent
    where = place if place.is_absolute() else f"./{place}"  # pip takes a bare word for an index's
    stream.tell(
        f"pip install {shlex.quote(str(where))}\nfmbench check {model}\nfmbench run {model}"
    )

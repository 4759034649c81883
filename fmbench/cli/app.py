"""The application that commands join, and the options they share."""

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from fmbench.cli import completion
from fmbench.errors import UsageError

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class GroupsLast(TyperGroup):
    """Lists commands as they were added, and groups of commands after them."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click passes it by name
        """The names in that order."""
        return sorted(self.commands, key=lambda name: isinstance(self.commands[name], TyperGroup))


app = typer.Typer(
    cls=GroupsLast,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=HELP,
)


def nameable(option: typer.CallbackParam, path: Path | None) -> Path | None:
    """Refuse a path that is no text here: records, pages and messages could not name it."""
    try:
        whole = Path() if path is None else path.absolute()
    except FileNotFoundError as error:
        raise UsageError(
            "the current folder does not exist any more", where=option.opts[0], hint="cd elsewhere"
        ) from error
    try:
        str(whole).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{os.fsencode(whole)!r} is not text in this locale",
            where=option.opts[0],
            hint="rename the folder, or take a UTF-8 locale: export LC_ALL=C.UTF-8",
        ) from error
    return path


ResultsOption = Annotated[
    Path,
    typer.Option(callback=nameable, help="Folder of the records; each protocol has its own in it."),
]
ProtocolOption = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE",
        help="Use the rules of this protocol: a built-in name, or the path of your own .toml file.",
        autocompletion=completion.protocols,
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        callback=nameable,
        help="Read the data set's four files from this folder instead of searching for them.",
    ),
]


StoredOption = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        metavar="NAME|FILE",
        help="Read the records of this protocol; needed where the folder has those of several.",
        autocompletion=completion.stored,
    ),
]


def finite(option: typer.CallbackParam, seconds: float) -> float:
    """Refuse what is no number of seconds: `inf` and `nan` can be typed, and pass any bound."""
    if not math.isfinite(seconds):
        raise UsageError(
            f"{seconds} is not a number of seconds",
            where=option.opts[0],
            hint="for practically no limit use 1e9",
        )
    return seconds


TimeoutOption = Annotated[
    float,
    typer.Option(metavar="SECONDS", min=1, callback=finite, help="End a run that takes longer."),
]
PluginsOption = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        metavar="NAME|no:NAME",
        help="Load an observer, or a plugin that is left out; no:NAME leaves one out. Repeatable.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON, for programs, instead of text for people.")
]


@app.callback(invoke_without_command=True)
def fmbench(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Train and test every installed model on Fashion-MNIST under one protocol.

    \b
    Examples:
      fmbench run --all                 every listed model, then the leaderboard
      fmbench run vgg11 'timm/*'        some models
      fmbench leaderboard               the table again, without training
      fmbench compare vgg11 vgg11-bn    what may be concluded about two models
      fmbench models                    what is installed, and what is broken
      fmbench show                      every run with its status
      fmbench reproduce 3f9a1c02        one run again, and whether it comes out the same
      fmbench predict 3f9a1c02 a.png    what a picture shows, by the weights of a run

    \b
    Exit codes: 0 all ok, 1 a final run, all recipes of a model, a check of a
    plugin, a reproduction, a verification or a picture failed, or a submission
    was refused, 2 usage, 3 internal error, 4 data, protocol or machine check
    failed, or a published file is stale, 5 nothing selected, 130 interrupted.
    """
    from fmbench import environment

    if other := environment.version("fmbench"):  # its package and its command have this one's name
        typer.echo(
            f"the distribution fmbench {other} is another tool, whose package and command have "
            "this one's name\n"
            f"  hint: pip uninstall fmbench, then pip install --force-reinstall "
            f"{environment.DISTRIBUTION}",
            err=True,
        )
    if version:
        typer.echo(f"fmbench {environment.version(environment.DISTRIBUTION)}")


def choose_plugins(words: Sequence[str]) -> None:
    """Take a command's `-p` words; raises `UsageError` for one that names nothing installed."""
    from fmbench.discovery import choice
    from fmbench.discovery.guests import require_installed

    require_installed(
        name.strip().removeprefix(choice.NOT) for word in words for name in word.split(",")
    )
    choice.add(words)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure to write a file the user named into a `UsageError`."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror or error}",
            where=str(path),
            hint="choose another file",
        ) from error


def write_text(text: str, output: Path | None) -> None:
    """Write text to the file the user named, or to stdout."""
    if output is None:
        sys.stdout.buffer.write(text.encode())
    else:
        with writing(output):
            output.write_bytes(text.encode())


def print_json(value: object) -> None:
    """Print data as indented JSON on stdout."""
    import msgspec

    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")

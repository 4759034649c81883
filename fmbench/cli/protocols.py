"""The commands about protocols: which there are, what one fixes, and one of one's own."""

import shlex
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from fmbench.cli import completion
from fmbench.cli.app import HELP, JsonOption, print_json


class ShowsByDefault(TyperGroup):
    """A group whose command `show` is meant where none is named: `fmbench protocols quick-v2`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put in `show` unless a command or help is named."""
        if not args or args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["show", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=ShowsByDefault, rich_markup_mode=None, context_settings=HELP)


@app.callback()
def protocols() -> None:
    """List protocols, print what one fixes, or write one that extends another.

    \b
    Examples:
      fmbench protocols
      fmbench protocols quick-v2
      fmbench protocols my-protocol.toml --json
      fmbench protocols new my-protocol --from lite-v2 --set final.epochs=30
    """


@app.command()
def show(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME|FILE]",
            help="A built-in name, or the path of a .toml file; without it, all built-in ones.",
            autocompletion=completion.protocols,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the built-in protocols, or print what one fixes and leaves free.

    The word `show` may be left out. Of a derived protocol it prints the changes too.

    \b
    Examples:
      fmbench protocols
      fmbench protocols quick-v2
      fmbench protocols my-protocol.toml --json
    """
    from fmbench import protocol
    from fmbench.console import tables

    found = [protocol.load(one) for one in ([name] if name else protocol.names())]
    if json:
        print_json(found[0] if name else found)
    elif name:
        tables.print_protocol(found[0], protocol.heading(protocol.source(name)))
    else:
        tables.print_protocols(found)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="The protocol's name, such as my-protocol.")],
    parent: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="NAME|FILE",
            help="The protocol to extend: a built-in name, or the path of a .toml file.",
            autocompletion=completion.protocols,
        ),
    ],
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change this key, written with dots, to this TOML value. Repeatable.",
        ),
    ] = None,
) -> None:
    """Write ./NAME.toml, a protocol that extends another one with changes of your own.

    \b
    Examples:
      fmbench protocols new my-protocol --from lite-v2 --set final.epochs=30
      fmbench protocols new mine --from quick-v2 --set 'seeds=[1, 2, 3]'
    """
    from fmbench.console import stream
    from fmbench.scaffold import write_protocol

    path, rules = write_protocol(name, parent, sets or [])
    stream.say(f"wrote {path}")
    stream.say(rules.derived)
    stream.tell(f"fmbench run --all --protocol {shlex.quote(str(path))}")

"""The commands. Each is thin: it reads its options, calls one thing, and prints what came back."""

import signal
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fmbench.errors import ExitCode, FmbenchError, NothingSelectedError, UsageError

if TYPE_CHECKING:
    from fmbench.leaderboard.board import Board
    from fmbench.protocol import Protocol
    from fmbench.store import Store

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

ResultsOption = Annotated[Path, typer.Option(help="Folder that records are kept in.")]
ProtocolOption = Annotated[
    str, typer.Option(metavar="NAME|FILE", help="A protocol's name, or one's own .toml file.")
]
DataOption = Annotated[
    Path | None, typer.Option(help="Folder of the four files; otherwise they are found.")
]


class BoardFormat(StrEnum):
    """How a leaderboard is printed."""

    TERMINAL = "terminal"
    MARKDOWN = "md"
    CSV = "csv"
    JSON = "json"


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback(invoke_without_command=True)
def fmbench(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Train and judge every installed model on Fashion-MNIST under one protocol.

    \b
    Examples:
      fmbench run --all                 every listed model, then the leaderboard
      fmbench run vgg11 'timm/*'        some models
      fmbench leaderboard               the table again, without training
      fmbench models                    what is installed, and what is broken
      fmbench show                      every run with its status

    \b
    Exit codes: 0 all ok, 1 some run failed, 2 usage, 3 internal error,
    4 data or protocol check failed, 5 nothing selected, 130 interrupted.
    """
    if version:
        from fmbench.environment import DISTRIBUTION
        from fmbench.environment import version as version_of

        typer.echo(f"fmbench {version_of(DISTRIBUTION)}")


@app.command()
def run(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL...]", help="Names or patterns.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every listed model.")] = False,
    protocol: ProtocolOption = "auto",
    seeds: Annotated[
        int | None, typer.Option(metavar="K", help="Only the first K of the protocol's seeds.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:INDEX.")] = "auto",
    results: ResultsOption = Path("results"),
    data_dir: DataOption = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="The longest a run may take.")
    ] = 86_400.0,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="CPU threads; all cores by default.")
    ] = None,
    checkpoint_every: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="The least time between checkpoints.")
    ] = 60.0,
    retry_failed: Annotated[bool, typer.Option(help="Make failed runs again.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Say what would be run and how long.")] = False,
) -> None:
    """Train and judge models; what is already recorded is not repeated.

    \b
    Examples:
      fmbench run --all
      fmbench run softmax 'timm/*' --protocol lite-v1
      fmbench run timm/resnet34 --dry-run
      fmbench run fmbench-vgg:vgg11 --protocol my-protocol.toml --results /tmp/mine
    """
    from fmbench import data, environment
    from fmbench.console import live, stream, tables
    from fmbench.execution.session import plan_session
    from fmbench.leaderboard.words import duration

    if not models and not every:
        raise NothingSelectedError("no model is named", hint="fmbench run --all, or name some")
    session = plan_session(
        [*(["*"] if every else []), *(models or [])],
        protocol_name=protocol,
        device=device,
        seeds=seeds,
        threads=threads,
        results=results,
        retry_failed=retry_failed,
    )
    for problem in session.problems:
        tables.print_problem(problem)
    estimate = session.estimate()
    tables.print_session(session, duration(estimate.remaining()))
    if dry_run:
        tables.print_plan(session)
        return
    if session.count:
        if environment.busy_share() > environment.BUSY:
            stream.say("other programs keep this machine busy: training can take many times longer")
        for sentence in session.prepare():
            stream.say(sentence)
        dataset = data.load(
            data.find(data_dir, say=stream.say), session.setting.protocol.data.sha256
        )
        try:
            with live.LiveProgress(session.count, estimate) as progress:
                session.run(
                    dataset,
                    [estimate, progress],
                    timeout=timeout,
                    checkpoint_seconds=checkpoint_every,
                )
        except KeyboardInterrupt:
            stream.say("stopped; the same command goes on with what is missing")
            raise typer.Exit(ExitCode.INTERRUPTED) from None
    print_and_write_board(session.store, session.setting.protocol)
    if not session.all_ok():
        raise typer.Exit(ExitCode.RUN_FAILED)


@app.command()
def leaderboard(
    protocol: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which, when there are several.")
    ] = None,
    results: ResultsOption = Path("results"),
    format_: Annotated[
        BoardFormat, typer.Option("--format", help="How to print it.")
    ] = BoardFormat.TERMINAL,
    output: Annotated[Path | None, typer.Option(help="Write to this file instead.")] = None,
) -> None:
    """Print the leaderboard of a protocol, computed from its records.

    \b
    Examples:
      fmbench leaderboard
      fmbench leaderboard --protocol lite-v1 --format md --output board.md
      fmbench leaderboard --results results/published --protocol quick-v1
    """
    from fmbench import files
    from fmbench.console import tables
    from fmbench.leaderboard import formats

    store = store_of(results, protocol)
    board = read_board(store, store.protocol())
    if format_ is BoardFormat.TERMINAL and output is None:
        tables.print_board(board)
        return
    if format_ is BoardFormat.TERMINAL:
        raise UsageError("a terminal table is for a terminal", hint="add --format md, csv or json")
    text = {"md": formats.to_markdown, "csv": formats.to_csv, "json": formats.to_json}[
        format_.value
    ](board)
    if output is None:
        sys.stdout.write(text)
    else:
        files.write(output, text.encode())


@app.command()
def models(json: JsonOption = False) -> None:
    """List installed models, families, and what is wrong with broken plugins.

    \b
    Examples:
      fmbench models
      fmbench models --json
    """
    from fmbench import discovery
    from fmbench.console import stream, tables

    catalogue = discovery.catalogue()
    if json:
        print_json(catalogue)
        return
    tables.print_catalogue(catalogue)
    if not catalogue.models:
        stream.say("no plugin offers a model\n\nhint: pip install plugins/fmbench-softmax")


@app.command()
def protocols(
    name: Annotated[str | None, typer.Argument(metavar="[NAME|FILE]")] = None,
    json: JsonOption = False,
) -> None:
    """List the built-in protocols, or print what one fixes and leaves free.

    \b
    Examples:
      fmbench protocols
      fmbench protocols quick-v1
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
def data(
    data_dir: DataOption = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw samples of every class.")
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
    from fmbench import data as sets
    from fmbench.console import stream, tables

    folder = sets.find(data_dir, say=stream.say)
    dataset = sets.load(folder)
    if json:
        print_json({"folder": str(folder), **builtins_of(sets.summary(dataset))})
    else:
        tables.print_data(folder, sets.summary(dataset))
    if picture:
        try:
            sets.class_picture(dataset, picture)
        except OSError as error:
            raise UsageError(
                f"cannot be written: {error.strerror or error}",
                where=str(picture),
                hint="choose another file with --picture FILE.png",
            ) from error
        stream.say(f"wrote {picture}")


@app.command()
def show(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="The id of a record, or its beginning.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which, when there are several.")
    ] = None,
    results: ResultsOption = Path("results"),
    json: JsonOption = False,
) -> None:
    """List every run with its status, or show one with its curve, environment and log.

    \b
    Examples:
      fmbench show
      fmbench show 3f9a1c02
      fmbench show --results results/published --protocol quick-v1
    """
    from fmbench.console import tables

    store = store_of(results, protocol)
    contents = store.read()
    if run is None:
        if json:
            print_json(contents.records)
        else:
            tables.print_records(contents)
        return
    found = [record for record in contents.records if record.id.startswith(run)]
    if len(found) != 1:
        raise UsageError(
            f"{len(found)} records have an id that begins with {run!r}",
            hint="`fmbench show` lists them all",
        )
    if json:
        print_json(found[0])
    else:
        tables.print_record(found[0], store.log(found[0]))


def store_of(results: Path, protocol: str | None) -> "Store":
    """The store a reading command means; raises `UsageError` when that is not clear."""
    from fmbench.store import Store, protocols_in

    held = protocols_in(results)
    if protocol is None and len(held) != 1:
        raise UsageError(
            f"holds records of {len(held)} protocols" if held else "holds no records",
            where=str(results),
            hint=f"choose one: --protocol {' or '.join(held)}" if held else "fmbench run --all",
        )
    name = protocol or held[0]
    if name not in held:
        raise UsageError(
            f"holds no records of {name}",
            where=str(results),
            hint=f"it has {', '.join(held)}" if held else f"fmbench run --all --protocol {name}",
        )
    return Store(results, name)


def read_board(store: "Store", protocol: "Protocol") -> "Board":
    """The board of a store's records under a protocol."""
    from fmbench.leaderboard.board import make_board

    contents = store.read()
    return make_board(protocol, contents.records, contents.problems)


def print_and_write_board(store: "Store", protocol: "Protocol") -> None:
    """Print the leaderboard and write it beside the records, as a run's last act."""
    from fmbench import files
    from fmbench.console import tables
    from fmbench.leaderboard import formats

    board = read_board(store, protocol)
    files.write(store.folder / "leaderboard.md", formats.to_markdown(board).encode())
    files.write(store.folder / "leaderboard.csv", formats.to_csv(board).encode())
    tables.print_board(board)


def print_json(value: object) -> None:
    """Print data as indented JSON on stdout."""
    import msgspec

    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")


def builtins_of(value: object) -> dict[str, Any]:
    """A struct or dataclass as a dictionary."""
    import msgspec

    built: dict[str, Any] = msgspec.to_builtins(value)
    return built


def main() -> None:
    """Run a command; every error becomes a message and a documented exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except FmbenchError as error:
        from fmbench.console import stream

        stream.complain(str(error))
        sys.exit(error.exit_code)
    except Exception:
        traceback.print_exc()
        sys.stderr.write("\nhint: this is a fault of fmbench; please report it with these lines\n")
        sys.exit(ExitCode.INTERNAL)

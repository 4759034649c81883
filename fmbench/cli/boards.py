"""The commands that read records: boards, comparisons, single runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fmbench.cli import completion
from fmbench.cli.app import (
    DataOption,
    JsonOption,
    ResultsOption,
    StoredOption,
    nameable,
    print_json,
    write_text,
    writing,
)
from fmbench.cli.differing import differences_between, print_differences
from fmbench.cli.stored import record_of, results_in, results_of, store_of, stores_of
from fmbench.errors import StaleError, UsageError
from fmbench.leaderboard.columns import KEYS
from fmbench.wording import same_records

if TYPE_CHECKING:
    from fmbench.leaderboard.stored_results import StoredResults


def leaderboard(
    protocol: StoredOption = None,
    results: ResultsOption = Path("results"),
    format_: Annotated[
        Literal["terminal", "md", "csv", "html"],
        typer.Option("--format", help="Print a table, Markdown, CSV or a page."),
    ] = "terminal",
    json: JsonOption = False,
    output: Annotated[
        Path | None,
        typer.Option(help="Write to this file instead of printing; not for a terminal table."),
    ] = None,
    columns: Annotated[
        str,
        typer.Option(
            metavar="KEY,KEY...", help=f"Show only these columns, in this order: {', '.join(KEYS)}."
        ),
    ] = "",
    sort: Annotated[
        str, typer.Option(metavar="KEY", help="Sort the rows by this column, the best first.")
    ] = "",
    reverse: Annotated[bool, typer.Option("--reverse", help="Show the worst first.")] = False,
    filter_: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="PATTERN",
            help="Show only models that match, such as 'timm/*'. Repeatable.",
        ),
    ] = None,
    verified: Annotated[
        Literal["reported", "re-scored", "re-run"] | None,
        typer.Option(
            help="Show only models whose runs `fmbench verify` has checked so far, or further; "
            "re-run asks for one of them."
        ),
    ] = None,
    target: Annotated[
        Literal["new-images", "this-test-set"],
        typer.Option("--for", help="Rank by expected accuracy on new images, or on this test set."),
    ] = "new-images",
    write: Annotated[
        bool,
        typer.Option(
            "--write",
            help="Write leaderboard.md, .csv, .svg and index.html anew, and a list of boards.",
        ),
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Compare these four files with the records; exit with 4 if one differs.",
        ),
    ] = False,
    diff: Annotated[
        Path | None,
        typer.Option(
            metavar="BASE",
            callback=nameable,
            help="Print what changes against the records in the results folder BASE.",
        ),
    ] = None,
) -> None:
    """Print the leaderboard of a protocol, computed from its records.

    \b
    Examples:
      fmbench leaderboard
      fmbench leaderboard --sort train --columns rank,model,accuracy,train
      fmbench leaderboard --filter 'timm/*' --for this-test-set
      fmbench leaderboard --verified re-scored
      fmbench leaderboard --format html --output board.html
      fmbench leaderboard --results results/published --check
      fmbench leaderboard --diff ../fashion-mnist-bench/results/published
    """
    from fmbench.console import stream, tables
    from fmbench.execution.claims import the_only_writer
    from fmbench.leaderboard import columns as column
    from fmbench.leaderboard import formats
    from fmbench.leaderboard.board import read_board
    from fmbench.leaderboard.published import (
        images_at_hand,
        twins_at_hand,
        write_board,
        write_index,
    )

    if json and format_ != "terminal":
        raise UsageError(
            f"--json and --format {format_} ask for two formats", hint="give one of them"
        )
    arranged = bool(columns or sort or reverse or filter_ or verified)
    if diff is not None:
        if arranged or check or write or format_ in ("csv", "html"):
            raise UsageError(
                "--diff is about whole boards, as text, as Markdown or as JSON",
                hint="give it with --results, --protocol, --for, --format md, --json and --output",
            )
        found = differences_between(diff, results, protocol, target)
        print_differences(found, "json" if json else format_, output)
        return
    if check or write:
        elsewhere = json or output or format_ != "terminal"
        if (check and write) or arranged or elsewhere or target != "new-images":
            raise UsageError(
                "--write and --check are about the published files, which are always alike",
                hint="give one of them, with --results and --protocol alone",
            )
        stores = stores_of(results, protocol)
        if check:
            check_boards([results_in(store, protocol) for store in stores], protocol)
            return
        for store in stores:
            with the_only_writer(store.claims):
                stored = results_in(store, protocol)
                written = write_board(stored, read_board(stored, cached=False))
                written += write_index(results) if store is stores[-1] else []
            for path in written:
                stream.say(f"wrote {path}")
        return
    if arranged and format_ == "html":
        raise UsageError(
            "a page is about the whole board, and its reader sorts and filters it there",
            hint="leave out --columns, --sort, --reverse, --filter and --verified",
        )
    stored = results_of(results, protocol)
    chosen = column.choose(columns)
    board = column.arrange(
        read_board(stored, target),
        sort=sort,
        reverse=reverse,
        patterns=filter_ or (),
        verified=verified,
    )
    if format_ == "terminal" and not json:
        if output is not None:
            raise UsageError(
                "a terminal table is not written to a file",
                hint="add --json, or --format md, csv or html",
            )
        tables.print_board(board, chosen, fixed=bool(columns))
        return
    if format_ == "html":
        from fmbench.leaderboard import page

        of = stored.protocol
        text = page.render(board, stored, images_at_hand(of), twins_at_hand(of))
    else:
        render = {"md": formats.to_markdown, "csv": formats.to_csv}.get(format_, formats.to_json)
        text = render(board, chosen if columns else ())
    write_text(text, output)


def compare(
    first: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="A model of the leaderboard; DISTRIBUTION:MODEL where two offer it.",
            autocompletion=completion.rows,
        ),
    ],
    second: Annotated[
        str,
        typer.Argument(
            metavar="B", help="The model to compare it with.", autocompletion=completion.rows
        ),
    ],
    protocol: StoredOption = None,
    results: ResultsOption = Path("results"),
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw the images that the two disagree on most."),
    ] = None,
    data_dir: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Compare two models of a leaderboard, image by image, and say what may be concluded.

    \b
    Examples:
      fmbench compare vgg11-bn vgg11
      fmbench compare softmax timm/resnet18 --picture disagreements.png
      fmbench compare vgg11 vgg11-bn --results results/published --protocol quick-v2 --json
    """
    from fmbench import data as sets
    from fmbench.console import stream, tables
    from fmbench.leaderboard.comparison import compare_entries, find_entry

    stored = results_of(results, protocol)
    found = compare_entries(stored, find_entry(stored, first), find_entry(stored, second))
    if picture and not found.disagreements:
        stream.say(f"there is no image to draw in {picture}: they disagree on none")
    elif picture:
        from fmbench.leaderboard.page.gallery import disagreements

        dataset = sets.load(sets.find(data_dir, say=stream.say), stored.protocol.data.sha256)
        with writing(picture):
            sets.test_picture(dataset, disagreements(found), picture)
        stream.say(f"wrote {picture}")
    if json:
        print_json(found)
    else:
        tables.print_comparison(found)


def show(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Id of a record, or the beginning of one.")
    ] = None,
    protocol: StoredOption = None,
    results: ResultsOption = Path("results"),
    json: JsonOption = False,
) -> None:
    """List every run with its status, or show one with its curve, environment and log.

    \b
    Examples:
      fmbench show
      fmbench show 3f9a1c02
      fmbench show --results results/published --protocol quick-v2
    """
    from fmbench.console import tables

    store = store_of(results, protocol)
    if run is None:
        contents = store.read()
        if json:
            print_json(contents.records)
        else:
            tables.print_records(contents)
        return
    found = record_of(store, run)
    if json:
        print_json(found)
    else:
        tables.print_record(found, store.log(found), store.sizes(found))


def check_boards(every: "Sequence[StoredResults]", protocol: str | None) -> None:
    """Say which boards are what their records say; raises `StaleError` when one is not.

    protocol: as it was typed, for the hints.
    """
    from fmbench.console import stream
    from fmbench.leaderboard.published import stale, stale_index

    errors = []
    for stored in every:
        folder = stored.folder
        if found := stale(stored):
            errors.append(
                StaleError(
                    f"is not what the records say: {', '.join(path.name for path in found)}",
                    where=str(folder),
                    hint="write them anew: fmbench leaderboard --write"
                    + same_records(folder.parent, protocol or folder.name),
                )
            )
        else:
            stream.say(f"{folder}: leaderboard.md, .csv, .svg and index.html are fresh")
    for results in sorted({stored.folder.parent for stored in every}):
        if stale_index(results):
            hint = f"write it anew: fmbench leaderboard --write{same_records(results)}"
            where = str(results / "index.html")
            errors.append(StaleError("lists other boards", where=where, hint=hint))
    for error in errors[:-1]:
        stream.complain(str(error))
    if errors:
        raise errors[-1]

"""The commands for records that go from one results folder to the published boards."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbench.cli.app import JsonOption, StoredOption, nameable, print_json
from fmbench.cli.stored import results_in, store_of
from fmbench.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from fmbench.store import Store
    from fmbench.submission.packing import Submission


def submit(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="[FOLDER]",
            callback=nameable,
            help="A results folder, or the folder of one protocol in it.",
        ),
    ] = Path("results"),
    protocol: StoredOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|FOLDER",
            callback=nameable,
            help="Write a .zip or .tar.gz of that name, or into a folder, such as your clone.",
        ),
    ] = None,
    logs: Annotated[
        bool, typer.Option("--logs", help="Pack what the plugin printed in each run, too.")
    ] = False,
    logits: Annotated[
        bool, typer.Option("--logits", help="Pack the logits that --keep-logits kept, too.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Verify the records of a protocol, and pack what a pull request with them needs.

    Packed are all records of the protocol, failures included, the predictions and the protocol.
    Nothing is sent anywhere. Without --output it says what would be packed and what is missing. If
    a record is false or a file cannot be packed, nothing is written, and the exit code is 1.

    \b
    Examples:
      fmbench submit
      fmbench submit results --protocol lite-v2 --output lite-v2.zip
      fmbench submit results/lite-v2 --output ../fashion-mnist-bench
    """
    from fmbench import verification
    from fmbench.console import stream, submissions
    from fmbench.submission import writing
    from fmbench.submission.packing import collect

    store = _store_in(folder, protocol)
    stored = results_in(store, protocol)
    found = collect(store, stored, logs=logs, logits=logits)
    asked = verification.Asked(store, frozenset(record.stem for record in found.records))
    false = verification.verify_store(asked, verification.known_sources()).false
    if json:
        print_json({**_plain(found), "false": false})
    else:
        submissions.print_submission(found, false)
    if found.faults or false:
        raise typer.Exit(ExitCode.RUN_FAILED)
    if output is None:
        return
    if writing.is_archive(output):
        writing.write_archive(found, output)
        stream.say(f"wrote {output}")
    else:
        new = writing.write_folder(found, output)
        rest = "; the rest is there" if len(new) < len(found.pieces) else ""
        stream.say(f"wrote {len(new)} of {len(found.pieces)} files into {output}{rest}")


def accept(
    offered: Annotated[
        Path,
        typer.Argument(
            metavar="OFFERED", callback=nameable, help="A checkout with the pull request in it."
        ),
    ],
    base: Annotated[
        Path,
        typer.Argument(
            metavar="BASE", callback=nameable, help="A checkout of what it is to be merged into."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            callback=nameable,
            help="Make a results folder of the published results and what is taken.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Hold a pull request with records against its base, and take what may be taken.

    It may add records, predictions, logits and logs under results/published, each called and
    formed as it must be. Anything else that differs between the two checkouts is refused, files
    that git does not know included, and the exit code is 1. No code in them is run, and no link
    followed.

    \b
    Examples:
      fmbench accept ../offered ../base
      fmbench accept ../offered ../base --output ../merged
    """
    from fmbench.console import stream, submissions
    from fmbench.submission import intake

    found = intake.examine(offered, base)
    if json:
        print_json({"taken": sorted(found.taken), "refused": found.refused})
    else:
        submissions.print_intake(found)
    if found.refused:
        raise typer.Exit(ExitCode.RUN_FAILED)
    if output:
        intake.merge(found, offered, base, output)
        stream.say(f"wrote {output}")


def _store_in(folder: Path, protocol: str | None) -> "Store":
    """The store that a folder is, or that of a protocol in a results folder."""
    if not (folder / "records").is_dir():
        return store_of(folder, protocol)
    from fmbench import protocol as protocols

    whole = folder.absolute()
    if protocol and not protocols.is_path(protocol) and protocol != whole.name:
        raise UsageError(
            f"holds records of {whole.name} alone, not of {protocol}",
            where=str(folder),
            hint="leave --protocol out, or name the folder above it",
        )
    return store_of(whole.parent, whole.name)


def _plain(found: "Submission") -> dict[str, object]:
    return {
        "protocol": found.protocol.id,
        "digest": found.protocol.digest,
        "bytes": found.size,
        "files": [{"name": piece.name, "bytes": piece.size} for piece in found.pieces],
        "missing": found.missing,
        "left_out": found.left_out,
        "faults": found.faults,
    }

"""The command that looks at the machine."""

from pathlib import Path
from typing import Annotated

import typer

from fmbench.cli.app import (
    DataOption,
    JsonOption,
    PluginsOption,
    ResultsOption,
    choose_plugins,
    print_json,
)
from fmbench.errors import ExitCode


def doctor(
    reference: Annotated[
        bool,
        typer.Option(
            "--reference",
            help="Also train two small models, and hold what they learn to what it should be.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", min=1, help="Train them with this seed.")] = 1,
    device: Annotated[str, typer.Option(help="Look at auto, cpu, cuda or cuda:INDEX.")] = "auto",
    results: ResultsOption = Path("results"),
    data_dir: DataOption = None,
    plugins: PluginsOption = None,
    json: JsonOption = False,
) -> None:
    """Say whether this machine is all right, in lines for a bug report.

    Each line is ok, a warning or a fault, and says what to do. None names a host, a user or a
    folder. Nothing is fetched, and nothing is left in the results folder. --reference takes some
    seconds, and checks the gradients of some layers too. With a fault, the exit code is 4.

    \b
    Examples:
      fmbench doctor
      fmbench doctor --reference
      fmbench doctor --device cuda --json
    """
    from fmbench.console import findings, stream
    from fmbench.doctor.examination import examine
    from fmbench.doctor.findings import worst

    choose_plugins(plugins or [])
    if reference:
        stream.say("two small models will be trained, which takes some seconds")
    found = examine(
        device=device, results=results, data_dir=data_dir, reference=reference, seed=seed
    )
    if json:
        told = list(found)
        print_json({"level": worst(told), "findings": told})
    else:
        told = findings.print_findings(found)
    if worst(told) == "fault":
        raise typer.Exit(ExitCode.CHECK_FAILED)

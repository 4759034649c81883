"""The command that holds plugins to the contract."""

from typing import Annotated

import typer

from fmbench.cli import completion
from fmbench.cli.app import (
    JsonOption,
    PluginsOption,
    ProtocolOption,
    choose_plugins,
    finite,
    print_json,
)
from fmbench.errors import ExitCode
from fmbench.protocol_files import QUICK


def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]",
            help="Models, patterns, or distributions to check; without any, all listed models.",
            autocompletion=completion.models,
        ),
    ] = None,
    protocol: ProtocolOption = QUICK,
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=1,
            callback=finite,
            help="Stop checking a model that takes longer.",
        ),
    ] = 600.0,
    plugins: PluginsOption = None,
    json: JsonOption = False,
) -> None:
    """Check installed plugins against the contract, each model in a process of its own.

    \b
    Examples:
      fmbench check
      fmbench check vgg11 timm/resnet34 --protocol lite-v2
      fmbench check my-plugin --json
    """
    from fmbench import discovery
    from fmbench import protocol as protocols
    from fmbench.console.checks import print_reports
    from fmbench.testing.isolation import check_models
    from fmbench.testing.reports import failed

    choose_plugins(plugins or [])
    rules = protocols.load(protocol)
    reports = check_models(discovery.catalogue(), names or [], rules, timeout=timeout)
    if json:
        found = list(reports)
        print_json(found)
    else:
        found = print_reports(reports)
    if failed(found):
        raise typer.Exit(ExitCode.RUN_FAILED)

"""The command that makes a recorded run again."""

from pathlib import Path
from typing import Annotated

import typer

from fmbench.cli.app import (
    DataOption,
    JsonOption,
    PluginsOption,
    ResultsOption,
    StoredOption,
    TimeoutOption,
    choose_plugins,
    print_json,
)
from fmbench.cli.stored import record_of, store_of
from fmbench.errors import ExitCode


def reproduce(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Id of a record, or the beginning of one.")
    ],
    protocol: StoredOption = None,
    results: ResultsOption = Path("results"),
    data_dir: DataOption = None,
    device: Annotated[
        str,
        typer.Option(help="Train on cpu, cuda or cuda:INDEX instead of one of the recorded kind."),
    ] = "",
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Train with N CPU threads instead of the recorded number.",
        ),
    ] = None,
    timeout: TimeoutOption = 86_400.0,
    plugins: PluginsOption = None,
    json: JsonOption = False,
) -> None:
    """Make a recorded run again, and say whether it came out the same.

    Nothing is added to the records. Equal versions on an equal CPU with as many threads must give
    the same bits. Elsewhere the run must lie as near to the other runs of its row as another seed's
    would. If it does neither, or ends with another status, the exit code is 1.

    \b
    Examples:
      fmbench reproduce 3f9a1c02
      fmbench reproduce 3f9a --results results/published --protocol lite-v1
    """
    from fmbench import data
    from fmbench.console import live, runs, stream
    from fmbench.discovery.guests import named_observers
    from fmbench.execution.estimate import Estimate
    from fmbench.execution.observers import Observers
    from fmbench.execution.reproduction import plan_again

    choose_plugins(plugins or [])
    guests = named_observers()
    store = store_of(results, protocol)
    record = record_of(store, run)
    rules = store.protocol_of([record])
    again = plan_again(record, store, rules, device=device, threads=threads)
    estimate = Estimate([again.pending], again.setting, own=[record], published=())
    dataset = data.load(data.find(data_dir, say=stream.say), rules.data.sha256)
    estimate.sizes = len(dataset.train_labels), len(dataset.test_labels)
    runs.print_again(again, estimate)
    try:
        with live.LiveProgress(1, estimate) as progress:
            observers = Observers(own=[estimate, progress], guests=guests, say=stream.say)
            found = again.make(dataset, observers, timeout)
    except KeyboardInterrupt:
        stream.say("stopped; nothing is kept")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if json:
        print_json(
            {
                "conclusion": found.conclusion, "then": found.then, "now": found.now,
                "expected": found.expected, "agree": found.agree, "changes": found.changes,
                "promised": found.promised, "same": found.same,
            }
        )  # fmt: skip
    else:
        runs.print_reproduction(found)
    if found.conclusion == "not alike":
        raise typer.Exit(ExitCode.RUN_FAILED)

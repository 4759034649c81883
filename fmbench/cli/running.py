"""The command that makes runs."""

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

from fmbench.cli import completion
from fmbench.cli.app import (
    DataOption,
    PluginsOption,
    ProtocolOption,
    ResultsOption,
    TimeoutOption,
    choose_plugins,
    finite,
    nameable,
)
from fmbench.errors import ExitCode, NothingSelectedError, UsageError
from fmbench.wording import same_records


def count_or_auto(option: typer.CallbackParam, value: str) -> str:
    """Refuse what is neither a whole number above 0 nor `auto`."""
    if value != "auto" and not (value.isdecimal() and int(value)):
        raise UsageError(
            f"{value!r} is not a number of workers", where=option.opts[0], hint="use 2, or auto"
        )
    return value


def price_of_an_hour(option: typer.CallbackParam, price: float | None) -> float | None:
    """Refuse what nobody can be asked to pay."""
    if price is not None and not 0 <= price < math.inf:
        raise UsageError(
            f"{price} is not a price",
            where=option.opts[0],
            hint="say what an hour of one machine costs, in any currency: 2.50",
        )
    return price


def run(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL...]",
            help="Models to train: names, patterns of listed models, or full names in a family.",
            autocompletion=completion.models,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Train every listed model.")] = False,
    protocol: ProtocolOption = "auto",
    seeds: Annotated[
        int | None, typer.Option(metavar="K", help="Use only the first K of the protocol's seeds.")
    ] = None,
    tune_only: Annotated[
        bool,
        typer.Option(
            "--tune-only", help="Try the recipes, and make no final run: no test image is used."
        ),
    ] = False,
    device: Annotated[
        str,
        typer.Option(
            help="Train on cpu, cuda or cuda:INDEX; auto takes the first CUDA device of at least "
            "16 GB, else the CPU."
        ),
    ] = "auto",
    results: ResultsOption = Path("results"),
    data_dir: DataOption = None,
    timeout: TimeoutOption = 86_400.0,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Train with N CPU threads instead of all cores; refused where the protocol names "
            "another number.",
        ),
    ] = None,
    workers: Annotated[
        str,
        typer.Option(
            metavar="N|auto",
            callback=count_or_auto,
            help="Make N runs side by side; auto makes as many as have cores of their own where "
            "the protocol names threads, one a GPU, else one.",
        ),
    ] = "auto",
    checkpoint_every: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            callback=finite,
            help="Wait at least so long between checkpoints, which are written at an epoch's end.",
        ),
    ] = 60.0,
    checkpoints_in: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            callback=nameable,
            help="Keep checkpoints here, not beside the records; in a folder that all nodes of a "
            "cluster see, another node goes on with a lost one's runs.",
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(
            help="Place runs on this machine, or on the nodes of a Ray cluster.",
        ),
    ] = "local",
    address: Annotated[
        str,
        typer.Option(
            metavar="auto|HOST:PORT",
            help="Join this Ray cluster instead of starting one on this machine.",
        ),
    ] = "",
    plugins: PluginsOption = None,
    retry_failed: Annotated[
        bool,
        typer.Option(help="Make failed runs again, except diverged and invalid ones."),
    ] = False,
    keep_logits: Annotated[
        bool,
        typer.Option(
            "--keep-logits", help="Keep the logits of each final run made now, 200 kB each."
        ),
    ] = False,
    keep_weights: Annotated[
        Literal["float32", "bf16"] | None,
        typer.Option(
            metavar="float32|bf16",
            help="Keep the weights of each good final run made now as safetensors, as they are, or "
            "with all but vectors rounded to bfloat16, which halves the file.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(help="Print which runs are missing and how long they would take; make none."),
    ] = False,
    price: Annotated[
        float | None,
        typer.Option(
            metavar="AMOUNT",
            callback=price_of_an_hour,
            help="With --dry-run: print what the missing runs cost, an hour of one machine at "
            "this price.",
        ),
    ] = None,
    show_timings: Annotated[
        bool, typer.Option("--timings", help="Print at the end where the time went.")
    ] = False,
) -> None:
    """Train and test models; a run that is already recorded is not repeated.

    \b
    Examples:
      fmbench run --all
      fmbench run softmax 'timm/*' --protocol lite-v2
      fmbench run timm/resnet34 --dry-run --price 2.50
      fmbench run fmbench-vgg:vgg11 --protocol my-protocol.toml --results /tmp/mine
      fmbench run --all -p tensorboard -p no:fmbench-vgg
      fmbench run --all --engine ray --address auto
    """
    from fmbench.console import live, runs, stream, tables
    from fmbench.discovery.guests import named_observers
    from fmbench.execution.making import make_board, make_runs
    from fmbench.execution.session import plan_session
    from fmbench.execution.timings import Part, Timings
    from fmbench.leaderboard import columns
    from fmbench.leaderboard.stored_results import StoredResults

    if not models and not every:
        named = None if protocol == "auto" else protocol
        raise NothingSelectedError(
            "no model is named",
            hint=f"fmbench run --all{same_records(results, named)}, or name some",
        )
    if price is not None and not dry_run:
        raise UsageError(
            "it says what runs would cost, and these would be made",
            where="--price",
            hint="add --dry-run",
        )
    if address and engine == "local":
        raise UsageError(
            "the local engine joins no cluster", where="--address", hint="add --engine ray"
        )
    timings = Timings()
    with timings.during(Part.DISCOVERY):
        choose_plugins(plugins or [])
        guests = named_observers()
        session = plan_session(
            [*(["*"] if every else []), *(models or [])],
            protocol_name=protocol,
            device=device,
            seeds=seeds,
            tune_only=tune_only,
            threads=threads,
            workers=None if workers == "auto" else int(workers),
            results=results,
            retry_failed=retry_failed,
            on_cluster=bool(address),
        )
    for problem in session.problems:
        tables.print_problem(problem)
    estimate = session.estimate() if session.count else None
    runs.print_session(session, estimate)
    quick = session.setting.protocol.name == "quick"
    if protocol == "auto" and quick and session.setting.device.kind == "cuda":
        stream.say(
            f"{session.setting.protocol.id} is a quick look, made for CPUs; a board to compare "
            "models on: --protocol lite-v2"
        )
    if dry_run:
        runs.print_plan(session, estimate)
        if estimate and price is not None:
            machines = session.machines if engine == "ray" else 1
            runs.print_price(session, estimate, price=price, machines=machines)
        return
    if estimate:
        try:
            made = make_runs(
                session,
                estimate,
                show=live.LiveProgress,
                guests=guests,
                say=stream.say,
                data_dir=data_dir,
                timeout=timeout,
                engine=engine,
                address=address,
                checkpoint_seconds=checkpoint_every,
                checkpoints=checkpoints_in,
                keep_logits=keep_logits,
                keep_weights=keep_weights,
                timings=timings,
            )
            if keep_weights:
                stream.say(runs.weights_kept(session.store, made))
        except KeyboardInterrupt:
            stream.say("stopped; the same command goes on with what is missing")
            raise typer.Exit(ExitCode.INTERRUPTED) from None
    with timings.during(Part.TABLES):
        if tune_only:
            runs.print_trials(StoredResults(session.store, session.setting.protocol))
        else:
            _, board, page = make_board(session, data_dir)
            tables.print_board(board, columns.choose())
            stream.say(f"the page: {page}")
    if show_timings:
        runs.print_timings(timings)
    if not session.all_ok():
        raise typer.Exit(ExitCode.RUN_FAILED)

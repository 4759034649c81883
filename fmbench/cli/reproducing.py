"""The commands that check records: one run made again, or everything a folder says."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbench.cli.app import (
    DataOption,
    JsonOption,
    PluginsOption,
    ResultsOption,
    StoredOption,
    TimeoutOption,
    choose_plugins,
    nameable,
    print_json,
)
from fmbench.cli.predicting import stoppable
from fmbench.cli.stored import name_of, record_of, store_of
from fmbench.errors import ExitCode, StoreError, UsageError
from fmbench.wording import counted

if TYPE_CHECKING:
    from fmbench.execution.reproduction import Reproduction
    from fmbench.protocol import Protocol
    from fmbench.records import Record
    from fmbench.store import Store
    from fmbench.verification import Verdict

DeviceAgainOption = Annotated[
    str,
    typer.Option(
        "--device", help="Train on cpu, cuda or cuda:INDEX instead of one of the recorded kind."
    ),
]
ThreadsAgainOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        min=1,
        help="Train with N CPU threads instead of the recorded number.",
    ),
]


def reproduce(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Id of a record, or the beginning of one.")
    ],
    protocol: StoredOption = None,
    results: ResultsOption = Path("results"),
    data_dir: DataOption = None,
    device: DeviceAgainOption = "",
    threads: ThreadsAgainOption = None,
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
      fmbench reproduce 3f9a --results results/published --protocol lite-v2
    """
    from fmbench.console import runs, stream

    choose_plugins(plugins or [])
    store = store_of(results, protocol)
    record = record_of(store, run)
    rules = store.protocol_of([record])
    try:
        found = _make_again(record, store, rules, device, threads, timeout, data_dir)
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


def verify(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...",
            callback=lambda option, paths: [nameable(option, path) for path in paths or ()],
            help="Records, folders of records or results folders; results without one.",
        ),
    ] = None,
    protocol: StoredOption = None,
    rerun: Annotated[
        str,
        typer.Option(
            metavar="N|all", help="Train N of the good final runs again, drawn at random."
        ),
    ] = "",
    draw_seed: Annotated[
        int | None,
        typer.Option(metavar="SEED", min=0, help="Draw these runs with a seed; one is said else."),
    ] = None,
    from_weights: Annotated[
        bool,
        typer.Option(
            "--from-weights",
            help="Have kept weights answer the test images again, where their plugin is installed.",
        ),
    ] = False,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep/--no-keep",
            help="Leave a file beside the board that says what was found true, if that is new.",
        ),
    ] = True,
    data_dir: DataOption = None,
    device: DeviceAgainOption = "",
    threads: ThreadsAgainOption = None,
    timeout: TimeoutOption = 86_400.0,
    plugins: PluginsOption = None,
    json: JsonOption = False,
) -> None:
    """Check whether records say what their files and the true labels say.

    Every run gets a tier. Reported: its record is well-formed, and agrees with its digests and its
    protocol. Re-scored: its accuracy was counted again from its predictions. Re-run: it was trained
    again and came out the same, or alike. If anything is false, the exit code is 1.

    \b
    Examples:
      fmbench verify
      fmbench verify results/published
      fmbench verify results/published/quick-v2 --rerun 1
      fmbench verify results/quick-v2 --from-weights
      fmbench verify results/quick-v2/records/vgg11-*.json --rerun all --no-keep
    """
    from fmbench import environment, hardware, limits, verification
    from fmbench.console import stream
    from fmbench.console.verdicts import print_verdicts
    from fmbench.verification import boards, keeping, reruns

    choose_plugins(plugins or [])
    wanted = _how_many(rerun)
    asked = verification.asked_of(paths or [Path("results")], name_of(protocol))
    known = verification.known_sources()
    verdicts = [verification.verify_store(one, known, from_weights=from_weights) for one in asked]
    fresh = [boards.compare(*both) for both in zip(asked, verdicts, strict=True)]
    if from_weights:
        with stoppable():
            _score_weights(verdicts, device, timeout, data_dir)
    again = []
    seed = reruns.new_seed() if draw_seed is None else draw_seed
    drawn = [] if wanted == 0 else reruns.draw(verdicts, wanted, seed)
    if drawn:
        runs = counted(len(drawn), "run")
        stream.say(f"{runs} to make again" + (f", drawn with --draw-seed {seed}" if wanted else ""))

    def make(record: "Record", store: "Store", rules: "Protocol") -> "Reproduction":
        return _make_again(record, store, rules, device, threads, timeout, data_dir)

    try:
        for verdict, run in drawn:
            again.append(reruns.make_again(verdict, run, make))
    except KeyboardInterrupt:
        stream.say("stopped; the runs that were made again until now count")
    if keep:
        made = [one.now.environment for one in again if one]
        where = made[-1] if made else environment.describe(hardware.cpu_device(), limits.cores())
        for one, verdict, board_is_fresh in zip(asked, verdicts, fresh, strict=True):
            try:
                if written := keeping.keep(verdict, where, seed if wanted else None):
                    stream.say(f"wrote {written}")
                    if board_is_fresh:
                        boards.write_anew(one, data_dir)
            except StoreError as error:
                stream.say(f"what was found is not kept: {error.what}")
    if json:
        print_json(
            [
                {
                    "protocol": one.protocol, "runs": one.runs, "findings": one.findings,
                    "false": len(one.false), "draw_seed": seed if wanted else None,
                }
                for one in verdicts
            ]
        )  # fmt: skip
    else:
        print_verdicts(verdicts)
    if len(again) < len(drawn):
        raise typer.Exit(ExitCode.INTERRUPTED)
    if any(one.false for one in verdicts):
        raise typer.Exit(ExitCode.RUN_FAILED)


def _score_weights(
    verdicts: "list[Verdict]", device: str, timeout: float, data_dir: Path | None
) -> None:
    """Have kept weights answer again, run by run, and say how many did."""
    from fmbench import data
    from fmbench.console import stream
    from fmbench.verification import from_weights

    kept = from_weights.with_weights(verdicts)
    done = 0
    for verdict, run in kept:
        store = verdict.store
        record = store.read_record(store.records / f"{run.stem}.json")
        rules = store.protocol_of([record])
        dataset = data.load(data.find(data_dir, say=stream.say), rules.data.sha256)
        done += from_weights.score_again(verdict, run, dataset, device=device, timeout=timeout)
    stream.say(f"{counted(done, 'run')} of {len(kept)} with kept weights scored from them")


def _how_many(rerun: str) -> int | None:
    """The number that `--rerun` means, None for all; raises `UsageError`."""
    if rerun == "all":
        return None
    if rerun and not rerun.isdecimal():
        raise UsageError(f"{rerun!r} is no number of runs", where="--rerun", hint="give N or all")
    return int(rerun or 0)


def _make_again(
    record: "Record",
    store: "Store",
    rules: "Protocol",
    device: str,
    threads: int | None,
    timeout: float,
    data_dir: Path | None,
) -> "Reproduction":
    """Train a recorded run again, with progress on the terminal."""
    from fmbench import data
    from fmbench.console import live, runs, stream
    from fmbench.discovery.guests import named_observers
    from fmbench.execution.estimate import Estimate
    from fmbench.execution.observers import Observers
    from fmbench.execution.reproduction import plan_again

    guests = named_observers()
    again = plan_again(record, store, rules, device=device, threads=threads)
    estimate = Estimate([again.pending], again.setting, own=[record], published=())
    dataset = data.load(data.find(data_dir, say=stream.say), rules.data.sha256)
    estimate.sizes = len(dataset.train_labels), len(dataset.test_labels)
    runs.print_again(again, estimate)
    with live.LiveProgress(1, estimate) as progress:
        observers = Observers(own=[estimate, progress], guests=guests, say=stream.say)
        return again.make(dataset, observers, timeout)

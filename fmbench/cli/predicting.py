"""The commands that use kept weights: predictions for pictures, and an export for a model hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fmbench import files
from fmbench.cli.app import (
    JsonOption,
    PluginsOption,
    ResultsOption,
    StoredOption,
    TimeoutOption,
    choose_plugins,
    nameable,
    print_json,
)
from fmbench.cli.stored import record_of, results_in, store_of
from fmbench.errors import ExitCode, UsageError
from fmbench.wording import encodable

if TYPE_CHECKING:
    from fmbench.weights import Weights

SHOWN = 3


@contextmanager
def stoppable() -> Iterator[None]:
    """Have Ctrl-C end a command with its own exit code."""
    from fmbench.console import stream

    try:
        yield
    except KeyboardInterrupt:
        stream.say("stopped")
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def predict(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN|WEIGHTS",
            help="Id of a record whose weights are kept, or a .safetensors file of such weights.",
        ),
    ],
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...",
            callback=lambda option, paths: [nameable(option, path) for path in paths],
            help="Pictures, or folders of pictures, of any size, grey or in colour.",
        ),
    ],
    protocol: StoredOption = None,
    results: ResultsOption = Path("results"),
    timeout: TimeoutOption = 3600.0,
    plugins: PluginsOption = None,
    json: JsonOption = False,
) -> None:
    """Classify pictures with the weights of a run, on the CPU.

    A picture is made into an image as those of the data set were: upright, grey, cut to what is
    not background, its longer side 28 pixels, in the middle, light on dark. One with a light
    background is inverted, which is said. A file that is no picture is named, the others go on, and
    the exit code is 1.

    \b
    Examples:
      fmbench predict 3f9a1c02 shirt.jpg shoes/
      fmbench predict results/quick-v2/records/softmax-final-s1-74687650-9f47c6cd.safetensors a.png
      fmbench predict 3f9a photos/ --json
    """
    from fmbench import hardware
    from fmbench.console import stream
    from fmbench.console.predictions import print_predictions
    from fmbench.data import names_of_classes
    from fmbench.execution import answering
    from fmbench.execution.predicting import predict_pictures

    choose_plugins(plugins or [])
    weights, path = weights_of(run, results, protocol)
    model = answering.installed(weights)
    for change in answering.changes(weights, model):
        stream.say(f"not built as it was trained: {change}")
    with stoppable():
        found = predict_pictures(
            images,
            lambda pixels: answering.answer(
                weights, path, model, pixels, hardware.cpu_device(), timeout=timeout
            ),
        )
    if not found:
        raise UsageError(
            "there is no picture", where=", ".join(map(str, images)), hint="name the files"
        )
    names = names_of_classes(weights.protocol.data.sha256)
    if json:
        print_json([_as_json(one, names) for one in found])
    else:
        print_predictions(found, names)
    if any(one.fault for one in found):
        raise typer.Exit(ExitCode.RUN_FAILED)


def export(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Id of a record whose weights are kept.")
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", callback=nameable, help="A new or empty folder.")
    ],
    protocol: StoredOption = None,
    results: ResultsOption = Path("results"),
    timeout: TimeoutOption = 3600.0,
    plugins: PluginsOption = None,
) -> None:
    """Write a run as a model hub's repository: weights, configuration, model card, board.

    The card says what was trained on which data and how, its accuracy with interval and rank set,
    where it was trained, and its limits. It has the lines of Python that load the model: with timm
    or torch alone where that gives the same logits, else with fmbench and the plugin. Nothing is
    uploaded.

    \b
    Examples:
      fmbench export 3f9a1c02 my-model
      fmbench export 3f9a my-model --results /tmp/mine --protocol lite-v2
    """
    from fmbench.console import stream
    from fmbench.execution import answering
    from fmbench.execution.exporting import export as write_folder
    from fmbench.leaderboard import page
    from fmbench.leaderboard.board import read_board

    choose_plugins(plugins or [])
    store = store_of(results, protocol)
    record = record_of(store, run)
    kept = store.weights(record)
    model = answering.installed(kept[0])
    for change in answering.changes(kept[0], model):
        stream.say(f"not built as it was trained: {change}")
    stored = results_in(store, protocol)
    with stoppable():
        board = read_board(stored)
        picture = page.draw(board, stored)
        written = write_folder(record, stored, board, picture, kept, model, folder, timeout=timeout)
    for path in written:
        stream.say(f"wrote {path}")


def weights_of(named: str, results: Path, protocol: str | None) -> "tuple[Weights, Path]":
    """The kept weights that a word means, and their file.

    Raises `UsageError` where that is not clear, and `StoreError` where they are not kept.
    """
    from fmbench import weights

    path = Path(named)
    if path.suffix != ".safetensors":
        store = store_of(results, protocol)
        return store.weights(record_of(store, named))
    try:
        return weights.read(path.resolve()), path.resolve()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"cannot be used: {files.reason(error)}",
            where=named,
            hint="name a file that `fmbench run --keep-weights` or `fmbench export` has written",
        ) from error


def _as_json(one: Any, labels: tuple[str, ...]) -> dict[str, Any]:
    if one.fault:
        return {"file": encodable(str(one.path)), "error": one.fault}
    return {
        "file": encodable(str(one.path)),
        "notes": one.notes,
        "predictions": [
            {"class": number, "label": labels[number], "probability": share}
            for number, share in one.best(SHOWN)
        ],
    }

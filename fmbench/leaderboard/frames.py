"""A board, its runs and their learning curves as data frames: typed columns, units in names."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, get_type_hints

import pandas as pd

from fmbench.leaderboard.board import Board, Row
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.leaderboard.tiers import TIERS, Tier
from fmbench.records import Record

UNITS = {"log_loss": "log_loss_nats", "peak_memory": "peak_memory_bytes"}
"""Names of frames for fields of a row that do not say their unit themselves."""
TIER = pd.CategoricalDtype(list(TIERS), ordered=True)
_DTYPES: dict[object, Any] = {
    str: "string",
    int: "int64",
    int | None: "Int64",
    float | None: "float64",
    Tier | None: TIER,
}
_RUN = {
    "record": "string", "model": "string", "distribution": "string", "version": "string",
    "stage": "string", "recipe": "string", "seed": "int64",
}  # fmt: skip
RUNS = {
    **_RUN, "status": "string", "message": "string", "on_board": "bool",
    "protocol_digest": "string", "created": "datetime64[us, UTC]",
    "images": "int64", "correct": "Int64", "accuracy": "float64", "log_loss_nats": "float64",
    "calibration_error": "float64", "tier": TIER, "parameters": "int64", "forward_flops": "int64",
    "train_seconds": "float64", "runner_seconds": "float64",
    "train_images_per_second": "float64", "inference_images_per_second": "float64",
    "peak_memory_bytes": "int64", "resumed_after_epochs": "int64", "workers_beside": "Int64",
    "device_kind": "string", "device": "string", "threads": "int64", "torch": "string",
    "fmbench": "string", "reproducibility": "string", "departure": "string",
}  # fmt: skip
"""The columns of a frame of runs, and their dtypes."""
CURVES = {**_RUN, "epoch": "int64", "train_loss_nats": "float64", "validation_accuracy": "float64"}
"""The columns of a frame of learning curves, and their dtypes."""


def board_frame(board: Board) -> pd.DataFrame:
    """A row a model, in the board's order; see `Row` and `UNITS` for the columns."""
    types = get_type_hints(Row)
    columns = {UNITS.get(one.name, one.name): _DTYPES[types[one.name]] for one in fields(Row)}
    return _frame(([getattr(row, one.name) for one in fields(Row)] for row in board.rows), columns)


def runs_frame(stored: StoredResults) -> pd.DataFrame:
    """A row a record of the store; see `RUNS`."""
    on_board = {record.stem for entry in stored.entries for record in entry.records}
    return _frame((_run(record, stored, on_board) for record in stored.contents.records), RUNS)


def curves_frame(stored: StoredResults) -> pd.DataFrame:
    """A row an epoch of each record of the store; see `CURVES`."""
    rows = (
        [*_of(record), number, loss, validated]
        for record in stored.contents.records
        for number, (loss, validated) in enumerate(_epochs(record), start=1)
    )
    return _frame(rows, CURVES)


def _of(record: Record) -> list[object]:
    run = record.run
    plugin = run.plugin
    return [
        record.id, run.model, plugin.distribution, plugin.version, run.stage, run.recipe, run.seed
    ]  # fmt: skip


def _run(record: Record, stored: StoredResults, on_board: set[str]) -> list[object]:
    result, cost, where = record.result, record.cost, record.environment
    return [
        *_of(record), result.status, result.message, record.stem in on_board,
        record.run.protocol_digest, record.created,
        result.images, result.correct, result.accuracy, result.log_loss,
        result.calibration_error, stored.tiers.get(record.stem), cost.parameters,
        cost.forward_flops, cost.train_seconds, cost.runner_seconds,
        cost.images_per_second, cost.inference_images_per_second,
        cost.peak_memory, cost.resumed_after, cost.beside,
        where.device.kind, where.device.name, where.threads, record.run.torch,
        where.fmbench, record.reproducibility, record.departure,
    ]  # fmt: skip


def _epochs(record: Record) -> Iterable[tuple[float | None, float | None]]:
    """The training loss and the validation accuracy of each epoch, None where there is none."""
    result = record.result
    validated = [right / result.images for right in result.validation_curve if result.images]
    for number in range(max(len(result.curve), len(validated))):
        yield _at(result.curve, number), _at(validated, number)


def _at(values: Sequence[float | None], number: int) -> float | None:
    return values[number] if number < len(values) else None


def _frame(rows: Iterable[Sequence[object]], columns: Mapping[str, Any]) -> pd.DataFrame:
    """A frame of these columns, all there and typed however few rows there are."""
    cells = list(zip(*rows, strict=True)) or [()] * len(columns)
    return pd.DataFrame(
        {name: _typed(column, columns[name]) for name, column in zip(columns, cells, strict=True)}
    )


def _typed(values: Sequence[object], dtype: Any) -> "pd.Series[Any]":
    """A column of a dtype; of whole numbers beyond 64 bits, which JSON can hold, as objects."""
    if str(dtype).startswith("datetime"):
        moments = pd.to_datetime(pd.Series(list(values), dtype=object), utc=True, errors="coerce")
        return moments.astype(dtype)
    try:
        return pd.Series(list(values), dtype=dtype)
    except OverflowError:
        return pd.Series(list(values), dtype=object)

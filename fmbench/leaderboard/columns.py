"""The columns of a leaderboard: what each is called, what it shows, and how it sorts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from fmbench.errors import NothingSelectedError, UsageError
from fmbench.wording import duration, memory, percent, rank_set, short

if TYPE_CHECKING:  # the command's help names the keys, and reading records would slow it down
    from fmbench.leaderboard.board import Board, Row
    from fmbench.leaderboard.tiers import Tier


@dataclass(frozen=True)
class Column:
    """A column people read. `fields` of a row stand behind it, the first is what it sorts by.

    key:  what options call it; heading: what tables call it.
    best: whether high or low values come first when rows are sorted by it.
    wide: whether only files have it, not a terminal unless it is named.
    """

    key: str
    heading: str
    fields: tuple[str, ...]
    cell: Callable[["Row"], str]
    best: str = "low"
    wide: bool = False

    def value(self, row: "Row") -> float | str | None:
        """What a row is sorted by."""
        found: float | str | None = getattr(row, self.fields[0])
        return found


def _accuracy(row: "Row") -> str:
    return "" if row.margin is None else f"{percent(row.accuracy)} ± {percent(row.margin)}"


def _without_twins(row: "Row") -> str:
    return _estimate(
        row.accuracy_without_near_twins,
        row.accuracy_without_near_twins_low,
        row.accuracy_without_near_twins_high,
    )


def _without_doubts(row: "Row") -> str:
    return _estimate(
        row.accuracy_without_doubtful_labels,
        row.accuracy_without_doubtful_labels_low,
        row.accuracy_without_doubtful_labels_high,
    )


def _estimate(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return ""
    return f"{percent(value)} ± {percent((high - low) / 2)}"


def _over_seeds(row: "Row") -> str:
    if row.accuracy_seed_low is None:
        return ""
    return f"{percent(row.accuracy_seed_low)} to {percent(row.accuracy_seed_high)}"


def _tested(row: "Row") -> str:
    return "" if row.test_images is None else f"{row.seeds} × {row.test_images:,}"


def _verified(row: "Row") -> str:
    partly = row.tier == "re-run" and row.seeds_rerun < row.seeds
    return f"{row.tier}, {row.seeds_rerun} of {row.seeds}" if partly else row.tier or ""


def _fixed(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


COLUMNS = (
    Column(
        "rank", "rank", ("rank_best", "rank_worst"),
        lambda row: rank_set(row.rank_best, row.rank_worst),
    ),
    Column("model", "model", ("model",), lambda row: row.model),
    Column(
        "plugin", "plugin", ("distribution", "version"),
        lambda row: f"{row.distribution} {row.version}",
    ),
    Column(
        "accuracy", "accuracy, %", ("accuracy", "accuracy_image_low", "accuracy_image_high"),
        _accuracy, best="high",
    ),
    Column(
        "seeds", "over seeds, %", ("accuracy_seed_low", "accuracy_seed_high"),
        _over_seeds, best="high",
    ),
    Column("n", "n", ("seeds", "seeds_expected", "test_images"), _tested, best="high"),
    Column("loss", "log-loss", ("log_loss",), lambda row: _fixed(row.log_loss)),
    Column(
        "calibration", "calibration error", ("calibration_error",),
        lambda row: _fixed(row.calibration_error),
    ),
    Column("parameters", "parameters", ("parameters",), lambda row: short(row.parameters)),
    Column("flops", "FLOPs", ("forward_flops",), lambda row: short(row.forward_flops)),
    Column("train", "train", ("train_seconds",), lambda row: duration(row.train_seconds)),
    Column("device", "device", ("device",), lambda row: row.device),
    Column(
        "speed", "images/s", ("train_images_per_second",),
        lambda row: short(row.train_images_per_second), best="high",
    ),
    Column(
        "inference", "inference images/s", ("inference_images_per_second",),
        lambda row: short(row.inference_images_per_second), best="high", wide=True,
    ),
    Column(
        "memory", "peak memory", ("peak_memory",),
        lambda row: memory(row.peak_memory), wide=True,
    ),
    Column(
        "no-twins", "without near-twins, %",
        (
            "accuracy_without_near_twins",
            "accuracy_without_near_twins_low",
            "accuracy_without_near_twins_high",
        ),
        _without_twins, best="high", wide=True,
    ),
    Column(
        "no-doubts", "without doubtful labels, %",
        (
            "accuracy_without_doubtful_labels",
            "accuracy_without_doubtful_labels_low",
            "accuracy_without_doubtful_labels_high",
        ),
        _without_doubts, best="high", wide=True,
    ),
    Column("recipe", "recipe", ("recipe",), lambda row: row.recipe, wide=True),
    Column("verified", "verified", ("tier", "seeds_rerun"), _verified),
    Column("status", "status", ("status",), lambda row: row.status),
)  # fmt: skip
KEYS = tuple(column.key for column in COLUMNS)
WORDS = ("model", "plugin", "device", "recipe", "verified", "status")
"""Columns of words; the others hold numbers."""


def choose(keys: str = "") -> tuple[Column, ...]:
    """The columns of a comma-separated list of keys, in that order; without one the usual ones.

    Raises `UsageError` naming a key that no column has.
    """
    if not keys:
        return tuple(column for column in COLUMNS if not column.wide)
    return tuple(_column(key.strip()) for key in keys.split(","))


def arrange(
    board: "Board",
    *,
    sort: str = "",
    reverse: bool = False,
    patterns: Sequence[str] = (),
    verified: "Tier | None" = None,
) -> "Board":
    """The board with its rows sorted by a column and only those whose model fits a pattern.

    verified: keep only rows whose runs were all checked so far, or further; `re-run` asks for one
              of them to have been made again.

    Ranks and notes stay those of the whole board. Absent values come last. Raises `UsageError` for
    an unknown column and `NothingSelectedError` when no row fits.
    """
    rows = list(board.rows)
    if patterns:
        rows = [row for row in rows if any(fnmatchcase(row.model, one) for one in patterns)]
        if not rows:
            raise NothingSelectedError(
                f"no row's model fits {' or '.join(patterns)}",
                hint=f"there are {', '.join(row.model for row in board.rows)}",
            )
    if verified:
        from fmbench.leaderboard.tiers import height

        rows = [row for row in rows if height(row.tier) >= height(verified)]
        if not rows:
            raise NothingSelectedError(
                f"no row is {verified}", hint="check the records: fmbench verify"
            )
    if sort:
        column = _column(sort)
        absent = [row for row in rows if column.value(row) in (None, "")]
        present = [row for row in rows if column.value(row) not in (None, "")]
        present.sort(key=column.value, reverse=reverse != (column.best == "high"))  # type: ignore[arg-type]
        rows = present + absent
    elif reverse:
        rows.reverse()
    left = len(board.rows) - len(rows)
    ranked = any(row.rank_best for row in board.rows)
    among = "; ranks are among all" if ranked else ""
    said = (f"{left} of {len(board.rows)} rows are filtered out{among}.",)
    return replace(board, rows=tuple(rows), notes=board.notes + (said if left else ()))


def _column(key: str) -> Column:
    for column in COLUMNS:
        if column.key == key:
            return column
    names = {
        name.lower(): column.key for column in COLUMNS for name in (column.heading, column.key)
    }
    near = get_close_matches(key.lower(), names, n=1)
    hint = f"did you mean {names[near[0]]}?" if near else f"the columns are {', '.join(KEYS)}"
    raise UsageError(f"no column is called {key!r}", hint=hint)

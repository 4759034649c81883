"""The table: a row for each model, its columns with what they sort by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from fmbench.leaderboard.page.subjects import Subject
from fmbench.leaderboard.page.text import span
from fmbench.leaderboard.statistics import SEEDS_FOR_T
from fmbench.leaderboard.words import duration, memory, percent, rank_set, short


@dataclass(frozen=True)
class Cell:
    """What a cell shows, the smaller line below it, and what it sorts by; empty sorts last."""

    text: str
    small: str = ""
    value: str = ""


@dataclass(frozen=True)
class Column:
    """A column: its heading with the unit, and how it sorts when first asked to.

    kind: numbers sort by size and stand to the right; words sort by letters.
    """

    name: str
    heading: str
    unit: str
    kind: Literal["number", "words"]
    first: Literal["ascending", "descending"]
    cell: Callable[[Subject], Cell]


@dataclass(frozen=True)
class TableRow:
    """A row: its cells in the order of the columns."""

    subject: Subject
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """The whole table."""

    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]


def table(subjects: Sequence[Subject], seeds: int) -> Table:
    """The table of the subjects in their order; `seeds` is the number the protocol asks for."""
    columns = _columns(_kind(seeds))
    return Table(
        columns,
        tuple(
            TableRow(subject, tuple(column.cell(subject) for column in columns))
            for subject in subjects
        ),
    )


def _number(text: str, value: float | None) -> Cell:
    return Cell(text, value="" if value is None else repr(float(value)))


def _words(text: str, small: str = "") -> Cell:
    return Cell(text, small=small, value=f"{text} {small}".strip())


def _rank(subject: Subject) -> Cell:
    best, worst = subject.row.rank_best, subject.row.rank_worst
    value = None if best is None or worst is None else best + worst / 1e6
    return _number(rank_set(best, worst), value)


def _accuracy(subject: Subject) -> Cell:
    accuracy, margin = subject.row.accuracy, subject.margin
    if accuracy is None:
        return _number("", None)
    said = percent(accuracy) if margin is None else f"{percent(accuracy)} ± {percent(margin)}"
    return _number(said, accuracy)


def _over_seeds(usual: str) -> Callable[[Subject], Cell]:
    """The cells of what seeds leave open; one of another kind than the heading names says so."""

    def cell(subject: Subject) -> Cell:
        row = subject.row
        if row.accuracy_seed_low is None or row.accuracy_seed_high is None:
            return _number("", None)
        said = span(row.accuracy_seed_low, row.accuracy_seed_high)
        kind = _kind(row.seeds)
        small = "" if kind == usual else kind
        return Cell(said, small=small, value=repr(row.accuracy_seed_low))

    return cell


def _kind(seeds: int) -> str:
    return "95 % t" if seeds >= SEEDS_FOR_T else "range"


def _runs(subject: Subject) -> Cell:
    row = subject.row
    if row.test_images is None:
        return _number(f"{row.seeds}", float(row.seeds))
    return _number(f"{row.seeds} × {row.test_images:,}", float(row.seeds * row.test_images))


def _fraction(pick: Callable[[Subject], float | None]) -> Callable[[Subject], Cell]:
    def cell(subject: Subject) -> Cell:
        value = pick(subject)
        return _number("" if value is None else f"{value:.3f}", value)

    return cell


def _worded(
    pick: Callable[[Subject], float | None], worded: Callable[[float | None], str]
) -> Callable[[Subject], Cell]:
    return lambda subject: _number(worded(pick(subject)), pick(subject))


def _columns(kind: str) -> tuple[Column, ...]:
    """The columns; `kind` is that of most intervals over seeds."""
    return (
        Column("rank", "Rank", "", "number", "ascending", _rank),
        Column("model", "Model", "", "words", "ascending", lambda of: _words(of.row.model)),
        Column(
            "plugin", "Plugin", "", "words", "ascending",
            lambda of: _words(of.row.distribution, of.row.version),
        ),
        Column("accuracy", "Accuracy", "%", "number", "descending", _accuracy),
        Column("over-seeds", "Over seeds", f"%, {kind}", "number", "descending", _over_seeds(kind)),
        Column("runs", "Runs", "seeds × images", "number", "descending", _runs),
        Column(
            "log-loss", "Log-loss", "nats", "number", "ascending",
            _fraction(lambda of: of.row.log_loss),
        ),
        Column(
            "calibration", "Calibration error", "", "number", "ascending",
            _fraction(lambda of: of.row.calibration_error),
        ),
        Column(
            "parameters", "Parameters", "", "number", "ascending",
            _worded(lambda of: of.row.parameters, short),
        ),
        Column(
            "flops", "FLOPs", "an image", "number", "ascending",
            _worded(lambda of: of.row.forward_flops, short),
        ),
        Column(
            "train-time", "Training time", "", "number", "ascending",
            _worded(lambda of: of.row.train_seconds, duration),
        ),
        Column("device", "Device", "", "words", "ascending", lambda of: _words(of.row.device)),
        Column(
            "train-speed", "Training", "images/s", "number", "descending",
            _worded(lambda of: of.row.train_images_per_second, short),
        ),
        Column(
            "inference-speed", "Inference", "images/s", "number", "descending",
            _worded(lambda of: of.row.inference_images_per_second, short),
        ),
        Column(
            "memory", "Peak memory", "", "number", "ascending",
            _worded(lambda of: of.row.peak_memory, memory),
        ),
        Column("recipe", "Recipe", "", "words", "ascending", lambda of: _words(of.row.recipe)),
        Column("status", "Status", "", "words", "ascending", lambda of: _words(of.row.status)),
    )  # fmt: skip

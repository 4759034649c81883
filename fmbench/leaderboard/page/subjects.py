"""What the page is about: each row of the board with the entry that it stands for."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from fmbench.leaderboard.board import Board, Row, device_name
from fmbench.leaderboard.evidence import Entry, Evidence


@dataclass(frozen=True)
class Subject:
    """One row, its entry and what the page calls it.

    name:   the model, with its distribution where two distributions offer a model of that name.
    anchor: the id of its provenance on the page.
    """

    row: Row
    entry: Entry
    name: str
    anchor: str

    @property
    def margin(self) -> float | None:
        """Half of its interval for new images, a share from 0 to 1."""
        low, high = self.row.accuracy_image_low, self.row.accuracy_image_high
        return None if low is None or high is None else (high - low) / 2

    @property
    def recipe(self) -> str:
        """The recipe of its final runs, empty when it has none."""
        return self.entry.finals[-1].run.recipe if self.entry.finals else ""

    @property
    def times(self) -> tuple[tuple[str, float], ...]:
        """Each device that trained it with the mean training time there, in seconds."""
        by_device = defaultdict(list)
        for record in self.entry.ok:
            by_device[device_name(record.environment)].append(record.cost.train_seconds)
        return tuple((device, fmean(times)) for device, times in sorted(by_device.items()))


def subjects_of(board: Board, evidence: Evidence) -> tuple[Subject, ...]:
    """The subjects of a board in its order; `KeyError` when a row has no entry in the evidence."""
    offered = Counter(row.model for row in board.rows)
    return tuple(
        Subject(
            row=row,
            entry=evidence.entry(row.model, row.distribution),
            name=row.model if offered[row.model] == 1 else f"{row.model} ({row.distribution})",
            anchor=f"about-{number}",
        )
        for number, row in enumerate(board.rows, start=1)
    )


def devices_of(subjects: Sequence[Subject]) -> tuple[str, ...]:
    """The devices that trained any of the subjects, sorted."""
    return tuple(sorted({device for subject in subjects for device, _ in subject.times}))

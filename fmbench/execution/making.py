"""Making a session's runs, and then the board: what `fmbench run` and `fmbench.run` share."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Literal, Protocol

from fmbench import data, environment, weights
from fmbench.execution.claims import the_only_writer
from fmbench.execution.estimate import Estimate
from fmbench.execution.observers import Observers
from fmbench.execution.plan import Pending
from fmbench.execution.session import Session
from fmbench.execution.timings import Part, Timings
from fmbench.leaderboard.board import Board, read_board
from fmbench.leaderboard.published import write_board
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.records import Record


class Progressing(Protocol):
    """An observer that shows how far a session is."""

    def replan(self, pending: tuple[Pending, ...]) -> None:
        """Take these as the runs that are left."""


Show = Callable[[int, Estimate], AbstractContextManager[Progressing]]
"""What shows the progress of so many runs; it does so while it is entered."""


def make_runs(
    session: Session,
    estimate: Estimate,
    *,
    show: Show,
    guests: Mapping[str, object],
    say: Callable[[str], None],
    data_dir: Path | None,
    timeout: float,
    engine: Literal["local", "ray"] = "local",
    address: str = "",
    checkpoint_seconds: float = 60.0,
    checkpoints: Path | None = None,
    keep_logits: bool = False,
    keep_weights: weights.Kind | None = None,
    timings: Timings | None = None,
) -> list[Record]:
    """Find the data, prepare the store, and make the pending runs with an engine of that name.

    Returns the records of the runs that were made.

    On `KeyboardInterrupt` the runs under way are recorded as interrupted; it is raised again.
    """
    timings = timings or Timings()
    if environment.busy_share() > environment.BUSY:
        say("other programs keep this machine busy: training can take many times longer")
    with timings.during(Part.DATA):
        found = data.find(data_dir, say=say)
        dataset = data.load(found, session.setting.protocol.data.sha256)
        estimate.sizes = len(dataset.train_labels), len(dataset.test_labels)
        for sentence in session.prepare(dataset):
            say(sentence)
    with (
        closing(
            session.start_engine(engine, address=address, shared=checkpoints, say=say)
        ) as place,
        show(session.count, estimate) as progress,
    ):
        estimate.workers = place.slots
        return session.run(
            dataset,
            Observers(own=[estimate, progress], guests=guests, say=say),
            engine=place,
            forecast=estimate,
            replanned=progress.replan,
            timeout=timeout,
            checkpoint_seconds=checkpoint_seconds,
            checkpoints=checkpoints,
            keep_logits=keep_logits,
            keep_weights=keep_weights,
            timings=timings,
        )


def make_board(session: Session, data_dir: Path | None) -> tuple[StoredResults, Board, Path]:
    """Read the board and write it beside the records, as the last act; returns the page's path."""
    with the_only_writer(session.store.claims):
        stored = StoredResults(session.store, session.setting.protocol)
        board = read_board(stored)
        paths = write_board(stored, board, data_dir)
    return stored, board, paths[-1]

"""Live progress of runs on stderr. An ordinary observer."""

from types import TracebackType

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fmbench.console.stream import plain, talk
from fmbench.execution.estimate import Estimate
from fmbench.execution.plan import Pending
from fmbench.hookspecs import hookimpl
from fmbench.records import Progress, Record, Run
from fmbench.wording import duration, short

BAR_WIDTH = 40
REDRAWS_PER_SECOND = 4


class LiveProgress:
    """Shows a whole command's progress while it is entered as a context.

    On a terminal: a bar for the whole and a line for the run under way, finished runs above them.
    Elsewhere, and with NO_COLOR: a plain line for each finished run.
    """

    def __init__(self, runs: int, estimate: Estimate) -> None:
        self._runs = runs
        self._ended = 0
        self._estimate = estimate
        self._at: Run | None = None
        self._progress: Progress | None = None
        self._live = Live(
            console=talk, get_renderable=self._picture, refresh_per_second=REDRAWS_PER_SECOND
        )

    def __enter__(self) -> "LiveProgress":
        if talk.file.isatty() and not talk.no_color:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._at = self._progress = None
        self._live.stop()

    def replan(self, pending: tuple[Pending, ...]) -> None:
        """Take these as the runs that are left."""
        self._ended = self._runs - sum(one.count for one in pending)
        self._estimate.plan(pending)

    @hookimpl
    def fmbench_run_start(self, run: Run) -> None:
        """A run has begun: name it."""
        self._at, self._progress = run, None

    @hookimpl
    def fmbench_epoch_end(self, progress: Progress) -> None:
        """A run has moved on."""
        self._progress = progress

    @hookimpl
    def fmbench_run_end(self, record: Record) -> None:
        """A run has ended: leave a line about it behind."""
        self._ended += 1
        self._at = self._progress = None
        talk.print(finished_line(record))

    def _picture(self) -> Group:
        whole = Table.grid(padding=(0, 1))
        whole.add_row(
            ProgressBar(total=max(self._runs, 1), completed=self._share(), width=BAR_WIDTH),
            f"{self._ended} of {self._runs} runs, {time_of(self._estimate)} left",
        )
        return Group(whole, self._line())

    def _share(self) -> float:
        now = self._progress  # read once: another thread sets it
        return self._ended + (now.share if now else 0.0)

    def _line(self) -> Text:
        at, now = self._at, self._progress
        if at is None:
            return plain("waiting for a worker" if self._ended < self._runs else "", "dim")
        name = f"{at.model}, {run_kind(at)}"
        if now is None:
            return plain(f"{name}: building")
        loss = "not finite" if now.loss is None else f"{now.loss:.3f}"
        if now.epoch == now.epochs and now.step == now.steps:
            return plain(f"{name}: loss {loss}, evaluating")
        return plain(
            f"{name}: epoch {now.epoch} of {now.epochs}, step {now.step} of {now.steps}, "
            f"loss {loss}, {short(now.images_per_second)} images/s"
        )


def time_of(estimate: Estimate) -> str:
    """How long what is left takes, as far as that is known."""
    known = estimate.remaining()
    if not estimate.unknown():
        return f"about {duration(known)}"
    return f"more than {duration(known)}" if known else "an unknown time"


def run_kind(run: Run) -> str:
    """What distinguishes a run from its model's others, for people."""
    seed = f"seed {run.seed}"
    return seed if run.stage == "final" else f"trying {run.recipe}, {seed}"


def finished_line(record: Record) -> Text:
    """One line about a finished run."""
    result = record.result
    line = plain(result.status, "green" if record.ok else "red")
    if result.accuracy is None:
        said = result.message.partition("\n")[0]
    else:
        where = "test" if record.run.stage == "final" else "validation"
        said = (
            f"{100 * result.accuracy:.2f} % of {result.images:,} {where} images, "
            f"trained {duration(record.cost.train_seconds)} at "
            f"{short(record.cost.images_per_second)} images/s"
        )
    rest = f" {record.run.model}, {run_kind(record.run)}: {said}"
    return line.append_text(plain(rest, "default"))

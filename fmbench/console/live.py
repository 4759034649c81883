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
LINES_BESIDE = 4
"""Of a terminal: the bar, the cursor's line, and the last finished runs."""


class LiveProgress:
    """Shows a whole command's progress while it is entered as a context.

    On a terminal: a bar for the whole and a line for each run under way, finished runs above them.
    Elsewhere, and with NO_COLOR: a plain line for each finished run.
    """

    def __init__(self, runs: int, estimate: Estimate) -> None:
        self._runs = runs
        self._ended = 0
        self._estimate = estimate
        self._under_way: dict[str, tuple[Run, Progress | None]] = {}
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
        self._under_way = {}
        self._live.stop()

    def replan(self, pending: tuple[Pending, ...]) -> None:
        """Take these as the runs that are left."""
        self._ended = self._runs - sum(one.count for one in pending)
        self._estimate.plan(pending)

    @hookimpl
    def fmbench_run_start(self, run: Run) -> None:
        """A run has begun: name it."""
        self._under_way[run.key] = run, None

    @hookimpl
    def fmbench_epoch_end(self, progress: Progress) -> None:
        """A run has moved on."""
        self._under_way[progress.run.key] = progress.run, progress

    @hookimpl
    def fmbench_run_again(self, run: Run, why: str) -> None:
        """A run is under way no more."""
        self._under_way.pop(run.key, None)
        self._leave(plain(f"again {run.model}, {run_kind(run)}: {why}"))

    @hookimpl
    def fmbench_run_end(self, record: Record) -> None:
        """A run has ended: leave a line about it behind."""
        self._ended += record.done
        self._under_way.pop(record.key, None)
        self._leave(finished_line(record))

    def _done(self) -> float:
        """How many runs are done, those under way by the share of their training."""
        under_way = tuple(self._under_way.values())
        return self._ended + sum(now.share for _, now in under_way if now)

    def _counted(self) -> str:
        return f"{self._ended} of {self._runs} runs, {time_of(self._estimate)} left"

    def _leave(self, line: Text) -> None:
        """Leave a line behind, above what moves."""
        talk.print(line)

    def _picture(self) -> Group:
        under_way = tuple(self._under_way.values())  # read once: another thread sets it
        whole = Table.grid(padding=(0, 1))
        whole.add_row(
            ProgressBar(total=max(self._runs, 1), completed=self._done(), width=BAR_WIDTH),
            self._counted(),
        )
        room = max(1, talk.size.height - LINES_BESIDE)
        if len(under_way) > room:
            lines = [run_line(run, now) for run, now in under_way[: room - 1]]
            lines.append(plain(f"and {len(under_way) - room + 1} more runs", "dim"))
        else:
            lines = [run_line(run, now) for run, now in under_way]
        if not lines:
            lines = [plain("waiting for a worker" if self._ended < self._runs else "", "dim")]
        return Group(whole, *lines)


def run_line(run: Run, now: Progress | None) -> Text:
    """How far a run is, in one line of the terminal."""
    name = f"{run.model}, {run_kind(run)}"
    if now is None:
        said = "building"
    else:
        loss = "loss not finite" if now.loss is None else f"loss {now.loss:.3f}"
        said = (
            f"{loss}, evaluating"
            if now.epoch == now.epochs and now.step == now.steps
            else f"epoch {now.epoch} of {now.epochs}, step {now.step} of {now.steps}, {loss}, "
            f"{short(now.images_per_second)} images/s"
        )
    line = plain(f"{name}: {said}")
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


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

"""Progress of runs as one bar of tqdm, for notebooks and scripts. An ordinary observer."""

import sys
import warnings
from types import TracebackType
from typing import Any, ClassVar

from rich.text import Text

from fmbench.console.live import LiveProgress, run_line
from fmbench.hookspecs import hookimpl
from fmbench.records import Progress, Record, Run

with warnings.catch_warnings(action="ignore"):  # in a notebook without ipywidgets it draws in text
    from tqdm.auto import tqdm


class _Bar(tqdm):  # type: ignore[type-arg]
    monitor_interval: ClassVar[int] = 0  # else tqdm leaves a thread behind


class BarProgress(LiveProgress):
    """Shows a whole session's progress while it is entered as a context.

    One bar says how far all runs are, and each finished run leaves a line behind.
    """

    def __enter__(self) -> "BarProgress":
        self._bar: Any = _Bar(total=max(self._runs, 1), file=sys.stderr, bar_format="{bar} {desc}")
        self._move()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._under_way = {}
        self._move()
        self._bar.close()

    @hookimpl
    def fmbench_run_start(self, run: Run) -> None:
        """A run has begun: name it."""
        super().fmbench_run_start(run)
        self._move()

    @hookimpl
    def fmbench_epoch_end(self, progress: Progress) -> None:
        """A run has moved on."""
        super().fmbench_epoch_end(progress)
        self._move()

    @hookimpl
    def fmbench_run_end(self, record: Record) -> None:
        """A run has ended: leave a line about it behind."""
        super().fmbench_run_end(record)
        self._move()

    def _leave(self, line: Text) -> None:
        _Bar.write(line.plain, file=sys.stderr)

    def _move(self) -> None:
        said = [self._counted()]
        if self._under_way:
            *_, last = self._under_way.values()
            said.append(run_line(*last).plain)
        self._bar.n = min(self._done(), self._bar.total)
        self._bar.set_description_str("; ".join(said))

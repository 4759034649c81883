"""Engines: what a worker's end is taken to mean, told apart by its guard."""

import signal

import pytest

from fmbench.execution import guard
from fmbench.execution.engines import outcome_of
from fmbench.execution.job import Ending


@pytest.mark.parametrize(
    ("ending", "status", "said"),
    [
        (Ending(status=0), "crashed", "exit status 0"),
        (Ending(status=7), "crashed", "exit status 7"),
        (Ending(status=-signal.SIGSEGV), "crashed", "SIGSEGV"),
        (Ending(status=-signal.SIGKILL), "crashed", "SIGKILL"),
        (Ending(status=-40), "crashed", "signal 40"),
        (Ending(status=-signal.SIGKILL, out_of_memory=True), "oom", "out of memory"),
        (None, "crashed", "guard"),
    ],
)
def test_ends_are_told_apart(ending: Ending | None, status: str, said: str) -> None:
    """Exit, signal, the kernel's want of memory and the death of the guard have their own words."""
    outcome = outcome_of(ending)
    assert outcome.status == status
    assert said in outcome.message


def test_the_kernels_count_is_read(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of processes killed for want of memory comes from /proc/vmstat, or is 0."""
    monkeypatch.setattr(guard, "OUT_OF_MEMORY_KILLS", tmp_path / "vmstat")
    assert guard._out_of_memory_kills() == 0
    (tmp_path / "vmstat").write_text("nr_free_pages 5\noom_kill 3\n")
    assert guard._out_of_memory_kills() == 3

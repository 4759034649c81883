"""The table of statuses: what the commands do is what it says."""

from pathlib import Path
from typing import get_args

import pytest

import samples
from fmbench.execution.job import JobFolder, RunOutcome
from fmbench.execution.plan import done_records
from fmbench.statuses import STATUSES, Repeat, Status


def test_every_status_has_its_meaning() -> None:
    """The table has a row for each status that a record may hold, and none besides."""
    assert set(STATUSES) == set(get_args(Status))


@pytest.mark.parametrize("status", STATUSES)
def test_a_run_is_made_again_when_the_table_says_so(status: Status) -> None:
    """Never, by every command, or with --retry-failed alone."""
    record = samples.record(status=status)
    again = {
        asked: record.key not in done_records([record], retry_failed=asked)
        for asked in (False, True)
    }
    assert (
        again
        == {
            Repeat.NEVER: {False: False, True: False},
            Repeat.WHEN_ASKED: {False: False, True: True},
            Repeat.ALWAYS: {False: True, True: True},
        }[STATUSES[status].repeat]
    )


@pytest.mark.parametrize("status", STATUSES)
def test_a_worker_is_believed_what_the_table_lets_it_tell(tmp_path: Path, status: Status) -> None:
    """A status that is the runner's to tell is not read from a worker's file."""
    folder = JobFolder(tmp_path)
    folder.write_outcome(0, RunOutcome(status=status))
    assert (folder.read_outcome(0) is not None) == (STATUSES[status].reported_by == "worker")

"""Cores given to workers: one each, given back by whatever ends a worker."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fmbench import limits
from fmbench.execution import pinning
from fmbench.execution.pinning import Cores, spread

HOLD = """
import sys
from pathlib import Path
from fmbench.execution.pinning import Cores
cores = Cores(Path(sys.argv[1]))
print(*cores.pin(int(sys.argv[2])), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
    """Four cores, and where this process was put."""
    placed: list[set[int]] = []
    monkeypatch.setattr(limits, "core_numbers", lambda: [0, 1, 2, 3])
    monkeypatch.setattr(pinning, "_siblings", lambda core: [core])
    monkeypatch.setattr(
        os, "sched_setaffinity", lambda _, cores: placed.append(cores), raising=False
    )
    return placed


def test_no_core_is_given_twice(four: list[set[int]], tmp_path: Path) -> None:
    """Workers get cores of their own while there are any; who comes too late goes unpinned."""
    folder = tmp_path / "cores"
    first, second, third = Cores(folder), Cores(folder), Cores(folder)
    assert first.pin(2) == (0, 1)
    assert second.pin(1) == (2,)
    assert third.pin(2) == ()
    assert Cores(folder).pin(1) == (3,)  # the third kept none of those it could not use
    assert four == [{0, 1}, {2}, {3}]


def test_a_killed_process_gives_its_cores_back(tmp_path: Path) -> None:
    """The lock on a core ends with the process that took it, however that ends."""
    core = limits.core_numbers()[0]
    command = [sys.executable, "-c", HOLD, str(tmp_path / "cores"), "1"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().split() == [str(core)]
        holder.kill()
    again = subprocess.run(command, input="", capture_output=True, text=True, check=True)
    assert again.stdout.split() == [str(core)]


def test_a_folder_that_is_not_ones_own_is_not_used(four: list[set[int]], tmp_path: Path) -> None:
    """Where somebody else has put a link or a file in the place of the folder nobody is pinned."""
    (tmp_path / "file").write_text("")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name in ("file", "link"):
        assert Cores(tmp_path / name).pin(1) == ()
    assert four == []


def test_physical_cores_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two threads of one physical core the second is taken after all the first ones."""
    monkeypatch.setattr(pinning, "TOPOLOGY", tmp_path)
    for core, siblings in enumerate(("0-1", "0-1", "2,3", "2,3")):
        folder = tmp_path / f"cpu{core}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    assert spread([0, 1, 2, 3]) == [0, 2, 1, 3]
    assert spread([4, 5]) == [4, 5]

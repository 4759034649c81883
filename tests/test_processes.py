"""Copies of a process that do something on their own, and end whatever happens."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import alive
from fmbench import processes


def test_a_copy_that_waits_for_a_thread_it_has_not_is_given_up() -> None:
    """A model with threads of its own may wait for ever in a fork, where they are not."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        waiting = processes.in_a_copy(lambda: bytes(pool.submit(int).result()), 3600)
    assert waiting == (b"", None)


def test_a_copy_that_works_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that does something is not idle; over its time it is stopped all the same."""
    monkeypatch.setattr(processes, "IDLE_SECONDS", 0.0)
    assert processes.in_a_copy(lambda: busy(2.0), 3600) == (b"done", 0)
    assert processes.in_a_copy(lambda: busy(3600), 2) == (b"", None)


def busy(seconds: float) -> bytes:
    """Compute for a while."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return b"done"


def test_a_copy_ends_with_its_parent(tmp_path: Path) -> None:
    """When the process that made it is killed, nothing goes on in its name."""
    code = """
import os, sys, time
from fmbench import processes
def work():
    with open(sys.argv[1], "w") as file: file.write(str(os.getpid()))
    while True: pass
processes.in_a_copy(work, 3600)
"""
    noted = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", code, noted]) as parent:
        while not (noted.exists() and noted.read_text()):
            time.sleep(0.02)
        parent.send_signal(signal.SIGKILL)
    copy = int(noted.read_text())
    for _ in range(1000):
        if not alive(copy):
            break
        time.sleep(0.02)
    assert not alive(copy)

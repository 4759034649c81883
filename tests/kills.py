"""Random kills of a run with real training, and what the store must hold between them."""

import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from fmbench.records import Result
from fmbench.store import Store
from plugins_of_all_kinds import CONVOLUTION, offering

LONG = ("epochs = 2", "epochs = 12")
MOST_TOLD = 25
"""Events of a worker's two runs of twelve epochs, nearly."""
KILLED = offering("good=linear", "conv=convolution", extra=CONVOLUTION)


def results(folder: Path) -> dict[str, Result]:
    """The good results in a store, by key; fails when a run has two."""
    found: dict[str, Result] = {}
    for record in Store(folder, "tiny-v1").read().records:
        if record.result.status == "ok":
            assert record.key not in found
            found[record.key] = record.result
    return found


def tree_of(child: "subprocess.Popen[bytes]") -> dict[str, list[psutil.Process]]:
    """The processes of a run, by what they are, and all of them."""
    try:
        runner = psutil.Process(child.pid)
        children = runner.children(recursive=True)
    except psutil.NoSuchProcess:
        return {"runner": [], "guard": [], "worker": [], "all": []}
    found = {"runner": [runner], "guard": [], "worker": [], "all": [runner, *children]}
    for child in children:
        try:
            line = " ".join(child.cmdline())
        except psutil.Error:
            continue
        for kind in ("guard", "worker"):
            if f"execution.{kind}" in line:
                found[kind].append(child)
    return found


def kill_at_random(
    environment: dict[str, str], asked: list[str], folder: Path, draw: random.Random
) -> str:
    """Start a run, kill -9 one or all of its processes at a random moment, wait for the rest.

    The moment is when a worker has told a random number of things, which may be none: before it
    has started. Returns who was killed, "" when the run was over before.
    """
    child = subprocess.Popen(
        [Path(sys.executable).with_name("fmbench"), *asked],
        cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    whom = draw.choice(["runner", "guard", "worker", "all"])
    told = draw.choice([0, draw.randrange(1, MOST_TOLD)])
    time.sleep(draw.uniform(0.2, 1.5))
    while child.poll() is None and (told > most_told(folder) or not tree_of(child)[whom]):
        time.sleep(0.01)
    found = tree_of(child)
    killed = 0
    for process in found[whom]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
            killed += 1
    child.wait(timeout=1200)
    _, alive = psutil.wait_procs(found["all"], timeout=200)
    assert not alive, f"left behind after killing {whom}"
    return whom if killed else ""


def most_told(folder: Path) -> int:
    """How many events the workers under way have written, at most."""
    return max(
        (lines(path) for path in folder.glob("*/*/work/jobs/*/job-*/events.jsonl")), default=0
    )


def lines(path: Path) -> int:
    """The number of lines of a file that may be gone."""
    try:
        return path.read_bytes().count(b"\n")
    except OSError:
        return 0


@dataclass
class Killing:
    """Kills of one command until all of its results are there.

    asked: the command's arguments without `--results`.
    expected: the results of a quiet run.
    """

    environment: dict[str, str]
    asked: list[str]
    folder: Path
    expected: dict[str, Result]

    def until_done(self, name: str, draw: random.Random, most: int) -> Iterator[tuple[str, bool]]:
        """After each kill into the results folder `name`, who was killed, and whether half way.

        Between kills the store holds what it held before and nothing that a quiet run would not
        have made. In the end a last run that nobody kills makes the expected results of it.
        """
        asked = [*self.asked, "--results", name]
        before: dict[str, Result] = {}
        for _ in range(most):
            whom = kill_at_random(self.environment, asked, self.folder, draw)
            now = results(self.folder / name)
            assert before.items() <= now.items() <= self.expected.items(), "a row is lost or wrong"
            before = now
            if whom:
                left = list((self.folder / name).glob("*/work/checkpoints/*/*.json"))
                yield whom, bool(now or left) and now != self.expected
            if now == self.expected:
                break
        self.finish(name)

    def finish(self, name: str) -> None:
        """Run to the end in peace."""
        command = [Path(sys.executable).with_name("fmbench"), *self.asked, "--results", name]
        quiet = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert quiet.returncode == 0, quiet.stderr
        found = results(self.folder / name)
        self.expected = self.expected or found
        assert found == self.expected

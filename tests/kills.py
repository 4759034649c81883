"""Random kills of a run with real training, and what the store must hold between them."""

import random
import subprocess
import sys
import time
from pathlib import Path

import psutil

from fmbench.records import Result
from fmbench.store import Store
from plugins_of_all_kinds import offering

LONG = ("epochs = 2", "epochs = 12")
CONVOLUTION = """
def convolution(spec):
    from torch import nn
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(),
                         nn.Flatten(), nn.Dropout(0.5), nn.Linear(4 * 13 * 13, spec.classes))
"""
KILLED = offering("good=linear", "conv=convolution", extra=CONVOLUTION)


def results(folder: Path) -> dict[str, Result]:
    """The good results in a store, by key; fails when a run has two."""
    found: dict[str, Result] = {}
    for record in Store(folder, "tiny-v1").read().records:
        if record.result.status == "ok":
            assert record.key not in found
            found[record.key] = record.result
    return found


def tree(runner: psutil.Process) -> dict[str, list[psutil.Process]]:
    """The processes of a run, by what they are."""
    try:
        children = runner.children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    found: dict[str, list[psutil.Process]] = {"runner": [runner], "guard": [], "worker": []}
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
    """Start a run, kill -9 one or all of its processes at a random moment, wait for the rest."""
    child = subprocess.Popen(
        [Path(sys.executable).with_name("fmbench"), *asked],
        cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(draw.uniform(0.2, 4.0))
    whom = draw.choice(["runner", "guard", "worker", "all"])
    found = tree(psutil.Process(child.pid))
    everybody = [process for group in found.values() for process in group]
    for process in everybody if whom == "all" else found[whom]:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    child.wait(timeout=120)
    _, alive = psutil.wait_procs(everybody, timeout=20)
    assert not alive, f"left behind after killing {whom}"
    return whom

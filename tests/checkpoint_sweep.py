"""Crash points of checkpoints: a process that saves three of them dies at its n-th system call.

Run as a program, so that it forks from a process without threads: `python
tests/checkpoint_sweep.py FOLDER`. For n = 1, 2 … until all three are saved. Prints how many points
it tried.
"""

import itertools
import os
import sys
from pathlib import Path

import torch

from crash_sweep import DIED, UNTOUCHED, arm, in_child
from fmbench.training.checkpoints import Checkpoints

EPOCHS = 3


class Fake:
    """A model, its optimiser and its schedule, with weights that tell the epoch."""

    def __init__(self, folder: Path) -> None:
        self.model = torch.nn.Linear(3, 2)
        optimizer = torch.optim.SGD(self.model.parameters())
        schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
        self.parts = self.model, optimizer, schedule
        self.checkpoints = Checkpoints(folder, 0.0)
        saved = self.checkpoints.restore(*self.parts)
        self.epoch = len(saved.curve) if saved else 0

    def train(self) -> None:
        """Go on to the next epoch and save it."""
        self.epoch += 1
        for parameter in self.model.parameters():
            parameter.data.fill_(self.epoch)
        self.checkpoints.save(*self.parts, curve=[1.0] * self.epoch, seconds=1.0)

    @property
    def told(self) -> set[float]:
        """The epochs its weights tell of."""
        return {value for one in self.model.parameters() for value in one.data.flatten().tolist()}


def doomed(folder: Path, notes: Path, n: int) -> None:
    """Save all epochs, a note after each; die at the n-th call that changes the file system."""
    fake = Fake(folder)
    reached = arm(n, "die")
    while fake.epoch < EPOCHS:
        fake.train()
        with notes.open("a") as file:
            file.write("saved\n")
    os._exit(0 if reached() else UNTOUCHED)


def sweep(folder: Path) -> int:
    """Try every crash point; returns how many there were."""
    for n in itertools.count(1):
        place, notes = folder / f"{n}", folder / f"{n}.txt"
        notes.touch()
        status = in_child(lambda place=place, notes=notes, n=n: doomed(place, notes, n))
        assert status in {DIED, UNTOUCHED}, f"{n}: {status}"
        saved = len(notes.read_text().splitlines())
        found = Fake(place)
        assert saved <= found.epoch <= saved + 1, f"{n}: {saved} saved, {found.epoch} found"
        assert not found.epoch or found.told == {float(found.epoch)}, f"{n}: {found.told}"
        while found.epoch < EPOCHS:
            found.train()
        assert Fake(place).epoch == EPOCHS, f"{n}: what died cannot be gone on with"
        if status == UNTOUCHED:
            return n
    raise AssertionError


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.stdout.write(f"{sweep(Path(sys.argv[1]))}\n")

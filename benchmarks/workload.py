"""A workload: what every contender of a comparison trains, image for image and step for step."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmbench import data
from fmbench.contract import Model
from fmbench.errors import UsageError
from fmbench.hardware import Device
from fmbench.protocol import Augmentation, DeviceRules, Protocol, Recipe, Stage

WARM_UP_STEPS = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Workload:
    """A model and what it is trained on, how, for how long, and where.

    pixels: uint8 (n, 28, 28); labels: uint8 (n,). threads: of the process that trains.
    """

    model: Model
    protocol: Protocol
    recipe: Recipe
    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    device: Device
    threads: int
    epochs: int = 1
    seed: int = 1

    @property
    def batch_size(self) -> int:
        """Images a step."""
        return self.protocol.training.batch_size

    @property
    def steps(self) -> int:
        """Steps over all epochs; the last incomplete batch of an epoch is left out."""
        return len(self.labels) // self.batch_size * self.epochs

    @property
    def images(self) -> int:
        """Images trained on over all epochs, each counted as often as it is seen."""
        return self.steps * self.batch_size

    @property
    def rules(self) -> DeviceRules:
        """Precision, memory format and determinism on the device."""
        return self.protocol.devices[self.device.kind]

    @property
    def stage(self) -> Stage:
        """The budget as the training loop takes it."""
        return Stage(epochs=self.epochs)

    @property
    def augmentation(self) -> Augmentation:
        """What the recipe does to training images."""
        return self.protocol.augmentation(self.recipe)

    def warm_up(self) -> "Workload":
        """The same for one epoch of a few steps, to be trained before a clock is read."""
        images = least_images(self.protocol)
        return replace(self, pixels=self.pixels[:images], labels=self.labels[:images], epochs=1)


def least_images(protocol: Protocol) -> int:
    """The images of the shortest training: a few steps, enough for the schedule to rise."""
    warmup = protocol.training.warmup
    steps = max(WARM_UP_STEPS, int(1 / warmup) + 1 if warmup else 0)
    return steps * protocol.training.batch_size


def training_images(
    protocol: Protocol, images: int | None, data_dir: Path | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Copies of the first `images` training images and their labels, of all of them for None.

    Raises `UsageError` when there are fewer, or too few for the steps of a warm-up.
    """
    dataset = data.load(data.find(data_dir, digests=protocol.data.sha256), protocol.data.sha256)
    available = len(dataset.train_labels)
    least = least_images(protocol)
    count = available if images is None else images
    if not least <= count <= available:
        raise UsageError(
            f"{count} images are asked for; {available} are there, and {least} are the least",
            hint=f"choose a number from {least} to {available}",
        )
    return dataset.train_images[:count].copy(), dataset.train_labels[:count].copy()


def choose_recipe(protocol: Protocol, name: str | None, *, augmented: bool) -> Recipe:
    """The recipe of that name; without one the first that augments, or the first that does not.

    Raises `UsageError` when there is no recipe of that name.
    """
    if name is None:
        fitting = (
            recipe
            for recipe in protocol.recipes
            if (protocol.augmentation(recipe) != Augmentation()) == augmented
        )
        return next(fitting, protocol.recipes[0])
    try:
        return protocol.recipe(name)
    except KeyError:
        names = ", ".join(recipe.name for recipe in protocol.recipes)
        raise UsageError(f"{protocol.id} has no recipe {name!r}", hint=f"it has {names}") from None

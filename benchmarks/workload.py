"""A workload: the model, images, recipe and number of steps that every contender trains."""

import argparse
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fmbench import data, discovery, hardware, protocol
from fmbench.contract import Model
from fmbench.data import Dataset
from fmbench.discovery.child import load_model, unchanged
from fmbench.errors import UsageError
from fmbench.execution.selection import select
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
        least = least_images(self.protocol)
        return replace(self, pixels=self.pixels[:least], labels=self.labels[:least], epochs=1)


def least_images(rules: Protocol) -> int:
    """The images of the shortest training: a few steps, enough for the schedule to rise."""
    warmup = rules.training.warmup
    return max(WARM_UP_STEPS, int(1 / warmup) + 1 if warmup else 0) * rules.training.batch_size


def from_options(
    options: argparse.Namespace, model: str, *, images: int | None, recipe: str | None
) -> Workload:
    """A model's first `images` training images, or all, under the protocol of the options.

    recipe: without one the first that augments, or else the protocol's first. Raises `UsageError`
    for too few images and for names that are none.
    """
    rules = protocol.load(options.protocol)
    dataset = load_data(options, rules)
    count = len(dataset.train_labels) if images is None else images
    least = least_images(rules)
    if not least <= count <= len(dataset.train_labels):
        raise UsageError(
            f"{count:,} images are asked for",
            hint=f"choose a number from {least:,} to {len(dataset.train_labels):,}",
        )
    return Workload(
        model=find_model(model),
        protocol=rules,
        recipe=find_recipe(rules, recipe),
        pixels=dataset.train_images[:count].copy(),  # torch wants arrays that can be written to
        labels=dataset.train_labels[:count].copy(),
        device=hardware.find_device(options.device),
        threads=options.threads,
    )


def load_data(options: argparse.Namespace, rules: Protocol) -> Dataset:
    """The protocol's data set, from the folder of the options or where it is found."""
    digests = rules.data.sha256
    return data.load(data.find(options.data_dir, digests=digests), digests)


def find_model(name: str) -> Model:
    """The installed model of that name; raises `UsageError` when it names none or several."""
    found = select(discovery.catalogue(), [name])
    if len(found) != 1:
        raise UsageError(f"{name!r} means {len(found)} models", hint="name one of them")
    return load_model(unchanged(found[0].plugin), found[0].name)


def find_recipe(rules: Protocol, name: str | None) -> Recipe:
    """The recipe of that name; without one the first that augments, or else the first."""
    if name is None:
        augmenting = (one for one in rules.recipes if rules.augmentation(one) != Augmentation())
        return next(augmenting, rules.recipes[0])
    try:
        return rules.recipe(name)
    except KeyError:
        known = ", ".join(one.name for one in rules.recipes)
        raise UsageError(f"{rules.id} has no recipe {name!r}", hint=f"it has {known}") from None

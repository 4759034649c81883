"""Stores of records that models of known accuracy would have left.

The models are those of benchmarks/probit_models.py.
"""

import hashlib
import os
from pathlib import Path
from unittest import mock

import msgspec
import numpy as np
from numpy.typing import NDArray

import samples
from conftest import TINY
from fmbench import protocol
from fmbench.data import idx
from fmbench.protocol import Protocol
from fmbench.records import Cost, Record
from fmbench.store import Store
from probit_models import hits


def rules(seeds: int, labels: NDArray[np.uint8], folder: Path) -> Protocol:
    """A protocol file in `folder` with that many seeds and three recipes, for these test labels."""
    digests = dict.fromkeys(("train_images", "train_labels", "test_images"), "0" * 64)
    digests["test_labels"] = hashlib.sha256(idx.encode(labels)).hexdigest()
    text = TINY.format(digests="\n".join(f'{name} = "{hex_}"' for name, hex_ in digests.items()))
    text = text.replace("seeds = [1, 2]", f"seeds = {list(range(1, seeds + 1))}")
    text += "\n[tune]\nepochs = 1\n"
    for name, rate in (("adamw-low", 0.003), ("adamw-high", 0.03)):
        text += f'\n[[recipes]]\nname = "{name}"\noptimizer = "adamw"\nlearning_rate = {rate}\n'
    path = folder / "simulated.toml"
    path.write_text(text)
    return protocol.load(str(path))


@mock.patch.object(os, "fsync", new=mock.Mock())  # nothing here has to outlive a power cut
def write_store(
    folder: Path,
    named: dict[str, float],
    *,
    seeds: int,
    images: int = 10_000,
    seed_effect: float = 0.0005,
    random_seed: int = 0,
    broken: str = "",
    version: str = "1.0",
) -> Store:
    """A store of models by name with their true accuracies, each with tune runs and final runs.

    The model named `broken` has lost its last seed to divergence; `version` is their plugin's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.RandomState(random_seed)
    labels = random.permutation(np.arange(images, dtype=np.uint8) % 10)
    of = rules(seeds, labels, folder)
    plugin = msgspec.structs.replace(samples.PLUGIN, version=version)
    store = Store(folder, of.id)
    store.make()
    store.keep_protocol(of.digest, (folder / "simulated.toml").read_text())
    store.keep_labels(labels)
    every = hits(list(named.values()), seeds, images, seed_effect, random)
    for place, (model, right) in enumerate(zip(named, every, strict=True)):
        for number, recipe in enumerate(of.recipes):
            shown = int(60 * (named[model] - 0.01 * number))
            run = samples.run(
                model=model, plugin=plugin, protocol=of.id, protocol_digest=of.digest,
                stage="tune", recipe=recipe.name, seed=0,
            )  # fmt: skip
            store.add(samples.record(run, correct=shown, images=60, id=f"{place:04x}{number:04x}"))
        for seed, of_seed in enumerate(right, start=1):
            run = samples.run(
                model=model, plugin=plugin, protocol=of.id, protocol_digest=of.digest, seed=seed
            )
            lost = model == broken and seed == seeds
            record = _record(run, place, int(of_seed.sum()), images, "diverged" if lost else "ok")
            wrong = (labels + 1 + random.randint(0, 3, images)) % 10
            predictions = np.where(of_seed, labels, wrong).astype(np.uint8)
            store.add(record, None if lost else predictions)
    return store


def _record(run: samples.Run, place: int, correct: int, images: int, status: str) -> Record:
    record = samples.record(
        run, status=status, correct=correct, images=images, id=f"{place:04x}f{run.seed:03x}"
    )
    seconds = 2.0 * 3**place
    cost = Cost(
        train_seconds=seconds, runner_seconds=seconds + 1, images_per_second=60_000 / seconds,
        inference_images_per_second=600_000 / seconds, parameters=7_850 * 4**place,
        forward_flops=15_680 * 4**place, peak_memory=500_000_000,
    )  # fmt: skip
    return msgspec.structs.replace(record, cost=cost)

"""Pages of made-up boards, and all that plugins and machines could call themselves there."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

import simulated
from fmbench import records
from fmbench.data import Dataset, suspects
from fmbench.hardware import Device
from fmbench.leaderboard.board import Board, read_board
from fmbench.leaderboard.page import render, render_report
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.store import Store

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "a\u202eb\u200dc\x1b[31md\x07",
    "--></style></title><!--",
    '<meta name="fmbench-records" content="dead">',
)
WIDE = "timm/" + "W" * 24
IMAGES = 400
FAMILIES = ("softmax-", "vgg_", "timm/resnet", "timm/efficientnet_lite")
MODELS = {"m10": 0.95, "m9": 0.90, "Alpha/one_b": 0.85, "beta": 0.8, "gone": 0.75, "x" * 150: 0.7}


def board_of(store: Store) -> tuple[Board, StoredResults]:
    """The board of a store, and what the store holds."""
    stored = StoredResults(store)
    return read_board(stored, cached=False), stored


def page_of(store: Store, images: NDArray[np.uint8] | None = None) -> str:
    """The page of a store."""
    return render(*board_of(store), images)


def pictures(count: int = IMAGES) -> NDArray[np.uint8]:
    """Test images that are noise."""
    return np.random.RandomState(1).randint(0, 256, (count, 28, 28)).astype(np.uint8)


def small_store(folder: Path, models: dict[str, float], seeds: int = 3, **more: Any) -> Store:
    """A store of models on few images."""
    return simulated.write_store(folder, models, seeds=seeds, images=IMAGES, **more)


def spoilt_store(folder: Path, names: tuple[str, ...]) -> Store:
    """A store in which all that a plugin or a machine chooses are these names, in turn."""
    accuracies = {name: 0.9 - 0.1 * place for place, name in enumerate(names)}
    store = small_store(folder, accuracies, seeds=3, broken=names[-1])
    for number, old in enumerate(store.read().records):
        name = names[number % len(names)]
        device = Device(kind="cuda", name=name, memory=1, driver=name)
        record = msgspec.structs.replace(
            old,
            id=f"{number:08x}",
            created=f"2026-02-01T00:00:{number:02}Z{name}",
            run=msgspec.structs.replace(
                old.run,
                plugin=msgspec.structs.replace(
                    old.run.plugin, distribution=names[0], version=names[1], entry=names[2],
                    dependencies={names[3]: names[4]},
                ),
            ),
            result=msgspec.structs.replace(old.result, message=name),
            environment=msgspec.structs.replace(
                old.environment, device=device, cpu=name, os=name, python=name, commit=name,
                libraries={name: name},
            ),
        )  # fmt: skip
        record = msgspec.structs.replace(record, key=record.run.key)
        good = record.result.status == "ok" and record.run.stage == "final"
        store.add(record, store.predictions(old) if good else None)
    return store


def full_store(folder: Path, count: int, *, images: int = IMAGES) -> Store:
    """A store of `count` models as a board fills up, some with names that are wide or hostile.

    Larger ones take longer and are better, a few coincide and one has lost a seed; all have five
    seeds and curves of 30 epochs, as under standard-v1.
    """
    spoilt = (WIDE, "x" * 150, "\u6a21\u578b" * 12, *HOSTILE)[: count // 4]
    random = np.random.RandomState(count)
    sizes = np.sort(random.rand(count))
    sizes[1::7] = sizes[: len(sizes[1::7])]
    names = [f"{FAMILIES[n % 4]}{n // 4 + 1}" for n in range(count - len(spoilt))]
    sized = dict(zip(random.permutation([*names, *spoilt]).tolist(), sizes.tolist(), strict=True))
    right = {name: 0.84 + 0.1 * size**0.5 for name, size in sized.items()}
    broken = names[-1] if count > 1 else ""
    store = simulated.write_store(folder, right, seeds=5, images=images, broken=broken)
    for record in store.read().records:
        size = sized[record.run.model]
        cost = msgspec.structs.replace(
            record.cost, parameters=int(8_000 * 1_500**size), forward_flops=int(1e6 * 2_000**size),
            train_seconds=25 * 90**size, runner_seconds=25 * 90**size + 1,
            inference_images_per_second=200_000.0,
        )  # fmt: skip
        fall = 1 - size * np.linspace(0.5, 0.95, 30 if record.run.stage == "final" else 6)
        result = msgspec.structs.replace(
            record.result, curve=tuple((2.3 * fall * random.uniform(0.97, 1.03)).tolist())
        )
        if record.run.stage == "tune" and record.result.correct:
            shown = record.result.correct - np.arange(5, -1, -1)
            result = msgspec.structs.replace(result, validation_curve=tuple(shown.tolist()))
        changed = msgspec.structs.replace(record, cost=cost, result=result)
        store.path(record, ".json").write_bytes(records.encode(changed))
    return store


def report() -> str:
    """The data report of pictures that are noise, with the lists that come with fmbench."""
    known = suspects.load()
    images = np.resize(pictures(), (10_000, 28, 28))
    labels = np.arange(10_000, dtype=np.uint8) % 10
    train = np.resize(images, (60_000, 28, 28)), np.resize(labels, 60_000)
    return render_report(Dataset(*train, images, labels), known.near_twins, known)

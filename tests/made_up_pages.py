"""Pages of made-up boards, and all that plugins and machines could call themselves there."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

import simulated
from fmbench.hardware import Device
from fmbench.leaderboard.board import Board, read_board
from fmbench.leaderboard.page import render
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
IMAGES = 400
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

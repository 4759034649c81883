"""Several runs side by side on one device: what they gain, with and without CUDA's MPS."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import msgspec

import workload
from fmbench import protocol
from fmbench.processes import PYTHON_MODULE
from fmbench.protocol_files import encode
from fmbench.store import Store
from gpu import journal
from gpu.settings import Settings
from gpu.task import Line

MPS = "nvidia-cuda-mps-control"
WORTH = 1.1
"""Side by side pays when together they train at least so many times as fast as one alone."""


def side_by_side(settings: Settings) -> Iterator[Line]:
    """`fmbench run --workers K` of one model by K seeds, for each K of the settings."""
    for workers, shared in settings.beside:
        facts: dict[str, Any] = {
            "model": settings.beside_model,
            "workers": workers,
            "mps": shared,
        }
        if shared and not shutil.which(MPS):
            yield "beside", facts | {"error": f"{MPS} is not installed here"}
            continue
        with tempfile.TemporaryDirectory() as folder, mps(shared) as more:
            yield "beside", facts | measure(settings, Path(folder), workers, more)


def measure(settings: Settings, folder: Path, workers: int, more: dict[str, str]) -> dict[str, Any]:
    """Wall seconds of the command, and the images a second of each run as its record has them."""
    candidate = protocol.load(settings.protocol)
    rules = folder / "beside.toml"
    rules.write_text(
        encode(
            {
                "name": "beside",
                "version": 1,
                "extends": settings.protocol,
                "seeds": list(range(1, workers + 1)),
                "final": {
                    "epochs": settings.beside_epochs,
                    "train_images": settings.beside_images,
                },
                "recipes": [msgspec.to_builtins(workload.find_recipe(candidate, None))],
            }
        ),
        "utf-8",
    )
    command = [
        *PYTHON_MODULE, "fmbench", "run", settings.beside_model, "--protocol", str(rules),
        "--device", settings.device, "--results", str(folder / "results"),
        "--workers", str(workers), *(["--data-dir", settings.data] if settings.data else []),
    ]  # fmt: skip
    start = perf_counter()
    status = subprocess.run(command, env={**os.environ, **more}).returncode
    seconds = perf_counter() - start
    records = Store(folder / "results", "beside-v1").read().records
    return {
        "seconds": seconds,
        "status": status,
        "failed": status != 0,
        "images_per_second": [one.cost.images_per_second for one in records if one.ok],
        "beside": [one.cost.beside for one in records],
    }


def gains(lines: Sequence[journal.Line]) -> dict[tuple[int, bool], float]:
    """By workers and MPS: images a second of all together, over those of one alone."""
    rates = {
        (line["workers"], line["mps"]): line["workers"] * median(line["images_per_second"])
        for line in lines
        if line["kind"] == "beside" and len(line.get("images_per_second", ())) == line["workers"]
    }
    alone = rates.get((1, False))
    return {how: rate / alone for how, rate in rates.items()} if alone else {}


def best(lines: Sequence[journal.Line]) -> tuple[int, bool]:
    """How many side by side, and whether under MPS, have trained fastest; one where none pays."""
    found = {how: gain for how, gain in gains(lines).items() if gain >= WORTH}
    return max(found, key=lambda how: found[how], default=(1, False))


@contextmanager
def mps(wanted: bool) -> Iterator[dict[str, str]]:
    """The environment in which processes share a device through CUDA's MPS, where it is wanted.

    Its daemon has a folder of its own, so that programs which do not ask for it go on without, and
    ends with the block (https://docs.nvidia.com/deploy/mps, "Starting and Stopping MPS").
    """
    if not wanted:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="mps-", dir="/tmp") as folder:
        # Names of sockets are short: not below a deep TMPDIR.
        more = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        env = {**os.environ, **more}
        subprocess.run([MPS, "-d"], env=env, check=True, timeout=20)
        try:
            yield more
        finally:
            subprocess.run([MPS], env=env, input="quit\n", text=True, timeout=20)

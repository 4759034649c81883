"""A stage in its own process: what it measures goes into the journal until its time is over.

python -m gpu.stages NAME FOLDER SECONDS SETTINGS
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from fmbench import hardware, protocol
from fmbench.processes import PYTHON_MODULE
from fmbench.store import Store
from gpu import journal
from gpu.session import OUT_OF_TIME
from gpu.settings import Settings
from gpu.side_by_side import best, mps, side_by_side
from gpu.task import Line, Task

RESERVE = 15.0
"""Seconds that `fmbench run` is given to stop in, and its records to be read."""

Stage = Callable[[Task], Iterator[Line]]


def main(arguments: Sequence[str]) -> int:
    """Carry out a stage; 1 when it failed, `OUT_OF_TIME` when it could not measure all."""
    name, folder, seconds, given = arguments
    # From JSON, which has no tuples: what is equal to the settings is not always of their types.
    settings = msgspec.convert(json.loads(given), Settings)
    task = Task(name, Path(folder), float(seconds), settings)
    before = energy(settings.device)
    try:
        for kind, facts in STAGES[name](task):
            task.write(kind, **facts)
            if task.cut or task.left <= 0:
                return OUT_OF_TIME
    except Exception:
        traceback.print_exc()
        task.write("error", error=traceback.format_exc()[-4000:])
        return 1
    finally:
        after = energy(settings.device)
        if before is not None and after is not None:
            task.write("energy", joules=after - before)
    return int(any(one["stage"] == name and one.get("failed") for one in journal.read(task.folder)))


def energy(device: str) -> float | None:
    """The joules a GPU has used since its driver was loaded; None where that is not known.

    NVML counts millijoules: nvmlDeviceGetTotalEnergyConsumption.
    """
    if device == "cpu":
        return None
    import pynvml

    with suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(hardware.find_device(device).index)
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000
    return None


def doctor(task: Task) -> Iterator[Line]:
    """What `fmbench doctor` says; on a GPU, which may use the real data, with its reference."""
    settings = task.settings
    more = ["--reference"] if settings.device != "cpu" else []
    if more and settings.data:
        more += ["--data-dir", settings.data]
    said = fmbench("doctor", "--device", settings.device, *more)
    facts = {
        "status": said.returncode,
        "said": said.stdout[-8000:],
        "failed": bool(said.returncode),
    }
    yield "doctor", facts


def fmbench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command as its module; stdout and stderr together."""
    return subprocess.run(
        [*PYTHON_MODULE, "fmbench", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "150"},
    )  # fmt: skip


def finals(task: Task) -> Iterator[Line]:
    """`fmbench run` of the candidate until time is over, as many side by side as has paid best."""
    settings = task.settings
    workers, shared = best(journal.read(task.folder))
    yield "how", {"workers": workers, "mps": shared}
    rules = protocol.load(settings.protocol)
    command = [
        *PYTHON_MODULE, "fmbench", "run", *settings.models, "--protocol", settings.protocol,
        "--device", settings.device, "--results", settings.results, "--workers", str(workers),
        "--timings", *(["--data-dir", settings.data] if settings.data else []),
    ]  # fmt: skip
    start = perf_counter()
    with mps(shared) as more, running(command, {**os.environ, **more}) as process:
        try:
            process.wait(None if task.left == float("inf") else max(1.0, task.left - RESERVE))
        except subprocess.TimeoutExpired:
            task.cut = True
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(RESERVE - 5)
    seconds = perf_counter() - start
    records = Store(Path(settings.results), rules.id).read().records
    yield (
        "runs",
        {
            "protocol": rules.id,
            "protocol_digest": rules.digest,
            "status": process.returncode,
            "failed": not task.cut and process.returncode != 0,
            "seconds": seconds,
            "runs": [
                {
                    "model": one.run.model,
                    "stage": one.run.stage,
                    "recipe": one.run.recipe,
                    "seed": one.run.seed,
                    "status": one.result.status,
                    "accuracy": one.result.accuracy,
                    "train_seconds": one.cost.train_seconds,
                    "images_per_second": one.cost.images_per_second,
                    "forward_flops": one.cost.forward_flops,
                    "beside": one.cost.beside,
                    "digest": one.environment.device.digest,
                }
                for one in records
            ],
        },
    )


@contextmanager
def running(command: Sequence[str], env: dict[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    """A process that ends with the block."""
    with subprocess.Popen(command, env=env) as process:
        try:
            yield process
        finally:
            process.kill()


STAGES: dict[str, Stage] = {
    "device": lambda task: _module("here").describe(task),
    "gpu-tests": lambda task: _module("here").gpu_tests(task),
    "doctor": doctor,
    "speed": lambda task: _module("measures").speed(task.settings),
    "levers": lambda task: _module("lever_trials").lever_trials(task.settings, "levers"),
    "graphs": lambda task: _module("lever_trials").lever_trials(task.settings, "graphs"),
    "side-by-side": lambda task: side_by_side(task.settings),
    "time-to-accuracy": lambda task: _module("measures").time_to_accuracy(task.settings),
    "compile": lambda task: _module("lever_trials").lever_trials(task.settings, "compile"),
    "finals": finals,
}


def _module(name: str) -> Any:
    """A module that imports torch, which takes seconds: only where it is needed."""
    return importlib.import_module(f"gpu.{name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

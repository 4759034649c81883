"""What fmbench stands on: torch and its device, the plugins, and the data set."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from fmbench import data, discovery, files, hardware
from fmbench.data.sources import VARIABLE
from fmbench.doctor.child import ended
from fmbench.doctor.findings import Finding
from fmbench.doctor.torch_child import ANSWER, REQUEST, Torch
from fmbench.errors import DataError, UsageError
from fmbench.hardware import Device
from fmbench.wording import counted, memory

FETCH = "fmbench data fetches it, and so does the first run"
FREE = 0.8
"""The share of a GPU's memory below which others must be using it: torch itself takes some."""

SECONDS = 120.0
"""A guard: from a cold disk torch is imported in less."""


def device_and_torch(request: str) -> Iterator[Finding]:
    """The device that runs are made on, its driver, and whether torch can use it."""
    try:
        device = hardware.find_device(request)
    except UsageError as error:
        yield Finding(about="device", level="fault", says=error.what, hint=error.hint)
        device = hardware.cpu_device()
    torch = ask_torch(device)
    yield _device(torch.device or device)
    if torch.free is not None and torch.free < FREE * device.memory:
        yield Finding(
            about="device",
            level="warning",
            says=f"only {memory(torch.free)} of its memory are free",
            hint="end other programs on it: times measured now mean little, and runs may not fit",
        )
    gpus = hardware.cuda_devices()
    if gpus and device.kind == "cpu" and request == "auto":
        yield Finding(
            about="device",
            level="warning",
            says=f"{counted(len(gpus), 'CUDA device')} will not be used: {gpus[0].name} with "
            f"{memory(gpus[0].memory)}",
            hint="install torch with CUDA; --device cuda takes one of less than 16 GB",
        )
    said = f"torch {torch.version or 'cannot be imported'}"
    if torch.cuda:
        said += f", built for CUDA {torch.cuda}"
    if torch.problem:
        yield Finding(
            about="torch", level="fault", says=f"{said}: {torch.problem}", hint=torch.hint
        )
    else:
        yield Finding(about="torch", says=f"{said}; it can use {device.torch_name}")


def ask_torch(device: Device) -> Torch:
    """What torch says in a child process, which it may end."""
    with files.temporary_folder() as folder:
        files.write(folder / REQUEST, msgspec.json.encode(device))
        how = ended("fmbench.doctor.torch_child", folder, SECONDS)
        return files.read_json(folder / ANSWER, Torch) or Torch(
            problem=f"the process that imports it gave no answer, {how or 'but ended well'}",
            hint="see why with: python -c 'import torch; torch.ones(1) + 1'",
        )


def _device(device: Device) -> Finding:
    driver = f", driver {device.driver}" if device.driver else ""
    facts = ", ".join(
        f"{name} {device.facts[name]}"
        for name in ("compute capability", "CUDA", "cuDNN", "oneDNN", "MKL", "BLAS")
        if device.facts.get(name)
    )
    said = f"{device.torch_name}: {device.name}, {memory(device.memory)}{driver}"
    return Finding(about="device", says=f"{said}; {facts}" if facts else said)


def plugins() -> Iterator[Finding]:
    """How many models each plugin lists, and what is wrong with others."""
    catalogue = discovery.catalogue()
    for problem in catalogue.problems:
        entry = f"{problem.entry} {problem.version}".rstrip()
        yield Finding(
            about="plugins", level="warning", says=f"{entry}: {problem.what}", hint=problem.hint
        )
    counts = Counter(
        f"{model.plugin.distribution} {model.plugin.version}" for model in catalogue.models
    )
    if counts:
        lists = (f"{name} ({counted(count, 'model')})" for name, count in sorted(counts.items()))
        yield Finding(about="plugins", says=", ".join(lists))
    else:
        yield Finding(
            about="plugins",
            level="fault",
            says="no plugin offers a model",
            hint=discovery.INSTALL_MODELS,
        )


def local_data(folder: Path | None) -> Path | None:
    """Where the data set is: in `folder`, else where a run would find it; None for nowhere.

    Nothing is fetched. Raises `DataError` when a folder that is named lacks it.
    """
    named = folder or os.environ.get(VARIABLE)
    return data.find(folder, progress=False) if named else data.present()


def data_set(folder: Path | None) -> Iterator[Finding]:
    """Whether the four files are here and are the right ones; nothing is fetched."""
    try:
        place = local_data(folder)
        found = data.load(place) if place else None
    except DataError as error:
        file = Path(error.where).name if error.where.endswith((*data.FILES, ".gz")) else ""
        said = f"{file}: {error.what}" if file else error.what
        yield Finding(about="data", level="fault", says=said, hint=error.hint)
        return
    if found is None:
        said = "the data set is not here"
        yield Finding(about="data", level="warning", says=said, hint=FETCH)
        return
    yield Finding(
        about="data",
        says=f"{len(found.train_labels):,} training and {len(found.test_labels):,} test images, "
        "the right ones by the SHA-256 of all four files",
    )

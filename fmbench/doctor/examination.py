"""The whole of a report: what is looked at, in which order, less all names."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from fmbench import hardware
from fmbench.doctor import folder, machine, software
from fmbench.doctor.findings import Finding, Look, looked
from fmbench.doctor.private import scrubber


def examine(
    *,
    device: str = "auto",
    results: Path = Path("results"),
    data_dir: Path | None = None,
    reference: bool = False,
    seed: int = 1,
) -> Iterator[Finding]:
    """Look at this machine, and report what is found as it is found.

    device:    what runs are made on, as `hardware.find_device` takes it.
    reference: whether small models are trained and gradients checked, with that seed.

    Nothing is raised but what stops a command, and nothing is left behind.
    """
    looks: dict[str, Look] = {
        "system": machine.system,
        "libraries": machine.libraries,
        "processor": machine.processor,
        "cores": machine.cores,
        "load": machine.load,
        "memory": machine.room_in_memory,
        "clock": machine.clock,
        "device": partial(software.device_and_torch, device),
        "plugins": software.plugins,
        "data": partial(software.data_set, data_dir),
        "results": partial(folder.results, results),
        "disk": partial(folder.disk, results),
        "leftovers": partial(folder.leftovers, results),
    }
    if reference:
        looks["reference"] = partial(_reference, device, data_dir, seed)
    scrub = scrubber([results, data_dir])
    for about, look in looks.items():
        yield from map(scrub, looked(about, look))


def _reference(device: str, data_dir: Path | None, seed: int) -> Iterator[Finding]:
    from fmbench.doctor.reference import reference

    yield from reference(hardware.find_device(device), data_dir=data_dir, seed=seed)

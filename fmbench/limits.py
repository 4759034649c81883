"""What this process may use of its machine: cores and memory, less what a container withholds."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def cores() -> int:
    """How many CPU cores this process may use at once: a quota of 1.5 allows one."""
    quota = cpu_quota()
    allowed = len(core_numbers())
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def core_numbers() -> list[int]:
    """The numbers of the cores this process may run on, in order."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def memory() -> int:
    """How many bytes of memory this process may use."""
    total = int(psutil.virtual_memory().total)
    limits = [_number(folder / "memory.max") for folder in _folders("")]
    limits += [_number(folder / "memory.limit_in_bytes") for folder in _folders("memory")]
    return int(min([total, *(limit for limit in limits if limit)]))


def memory_available() -> int:
    """How many bytes this process and others may still take before something is full.

    What a container's limit counts and could drop at once, pages of files that were read, is free.
    """
    free = [int(psutil.virtual_memory().available)]
    for controller, limit, usage in (
        ("", "memory.max", "memory.current"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        for folder in _folders(controller):
            if most := _number(folder / limit):
                of_files = _INACTIVE_FILE.search(_words(folder / "memory.stat"))
                used = _number(folder / usage) - (int(of_files[1]) if of_files else 0)
                free.append(max(0, most - used))
    return min(free)


_INACTIVE_FILE = re.compile(r"^(?:total_)?inactive_file (\d+)$", re.MULTILINE)


def cpu_quota() -> float | None:
    """The CPU time this process may use per second, in seconds; None where nothing limits it.

    Of cgroups' version 2 (`cpu.max`) and 1 (`cpu.cfs_quota_us`); the narrowest of all that a
    process is in counts (https://docs.kernel.org/admin-guide/cgroup-v2.html).
    """
    limits = [_words(folder / "cpu.max") for folder in _folders("")]
    limits += [
        f"{_words(folder / 'cpu.cfs_quota_us')} {_words(folder / 'cpu.cfs_period_us')}"
        for folder in _folders("cpu")
    ]
    found = (re.fullmatch(r"(\d+) ([1-9]\d*)", limit) for limit in limits)  # not "max", not "-1"
    return min((int(one[1]) / int(one[2]) for one in found if one), default=None)


def _folders(controller: str) -> Iterator[Path]:
    """The folders of this process's cgroups that hold a controller's files, innermost first.

    controller: of version 1, or empty for version 2. Where the path is one of the host, which a
    container does not see, the container's own root is what there is.
    """
    root = CGROUPS / controller
    for line in _words(OWN_CGROUPS).splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if controller in controllers.split(","):
            inner = root / path.lstrip("/")
            yield from (one for one in (inner, *inner.parents) if one.is_relative_to(root))


def _number(path: Path) -> int:
    said = _words(path)
    return int(said) if said.isdecimal() else 0


def _words(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""

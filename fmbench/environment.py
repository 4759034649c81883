"""Where a run was made, and the versions there, as plain data that is safe to publish."""

import platform
import re
from importlib import metadata, resources

import psutil
from msgspec import Struct

from fmbench import limits
from fmbench.hardware import Device, cpu_name

DISTRIBUTION = "fashion-mnist-bench"
RECORDED_LIBRARIES = ("torch", "numpy", "pluggy")
BUSY = 0.25


class Environment(Struct, frozen=True, kw_only=True):
    """Where a run was made. No host, user or home-path names: records get published."""

    device: Device
    cpu: str
    cores: int
    threads: int
    memory: int
    os: str
    python: str
    libraries: dict[str, str]
    fmbench: str
    commit: str


def describe(device: Device, threads: int) -> Environment:
    """The environment of a run on `device` with that many threads."""
    return Environment(
        device=device,
        cpu=cpu_name(),
        cores=limits.cores(),
        threads=threads,
        memory=limits.memory(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        libraries={name: version(name) for name in RECORDED_LIBRARIES} | _c_library(),
        fmbench=version(DISTRIBUTION),
        commit=commit(),
    )


def _c_library() -> dict[str, str]:
    """The C library, which computes the cosines of schedules; empty where it is not known."""
    name, number = platform.libc_ver()
    return {name: number} if name and number else {}


def busy_share(seconds: float = 0.3) -> float:
    """The share of all CPU cores, 0 to 1, that other programs use while this one waits."""
    return psutil.cpu_percent(seconds) / 100


def normal_name(distribution: str) -> str:
    """A distribution's name as packaging compares names."""
    return re.sub(r"[-_.]+", "-", distribution.strip()).lower()


def version(distribution: str) -> str:
    """The installed version of a distribution, or an empty string."""
    try:
        return metadata.version(distribution) or ""  # metadata may be half there
    except metadata.PackageNotFoundError:
        return ""


def commit() -> str:
    """The core's git commit, baked in when its wheel was built; empty where that was not known."""
    file = resources.files("fmbench") / "COMMIT"
    return file.read_text("utf-8").strip() if file.is_file() else ""

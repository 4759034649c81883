"""This machine, its devices and the versions on it, as plain data that is safe to publish."""

import importlib.util
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import psutil
from msgspec import Struct

from fmbench.errors import UsageError
from fmbench.protocol import DeviceKind

DISTRIBUTION = "fashion-mnist-bench"
RECORDED_LIBRARIES = ("torch", "numpy", "pluggy")
CUDA_MEMORY_FOR_AUTO = 16 * 10**9
BUSY = 0.25
CPU_INFO = Path("/proc/cpuinfo")


class Device(Struct, frozen=True, kw_only=True):
    """What trains: a CPU, or one CUDA device with its index. Memory is in bytes."""

    kind: DeviceKind
    name: str
    memory: int
    index: int = 0
    driver: str = ""

    @property
    def torch_name(self) -> str:
        """What `torch.device` takes: `cpu` or `cuda:0`."""
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"


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
        cores=cores(),
        threads=threads,
        memory=psutil.virtual_memory().total,
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        libraries={name: version(name) for name in RECORDED_LIBRARIES},
        fmbench=version(DISTRIBUTION),
        commit=commit(),
    )


def find_device(request: str = "auto") -> Device:
    """The device a `--device` option means: auto, cpu, cuda or cuda:INDEX.

    auto takes the first CUDA device of at least 16 GB that torch is built for, else the CPU.
    Raises `UsageError` when there is no such device.
    """
    kind, _, index = request.partition(":")
    if kind == "cpu" and not index:
        return cpu_device()
    gpus = cuda_devices()
    if request == "auto":
        large = [gpu for gpu in gpus if gpu.memory >= CUDA_MEMORY_FOR_AUTO]
        return large[0] if large and torch_is_built_for_cuda() else cpu_device()
    if kind != "cuda" or (index and not index.isdecimal()):
        raise UsageError(f"{request!r} is not a device", hint="use auto, cpu, cuda or cuda:INDEX")
    if int(index or 0) >= len(gpus):
        raise UsageError(
            f"there is no device {request}: this machine has {len(gpus)} CUDA devices",
            hint="use --device cpu, or install the NVIDIA driver",
        )
    return gpus[int(index or 0)]


def cpu_device() -> Device:
    """This machine's CPU as a device."""
    return Device(kind="cpu", name=cpu_name(), memory=psutil.virtual_memory().total)


def cuda_devices() -> list[Device]:
    """The CUDA devices that torch will see here, in its order; empty without a driver.

    The driver counts by PCI bus, as `devices.prepare` has torch do, and knows nothing of
    CUDA_VISIBLE_DEVICES.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        driver = str(pynvml.nvmlSystemGetDriverVersion())
        devices = []
        for index, handle in enumerate(_visible_handles()):
            devices.append(
                Device(
                    kind="cuda",
                    name=str(pynvml.nvmlDeviceGetName(handle)),
                    memory=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
                    index=index,
                    driver=driver,
                )
            )
        return devices
    except pynvml.NVMLError:
        return []
    finally:
        pynvml.nvmlShutdown()


def torch_is_built_for_cuda() -> bool:
    """Whether the installed torch can use CUDA at all, as its version.py says; never imported."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return False
    try:
        text = Path(found.origin).with_name("version.py").read_text("utf-8")
    except OSError:
        return True  # a build that does not say so: trying it tells
    return re.search(r"^cuda\b[^=]*= *None", text, re.MULTILINE) is None


def _visible_handles() -> Iterator[Any]:
    """Handles of the devices CUDA_VISIBLE_DEVICES lists, up to the first that is none; or of all.

    An entry is a number, a UUID or its beginning, or the UUID of a MIG device
    (https://docs.nvidia.com/cuda/cuda-c-programming-guide, "CUDA Environment Variables").
    """
    import pynvml

    handles = [
        pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())
    ]
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        yield from handles
        return
    for word in map(str.strip, listed.split(",")):
        if word.startswith("MIG-"):
            yield pynvml.nvmlDeviceGetHandleByUUID(word)
            continue
        found = [
            handle
            for index, handle in enumerate(handles)
            if word == str(index)
            or (word and str(pynvml.nvmlDeviceGetUUID(handle)).startswith(word))
        ]
        if len(found) != 1:
            return
        yield found[0]


def cores() -> int:
    """How many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def busy_share(seconds: float = 0.3) -> float:
    """The share of all CPU cores, 0 to 1, that other programs use while this one waits."""
    return psutil.cpu_percent(seconds) / 100


@cache
def cpu_name() -> str:
    """The CPU's model name as the operating system tells it; of ARM under Linux, its numbers."""
    try:
        lines = CPU_INFO.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    told = {name.strip(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
    if "CPU part" in told:
        return f"{platform.machine()} {told.get('CPU implementer', '')} {told['CPU part']}"
    return told.get("model name") or _apples_name() or platform.processor() or platform.machine()


def _apples_name() -> str:
    if platform.system() != "Darwin":
        return ""
    asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def normal_name(distribution: str) -> str:
    """A distribution's name as packaging compares names."""
    return re.sub(r"[-_.]+", "-", distribution.strip()).lower()


def version(distribution: str) -> str:
    """The installed version of a distribution, or an empty string."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def commit() -> str:
    """The core's git commit, baked in when its wheel was built; empty where that was not known."""
    file = resources.files("fmbench") / "COMMIT"
    return file.read_text("utf-8").strip() if file.is_file() else ""

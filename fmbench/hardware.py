"""The devices of this machine: what they are called, and what decides their bits and speed."""

import hashlib
import importlib.util
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from fmbench import limits, nvml
from fmbench.errors import UsageError

DeviceKind = Literal["cpu", "cuda"]
CUDA_MEMORY_FOR_AUTO = 16 * 10**9
CPU_INFO = Path("/proc/cpuinfo")
CPU_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
EXTENSIONS = r"(sse4|avx|fma|f16c|amx|asimd|sve|i8mm|bf16|fphp)\w*|sme\d*"
"""Instructions that numerical libraries choose their code by, as /proc/cpuinfo names them."""

VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_CBWR",
    "OPENBLAS_CORETYPE",
    "NVIDIA_TF32_OVERRIDE",
)
"""Environment variables that make those libraries choose other code."""

ZEN = (
    (0x17, "Zen", ((0x00, 0x2F), (0x50, 0x5F))),
    (0x17, "Zen 2", ((0x30, 0x4F), (0x60, 0xAF))),
    (0x19, "Zen 3", ((0x00, 0x0F), (0x20, 0x5F))),
    (0x19, "Zen 4", ((0x10, 0x1F), (0x60, 0xAF))),
    (0x1A, "Zen 5", ((0x00, 0x4F), (0x60, 0x7F))),
)
"""AMD's generations by family and models, which their names leave open: an `AMD EPYC` may be any of
them. From Linux, arch/x86/kernel/cpu/amd.c."""


class Device(Struct, frozen=True, kw_only=True):
    """What trains: a CPU, or one CUDA device with its index. Memory is in bytes.

    facts: what decides its bits and its speed, by name. Part of it only torch knows, in a worker.
           Records of schema 1 have none.
    """

    kind: DeviceKind
    name: str
    memory: int
    index: int = 0
    driver: str = ""
    facts: dict[str, str] = {}

    @property
    def torch_name(self) -> str:
        """What `torch.device` takes: `cpu` or `cuda:0`."""
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"

    @property
    def digest(self) -> str:
        """SHA-256 of its facts: bits are promised between equal ones. Empty without any."""
        return (
            hashlib.sha256(msgspec.json.encode(self.facts, order="sorted")).hexdigest()
            if self.facts
            else ""
        )

    def is_a(self, other: "Device") -> bool:
        """Whether all that is known of the other device holds for this one; the name at least."""
        if not other.facts:
            return self.name == other.name
        return other.facts.items() <= self.facts.items()


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
        raise UsageError(
            f"{request!r} is not a device that fmbench trains on",
            hint="use auto, cpu, cuda or cuda:INDEX",
        )
    if int(index or 0) >= len(gpus):
        shown = "CUDA_VISIBLE_DEVICES" in os.environ
        raise UsageError(
            f"there is no device {request}: this machine has {len(gpus)} CUDA devices"
            + (" that CUDA_VISIBLE_DEVICES shows" if shown else ""),
            hint=f"the last one is cuda:{len(gpus) - 1}"
            if gpus
            else "use --device cpu, or install the NVIDIA driver",
        )
    return gpus[int(index or 0)]


def some_gpu() -> Device:
    """Stands for the GPUs of other machines, of which nothing is known here."""
    return Device(kind="cuda", name="GPUs of the cluster", memory=0)


def devices_like(device: Device, request: str) -> tuple[Device, ...]:
    """All devices of this machine that a `--device` option means: one, or every GPU of its kind.

    `auto` and `cuda` mean those of the same name and memory; `cuda:INDEX` means one.
    """
    if device.kind == "cpu" or ":" in request:
        return (device,)
    alike = (device.name, device.memory)
    return tuple(gpu for gpu in cuda_devices() if (gpu.name, gpu.memory) == alike)


def cpu_device() -> Device:
    """This machine's CPU as a device."""
    facts = cpu_facts()
    generation = _zen(facts) if facts.get("vendor") == "AuthenticAMD" else ""
    name = f"{cpu_name()}, {generation}" if generation else cpu_name()
    return Device(kind="cpu", name=name, memory=limits.memory(), facts=facts)


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
        for index, handle in enumerate(nvml.visible_handles()):
            name = str(pynvml.nvmlDeviceGetName(handle))
            devices.append(
                Device(
                    kind="cuda",
                    name=name,
                    memory=_memory_of(handle),
                    index=index,
                    driver=driver,
                    facts={"name": name, "driver": driver, **_variables()},
                )
            )
        return devices
    except pynvml.NVMLError:
        return []
    finally:
        pynvml.nvmlShutdown()


def _memory_of(handle: Any) -> int:
    """The memory of a GPU in bytes, this machine's where both have one, as NVIDIA's GB10 does."""
    import pynvml

    try:
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    except pynvml.NVMLError:  # not supported
        return limits.memory()


def torch_is_built_for_cuda() -> bool:
    """Whether the installed torch can use CUDA at all, as its version.py says; never imported."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return False
    try:
        text = Path(found.origin).with_name("version.py").read_text("utf-8")
    except OSError:
        return True  # a build that does not say so: trying it shows
    return re.search(r"^cuda\b[^=]*= *None", text, re.MULTILINE) is None


@cache
def cpu_name() -> str:
    """The CPU's model name as the operating system gives it; of ARM under Linux, its numbers."""
    cpu = _cpu_info()
    if "CPU part" in cpu:
        return f"{platform.machine()} {cpu.get('CPU implementer', '')} {cpu['CPU part']}"
    return cpu.get("model name") or _apples_name() or platform.processor() or platform.machine()


def cpu_facts() -> dict[str, str]:
    """What decides this CPU's bits and speed and can be known without torch; empty where unknown.

    Its names may hide generations, and a virtual machine some of its instructions, so that both are
    facts. Caches are: oneDNN cuts its sums into blocks that fit them.
    """
    cpu = _cpu_info()
    facts = {
        "vendor": cpu.get("vendor_id") or cpu.get("CPU implementer", ""),
        "family": cpu.get("cpu family") or cpu.get("CPU architecture", ""),
        "model": cpu.get("model") or cpu.get("CPU part", ""),
        "stepping": cpu.get("stepping") or cpu.get("CPU revision", ""),
        "variant": cpu.get("CPU variant", ""),
        "brand": _apples_name(),
    }
    if not any(facts.values()):
        return {}
    flags = (cpu.get("flags") or cpu.get("Features", "")).split()
    facts |= {
        "machine": platform.machine(),
        "caches": ", ".join(_caches()),
        "extensions": " ".join(sorted(flag for flag in flags if re.fullmatch(EXTENSIONS, flag))),
        **_variables(),
    }
    return {name: fact for name, fact in facts.items() if fact}


def _zen(facts: dict[str, str]) -> str:
    numbers = facts.get("family", ""), facts.get("model", "")
    if not all(map(str.isdecimal, numbers)):
        return ""
    family, model = map(int, numbers)
    for known, name, models in ZEN:
        if family == known and any(first <= model <= last for first, last in models):
            return name
    return ""


def _cpu_info() -> dict[str, str]:
    """What Linux says of the first of the CPU's cores."""
    try:
        text = CPU_INFO.read_text("utf-8", "replace").strip().partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _caches() -> Iterator[str]:
    for folder in sorted(CPU_CACHES.glob("index*")):
        try:
            level, kind, size = (
                (folder / name).read_text().strip() for name in ("level", "type", "size")
            )
        except OSError:
            continue
        yield f"L{level} {kind.lower()} {size}"


def _variables() -> dict[str, str]:
    return {name: value for name in VARIABLES if (value := os.environ.get(name))}


@cache
def _apples_name() -> str:
    if platform.system() != "Darwin":
        return ""
    command = ["sysctl", "-n", "machdep.cpu.brand_string"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

"""The machine a run is on: which device a request means."""

import platform
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from fmbench import environment, hardware, limits
from fmbench.console import runs
from fmbench.errors import UsageError
from fmbench.hardware import Device, find_device
from fmbench.training import devices

GIGABYTE = 10**9


def gpu(index: int, gigabytes: int) -> Device:
    """A CUDA device of that memory."""
    return Device(kind="cuda", name="A GPU", memory=gigabytes * GIGABYTE, index=index)


@pytest.mark.parametrize(
    ("gpus", "built", "said"),
    [
        ([], True, "there is no CUDA device"),
        ([gpu(0, 8)], False, "this torch is built without CUDA"),
        (
            [gpu(0, 8)],
            True,
            "A GPU has 8.00 GB, and auto takes 16.0 GB or more: --device cuda uses it",
        ),
        ([gpu(0, 80)], True, "A GPU is not used"),
    ],
)
def test_why_no_gpu_is_used_is_said(
    monkeypatch: pytest.MonkeyPatch, gpus: list[Device], built: bool, said: str
) -> None:
    """A GPU that is too small for auto, or that torch cannot use, is named; it is there."""
    monkeypatch.setattr(runs, "torch_is_built_for_cuda", lambda: built)
    assert runs._why_no_gpu(gpus).endswith(said)


@pytest.mark.parametrize(
    ("sizes", "request_", "wanted"),
    [
        ((), "auto", None),
        ((8, 15), "auto", None),
        ((8, 16, 40), "auto", 1),
        ((8, 40), "cpu", None),
        ((8, 40), "cuda", 0),
        ((8, 40), "cuda:1", 1),
    ],
)
def test_a_request_means_a_device(
    monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...], request_: str, wanted: int | None
) -> None:
    """The first CUDA device of 16 GB or more for auto, else the CPU; others are as they say."""
    gpus = [gpu(index, size) for index, size in enumerate(sizes)]
    monkeypatch.setattr(hardware, "cuda_devices", lambda: gpus)
    monkeypatch.setattr(hardware, "torch_is_built_for_cuda", lambda: True)
    found = find_device(request_)
    assert found == (gpus[wanted] if wanted is not None else hardware.cpu_device())


@pytest.mark.parametrize(
    ("says", "built"),
    [
        ("cuda: Optional[str] = '12.8'", True),
        ("cuda: Optional[str] = None", False),
        ("cuda = None", False),
        ("cuda_version = None", True),
        (None, True),
    ],
)
def test_a_torch_without_cuda_trains_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str | None, built: bool
) -> None:
    """With auto, a device that the installed torch cannot use is left alone; none is imported."""
    if says is not None:
        (tmp_path / "version.py").write_text(f"debug = False\n{says}\n")
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(hardware.importlib.util, "find_spec", lambda _: spec)
    monkeypatch.setattr(hardware, "cuda_devices", lambda: [gpu(0, 40)])
    assert find_device().kind == ("cuda" if built else "cpu")
    assert find_device("cuda").kind == "cuda"


class Driver:
    """Three GPUs as NVML lists them; a handle is a number, and a MIG device's its UUID.

    parts: the MIG devices of the partitioned GPUs, by their places; the others are whole.
    """

    NVMLError = RuntimeError
    __spec__ = None  # what `import` asks a module for
    UUIDS = ("GPU-aa1", "GPU-ab2", "GPU-ab3")

    def __init__(self, parts: dict[int, dict[int, str]]) -> None:
        self.parts = parts

    def mode(self, handle: int) -> list[bool]:
        """Whether a GPU is partitioned, now and after a reset; the last can never be."""
        if handle == 2:
            raise RuntimeError("Not Supported")
        return [handle in self.parts, False]

    def part(self, handle: int, index: int) -> str:
        """The part at a place of a GPU."""
        if index not in self.parts[handle]:
            raise RuntimeError("Not Found")
        return self.parts[handle][index]

    def __getattr__(self, name: str) -> Callable[..., object]:
        return {
            "nvmlInit": lambda: None,
            "nvmlShutdown": lambda: None,
            "nvmlSystemGetDriverVersion": lambda: "1.0",
            "nvmlDeviceGetCount": lambda: len(self.UUIDS),
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetHandleByUUID": lambda uuid: uuid,
            "nvmlDeviceIsMigDeviceHandle": lambda handle: isinstance(handle, str),
            "nvmlDeviceGetMigMode": self.mode,
            "nvmlDeviceGetMaxMigDeviceCount": lambda _: 7,
            "nvmlDeviceGetMigDeviceHandleByIndex": self.part,
            "nvmlDeviceGetUUID": lambda handle: self.UUIDS[handle],
            "nvmlDeviceGetName": lambda handle: f"GPU {handle}",
            "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(total=1),
        }[name]


def test_a_gpu_that_shares_the_machines_memory_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the driver knows no memory of its own, the machine's is meant, and no GPU is lost."""

    class Sharing(Driver):
        def __getattr__(self, name: str) -> Callable[..., object]:
            if name != "nvmlDeviceGetMemoryInfo":
                return super().__getattr__(name)

            def refuse(_: object) -> None:
                raise RuntimeError("Not Supported")

            return refuse

    monkeypatch.setitem(sys.modules, "pynvml", Sharing({}))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [gpu.memory for gpu in hardware.cuda_devices()] == [limits.memory()] * 3


def test_the_hint_for_an_absent_gpu_names_the_last_or_what_hides_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With GPUs it says which is the last; without, that CUDA_VISIBLE_DEVICES shows none."""
    monkeypatch.setitem(sys.modules, "pynvml", Driver({}))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(UsageError, match="the last one is cuda:2"):
        hardware.find_device("cuda:3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UsageError, match="0 CUDA devices that CUDA_VISIBLE_DEVICES shows"):
        hardware.find_device("cuda")


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["GPU 0", "GPU 1", "GPU 2"]),
        ("", []),
        ("-1", []),
        ("2,0", ["GPU 2", "GPU 0"]),
        ("1, 7, 0", ["GPU 1"]),
        ("GPU-ab3,GPU-aa", ["GPU 2", "GPU 0"]),
        ("GPU-ab", []),
        ("GPU-ab2,0,1", []),  # one of them twice
        ("MIG-x", ["GPU MIG-x"]),
        ("MIG-x,MIG-y", ["GPU MIG-x"]),
        ("0,MIG-x", ["GPU MIG-x"]),
    ],
)
def test_devices_are_counted_as_torch_counts_them(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, names: list[str]
) -> None:
    """CUDA_VISIBLE_DEVICES chooses and orders, up to the first entry that is no device."""
    monkeypatch.setitem(sys.modules, "pynvml", Driver({}))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = hardware.cuda_devices()
    assert [device.name for device in found] == names
    assert [device.index for device in found] == list(range(len(names)))


@pytest.mark.parametrize(
    ("parts", "visible", "names"),
    [
        ({1: {0: "MIG-a", 1: "MIG-b"}}, None, ["GPU MIG-a"]),
        ({1: {3: "MIG-a"}}, "0,1", ["GPU MIG-a"]),
        ({1: {0: "MIG-a"}}, "0,2", ["GPU 0", "GPU 2"]),
        ({0: {}}, None, ["GPU 1", "GPU 2"]),
        ({0: {}, 1: {1: "MIG-c"}}, None, ["GPU MIG-c"]),
    ],
    ids=["first part", "gaps", "not visible", "without parts", "next with parts"],
)
def test_of_a_partitioned_gpu_one_part_is_seen(
    monkeypatch: pytest.MonkeyPatch,
    parts: dict[int, dict[int, str]],
    visible: str | None,
    names: list[str],
) -> None:
    """A partitioned GPU is its first part, and hides whole ones; without parts it is no device."""
    monkeypatch.setitem(sys.modules, "pynvml", Driver(parts))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [device.name for device in hardware.cuda_devices()] == names


@pytest.mark.parametrize("request_", ["cuda:2", "cuda:x", "cpu:0", "tpu", ""])
def test_what_is_no_device_is_reported(monkeypatch: pytest.MonkeyPatch, request_: str) -> None:
    """A device that is not there, or is none, is a usage error with a hint."""
    monkeypatch.setattr(hardware, "cuda_devices", lambda: [gpu(0, 8), gpu(1, 40)])
    with pytest.raises(UsageError) as told:
        find_device(request_)
    assert told.value.hint


def test_an_environment_names_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the host nor the user is in what gets published."""
    named = platform.uname()._replace(node="secret-host")
    monkeypatch.setattr(platform, "uname", lambda: named)
    monkeypatch.setattr(socket, "gethostname", lambda: "secret-host")
    for name in ("USER", "LOGNAME", "HOME"):
        monkeypatch.setenv(name, "/home/secret-user")
    told = msgspec.json.encode(environment.describe(hardware.cpu_device(), 1))
    assert b"secret" not in told


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n", "Some CPU @ 2 GHz"),
        ("CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n", f"{platform.machine()} 0x41 0xd0c"),
        ("processor\t: 0\n", platform.processor() or platform.machine()),
    ],
    ids=["x86", "arm", "neither"],
)
def test_a_cpu_is_named_by_what_distinguishes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, named: str
) -> None:
    """The model's name where there is one; of ARM, where there is none, its numbers."""
    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    (tmp_path / "cpuinfo").write_text(told)
    assert hardware.cpu_name.__wrapped__() == named


AMD = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: {family}
model\t\t: {model}
model name\t: AMD EPYC
stepping\t: 1
flags\t\t: fpu sse4_2 smep avx2 {flags}

processor\t: 1
vendor_id\t: SomebodyElse
"""


@pytest.fixture
def cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Device]:
    """A CPU that Linux describes so."""
    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(hardware, "CPU_CACHES", tmp_path / "cache")
    monkeypatch.setattr(hardware, "cpu_name", lambda: "AMD EPYC")
    for name in hardware.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "cache" / "index0"
    folder.mkdir(parents=True)

    def tell(family: int = 25, model: int = 1, flags: str = "", cache: str = "32K") -> Device:
        (tmp_path / "cpuinfo").write_text(AMD.format(family=family, model=model, flags=flags))
        for name, content in (("level", "1"), ("type", "Data"), ("size", cache)):
            (folder / name).write_text(content)
        return hardware.cpu_device()

    return tell


@pytest.mark.parametrize(
    ("family", "model", "name"),
    [
        (25, 1, "AMD EPYC, Zen 3"),
        (25, 0x11, "AMD EPYC, Zen 4"),
        (26, 2, "AMD EPYC, Zen 5"),
        (23, 1, "AMD EPYC, Zen"),
        (23, 0x31, "AMD EPYC, Zen 2"),
        (99, 1, "AMD EPYC"),
    ],
)
def test_generations_of_one_name_are_told_apart(
    cpu: Callable[..., Device], family: int, model: int, name: str
) -> None:
    """Family and model say which generation an `AMD EPYC` is."""
    assert cpu(family, model).name == name


def test_all_that_decides_bits_is_in_a_devices_digest(
    cpu: Callable[..., Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Model, instructions, caches and limiting variables make another device; memory does not."""
    device = cpu()
    assert device.facts["extensions"] == "avx2 sse4_2"
    assert device.facts["caches"] == "L1 data 32K"
    others = [cpu(model=2), cpu(flags="avx512f"), cpu(cache="48K")]
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    others.append(cpu())
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    assert len({one.digest for one in (device, *others)}) == 5
    assert msgspec.structs.replace(device, memory=7).digest == device.digest == cpu().digest


def test_a_cpu_of_which_nothing_is_known_is_nobodys_equal(
    cpu: Callable[..., Device], tmp_path: Path
) -> None:
    """Without any fact there is no digest, and so no promise."""
    cpu()
    (tmp_path / "cpuinfo").write_text("")
    assert hardware.cpu_device().digest == ""


def test_torch_adds_what_only_it_knows() -> None:
    """A worker's device has the instructions in its name, and is still the requested one."""
    asked = hardware.cpu_device()
    found = devices.identified(asked)
    assert found.name.startswith(f"{asked.name}, ")
    assert found.facts["oneDNN"]
    assert found.is_a(asked)
    assert not asked.is_a(found)
    nothing = msgspec.structs.replace(asked, facts={})
    assert devices.identified(nothing) == nothing

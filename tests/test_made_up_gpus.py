"""A `cuda` device from its plan to its records, with a made-up driver that trains on the CPU.

The driver's library is a module of the same name. Workers train under the rules of
`[devices.cuda]`; of torch only what asks the driver is replaced in them.
"""

from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
import torch

import samples
from conftest import Fmbench, Install, TinyData
from fmbench import hardware, limits, protocol
from fmbench.errors import ExitCode
from fmbench.execution import local
from fmbench.execution.estimate import UNKNOWN_MEMORY, Estimate
from fmbench.execution.job import Job, JobFolder
from fmbench.execution.plan import Pending, make_setting
from fmbench.execution.session import Session, plan_session
from fmbench.hardware import Device
from fmbench.records import Record
from fmbench.store import Store
from plugins_of_all_kinds import offering

DRIVER = """
from types import SimpleNamespace
class NVMLError(Exception): pass
GPUS = [("A GPU", 80), ("Another GPU", 8), ("A GPU", 80)]
nvmlInit = nvmlShutdown = lambda: None
nvmlSystemGetDriverVersion = lambda: "580.1"
nvmlDeviceGetCount = lambda: len(GPUS)
nvmlDeviceGetHandleByIndex = lambda index: index
nvmlDeviceGetUUID = lambda handle: f"GPU-{handle}"
nvmlDeviceGetName = lambda handle: GPUS[handle][0]
nvmlDeviceGetMemoryInfo = lambda handle: SimpleNamespace(total=GPUS[handle][1] * 10**9)
nvmlDeviceIsMigDeviceHandle = lambda handle: False
nvmlDeviceGetMigMode = lambda handle: [0, 0]
"""
WORKERS = """
import sys
if "fmbench.execution.worker" in sys.orig_argv:
    import os
    import msgspec, torch
    from fmbench.execution import job
    from fmbench.training import devices

    prepare, read_job = devices.prepare, job.JobFolder.read_job

    def prepare_the_cpu(name, rules, threads):
        print("asked for", name)
        return prepare("cpu", rules, threads)

    def read_job_for_the_cpu(folder):
        found = read_job(folder)
        cuda = {"cpu": found.protocol.devices["cuda"], "cuda": found.protocol.devices["cuda"]}
        rules = msgspec.structs.replace(found.protocol, devices=cuda)
        return msgspec.structs.replace(found, protocol=rules)

    devices.prepare, job.JobFolder.read_job = prepare_the_cpu, read_job_for_the_cpu
    devices.peak_memory = lambda device: 70 * 10**9
    torch.cuda.get_device_capability = lambda device: (9, 0)

    if "FULL" in os.environ:
        def full(*_, **__): raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        torch.ones = torch.Tensor.to = full
"""
MODELS = """
import os, pathlib, torch
from torch import nn

class Telling(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, 2), nn.Conv2d(4, 4, 3, 2)
        self.last = nn.Linear(4 * 6 * 6, 10)
    def forward(self, batch):
        maps = self.second(self.first(batch).relu())
        if self.training:
            last = self.second.weight.is_contiguous(memory_format=torch.channels_last)
            flags = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
            print(maps.dtype, "channels last", last, "deterministic, benchmark", *flags)
        return self.last(maps.flatten(1))

def telling(spec): return Telling()

class Hanging(Telling):
    def forward(self, batch):
        if not self.training:
            while True: pass
        return super().forward(batch)

def hanging(spec): return Hanging()

POISONED = []

class Poisoning(Telling):
    def forward(self, batch):
        once = pathlib.Path(os.environ["XDG_CACHE_HOME"], "once")
        if POISONED or not (self.training or once.exists()):
            once.touch()
            POISONED.append(True)
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        return super().forward(batch)

def poisoning(spec): return Poisoning()
"""
CUDA_TABLE = """[devices.cuda]
precision = "bfloat16"
deterministic = false
"""
A_GPU = Device(kind="cuda", name="A GPU", memory=80 * 10**9, driver="580.1")


@pytest.fixture
def rules(tiny: TinyData, tmp_path: Path) -> Path:
    """The tiny protocol for a CUDA device alone."""
    table = '[devices.cpu]\nprecision = "float32"\n'
    return tiny.variant(tmp_path / "cuda.toml", (table, CUDA_TABLE))


@pytest.fixture
def made_up(install: Install, site: Path) -> None:
    """Install the driver, what workers need for it, and models."""
    (site / "pynvml.py").write_text(DRIVER)
    (site / "sitecustomize.py").write_text(WORKERS)
    models = ("telling=telling", "hanging=hanging", "poisoning=poisoning")
    install("plugin-told", offering(*models, extra=MODELS))


def found(results: Path) -> tuple[Store, dict[tuple[str, int], Record]]:
    """The store and its records by model and seed."""
    store = Store(results, "tiny-v1")
    return store, {(one.run.model, one.run.seed): one for one in store.read().records}


def test_a_run_on_a_gpu_is_recorded_as_its_own(
    fmbench: Fmbench, made_up: None, tiny: TinyData, rules: Path, tmp_path: Path
) -> None:
    """The rules are those of `[devices.cuda]`; device, memory and promise in a record are its own.

    What a CUDA error leaves behind is not the next run's.
    """
    asked = ("--protocol", rules, "--data-dir", tiny.folder, "--device", "cuda")
    ran = fmbench("run", "telling", "poisoning", *asked, CUDA_VISIBLE_DEVICES="1,0,2")
    assert "Another GPU" in ran.stderr  # the first visible one; there is one of its kind
    assert ran.returncode == 1
    store, records = found(tmp_path / "results")
    assert {key: one.result.status for key, one in records.items()} == {
        ("telling", 1): "ok", ("telling", 2): "ok", ("poisoning", 1): "failed",
        ("poisoning", 2): "ok",
    }  # fmt: skip
    assert "illegal memory access" in records["poisoning", 1].result.message
    for record in records.values():
        device = record.environment.device
        assert (device.kind, device.index, device.driver) == ("cuda", 0, "580.1")
        assert device.memory == 8 * 10**9
        assert device.facts["name"] == device.name == "Another GPU"
        assert device.facts["compute capability"] == "9.0"
        assert device.facts["CUDA"] == (torch.version.cuda or "")
        assert record.run.device_kind == "cuda"
        assert record.departure == ""
        assert record.environment.threads == limits.cores()
        log = store.log(record)
        assert log.startswith("asked for cuda:0\n") or record.run.seed == 2
    for seed in (1, 2):
        record = records["telling", seed]
        assert record.reproducibility == "statistical"
        assert record.cost.peak_memory == 70 * 10**9
        told = "torch.bfloat16 channels last True deterministic, benchmark False True\n"
        assert told * 40 in store.log(record)
    digests = {one.environment.device.digest for one in records.values()}
    assert len(digests) == 1
    assert "" not in digests


def test_time_and_memory_run_out_on_a_gpu_as_on_a_cpu(
    fmbench: Fmbench, made_up: None, tiny: TinyData, rules: Path, tmp_path: Path
) -> None:
    """A run that hangs is ended, and one that finds its GPU full from the start is `oom`."""
    asked = ("--protocol", rules, "--data-dir", tiny.folder, "--device", "cuda:2", "--seeds", 1)
    seen = {"CUDA_VISIBLE_DEVICES": "0,1,2"}
    hung = fmbench("run", "hanging", *asked, "--timeout", 1, **seen)
    assert hung.returncode == ExitCode.RUN_FAILED, hung.stderr
    filled = fmbench("run", "telling", *asked, **seen, FULL="1")
    assert filled.returncode == ExitCode.RUN_FAILED, filled.stderr
    store, records = found(tmp_path / "results")
    assert records["hanging", 1].result.status == "timeout"
    full = records["telling", 1]
    assert (full.result.status, full.result.message) == (
        "oom", "OutOfMemoryError: CUDA out of memory. Tried to allocate",
    )  # fmt: skip
    for record in records.values():
        assert record.environment.device.name == "A GPU"
    assert "asked for cuda:2" in store.log(full)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[Device]:
    """Three GPUs, the first and the last alike."""
    made = [
        msgspec.structs.replace(A_GPU, index=0),
        msgspec.structs.replace(A_GPU, index=1, name="Another GPU"),
        msgspec.structs.replace(A_GPU, index=2),
    ]
    monkeypatch.setattr(hardware, "cuda_devices", lambda: made)
    monkeypatch.setattr(hardware, "torch_is_built_for_cuda", lambda: True)
    return made


def planned(rules: Path, results: Path, device: str, workers: int | None = None) -> Session:
    """A command's plan for softmax regression."""
    return plan_session(
        ["softmax"], protocol_name=str(rules), device=device, seeds=None, tune_only=False,
        threads=None, workers=workers, results=results, retry_failed=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("device", "workers", "used", "settled"),
    [
        ("auto", None, (0, 2), 2),
        ("cuda", None, (0, 2), 2),
        ("cuda:2", None, (2,), 1),
        ("cuda:1", 3, (1,), 3),
        ("cuda", 4, (0, 2), 4),
    ],
)
def test_gpus_of_one_kind_share_the_work_and_the_cores(
    gpus: list[Device],
    rules: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    workers: int | None,
    used: tuple[int, ...],
    settled: int,
) -> None:
    """A worker for each GPU like the first, or as many as are asked for, on the cores there are."""
    monkeypatch.setattr("fmbench.execution.plan.cores", lambda: 12)
    session = planned(rules, tmp_path, device, workers)
    assert session.devices == tuple(gpus[index] for index in used)
    assert session.setting.device == gpus[used[0]]
    assert session.workers == settled
    assert session.setting.threads == 12 // settled
    assert {run.device_kind for plan in session.pending for run in plan.finals} == {"cuda"}


def test_jobs_go_to_the_gpu_that_fewest_work_on(
    gpus: list[Device], rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker is told its GPU in its job; one that has ended counts no more."""
    started: list[SimpleNamespace] = []

    def worker(folder: JobFolder, device: Device, memory: float) -> SimpleNamespace:
        assert folder.read_job().device == device
        started.append(
            SimpleNamespace(
                device=device, end=None, ended=lambda: one.end, memory_to_come=lambda: memory
            )
        )
        one = started[-1]
        return one

    monkeypatch.setattr(local, "LocalWorker", worker)
    monkeypatch.setattr(limits, "memory_available", lambda: 10e9)
    engine = local.LocalEngine(4, (gpus[0], gpus[2]))
    job = Job(
        model="m", plugin=samples.PLUGIN, protocol=protocol.load(str(rules)), runs=(),
        device=gpus[0], threads=1, inputs="", checkpoints="", checkpoint_seconds=1.0,
    )  # fmt: skip
    for number in range(3):
        assert engine.has_room(2e9)
        engine.start(job, JobFolder(tmp_path / str(number)), 2e9)
    assert [one.device.index for one in started] == [0, 2, 0]
    for ended in started[0], started[2]:
        ended.end = "it has ended"
    assert engine.has_room(2e9)
    engine.start(job, JobFolder(tmp_path / "3"), 2e9)
    assert started[3].device.index == 0
    assert not engine.has_room(8e9)  # of this machine's memory


def test_a_gpus_memory_is_not_taken_for_the_hosts(rules: Path) -> None:
    """A record's peak is the GPU's there; what a worker needs of the host is not known."""
    setting = make_setting(protocol.load(str(rules)), A_GPU)
    record = samples.record(samples.run(device_kind="cuda"))
    record = msgspec.structs.replace(
        record,
        cost=msgspec.structs.replace(record.cost, peak_memory=70 * 10**9),
        environment=msgspec.structs.replace(record.environment, device=A_GPU),
    )
    plans: list[Pending] = []
    estimate = Estimate(plans, setting, own=[record], published=[record])
    estimate.fmbench_run_end(record)
    assert estimate.memory("m") == UNKNOWN_MEMORY

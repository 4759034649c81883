"""What differs between kinds of device: numerics, synchronisation, memory and random streams."""

import errno
import hashlib
import os
import random
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import msgspec
import numpy as np
import torch
from torch import nn
from torch.utils import deterministic

from fmbench.errors import UsageError
from fmbench.hardware import Device
from fmbench.protocol import DeviceRules

INSTRUCTIONS = {"DEFAULT": "baseline", "AVX512": "AVX-512"}
"""How torch's names of what it dispatches to are written; others as they are."""

LIBRARIES = {
    "oneDNN": r"MKL-DNN v(\S+)",
    "MKL": r"Math Kernel Library Version (\S+)",
    "BLAS": r"BLAS_INFO=(\w+)",
}
"""Where torch's description of its own build names the libraries that compute."""


OUT_OF_MEMORY = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUDA error: out of memory",
    "CUDA ran out of memory",
    "_ALLOC_FAILED",  # cuBLAS, cuFFT, cuSOLVER, cuSPARSE, and cuDNN before version 9
    "_ALLOCATION_FAILED",  # cuDNN
    "std::bad_alloc",
)
"""How torch and the libraries below it say in a `RuntimeError` that memory could not be had."""


def prepare(name: str, rules: DeviceRules, threads: int) -> torch.device:
    """Set torch's global flags as a protocol's device rules say, and return the device.

    A CUDA device becomes the current one: it is what `cuda` without an index means, and where
    torch keeps streams and pinned memory. Raises `UsageError` when this torch cannot use the
    device; one that is full it can, and the first run shows that.
    """
    device = torch.device(name)
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # as the driver counts, see `cuda_devices`
    if rules.deterministic:  # https://docs.nvidia.com/cuda/cublas, "Results Reproducibility"
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        torch.ones(1, device=device).add_(1)
    except (AssertionError, RuntimeError) as error:
        if not out_of_memory(error):
            raise UsageError(
                f"torch {torch.__version__} cannot use {name}: {str(error).partition(chr(10))[0]}",
                hint="install a build of torch for this device, or use --device cpu",
            ) from error
    if device.type == "cuda":
        torch.cuda.set_device(device)
    set_flags(rules, threads)
    return device


def identified(device: Device) -> Device:
    """The device with what only torch knows of it; raises as torch does where it is not there.

    The name says which instructions torch uses; the facts say which libraries compute.
    """
    if device.kind == "cuda":
        major, minor = torch.cuda.get_device_capability(device.torch_name)
        facts = {
            "compute capability": f"{major}.{minor}",
            "CUDA": torch.version.cuda or "",
            "cuDNN": str(torch.backends.cudnn.version() or ""),  # type: ignore[no-untyped-call]
        }
        return msgspec.structs.replace(device, facts=device.facts | facts)
    if not device.facts:
        return device  # too little is known to tell it from others
    capability = torch.backends.cpu.get_cpu_capability()
    build = torch.__config__.show()
    facts = {"instructions": capability} | {
        name: found[1]
        for name, pattern in LIBRARIES.items()
        if (found := re.search(pattern, build))
    }
    name = f"{device.name}, {INSTRUCTIONS.get(capability, capability)}"
    return msgspec.structs.replace(device, name=name, facts=device.facts | facts)


def set_flags(rules: DeviceRules, threads: int) -> None:
    """Set torch's global flags as a protocol's device rules say, whatever a plugin has set."""
    torch.set_num_threads(threads)
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_flush_denormal(False)
    torch.use_deterministic_algorithms(rules.deterministic, warn_only=True)
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not rules.deterministic
    _set_float32_precision(rules.tf32)


def _set_float32_precision(tf32: bool) -> None:
    """Have float32 multiplied as such; on CUDA in TF32 where a protocol says so.

    Since torch 2.9 there are two sets of flags. The newer ones inherit from one another, and the
    older, set last, do not reset those above them; reading the older raises an error where the two
    disagree (https://docs.pytorch.org/docs/stable/notes/cuda.html, "TensorFloat-32").
    """
    backends = torch.backends
    if hasattr(backends, "fp32_precision"):
        mkldnn = backends.mkldnn
        for one in (backends, backends.cudnn, mkldnn, mkldnn.conv, mkldnn.rnn):  # type: ignore[attr-defined]
            one.fp32_precision = "none"
    torch.set_float32_matmul_precision("highest")
    backends.cuda.matmul.allow_tf32 = tf32
    backends.cudnn.allow_tf32 = tf32


def as_prepared(rules: DeviceRules, threads: int) -> bool:
    """Whether threads and determinism are what `prepare` has set."""
    deterministic_now = torch.are_deterministic_algorithms_enabled()
    return (torch.get_num_threads(), deterministic_now) == (threads, rules.deterministic)


def autocast(device: torch.device, rules: DeviceRules) -> AbstractContextManager[None]:
    """The precision of a forward pass."""
    enabled = rules.precision == "bfloat16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def memory_format(rules: DeviceRules) -> torch.memory_format:
    """How images and weights of rank 4 lie in memory."""
    return torch.channels_last if rules.channels_last else torch.contiguous_format


def place(network: nn.Module, device: torch.device, rules: DeviceRules) -> None:
    """Move a network to a device, its tensors of rank 4 in the memory format of the rules."""
    network.to(device)
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.dim() == 4:  # Module.to takes rank 5 too, and fails at it
            tensor.data = tensor.data.to(memory_format=memory_format(rules))


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was given, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def forget_peak_memory(device: torch.device) -> None:
    """Have `peak_memory` begin anew on a CUDA device; what a process has had stays its peak."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int:
    """The most memory in use so far, in bytes: of this process on a CPU, else of the device.

    There it is what tensors took at most, as torch's allocator counts it, since the peak was
    forgotten; the driver's own share and what the allocator keeps in store are not in it.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be had, itself or what it was raised from.

    Only some of torch's allocators have an exception of their own for that.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    if isinstance(error, RuntimeError) and any(one in str(error) for one in OUT_OF_MEMORY):
        return True
    return error.__cause__ is not None and out_of_memory(error.__cause__)


@contextmanager
def streams_kept() -> Iterator[None]:
    """Leave every random stream that `seed_everything` starts where it was."""
    python, numpy, on_cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda = torch.cuda.get_rng_state_all() if used else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(on_cpu)
        if used:
            torch.cuda.set_rng_state_all(cuda)


def seed_everything(protocol: str, seed: int, moment: str) -> None:
    """Start every random stream afresh from (protocol, seed, moment).

    torch (all devices), numpy and random. Called before a model is built and at the start of each
    epoch, so that nothing depends on a generator carried along.
    """
    digest = hashlib.sha256(f"{protocol}\0{seed}\0{moment}".encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    np.random.seed(int.from_bytes(digest[8:12], "big"))
    random.seed(int.from_bytes(digest[12:20], "big"))

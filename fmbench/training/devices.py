"""What differs between kinds of device: numerics, synchronisation, memory and random streams."""

import hashlib
import os
import random
import resource
import sys
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import nn
from torch.utils import deterministic

from fmbench.errors import UsageError
from fmbench.protocol import DeviceRules


def prepare(name: str, rules: DeviceRules, threads: int) -> torch.device:
    """Set torch's global flags as a protocol's device rules say, and return the device.

    Raises `UsageError` when this torch cannot use the device.
    """
    device = torch.device(name)
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # as the driver counts, see `cuda_devices`
    if rules.deterministic:  # https://docs.nvidia.com/cuda/cublas, "Results Reproducibility"
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        torch.ones(1, device=device).add_(1)
    except (AssertionError, RuntimeError) as error:
        raise UsageError(
            f"torch {torch.__version__} cannot use {name}: {str(error).partition(chr(10))[0]}",
            hint="install a build of torch for this device, or use --device cpu",
        ) from error
    set_flags(rules, threads)
    return device


def set_flags(rules: DeviceRules, threads: int) -> None:
    """Set torch's global flags as a protocol's device rules say, whatever a plugin has set."""
    torch.set_num_threads(threads)
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_flush_denormal(False)
    torch.set_float32_matmul_precision("highest")
    torch.use_deterministic_algorithms(rules.deterministic, warn_only=True)
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not rules.deterministic
    torch.backends.cuda.matmul.allow_tf32 = rules.tf32
    torch.backends.cudnn.allow_tf32 = rules.tf32


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


def peak_memory(device: torch.device) -> int:
    """The most memory in use so far, in bytes: of the device, or of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def seed_everything(protocol: str, seed: int, moment: str) -> None:
    """Start every random stream afresh from (protocol, seed, moment).

    torch (all devices), numpy and random. Called before a model is built and at the start of each
    epoch, so that nothing depends on a generator carried along.
    """
    digest = hashlib.sha256(f"{protocol}\0{seed}\0{moment}".encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    np.random.seed(int.from_bytes(digest[8:12], "big"))
    random.seed(int.from_bytes(digest[12:20], "big"))

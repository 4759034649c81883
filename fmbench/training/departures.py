"""What is done otherwise than a protocol says, where a device would compute it wrong."""

import copy
import ctypes
import os
import platform
import sys
from collections.abc import Callable

import msgspec
import torch
from torch import Tensor, nn

from fmbench import hardware, processes
from fmbench.protocol import DeviceRules
from fmbench.training import devices, gradients
from fmbench.training.gradients import Wrong
from fmbench.wording import raised

SECONDS = 300.0
"""A guard against a check that hangs; it takes a few steps of training."""

M_MMAP_THRESHOLD, M_PERTURB = -3, -6  # glibc's malloc.h


class WrongGradientError(Exception):
    """This device computes a network's gradients wrong in any memory format."""


def settle(
    network: nn.Module,
    batch: Callable[[], tuple[Tensor, Tensor]],
    rules: DeviceRules,
    *,
    label_smoothing: float = 0.0,
) -> tuple[DeviceRules, str]:
    """The rules that a network is trained by here, and how and why they depart from those given.

    batch: images, float32 (b, channels, size, size), and labels, int64 (b,), on the device.

    After `avoid_known_faults` one batch's gradients are checked, see `gradients.examine`. Where
    channels last is wrong the rules say contiguous. The network and the random streams stay as they
    are: on a CPU under Linux the check is done in a fork, which may even crash, as wrong kernels
    may write where they should not. Elsewhere a copy is checked. Where the check fails itself
    nothing departs, and training reports the fault. Raises `WrongGradientError` when no memory
    format is right.
    """
    rules, departure = avoid_known_faults(network, rules)
    contiguous = msgspec.structs.replace(rules, channels_last=False)
    if departure or (rules == contiguous and rules.precision == "float32"):
        return rules, departure
    found = _found(network, batch, rules, label_smoothing)
    if found is None:
        return rules, ""
    if isinstance(found, Wrong):
        if not found.format_only:
            raise WrongGradientError(f"{found} on this device")
        reason = str(found)
    else:
        again = _found(network, batch, contiguous, label_smoothing)
        if rules == contiguous or isinstance(again, int):
            return rules, ""  # the model's own doing
        reason = f"one batch ends with {processes.how_it_ended(found)}"
    return contiguous, f"contiguous memory: channels last, {reason}"


def avoid_known_faults(network: nn.Module, rules: DeviceRules) -> tuple[DeviceRules, str]:
    """The same of layers that are known to be wrong on this device; nothing is run."""
    layer = _layer_of_wrong_kernel(network) if rules.channels_last else ""
    if not layer:
        return rules, ""
    contiguous = msgspec.structs.replace(rules, channels_last=False)
    return contiguous, f"contiguous memory: channels last, the gradients of {layer} are wrong"


def _layer_of_wrong_kernel(network: nn.Module) -> str:
    """The name of a layer that oneDNN is known to compute wrong on this CPU, channels last.

    Its AVX2 kernel for the weight gradient of 1x1 convolutions with a stride takes fewer than 8
    input channels for 8 (oneDNN 3.12, `jit_1x1:avx2`). It reads and writes beyond its memory, so
    that a batch may come out right and the process end later: a check alone would miss it at times.
    """
    if _device_type(network) != "cpu" or not _onednn_uses_avx2():
        return ""
    for name, module in network.named_modules():
        if (
            isinstance(module, nn.Conv2d)
            and module.kernel_size == (1, 1)
            and max(module.stride) > 1
            and module.groups == 1
            and module.in_channels < 8
        ):
            return name or "the model"
    return ""


def _onednn_uses_avx2() -> bool:
    """Whether oneDNN takes its kernels for AVX2 here: there is AVX2, and no AVX-512 it may use."""
    extensions = hardware.cpu_facts().get("extensions", "").split()
    limits = (os.environ.get(name, "") for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"))
    limit = next(filter(None, limits), "").upper()
    if "avx2" not in extensions or limit in ("SSE41", "AVX"):
        return False
    return "avx512f" not in extensions or limit.startswith("AVX2")


def _device_type(network: nn.Module) -> str:
    return next((one.device.type for one in network.parameters()), "cpu")


def _guard_memory() -> None:
    """Have glibc put large blocks apart and overwrite freed ones: who strays from one ends here."""
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(M_PERTURB, 0x55)
        mallopt(M_MMAP_THRESHOLD, 4096)


def _found(
    network: nn.Module,
    batch: Callable[[], tuple[Tensor, Tensor]],
    rules: DeviceRules,
    label_smoothing: float,
) -> Wrong | int | None:
    """What is wrong, or the signal that the check ended with, negative; None for neither."""

    def examine(one: nn.Module) -> Wrong | None:
        with devices.streams_kept():
            images, labels = batch()
            return gradients.examine(
                one, images, labels, rules=rules, label_smoothing=label_smoothing
            )

    def in_the_fork() -> bytes:
        torch.set_num_threads(1)  # those of the parent are not there
        _guard_memory()
        return msgspec.json.encode(examine(network))

    if _device_type(network) == "cpu" and platform.system() == "Linux":
        answer, status = processes.in_a_copy(in_the_fork, SECONDS)
        if status is None:
            sys.stderr.write("gradients not checked: a copy of this process gave no answer\n")
        if status is not None and status < 0:
            return status
        return msgspec.json.decode(answer, type=Wrong | None) if answer else None
    try:
        return examine(copy.deepcopy(network))
    except Exception as error:
        sys.stderr.write(f"gradients not checked: {raised(error)}\n")
        return None

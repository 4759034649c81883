"""Which GPUs CUDA shows a process, told by NVIDIA's management library, which knows all."""

import os
from contextlib import suppress
from typing import Any


def visible_handles() -> list[Any]:
    """Handles of the devices that CUDA shows a process, in its order.

    Those are the listed GPUs. Where one is partitioned (MIG) it is its first part alone, and no
    whole GPU beside it (https://docs.nvidia.com/datacenter/tesla/mig-user-guide, "CUDA Device
    Enumeration"). Raises `NVMLError` where the driver does not answer.
    """
    whole = []
    for handle in _listed_handles():
        parts = _parts(handle)
        if parts:
            return parts[:1]
        if parts is None:
            whole.append(handle)
    return whole


def _parts(handle: Any) -> list[Any] | None:
    """The parts of a partitioned GPU, and of a part itself; None for a whole GPU."""
    import pynvml

    if pynvml.nvmlDeviceIsMigDeviceHandle(handle):
        return [handle]
    try:
        partitioned, _ = pynvml.nvmlDeviceGetMigMode(handle)
    except pynvml.NVMLError:  # it cannot be
        return None
    if not partitioned:
        return None
    parts = []
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        with suppress(pynvml.NVMLError):  # there may be gaps
            parts.append(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index))
    return parts


def _listed_handles() -> list[Any]:
    """Handles of the devices CUDA_VISIBLE_DEVICES lists, up to the first that is none; or of all.

    An entry is a number, a UUID or its beginning, or the UUID of a MIG device. Where a GPU comes
    twice there are none (https://docs.nvidia.com/cuda/cuda-c-programming-guide, "CUDA Environment
    Variables"; so does torch/cuda/__init__.py).
    """
    import pynvml

    handles = [
        pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())
    ]
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return handles
    chosen: list[Any] = []
    for word in map(str.strip, listed.split(",")):
        if word.startswith("MIG-"):
            chosen.append(pynvml.nvmlDeviceGetHandleByUUID(word))
            continue
        found = [
            handle
            for index, handle in enumerate(handles)
            if word == str(index)
            or (word and str(pynvml.nvmlDeviceGetUUID(handle)).startswith(word))
        ]
        if len(found) != 1:
            return chosen
        if found[0] in chosen:
            return []
        chosen += found
    return chosen

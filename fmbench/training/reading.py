"""A value that grows on a device, read without waiting for the device."""

from typing import NamedTuple

import torch
from torch import Tensor


class Reading(NamedTuple):
    """What a value was after a step, and the seconds from the reader's start to that step."""

    step: int
    value: float
    seconds: float


class Reader:
    """Reads a value that is at hand: a CPU has done each step when the call returns."""

    def __init__(self, value: Tensor) -> None:
        self._value = value

    def read(self, step: int, seconds: float) -> Reading | None:
        """The value now, after `step`; `seconds` is the host's clock."""
        return Reading(step, self._value.item(), seconds)


class CudaReader(Reader):
    """Reads what the device had reached when it was last asked, by the device's own clock.

    The host runs ahead of the device, and `item` waits for all that it has given it. Copies into
    pinned memory do not wait, and an event tells when they are done
    (https://docs.pytorch.org/tutorials/intermediate/pinmem_nonblock.html, "Other copy directions").
    """

    def __init__(self, value: Tensor) -> None:
        super().__init__(value)
        self._stream = torch.cuda.current_stream(value.device)
        self._landing = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
        self._arrived = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._start.record(self._stream)
        self._step = 0

    def read(self, step: int, seconds: float) -> Reading | None:  # noqa: ARG002 - the host's
        """What the last call has asked for, and ask again; None while that is under way."""
        if self._step and not self._arrived.query():  # type: ignore[no-untyped-call]
            return None
        found = None
        if self._step:
            taken = self._start.elapsed_time(self._arrived) / 1000  # it tells milliseconds
            found = Reading(self._step, self._landing.item(), taken)
        self._step = step
        self._landing.copy_(self._value, non_blocking=True)
        self._arrived.record(self._stream)
        return found


def reader(value: Tensor) -> Reader:
    """The reader of a value's device. A device's clock starts here."""
    return CudaReader(value) if value.device.type == "cuda" else Reader(value)

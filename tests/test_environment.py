"""The machine a run is on: which device a request means."""

import pytest

from fmbench import environment
from fmbench.environment import Device, find_device
from fmbench.errors import UsageError

GIGABYTE = 10**9


def gpu(index: int, gigabytes: int) -> Device:
    """A CUDA device of that memory."""
    return Device(kind="cuda", name="A GPU", memory=gigabytes * GIGABYTE, index=index)


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
    monkeypatch.setattr(environment, "cuda_devices", lambda: gpus)
    found = find_device(request_)
    assert found == (gpus[wanted] if wanted is not None else environment.cpu_device())


@pytest.mark.parametrize("request_", ["cuda:2", "cuda:x", "cpu:0", "tpu", ""])
def test_what_is_no_device_is_told(monkeypatch: pytest.MonkeyPatch, request_: str) -> None:
    """A device that is not there, or is none, is a usage error with a hint."""
    monkeypatch.setattr(environment, "cuda_devices", lambda: [gpu(0, 8), gpu(1, 40)])
    with pytest.raises(UsageError) as told:
        find_device(request_)
    assert told.value.hint

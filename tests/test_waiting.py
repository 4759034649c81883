"""Within an epoch the host does not wait for its device: what holds of that without a GPU."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from conftest import TinyData, tiny_images
from fmbench import protocol
from fmbench.training import devices, loop, reading
from fmbench.training.batches import Images

CPU = torch.device("cpu")
WAITING = {
    "_local_scalar_dense",
    "equal",
    "is_nonzero",
    "masked_select",
    "nonzero",
    "repeat_interleave",
    "unique_dim",
    "_unique2",
}
"""Operations that a device is waited for: the host has to know their result, or its shape."""

COPYING = {"cpu", "item", "numpy", "tolist", "__array__", "__bool__", "__float__", "__int__"}
"""Methods of tensors that copy to the host; of a CPU's tensor some come to no operation."""


def is_mask(value: object) -> bool:
    """Whether it is what chooses by being true, so that the host has to count."""
    return isinstance(value, Tensor) and value.dtype in (torch.bool, torch.uint8)


class Operations(TorchDispatchMode):
    """Notes operations that a device is waited for, those of backward passes too."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masked = name.startswith("index") and any(map(is_mask, tree_iter(args[1:])))
        if name in WAITING or masked:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


class Copies(TorchFunctionMode):
    """Notes calls that copy a tensor to the host, in forward passes.

    `to` counts where the CPU is named: a device taken from a tensor is the run's.
    """

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        to_the_cpu = name == "to" and "cpu" in (*args[1:2], (kwargs or {}).get("device"))
        if name in COPYING or to_the_cpu:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def network() -> nn.Module:
    """A convolution, a batch norm and a dropout before a classifier."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.1),
        nn.Flatten(), nn.Linear(4 * 13 * 13, 10),
    )  # fmt: skip


def reads(
    folder: Path, tiny: TinyData, recipe: str, model: nn.Module
) -> tuple[list[str], list[int]]:
    """What two epochs on the tiny images read, and the steps they reported."""
    rules = protocol.load(
        str(
            tiny.variant(
                folder / "watched.toml",
                ("warmup = 0.3", "warmup = 0.3\nlabel_smoothing = 0.1\nclip_norm = 1.0"),
                ('precision = "float32"', 'precision = "bfloat16"'),
                ("[final]", "[augmentations.both]\nshift = 2\nflip = true\n\n[final]"),
                ('optimizer = "adamw"', f'augmentation = "both"\noptimizer = "{recipe}"'),
            )
        )
    )
    devices.prepare("cpu", rules.devices["cpu"], 1)
    pixels, labels = tiny_images(320, 1)
    images = Images(
        torch.from_numpy(pixels), size=64, rules=rules.data, device=CPU,
        augmentation=rules.augmentations["both"], memory_format=torch.channels_last,
    )  # fmt: skip
    seen: list[str] = []
    reports: list[int] = []
    with Operations(seen), Copies(seen):
        loop.train(
            model,
            images,
            torch.from_numpy(labels).long(),
            protocol=rules,
            stage=rules.final,
            recipe=rules.recipes[0],
            seed=1,
            report=lambda _, step, *__: reports.append(step),
        )
    return seen, reports


class Resized(nn.Module):
    """The network on every other pixel of its input, and whatever else is asked of the logits."""

    def __init__(self, also: Any = lambda _: None) -> None:
        super().__init__()
        self.layers = network()
        self.also = also

    def forward(self, batch: Tensor) -> Tensor:
        """Apply the layers."""
        logits: Tensor = self.layers(batch[:, :, 4:60:2, 4:60:2])
        self.also(logits)
        return logits


@pytest.mark.parametrize("seconds", [math.inf, 0.0])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_only_a_report_reads_a_value(
    tiny: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str, seconds: float
) -> None:
    """Augmentation, forward and backward pass, clipping and the optimiser's step read none."""
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_REPORTS", seconds)
    seen, reports = reads(tmp_path, tiny, optimizer, Resized())
    assert reports == ([20, 20] if seconds else [*range(10, 21)] * 2)
    assert seen == ["item", "_local_scalar_dense"] * len(reports)


@pytest.mark.parametrize(
    ("also", "seen"),
    [
        (lambda logits: logits.cpu(), "cpu"),
        (lambda logits: logits.to("cpu"), "to"),
        (lambda logits: logits.nonzero(), "nonzero"),
        (lambda logits: logits[logits > 0], "index"),
        (lambda logits: bool(logits.sum() > 0), "_local_scalar_dense"),
        (
            lambda logits: logits.register_hook(lambda gradient: gradient * gradient.sum().item()),
            "_local_scalar_dense",
        ),
    ],
    ids=["cpu", "to", "nonzero", "mask", "branch", "backward"],
)
def test_the_watch_sees_what_waits(tiny: TinyData, tmp_path: Path, also: Any, seen: str) -> None:
    """A model that reads its own values is noticed, whichever way it does, backward too."""
    with_it = Resized(lambda logits: also(logits) if logits.requires_grad else None)
    assert reads(tmp_path, tiny, "adamw", with_it)[0].count(seen) >= 2 * 20


class Event:
    """An event of a device that is as far as `reached` says; nothing here can wait for it.

    Its clock stands at 10 milliseconds when the first event is recorded, and goes on by 10.
    """

    recorded = 0
    reached = math.inf

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self, stream: str) -> None:
        """Take a place in the stream."""
        assert stream == "the device's"
        Event.recorded += 1
        self.place = Event.recorded

    def query(self) -> bool:
        """Whether the device has come so far."""
        return self.place <= Event.reached

    def elapsed_time(self, end: "Event") -> float:
        """Milliseconds between two events."""
        assert end.query()
        return 10.0 * (end.place - self.place)


@pytest.fixture
def made_up_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events of a made-up device; what is pinned lies in ordinary memory."""
    monkeypatch.setattr(Event, "recorded", 0)
    monkeypatch.setattr(Event, "reached", math.inf)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: "the device's")
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda size, dtype, **_: empty(size, dtype=dtype))


def test_a_cuda_device_is_read_one_report_later(
    made_up_cuda: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader tells the step it was last asked for, its value then, and the device's seconds."""
    value = torch.zeros(())
    reader = reading.CudaReader(value)
    told = []
    for step in (10, 20, 30, 40):
        value += step
        told.append(reader.read(step, 99.0))
    assert told == [None, (10, 10.0, 0.01), (20, 30.0, 0.02), (30, 60.0, 0.03)]


def test_a_device_that_is_behind_is_not_waited_for(
    made_up_cuda: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a value is under way nothing is told, and it is not asked for anew."""
    value = torch.zeros(())
    reader = reading.CudaReader(value)
    monkeypatch.setattr(Event, "reached", 1)
    told = []
    for step in (10, 20, 30, 40):
        value += step
        monkeypatch.setattr(Event, "reached", step / 10 - 1)
        told.append(reader.read(step, 99.0))
    assert told == [None, None, (10, 10.0, 0.01), (30, 60.0, 0.02)]


def test_an_epochs_end_is_told_at_once(
    made_up_cuda: None, tiny: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reports within an epoch come one later on a CUDA device; that of its end does not."""
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_REPORTS", 0.0)
    monkeypatch.setattr(reading, "reader", reading.CudaReader)
    seen, reports = reads(tmp_path, tiny, "sgd", Resized())
    assert reports == [*range(10, 19), 20] * 2
    assert seen == ["item", "_local_scalar_dense"] * len(reports)  # of pinned memory

"""What holds on a CUDA device; skipped where there is none."""

import pytest
import torch
from torch import Tensor, nn

from conftest import TinyData, tiny_images
from fmbench import hardware, protocol
from fmbench.protocol import DeviceRules
from fmbench.training import devices, loop, reading
from fmbench.training.batches import Images

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


class Watching(nn.Module):
    """A convolution that forbids the device to be waited for from its second step to its last."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.left = steps
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)
        )

    def forward(self, batch: Tensor) -> Tensor:
        """Apply the layers and count the steps."""
        self.left -= 1
        torch.cuda.set_sync_debug_mode("error" if self.left else "default")
        logits: Tensor = self.layers(batch)
        return logits


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_no_step_waits_for_the_device(tiny: TinyData, tmp_path, precision: str) -> None:
    """Between the first step and the last, augmentation included, nothing synchronises."""
    rules = protocol.load(
        str(
            tiny.variant(
                tmp_path / "gpu.toml",
                ("epochs = 2", "epochs = 1"),
                (
                    "[devices.cpu]",
                    f'[devices.cuda]\nprecision = "{precision}"\ndeterministic = false\n\n'
                    "[augmentations.both]\nshift = 2\nflip = true\n\n[devices.cpu]",
                ),
                ("learning_rate = 0.01", 'learning_rate = 0.01\naugmentation = "both"'),
            )
        )
    )
    device = devices.prepare("cuda:0", rules.devices["cuda"], 1)
    pixels, labels = tiny_images(320, 1)
    model = Watching(320 // 16).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.layers(torch.zeros(1, 1, 28, 28, device=device))
    try:
        trained = loop.train(
            model,
            Images(
                torch.from_numpy(pixels), size=28, rules=rules.data, device=device,
                augmentation=rules.augmentations["both"], memory_format=torch.channels_last,
            ),
            torch.from_numpy(labels).long().to(device),
            protocol=rules,
            stage=rules.final,
            recipe=rules.recipes[0],
            seed=1,
            report=lambda *_: None,
        )  # fmt: skip
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert trained.curve[0] < 2.5


RULES = DeviceRules(precision="float32", deterministic=False)


def test_a_value_is_read_while_the_device_works() -> None:
    """Nothing waits while a step is under way; then its value and the device's time are there."""
    device = devices.prepare("cuda:0", RULES, 1)
    busy = torch.rand(4096, 4096, device=device)
    value = torch.zeros((), device=device)
    reader = reading.reader(value)
    devices.synchronize(device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(100):
            busy = (busy @ busy).clamp_(0, 1)
        value += 1
        assert reader.read(1, 0.0) is None
        assert reader.read(2, 0.0) is None, "one hundred products are still under way"
    finally:
        torch.cuda.set_sync_debug_mode("default")
    devices.synchronize(device)
    value += 1
    told = reader.read(3, 0.0)
    assert told
    assert told[:2] == (1, 1.0)
    assert 0 < told.seconds < 60


def test_torch_and_the_driver_know_the_same_devices() -> None:
    """They count and name them alike, and torch's memory is what the driver has, or little less."""
    known = hardware.cuda_devices()
    assert len(known) == torch.cuda.device_count()
    for device in known:
        assert torch.cuda.get_device_name(device.index) == device.name
        memory = torch.cuda.get_device_properties(device.index).total_memory
        assert 0.9 * device.memory < memory <= device.memory


def test_a_runs_peak_of_memory_is_its_own() -> None:
    """What was taken before the peak was forgotten is not in it."""
    device = devices.prepare("cuda:0", RULES, 1)
    torch.ones(1 << 28, device=device).sum()
    devices.forget_peak_memory(device)
    kept = torch.ones(1 << 20, device=device)
    assert kept.nbytes <= devices.peak_memory(device) < 1 << 28


def test_a_full_device_is_out_of_memory() -> None:
    """What torch raises where memory cannot be had says so, and the process can go on."""
    device = devices.prepare("cuda:0", RULES, 1)
    with pytest.raises(RuntimeError) as caught:
        torch.ones(1 << 44, device=device)
    assert devices.out_of_memory(caught.value)
    assert torch.ones(2, device=device).sum().item() == 2

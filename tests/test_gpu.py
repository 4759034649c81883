"""What holds on a CUDA device; skipped where there is none."""

import pytest
import torch
from torch import Tensor, nn

from conftest import TinyData, tiny_images
from fmbench import protocol
from fmbench.training import devices, loop
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

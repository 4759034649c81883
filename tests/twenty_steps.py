"""What tests of levers share: twenty steps of a small model, on any device."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from conftest import TinyData, tiny_images
from fmbench import protocol
from fmbench.protocol import Protocol
from fmbench.training import devices, loop
from fmbench.training.batches import Images
from fmbench.training.levers import Levers

SINGLE = 2.0**-7
"""A learning rate that single precision holds exactly."""


class Drawing(nn.Module):
    """All that draws or keeps state: convolution, batch norm, dropout, a buffer not persistent.

    The convolution has no bias: batch norm takes it away, so its gradient would be rounding alone,
    and AdamW would make steps of it.
    """

    def __init__(self, dropout: float = 0.5) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
            nn.Dropout(dropout), nn.Linear(4 * 13 * 13, 10),
        )  # fmt: skip
        self.register_buffer("scale", torch.full((10,), 0.5), persistent=False)

    def forward(self, batch: Tensor) -> Any:
        """Apply the layers, and scale."""
        return self.layers(batch) * self.scale


def steady(tiny: TinyData, path: Path, optimizer: str, precision: str = "float32") -> Protocol:
    """Twenty steps with all there is: clipping, smoothing, augmentation, decay; a constant rate."""
    changes = (
        ("epochs = 2", "epochs = 1"),
        ('"one-cycle"\nwarmup = 0.3', '"constant"\nlabel_smoothing = 0.1\nclip_norm = 0.5'),
        ("[final]", "[augmentations.all]\nshift = 2\nflip = true\n\n[final]"),
        ("[devices.cpu]", f'[devices.cuda]\nprecision = "{precision}"\n\n[devices.cpu]'),
        (
            'optimizer = "adamw"\nlearning_rate = 0.01',
            f'optimizer = "{optimizer}"\nlearning_rate = {SINGLE}\nweight_decay = 0.1\n'
            'augmentation = "all"',
        ),
    )
    return protocol.load(str(tiny.variant(path, *changes)))


def resident(rules: Protocol, device: str = "cpu", size: int = 28) -> tuple[Images, Tensor]:
    """Tiny images on the device, augmented as the recipe says, and their labels, int64."""
    pixels, labels = tiny_images(320, 1)
    where = torch.device(device)
    images = Images(
        torch.from_numpy(pixels),
        size=size,
        rules=rules.data,
        device=where,
        augmentation=rules.augmentation(rules.recipes[0]),
        memory_format=devices.memory_format(rules.devices[where.type]),  # type: ignore[index]
    )
    return images, torch.from_numpy(labels).long().to(where)


def evaluated(rules: Protocol, device: str = "cpu", seed: int = 2) -> Images:
    """A hundred images to classify, on the device."""
    where = torch.device(device)
    return Images(
        torch.from_numpy(tiny_images(100, seed)[0]),
        size=28,
        rules=rules.data,
        device=where,
        memory_format=devices.memory_format(rules.devices[where.type]),  # type: ignore[index]
    )


def trained(
    rules: Protocol,
    levers: Levers,
    build: Callable[[], nn.Module] = Drawing,
    *,
    seed: int = 1,
    device: str = "cpu",
    size: int = 28,
    **more: Any,
) -> tuple[nn.Module, loop.Trained]:
    """A model trained under a protocol, and what training left beside it."""
    where = torch.device(device)
    on_device = rules.devices[where.type]  # type: ignore[index]
    devices.prepare(device, on_device, 1)
    devices.seed_everything(rules.id, seed, "build")
    model = build()
    devices.place(model, where, on_device)
    outcome = loop.train(
        model, *resident(rules, device, size), protocol=rules, stage=rules.final,
        recipe=rules.recipes[0], seed=seed, report=lambda *_: None, levers=levers, **more,
    )  # fmt: skip
    return model, outcome


def same(first: nn.Module, second: nn.Module) -> bool:
    """Whether two models' states have equal bits."""
    expected = second.state_dict()
    return all(torch.equal(value, expected[name]) for name, value in first.state_dict().items())


def assert_alike(first: nn.Module, second: nn.Module, tolerance: float) -> None:
    """Hold two models' states to one another, relatively and absolutely."""
    expected = second.state_dict()
    for name, value in first.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=tolerance, atol=tolerance)


def check_compiled(rules: Protocol, levers: Levers) -> None:
    """Hold training and evaluation under these levers to the eager ones, on the CPU."""
    model, _ = trained(rules, levers, lambda: Drawing(0.0))
    expected, _ = trained(rules, Levers(), lambda: Drawing(0.0))
    assert model.layers[1].num_batches_tracked == 20
    assert_alike(model, expected, 1e-3)
    logits, eager = (
        loop.predict(expected, evaluated(rules), protocol=rules, device=torch.device("cpu"),
                     levers=one)[0]
        for one in (levers, Levers())
    )  # fmt: skip
    torch.testing.assert_close(logits, eager, rtol=1e-3, atol=1e-3)

"""The gradients of a fixed set of layers on a device, held against other computations of them."""

import copy
import math
import platform
from collections.abc import Callable, Iterator, Mapping

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from fmbench import processes
from fmbench.contract import CLASSES
from fmbench.doctor.findings import Checked, Verdict
from fmbench.protocol import DeviceRules
from fmbench.training import departures, devices, gradients
from fmbench.training.gradients import Wrong

CHANNELS, IMAGES, SIZE = 8, 32, 28
SECONDS = 60.0
"""A guard against a check that hangs."""

TOLERANCE = 1e-3
"""The error of a float32 gradient over its own norm, by float64. Rounding gives up to 1e-4 here."""

SMALL = 0.01
"""Of the norm of the network's largest gradient: what is smaller is held to that much of it."""


class Attention(nn.Module):
    """Self-attention over the positions of a map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(channels, 2, batch_first=True)

    def forward(self, maps: Tensor) -> Tensor:
        """Attend from each position to all others; (b, channels, h, w) stays that."""
        tokens = maps.flatten(2).transpose(1, 2)
        answer: Tensor = self.inner(tokens, tokens, tokens)[0]
        return answer.transpose(1, 2).reshape(maps.shape)


class OfChannels(nn.Module):
    """Layer norm over the channels of each position, and a linear layer on them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.linear = nn.Linear(channels, channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise and mix the channels; (b, channels, h, w) stays that."""
        mixed: Tensor = self.linear(self.norm(maps.permute(0, 2, 3, 1)))
        return mixed.permute(0, 3, 1, 2)


Layer = Callable[[], nn.Module]
LAYERS: dict[str, Layer] = {
    "convolution 3x3": lambda: nn.Conv2d(CHANNELS, 16, 3, padding=1),
    "convolution 3x3, stride 2": lambda: nn.Conv2d(CHANNELS, 16, 3, stride=2, padding=1),
    "convolution 5x5, 3 channels": lambda: nn.Sequential(
        nn.Conv2d(CHANNELS, 3, 1), nn.Conv2d(3, 16, 5, padding=2)
    ),
    "convolution 7x7, stride 7": lambda: nn.Conv2d(CHANNELS, 16, 7, stride=7),
    "convolution 2x2, stride 2": lambda: nn.Conv2d(CHANNELS, 16, 2, stride=2),
    "convolution 1x1": lambda: nn.Conv2d(CHANNELS, 16, 1),
    "convolution 1x1, stride 2": lambda: nn.Conv2d(CHANNELS, 16, 1, stride=2),
    "convolution 1x1, stride 2, 6 channels": lambda: nn.Sequential(
        nn.Conv2d(CHANNELS, 6, 1), nn.Conv2d(6, 16, 1, stride=2)
    ),
    "convolution 1x1, stride 2, 33 channels": lambda: nn.Sequential(
        nn.Conv2d(CHANNELS, 33, 1), nn.Conv2d(33, 16, 1, stride=2)
    ),
    "grouped convolution": lambda: nn.Conv2d(CHANNELS, 16, 3, groups=4),
    "depthwise convolution": lambda: nn.Conv2d(CHANNELS, 16, 5, groups=CHANNELS, padding=2),
    "depthwise convolution, stride 2": lambda: nn.Conv2d(
        CHANNELS, 16, 3, stride=2, groups=CHANNELS
    ),
    "dilated convolution": lambda: nn.Conv2d(CHANNELS, 16, 3, dilation=2),
    "transposed convolution": lambda: nn.ConvTranspose2d(CHANNELS, 16, 3, stride=2),
    "batch norm": lambda: nn.Sequential(
        nn.Conv2d(CHANNELS, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 1)
    ),
    "layer norm and linear": lambda: OfChannels(CHANNELS),
    "group norm": lambda: nn.Sequential(nn.GroupNorm(4, CHANNELS), nn.GELU()),
    "attention": lambda: Attention(CHANNELS),
    "max pooling": lambda: nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.Conv2d(CHANNELS, 16, 1)),
    "average pooling": lambda: nn.Sequential(nn.AvgPool2d(3, 2), nn.Conv2d(CHANNELS, 16, 1)),
    "linear": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(CHANNELS * 14 * 14, 16), nn.ReLU(), nn.Unflatten(1, (16, 1, 1))
    ),
}
"""Each maps (b, 8, 14, 14) to maps of 8 or 16 channels."""


def check(
    device: torch.device,
    rules: Mapping[str, DeviceRules],
    layers: Mapping[str, Layer] = LAYERS,
) -> Iterator[Checked]:
    """Check layers in each of some rules, by precision.

    Contiguous float32 is held against float64 on the CPU, which other kernels compute. What
    protocols ask for is then held against contiguous float32, as before any model's first run.
    """
    for name, make in layers.items():
        network = make_network(name, make)
        images, labels = _batch(device)
        if found := wrong_in_float32(network, images, labels, device):
            for precision in rules:
                yield Checked(layer=name, precision=precision, verdict="wrong", says=found)
            continue
        for precision, asked in rules.items():
            devices.place(network, device, asked)
            verdict, says = _examined(network, images, labels, asked)
            yield Checked(layer=name, precision=precision, verdict=verdict, says=says)


def make_network(name: str, layer: Layer) -> nn.Module:
    """A layer on maps of 14 x 14 with 8 channels, between a stem and a head."""
    devices.seed_everything("doctor", 0, name)
    body = nn.Sequential(nn.Conv2d(1, CHANNELS, 3, stride=2, padding=1), nn.ReLU(), layer())
    with torch.no_grad():
        channels = body(torch.zeros(2, 1, SIZE, SIZE)).shape[1]
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES))
    return nn.Sequential(*body, *head)


def wrong_in_float32(
    network: nn.Module, images: Tensor, labels: Tensor, device: torch.device
) -> str:
    """The gradient that contiguous float32 has wrong, by float64 on the CPU; empty for none."""
    plain = DeviceRules(precision="float32", channels_last=False)
    found = _gradients(network, images.to(device), labels.to(device), plain)
    network.double()
    right = _gradients(network, images.cpu().double(), labels.cpu(), plain)
    network.float()
    largest = max(float(value.norm()) for value in right.values())
    errors = {}
    for name, value in right.items():
        error = float((found[name] - value).norm()) / max(float(value.norm()), SMALL * largest)
        errors[name] = error if math.isfinite(error) else math.inf
    name, error = max(errors.items(), key=lambda one: one[1])
    return "" if error <= TOLERANCE else str(Wrong(f"the gradient of {name}", error, False))


def _gradients(
    network: nn.Module, images: Tensor, labels: Tensor, rules: DeviceRules
) -> dict[str, Tensor]:
    """Each parameter's gradient in training mode, as float64 on the CPU; they are not kept."""
    devices.place(network, images.device, rules)
    network.train()
    functional.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
    found = {}
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            found[name] = parameter.grad.double().cpu()
            parameter.grad = None
    return found


def _examined(
    network: nn.Module, images: Tensor, labels: Tensor, rules: DeviceRules
) -> tuple[Verdict, str]:
    """What comes of the check that precedes a model's first run; in a fork where that can be.

    A wrong kernel may end the process, or write where it should not.
    """
    _, known = departures.avoid_known_faults(network, rules)
    if known:
        return "avoided", known

    def work() -> bytes:
        torch.set_num_threads(1)  # those of the parent are not there
        return msgspec.json.encode(gradients.examine(network, images, labels, rules=rules))

    if images.device.type == "cpu" and platform.system() == "Linux":
        answer, status = processes.in_a_copy(work, SECONDS)
        if status:
            return "wrong", f"one batch ends with {processes.how_it_ended(status)}"
        if status is None:
            return "wrong", "one batch does not end"
        found = msgspec.json.decode(answer, type=Wrong | None)
    else:
        found = gradients.examine(copy.deepcopy(network), images, labels, rules=rules)
    if found is None:
        return "right", ""
    return "wrong", f"{found}{', channels last alone' if found.format_only else ''}"


def _batch(device: torch.device) -> tuple[Tensor, Tensor]:
    """Images, float32 (b, 1, 28, 28), and labels, int64 (b,), on a device."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(IMAGES, 1, SIZE, SIZE, generator=generator)
    return images.to(device), (torch.arange(IMAGES) % CLASSES).to(device)


def rules_by_precision(rules: DeviceRules) -> dict[str, DeviceRules]:
    """Rules like these in each precision that protocols name."""
    return {
        "float32": msgspec.structs.replace(rules, precision="float32"),
        "bfloat16": msgspec.structs.replace(rules, precision="bfloat16"),
    }

"""Gradients held against contiguous float32: what is wrong is seen, what is merely rounded is not.

Under ONEDNN_MAX_CPU_ISA=AVX2, as `tox` runs this file a second time, torch 2.14 has a layer that is
wrong; elsewhere wrong layers are made to order.
"""

import copy
import os
import signal
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fmbench import processes
from fmbench.protocol import DeviceRules
from fmbench.training import departures, devices, gradients
from wrong_models import Scale

FLOAT32 = DeviceRules(precision="float32")
BFLOAT16 = DeviceRules(precision="bfloat16")
CPU = torch.device("cpu")


class Amplified(torch.autograd.Function):
    """Nothing; but in bfloat16 the gradient comes back a thousand times too large."""

    @staticmethod
    def forward(_: Any, batch: Tensor) -> Tensor:
        """Leave it as it is."""
        return batch.clone()

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        """Right in other precisions."""
        return gradient * 1000 if gradient.dtype == torch.bfloat16 else gradient


class WrongInBfloat16(nn.Module):
    """A linear layer whose weight has a wrong gradient in bfloat16, in any memory format."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(784, 10)

    def forward(self, batch: Tensor) -> Tensor:
        """Apply the layer."""
        return Amplified.apply(self.layer(batch.flatten(1)))


def network(*middle: nn.Module, channels: int = 8, last: int | None = None) -> nn.Module:
    """Layers on maps of 14 x 14 with so many channels, between a stem and a head."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, stride=2, padding=1),
        nn.ReLU(),
        *middle,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(last or channels, 10),
    )


def batch(size: int = 28, count: int = 32) -> tuple[Tensor, Tensor]:
    """Images and labels."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 1, size, size, generator=generator), torch.arange(count) % 10


def examined(one: nn.Module, rules: DeviceRules = FLOAT32) -> gradients.Wrong | None:
    """What the check finds, in this process."""
    return gradients.examine(copy.deepcopy(one), *batch(), rules=rules)


def layers() -> dict[str, nn.Module]:
    """Layers of all kinds that image models are made of."""
    torch.manual_seed(0)
    strided = {
        f"1x1 of {count} channels, stride 2": nn.Sequential(
            nn.Conv2d(8, count, 1), nn.Conv2d(count, 16, 1, stride=2)
        )
        for count in (*range(1, 11), 15, 16, 17, 33, 40)
    }
    return strided | {
        "grouped": nn.Conv2d(8, 16, 3, groups=4),
        "grouped, strided 1x1": nn.Conv2d(8, 16, 1, groups=2, stride=2),
        "dilated": nn.Conv2d(8, 16, 3, dilation=2),
        "depthwise": nn.Conv2d(8, 16, 5, groups=8, padding=2),
        "depthwise, strided": nn.Conv2d(8, 16, 3, groups=8, stride=2),
        "transposed": nn.ConvTranspose2d(8, 16, 3, stride=2),
        "transposed, grouped": nn.ConvTranspose2d(8, 16, 4, stride=2, groups=2),
        "patches": nn.Conv2d(8, 16, 7, stride=7),
        "even kernel": nn.Conv2d(8, 16, 2, stride=2),
        "tall": nn.Conv2d(8, 16, (7, 1), padding=(3, 0)),
        "max pool": nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.Conv2d(8, 16, 1)),
        "average pool": nn.Sequential(nn.AvgPool2d(3, 2), nn.Conv2d(8, 16, 1)),
        "batch norm": nn.Sequential(nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.ReLU()),
        "group norm": nn.Sequential(nn.Conv2d(8, 16, 3), nn.GroupNorm(4, 16), nn.GELU()),
        "instance norm": nn.Sequential(nn.Conv2d(8, 16, 3), nn.InstanceNorm2d(16, affine=True)),
        "layer norm": nn.Sequential(nn.Conv2d(8, 16, 3), nn.LayerNorm([16, 12, 12])),
        "local response": nn.Sequential(nn.Conv2d(8, 16, 3), nn.LocalResponseNorm(3)),
        "attention": nn.Sequential(Attention(8), nn.Conv2d(8, 16, 1)),
        "upsampled": nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(8, 16, 3)),
        "shuffled": nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(32, 16, 1)),
    }


class Attention(nn.Module):
    """Self-attention over the positions of a map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(channels, 2, batch_first=True)

    def forward(self, maps: Tensor) -> Tensor:
        """Attend from each position to all others."""
        tokens = maps.flatten(2).transpose(1, 2)
        answer, _ = self.inner(tokens, tokens, tokens)
        return answer.transpose(1, 2).unflatten(2, maps.shape[2:])


def wrong_in_float64(one: nn.Module, rules: DeviceRules) -> bool:
    """Whether a network's gradients differ from those of float64, by another computation."""
    found, right = ({}, {})
    for into, precise in ((found, False), (right, True)):
        ours = copy.deepcopy(one).train()
        images, labels = batch()
        if precise:
            ours, images = ours.double(), images.double()
        else:
            devices.place(ours, CPU, rules)
            images = images.contiguous(memory_format=devices.memory_format(rules))
        functional.cross_entropy(ours(images), labels).backward()
        into |= {name: value.grad.double() for name, value in ours.named_parameters()}
    largest = max(float(value.norm()) for value in right.values())
    return any(not float((found[name] - right[name]).norm()) <= 1e-3 * largest for name in right)


@pytest.mark.parametrize("name", sorted(layers()))
def test_what_is_settled_on_is_right(name: str) -> None:
    """Each kind of layer is trained with gradients that float64 confirms, whatever the device.

    In a fork: a wrong kernel may end the process by writing where it should not.
    """
    one = network(layers()[name], last=16)
    rules, departure = departures.settle(one, batch, FLOAT32)
    assert rules.channels_last == (not departure)

    def compare() -> bytes:
        torch.set_num_threads(1)
        return b"wrong" if wrong_in_float64(one, rules) else b"right"

    assert processes.in_a_copy(compare, 300) == (b"right", 0)


@pytest.mark.parametrize(
    ("layer", "is_wrong"),
    [
        (nn.Conv2d(6, 64, 1, stride=2), True),
        (nn.Conv2d(2, 8, 1, stride=(1, 3)), True),
        (nn.Conv2d(1, 8, 1, stride=2), True),
        (nn.Conv2d(8, 8, 1, stride=2), False),
        (nn.Conv2d(6, 8, 1), False),
        (nn.Conv2d(6, 8, 3, stride=2), False),
        (nn.Conv2d(6, 6, 1, stride=2, groups=2), False),
    ],
)
def test_the_layer_that_onednn_has_wrong_is_known(
    layer: nn.Conv2d, is_wrong: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under AVX2 a strided 1x1 convolution of under 8 channels trains contiguous."""
    monkeypatch.setattr(departures, "_onednn_uses_avx2", lambda: True)
    monkeypatch.setattr(departures, "_found", lambda *_: None)
    one = nn.Sequential(nn.Conv2d(1, layer.in_channels, 3), layer)
    rules, departure = departures.settle(one, batch, FLOAT32)
    assert rules.channels_last != is_wrong
    assert ("the gradients of 1 are wrong" in departure) == is_wrong
    monkeypatch.setattr(departures, "_onednn_uses_avx2", lambda: False)
    assert departures.settle(one, batch, FLOAT32) == (FLOAT32, "")


@pytest.mark.parametrize(
    ("extensions", "limit", "uses"),
    [
        ("avx2", "", True),
        ("avx2 avx512f", "", False),
        ("avx2 avx512f", "AVX2", True),
        ("avx2 avx512f", "avx512_core", False),
        ("avx2", "SSE41", False),
        ("asimd", "", False),
        ("", "", False),
    ],
)
def test_the_kernels_of_other_instructions_are_not_blamed(
    extensions: str, limit: str, uses: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither ARM, nor AVX-512, nor a CPU limited to older instructions has the wrong kernel."""
    monkeypatch.setattr(departures.hardware, "cpu_facts", lambda: {"extensions": extensions})
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert departures._onednn_uses_avx2() == uses


@pytest.mark.parametrize("rules", [FLOAT32, BFLOAT16], ids=["float32", "bfloat16"])
def test_a_wrong_gradient_of_one_memory_format_is_named(rules: DeviceRules) -> None:
    """The layer is named, and contiguous memory is what helps."""
    wrong = examined(network(Scale(8)), rules)
    assert wrong
    assert wrong.format_only
    assert wrong.what == "the weight gradient of 2"
    assert wrong.error == pytest.approx(99, rel=0.3)
    assert "the weight gradient of 2 is off by" in str(wrong)
    settled, departure = departures.settle(network(Scale(8)), batch, rules)
    assert settled == msgspec.structs.replace(rules, channels_last=False)
    assert departure.startswith("contiguous memory: channels last, the weight gradient of 2")


def test_a_gradient_that_is_not_finite_is_wrong() -> None:
    """NaN where the reference is finite is no rounding."""
    wrong = examined(network(Scale(8, float("nan"))))
    assert wrong
    assert str(wrong) == "the weight gradient of 2 is not finite"


def test_what_no_memory_format_mends_fails() -> None:
    """A gradient that is wrong in the protocol's precision, contiguous too, raises and is named."""
    one = WrongInBfloat16()
    with pytest.raises(departures.WrongGradientError, match=r"gradient of layer\b"):
        departures.settle(one, batch, BFLOAT16)
    assert departures.settle(WrongInBfloat16(), batch, FLOAT32) == (FLOAT32, "")


class Noisy(nn.Module):
    """Draws of every kind, in maps whose memory format decides in which order they are filled."""

    def forward(self, maps: Tensor) -> Tensor:
        """Drop elements, channels and whole images; add noise; slope at random."""
        maps = functional.dropout2d(functional.dropout(maps, 0.5, self.training), 0.3)
        maps = functional.rrelu(maps, 0.1, 0.9, training=self.training)
        kept = torch.empty(len(maps), 1, 1, 1, device=maps.device).bernoulli_(0.8)
        return maps * kept + 0.1 * torch.randn_like(maps) + 0.1 * torch.rand_like(maps)


@pytest.mark.parametrize("rules", [FLOAT32, BFLOAT16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize(
    "middle",
    [
        lambda: [Noisy()],
        lambda: [nn.Conv2d(8, 8, 3, padding=1, bias=True), nn.BatchNorm2d(8), nn.ReLU()] * 2,
        lambda: [nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), Noisy(), nn.Conv2d(8, 8, 3), nn.Tanh()],
        lambda: [layer for _ in range(20) for layer in (nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())],
        lambda: [nn.Conv2d(8, 8, 14), nn.BatchNorm2d(8)],
    ],
    ids=["draws", "bias-before-norm", "draws-and-norms", "deep", "norm-of-single-pixels"],
)
def test_draws_and_rounding_are_no_faults(
    middle: Callable[[], list[nn.Module]], rules: DeviceRules
) -> None:
    """Neither random masks, nor gradients that are but rounding, nor depth give an alarm."""
    assert examined(network(*middle()), rules) is None


def test_every_pass_draws_the_same() -> None:
    """Masks are equal element by element in both memory formats and precisions."""
    draws = gradients._SameDraws()
    ones = torch.ones(4, 8, 5, 5)
    seen = []
    for given in (ones, ones.contiguous(memory_format=torch.channels_last), ones.bfloat16()):
        with draws.from_the_first():
            dropped = functional.dropout(given, 0.5)
            channels = functional.dropout2d(given, 0.5)
            native, mask = torch.ops.aten.native_dropout(given, 0.5, True)
            sloped = functional.rrelu(-given, 0.25, 0.75, training=True)
        assert torch.equal(native, mask * 2)
        seen.append([one.float() for one in (dropped, channels, native, sloped)])
    for others in seen[1:]:
        for one, other in zip(seen[0], others, strict=True):
            assert torch.allclose(one, other, atol=0.01)


def test_the_check_leaves_everything_as_it_was() -> None:
    """Weights, buffers, mode, attributes and random streams are those of before."""

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network(nn.BatchNorm2d(8), nn.Dropout(0.5))
            self.calls = 0

        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            return self.inner(images)

    one = Counting()
    devices.seed_everything("test", 1, "build")
    before = copy.deepcopy(one.state_dict()), torch.get_rng_state(), one.training
    assert departures.settle(one, batch, FLOAT32) == (FLOAT32, "")
    assert one.calls == 0
    assert torch.equal(torch.get_rng_state(), before[1])
    assert one.training == before[2]
    assert all(parameter.grad is None for parameter in one.parameters())
    for name, value in one.state_dict().items():
        assert torch.equal(value, before[0][name])


def raising(_: Tensor) -> Tensor:
    """Raise in the forward pass."""
    raise RuntimeError("on purpose")


def dying(_: Tensor) -> Tensor:
    """End the process by a signal."""
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def leaving(_: Tensor) -> Tensor:
    """End the process as if all were well."""
    os._exit(0)


@pytest.mark.parametrize("does", [raising, dying, leaving])
def test_what_a_model_does_in_the_check_is_left_to_training(
    does: Callable[[Tensor], Tensor],
) -> None:
    """A model that raises, or ends its process in any format, is not the check's finding."""

    class Doing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, images: Tensor) -> Tensor:
            return does(self.inner(images))

    assert departures.settle(Doing(), batch, FLOAT32) == (FLOAT32, "")


def test_a_crash_of_one_memory_format_is_avoided() -> None:
    """Where channels last alone ends the process, the run is made contiguous, and says why."""

    class Fragile(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network(nn.Conv2d(8, 8, 3))

        def forward(self, images: Tensor) -> Tensor:
            if not self.inner[2].weight.is_contiguous():
                os.kill(os.getpid(), signal.SIGKILL)
            return self.inner(images)

    rules, departure = departures.settle(Fragile(), batch, FLOAT32)
    assert not rules.channels_last
    assert departure.endswith("one batch ends with signal SIGKILL")


def test_a_check_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that does not end is killed, and training goes on as the protocol says."""

    class Hanging(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, _: Tensor) -> Tensor:
            while True:
                signal.pause()

    monkeypatch.setattr(departures, "SECONDS", 0.2)
    assert departures.settle(Hanging(), batch, FLOAT32) == (FLOAT32, "")


def test_the_copy_is_checked_where_there_is_no_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off Linux the same is found, of a copy; one that cannot be copied is not checked."""
    monkeypatch.setattr(departures.platform, "system", lambda: "Darwin")
    one = network(Scale(8))
    rules, departure = departures.settle(one, batch, FLOAT32)
    assert not rules.channels_last
    assert "weight gradient of 2" in departure
    one.kept = next(one.parameters()) * 2  # torch copies no tensor with a history
    assert departures.settle(one, batch, FLOAT32) == (FLOAT32, "")


def test_a_protocol_of_contiguous_float32_needs_no_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is nothing to hold it against."""
    monkeypatch.setattr(departures, "_found", lambda *_: pytest.fail("checked"))
    rules = msgspec.structs.replace(FLOAT32, channels_last=False)
    assert departures.settle(network(), batch, rules) == (rules, "")

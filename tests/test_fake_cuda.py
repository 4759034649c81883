"""The CUDA path on fake tensors: they have shapes, dtypes and devices, but no values.

A tensor that lies on another device than the rest fails there as on a GPU, and so does every read
of a value. What cannot be had so is a backward pass: torch asks the driver for one.
"""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import DataDependentOutputException

from conftest import tiny_images
from fmbench import discovery, protocol
from fmbench.contract import CLASSES
from fmbench.discovery import ListedModel
from fmbench.discovery.child import load_model, unchanged
from fmbench.protocol import Augmentation
from fmbench.training import cost, devices, loop, reading
from fmbench.training.batches import Images
from fmbench.training.builder import Builder

pytestmark = pytest.mark.skipif(
    not torch.backends.cuda.is_built(), reason="this torch is built without CUDA"
)
CUDA = torch.device("cuda:0")
STANDARD = protocol.load("standard-v1")
RULES = STANDARD.devices["cuda"]
RECIPE = next(
    one for one in STANDARD.recipes if one.optimizer == "adamw" and one.augmentation != "none"
)
"""Fused SGD cannot be done on fake tensors."""
STEPS = 2
OWN = ("fmbench-softmax", "fmbench-timm", "fmbench-vgg")


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTensorMode]:
    """A CUDA device of fake tensors; networks are built before, on the CPU."""
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(devices, "synchronize", lambda _: None)
    monkeypatch.setattr(reading, "reader", lambda _: None)
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    yield FakeTensorMode(allow_non_fake_inputs=True)
    torch.__future__.set_overwrite_module_params_on_conversion(before)


def train(
    mode: FakeTensorMode, network: nn.Module, size: int, monkeypatch: pytest.MonkeyPatch
) -> list[torch.dtype]:
    """Do an epoch as `standard-v1` does on CUDA, without gradients; the dtypes of its logits.

    It ends where the loop reads the epoch's loss.
    """
    dtypes: list[torch.dtype] = []
    network.register_forward_hook(lambda _, __, logits: dtypes.append(logits.dtype))

    def backward(loss: Tensor) -> None:
        assert loss.device == CUDA
        assert loss.shape == ()
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)

    monkeypatch.setattr(Tensor, "backward", backward)
    batch_size = STANDARD.training.batch_size
    pixels, labels = (torch.from_numpy(one) for one in tiny_images(STEPS * batch_size, 1))
    with mode:
        devices.place(network, CUDA, RULES)
        images = Images(
            pixels, size=size, rules=STANDARD.data, device=CUDA,
            augmentation=STANDARD.augmentation(RECIPE),
            memory_format=devices.memory_format(RULES),
        )  # fmt: skip
        with pytest.raises(DataDependentOutputException, match="_local_scalar_dense"):
            loop.train(
                network, images, labels.to(CUDA, torch.int64), protocol=STANDARD,
                stage=STANDARD.final, recipe=RECIPE, seed=1, report=lambda *_: None,
            )  # fmt: skip
        logits, _ = loop.predict(network, images, protocol=STANDARD, device=CUDA)
        assert logits.device.type == "cpu"
        assert logits.shape == (STEPS * batch_size, CLASSES)
        assert logits.dtype == torch.float32
    return dtypes


def built(model: ListedModel) -> nn.Module:
    """A listed model's network."""
    return Builder(load_model(unchanged(model.plugin), model.name)).build()


LISTED = {
    model.name: model for model in discovery.catalogue().models if model.plugin.distribution in OWN
}


def test_nine_models_are_listed() -> None:
    """All of this project's own models are there to be tried."""
    assert len(LISTED) == 9


@pytest.mark.parametrize("name", LISTED)
def test_a_listed_model_trains_and_answers_on_one_device(
    name: str, fake_cuda: FakeTensorMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Augmentation, forward pass, loss, clipping, step and evaluation read nothing, mix nothing."""
    model = LISTED[name]
    network = built(model)
    dtypes = train(fake_cuda, network, model.size, monkeypatch)
    assert dtypes == [torch.bfloat16] * (STEPS + 1)  # one batch is evaluated
    for tensor in (*network.parameters(), *network.buffers()):
        assert tensor.device == CUDA
        assert tensor.dim() != 4 or tensor.is_contiguous(memory_format=torch.channels_last)
    with fake_cuda:
        image = torch.zeros(1, 1, model.size, model.size, device=CUDA)
        on_cuda = cost.forward_flops(network, image)
    assert on_cuda == cost.forward_flops(built(model), torch.zeros(1, 1, model.size, model.size))


class Mixed(nn.Module):
    """A linear classifier that does something to its logits, given a tensor it has kept."""

    def __init__(self, act: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = nn.Linear(28 * 28, CLASSES)
        self.act = act
        self.kept = torch.ones(CLASSES)

    def forward(self, batch: Tensor) -> Tensor:
        """Classify."""
        return self.act(self.layer(batch.flatten(1)), self.kept)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda logits, kept: logits * kept, "cuda:0.+cpu"),
        (lambda logits, _: logits + torch.arange(10), "cuda:0.+cpu"),
        (lambda logits, _: logits[:, torch.ones(10).cuda() > 0], "nonzero"),
        (lambda logits, _: logits if logits.sum() > 0 else -logits, "_local_scalar_dense"),
        (lambda logits, kept: kept.expand(len(logits), 10) * 1, "device"),
    ],
    ids=["kept tensor", "new tensor", "mask", "branch", "answer elsewhere"],
)
def test_a_mixture_fails(
    act: Callable[[Tensor, Tensor], Tensor],
    said: str,
    fake_cuda: FakeTensorMode,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A tensor left on the CPU is an error, and so is a value that is read."""
    network = Mixed(act)
    with pytest.raises(Exception, match=said):
        train(fake_cuda, network, 28, monkeypatch)


@pytest.mark.parametrize("size", [28, 40, 64])
@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("flip", [False, True])
def test_batches_are_made_on_the_device(
    size: int, shift: int, flip: bool, fake_cuda: FakeTensorMode
) -> None:
    """Gathered, shifted, flipped, padded or resized: all of it where the pixels are."""
    with fake_cuda:
        images = Images(
            torch.from_numpy(tiny_images(40, 1)[0]), size=size, rules=STANDARD.data, device=CUDA,
            augmentation=Augmentation(shift=shift, flip=flip),
            memory_format=torch.channels_last,
        )  # fmt: skip
        batch = images.batch(torch.randperm(40, device=CUDA)[:16])
    assert batch.device == CUDA
    assert batch.dtype == torch.float32
    assert batch.shape == (16, 1, size, size)
    assert batch.is_contiguous(memory_format=torch.channels_last)

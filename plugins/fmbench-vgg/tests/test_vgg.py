"""What fmbench-vgg promises."""

import copy
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import fmbench_vgg
import pytest
import torch
import torchvision  # type: ignore[import-untyped]
from fmbench_vgg.network import VGG11, linear_on_copies
from torch import Tensor, nn
from torch.nn import functional as F

import fmbench

PARAMETERS = {"vgg11": 128_806_154, "vgg11-bn": 128_811_658}
IMAGENET_PARAMETERS = {False: 132_863_336, True: 132_868_840}


@dataclass
class Pair:
    """Our network and torchvision's, both built from seed 0 for ImageNet."""

    batch_norm: bool
    ours: VGG11
    theirs: nn.Module


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "batch-norm"])
def pair(request: pytest.FixtureRequest) -> Pair:
    """Build both networks once for the tests that only look at them."""
    torch.manual_seed(0)
    ours = VGG11(3, 1000, request.param)
    torch.manual_seed(0)
    build = torchvision.models.vgg11_bn if request.param else torchvision.models.vgg11
    return Pair(request.param, ours.eval(), build(weights=None).eval())


def narrow_vgg() -> VGG11:
    """Return a VGG-11 in float64 whose linear layers are 64 wide, without dropout."""
    with torch.device("meta"):
        model = VGG11(1, 10, batch_norm=False)
        model.classifier[0] = nn.Linear(512 * 7 * 7, 64)
        model.classifier[3] = nn.Linear(64, 64)
        model.classifier[6] = nn.Linear(64, 10)
    model = model.double().to_empty(device="cpu")
    torch.manual_seed(0)
    model.reset_parameters()
    for layer in model.classifier:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)  # a std of 0.01 is too weak in a narrow layer
        elif isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return model


def plain_forward(model: nn.Module, images: Tensor) -> Tensor:
    """Return what torchvision's forward makes of our modules."""
    features = model.avgpool(model.features(images))  # type: ignore[operator]
    return model.classifier(torch.flatten(features, 1))  # type: ignore[no-any-return,operator]


def test_offers_both_variants_at_32_pixels() -> None:
    """The plugin offers `vgg11` and `vgg11-bn`, each at 32 pixels with a one-line summary."""
    models = fmbench_vgg.fmbench_models()
    assert [(model.name, model.size) for model in models] == [("vgg11", 32), ("vgg11-bn", 32)]
    for model in models:
        assert f"{PARAMETERS[model.name]:,}" in model.summary and "\n" not in model.summary


def test_listing_imports_no_torch() -> None:
    """Listing the plugin's models leaves torch unimported."""
    code = "import sys, fmbench_vgg; fmbench_vgg.fmbench_models(); sys.exit('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.parametrize("index", [0, 1], ids=list(PARAMETERS))
def test_models_train_as_offered(index: int) -> None:
    """An offered model has the stated size, gives (batch, 10), and every parameter a gradient."""
    offered = fmbench_vgg.fmbench_models()[index]
    torch.manual_seed(0)
    model = offered.build(fmbench.InputSpec(offered.size))
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == PARAMETERS[offered.name]
    logits = model(torch.rand(4, 1, 32, 32))
    assert logits.shape == (4, 10)
    F.cross_entropy(logits, torch.arange(4)).backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.ndim == 1 or parameter.grad.any(), name


def test_too_small_an_image_is_refused() -> None:
    """An input below 32 pixels is refused with the reason, before anything is built."""
    offered = fmbench_vgg.fmbench_models()[0]
    with pytest.raises(ValueError, match="halves its input five times, so 28 pixels are too few"):
        offered.build(fmbench.InputSpec(28))


def test_draws_the_parameters_torchvision_draws(pair: Pair) -> None:
    """From one seed our network and torchvision's have the same tree, buffers and parameters."""
    assert [name for name, _ in pair.ours.named_modules()] == [
        name for name, _ in pair.theirs.named_modules()
    ]
    ours, theirs = pair.ours.state_dict(), pair.theirs.state_dict()
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name
    count = sum(parameter.numel() for parameter in pair.ours.parameters())
    assert count == IMAGENET_PARAMETERS[pair.batch_norm]


def test_another_seed_draws_other_parameters() -> None:
    """The parameters come from torch's global generator."""
    model = narrow_vgg()
    weight = model.get_parameter("features.0.weight")
    draws = []
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        model.reset_parameters()
        draws.append(weight.detach().clone())
    assert torch.equal(draws[0], draws[2]) and not torch.equal(draws[0], draws[1])


@pytest.mark.parametrize("size", [224, 64, 32])
def test_computes_what_torchvision_computes(pair: Pair, size: int) -> None:
    """With torchvision's state dict loaded strictly, the logits are torchvision's."""
    torch.manual_seed(1)
    for module in pair.theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    pair.ours.load_state_dict(pair.theirs.state_dict(), strict=True)
    images = torch.randn(1, 3, size, size)
    with torch.no_grad():
        expected = pair.theirs(images)
        torch.testing.assert_close(pair.ours(images), expected, rtol=1e-4, atol=1e-6)
    assert expected.std() > 1e-3  # or any two silent networks would agree


@pytest.mark.parametrize(("size", "pooled"), [(32, False), (63, False), (64, True)])
def test_takes_the_short_way_only_from_one_pixel(size: int, pooled: bool) -> None:
    """The pooling is left out exactly when the feature map is a single pixel."""
    model = narrow_vgg()
    calls: list[None] = []
    model.avgpool.register_forward_hook(lambda *_: calls.append(None))
    model(torch.rand(1, 1, size, size, dtype=torch.float64))
    assert bool(calls) == pooled


def test_linear_on_copies_is_the_layer_on_copies() -> None:
    """In float64 the rewritten layer and its gradients are the plain ones, at the real width."""
    torch.manual_seed(0)
    pixel = torch.rand(2, 512, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(256, 512 * 49, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(256, dtype=torch.float64, requires_grad=True)
    copies = F.adaptive_avg_pool2d(pixel[:, :, None, None], 7).flatten(1)
    plain, short = F.linear(copies, weight, bias), linear_on_copies(pixel, weight, bias)
    torch.testing.assert_close(short, plain, rtol=1e-12, atol=1e-12)
    cotangent, inputs = torch.randn(2, 256, dtype=torch.float64), (pixel, weight, bias)
    for ours, theirs in zip(
        torch.autograd.grad(short, inputs, cotangent),
        torch.autograd.grad(plain, inputs, cotangent),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_gradients_are_the_same_either_way() -> None:
    """In float64, every gradient of the whole network is the plain forward's."""
    model = narrow_vgg()
    images, labels = torch.rand(2, 1, 32, 32, dtype=torch.float64), torch.tensor([3, 7])
    parameters = dict(model.named_parameters())
    short, plain = (
        torch.autograd.grad(F.cross_entropy(logits, labels), list(parameters.values()))
        for logits in (model(images), plain_forward(model, images))
    )
    for name, ours, theirs in zip(parameters, short, plain, strict=True):
        assert theirs.any(), name
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12, msg=name)


def test_training_is_the_same_either_way() -> None:
    """In float64, 20 steps of SGD end in the weights that the plain forward ends in."""
    short = narrow_vgg()
    short.features[:18].requires_grad_(False)  # the last convolution and all after it, for speed
    plain = copy.deepcopy(short)
    images, labels = torch.rand(2, 1, 32, 32, dtype=torch.float64), torch.tensor([3, 7])
    losses: list[tuple[float, float]] = []
    optimisers = [
        torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, nesterov=True)
        for model in (short, plain)
    ]
    for _ in range(20):
        ours = F.cross_entropy(short(images), labels)
        theirs = F.cross_entropy(plain_forward(plain, images), labels)
        for loss, optimiser in zip((ours, theirs), optimisers, strict=True):
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        losses.append((ours.item(), theirs.item()))
    assert losses[-1][0] < losses[0][0] - 0.1  # it did train
    for loss_short, loss_plain in losses:
        assert loss_short == pytest.approx(loss_plain, rel=1e-9)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(short.state_dict()[name], value, rtol=1e-9, atol=1e-12)


def test_the_readme_states_what_is_offered() -> None:
    """The README's table is the offered models with the parameter counts tested here."""
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    rows = [line for line in readme.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{name}` | 1×32×32 | {count:,} |" for name, count in PARAMETERS.items()]

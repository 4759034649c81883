"""What fmbench-timm promises."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import fmbench_timm
import pytest
import timm
import torch
from torch.nn import functional as F

import fmbench

PARAMETERS = {
    "timm/resnet18": 11_175_370,
    "timm/mobilenetv3_small_100": 1_527_818,
    "timm/convnext_atto": 3_376_450,
    "timm/regnety_002": 2_797_110,
    "timm/edgenext_xx_small": 1_159_138,
    "timm/vit_tiny_patch16_224": 5_391_178,
}
SPEC = fmbench.InputSpec(32)


def built(name: str, spec: fmbench.InputSpec = SPEC) -> torch.nn.Module:
    """Return the model called `name` from seed 0."""
    torch.manual_seed(0)
    return fmbench_timm.resolve(name).build(spec)


def test_offers_one_family_with_six_members_listed() -> None:
    """The plugin offers the family `timm/`, six of its members listed."""
    (family,) = fmbench_timm.fmbench_models()
    assert family.prefix == "timm/"
    assert list(family.listed) == list(PARAMETERS)


def test_listing_imports_neither_timm_nor_torch() -> None:
    """Listing and resolving whatever was measured leave timm and torch unimported."""
    code = (
        "import sys, fmbench_timm; (family,) = fmbench_timm.fmbench_models(); "
        "[family.resolve(name) for name in (*family.listed, *fmbench_timm.members()) "
        "if 'csatv2' not in name]; "
        "family.resolve('timm/resnet18@64'); "
        "sys.exit(bool({'timm', 'torch'} & sys.modules.keys()))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.parametrize("name", PARAMETERS)
def test_listed_models_are_what_they_say(name: str) -> None:
    """A listed model keeps its name, and its one-line summary states its parameter count."""
    model = fmbench_timm.resolve(name)
    assert (model.name, model.size) == (name, 32)
    assert f"{PARAMETERS[name]:,} parameters" in model.summary and "\n" not in model.summary
    count = sum(parameter.numel() for parameter in built(name).parameters())
    assert count == PARAMETERS[name]


@pytest.mark.parametrize("name", PARAMETERS)
def test_listed_models_train_at_32_pixels(name: str) -> None:
    """A listed model gives logits (batch, 10), and in three steps reaches all parameters."""
    model, images = built(name), torch.rand(4, 1, 32, 32)
    reached: set[str] = set()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):  # one is too few: timm begins with residual branches multiplied by zero
        logits = model(images)
        assert logits.shape == (4, 10)
        optimiser.zero_grad()
        F.cross_entropy(logits, torch.arange(4)).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        gradients = {key: value.grad for key, value in model.named_parameters()}
        reached |= {key for key, value in gradients.items() if value is not None and value.any()}
    assert gradients.keys() == reached


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_seed_decides_the_parameters(name: str) -> None:
    """One torch seed gives one set of parameters, the set that timm itself draws from it."""
    fixed: dict[str, Any] = {"img_size": 32} if "vit" in name else {}
    ours = built(name).state_dict()
    torch.manual_seed(0)
    theirs = timm.create_model(name.removeprefix("timm/"), in_chans=1, num_classes=10, **fixed)
    for parameter_name, value in theirs.state_dict().items():
        assert torch.equal(ours[parameter_name], value), parameter_name
    other = fmbench_timm.resolve(name).build(SPEC).state_dict()
    assert any(not torch.equal(ours[key], other[key]) for key in ours)


@pytest.mark.parametrize(
    "architecture",
    ["efficientnet_b0", "swin_tiny_patch4_window7_224", "mixer_s16_224", "maxvit_tiny_tf_224"],
)
def test_other_architectures_are_built_for_the_image(architecture: str) -> None:
    """An unlisted architecture fits the spec, whether or not timm fixes its input size."""
    model = built(f"timm/{architecture}", fmbench.InputSpec(64, channels=3, classes=7)).eval()
    with torch.no_grad():
        assert model(torch.rand(2, 3, 64, 64)).shape == (2, 7)


def test_an_unlisted_model_says_where_it_comes_from() -> None:
    """An unlisted model carries a one-line summary and the module of timm that defines it."""
    model = fmbench_timm.resolve("timm/efficientnet_b0")
    assert (model.name, model.size) == ("timm/efficientnet_b0", 32)
    assert model.summary == "efficientnet_b0 as timm builds it, at 32 pixels."
    assert model.source == "timm.models.efficientnet"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("timm/resnet19", "timm has no architecture called 'resnet19'; did you mean timm/"),
        ("timm/zzzzzzzz", "timm has no architecture called 'zzzzzzzz'."),
        ("timm/resnet18.a1_in1k", "train from scratch: ask for timm/resnet18."),
        ("timm/convnext_tiny_in22ft1k", "timm has no architecture called"),  # a retired name
        ("timm/resnet18@big", "does not end in a size: write timm/resnet18@64 for 64 pixels"),
        ("timm/resnet18@064", "does not end in a size"),
    ],
)
def test_unknown_architectures_are_explained(name: str, sentence: str) -> None:
    """A name that timm does not build raises LookupError with a sentence that helps."""
    with pytest.raises(LookupError, match=re.escape(sentence)):
        fmbench_timm.resolve(name)


def test_building_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model downloads anything."""

    def refuse(*_: object) -> None:
        raise AssertionError("a model asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in PARAMETERS:
        built(name)


def test_the_readme_states_what_is_offered() -> None:
    """The README's table is the offered models with the parameter counts tested here."""
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    rows = [line for line in readme.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{name}` | 1×32×32 | {count:,} |" for name, count in PARAMETERS.items()]

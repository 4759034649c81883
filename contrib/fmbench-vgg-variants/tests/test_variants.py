"""The family vgg11@…: names, networks, and the contract."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import fmbench_vgg_variants
import pytest
import torch
from fmbench_vgg.network import VGG11
from fmbench_vgg_variants.network import VGG11Variant, convolutions
from fmbench_vgg_variants.variants import Variant, parse
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from conftest import child_environment, make_tiny
from fmbench.contract import MODEL_NAME
from fmbench.testing import contract

variants = st.builds(
    Variant,
    width=st.integers(1, 999),
    batch_norm=st.booleans(),
    bias=st.booleans(),
    activation=st.sampled_from(("relu", "sigmoid", "tanh")),
    std=st.none() | st.sampled_from((0.001, 0.02, 1.0)),
    scale=st.sampled_from((1.0, 0.1, 10.0)),
    dropout=st.sampled_from((0.0, 0.25, 0.5)),
)


@given(variants)
def test_a_variant_and_its_name_are_one(variant: Variant) -> None:
    """Each variant's name leads back to it and to no other."""
    assert parse(variant.name) == variant
    if MODEL_NAME.fullmatch(variant.name):  # the contract allows 32 characters after the @
        assert fmbench_vgg_variants.resolve(variant.name).name == variant.name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vgg11@bn", "that of this one is vgg11@width=64,bn"),
        ("vgg11@width=8,std=0.1,bn", "that of this one is vgg11@width=8,bn,std=0.1"),
        ("vgg11@width=8,dropout=0.5", "that of this one is vgg11@width=8"),
        ("vgg11@width=0", "'width=0' is no part"),
        ("vgg11@width=8,act=gelu", "'act=gelu' is no part"),
        ("vgg11@", "'' is no part"),
    ],
)
def test_a_name_that_is_none_is_refused(name: str, said: str) -> None:
    """What is misspelt, repeats a default or stands in another order is refused with the reason."""
    with pytest.raises(LookupError, match=said):
        parse(name)


@contract(fmbench_vgg_variants, models=["vgg11@width=2,bn", "vgg11@width=2,act=tanh,std=0.1"])
def test_contract(check: Callable[[], None]) -> None:
    """The model passes this check of the contract."""
    check()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_convolutions_are_those_of_vgg11(batch_norm: bool) -> None:
    """At full width the convolutional part has the layers and shapes of fmbench-vgg's VGG-11."""

    def layers(network: nn.Module) -> list[tuple[str, list[torch.Size]]]:
        return [
            (type(layer).__name__, [p.shape for p in layer.parameters()])
            for layer in network.get_submodule("features")
        ]

    with torch.device("meta"):
        ours = VGG11Variant(1, 10, Variant(batch_norm=batch_norm))
        theirs = VGG11(1, 10, batch_norm)
    assert layers(ours) == layers(theirs)


def test_initial_weights_are_what_the_name_says() -> None:
    """A standard deviation, a factor and an absent bias show in the drawn weights."""
    torch.manual_seed(0)
    spread = convolutions(VGG11Variant(1, 10, parse("vgg11@width=16,std=0.01")))
    assert [float(c.weight.detach().std()) for c in spread[1:]] == pytest.approx(
        [0.01] * 7, rel=0.05
    )
    torch.manual_seed(0)
    plain = convolutions(VGG11Variant(1, 10, parse("vgg11@width=4")))
    torch.manual_seed(0)
    scaled = convolutions(VGG11Variant(1, 10, parse("vgg11@width=4,scale=10")))
    assert all(
        torch.equal(10 * one.weight, ten.weight) for one, ten in zip(plain, scaled, strict=True)
    )
    bare = VGG11Variant(1, 10, parse("vgg11@width=4,bn,nobias"))
    assert [layer.bias for layer in convolutions(bare)] == [None] * 8


def test_a_variant_trains_under_any_protocol(tmp_path: Path) -> None:
    """`fmbench run` makes a row of a member of the family, as of any other model."""
    tiny = make_tiny(tmp_path / "tiny")
    name = "vgg11@width=1,bn,nobias"
    ran = subprocess.run(
        [
            sys.executable, "-P", "-m", "fmbench", "run", name,
            "--protocol", tiny.protocol, "--data-dir", tiny.folder,
        ],
        cwd=tmp_path, env=child_environment(tmp_path, tmp_path / "cache"),
        capture_output=True, text=True, timeout=2500, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert name in ran.stdout

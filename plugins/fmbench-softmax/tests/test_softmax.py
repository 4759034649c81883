"""What fmbench-softmax promises."""

from pathlib import Path

import fmbench_softmax
import pytest
import torch

import fmbench


def built(size: int = 28, channels: int = 1, classes: int = 10) -> torch.nn.Module:
    """Return a model from seed 0."""
    torch.manual_seed(0)
    return fmbench_softmax.build(fmbench.InputSpec(size, channels, classes))


def test_offers_one_model_on_the_raw_image() -> None:
    """The plugin offers `softmax` at 28 pixels and nothing else."""
    (model,) = fmbench_softmax.fmbench_models()
    assert (model.name, model.size, model.build) == ("softmax", 28, fmbench_softmax.build)
    assert model.summary and "\n" not in model.summary


def test_parameter_count_is_the_one_in_the_summary() -> None:
    """The model has 7,850 parameters, as its summary says."""
    count = sum(parameter.numel() for parameter in built().parameters())
    assert count == 7850
    assert f"{count:,}" in fmbench_softmax.fmbench_models()[0].summary


@pytest.mark.parametrize(("size", "channels", "classes"), [(28, 1, 10), (32, 3, 7)])
def test_follows_its_input_spec(size: int, channels: int, classes: int) -> None:
    """Logits have the shape (batch, classes) for every input spec."""
    images = torch.rand(5, channels, size, size)
    assert built(size, channels, classes)(images).shape == (5, classes)


def test_is_linear_in_the_pixels() -> None:
    """The logits are an affine function of the pixels."""
    model, (left, right) = built().double(), torch.rand(2, 3, 1, 28, 28, dtype=torch.float64)
    middle = model((left + right) / 2)
    torch.testing.assert_close(middle, (model(left) + model(right)) / 2)


def test_gradients_reach_every_parameter() -> None:
    """The loss moves every parameter."""
    model = built()
    loss = torch.nn.functional.cross_entropy(model(torch.rand(4, 1, 28, 28)), torch.arange(4))
    loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_the_seed_decides_the_parameters() -> None:
    """The same torch seed gives the same parameters, another seed gives others."""
    first, again = built(), built()
    other = fmbench_softmax.build(fmbench.InputSpec(28))
    for name, parameter in first.state_dict().items():
        assert torch.equal(parameter, again.state_dict()[name])
        assert not torch.equal(parameter, other.state_dict()[name])


def test_the_readme_states_what_is_offered() -> None:
    """The README's table is the offered models with the parameter counts tested here."""
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    rows = [line for line in readme.splitlines() if line.startswith("| `")]
    assert rows == ["| `softmax` | 1×28×28 | 7,850 |"]

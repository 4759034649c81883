"""What fmbench-timm promises of every architecture, listed or not."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import fmbench_timm
import pytest
import timm
import torch
from fmbench_timm import inputs, probing
from fmbench_timm.inputs import POOLED, Input, Measured
from torch.nn import functional as F

import fmbench

HERE = Path(__file__).parents[1]
KNOWN = inputs.measured()
SAME_TIMM = pytest.mark.skipif(timm.__version__ != KNOWN.timm, reason="measured with another timm")
LARGEST_SAMPLED = 30_000_000  # parameters, and 64 pixels: the sample has to stay quick


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    """The script that measures, as a module."""
    spec = importlib.util.spec_from_file_location("timm_coverage", HERE / "coverage.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sample() -> list[str]:
    """Of each tenth of the list the smallest network of each way, two at the least."""
    names = sorted(KNOWN.inputs)
    chosen: list[str] = []
    for tenth in range(10):
        part = names[tenth * len(names) // 10 : (tenth + 1) * len(names) // 10]
        small = sorted(
            (found.parameters, name)
            for name in part
            if not (found := KNOWN.inputs[name]).reason
            and found.size <= 64
            and found.parameters <= LARGEST_SAMPLED
        )
        ways = {KNOWN.inputs[name].way: name for _, name in reversed(small)}
        others = [name for _, name in small if name not in ways.values()]
        chosen += [*ways.values(), *others][: max(2, len(ways))]
    return chosen


@SAME_TIMM
def test_every_architecture_of_timm_is_measured() -> None:
    """inputs.json names exactly the architectures of the timm it was measured with."""
    assert sorted(KNOWN.inputs) == sorted(timm.list_models())


def test_every_architecture_resolves_or_gives_its_reason() -> None:
    """Each name gives a model of its measured size, or a LookupError that ends in the reason."""
    for name, found in KNOWN.inputs.items():
        if found.reason:
            with pytest.raises(LookupError) as raised:
                fmbench_timm.resolve(f"timm/{name}")
            assert str(raised.value).endswith(found.reason)
            assert name in str(raised.value) and "\n" not in str(raised.value)
        else:
            assert fmbench_timm.resolve(f"timm/{name}").size == found.size


@SAME_TIMM
@pytest.mark.parametrize("name", sample())
def test_a_sample_of_each_tenth_trains(name: str) -> None:
    """A sampled architecture gives logits and, backwards, a gradient to every parameter."""
    torch.manual_seed(0)
    member = fmbench_timm.resolve(f"timm/{name}")
    model = member.build(fmbench.InputSpec(member.size)).train()
    assert sum(parameter.numel() for parameter in model.parameters()) == (
        KNOWN.inputs[name].parameters
    )
    logits = model(torch.rand(4, 1, member.size, member.size))
    assert logits.shape == (4, 10)
    F.cross_entropy(logits, torch.arange(4)).backward()  # type: ignore[no-untyped-call]
    without = [key for key, value in model.named_parameters() if value.grad is None]
    assert not without


@SAME_TIMM
def test_a_headless_encoder_gets_a_linear_head() -> None:
    """A pooled architecture is its encoder and one linear layer on what the encoder answers."""
    pooled = [name for name, found in KNOWN.inputs.items() if found.way == POOLED]
    for name in pooled:
        member = fmbench_timm.resolve(f"timm/{name}")
        with torch.device("meta"):
            model = member.build(fmbench.InputSpec(member.size))
            assert model(torch.rand(2, 1, member.size, member.size)).shape == (2, 10)
        assert {key.partition(".")[0] for key in model.state_dict()} == {"encoder", "head"}


@pytest.mark.parametrize("name", ["resnet18@64", "vit_tiny_patch16_224@48", "resnet18@28"])
def test_a_suffix_asks_for_a_size(name: str) -> None:
    """`timm/NAME@SIZE` has that size and is built for it, from the stream that NAME draws."""
    architecture, _, size = name.partition("@")
    member = fmbench_timm.resolve(f"timm/{name}")
    assert (member.name, member.size) == (f"timm/{name}", int(size))
    torch.manual_seed(0)
    model = member.build(fmbench.InputSpec(member.size))
    torch.manual_seed(0)
    way = KNOWN.inputs[architecture].way
    other = fmbench_timm.build(architecture, way, fmbench.InputSpec(member.size))
    for key, value in other.state_dict().items():
        assert torch.equal(model.state_dict()[key], value)
    assert model(torch.rand(2, 1, member.size, member.size)).shape == (2, 10)


def test_a_size_that_does_not_fit_is_refused_with_the_reason() -> None:
    """A network that cannot take the size says so when it is built."""
    member = fmbench_timm.resolve("timm/inception_v3@32")
    with pytest.raises(ValueError, match="inception_v3 does not run at 32 pixels: "):
        member.build(fmbench.InputSpec(32))


@pytest.mark.parametrize("size", [27, 513])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    """The contract's range of sizes holds for a suffix too."""
    with pytest.raises(fmbench.errors.PluginError, match="input size"):
        fmbench_timm.resolve(f"timm/resnet18@{size}")


def test_an_architecture_of_another_timm_is_tried_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that was not measured is tried out when it is named, and comes to the same."""
    names = ["resnet10t", "vit_tiny_patch16_224"]
    rest = {name: found for name, found in KNOWN.inputs.items() if name not in names}
    monkeypatch.setattr(fmbench_timm, "measured", lambda: Measured("0", "0", rest))
    for name in names:
        assert fmbench_timm.find(name) == KNOWN.inputs[name]
    with pytest.raises(LookupError, match=r"did you mean timm/resnet10t "):
        fmbench_timm.find("resnet10tt")


def test_trying_out_moves_no_random_numbers() -> None:
    """What a network is tried out with leaves torch's stream where it was."""
    before = torch.get_rng_state()
    assert not probing.probe("resnet10t", inputs.PLAIN, fmbench.InputSpec(32)).reason
    assert torch.equal(before, torch.get_rng_state())


def test_inputs_survive_writing(tmp_path: Path) -> None:
    """inputs.json is what `write` makes of what it holds."""
    inputs.write(KNOWN, tmp_path / "inputs.json")
    assert (tmp_path / "inputs.json").read_bytes() == inputs.FILE.read_bytes()


def test_the_tables_are_fresh(coverage: ModuleType) -> None:
    """README.md's and COVERAGE.md's tables are what coverage.py writes from inputs.json."""
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    assert readme == coverage.readme_with(readme, KNOWN)
    page = (HERE / "COVERAGE.md").read_text(encoding="utf-8")
    assert page == coverage.coverage_page(KNOWN)


def test_a_journal_is_gone_on_from(
    coverage: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measuring again tries only what the journal lacks; a process that dies costs its name."""
    names = ["resnet10t", "resnet18"]
    tried: list[str] = []

    def die(name: str) -> Input:
        tried.append(name)
        os._exit(3)

    monkeypatch.setattr(timm, "list_models", lambda: names)
    monkeypatch.setattr(coverage.probing, "find_input", die)
    journal = tmp_path / "journal"
    first = coverage.measure(journal, 1).inputs
    assert {found.reason for found in first.values()} == {"its process ended with 3"}
    monkeypatch.setattr(coverage, "find_alone", die)
    assert coverage.measure(journal, 1).inputs == first
    assert not tried

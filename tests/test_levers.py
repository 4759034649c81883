"""Levers: what a CPU can run of them trains as the eager loop does."""

import copy
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from conftest import TinyData
from fmbench import protocol
from fmbench.protocol import Protocol
from fmbench.training import capture, devices, graphs, loop, steps
from fmbench.training.checkpoints import Checkpoints
from fmbench.training.levers import Levers, UncapturableError
from twenty_steps import (
    SINGLE,
    Drawing,
    assert_alike,
    check_compiled,
    evaluated,
    resident,
    same,
    steady,
    trained,
)
from wrong_models import Tabled

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _no_graph_outlives_a_test() -> Iterator[None]:
    yield
    graphs.release()


@pytest.fixture(params=["adamw", "sgd"])
def rules(request: pytest.FixtureRequest, tiny: TinyData, tmp_path: Path) -> Protocol:
    """Twenty steps by either optimiser."""
    return steady(tiny, tmp_path / "steady.toml", request.param)


def test_labels_of_an_epoch_gathered_at_once_change_no_bit(rules: Protocol) -> None:
    """Epochs with all their labels at hand give the eager loop's parameters and curve."""
    model, outcome = trained(rules, Levers(epoch_indices=True))
    expected, eager = trained(rules, Levers())
    assert same(model, expected)
    assert outcome.curve == eager.curve


def test_static_steps_change_no_bit_for_one_seed_after_another(rules: Protocol) -> None:
    """Two seeds in the same tensors give what each gives eagerly, from one capture.

    The learning rate is one that single precision holds.
    """
    made = []
    for seed in (1, 2):
        model, outcome = trained(rules, Levers(cuda_graph=True), seed=seed)
        expected, eager = trained(rules, Levers(), seed=seed)
        assert same(model, expected)
        assert outcome.curve == eager.curve
        made.append(graphs._latest[graphs.StaticTraining][1])
    assert made[0] is made[1]


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
def test_static_steps_follow_a_schedule_as_single_precision_holds_it(
    rules: Protocol, schedule: str
) -> None:
    """Rates on the device are floats, those of the loop doubles: parameters agree to 1e-4."""
    training = msgspec.structs.replace(
        rules.training, schedule=schedule, warmup=0.3 if schedule == "one-cycle" else 0.0
    )
    moving = msgspec.structs.replace(rules, training=training)
    model, outcome = trained(moving, Levers(cuda_graph=True))
    expected, eager = trained(moving, Levers())
    assert outcome.curve == pytest.approx(eager.curve, rel=1e-4)
    assert_alike(model, expected, 1e-4)
    assert not same(model, trained(rules, Levers())[0])


def test_the_rates_of_all_steps_are_those_of_the_schedule(tiny: TinyData) -> None:
    """What lies on the device beforehand is what the schedule gives step by step."""
    rules = protocol.load(str(tiny.protocol))
    optimizer = loop.make_optimizer(nn.Linear(2, 2), rules.recipes[0])
    schedule = loop.make_schedule(optimizer, rules, rules.recipes[0], 20)
    expected = []
    for _ in range(20):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert loop.learning_rates(rules, rules.recipes[0], 20) == tuple(expected)


def test_a_model_of_other_shape_or_recipe_gets_tensors_of_its_own(rules: Protocol) -> None:
    """A graph serves only the like of the model it was captured for."""
    levers = Levers(cuda_graph=True)
    trained(rules, levers)
    first = graphs._latest[graphs.StaticTraining][1]
    other = trained(rules, levers, lambda: Drawing(0.25))
    assert graphs._latest[graphs.StaticTraining][1] is not first
    assert same(other[0], trained(rules, Levers(), lambda: Drawing(0.25))[0])


def test_a_trained_model_keeps_its_parameters_when_another_is_trained(rules: Protocol) -> None:
    """Models share no tensor with the graph that trained them."""
    levers = Levers(cuda_graph=True)
    first, _ = trained(rules, levers)
    kept = copy.deepcopy(first)
    trained(rules, levers, seed=2)
    assert same(first, kept)


def test_a_model_is_handed_over_at_the_end_of_each_epoch(rules: Protocol) -> None:
    """What is called after an epoch sees the model as the eager loop has it then."""
    longer = msgspec.structs.replace(rules, final=protocol.Stage(epochs=3))
    seen: dict[Levers, list[nn.Module]] = {}
    for levers in (Levers(), Levers(cuda_graph=True)):
        models = seen.setdefault(levers, [])

        def build() -> nn.Module:
            model = Drawing()
            models.append(model)  # noqa: B023 - called at once
            return model

        trained(
            longer, levers, build,
            after_epoch=lambda _: models.append(copy.deepcopy(models[0])),  # noqa: B023
        )  # fmt: skip
    assert all(map(same, *seen.values()))
    assert len(models) == 4
    assert not same(models[1], models[2])


def test_a_training_that_diverged_leaves_nothing_to_the_next(rules: Protocol) -> None:
    """Values that are not finite stay behind when the next model is loaded."""

    def broken() -> nn.Module:
        model = Drawing()
        nn.init.constant_(model.layers[0].weight, float("nan"))  # type: ignore[arg-type]
        return model

    with pytest.raises(loop.DivergedError):
        trained(rules, Levers(cuda_graph=True), broken)
    model, _ = trained(rules, Levers(cuda_graph=True))
    assert same(model, trained(rules, Levers())[0])


def test_a_capturable_optimiser_and_clipping_read_no_value(rules: Protocol) -> None:
    """Norms, the clipped gradients and the update are made of tensors alone; bits stay the same."""
    recipe = rules.recipes[0]
    models = []
    for rate in (None, torch.tensor(SINGLE)):
        torch.manual_seed(0)
        model = Drawing(0.0)
        optimizer = loop.make_optimizer(model, recipe, rate=rate)
        step = steps.stepper(model, model, resident(rules)[0], optimizer, rules)
        with capture.Watch():
            for _ in range(20):
                step(torch.randint(0, 320, (16,)), torch.randint(0, 10, (16,)))
        models.append(model)
    assert same(*models)
    assert optimizer.param_groups[0].get("capturable", True)


def test_a_static_evaluation_gives_the_same_bits(rules: Protocol) -> None:
    """Another model, and other images, in the same tensors give what each gives eagerly."""
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = Drawing()
        images = evaluated(rules, seed=seed)
        expected, logits = (
            loop.predict(model, images, protocol=rules, device=CPU, levers=levers)[0]
            for levers in (Levers(), Levers(evaluation_graph=True))
        )
        assert torch.equal(logits, expected)
        made.append(graphs._latest[graphs.StaticEvaluation][1])
    assert made[0] is made[1]


def test_a_table_made_in_the_first_pass_may_be_captured(rules: Protocol) -> None:
    """It is made while the step is tried, and stays."""
    model, _ = trained(rules, Levers(cuda_graph=True), Tabled)
    assert same(model, trained(rules, Levers(), Tabled)[0])


class Refused(Drawing):
    """A model whose forward does one thing that a graph cannot."""

    def __init__(self, what: Callable[["Refused", Tensor], object]) -> None:
        super().__init__()
        self.what = what
        self.passes = 0
        self.kept = torch.zeros(1)

    def forward(self, batch: Tensor) -> Any:
        """Do it, and apply the layers."""
        self.what(self, batch)
        return super().forward(batch)


REFUSED = {
    "item": (lambda _, batch: batch.sum().item(), "reads values"),
    "branch": (lambda _, batch: 1 if batch.max() > 3 else 2, "reads values"),
    "mask": (lambda _, batch: batch[batch > 0], "reads values"),
    "nonzero": (lambda _, batch: batch.nonzero(), "reads values"),
    "Python's stream": (lambda *_: random.random(), "draws random numbers on the host"),
    "numpy's stream": (lambda *_: np.random.rand(), "draws random numbers on the host"),
    "counter": (lambda model, _: setattr(model, "passes", model.passes + 1), "changes passes"),
    "attribute": (lambda model, _: model.kept.add_(1), "changes kept"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("evaluation", [False, True])
def test_what_a_graph_would_freeze_is_refused(rules: Protocol, name: str, evaluation: bool) -> None:
    """Values read, numbers drawn on the host and state kept in Python are named, before capture."""
    what, why = REFUSED[name]
    devices.prepare("cpu", rules.devices["cpu"], 1)
    images, _ = resident(rules)

    def evaluate() -> None:
        levers = Levers(evaluation_graph=True)
        loop.predict(Refused(what), images, protocol=rules, device=CPU, levers=levers)

    def train() -> None:
        trained(rules, Levers(cuda_graph=True), lambda: Refused(what))

    with pytest.raises(UncapturableError, match=why):
        evaluate() if evaluation else train()


@pytest.mark.parametrize(
    "move",
    [
        lambda there: there.cpu(),
        lambda there: torch.zeros(3).to(there.device, non_blocking=True),
        lambda there: there.copy_(torch.zeros(3)),
    ],
)
def test_a_copy_between_devices_is_refused(move: Callable[[Tensor], object]) -> None:
    """A graph would keep what the host has now; shown on tensors that only claim to be on a GPU."""
    with FakeTensorMode():
        there = torch.zeros(3, device="cuda")
        with capture.Watch():
            there * 2
            with pytest.raises(UncapturableError, match="tensors go from"):
                move(there)


def test_a_model_that_cannot_be_copied_is_refused(rules: Protocol) -> None:
    """A graph works on a network of its own, so it needs a copy."""

    class Uncopied(Drawing):
        def __deepcopy__(self, known: object) -> nn.Module:
            raise TypeError("one of a kind")

    with pytest.raises(UncapturableError, match="cannot be copied: one of a kind"):
        trained(rules, Levers(cuda_graph=True), Uncopied)


def test_a_run_in_a_graph_keeps_no_checkpoints(rules: Protocol, tmp_path: Path) -> None:
    """It says so before it trains."""
    with pytest.raises(UncapturableError, match="no checkpoints"):
        trained(rules, Levers(cuda_graph=True), checkpoints=Checkpoints(tmp_path, 0))


def test_an_optimiser_that_is_not_fused_trains_alike(rules: Protocol) -> None:
    """Fused or not, parameters agree to 1e-4."""
    model, _ = trained(rules, Levers(fused=False))
    assert_alike(model, trained(rules, Levers(fused=True))[0], 1e-4)


def test_levers_that_exclude_one_another_are_refused() -> None:
    """A mode there is not, and graphs within graphs, are named at once."""
    with pytest.raises(ValueError, match="no compile_mode 'fastest'"):
        Levers(compile_mode="fastest")
    for levers in ({"cuda_graph": True}, {"evaluation_graph": True}):
        with pytest.raises(ValueError, match="within no other"):
            Levers(compile_mode="reduce-overhead", **levers)


@pytest.fixture
def _compiling(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile in this process alone, into a folder of this session."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "inductor"))
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")


@pytest.mark.long
@pytest.mark.usefixtures("_compiling")
@pytest.mark.parametrize(
    "levers",
    [
        Levers(compile_mode="default"),
        Levers(compile_mode="default", cuda_graph=True, evaluation_graph=True),
        Levers(compile_mode="reduce-overhead", epoch_indices=True),
    ],
)
def test_compiled_passes_train_alike(rules: Protocol, levers: Levers) -> None:
    """Compiled, parameters and logits agree to 1e-3, and buffers count only the steps taken.

    In a process of its own: torch's compiler starts threads, after which a fork cannot train.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as alone:
        alone.submit(check_compiled, rules, levers).result()

"""Levers on a CUDA device: graphs and compiled passes train as the eager loop; else skipped."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from conftest import TinyData
from fmbench import discovery
from fmbench.discovery.child import load_model, unchanged
from fmbench.training import capture, graphs, loop
from fmbench.training.builder import Builder
from fmbench.training.levers import Levers, UncapturableError
from twenty_steps import Drawing, assert_alike, evaluated, same, steady, trained

GPU = "cuda:0"
TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}
"""How far parameters, logits and mean losses may be apart after twenty steps."""

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.fixture(autouse=True)
def _no_graph_outlives_a_test() -> Iterator[None]:
    yield
    graphs.release()


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_captured_step_trains_one_seed_after_another(
    tiny: TinyData, tmp_path: Path, optimizer: str, precision: str
) -> None:
    """One capture gives, for two seeds, what each gives eagerly, dropout and augmentation too."""
    rules = steady(tiny, tmp_path / "steady.toml", optimizer, precision)
    made = []
    for seed in (1, 2):
        model, outcome = trained(rules, Levers(cuda_graph=True), seed=seed, device=GPU)
        expected, eager = trained(rules, Levers(), seed=seed, device=GPU)
        assert_alike(model, expected, TOLERANCE[precision])
        assert outcome.curve == pytest.approx(eager.curve, rel=TOLERANCE[precision])
        made.append(graphs._latest[graphs.StaticTraining][1])
    assert made[0] is made[1]


@pytest.mark.parametrize("precision", TOLERANCE)
def test_a_captured_evaluation_gives_the_same_logits(
    tiny: TinyData, tmp_path: Path, precision: str
) -> None:
    """One graph of all batches, the last one not full, serves one model after another."""
    rules = steady(tiny, tmp_path / "steady.toml", "sgd", precision)
    for seed in (1, 2):
        model, _ = trained(rules, Levers(), seed=seed, device=GPU)
        images = evaluated(rules, GPU, seed)
        eager, logits = (
            loop.predict(model, images, protocol=rules, device=torch.device(GPU), levers=levers)[0]
            for levers in (Levers(), Levers(evaluation_graph=True))
        )
        tolerance = TOLERANCE[precision]
        torch.testing.assert_close(logits, eager, rtol=tolerance, atol=tolerance)


def test_a_graph_draws_anew_at_each_replay_and_from_each_seed() -> None:
    """Replays drop what as many eager passes drop, from wherever the generator stands."""
    ones, out = torch.ones(1000, device=GPU), torch.zeros(1000, device=GPU)

    def work() -> None:
        out.copy_(functional.dropout(ones))

    replay = capture.capture(work, work, nn.Identity(), torch.device(GPU))
    for seed in (1, 2):
        drawn = []
        for draw in (replay, work):
            torch.manual_seed(seed)
            for _ in range(3):
                draw()
                drawn.append(out.clone())
        assert all(map(torch.equal, drawn[:3], drawn[3:]))
        assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.long
def test_every_listed_model_can_be_captured(tiny: TinyData, tmp_path: Path) -> None:
    """The mean loss of twenty captured steps is the eager one to 1 %, for each installed model."""
    rules = steady(tiny, tmp_path / "steady.toml", "sgd")
    listed = discovery.catalogue().models
    assert listed
    for one in listed:
        model = load_model(unchanged(one.plugin), one.name)
        curves = [
            trained(rules, levers, Builder(model).build, device=GPU, size=model.size)[1].curve
            for levers in (Levers(cuda_graph=True), Levers())
        ]
        assert curves[0] == pytest.approx(curves[1], rel=0.01), one.name


REFUSED = {
    "item": lambda batch: batch.sum().item(),
    "to the host": lambda batch: batch.cpu(),
    "from the host": lambda batch: torch.ones(1).to(batch.device),
    "made of a number": lambda batch: torch.tensor([1.5], device=batch.device),
    "drawn on the host": lambda _: torch.rand(1),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_step_that_cannot_be_captured_is_refused_and_the_eager_loop_goes_on(
    tiny: TinyData, tmp_path: Path, name: str
) -> None:
    """A refusal comes before the capture, and leaves the process fit for training."""
    rules = steady(tiny, tmp_path / "steady.toml", "adamw")

    class Refused(Drawing):
        def forward(self, batch: Tensor) -> Any:
            REFUSED[name](batch)
            return super().forward(batch)

    with pytest.raises(UncapturableError):
        trained(rules, Levers(cuda_graph=True), Refused, device=GPU)
    assert trained(rules, Levers(), Refused, device=GPU)[1].curve[0] < 2.5


def test_labels_gathered_at_once_change_no_bit(tiny: TinyData, tmp_path: Path) -> None:
    """It is the same arithmetic."""
    rules = steady(tiny, tmp_path / "steady.toml", "adamw")
    model, _ = trained(rules, Levers(epoch_indices=True), device=GPU)
    assert same(model, trained(rules, Levers(), device=GPU)[0])


def test_an_optimiser_that_is_not_fused_trains_alike(tiny: TinyData, tmp_path: Path) -> None:
    """Torch's own choice instead, parameters agree to 1e-4."""
    rules = steady(tiny, tmp_path / "steady.toml", "adamw")
    model, _ = trained(rules, Levers(fused=False), device=GPU)
    assert_alike(model, trained(rules, Levers(), device=GPU)[0], 1e-4)


@pytest.mark.long
@pytest.mark.parametrize(
    "levers",
    [
        Levers(compile_mode="default"),
        Levers(compile_mode="max-autotune-no-cudagraphs"),
        Levers(compile_mode="reduce-overhead"),
        Levers(compile_mode="default", cuda_graph=True, evaluation_graph=True),
    ],
)
def test_compiled_passes_train_alike(tiny: TinyData, tmp_path: Path, levers: Levers) -> None:
    """Without dropout, which compiled code draws by itself, parameters and logits agree to 1e-3."""
    rules = steady(tiny, tmp_path / "steady.toml", "sgd")
    model, _ = trained(rules, levers, lambda: Drawing(0.0), device=GPU)
    expected, _ = trained(rules, Levers(), lambda: Drawing(0.0), device=GPU)
    assert_alike(model, expected, 1e-3)
    images = evaluated(rules, GPU)
    logits, eager = (
        loop.predict(expected, images, protocol=rules, device=torch.device(GPU), levers=one)[0]
        for one in (levers, Levers())
    )
    torch.testing.assert_close(logits, eager, rtol=1e-3, atol=1e-3)

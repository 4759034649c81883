"""`fmbench doctor --reference`: each of the faults it is for shows, and good machines pass.

What is wrong is handed in: a data set, a model, a layer. The band is held on both sides.
"""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn
from torch.nn import functional

import reference_band
from conftest import Fmbench
from fmbench import data, files, hardware, scoring
from fmbench.contract import InputSpec, Model
from fmbench.data import Dataset
from fmbench.doctor import band, layers, models, reference
from fmbench.doctor.findings import Checked, Finding, worst
from fmbench.doctor.reference_process import train
from fmbench.errors import DataError
from fmbench.execution.job import JobFolder
from fmbench.execution.scorer import Scorer
from fmbench.protocol import DeviceRules
from fmbench.records import Result
from fmbench.training import departures
from wrong_models import Scale

CPU = torch.device("cpu")
FLOAT32 = {"float32": DeviceRules(precision="float32")}
BAND = band.band()


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """The real data set."""
    return data.load(data.find(progress=False))


@pytest.fixture(scope="module")
def honest(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of both models' jobs, trained as they should be."""
    folder = tmp_path_factory.mktemp("honest")
    for name, model in models.MODELS.items():
        reference.prepare(name, dataset, hardware.cpu_device(), folder, (1,))
        train(JobFolder(folder / name), model)
    return folder


def scored(name: str, folder: Path, dataset: Dataset) -> Finding:
    """What is said of a job's only run, scored by a data set."""
    scorer = Scorer(dataset, models.rules_of(name))
    ((result, departure),) = reference.results(name, scorer, folder, 1)
    return reference.held(name, result, BAND, departure)


def found(
    name: str,
    dataset: Dataset,
    build: Callable[[InputSpec], Any] | None = None,
) -> Finding:
    """What is said of a small model that is trained here, or of another in its place."""
    model = Model(name, build) if build else models.MODELS[name]
    with files.temporary_folder() as folder:
        reference.prepare(name, dataset, hardware.cpu_device(), folder, (1,))
        train(JobFolder(folder / name), model)
        return scored(name, folder, dataset)


def shuffled(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same labels in another order."""
    return np.random.RandomState(1).permutation(labels)


def digits(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images of digits as MNIST has them: one in each, white on black, moved and turned a bit."""
    random = np.random.RandomState(seed)
    labels = random.permutation(np.arange(count, dtype=np.uint8) % 10)
    drawn = {}
    for digit in range(10):
        for turn in range(-20, 21, 10):
            image = Image.new("L", (28, 28))
            font = ImageFont.load_default(size=22)
            ImageDraw.Draw(image).text((14, 14), str(digit), fill=255, font=font, anchor="mm")
            drawn[digit, turn] = np.asarray(image.rotate(turn), dtype=np.uint8)
    images = np.stack(
        [
            np.roll(
                drawn[int(label), int(random.randint(-2, 3)) * 10],
                random.randint(-3, 4, 2),
                axis=(0, 1),
            )
            for label in labels
        ]
    )
    noise = random.randint(0, 40, images.shape)
    return np.clip(images.astype(int) - noise, 0, 255).astype(np.uint8), labels


def in_wrong_dimension(of: Callable[[InputSpec], Any]) -> Callable[[InputSpec], Any]:
    """A model that ends in a softmax over its batch."""

    class Normalised(nn.Module):
        def __init__(self, spec: InputSpec) -> None:
            super().__init__()
            self.inner = of(spec)

        def forward(self, batch: Tensor) -> Tensor:
            return functional.log_softmax(self.inner(batch), 0)

    return Normalised


class AlwaysDropping(nn.Dropout):
    """Dropout that evaluation does not turn off."""

    def forward(self, given: Tensor) -> Tensor:
        """Drop."""
        return functional.dropout(given, self.p, training=True)


def dropping(spec: InputSpec) -> nn.Module:
    """The network with that dropout."""
    made = models.network(spec)
    assert isinstance(made[7], nn.Dropout)
    made[7] = AlwaysDropping(made[7].p)
    return made


class NeverEvaluated(nn.Module):
    """The network, which stays in training mode."""

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.inner = models.network(spec)

    def train(self, mode: bool = True) -> "NeverEvaluated":  # noqa: ARG002 - not heeded
        """Stay as it is."""
        return super().train(True)

    def forward(self, batch: Tensor) -> Tensor:
        """Apply the network."""
        return self.inner(batch)


def scaled(spec: InputSpec) -> nn.Module:
    """The network with a layer whose gradient is wrong in channels last."""
    made = models.network(spec)
    return nn.Sequential(*made[:3], Scale(16), *made[3:])


@pytest.mark.parametrize("name", models.MODELS)
def test_an_honest_machine_passes(name: str, honest: Path, dataset: Dataset) -> None:
    """Both models, trained on the right data, lie in the band."""
    finding = scored(name, honest, dataset)
    assert finding.level == "ok", finding.says
    assert all(number in finding.says for number in band.NUMBERS)


@pytest.mark.parametrize("name", models.MODELS)
def test_other_data_are_noticed(name: str) -> None:
    """Digits are learnt to another accuracy or other losses."""
    finding = found(name, Dataset(*digits(13_000, 1), *digits(2_000, 2)))
    assert finding.level == "fault", finding.says


@pytest.mark.parametrize("name", models.MODELS)
def test_shuffled_training_labels_are_noticed(name: str, dataset: Dataset) -> None:
    """Nothing can be learnt from labels in another order."""
    wrong = replace(dataset, train_labels=shuffled(dataset.train_labels))
    finding = found(name, wrong)
    assert finding.level == "fault", finding.says
    assert "accuracy" in finding.says


@pytest.mark.parametrize("name", models.MODELS)
def test_shuffled_test_labels_are_noticed(name: str, honest: Path, dataset: Dataset) -> None:
    """What was learnt does not agree with labels in another order."""
    wrong = replace(dataset, test_labels=shuffled(dataset.test_labels))
    finding = scored(name, honest, wrong)
    assert finding.level == "fault", finding.says
    assert "accuracy" in finding.says


def test_one_shuffled_label_in_ten_is_noticed(dataset: Dataset) -> None:
    """Softmax shows it where a tenth of the training labels are others."""
    labels = dataset.train_labels.copy()
    chosen = np.random.RandomState(2).permutation(len(labels))[: len(labels) // 10]
    labels[chosen] = shuffled(labels[chosen])
    assert found("softmax", replace(dataset, train_labels=labels)).level == "fault"


@pytest.mark.parametrize(("name", "optimizer"), [("softmax", "SGD"), ("network", "AdamW")])
def test_an_optimizer_that_does_not_step_is_noticed(
    name: str, optimizer: str, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each model is trained by another optimiser; one that leaves weights alone shows."""

    def stay(*_: object, **__: object) -> None:
        """Do nothing."""

    monkeypatch.setattr(getattr(torch.optim, optimizer), "step", stay)
    finding = found(name, dataset)
    assert finding.level == "fault", finding.says
    assert "accuracy" in finding.says


@pytest.mark.parametrize("name", models.MODELS)
def test_a_softmax_in_the_wrong_dimension_is_noticed(name: str, dataset: Dataset) -> None:
    """A model that normalises over its batch, which costs little accuracy, shows by its losses."""
    finding = found(name, dataset, in_wrong_dimension(getattr(models, name)))
    assert finding.level == "fault", finding.says
    assert "loss" in finding.says


def test_a_score_in_the_wrong_dimension_is_noticed(
    honest: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So does a log-loss whose probabilities sum to one over images."""
    right = scoring.score

    def wrong(logits: NDArray[np.float32], labels: NDArray[np.uint8]) -> scoring.Scores:
        over_images = logits - np.log(np.exp(logits.astype(float)).sum(0))
        rows = np.arange(len(labels))
        log_loss = float(-over_images[rows, labels].mean())
        return replace(right(logits, labels), log_loss=log_loss)

    monkeypatch.setattr("fmbench.execution.scorer.score", wrong)
    finding = scored("softmax", honest, dataset)
    assert finding.level == "fault", finding.says
    assert "log-loss" in finding.says


@pytest.mark.parametrize("build", [dropping, NeverEvaluated])
def test_dropout_left_on_is_noticed(build: Callable[[InputSpec], Any], dataset: Dataset) -> None:
    """A network that drops in evaluation too lies below the band."""
    finding = found("network", dataset, build)
    assert finding.level == "fault", finding.says
    assert "log-loss" in finding.says


def test_training_that_goes_around_a_wrong_gradient_is_noticed(dataset: Dataset) -> None:
    """A small model that is trained in contiguous memory, for no known reason, is a fault."""
    finding = found("network", dataset, scaled)
    assert finding.level == "fault", finding.says
    assert "channels last" in finding.says


def test_a_run_that_fails_is_a_fault(dataset: Dataset) -> None:
    """What a model raises is told, as a status of the run."""

    def fail(spec: InputSpec) -> nn.Module:
        raise ValueError("on purpose")

    finding = found("softmax", dataset, fail)
    assert (finding.level, "failed: ValueError: on purpose" in finding.says) == ("fault", True)


class RoughGradient(torch.autograd.Function):
    """A scale of channels whose gradient is one per cent too large in float32."""

    @staticmethod
    def forward(context: Any, maps: Tensor, scale: Tensor) -> Tensor:
        """Scale the channels."""
        context.save_for_backward(maps, scale)
        return maps * scale.view(1, -1, 1, 1)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        """Right in float64."""
        maps, scale = context.saved_tensors
        factor = 1.01 if gradient.dtype == torch.float32 else 1
        of_scale = factor * (gradient * maps).sum((0, 2, 3))
        return gradient * scale.view(1, -1, 1, 1), of_scale


class Rough(nn.Module):
    """A layer with that gradient, in any memory format."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8))

    def forward(self, maps: Tensor) -> Any:
        """Scale the channels."""
        return RoughGradient.apply(maps, self.weight)


def checked(**of: Callable[[], nn.Module]) -> list[Checked]:
    """What is found of some layers in float32."""
    return [*layers.check(CPU, FLOAT32, of)]


def test_wrong_gradients_of_channels_last_are_a_fault() -> None:
    """A layer that contiguous memory alone has right is named, in its precision."""
    (one,) = checked(scale=lambda: Scale(8))
    assert (one.verdict, "channels last alone" in one.says) == ("wrong", True)
    (finding,) = reference.of_gradients([one])
    assert finding.level == "fault"
    assert finding.says.startswith("scale, float32: the weight gradient of 2 is off by 99 times")


def test_gradients_wrong_in_any_memory_format_are_a_fault() -> None:
    """One per cent is enough: float64 says what is right."""
    (one,) = checked(scale=Rough)
    assert (one.verdict, one.says) == (
        "wrong",
        "the gradient of 2.weight is off by 0.01 times its size",
    )


class Fatal(nn.Module):
    """A layer that does something in bfloat16."""

    def __init__(self, act: Callable[[], Any]) -> None:
        super().__init__()
        self.act = act

    def forward(self, maps: Tensor) -> Tensor:
        """Leave the maps as they are."""
        if torch.is_autocast_enabled("cpu"):
            self.act()
        return maps


@pytest.mark.parametrize(
    ("act", "how"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGILL), "signal SIGILL"),
        (lambda: 1 / 0, "exit status 1"),
    ],
)
def test_a_layer_that_cannot_be_computed_is_a_fault(act: Callable[[], Any], how: str) -> None:
    """An instruction or an operation that is not there costs its layer and precision alone."""
    rules = layers.rules_by_precision(FLOAT32["float32"])
    found = [*layers.check(CPU, rules, {"fatal": lambda: Fatal(act)})]
    assert [(one.precision, one.verdict) for one in found] == [
        ("float32", "right"),
        ("bfloat16", "wrong"),
    ]
    assert found[1].says == f"one batch ends with {how}"


def test_a_known_fault_that_runs_go_around_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under AVX2 the strided 1x1 convolution of few channels is said, and nobody is stopped."""
    monkeypatch.setattr(departures, "_onednn_uses_avx2", lambda: True)
    name = "convolution 1x1, stride 2, 6 channels"
    found = checked(**{name: layers.LAYERS[name], "linear": layers.LAYERS["linear"]})
    assert [one.verdict for one in found] == ["avoided", "right"]
    warning, right = reference.of_gradients(found)
    assert (warning.level, right.level) == ("warning", "ok")
    assert "contiguous memory" in warning.says
    assert right.says == "right for 1 kind of layers in float32"


def result(**numbers: float) -> Result:
    """A run with these numbers, and others in the middle of the band."""
    middle = {name: one.mean for name, one in BAND.models["softmax"].numbers.items()}
    accuracy, log_loss, loss = (middle | numbers).values()
    return Result(
        status="ok",
        images=10_000,
        correct=round(accuracy * 10_000),
        log_loss=log_loss,
        calibration_error=0.0,
        curve=(1.0, loss),
    )


@pytest.mark.parametrize("number", band.NUMBERS)
@pytest.mark.parametrize("side", [-1, 1])
def test_each_number_is_held_on_both_sides(number: str, side: int) -> None:
    """Just within the band is ok, just beyond a fault that names the number alone."""
    known = BAND.models["softmax"].numbers[number]
    step = side * BAND.width * known.deviation
    within = reference.held("softmax", result(**{number: known.mean + 0.98 * step}), BAND)
    beyond = reference.held("softmax", result(**{number: known.mean + 1.02 * step}), BAND)
    assert within.level == "ok", within.says
    assert beyond.level == "fault"
    assert [name for name in band.NUMBERS if f" {name} " in beyond.says] == [number]


def test_the_band_is_that_of_these_models() -> None:
    """It was made under the protocols as they are, for each model, by as many runs as it says."""
    assert {name: one.digest for name, one in BAND.models.items()} == {
        name: models.rules_of(name).digest for name in models.MODELS
    }
    assert all(tuple(one.numbers) == band.NUMBERS for one in BAND.models.values())
    assert BAND.runs == 200
    assert len(BAND.devices) == 2
    assert 4 < BAND.width < 5


def test_no_single_alarm_in_ten_thousand() -> None:
    """Of normal numbers as many draws lie outside as the rule allows, shared out over all."""
    from scipy.stats import t

    beyond = t.sf(BAND.width / (1 + 1 / BAND.runs) ** 0.5, BAND.runs - 1)
    assert 2 * 6 * beyond == pytest.approx(band.ALARMS)


def test_the_command_passes_on_this_machine(fmbench: Fmbench) -> None:
    """`fmbench doctor --reference` reports both models and the gradients, and ends with 0."""
    ran = fmbench("doctor", "--reference", "--json")
    told = json.loads(ran.stdout)
    assert ran.returncode == 0, ran.stdout
    findings = msgspec.convert(told["findings"], list[Finding])
    assert [one.says.partition(":")[0] for one in findings if one.about == "reference"] == [
        "softmax",
        "network",
    ]
    (gradients,) = (one for one in findings if one.about == "gradients" and one.level == "ok")
    assert "of layers in float32 and bfloat16" in gradients.says


def test_a_child_that_crashes_is_a_fault(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """What had ended before is still reported; how the process ended is a line."""
    monkeypatch.setattr(reference, "ended", lambda *_: "it ended with signal SIGILL")
    (finding,) = reference.reference(hardware.cpu_device())
    assert (finding.level, "signal SIGILL" in finding.says) == ("fault", True)


def test_without_data_nothing_is_trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The reference needs the real data, and says so before it starts anything."""
    with pytest.raises(DataError):
        [*reference.reference(hardware.cpu_device(), data_dir=tmp_path)]


def made(*accuracies: float) -> reference_band.Made:
    """What came of some seeds that differ in the softmax's accuracy alone."""
    middle = {
        name: {number: one.mean for number, one in kept.numbers.items()}
        for name, kept in BAND.models.items()
    }
    runs = [result(accuracy=accuracy) for accuracy in accuracies]
    return reference_band.Made(
        device="A CPU",
        numbers={
            "softmax": [band.numbers_of(one) for one in runs],
            "network": [middle["network"]] * len(runs),
        },
        gradients=[],
        runs={"softmax": [reference.held("softmax", one, BAND) for one in runs]},
    )


def test_the_script_makes_the_band_and_counts_who_passes() -> None:
    """Mean and deviation are over the runs of all sets; one outside does not pass."""
    kept = reference_band.band_of([made(0.82, 0.83), made(0.84)])
    assert kept.runs == 3
    assert kept.models["softmax"].numbers["accuracy"].mean == pytest.approx(0.83)
    assert kept.models["softmax"].numbers["accuracy"].deviation == pytest.approx(0.01)
    sets = {"all": made(0.824, 0.1)}
    assert reference_band.passed(sets["all"]) == 1
    said, table = reference_band.report(sets, BAND)
    assert said.startswith("Seeds that pass: 1 of 2 with all instructions")
    assert "0.1000 to 0.8240" in table


@pytest.mark.sweep
@pytest.mark.parametrize("instructions", reference_band.INSTRUCTIONS)
def test_other_seeds_pass_on_each_instruction_set(instructions: str) -> None:
    """Seeds that are not behind the band lie in it; benchmarks/ does so with fifty."""
    variables = reference_band.INSTRUCTIONS[instructions]
    made = reference_band.make(range(51, 54), variables, None, BAND)
    assert reference_band.passed(made) == 3
    assert worst(made.gradients) != "fault"

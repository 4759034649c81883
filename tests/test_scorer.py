"""The scorer: what each stage may see, and that a worker's word counts only if its logits hold."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import TinyData
from fmbench import data, protocol
from fmbench.data import Dataset
from fmbench.data.split import stratified_split
from fmbench.errors import ProtocolError
from fmbench.execution.job import Answers, Inputs, RunOutcome
from fmbench.execution.scorer import Scorer
from fmbench.protocol import Protocol, StageName

VALIDATION, FIT = 60, 40
WATCHED = f"""[tune]
epochs = 1
fit_images = {FIT}

[[recipes]]
name = "other"
optimizer = "sgd"
learning_rate = 0.1

[[recipes]]"""


@dataclass(frozen=True)
class Answered:
    """A scorer of a protocol that asks for the fit, and where answers lie."""

    scorer: Scorer
    answers: Answers

    def score_run(self, logits: NDArray[np.float32]) -> tuple[str, int | None]:
        """Status and fit of these answers to a tune run."""
        np.save(self.answers.logits, logits)
        result = self.scorer.score_run("tune", RunOutcome(status="ok"), self.answers).result
        return result.status, result.fit_correct


@pytest.fixture
def rules(tiny: TinyData, tmp_path: Path) -> Protocol:
    """The tiny protocol with two recipes, whose tune runs show their fit."""
    return protocol.load(str(tiny.variant(tmp_path / "watched.toml", ("[[recipes]]", WATCHED))))


@pytest.fixture
def dataset(tiny: TinyData, rules: Protocol) -> Dataset:
    """The tiny data."""
    return data.load(tiny.folder, rules.data.sha256)


@pytest.fixture
def answered(dataset: Dataset, rules: Protocol, tmp_path: Path) -> Answered:
    """A scorer of the tiny data."""
    return Answered(Scorer(dataset, rules), Answers(tmp_path))


Images = NDArray[np.uint8]


def placed(
    dataset: Dataset, rules: Protocol, stage: StageName, folder: Path
) -> tuple[Images, Images, Images]:
    """Training images, their labels and evaluation images, as a worker of that stage gets them."""
    Scorer(dataset, rules).write_inputs(stage, folder / stage)
    assert {path.name for path in (folder / stage).iterdir()} == {
        "train_images.npy", "train_labels.npy", "evaluation_images.npy",
    }  # fmt: skip
    inputs = Inputs(folder / stage)
    return (
        inputs.read("train_images"),
        inputs.read("train_labels"),
        inputs.read("evaluation_images"),
    )


def each(images: Images) -> set[bytes]:
    """The images as values that can be looked up."""
    return {image.tobytes() for image in images}


def labelled(dataset: Dataset) -> set[tuple[bytes, int]]:
    """All training images with their labels."""
    pairs = zip(dataset.train_images, dataset.train_labels, strict=True)
    return {(image.tobytes(), int(label)) for image, label in pairs}


def test_recipes_are_tried_on_neither_test_nor_validation_images(
    dataset: Dataset, rules: Protocol, tmp_path: Path
) -> None:
    """A tune run classifies the validation split, then images it trains on, no others."""
    images, labels, evaluated = placed(dataset, rules, "tune", tmp_path)
    _, validation = stratified_split(dataset.train_labels, VALIDATION, rules.data.split_seed)
    np.testing.assert_array_equal(evaluated[:VALIDATION], dataset.train_images[validation])
    assert len(evaluated) == VALIDATION + FIT
    assert each(evaluated[VALIDATION:]) <= each(images)
    assert not each(images) & each(evaluated[:VALIDATION])
    assert not each(dataset.test_images) & (each(images) | each(evaluated))
    pairs = {(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)}
    assert pairs < labelled(dataset)
    assert len(pairs) == len(dataset.train_labels) - VALIDATION


def test_final_runs_train_on_everything_and_classify_the_test_set(
    dataset: Dataset, rules: Protocol, tmp_path: Path
) -> None:
    """A final run is given all training images with their labels, and the test images alone."""
    images, labels, evaluated = placed(dataset, rules, "final", tmp_path)
    np.testing.assert_array_equal(images, dataset.train_images)
    np.testing.assert_array_equal(labels, dataset.train_labels)
    np.testing.assert_array_equal(evaluated, dataset.test_images)


def test_the_fit_is_scored_apart(answered: Answered) -> None:
    """Answers to images trained on are counted among them, by class: one in ten is class 0."""
    logits = np.zeros((VALIDATION + FIT, 10), np.float32)
    assert answered.score_run(logits) == ("ok", FIT // 10)


@pytest.mark.parametrize("image", [0, VALIDATION - 1, VALIDATION, VALIDATION + FIT - 1])
def test_no_logit_may_be_other_than_finite(answered: Answered, image: int) -> None:
    """One NaN makes a run invalid, on an image that scores and on one that shows the fit."""
    logits = np.zeros((VALIDATION + FIT, 10), np.float32)
    logits[image, 3] = np.nan
    assert answered.score_run(logits) == ("invalid", None)


@pytest.mark.parametrize(
    "logits",
    [
        np.zeros((100, 11), np.float32),
        np.zeros((99, 10), np.float32),
        np.zeros((100, 10), np.float64),
    ],
    ids=["classes", "images", "dtype"],
)
def test_answers_of_another_form_are_invalid(answered: Answered, logits: NDArray[Any]) -> None:
    """Only float32 logits for each evaluation image and each class are scored."""
    assert answered.score_run(logits) == ("invalid", None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("epochs = 2", "epochs = 2\ntrain_images = 321"), "321 training images of 320"),
        (("fit_images = 40", "fit_images = 261"), "261 training images of 260"),
        (("batch_size = 16", "batch_size = 270"), "too few for the stage final"),
    ],
    ids=["final", "fit", "batch"],
)
def test_more_than_the_data_set_has_is_refused(
    tiny: TinyData, dataset: Dataset, tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    """A protocol that asks for more images than there are ends the command before any run."""
    path = tiny.variant(tmp_path / "p.toml", ("[[recipes]]", WATCHED), change)
    with pytest.raises(ProtocolError, match=said) as raised:
        Scorer(dataset, protocol.load(str(path)))
    assert raised.value.hint


def test_a_protocol_that_tries_no_recipe_keeps_no_image_from_its_finals(
    tiny: TinyData, dataset: Dataset, tmp_path: Path
) -> None:
    """With one recipe nothing is validated: finals may ask for all images there are."""
    path = tiny.variant(tmp_path / "p.toml", ("epochs = 2", "epochs = 2\ntrain_images = 320"))
    images, _, _ = placed(dataset, protocol.load(str(path)), "final", tmp_path)
    assert len(images) == len(dataset.train_images)


def test_each_stage_trains_on_its_own_number_by_class(
    tiny: TinyData, dataset: Dataset, tmp_path: Path
) -> None:
    """Tune and final runs get as many images as their tables say, as many of each class."""
    path = tiny.variant(
        tmp_path / "p.toml",
        ("epochs = 2", "epochs = 2\ntrain_images = 100"),
        ("[[recipes]]", WATCHED.replace("epochs = 1", "epochs = 1\ntrain_images = 80")),
    )
    stages: dict[StageName, int] = {"tune": 8, "final": 10}
    for stage, count in stages.items():
        _, labels, _ = placed(dataset, protocol.load(str(path)), stage, tmp_path)
        assert np.bincount(labels).tolist() == [count] * 10

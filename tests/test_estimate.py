"""How long a command will take, from speeds that were measured here or published."""

import msgspec
import pytest

import samples
from conftest import TinyData
from fmbench import protocol
from fmbench.console import runs
from fmbench.console.live import time_of
from fmbench.discovery import ListedModel
from fmbench.execution.estimate import SECONDS_TO_START_A_JOB, Estimate
from fmbench.execution.plan import Setting, make_setting, pending, train_steps
from fmbench.hardware import Device
from fmbench.records import Progress, Record

SIZES = 320, 100
CPU = Device(kind="cpu", name="A CPU", memory=1)


@pytest.fixture
def setting(tiny: TinyData) -> Setting:
    """The tiny protocol, two seeds, on a CPU."""
    return make_setting(protocol.load(str(tiny.protocol)), CPU)


def measured(model: str, speed: float, **changes: str) -> Record:
    """A record of a model's speed: inference is ten times as fast as training."""
    record = samples.record(samples.run(model=model, **changes))
    cost = msgspec.structs.replace(
        record.cost, images_per_second=speed, inference_images_per_second=10 * speed
    )
    return msgspec.structs.replace(record, cost=cost)


def seconds(setting: Setting, model: str, own: list[Record], published: list[Record]) -> float:
    """What the two runs of a model are expected to take."""
    return estimate(setting, model, own, published).remaining()


def listed(model: str) -> ListedModel:
    """A model that is on offer."""
    return ListedModel(name=model, summary="", size=28, source="", plugin=samples.PLUGIN)


def estimate(setting: Setting, model: str, own: list[Record], published: list[Record]) -> Estimate:
    """An estimate of the two runs of a model on the tiny data set."""
    made = Estimate([pending(listed(model), setting, {})], setting, own=own, published=published)
    made.sizes = SIZES
    return made


def expected(setting: Setting, speed: float) -> float:
    """Two runs at that speed."""
    rules = setting.protocol
    images = train_steps(rules, "final", SIZES[0]) * rules.training.batch_size
    return 2 * (images / speed + SIZES[1] / (10 * speed)) + SECONDS_TO_START_A_JOB


def test_what_was_measured_here_is_taken_as_it_is(setting: Setting) -> None:
    """Speeds of the store's own records of this device count, whatever is published."""
    own, published = [measured("m", 50.0)], [measured("m", 100.0)]
    assert seconds(setting, "m", own, published) == pytest.approx(expected(setting, 50.0))


def test_a_model_not_trained_here_is_scaled_by_those_that_were(setting: Setting) -> None:
    """On a machine half as fast as the published one everything is expected to be."""
    published = [measured("m", 100.0), measured("n", 30.0)]
    found = seconds(setting, "n", [measured("m", 50.0)], published)
    assert found == pytest.approx(expected(setting, 15.0))
    assert seconds(setting, "n", [], published) == pytest.approx(expected(setting, 30.0))


def test_of_an_unknown_model_nothing_is_said_until_it_has_trained(setting: Setting) -> None:
    """No number is made up: it is unknown, beside models that are known, until it reports."""
    of = estimate(setting, "new", [measured("m", 50.0)], [measured("n", 30.0)])
    assert of.unknown() == ["new"]
    assert of.remaining() == 0
    assert runs._how_long(of) == "how long is unknown until new has trained for a second"
    assert time_of(of) == "an unknown time"
    of.plan([pending(listed(model), setting, {}) for model in ("m", "other")])
    assert of.remaining() == pytest.approx(expected(setting, 50.0))
    said = time_of(of)
    assert said.startswith("more than ")
    assert runs._how_long(of) == f"{said}: how long is unknown until other has trained for a second"
    of.fmbench_epoch_end(
        Progress(
            run=samples.run(model="other"), epoch=1, epochs=2, step=10, steps=20, loss=1.0,
            images_per_second=25.0,
        )
    )  # fmt: skip
    assert of.unknown() == []
    assert of.remaining() > expected(setting, 50.0)
    assert time_of(of).startswith("about ")


def test_images_of_another_data_set_are_counted_before_anything_is_said(setting: Setting) -> None:
    """Fashion-MNIST's sizes are known; those of other bytes are not, until they are loaded."""
    of = estimate(setting, "m", [measured("m", 50.0)], [])
    of.sizes = None
    assert (of.unknown(), of.remaining()) == (["m"], 0)
    official = make_setting(protocol.load("quick-v1"), CPU)
    assert Estimate([], official, own=[], published=[]).sizes == (60_000, 10_000)


@pytest.mark.parametrize("order", [1, -1])
def test_speeds_under_the_same_protocol_count_first(setting: Setting, order: int) -> None:
    """Another protocol's precision is another speed, in whatever order records are read."""
    published = [measured("m", 70.0), measured("m", 20.0, protocol="other-v1")][::order]
    assert seconds(setting, "m", [], published) == pytest.approx(expected(setting, 70.0))


def test_progress_takes_its_share_off(setting: Setting) -> None:
    """Half way through the first of two runs a quarter of the training is done."""
    of = estimate(setting, "m", [measured("m", 50.0)], [])
    before = of.remaining()
    of.fmbench_epoch_end(
        Progress(
            run=samples.run(), epoch=1, epochs=2, step=20, steps=20, loss=1.0,
            images_per_second=50.0,
        )
    )  # fmt: skip
    training = train_steps(setting.protocol, "final", SIZES[0])
    images = training * setting.protocol.training.batch_size
    assert before - of.remaining() == pytest.approx(images / 50.0 / 2)


def test_a_run_that_has_ended_is_not_pending_any_more(setting: Setting) -> None:
    """With each run that ends its time goes, whatever was reported of it, until nothing is left."""
    of = estimate(setting, "m", [measured("m", 50.0)], [])
    one = (of.remaining() - SECONDS_TO_START_A_JOB) / 2
    of.fmbench_epoch_end(
        Progress(
            run=samples.run(), epoch=1, epochs=2, step=20, steps=20, loss=1.0,
            images_per_second=50.0,
        )
    )  # fmt: skip
    of.fmbench_run_end(samples.record())
    assert of.remaining() == pytest.approx(one + SECONDS_TO_START_A_JOB)
    of.fmbench_run_end(samples.record())
    assert of.remaining() == 0

"""How long a command will take, from speeds that were measured here or published."""

from pathlib import Path

import msgspec
import pytest

import samples
from conftest import TinyData
from fmbench import protocol
from fmbench.console import runs, stream
from fmbench.console.live import time_of
from fmbench.discovery import ListedModel
from fmbench.execution import session
from fmbench.execution.estimate import SECONDS_TO_START_A_JOB, Estimate
from fmbench.execution.plan import Setting, make_setting, pending, train_steps
from fmbench.execution.session import Session
from fmbench.hardware import Device
from fmbench.records import Progress, Record
from fmbench.store import Store
from fmbench.wording import duration

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


def test_a_time_that_rests_on_other_machines_alone_says_so(setting: Setting) -> None:
    """Published speeds that nothing here compares with are named; those measured here are not."""
    published = [measured("m", 100.0), measured("n", 30.0)]
    said = ", by the speed of published runs"
    assert runs._how_long(estimate(setting, "n", [], published)).endswith(said)
    for own in (measured("m", 50.0), measured("n", 50.0)):
        assert not runs._how_long(estimate(setting, "n", [own], published)).endswith(said)


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


def planned(setting: Setting, *models: str, workers: int = 1) -> Session:
    """A session of those models, of which nothing is done."""
    return Session(
        setting=setting,
        protocol_text="",
        models=(),
        problems=(),
        store=Store(Path("results"), setting.protocol.id),
        retry_failed=False,
        workers=workers,
        pending=tuple(pending(listed(model), setting, {}) for model in models),
    )


def priced(session: Session, own: list[Record], published: list[Record], machines: int) -> str:
    """What is printed of a session's costs at 60 an hour: the price is one a minute."""
    of = Estimate(
        session.pending, session.setting, own=own, published=published, workers=session.workers
    )
    of.sizes = SIZES
    with stream.out.capture() as told:
        runs.print_price(session, of, price=60.0, machines=machines)
    return told.get()


def test_runs_are_priced_by_the_hours_of_machines(setting: Setting) -> None:
    """Money is wall time times machines times the price; work is what one worker would take."""
    slow = measured("m", 0.5)
    work = expected(setting, 0.5)
    of = estimate(setting, "m", [slow], [])
    assert of.worker_seconds("m") == pytest.approx(work)
    assert of.worker_seconds("n") == 0
    alone = priced(planned(setting, "m"), [slow], [], 1)
    assert alone.startswith(f"2 runs: {duration(work)} of work, about {duration(work)} with 1 ")
    assert f"1 machine, {work / 60:.2f} at 60 an hour of a machine.\n" in alone
    shared = priced(planned(setting, "m", workers=4), [slow], [], 2)
    of.workers = 4
    assert f"{duration(work)} of work, about {duration(of.remaining())} with 4 workers" in shared
    assert f"2 machines, {2 * of.remaining() / 60:.2f} at 60" in shared


def test_what_is_extrapolated_is_said(setting: Setting) -> None:
    """Speeds from elsewhere, of other threads, and unknown ones are told from what was measured."""
    here = make_setting(setting.protocol, CPU, threads=2)
    m, n, other = measured("m", 50.0), measured("m", 100.0), measured("n", 9.0, protocol="o-v1")
    of = estimate(here, "m", [m], [n, other])
    sources = [of.source(model) for model in ("m", "n", "new")]
    assert sources == ["here, tiny-v1", "elsewhere, o-v1", "unknown"]
    assert "xtrapolated" not in priced(planned(here, "m"), [m], [n], 1)
    told = priced(planned(here, "m", "n", "new"), [m], [n, other], 1)
    assert told.startswith("4 runs: ")
    assert "published records, times 0.50, as what both have trained compares" in told
    assert told.endswith("Not in the sum, since nobody knows their speed: new.\n")
    assert "published records, as they are" in priced(planned(here, "n"), [], [other], 1)
    single = make_setting(setting.protocol, CPU, threads=1)
    assert estimate(single, "m", [m], []).source("m") == "here, tiny-v1, 2 threads"
    assert "these runs have 1 thread" in priced(planned(single, "m"), [m], [], 1)


def test_machines_are_counted_by_what_one_has_room_for(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers fill a machine's cores, or its GPUs, before they need another; none needs less."""
    monkeypatch.setattr(session, "cores", lambda: 4)
    single = make_setting(setting.protocol, CPU, threads=1)
    assert [planned(single, workers=count).machines for count in (1, 4, 5, 8)] == [1, 1, 2, 2]
    wide = make_setting(setting.protocol, CPU, threads=16)
    assert [planned(wide, workers=count).machines for count in (1, 3)] == [1, 3]

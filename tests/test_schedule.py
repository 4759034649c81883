"""Which runs the next job makes, of which model and how many."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

import samples
from conftest import TinyData
from crash_sweep import TUNED
from fmbench import hardware, protocol
from fmbench.discovery import ListedModel
from fmbench.execution.lifecycle import Lifecycle, Step
from fmbench.execution.plan import Pending, Setting, make_setting, pending
from fmbench.execution.schedule import SECONDS_WORTH_A_START, NoForecast, next_job
from fmbench.protocol import StageName


@dataclass
class Known:
    """A forecast of known lengths, in seconds a run."""

    lengths: dict[str, float] = field(default_factory=dict)

    def seconds(self, model: str, stage: StageName) -> float | None:  # noqa: ARG002
        """The length of any run of a model."""
        return self.lengths.get(model)

    def memory(self, model: str) -> float:  # noqa: ARG002
        """It needs none."""
        return 0.0


@pytest.fixture(scope="module")
def setting(tiny: TinyData, tmp_path_factory: pytest.TempPathFactory) -> Setting:
    """The tiny protocol with two recipes and ten seeds."""
    folder = tmp_path_factory.mktemp("schedule")
    seeds = ("seeds = [1, 2]", f"seeds = {list(range(1, 11))}")
    rules = protocol.load(str(tiny.variant(folder / "p.toml", TUNED, seeds)))
    return make_setting(rules, hardware.cpu_device(), threads=1)


def plans(setting: Setting, *names: str) -> list[Pending]:
    """What is pending of these models, when nothing has been made."""
    models = (
        ListedModel(name=name, summary="", size=28, source="", plugin=samples.PLUGIN)
        for name in names
    )
    return [pending(model, setting, {}) for model in models]


def test_one_worker_makes_models_in_their_order(setting: Setting) -> None:
    """All runs of the first model's stage are one job, however long others are."""
    found = next_job(plans(setting, "a", "b"), Lifecycle(), Known({"a": 1, "b": 900}), 1)
    assert found == plans(setting, "a")[0].tune


def test_several_begin_with_the_longest_model(setting: Setting) -> None:
    """With more than one worker the model that takes longest in all comes first."""
    found = next_job(plans(setting, "a", "b"), Lifecycle(), Known({"a": 1, "b": 900}), 2)
    assert {run.model for run in found} == {"b"}


def test_an_unknown_model_begins_with_one_run(setting: Setting) -> None:
    """Nobody knows how long it takes: it comes first, and one run of it tells."""
    known = plans(setting, "a", "b")
    assert [run.model for run in next_job(known, Lifecycle(), Known({"a": 900}), 2)] == ["b"]
    assert len(next_job(known, Lifecycle(), NoForecast(), 4)) == 1


def test_no_run_is_given_out_twice(setting: Setting) -> None:
    """What is under way is passed over, until nothing can be given out."""
    states = Lifecycle()
    given_out = []
    while runs := next_job(plans(setting, "a", "b"), states, Known({"a": 9, "b": 9}), 3):
        states.move(runs, Step.CLAIM)
        given_out += [run.key for run in runs]
    wanted = [run.key for plan in plans(setting, "a", "b") for run in plan.tune]
    assert sorted(given_out) == sorted(wanted)


@given(lengths=st.lists(st.floats(1e-3, 1e5), min_size=1, max_size=5), slots=st.integers(2, 64))
def test_a_job_is_a_share_and_worth_its_start(
    setting: Setting, lengths: list[float], slots: int
) -> None:
    """A job is at most half of a worker's part, unless less would not be worth a worker's start."""
    forecast = Known({f"m{number}": length for number, length in enumerate(lengths)})
    waiting = plans(setting, *forecast.lengths)
    runs = next_job(waiting, Lifecycle(), forecast, slots)
    each = forecast.lengths[runs[0].model]
    total = sum(forecast.lengths[plan.model.name] * plan.count for plan in waiting)
    assert len({(run.model, run.stage) for run in runs}) == 1
    assert len(runs) == 1 or len(runs) * each <= max(SECONDS_WORTH_A_START, total / slots / 2)

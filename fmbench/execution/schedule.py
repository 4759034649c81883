"""Which runs the next job makes: of the model with most left to do, as many as are its share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fmbench.execution.lifecycle import Lifecycle, State
from fmbench.execution.plan import Pending
from fmbench.protocol import StageName
from fmbench.records import Run

SECONDS_WORTH_A_START = 30.0
"""A job of less work than this would spend much of its time on the start of its worker."""


class Forecast(Protocol):
    """What is known of runs before they are made."""

    def seconds(self, model: str, stage: StageName) -> float | None:
        """How long one run takes; None where nobody knows."""

    def memory(self, model: str) -> float:
        """How many bytes of memory a worker needs at its peak."""


@dataclass(frozen=True)
class _Choice:
    """A model's runs that could be made now, and the seconds that all its pending runs take."""

    runs: tuple[Run, ...]
    seconds_each: float | None
    seconds_left: float


def next_job(
    plans: Sequence[Pending], states: Lifecycle, forecast: Forecast, slots: int
) -> tuple[Run, ...]:
    """The runs of the next job, all of one model and stage; empty when none can be made now.

    One worker makes models in their order, all runs of a stage in one job. Several begin with the
    model whose runs take longest together, so that the end is not one slow model alone; one of
    unknown length counts as longer than any. They share a model's runs: a job is half of a worker's
    part of all that is left, but not so little that its start would cost more.
    """
    choices = [_choice(plan, states, forecast) for plan in plans]
    choices = [choice for choice in choices if choice.runs]
    if not choices:
        return ()
    if slots == 1:
        return choices[0].runs
    chosen = max(choices, key=lambda choice: choice.seconds_left)
    if chosen.seconds_each is None:
        return chosen.runs[:1]
    known = sum(one.seconds_left for one in choices if math.isfinite(one.seconds_left))
    budget = max(SECONDS_WORTH_A_START, known / slots / 2)
    most = math.ceil(sum(len(one.runs) for one in choices) / slots)
    return chosen.runs[: max(1, min(most, int(budget / max(chosen.seconds_each, 1e-3))))]


def _choice(plan: Pending, states: Lifecycle, forecast: Forecast) -> _Choice:
    runs = tuple(run for run in plan.next if states.of(run) is State.PENDING)
    tune, final = (forecast.seconds(plan.model.name, stage) for stage in ("tune", "final"))
    each = tune if plan.tune else final
    finals = plan.count - len(plan.tune)
    if each is None or final is None:
        return _Choice(runs, each, math.inf)
    return _Choice(runs, each, len(plan.tune) * (tune or 0.0) + finals * final)


class NoForecast:
    """Nothing is known: every run may take long, and no memory is set aside."""

    def seconds(self, model: str, stage: StageName) -> float | None:  # noqa: ARG002 - see Forecast
        """Nobody knows."""
        return None

    def memory(self, model: str) -> float:  # noqa: ARG002 - see Forecast
        """None is set aside."""
        return 0.0

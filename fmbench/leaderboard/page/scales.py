"""Scales: where a value stands on an axis, and the ticks that people read it by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from fmbench.wording import UNITS

LINEAR_TICKS = 6
LOG_TICKS = 7
LOG_ROOM = 1.75  # at least so far beyond the values: neighbouring ticks are up to 3 times apart
LOG_GAP = 0.11  # between labels of a log axis, as a part of it
NARROWEST = 0.005
# Times people say. Between a minute and an hour powers of ten are not among them.
TIMES = (
    *(mantissa * 10.0**power for power in range(-4, 1) for mantissa in (1, 2, 5)),
    *(10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 18000, 43200),
    *(86400 * days for days in (1, 2, 5, 10, 20, 50, 100)),
)
TIME_DECADES = (*(10.0**power for power in range(-4, 2)), 60, 600, 3600, 36000, 432000, 4320000)
DECADES = tuple(10.0**power for power in range(-12, 25))
COUNTS = tuple(mantissa * decade for decade in DECADES for mantissa in (1, 2, 5))


@dataclass(frozen=True)
class Tick:
    """A tick: its place on the axis, 0 to 1, and what stands beside it."""

    place: float
    label: str


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`, linear or logarithmic."""

    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value stands, 0 to 1; one beyond the ends stands on the end."""
        if self.log:
            value, low, high = log10(max(value, self.low)), log10(self.low), log10(self.high)
        else:
            low, high = self.low, self.high
        return min(1.0, max(0.0, (value - low) / (high - low)))


def shares(values: Sequence[float], *, room: float | None = None) -> tuple[Scale, tuple[Tick, ...]]:
    """A scale for accuracies from 0 to 1, with ticks in per cent.

    It goes beyond the values by `room`, a part of what they cover, or else to the next ticks.
    """
    low, high = min(values), max(values)
    widen = max(0.0, NARROWEST - (high - low)) / 2 + (room or 0.0) * (high - low)
    low, high = low - widen, high + widen
    step = _step(high - low)
    if room is None:
        low, high = _multiple(floor, low, step), _multiple(ceil, high, step)
    scale = Scale(max(0.0, low), min(1.0, high))
    digits = max(0, ceil(-log10(100 * step) - 1e-9))
    first, last = ceil(scale.low / step - 1e-6), floor(scale.high / step + 1e-6)
    return scale, tuple(
        Tick(scale.place(number * step), f"{100 * number * step:.{digits}f}")
        for number in range(first, last + 1)
    )


def times(values: Sequence[float]) -> tuple[Scale, tuple[Tick, ...]]:
    """A log scale for positive times in seconds."""
    return _logarithmic(values, TIMES, TIME_DECADES, _time)


def counts(values: Sequence[float]) -> tuple[Scale, tuple[Tick, ...]]:
    """A log scale for positive counts, and other numbers without a unit."""
    return _logarithmic(values, COUNTS, DECADES, _count)


def _logarithmic(
    values: Sequence[float],
    fine: Sequence[float],
    coarse: Sequence[float],
    label: Callable[[float], str],
) -> tuple[Scale, tuple[Tick, ...]]:
    low, high = min(values), max(values)
    room = max((high / low) ** 0.07, LOG_ROOM)
    scale = Scale(low / room, high * room, log=True)
    within = [value for value in fine if scale.low <= value <= scale.high]
    if len(within) > LOG_TICKS:
        within = [value for value in coarse if scale.low <= value <= scale.high]
    ticks: list[Tick] = []
    for value in within:
        tick = Tick(scale.place(value), label(value))
        if not ticks or tick.place - ticks[-1].place >= LOG_GAP:
            ticks.append(tick)
    return scale, tuple(ticks)


def _step(width: float) -> float:
    """The distance of ticks, one, two or five times a power of ten, near what gives so many."""
    raw = width / LINEAR_TICKS
    power = 10.0 ** floor(log10(raw))
    return float(min((m * power for m in (1, 2, 5, 10)), key=lambda step: abs(log10(step / raw))))


def _multiple(rounded: Callable[[float], int], value: float, step: float) -> float:
    """The multiple of a step below or above a value, which may miss it by a rounding error."""
    near = round(value / step)
    return (near if abs(value / step - near) < 1e-6 else rounded(value / step)) * step


def _time(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _count(number: float) -> str:
    power = min(len(UNITS) - 1, int(log10(number) / 3 + 1e-9)) if number >= 1 else 0
    return f"{number / 1000**power:g} {UNITS[power]}".rstrip()

"""Tables: measurements as Markdown, the same on the terminal and in README.md."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median

from measurements import (
    FLOOR,
    FMBENCH,
    LIGHTNING,
    PEERS,
    Boards,
    Growth,
    Ladder,
    Measurement,
    Memory,
    Occasion,
    Overhead,
    Speed,
    SpeedRow,
    TimeToAccuracy,
)

from fmbench.wording import duration, markdown_table

MEGABYTE = 10**6


def to_markdown(measurement: Measurement) -> str:
    """The tables of a measurement, and below them where they were made."""
    match measurement:
        case Speed():
            tables = [_ratios(measurement), _rates(measurement)]
        case Growth():
            tables = [_growth(measurement)]
        case Memory():
            tables = [_memory(measurement)]
        case TimeToAccuracy():
            tables = [_epochs(measurement)]
        case Ladder():
            tables = [_ladder(measurement)]
        case Boards():
            tables = [_boards(measurement)]
        case Overhead():
            tables = [_overhead(measurement)]
    return "\n\n".join([*tables, where(measurement.occasion)]) + "\n"


def where(occasion: Occasion) -> str:
    """The machine and the versions, as a sentence."""
    here = occasion.environment
    libraries = ", ".join(f"{name} {version}" for name, version in sorted(here.libraries.items()))
    version = f"{here.fmbench} {here.commit[:12]}".strip()
    device = "" if here.device.kind == "cpu" else f"{here.device.name}, "
    return (
        f"{occasion.made}, {device}{here.cpu}, {here.cores} cores, threads used: {here.threads}, "
        f"{here.os}, Python {here.python}, fmbench {version}, {libraries}; "
        f"other programs used {occasion.busy:.0%} of the cores."
    )


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The median, and in brackets the smallest and largest value."""
    return spread_of(values, lambda value: f"{value:,.{digits}f}")


def spread_of(values: Sequence[float], say: Callable[[float], str]) -> str:
    """The same, each value said in this way; one value alone stands alone."""
    if len(values) == 1:
        return say(values[0])
    return f"{say(median(values))} ({say(min(values))}–{say(max(values))})"


def ratios(row: SpeedRow, upper: Sequence[str], lower: Sequence[str]) -> list[float]:
    """Round by round, the time of the quickest of `upper` over that of the quickest of `lower`.

    Empty when a contender on either side did not take part.
    """
    seconds = {one.contender: one.seconds for one in row.contended}
    above = [seconds[name] for name in upper if name in seconds]
    below = [seconds[name] for name in lower if name in seconds]
    if not above or not below:
        return []
    over = zip(zip(*above, strict=True), zip(*below, strict=True), strict=True)
    return [min(one) / min(other) for one, other in over]


def _ratios(speed: Speed) -> str:
    """How many times as long the others take, and fmbench as long as the floor."""
    headings = ["model", "recipe", "images", "peer ÷ fmbench", "Lightning ÷ fmbench"]
    rows = [
        [
            row.model,
            row.recipe,
            f"{row.images:,}",
            *(
                spread(found) if (found := ratios(row, upper, lower)) else ""
                for upper, lower in (
                    (PEERS, [FMBENCH]),
                    (LIGHTNING, [FMBENCH]),
                    ([FMBENCH], [FLOOR]),
                )
            ),
        ]
        for row in speed.rows
    ]
    return table([*headings, "fmbench ÷ floor"], rows, left=2)


def _rates(speed: Speed) -> str:
    """Images a second of each contender, and its time over fmbench's."""
    rows = [
        [
            row.model,
            one.contender,
            spread([row.images / seconds for seconds in one.seconds], 0),
            spread(found) if (found := ratios(row, [one.contender], [FMBENCH])) else "",
            str(len(one.seconds)),
        ]
        for row in speed.rows
        for one in row.contended
    ]
    return table(["model", "contender", "images/s", "time ÷ fmbench's", "rounds"], rows, left=2)


def _growth(growth: Growth) -> str:
    """What a command takes as it gets larger, and how that compares with 1×, fixed cost off."""
    base = {row.axis: row.seconds for row in growth.rows if row.factor == 1}
    rows = []
    for row in growth.rows:
        fixed = growth.idle if row.axis == "models" else growth.shortest
        net = [
            (seconds - less) / (first - less)
            for seconds, first, less in zip(row.seconds, base[row.axis], fixed, strict=True)
        ]
        size = f"{row.images:,} × {row.epochs} × {row.models} × {row.seeds}"
        times = [spread(row.seconds), spread(row.train_seconds), spread(net)]
        rows.append([row.axis, f"{row.factor}×", size, *times])
    headings = ["more", "", "images × epochs × models × seeds", "command, s", "training, s"]
    fixed_costs = (
        f"Fixed costs: the shortest run {spread(growth.shortest)} s, taken off where images, "
        f"epochs or seeds grow; a command with nothing left to run {spread(growth.idle)} s, "
        "taken off where models grow, since each has a worker of its own."
    )
    shown = table([*headings, "net ÷ 1×"], rows, left=2)
    return f"{shown}\n\n{_medians(growth.shortest)} {fixed_costs}"


def _memory(memory: Memory) -> str:
    """Peak memory of a worker and of the bare process, and the difference round by round."""
    rows = [
        [
            row.model,
            row.protocol,
            spread([size / MEGABYTE for size in row.worker], 0),
            spread([size / MEGABYTE for size in row.bare], 0),
            spread(
                [
                    (worker - bare) / MEGABYTE
                    for worker, bare in zip(row.worker, row.bare, strict=True)
                ],
                0,
            ),
        ]
        for row in memory.rows
    ]
    headings = ["model", "protocol", "worker, MB", "bare process, MB", "difference, MB"]
    written = "with a checkpoint each epoch" if memory.checkpoints else "without checkpoints"
    said = f"{_medians(memory.rows[0].worker)} Workers {written}; 1 MB is 1,000,000 bytes."
    return f"{table(headings, rows, left=2)}\n\n{said}"


def _medians(rounds: Sequence[float]) -> str:
    return f"Medians of {len(rounds)} rounds, with the smallest and the largest."


def _epochs(found: TimeToAccuracy) -> str:
    """A sentence with the time, and the accuracy after each epoch."""
    head = f"{found.model}, {found.protocol}, {found.recipe}, seed {found.seed}: "
    target = f"{100 * found.target:.2f} % test accuracy"
    head += (
        f"{target} or more after {duration(found.seconds)} of training, {len(found.epochs)} epochs "
        f"of a schedule of {found.max_epochs}."
        if found.reached
        else f"{target} was not reached in {found.max_epochs} epochs, {duration(found.seconds)}."
    )
    total, rows = 0.0, []
    for number, epoch in enumerate(found.epochs, start=1):
        total += epoch.seconds
        rows.append(
            [str(number), f"{total:.2f}", f"{epoch.loss:.4f}", f"{100 * epoch.accuracy:.2f}"]
        )
    return f"{head}\n\n{table(['epoch', 'training, s', 'loss', 'test accuracy, %'], rows, left=0)}"


def _ladder(found: Ladder) -> str:
    """Images a second of each rung, what it gained on the one below it, and an epoch's time."""
    rates = [[rung.images / seconds for seconds in rung.seconds] for rung in found.rungs]
    gains = [
        [rate / lower for lower, rate in zip(below, above, strict=True)]
        for below, above in pairwise(rates)
    ]
    shown = table(
        ["", "batch", "images/s", "times the one above", "an epoch of 60,000"],
        [
            [
                rung.name,
                f"{rung.batch_size}",
                spread(rate, 1),
                spread(gain) if gain else "",
                duration(60_000 / median(rate)),
            ]
            for rung, rate, gain in zip(found.rungs, rates, [[], *gains], strict=True)
        ],
        left=1,
    )
    return f"{shown}\n\n{_medians(found.rungs[0].seconds)}"


def _boards(found: Boards) -> str:
    """What reading and tabulating takes as records grow in number; memory with ranks computed."""
    headings = ["records", "models", "read, s", "ranks computed, s", "ranks cached, s"]
    return table(
        [*headings, "peak memory, MB"],
        [
            [
                f"{row.records:,}",
                f"{row.computed.models:,}",
                f"{row.computed.read_seconds:.2f}",
                f"{row.computed.tabulate_seconds:.2f}",
                f"{row.cached.tabulate_seconds:.2f}",
                f"{row.computed.peak_memory / MEGABYTE:,.0f}",
            ]
            for row in found.rows
        ],
        left=0,
    )


def _overhead(found: Overhead) -> str:
    """Where the wall time of a command went, and the share outside training and evaluation."""
    total = sum(found.seconds.values())
    rows = [
        [part.value, f"{seconds:,.1f}", f"{100 * seconds / total:.1f}"]
        for part, seconds in found.seconds.items()
    ]
    head = (
        f"{found.protocol}, {found.runs} runs of {', '.join(found.models)}: "
        f"{duration(total)}, {100 * found.share:.1f} % outside training and evaluation."
    )
    return f"{head}\n\n{table(['part', 'seconds', '%'], rows, left=1)}"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> str:
    """A Markdown table; its first `left` columns are words."""
    right = [number >= left for number in range(len(headings))]
    return markdown_table(headings, rows, right=right) if rows else "nothing measured"

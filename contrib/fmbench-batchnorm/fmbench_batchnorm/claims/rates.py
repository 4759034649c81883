"""Claim 1: larger learning rates work, and training is faster."""

from collections.abc import Sequence
from statistics import median

from fmbench_batchnorm.evidence import Runs, Study
from fmbench_batchnorm.findings import (
    ALL_TRAIN,
    Finding,
    Table,
    accuracy,
    gain,
    seeds_that_train,
    verdict,
)
from fmbench_batchnorm.intervals import difference, mean

TARGETS = (0.80, 0.85, 0.90)
JUDGED = 0.85


def epochs(runs: Runs, target: float) -> list[float]:
    """Epochs to a target, a seed each; a seed that never gets there counts as one epoch more."""
    never = runs.epochs + 1.0
    return [never if epoch is None else epoch for epoch in runs.epochs_to(target)]


def fastest(group: Sequence[Runs], target: float) -> Runs:
    """The runs at the learning rate with the fewest epochs to a target."""
    return min(group, key=lambda runs: sum(epochs(runs, target)))


def largest(group: Sequence[Runs]) -> Runs | None:
    """The runs at the largest learning rate that trains."""
    return max((r for r in group if r.train), key=lambda runs: runs.rate, default=None)


def find(study: Study) -> Finding:
    """Compare the largest learning rates that train, and the epochs to an accuracy."""
    plain, normalised = study.rates.of(study.plain), study.rates.of(study.plain.normalised)
    without, with_it = largest(plain), largest(normalised)
    gained = None
    if with_it:
        at_that_rate = next(runs for runs in plain if runs.rate == with_it.rate)
        gained = difference(with_it.accuracies, at_that_rate.accuracies)
    larger = bool(
        with_it and gained and gained.above_zero and (not without or with_it.rate > without.rate)
    )
    slow, fast = fastest(plain, JUDGED), fastest(normalised, JUDGED)
    saved = difference(epochs(slow, JUDGED), epochs(fast, JUDGED))
    end = "at least " if with_it is normalised[-1] else ""
    return Finding(
        number=1,
        claim="With batch norm larger learning rates work, and training is faster.",
        rule=(
            f"Holds when the largest learning rate at which {ALL_TRAIN} is larger with batch norm, "
            "with a gain there whose interval lies above zero, and the epochs it saves on the way "
            f"to {JUDGED:.0%}, each network at its fastest rate, have an interval above zero. "
            "Partly: one of the two."
        ),
        verdict=verdict(whole=larger and saved.above_zero, part=larger or saved.above_zero),
        conclusion=(
            f"The largest rate tried that trains is {end}{_rate(with_it)} with batch norm and "
            f"{_rate(without)} without; at the former batch norm gains "
            f"{gained.points() if gained else 'nothing'} points. To {JUDGED:.0%} it saves "
            f"{saved.number()} epochs."
        ),
        runs=len(study.rates.records),
        method=(
            "Epochs are read off linearly between the accuracies after each, and from chance "
            "before the first; a seed that does not get to the accuracy counts as "
            f"{slow.epochs + 1}. {_time(plain, normalised)} Where the limits of either network lie "
            "between the rates tried is not known. The runs of claims 2 to 5 repeat some of these "
            "from other random streams, the last table; the verdict leaves them out."
        ),
        tables=(
            Table(
                "Validation accuracy after the last epoch, %: mean over seeds (95 % interval)",
                (
                    "learning rate",
                    *("without", "seeds that train"),
                    *("with batch norm", "seeds that train"),
                    "difference, points",
                ),
                tuple(
                    (
                        f"{one.rate:g}",
                        *(accuracy(one), seeds_that_train(one)),
                        *(accuracy(other), seeds_that_train(other)),
                        gain(other, one),
                    )
                    for one, other in zip(plain, normalised, strict=True)
                ),
            ),
            Table(
                "Epochs to a validation accuracy, each network at the rate where it takes fewest: "
                "mean (95 % interval)",
                ("accuracy", "without", "with batch norm", "saved"),
                tuple(_reached(target, plain, normalised) for target in TARGETS),
            ),
            Table(
                f"Epochs to {JUDGED:.0%} at each learning rate: mean (95 % interval)",
                ("learning rate", "without", "with batch norm", "saved"),
                tuple(
                    (f"{one.rate:g}", *_compared(JUDGED, one, other, rates=False))
                    for one, other in zip(plain, normalised, strict=True)
                ),
            ),
            Table(
                "The same networks from other random streams: validation accuracy, %: mean "
                "(95 % interval)",
                (
                    *("learning rate", "network"),
                    *("here", "seeds that train"),
                    *("other streams", "seeds that train"),
                ),
                tuple(
                    (
                        f"{here.rate:g}",
                        "with batch norm" if here.variant.batch_norm else "without",
                        *(accuracy(here), seeds_that_train(here)),
                        *(accuracy(again), seeds_that_train(again)),
                    )
                    for here in (*plain, *normalised)
                    for again in study.changes.of(here.variant)
                    if again.rate == here.rate
                ),
            ),
        ),
    )


def _rate(runs: Runs | None) -> str:
    return f"{runs.rate:g}" if runs else "none"


def _time(plain: Sequence[Runs], normalised: Sequence[Runs]) -> str:
    """How many times as long training takes with batch norm, of runs that went to their ends."""
    ratios = [
        after.cost.train_seconds / before.cost.train_seconds
        for one, other in zip(plain, normalised, strict=True)
        for before, after in zip(one.records, other.records, strict=True)
        if before.result.status == after.result.status == "ok"
    ]
    if not ratios:
        return ""
    return (
        f"As many epochs took {median(ratios):.2f} times as long with batch norm, the median of "
        f"{len(ratios)} pairs of runs, while others shared the machine."
    )


def _reached(
    target: float, plain: Sequence[Runs], normalised: Sequence[Runs]
) -> tuple[str, str, str, str]:
    slow, fast = fastest(plain, target), fastest(normalised, target)
    return f"{target:.0%}", *_compared(target, slow, fast, rates=True)


def _compared(target: float, slow: Runs, fast: Runs, *, rates: bool) -> tuple[str, str, str]:
    anywhere = any(epoch is not None for r in (slow, fast) for epoch in r.epochs_to(target))
    saved = difference(epochs(slow, target), epochs(fast, target)).number() if anywhere else ""
    return _epochs(slow, target, rates), _epochs(fast, target, rates), saved


def _epochs(runs: Runs, target: float, rate: bool) -> str:
    at = f" at {runs.rate:g}" if rate else ""
    reached = [epoch for epoch in runs.epochs_to(target) if epoch is not None]
    if not reached:
        return f"not in {runs.epochs}{', at no rate' if rate else ''}"
    needed = mean(epochs(runs, target))
    if len(reached) == len(runs.records):
        return f"{needed.plain()}{at}"
    return f"{needed.value:.1f}{at}, {len(reached)} of {len(runs.records)} seeds"

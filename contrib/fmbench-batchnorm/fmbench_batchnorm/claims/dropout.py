"""Claim 6: batch norm regularises, and dropout matters less."""

from dataclasses import replace

from fmbench_batchnorm.evidence import Runs, Study, tuning
from fmbench_batchnorm.findings import (
    TRAINS,
    Finding,
    Table,
    accuracy,
    count,
    over_seeds,
    seeds_that_train,
    trained,
    trains,
    verdict,
)
from fmbench_batchnorm.intervals import difference, differences, mean


def groups(study: Study) -> tuple[Runs, Runs, Runs, Runs]:
    """Plain without and with dropout, then normalised without and with, each at its better rate."""
    plain, normalised = study.plain, study.plain.normalised
    return (
        study.best(replace(plain, dropout=0.0)),
        study.best(plain),
        study.best(replace(normalised, dropout=0.0)),
        study.best(normalised),
    )


def find(study: Study) -> Finding:
    """Compare the gaps between images trained on and others, with and without dropout."""
    bare, dropped, normalised, both = groups(study)
    named = {"neither": bare, "dropout": dropped, "batch norm": normalised, "both": both}
    narrower = difference(bare.gaps, normalised.gaps)
    by_dropout = differences(bare.gaps, dropped.gaps)
    by_dropout_with_it = differences(normalised.gaps, both.gaps)
    less = difference(by_dropout, by_dropout_with_it)
    all_train = all(map(trains, named.values()))
    regularises = all_train and narrower.above_zero
    matters_less = (
        all_train
        and less.above_zero
        and abs(mean(by_dropout_with_it).value) < mean(by_dropout).value
    )
    images = tuning(study.changes_protocol).fit_images
    variants = {runs.variant for runs in named.values()}
    return Finding(
        number=6,
        claim="Batch norm regularises, and dropout matters less with it.",
        rule=(
            f"Of networks that train (every seed ends at {TRAINS:.0%} or more), it holds when, "
            "without dropout, the gap between accuracy on images trained on and on others is "
            "narrower with batch norm, and when dropout narrows it by less with batch norm than "
            "without, both intervals above zero, and moves it less far there, the means without "
            "regard to sign; each network at its better rate. Partly: one of the two."
        ),
        verdict=verdict(whole=regularises and matters_less, part=regularises or matters_less),
        conclusion=(
            f"Without dropout, the gap without batch norm less the gap with it is "
            f"{narrower.points()} points. Dropout narrows the gap by {mean(by_dropout).points()} "
            f"points without batch norm and by {mean(by_dropout_with_it).points()} with it; the "
            f"difference is {less.points()}. All seeds train in {trained(list(named.values()))} "
            f"networks{_not_with(named)}."
        ),
        runs=count([runs for (one, _), runs in study.changes.items() if one in variants]),
        tables=(
            Table(
                f"Accuracy on {images:,} images trained on and on others, %: mean (95 % interval)",
                (
                    "network",
                    "at rate",
                    "trained on",
                    "validation",
                    "seeds that train",
                    "gap, points",
                ),
                tuple(
                    (
                        name,
                        f"{runs.rate:g}",
                        over_seeds(runs, runs.fits),
                        accuracy(runs),
                        seeds_that_train(runs),
                        over_seeds(runs, runs.gaps),
                    )
                    for name, runs in named.items()
                ),
            ),
        ),
    )


def _not_with(named: dict[str, Runs]) -> str:
    """Which networks do not train at every seed, and how many seeds of theirs do."""
    off = [f"{name} ({seeds_that_train(runs)})" for name, runs in named.items() if not trains(runs)]
    return f", not with {', '.join(off)}" if off else ""

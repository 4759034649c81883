"""Claim 3: the spread of the initial weights does not matter."""

from dataclasses import replace

from fmbench_batchnorm.evidence import Runs, Study
from fmbench_batchnorm.findings import (
    MARGIN,
    TRAINS,
    Finding,
    compared,
    count,
    insensitive,
    shortfall,
    trained,
    trains,
    verdict,
)
from fmbench_batchnorm.plan import DEVIATIONS


def groups(study: Study) -> tuple[list[Runs], list[Runs]]:
    """Runs by standard deviation, without and with batch norm, each at its better rate."""
    changed = [replace(study.plain, std=std) for std in DEVIATIONS]
    return (
        [study.best(variant) for variant in changed],
        [study.best(variant.normalised) for variant in changed],
    )


def find(study: Study) -> Finding:
    """Compare every spread with the best."""
    plain, normalised = groups(study)
    more = sum(map(trains, normalised)) > sum(map(trains, plain))
    return Finding(
        number=3,
        claim="With batch norm the spread of the initial weights does not matter.",
        rule=(
            f"Over standard deviations from {DEVIATIONS[0]:g} to {DEVIATIONS[-1]:g}, spread does "
            f"not matter to a network when every seed ends at {TRAINS:.0%} or more and no mean "
            f"lies {100 * MARGIN:g} points or more below the best, the whole interval. Holds when "
            "that is so with batch norm and not without. Partly when it is so with and without, or "
            "when more spreads train with batch norm than without."
        ),
        verdict=verdict(
            whole=insensitive(normalised) and not insensitive(plain),
            part=insensitive(normalised) or more,
        ),
        conclusion=(
            f"With batch norm {trained(normalised)} spreads train, without it {trained(plain)}; "
            f"with it the worst is {shortfall(normalised).points()} points from the best."
        ),
        runs=count([runs for (one, _), runs in study.changes.items() if one.std is not None]),
        tables=(
            compared(
                "Validation accuracy at the better learning rate, %: mean (95 % interval)",
                "standard deviation",
                [f"{runs.variant.std:g}" for runs in plain],
                plain,
                normalised,
            ),
        ),
    )

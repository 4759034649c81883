"""Claim 3: the spread of the initial weights does not matter."""

from dataclasses import replace

from fmbench_batchnorm.evidence import Runs, Study
from fmbench_batchnorm.findings import (
    ALL_TRAIN,
    MARGIN,
    Finding,
    Sensitivity,
    compared,
    verdict,
)
from fmbench_batchnorm.plan import DEVIATIONS

USUAL = "as usual"


def groups(study: Study) -> tuple[list[Runs], list[Runs]]:
    """Runs with the usual weights, then by standard deviation: without and with batch norm."""
    variants = [study.plain, *(replace(study.plain, std=std) for std in DEVIATIONS)]
    return (
        [study.changes.best(variant) for variant in variants],
        [study.changes.best(variant.normalised) for variant in variants],
    )


def named(runs: Runs) -> str:
    """The standard deviation of their initial weights."""
    return USUAL if runs.variant.std is None else f"{runs.variant.std:g}"


def find(study: Study) -> Finding:
    """Compare every spread with the best."""
    plain, normalised = groups(study)
    found = Sensitivity(plain, normalised)
    return Finding(
        number=3,
        claim="With batch norm the spread of the initial weights does not matter.",
        rule=(
            f"Of the usual initial weights and normal ones with standard deviations from "
            f"{DEVIATIONS[0]:g} to {DEVIATIONS[-1]:g}, each at the best of its rates: spread does "
            f"not matter when with each {ALL_TRAIN} and the whole interval of each but the best "
            f"stays less than {100 * MARGIN:g} points below the best; it matters when with one no "
            f"seed does, or the whole interval of one lies more than {100 * MARGIN:g} points "
            "below. Holds when it does not matter with batch norm and matters without. Partly when "
            "it does not matter with batch norm, or when there the best and the worst lie closer "
            "together, seed by seed, the interval above zero, and the best trains."
        ),
        verdict=verdict(whole=found.gone and found.there, part=found.gone or found.less),
        conclusion=found.conclusion("spreads"),
        runs=study.changes.count(runs.variant for runs in (*plain, *normalised)),
        method=(
            "As usual: normal, with the standard deviation of He et al. 2015, which depends on "
            "the layer. Convolutions alone are changed. At a standard deviation of 0.001 the "
            "variance of the first layer's output is about the 1e-5 that batch norm adds to it: "
            "there it does not fully normalise."
        ),
        tables=(
            compared(
                "Validation accuracy at the best of the learning rates, %: mean (95 % interval)",
                "standard deviation",
                [named(runs) for runs in plain],
                plain,
                normalised,
                study.changes.tried,
            ),
        ),
    )

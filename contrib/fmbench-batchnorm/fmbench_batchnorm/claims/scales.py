"""Claim 4: the scale of the weights does not matter."""

from dataclasses import replace

from fmbench_batchnorm.claims.bias import EXACT
from fmbench_batchnorm.evidence import Runs, Study
from fmbench_batchnorm.findings import (
    MARGIN,
    TRAINS,
    Finding,
    Table,
    compared,
    count,
    insensitive,
    seeds_that_train,
    shortfall,
    trained,
    verdict,
)
from fmbench_batchnorm.invariance import METHOD
from fmbench_batchnorm.plan import SCALES

NEGLIGIBLE = 0.01


def groups(study: Study) -> tuple[list[Runs], list[Runs]]:
    """Runs by the weights' factor, 1 among them, each at its better rate: without and with."""
    changed = [replace(study.plain, scale=factor) for factor in sorted((*SCALES, 1.0))]
    return (
        [study.best(variant) for variant in changed],
        [study.best(variant.normalised) for variant in changed],
    )


def find(study: Study) -> Finding:
    """Multiply weights by factors: in a network as it is, and before training it."""
    plain, normalised = groups(study)
    scaled = study.invariance.scaled
    exact = max(change.without_epsilon for change in scaled.values())
    factor, used = max(
        ((factor, change.with_epsilon) for factor, change in scaled.items()),
        key=lambda pair: pair[1],
    )
    same_function = exact < EXACT and used < NEGLIGIBLE
    indifferent = insensitive(normalised)
    variants = {runs.variant for runs in (*plain, *normalised)}
    return Finding(
        number=4,
        claim="With batch norm the scale of the weights does not matter.",
        rule=(
            "Holds when multiplying a layer's weights changes no logit by more than "
            f"{EXACT:g} of the largest with nothing added to variances, and by less than "
            f"{NEGLIGIBLE:g} of it as batch norm is used, and when networks that start from "
            f"multiplied weights train alike with batch norm (every seed at {TRAINS:.0%} or more, "
            f"no mean {100 * MARGIN:g} points or more below the best, the whole interval) and not "
            "without. Partly: the first with nothing added, or the last with batch norm."
        ),
        verdict=verdict(
            whole=same_function and indifferent and not insensitive(plain),
            part=exact < EXACT or indifferent,
        ),
        conclusion=(
            f"Logits change by at most {exact:.1e} of the largest with nothing added to variances; "
            f"as batch norm is used, by up to {used:.1e}, for the factor {factor}. Trained from "
            f"multiplied weights, {trained(normalised)} factors train with batch norm, the worst "
            f"{shortfall(normalised).points()} points from the best, and {trained(plain)} without; "
            f"seeds that train at factor 1 there: {seeds_that_train(study.best(study.plain))}."
        ),
        runs=count([runs for (one, _), runs in study.changes.items() if one in variants]),
        method=METHOD,
        tables=(
            Table(
                "One layer's weights multiplied: largest change of a logit, of the largest logit",
                ("factor", "without", "with batch norm", "with it, nothing added to variances"),
                tuple(
                    (
                        factor,
                        f"{change.plain:.1e}",
                        f"{change.with_epsilon:.1e}",
                        f"{change.without_epsilon:.1e}",
                    )
                    for factor, change in scaled.items()
                ),
            ),
            compared(
                "All convolutions start from multiplied weights: validation accuracy, %",
                "factor",
                [f"{runs.variant.scale:g}" for runs in plain],
                plain,
                normalised,
            ),
        ),
    )

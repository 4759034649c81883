"""Claim 4: the scale of the weights does not matter."""

from dataclasses import replace

from fmbench_batchnorm.claims.bias import EXACT
from fmbench_batchnorm.evidence import Runs, Study
from fmbench_batchnorm.findings import (
    ALL_TRAIN,
    MARGIN,
    Finding,
    Sensitivity,
    Table,
    compared,
    verdict,
)
from fmbench_batchnorm.invariance import ALGEBRA, METHOD
from fmbench_batchnorm.plan import SCALES

NEGLIGIBLE = 0.01


def groups(study: Study) -> tuple[list[Runs], list[Runs]]:
    """Runs by the weights' factor, 1 among them, each at its better rate: without and with."""
    changed = [replace(study.plain, scale=factor) for factor in sorted((*SCALES, 1.0))]
    return (
        [study.changes.best(variant) for variant in changed],
        [study.changes.best(variant.normalised) for variant in changed],
    )


def find(study: Study) -> Finding:
    """Multiply weights by factors: in a network as it is, and before training it."""
    plain, normalised = groups(study)
    scaled = study.invariance.scaled
    exact = max(change.without_epsilon for change in scaled.values())
    used = max(one.with_epsilon for factor, one in scaled.items() if float(factor) in SCALES)
    same_function = exact < EXACT and used < NEGLIGIBLE
    found = Sensitivity(plain, normalised)
    return Finding(
        number=4,
        claim="With batch norm the scale of the weights does not matter.",
        rule=(
            "Holds when multiplying a layer's weights changes no logit by more than "
            f"{EXACT:g} of the largest with nothing added to variances, and by less than "
            f"{NEGLIGIBLE:g} of it as batch norm is used, for the factors that networks are "
            "trained with; and when the factor does not matter to training with batch norm and "
            f"matters without. It does not matter when with each, at the best of its rates, "
            f"{ALL_TRAIN} and the whole interval of each but the best stays less than "
            f"{100 * MARGIN:g} points below the best; it matters when with one no seed does, or "
            f"the whole interval of one lies more than {100 * MARGIN:g} points below. Partly: the "
            "first with nothing added, or it does not matter with batch norm, or there the best "
            "and the worst lie closer together, seed by seed, the interval above zero, and the "
            f"best trains. {ALGEBRA}"
        ),
        verdict=verdict(
            whole=same_function and found.gone and found.there,
            part=exact < EXACT or found.gone or found.less,
        ),
        conclusion=(
            f"Logits change by at most {exact:.1e} of the largest with nothing added to variances; "
            f"as batch norm is used, by up to {used:.1e} for the factors trained with. Trained "
            f"from multiplied weights: {found.conclusion('factors')}"
        ),
        runs=study.changes.count(runs.variant for runs in (*plain, *normalised)),
        method=(
            f"{METHOD} With weights k times as large, a step at one learning rate turns them k "
            "squared times less: the function is the same, training is not. The factors would need "
            "rates 100 times as small or as large as the usual, and other spreads of claim 3 rates "
            "further apart still; those tried lie within a factor of "
            f"{max(study.changes.tried) / min(study.changes.tried):.0f}."
        ),
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
                study.changes.tried,
            ),
        ),
    )

"""Claim 5: deep networks with saturating activations train."""

from dataclasses import replace

from fmbench_vgg_variants.variants import Activation

from fmbench_batchnorm.evidence import Runs, Study
from fmbench_batchnorm.findings import (
    ALL_TRAIN,
    Finding,
    compared,
    seeds_that_train,
    verdict,
)
from fmbench_batchnorm.intervals import difference

SATURATING: tuple[Activation, ...] = ("sigmoid", "tanh")


def groups(study: Study) -> list[tuple[Runs, Runs]]:
    """For each activation the runs without and with batch norm, each at its better rate."""
    changed = [replace(study.plain, activation=activation) for activation in SATURATING]
    return [
        (study.changes.best(variant), study.changes.best(variant.normalised)) for variant in changed
    ]


def find(study: Study) -> Finding:
    """Train with sigmoid and with tanh."""
    pairs = groups(study)
    gains = [difference(other.accuracies, one.accuracies) for one, other in pairs]
    train = [other.train for _, other in pairs]
    owing = [not one.train and gain.above_zero for (one, _), gain in zip(pairs, gains, strict=True)]
    return Finding(
        number=5,
        claim="With batch norm deep networks with sigmoid and tanh train.",
        rule=(
            f"Holds when with batch norm {ALL_TRAIN} for both activations, and for one at least "
            "not without, with a gain whose interval lies above zero, each at its better rate. "
            "Partly when with batch norm they do for one of them, or for both with or without it."
        ),
        verdict=verdict(whole=all(train) and any(owing), part=any(train)),
        conclusion="; ".join(
            f"{one.variant.activation}: seeds that train with batch norm "
            f"{seeds_that_train(other)}, without {seeds_that_train(one)}, gain {gain.points()}"
            for (one, other), gain in zip(pairs, gains, strict=True)
        )
        + ".",
        runs=study.changes.count(runs.variant for pair in pairs for runs in pair),
        tables=(
            compared(
                "Validation accuracy at the better learning rate, %: mean (95 % interval)",
                "activation",
                SATURATING,
                [one for one, _ in pairs],
                [other for _, other in pairs],
            ),
        ),
    )

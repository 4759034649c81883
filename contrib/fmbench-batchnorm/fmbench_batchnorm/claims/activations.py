"""Claim 5: deep networks with saturating activations train."""

from dataclasses import replace

from fmbench_vgg_variants.variants import Activation

from fmbench_batchnorm.evidence import Runs, Study
from fmbench_batchnorm.findings import (
    ALL_TRAIN,
    Finding,
    compared,
    gain,
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
    train = [other.train for _, other in pairs]
    owing = [
        not one.train and difference(other.accuracies, one.accuracies).above_zero
        for one, other in pairs
    ]
    return Finding(
        number=5,
        claim="With batch norm deep networks with sigmoid and tanh train.",
        rule=(
            f"Holds when with batch norm {ALL_TRAIN} for both activations, and for one at least "
            "not without, with a gain whose interval lies above zero, each at the best of its "
            "rates. "
            "Partly when with batch norm they do for one of them, or for both with or without it."
        ),
        verdict=verdict(whole=all(train) and any(owing), part=any(train)),
        conclusion="; ".join(
            f"{one.variant.activation}: seeds that train with batch norm "
            f"{seeds_that_train(other)}, without {seeds_that_train(one)}, "
            f"gain {gain(other, one) or 'none'}"
            for one, other in pairs
        )
        + ".",
        runs=study.changes.count(runs.variant for pair in pairs for runs in pair),
        method=(
            "Initial weights have torch's gain for the activation, 1 for sigmoid, whose slope is a "
            "quarter at most. The two hidden linear layers saturate too, and are not normalised: a "
            "network that does not train may owe it to them."
        ),
        tables=(
            compared(
                "Validation accuracy at the best of the learning rates, %: mean (95 % interval)",
                "activation",
                SATURATING,
                [one for one, _ in pairs],
                [other for _, other in pairs],
                study.changes.tried,
            ),
        ),
    )

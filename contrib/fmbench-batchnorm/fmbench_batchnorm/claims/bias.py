"""Claim 2: the bias before batch norm is redundant."""

from fmbench_batchnorm.evidence import Study
from fmbench_batchnorm.findings import (
    ALL_TRAIN,
    MARGIN,
    Finding,
    Table,
    accuracy,
    gain,
    seeds_that_train,
    verdict,
)
from fmbench_batchnorm.intervals import difference
from fmbench_batchnorm.invariance import ALGEBRA, METHOD

EXACT = 1e-9


def find(study: Study) -> Finding:
    """Move biases, and train without them."""
    with_bias = study.plain.normalised
    without_bias = with_bias.without_bias
    moved = study.invariance.moved
    exact = moved.with_epsilon < EXACT
    groups = list(zip(study.changes.of(without_bias), study.changes.of(with_bias), strict=True))
    best = study.changes.best(without_bias), study.changes.best(with_bias)
    lost = difference(*(runs.accuracies for runs in best))
    alike = all(runs.train for runs in best) and lost.within(MARGIN)
    return Finding(
        number=2,
        claim="A bias before batch norm is redundant.",
        rule=(
            f"Holds when moving a layer's biases changes no logit by more than {EXACT:g} of the "
            f"largest, and leaving all out of networks that train ({ALL_TRAIN}) changes accuracy "
            f"by less than {100 * MARGIN:g} points, the whole interval, each at the best of its "
            f"rates. "
            f"Partly: one of the two. {ALGEBRA}"
        ),
        verdict=verdict(whole=exact and alike, part=exact or alike),
        conclusion=(
            f"Biases moved by standard normals change logits by at most {moved.with_epsilon:.1e} "
            f"of the largest ({moved.plain:.1e} without batch norm). Accuracy without biases less "
            f"that with: {lost.points()} points."
        ),
        runs=study.changes.count((with_bias, without_bias)),
        method=(
            f"{METHOD} In training a bias before batch norm has no gradient and stays where it "
            "starts, at zero: networks with and without are the same but for their initial "
            "weights, which are other draws. The interval is what five seeds resolve; partly, for "
            "want of a narrower one, does not say that biases help."
        ),
        tables=(
            Table(
                "Validation accuracy of networks with batch norm, %: mean (95 % interval)",
                (
                    "learning rate",
                    *("with bias", "seeds that train"),
                    *("without bias", "seeds that train"),
                    "difference, points",
                ),
                tuple(
                    (
                        f"{without.rate:g}",
                        *(accuracy(with_it), seeds_that_train(with_it)),
                        *(accuracy(without), seeds_that_train(without)),
                        gain(without, with_it),
                    )
                    for without, with_it in groups
                ),
            ),
        ),
    )

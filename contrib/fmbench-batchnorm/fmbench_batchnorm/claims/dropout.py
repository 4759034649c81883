"""Claim 6: batch norm regularises, and dropout matters less."""

from collections.abc import Iterator
from dataclasses import dataclass

from fmbench_batchnorm.evidence import Runs, Study, tuning
from fmbench_batchnorm.findings import (
    ALL_TRAIN,
    Finding,
    Table,
    accuracy,
    over_seeds,
    seeds_that_train,
    verdict,
)
from fmbench_batchnorm.intervals import Interval, difference, differences, mean
from fmbench_batchnorm.plan import regularised


@dataclass(frozen=True)
class Four:
    """Four networks at one learning rate: neither, dropout alone, batch norm alone, both."""

    bare: Runs
    dropped: Runs
    normalised: Runs
    both: Runs

    @property
    def named(self) -> dict[str, Runs]:
        """The four by what they have."""
        return {
            "neither": self.bare,
            "dropout": self.dropped,
            "batch norm": self.normalised,
            "both": self.both,
        }

    @property
    def rate(self) -> float:
        """Their learning rate."""
        return self.bare.rate

    @property
    def train(self) -> bool:
        """Whether every seed of all four trains."""
        return all(runs.train for runs in self.named.values())

    @property
    def narrower(self) -> Interval:
        """By how much batch norm narrows the gap, without dropout."""
        return difference(self.bare.gaps, self.normalised.gaps)

    @property
    def by_dropout(self) -> tuple[list[float], list[float]]:
        """By how much dropout narrows the gap, a seed each: without and with batch norm."""
        return (
            differences(self.bare.gaps, self.dropped.gaps),
            differences(self.normalised.gaps, self.both.gaps),
        )

    @property
    def matters_less(self) -> bool:
        """Whether dropout narrows the gap by less with batch norm, and moves it less far."""
        without, with_it = self.by_dropout
        nearer = abs(mean(with_it).value) < mean(without).value
        return nearer and difference(without, with_it).above_zero

    @property
    def words(self) -> str:
        """What batch norm and dropout do here, with the numbers."""
        without, with_it = self.by_dropout
        return (
            f"At {self.rate:g}, the gap without batch norm and dropout less the gap with batch "
            f"norm is {self.narrower.points()} points; dropout narrows the gap by "
            f"{mean(without).points()} without batch norm and by {mean(with_it).points()} with it, "
            f"a difference of {difference(without, with_it).points()}."
        )


def fours(study: Study) -> list[Four]:
    """The four networks at each learning rate."""
    found = (study.gaps.of(variant) for variant in regularised(study.width))
    return [Four(*each) for each in zip(*found, strict=True)]


def find(study: Study) -> Finding:
    """Compare the gaps between images trained on and others, with and without dropout."""
    every = fours(study)
    judged = [four for four in every if four.train]
    regularises = bool(judged) and all(four.narrower.above_zero for four in judged)
    matters_less = bool(judged) and all(four.matters_less for four in judged)
    images = tuning(study.gaps.rules).fit_images
    left_out = [f"{four.rate:g}" for four in every if not four.train]
    return Finding(
        number=6,
        claim="Batch norm regularises, and dropout matters less with it.",
        rule=(
            f"At each learning rate at which all four networks train ({ALL_TRAIN}), and at one at "
            "least: it holds when, without dropout, the gap between accuracy on images trained on "
            "and on others is narrower with batch norm, and when dropout narrows it by less with "
            "batch norm than without, the interval of each of these two differences above zero, "
            "and moves it less far there, the means without regard to sign. Partly: one of the two."
        ),
        verdict=verdict(whole=regularises and matters_less, part=regularises or matters_less),
        conclusion=" ".join(
            [
                *(four.words for four in judged),
                *([] if judged else ["Nothing could be judged."]),
                *([f"Not all four train at {', '.join(left_out)}."] if left_out else []),
            ]
        ),
        runs=len(study.gaps.records),
        method=(
            "Networks are compared at one learning rate, because gaps depend on it more than "
            "accuracy does. A network that fits more in as many epochs has a wider gap, one that "
            "fits less a narrower: where images trained on are far from all right, this cannot be "
            "told from regularisation. The rule does not look at validation accuracy; read the gap "
            "beside both accuracies."
        ),
        tables=(
            Table(
                f"Accuracy on {images:,} images trained on and on others, %: mean (95 % interval)",
                (
                    *("learning rate", "network", "trained on", "validation"),
                    *("seeds that train", "gap, points"),
                ),
                tuple(
                    (
                        f"{four.rate:g}",
                        name,
                        over_seeds(runs, runs.fits),
                        accuracy(runs),
                        seeds_that_train(runs),
                        over_seeds(runs, runs.gaps),
                    )
                    for four in every
                    for name, runs in four.named.items()
                ),
            ),
            *(
                [
                    Table(
                        "What dropout changes, points: mean (95 % interval)",
                        ("learning rate", "network", "gap narrower by", "validation accuracy"),
                        tuple(row for four in judged for row in _by_dropout(four)),
                    )
                ]
                if judged
                else []
            ),
        ),
    )


def _by_dropout(four: Four) -> Iterator[tuple[str, str, str, str]]:
    pairs = (("without", four.bare, four.dropped), ("with batch norm", four.normalised, four.both))
    for (name, before, after), narrower in zip(pairs, four.by_dropout, strict=True):
        gained = difference(after.accuracies, before.accuracies)
        yield f"{four.rate:g}", name, mean(narrower).points(), gained.points()

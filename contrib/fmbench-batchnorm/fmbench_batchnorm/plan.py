"""What the study trains: three parts, each variants of VGG-11 under a protocol of its own."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from fmbench_vgg_variants.variants import Variant

DEVIATIONS = (0.001, 0.01, 0.1, 1.0)
SCALES = (0.1, 10.0)


@dataclass(frozen=True)
class Plan:
    """One part of the study: the variants of a width that are trained under a protocol."""

    protocol: str
    variants: Callable[[int], list[Variant]]

    @property
    def file(self) -> Path:
        """The protocol's file."""
        return Path(
            str(resources.files("fmbench_batchnorm") / "protocols" / f"{self.protocol}.toml")
        )


def swept(width: int) -> list[Variant]:
    """The two networks whose learning rates are swept."""
    return [Variant(width=width), Variant(width=width, batch_norm=True)]


def changed(width: int) -> list[Variant]:
    """What claims 2 to 5 compare: all without and with batch norm, no bias only with."""
    base = Variant(width=width)
    changes = [
        base,
        *(replace(base, std=std) for std in DEVIATIONS),
        *(replace(base, scale=scale) for scale in SCALES),
        replace(base, activation="sigmoid"),
        replace(base, activation="tanh"),
    ]
    pairs = [variant for one in changes for variant in (one, one.normalised)]
    return [*pairs, base.normalised.without_bias]


def regularised(width: int) -> list[Variant]:
    """Neither dropout nor batch norm, dropout alone, batch norm alone, both."""
    base = Variant(width=width)
    bare = replace(base, dropout=0.0)
    return [bare, base, bare.normalised, base.normalised]


RATES = Plan("batchnorm-rates-v1", swept)
CHANGES = Plan("batchnorm-v2", changed)
GAPS = Plan("batchnorm-gaps-v1", regularised)

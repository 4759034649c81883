"""What the study trains: two networks at many learning rates, and all variants at few."""

from dataclasses import replace
from importlib import resources
from pathlib import Path

from fmbench_vgg_variants.variants import Variant

RATES, CHANGES = "batchnorm-rates-v1", "batchnorm-v1"
DEVIATIONS = (0.001, 0.01, 0.1, 1.0)
SCALES = (0.1, 10.0)


def protocol_file(name: str) -> Path:
    """The file of one of the study's protocols."""
    return Path(str(resources.files("fmbench_batchnorm") / "protocols" / f"{name}.toml"))


def swept(width: int) -> list[Variant]:
    """The two networks whose learning rates are swept under `RATES`."""
    return [Variant(width=width), Variant(width=width, batch_norm=True)]


def changed(width: int) -> list[Variant]:
    """What is trained under `CHANGES`: all without and with batch norm, no bias only with."""
    base = Variant(width=width)
    changes = [
        base,
        *(replace(base, std=std) for std in DEVIATIONS),
        *(replace(base, scale=scale) for scale in SCALES),
        replace(base, activation="sigmoid"),
        replace(base, activation="tanh"),
        replace(base, dropout=0.0),
    ]
    pairs = [variant for one in changes for variant in (one, one.normalised)]
    return [*pairs, base.normalised.without_bias]

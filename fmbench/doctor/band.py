"""Where the numbers of the small models lie on honest machines, and what lies outside.

reference.json, beside this module, holds mean and standard deviation of each number over many seeds
on two instruction sets. The rule: each number may lie `width` standard deviations from its mean,
where `width` is what a further normal draw exceeds so rarely that of `ALARMS` honest commands at
most one is blamed for any of its numbers.
"""

from importlib import resources
from math import sqrt

import msgspec
from msgspec import Struct

from fmbench.records import Result

ALARMS = 1e-4
"""The share of honest commands that are blamed at most, were the numbers normal."""

NUMBERS = ("accuracy", "log-loss", "training loss")
FILE = "reference.json"


class Spread(Struct, frozen=True, forbid_unknown_fields=True):
    """Mean and standard deviation (of the sample) of a number over seeds."""

    mean: float
    deviation: float


class KeptModel(Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of a small model: its protocol's digest, and each of `NUMBERS`."""

    digest: str
    numbers: dict[str, Spread]


class Band(Struct, frozen=True, forbid_unknown_fields=True):
    """The file: how many runs are behind each number, where they were made, and the models."""

    runs: int
    devices: tuple[str, ...]
    torch: str
    models: dict[str, KeptModel]

    @property
    def width(self) -> float:
        """How many standard deviations a number may lie from its mean, to either side.

        The quantile of Student's t for a prediction of one further draw, shared out over all
        numbers (Bonferroni).
        """
        from scipy.stats import t

        shares = 2 * len(self.models) * len(NUMBERS)
        quantile = float(t.isf(ALARMS / shares, self.runs - 1))
        return quantile * sqrt(1 + 1 / self.runs)

    def limits(self, model: str, number: str) -> tuple[float, float]:
        """The lowest and the highest that a number may be."""
        known = self.models[model].numbers[number]
        margin = self.width * known.deviation
        return known.mean - margin, known.mean + margin


def band() -> Band:
    """The band of this version of fmbench."""
    content = (resources.files("fmbench") / "doctor" / FILE).read_bytes()
    return msgspec.json.decode(content, type=Band)


def numbers_of(result: Result) -> dict[str, float]:
    """Each of `NUMBERS` of a run that ended well: a share, and losses in nats."""
    values = (result.accuracy, result.log_loss, result.curve[-1])
    return {
        name: float("nan") if one is None else one
        for name, one in zip(NUMBERS, values, strict=True)
    }

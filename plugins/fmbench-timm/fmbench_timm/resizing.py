"""Building one of timm's networks for a size that somebody asked for."""

from typing import TYPE_CHECKING

import fmbench
from fmbench_timm.building import build
from fmbench_timm.inputs import RESIZABLE

if TYPE_CHECKING:
    from torch import nn


def build_at(architecture: str, known: str, spec: fmbench.InputSpec) -> "nn.Module":
    """Return `architecture` for a size that somebody asked for, in the first way that runs at it.

    known: the way that it is built at its usual size, tried first. Raises `ValueError` with the
    reason when no way runs.
    """
    from fmbench_timm.probing import probe  # inside: it imports torch

    ways = (known, *(way for way in RESIZABLE if way != known)) if known in RESIZABLE else (known,)
    reasons = []
    for way in ways:
        outcome = probe(architecture, way, spec)
        if not outcome.reason:
            return build(architecture, way, spec)
        reasons.append(outcome.reason)
    raise ValueError(f"{architecture} does not run at {spec.size} pixels: {reasons[0]}")

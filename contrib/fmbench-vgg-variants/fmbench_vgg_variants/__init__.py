"""Variants of VGG-11 for fmbench, as the family vgg11@…. Listing it imports no torch."""

from typing import TYPE_CHECKING

import fmbench
from fmbench_vgg_variants.variants import PREFIX, SIZE, parse

if TYPE_CHECKING:
    from torch import nn

PAPERS = (
    "Simonyan and Zisserman 2014, arXiv:1409.1556, configuration A; "
    "Ioffe and Szegedy 2015, Batch Normalization, arXiv:1502.03167"
)


@fmbench.hookimpl
def fmbench_models() -> list[fmbench.Family]:
    """Offer the family `vgg11@…`; none of it is run unless it is asked for."""
    return [fmbench.Family(PREFIX, resolve)]


def resolve(name: str) -> fmbench.Model:
    """The model of a variant's full name; raises `LookupError` when it is not one."""
    variant = parse(name)

    def build(spec: fmbench.InputSpec) -> "nn.Module":
        from fmbench_vgg_variants.network import VGG11Variant  # inside: listing imports no torch

        return VGG11Variant(spec.channels, spec.classes, variant)

    return fmbench.Model(name, build, summary=variant.summary, size=SIZE, source=PAPERS)

"""Which models are installed: entry points, the catalogue, and the child that loads them."""

from fmbench.discovery.entries import Problem
from fmbench.discovery.listing import (
    Catalogue,
    ListedFamily,
    ListedModel,
    catalogue,
    family_of,
    members,
    remembered,
    resolve,
)

__all__ = [
    "Catalogue",
    "ListedFamily",
    "ListedModel",
    "Problem",
    "catalogue",
    "family_of",
    "members",
    "remembered",
    "resolve",
]

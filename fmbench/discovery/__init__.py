"""Which models are installed: entry points, the catalogue, and the child that loads them."""

from fmbench.discovery.entries import Problem
from fmbench.discovery.listing import (
    INSTALL_MODELS,
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
    "INSTALL_MODELS",
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

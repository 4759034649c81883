"""fmbench: a Fashion-MNIST leaderboard that can be trusted. This module is what plugins import.

A notebook finds `fmbench.run` and `fmbench.results` here too; they are loaded when first used, so
that what a plugin imports stays small.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fmbench.contract import CONTRACT, Family, InputSpec, Model
from fmbench.hookspecs import hookimpl

if TYPE_CHECKING:
    from fmbench import results as results
    from fmbench.running import run as run

__all__ = ["CONTRACT", "Family", "InputSpec", "Model", "hookimpl"]


def __getattr__(name: str) -> Any:
    if name == "results":
        return import_module("fmbench.results")
    if name == "run":
        return import_module("fmbench.running").run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

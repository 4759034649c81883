"""fmbench: a Fashion-MNIST leaderboard that can be trusted. This module is what plugins import."""

from fmbench.contract import CONTRACT, Family, InputSpec, Model
from fmbench.hookspecs import hookimpl

__all__ = ["CONTRACT", "Family", "InputSpec", "Model", "hookimpl"]

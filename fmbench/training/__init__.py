"""The training loop and what it needs on a device. Only its submodules import torch."""

SEMANTICS = 1
"""Part of a run's key: raised when training computes something else from the same protocol."""

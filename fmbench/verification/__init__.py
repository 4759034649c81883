"""Verification: whether a results folder says what its own files and the true labels say."""

from fmbench.verification.findings import Finding, Level, Verdict, VerdictOfRun
from fmbench.verification.sources import known_sources
from fmbench.verification.stores import Asked, asked_of, verify_store

__all__ = [
    "Asked",
    "Finding",
    "Level",
    "Verdict",
    "VerdictOfRun",
    "asked_of",
    "known_sources",
    "verify_store",
]

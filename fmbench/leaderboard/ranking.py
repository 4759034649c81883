"""Ranks of a board's models, computed once for the same records."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from fmbench import cache
from fmbench.data import suspects
from fmbench.errors import StoreError
from fmbench.leaderboard import subsets
from fmbench.leaderboard.statistics import SEEDS_FOR_RANKS, Sample, Target, compare
from fmbench.leaderboard.stored_results import ModelResults, StoredResults, digest_of

VERSION = 2  # raised when the statistics change what they compute


class Ranking(Struct, frozen=True, kw_only=True):
    """Rank sets of entries, and what the board they stand on can tell apart.

    ranks:        for each entry its best and worst rank; None for one that is not ranked.
    smallest_gap: the smallest gap any pair could have shown; usual_gap: what half of all pairs
                  need. Both are shares from 0 to 1.
    unreadable:   why entries that have all their seeds are not ranked, a sentence each.
    without:      each entry's accuracy without suspect images, None where that is not known.
    """

    target: Target
    ranks: tuple[tuple[int, int] | None, ...]
    smallest_gap: float | None = None
    usual_gap: float | None = None
    unreadable: tuple[str, ...] = ()
    without: tuple[subsets.Without | None, ...] = ()


def rank(stored: StoredResults, target: Target, *, cached: bool = True) -> Ranking:
    """Rank the entries that have a good run of every seed, when there are seeds enough.

    The predictions of other good runs are read too: to see that they hold, and for `without`.
    A ranking is kept in the user's cache under the digest of the records it rests on; with
    `cached` False it is computed from the predictions themselves.
    """
    seeds = len(stored.protocol.seeds)
    entries = stored.entries
    whole = [len(entry.ok) == seeds >= SEEDS_FOR_RANKS for entry in entries]
    name = f"ranks-{_digest(entries, target)}"
    if cached and (known := cache.read(name, Ranking)):
        return known
    samples, unreadable = _samples(stored)
    ranked = [one if is_whole else None for one, is_whole in zip(samples, whole, strict=True)]
    kept = subsets.kept_images(stored.protocol.data.sha256)
    ranking = msgspec.structs.replace(
        _ranking(ranked, target, unreadable),
        without=tuple(one and subsets.without(one, kept) for one in samples),
    )
    if not unreadable:
        cache.keep(name, ranking)
    return ranking


def _digest(entries: Sequence[ModelResults], target: Target) -> str:
    each = [digest_of(entry.finals) for entry in entries]
    rest_on = [str(VERSION), suspects.load().digest, target, *each]
    return hashlib.sha256("\n".join(rest_on).encode()).hexdigest()[:16]


def _samples(stored: StoredResults) -> tuple[list[Sample | None], tuple[str, ...]]:
    """What each entry's good runs had right, None without one; and why some cannot be read."""
    samples: list[Sample | None] = []
    unreadable = []
    for entry in stored.entries:
        try:
            samples.append(stored.sample(entry) if entry.ok else None)
        except StoreError as error:
            samples.append(None)
            where = Path(error.where).name  # wherever the store lies, it has the same board
            unreadable.append(f"{entry.model}, not ranked: {error.what} ({where})")
    return samples, tuple(unreadable)


def _ranking(
    samples: Sequence[Sample | None], target: Target, unreadable: tuple[str, ...]
) -> Ranking:
    readable = [sample for sample in samples if sample is not None]
    if not readable:
        return Ranking(target=target, ranks=(None,) * len(samples), unreadable=unreadable)
    comparison = compare(readable, target)
    sets = iter(comparison.rank_sets())
    gaps = comparison.visible_gaps() or (None, None)
    return Ranking(
        target=target,
        ranks=tuple(None if sample is None else next(sets) for sample in samples),
        smallest_gap=gaps[0],
        usual_gap=gaps[1],
        unreadable=unreadable,
    )

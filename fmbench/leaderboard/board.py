"""The row that each model gets on a leaderboard."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from fmbench.leaderboard.notes import notes_of
from fmbench.leaderboard.places import place_names
from fmbench.leaderboard.ranking import rank
from fmbench.leaderboard.statistics import (
    NEW_IMAGES,
    Target,
    image_interval,
    seed_interval,
)
from fmbench.leaderboard.stored_results import ModelResults, StoredResults, digest_of
from fmbench.leaderboard.subsets import Without
from fmbench.leaderboard.tiers import Tier, height
from fmbench.protocol import Protocol
from fmbench.records import Record
from fmbench.wording import counted, versions


@dataclass(frozen=True)
class Row:
    """One model of one distribution. Accuracies are shares from 0 to 1, means over its seeds.

    rank_best, rank_worst: its rank set, None when it is not ranked.
    accuracy_image_*: the 95 % interval for new test images, binomial.
    accuracy_seed_*:  the 95 % t interval of the mean over seeds from five seeds on, else the range.
    tier:             how far all its good runs were checked, see `TIERS`; `re-run` when all were
                      re-scored and some made again, `seeds_rerun` of them; None when one was not.
    accuracy_without_*: that on the test images which are no near-twins of training images, and on
                      those whose label is not doubtful, with its interval for new test images;
                      None where the test set is not Fashion-MNIST's or predictions are unreadable.
    train_*, inference_*: None where seeds were run on several devices: their times do not compare.
    status: `ok` when every seed of the protocol has an ok record, else what is missing and why, and
            how newer runs ended, made otherwise, that are not shown.
    """

    rank_best: int | None
    rank_worst: int | None
    model: str
    distribution: str
    version: str
    accuracy: float | None
    accuracy_image_low: float | None
    accuracy_image_high: float | None
    accuracy_seed_low: float | None
    accuracy_seed_high: float | None
    accuracy_without_near_twins: float | None
    accuracy_without_near_twins_low: float | None
    accuracy_without_near_twins_high: float | None
    accuracy_without_doubtful_labels: float | None
    accuracy_without_doubtful_labels_low: float | None
    accuracy_without_doubtful_labels_high: float | None
    seeds: int
    seeds_expected: int
    test_images: int | None
    log_loss: float | None
    calibration_error: float | None
    parameters: int | None
    forward_flops: int | None
    train_seconds: float | None
    train_images_per_second: float | None
    inference_images_per_second: float | None
    peak_memory: int | None
    recipe: str
    device: str
    tier: Tier | None
    seeds_rerun: int
    status: str

    @property
    def margin(self) -> float | None:
        """Half of the interval for new images, a share from 0 to 1."""
        low, high = self.accuracy_image_low, self.accuracy_image_high
        return None if low is None or high is None else (high - low) / 2

    @property
    def complete(self) -> bool:
        """Whether the row has all runs of the protocol."""
        return self.seeds == self.seeds_expected


@dataclass(frozen=True)
class Board:
    """The rows of one protocol, best first, and what has to be said below them.

    digest:       SHA-256 of the protocol.
    records:      SHA-256 of the contents of all records the rows rest on.
    target:       what ranks are about: accuracy on new images or on this test set.
    smallest_gap: the smallest gap in accuracy that any two ranked rows could have shown;
    usual_gap:    what half of all pairs need. Both are shares from 0 to 1.
    """

    protocol: str
    status: str
    digest: str
    records: str
    target: Target
    smallest_gap: float | None
    usual_gap: float | None
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def read_board(stored: StoredResults, target: Target = NEW_IMAGES, *, cached: bool = True) -> Board:
    """The board of what a store holds: complete rows first, by mean accuracy."""
    protocol, ranking = stored.protocol, rank(stored, target, cached=cached)
    shown = [record for entry in stored.entries for record in entry.records]
    place = place_names(shown)
    rows = [
        _row(
            protocol, entry, ranks, without, place, [stored.tiers.get(one.stem) for one in entry.ok]
        )
        for entry, ranks, without in zip(
            stored.entries, ranking.ranks, ranking.without, strict=True
        )
    ]
    rows.sort(key=lambda row: (not row.complete, -(row.accuracy or 0), row.model, row.distribution))
    return Board(
        protocol=protocol.id,
        status=protocol.status,
        digest=protocol.digest,
        records=digest_of(shown),
        target=ranking.target,
        smallest_gap=ranking.smallest_gap,
        usual_gap=ranking.usual_gap,
        rows=tuple(rows),
        notes=notes_of(stored, ranking, shown, [place(record) for record in shown]),
    )


def _row(
    protocol: Protocol,
    entry: ModelResults,
    ranks: tuple[int, int] | None,
    without: Without | None,
    place: Callable[[Record], str],
    tiers: Sequence[Tier | None],
) -> Row:
    ok = entry.ok
    accuracy = fmean(entry.accuracies) if ok else None
    images = ok[-1].result.images if ok else None
    by_images = image_interval(accuracy, images) if accuracy is not None and images else None
    by_seeds = seed_interval(entry.accuracies) if len(ok) > 1 else None
    places = {place(record) for record in ok}
    timed = [record.cost for record in ok] if len(places) == 1 else []
    no_twins, no_doubts = (
        (without.near_twins, without.doubtful_labels) if without else ((None,) * 3,) * 2
    )
    return Row(
        rank_best=ranks[0] if ranks else None,
        rank_worst=ranks[1] if ranks else None,
        model=entry.model,
        distribution=entry.plugin.distribution,
        version=entry.plugin.version,
        accuracy=accuracy,
        accuracy_image_low=by_images[0] if by_images else None,
        accuracy_image_high=by_images[1] if by_images else None,
        accuracy_seed_low=by_seeds[0] if by_seeds else None,
        accuracy_seed_high=by_seeds[1] if by_seeds else None,
        accuracy_without_near_twins=no_twins[0],
        accuracy_without_near_twins_low=no_twins[1],
        accuracy_without_near_twins_high=no_twins[2],
        accuracy_without_doubtful_labels=no_doubts[0],
        accuracy_without_doubtful_labels_low=no_doubts[1],
        accuracy_without_doubtful_labels_high=no_doubts[2],
        seeds=len(ok),
        seeds_expected=len(protocol.seeds),
        test_images=images,
        log_loss=_mean([record.result.log_loss for record in ok]),
        calibration_error=_mean([record.result.calibration_error for record in ok]),
        parameters=ok[-1].cost.parameters if ok else None,
        forward_flops=ok[-1].cost.forward_flops if ok else None,
        train_seconds=_mean([cost.train_seconds for cost in timed]),
        train_images_per_second=_mean([cost.images_per_second for cost in timed]),
        inference_images_per_second=_mean([cost.inference_images_per_second for cost in timed]),
        peak_memory=max((record.cost.peak_memory for record in ok), default=None),
        recipe=ok[-1].run.recipe if ok else "",
        device="; ".join(sorted(places)),
        tier=_tier(tiers),
        seeds_rerun=tiers.count("re-run"),
        status=_status(protocol, entry),
    )


def _tier(tiers: Sequence[Tier | None]) -> Tier | None:
    lowest = min(tiers, key=height, default=None)
    return "re-run" if lowest == "re-scored" and "re-run" in tiers else lowest


def _status(protocol: Protocol, entry: ModelResults) -> str:
    expected = len(protocol.seeds)
    newer = _what_is_newer(entry, entry.newer) if entry.newer and entry.records else ""
    if len(entry.ok) == expected:
        return newer or "ok"
    have = f"{newer}, {len(entry.ok)} of {expected} seeds".removeprefix(", ")
    bad = [record for record in entry.finals if not record.ok]
    counts = Counter(record.result.status for record in (bad if entry.finals else entry.tunes))
    faults = [
        f"{count if entry.finals else counted(count, 'tune run')} {status}"
        for status, count in sorted(counts.items())
    ]
    return f"{have}: {', '.join(faults)}" if faults else have


def _what_is_newer(entry: ModelResults, newer: Record) -> str:
    """How the newest run of a model ended, and which are shown: `0.1.1 failed, 0.1.0 shown`."""
    shown, run = entry.records[0].run, newer.run
    differences = (
        (run.plugin.version, shown.plugin.version),
        (f"source {run.plugin.source[:8]}", f"source {shown.plugin.source[:8]}"),
        (versions(run.plugin.dependencies), versions(shown.plugin.dependencies)),
        (f"torch {run.torch}", f"torch {shown.torch}"),
        (run.device_kind, shown.device_kind),
        (f"recipe {run.recipe}", f"recipe {shown.recipe}"),
    )
    now, then = next((pair for pair in differences if pair[0] != pair[1]), ("the newest", "older"))
    return f"{now} {newer.result.status}, {then} shown"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None

"""The row each model gets on a leaderboard, and what has to be said below the rows."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from fmbench.data import FASHION_MNIST
from fmbench.leaderboard.places import place_names
from fmbench.leaderboard.ranking import Ranking, rank
from fmbench.leaderboard.statistics import (
    NEW_IMAGES,
    SEEDS_FOR_RANKS,
    SEEDS_FOR_T,
    Target,
    image_interval,
    seed_interval,
)
from fmbench.leaderboard.stored_results import ModelResults, StoredResults, digest_of
from fmbench.protocol import Protocol
from fmbench.records import Record
from fmbench.wording import counted, points, versions

REPRODUCED = 0.97
"""The accuracy above which no result on Fashion-MNIST is known to have been made again."""


@dataclass(frozen=True)
class Row:
    """One model of one distribution. Accuracies are shares from 0 to 1, means over its seeds.

    rank_best, rank_worst: its rank set, None when it is not ranked.
    accuracy_image_*: the 95 % interval for new test images, binomial.
    accuracy_seed_*:  the 95 % t interval of the mean over seeds from five seeds on, else the range.
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
        _row(protocol, entry, ranks, place)
        for entry, ranks in zip(stored.entries, ranking.ranks, strict=True)
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
        notes=(
            *_what_it_is(protocol, stored.entries, [place(record) for record in shown]),
            *_what_to_doubt(protocol, rows, stored.entries),
            *_what_it_can_say(protocol, ranking),
            *_what_is_left_out(stored, ranking, shown),
        ),
    )


def _row(
    protocol: Protocol,
    entry: ModelResults,
    ranks: tuple[int, int] | None,
    place: Callable[[Record], str],
) -> Row:
    ok = entry.ok
    accuracy = fmean(entry.accuracies) if ok else None
    images = ok[-1].result.images if ok else None
    by_images = image_interval(accuracy, images) if accuracy is not None and images else None
    by_seeds = seed_interval(entry.accuracies) if len(ok) > 1 else None
    places = {place(record) for record in ok}
    timed = [record.cost for record in ok] if len(places) == 1 else []
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
        status=_status(protocol, entry),
    )


def _status(protocol: Protocol, entry: ModelResults) -> str:
    expected = len(protocol.seeds)
    newer = _what_is_newer(entry, entry.newer) if entry.newer else ""
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


def _what_it_is(
    protocol: Protocol, entries: Sequence[ModelResults], places: Sequence[str]
) -> list[str]:
    devices = sorted(set(places))
    notes = [
        f"{protocol.id} ({protocol.status}), protocol digest {protocol.digest[:12]}, "
        f"{counted(len(places), 'run')} on {', '.join(devices) or 'no device'}."
    ]
    if protocol.derived:
        notes.append(protocol.derived)
    if len(devices) > 1:
        notes.append("Times and speeds compare only between rows of one device.")
    chosen = Counter(entry.ok[0].run.recipe for entry in entries if entry.ok and entry.tunes)
    if chosen:
        said = [f"{recipe} for {counted(n, 'model')}" for recipe, n in sorted(chosen.items())]
        notes.append(
            f"Recipes, chosen on validation: {', '.join(said)}; intervals and ranks are "
            "conditional on them."
        )
    return notes


def _what_to_doubt(
    protocol: Protocol, rows: Sequence[Row], entries: Sequence[ModelResults]
) -> list[str]:
    notes = []
    high = [row.model for row in rows if (row.accuracy or 0) > REPRODUCED]
    if high and protocol.data.sha256 == FASHION_MNIST:
        notes.append(
            f"Doubt {', '.join(high)}: nothing above {100 * REPRODUCED:g} % has been reproduced on "
            "this data set. Look for wrong data first."
        )
    departures = {
        f"{entry.model}: {record.departure}"
        for entry in entries
        for record in entry.ok
        if record.departure
    }
    notes += [f"Not trained as the protocol says: {one}." for one in sorted(departures)]
    unclear = [entry.model for entry in entries if any(map(clocks_disagree, entry.ok))]
    if unclear:
        notes.append(
            f"Doubt the times of {', '.join(unclear)}: the worker's and the runner's clock differ. "
            "`fmbench show ID` prints both."
        )
    return notes


def clocks_disagree(record: Record) -> bool:
    """Whether a worker's times of a final run exceed the runner's, or explain too little of it.

    Building, importing and checkpoints are in the runner's time alone: they may take half of it.
    """
    cost, images = record.cost, record.result.images
    if not cost.runner_seconds or cost.resumed_after:  # the runner saw the last piece only
        return False
    inference = images / max(cost.inference_images_per_second, 1e-9)
    rest = cost.runner_seconds - cost.train_seconds - inference
    return rest < -1 or rest > max(10.0, cost.runner_seconds / 2)


def _what_it_can_say(protocol: Protocol, ranking: Ranking) -> list[str]:
    seeds = len(protocol.seeds)
    notes = [
        "± is half the width of the 95 % interval for new test images of the same kind (binomial)."
    ]
    if seeds == 1:
        notes.append("One seed says nothing about other seeds.")
    elif seeds < SEEDS_FOR_T:
        notes.append(
            f"Over seeds: the lowest and highest of {seeds} runs; other numbers are their means."
        )
    else:
        notes.append(
            f"Over seeds: the 95 % t interval of the mean of {seeds} runs; of fewer than "
            f"{SEEDS_FOR_T} the lowest and highest; other numbers are means over seeds."
        )
    if seeds < SEEDS_FOR_RANKS:
        notes.append(f"No ranks: they need at least {SEEDS_FOR_RANKS} seeds.")
    elif any(ranking.ranks):
        about = (
            "for expected accuracy on new images"
            if ranking.target == NEW_IMAGES
            else "for expected accuracy on this test set only, a weaker claim"
        )
        provisional = (
            f", provisional with fewer than {SEEDS_FOR_T} seeds" if seeds < SEEDS_FOR_T else ""
        )
        notes.append(
            f"Ranks are those that 95 % intervals over all pairs together leave open, {about}"
            f"{provisional}."
        )
    if ranking.smallest_gap is not None and ranking.usual_gap is not None:
        notes.append(
            f"Two models must lie at least {points(ranking.smallest_gap)} apart to be told apart, "
            f"and half of all pairs at least {points(ranking.usual_gap)}; a true gap of that size "
            "is missed about half the time."
        )
    return notes


def _what_is_left_out(
    stored: StoredResults, ranking: Ranking, shown: Sequence[Record]
) -> list[str]:
    found = stored.contents.records
    current = [record for record in found if record.run.protocol_digest == stored.protocol.digest]
    notes = []
    if len(found) > len(current):
        other = counted(len(found) - len(current), "record")
        notes.append(f"Left out: {other} of another version of this protocol.")
    if len(current) > len(shown):
        older = counted(len(current) - len(shown), "record")
        notes.append(
            f"Left out: {older} older than others of the same run, or made with other versions, "
            "another recipe or another kind of device than their model's newest good ones."
        )
    left_out = (*ranking.unreadable, *stored.contents.problems)
    return notes + [f"Left out: {problem}." for problem in left_out]

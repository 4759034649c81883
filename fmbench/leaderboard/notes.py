"""What has to be said below a leaderboard: what it is, what to doubt, what it can tell."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import fmean, median

from fmbench.data import FASHION_MNIST
from fmbench.leaderboard.ranking import Ranking
from fmbench.leaderboard.statistics import NEW_IMAGES, SEEDS_FOR_RANKS, SEEDS_FOR_T
from fmbench.leaderboard.stored_results import ModelResults, StoredResults
from fmbench.protocol import Protocol
from fmbench.records import Record
from fmbench.standing import standing
from fmbench.wording import counted, points

MOST_NAMES = 5
REPRODUCED = 0.97
"""The accuracy above which no result on Fashion-MNIST is known to have been made again."""


def notes_of(
    stored: StoredResults, ranking: Ranking, shown: Sequence[Record], places: Sequence[str]
) -> tuple[str, ...]:
    """The notes of a board, in sentences.

    shown:  the records that its rows rest on.
    places: where each of them was made.
    """
    protocol, entries = stored.protocol, stored.entries
    return (
        *_what_it_is(protocol, entries, places),
        *_what_others_gave(entries),
        *_what_to_doubt(protocol, entries),
        *_what_it_can_say(protocol, ranking),
        *_what_is_left_out(stored, ranking, shown),
    )


def _what_it_is(
    protocol: Protocol, entries: Sequence[ModelResults], places: Sequence[str]
) -> list[str]:
    devices = sorted(set(places))
    notes = [
        f"{protocol.id} ({standing(protocol)}), protocol digest {protocol.digest[:12]}, "
        f"{_counted_by_stage(entries) or 'no run'} on {', '.join(devices) or 'no device'}."
    ]
    if protocol.derived:
        notes.append(protocol.derived)
    if len(devices) > 1:
        notes.append("Times and speeds compare only between rows of one device.")
    if beside := max((one.cost.beside or 0 for entry in entries for one in entry.ok), default=0):
        notes.append(f"Times were taken with up to {counted(beside, 'other run')} side by side.")
    chosen = Counter(entry.ok[0].run.recipe for entry in entries if entry.ok and entry.tunes)
    if chosen:
        said = [f"{recipe} for {counted(n, 'model')}" for recipe, n in sorted(chosen.items())]
        notes.append(
            f"Recipes, chosen on validation: {', '.join(said)}; intervals and ranks are "
            "conditional on them."
        )
    return notes


def _what_others_gave(entries: Sequence[ModelResults]) -> list[str]:
    """How far the same seeds of the same models lie on each other device."""
    gaps: dict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
    for entry in entries:
        shown = {record.run.seed: record.result for record in entry.ok}
        for record in entry.again:
            device, here = record.environment.device, shown[record.run.seed]
            gap = abs((record.result.accuracy or 0) - (here.accuracy or 0))
            gaps[device.name, device.digest].append((gap, entry.model))
    return [
        f"{counted(len(found), 'run')} of the same models and seeds on {name} left out: accuracy "
        f"there differs by at most {points(max(found)[0])} ({max(found)[1]}), and by "
        f"{points(median(gap for gap, _ in found))} in the median."
        for (name, _), found in sorted(gaps.items())
    ]


def _counted_by_stage(entries: Sequence[ModelResults]) -> str:
    finals = sum(len(entry.finals) for entry in entries)
    tunes = sum(len(entry.tunes) for entry in entries)
    if not tunes:
        return counted(finals, "run") if finals else ""
    return f"{finals} final and {counted(tunes, 'tune run')}"


def _what_to_doubt(protocol: Protocol, entries: Sequence[ModelResults]) -> list[str]:
    notes = []
    high = [one.model for one in entries if one.ok and fmean(one.accuracies) > REPRODUCED]
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
            f"Doubt the times of {_few(unclear)}: the worker's and the runner's clock differ. "
            "`fmbench show ID` prints both."
        )
    return notes


def _few(models: Sequence[str]) -> str:
    return ", ".join(models) if len(models) <= MOST_NAMES else counted(len(models), "model")


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
            "A range of ranks has every rank that the simultaneous 95 % intervals of all pairs "
            f"allow, {about}{provisional}."
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
    again = sum(len(entry.again) for entry in stored.entries)
    if len(current) > len(shown) + again:
        older = counted(len(current) - len(shown) - again, "record")
        notes.append(
            f"Left out: {older} older than others of the same run, or made with other versions, "
            "another recipe or another kind of device than their model's newest good ones."
        )
    left_out = (*ranking.unreadable, *stored.contents.problems)
    return notes + [f"Left out: {problem}." for problem in left_out]

"""Which records stand on a leaderboard, and the row each model gets from them."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from fmbench.protocol import Protocol
from fmbench.records import Record, Run

NORMAL_95 = 1.959963984540054
SEEDS_FOR_RANKS = 3


@dataclass(frozen=True)
class Row:
    """One model of one distribution. Accuracies are shares from 0 to 1, means over its seeds.

    accuracy_image_margin: half the width of the 95 % interval for new test images, binomial.
    status: `ok` when every seed of the protocol has an ok record, else what is missing and why.
    """

    model: str
    distribution: str
    version: str
    accuracy: float | None
    accuracy_image_margin: float | None
    accuracy_lowest_seed: float | None
    accuracy_highest_seed: float | None
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
    def complete(self) -> bool:
        """Whether the row holds all that the protocol asks for."""
        return self.status == "ok"


@dataclass(frozen=True)
class Board:
    """The rows of one protocol, best first, and what has to be said below them."""

    protocol: str
    digest: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def make_board(
    protocol: Protocol, records: Sequence[Record], problems: Sequence[str] = ()
) -> Board:
    """The board of a protocol's records.

    Records of one model count together only when plugin, dependencies, torch, training semantics,
    kind of device and recipe agree; of several such sets the newest with a good final counts. Of
    one seed the newest ok record counts. Complete rows come first, by mean accuracy; order of
    records changes nothing.
    """
    current = [record for record in records if record.run.protocol_digest == protocol.digest]
    by_model: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in sorted(current, key=_age):
        by_model[record.run.plugin.distribution, record.run.model].append(record)
    newest = {model: _newest_set(found) for model, found in by_model.items()}
    rows = [_row(protocol, found) for found in newest.values()]
    rows.sort(key=lambda row: (not row.complete, -(row.accuracy or 0), row.model, row.distribution))
    shown = [record for found in newest.values() for record in found]
    return Board(
        protocol=protocol.id,
        digest=protocol.digest,
        rows=tuple(rows),
        notes=_notes(protocol, len(records), len(current), shown, problems),
    )


def _age(record: Record) -> tuple[str, str]:
    return record.created, record.id


def _newest_set(found: list[Record]) -> list[Record]:
    """The tune and final records made with what the newest good final was made with.

    Without a good final the newest record decides, one that was only interrupted last of all.
    """
    newest = max(found, key=lambda record: (_standing(record), _age(record))).run
    return [
        record
        for record in found
        if _made_with(record.run) == _made_with(newest)
        and (record.run.recipe == newest.recipe or "tune" in (record.run.stage, newest.stage))
    ]


def _made_with(run: Run) -> tuple[object, ...]:
    return run.plugin, run.torch, run.semantics, run.device_kind


def _standing(record: Record) -> int:
    if record.result.status == "ok" and record.run.stage == "final":
        return 2
    return int(record.done)


def _row(protocol: Protocol, found: list[Record]) -> Row:
    newest: dict[int, Record] = {}
    for record in found:
        if record.run.stage == "final" and record.run.seed in protocol.seeds:
            before = newest.get(record.run.seed)
            if record.result.status == "ok" or before is None or before.result.status != "ok":
                newest[record.run.seed] = record
    ok = [record for _, record in sorted(newest.items()) if record.result.status == "ok"]
    accuracies = [record.result.accuracy for record in ok if record.result.accuracy is not None]
    accuracy = fmean(accuracies) if accuracies else None
    images = ok[-1].result.images if ok else None
    return Row(
        model=found[-1].run.model,
        distribution=found[-1].run.plugin.distribution,
        version=found[-1].run.plugin.version,
        accuracy=accuracy,
        accuracy_image_margin=_image_margin(accuracy, images),
        accuracy_lowest_seed=min(accuracies, default=None),
        accuracy_highest_seed=max(accuracies, default=None),
        seeds=len(ok),
        seeds_expected=len(protocol.seeds),
        test_images=images,
        log_loss=_mean([record.result.log_loss for record in ok]),
        calibration_error=_mean([record.result.calibration_error for record in ok]),
        parameters=ok[-1].cost.parameters if ok else None,
        forward_flops=ok[-1].cost.forward_flops if ok else None,
        train_seconds=_mean([record.cost.train_seconds for record in ok]),
        train_images_per_second=_mean([record.cost.images_per_second for record in ok]),
        inference_images_per_second=_mean(
            [record.cost.inference_images_per_second for record in ok]
        ),
        peak_memory=max((record.cost.peak_memory for record in ok), default=None),
        recipe=ok[-1].run.recipe if ok else "",
        device=", ".join(sorted({record.environment.device.name for record in ok})),
        status=_status(protocol, found, newest),
    )


def _status(protocol: Protocol, found: list[Record], newest: dict[int, Record]) -> str:
    counts = Counter(record.result.status for record in newest.values())
    if counts["ok"] == len(protocol.seeds):
        return "ok"
    faults = [f"{count} {status}" for status, count in sorted(counts.items()) if status != "ok"]
    if not newest:
        tuned = Counter(record.result.status for record in found)
        faults = [f"{count} tune runs {status}" for status, count in sorted(tuned.items())]
    have = f"{counts['ok']} of {len(protocol.seeds)} seeds"
    return f"{have}: {', '.join(faults)}" if faults else have


def _image_margin(accuracy: float | None, images: int | None) -> float | None:
    if accuracy is None or not images:
        return None
    return NORMAL_95 * float((accuracy * (1 - accuracy) / images) ** 0.5)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _notes(
    protocol: Protocol, records: int, current: int, shown: list[Record], problems: Sequence[str]
) -> tuple[str, ...]:
    """What the numbers mean and what was left out, a sentence each."""
    devices = sorted({record.environment.device.name for record in shown})
    notes = [
        f"{protocol.id} ({protocol.status}), protocol digest {protocol.digest[:12]}, "
        f"{len(shown)} runs on {', '.join(devices) or 'no device'}.",
        "± is the 95 % interval for new test images of the same kind (binomial)"
        + ("." if len(protocol.seeds) > 1 else "; one seed says nothing about other seeds."),
    ]
    if len(protocol.seeds) < SEEDS_FOR_RANKS:
        notes.append(f"No ranks: they need at least {SEEDS_FOR_RANKS} seeds.")
    if records > current:
        notes.append(f"Left out: {records - current} records of another version of this protocol.")
    if current > len(shown):
        notes.append(
            f"Left out: {current - len(shown)} records made with other versions, another recipe "
            "or another kind of device than their model's newest good ones."
        )
    notes += [f"Left out: {problem}." for problem in problems]
    return tuple(notes)

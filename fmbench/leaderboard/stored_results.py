"""The stored results a leaderboard rests on: which records count for each model."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fmbench import records
from fmbench.errors import StoreError
from fmbench.leaderboard.statistics import Sample
from fmbench.leaderboard.tiers import Tier, read_tiers
from fmbench.protocol import Protocol
from fmbench.records import Plugin, Record, Run
from fmbench.store import COPY_OR_REDO, Contents, Store


@dataclass(frozen=True)
class ModelResults:
    """The records of one model of one distribution that count together.

    finals: one for each seed that was run, in the order of seeds, failures included.
    tunes:  the runs that tried recipes on validation images, the newest of each recipe and seed.
    newer:  the newest run of the model, where it was made otherwise and later than all of these,
            and was not ok.
    again:  good final runs of the same seeds on other devices of the kind, the newest of each
            seed and device.
    """

    model: str
    plugin: Plugin
    finals: tuple[Record, ...]
    tunes: tuple[Record, ...]
    newer: Record | None = None
    again: tuple[Record, ...] = ()

    @property
    def records(self) -> tuple[Record, ...]:
        """All of them, the final ones first."""
        return (*self.finals, *self.tunes)

    @property
    def ok(self) -> tuple[Record, ...]:
        """The final records that have a score."""
        return tuple(record for record in self.finals if record.ok)

    @property
    def accuracies(self) -> tuple[float, ...]:
        """The test accuracy of each good seed, 0 to 1."""
        found = (record.result.accuracy for record in self.ok)
        return tuple(accuracy for accuracy in found if accuracy is not None)


class StoredResults:
    """What a store holds for one protocol: entries, test labels and predictions.

    Labels and predictions are read when first used; they raise `StoreError` when they are
    missing or contradict the records.
    """

    def __init__(self, store: Store, protocol: Protocol | None = None) -> None:
        """Read a store; without a protocol that of its newest record counts."""
        self.contents: Contents = store.read()
        self.protocol = protocol or store.protocol_of(self.contents.records)
        self.entries = choose_model_results(self.protocol, self.contents.records)
        self.folder = store.folder
        self._store = store

    def entry(self, model: str, distribution: str) -> ModelResults:
        """The entry of a row; raises `KeyError` when there is none."""
        return {(one.model, one.plugin.distribution): one for one in self.entries}[
            model, distribution
        ]

    @cached_property
    def tiers(self) -> dict[str, Tier]:
        """How far each good final run that counts was checked, by its record's stem."""
        return read_tiers(self._store, [record for entry in self.entries for record in entry.ok])

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """The test labels, uint8 (n,)."""
        return self._store.labels(self.protocol)

    def predictions(self, entry: ModelResults) -> NDArray[np.uint8]:
        """The predicted classes of an entry's good seeds, uint8 (S, n)."""
        return np.stack([self._predictions(record) for record in entry.ok])

    def sample(self, entry: ModelResults) -> Sample:
        """What an entry's good seeds had right."""
        return Sample.of(self.predictions(entry) == self.labels)

    def _predictions(self, record: Record) -> NDArray[np.uint8]:
        found = self._store.predictions(record)
        if len(found) != len(self.labels) or (found == self.labels).sum() != record.result.correct:
            raise StoreError(
                "its predictions contradict its record",
                where=str(self._store.path(record, ".npy")),
                hint=COPY_OR_REDO,
            )
        return found


def choose_model_results(protocol: Protocol, found: Sequence[Record]) -> tuple[ModelResults, ...]:
    """The entry of each model under a protocol, by model and distribution.

    Records of one model count together only when plugin, dependencies, torch, training semantics,
    kind of device and recipe agree; of several such sets the newest with a good final counts. Of
    one seed the newest ok record counts. The order of records changes nothing.
    """
    by_model: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in found:
        if record.run.protocol_digest == protocol.digest:
            by_model[record.run.model, record.run.plugin.distribution].append(record)
    return tuple(
        _entry(protocol, sorted(of_model, key=_age)) for _, of_model in sorted(by_model.items())
    )


def digest_of(found: Sequence[Record]) -> str:
    """SHA-256 of these records' contents, whatever their order."""
    each = sorted(hashlib.sha256(records.encode(record)).digest() for record in found)
    return hashlib.sha256(b"".join(each)).hexdigest()


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
    if record.ok and record.run.stage == "final":
        return 2
    return int(record.done)


def _entry(protocol: Protocol, of_model: list[Record]) -> ModelResults:
    """The newest record of each final seed and of each trial; a good one is never hidden.

    of_model: all records of the model, the oldest first.
    """
    of_one_set = _newest_set(of_model)
    last = of_model[-1]
    newer = None if last.ok or last in of_one_set else last
    finals: dict[int, Record] = {}
    tunes: dict[tuple[str, int], Record] = {}
    for record in sorted(of_one_set, key=lambda record: record.ok):
        if record.run.stage == "tune":
            tunes[record.run.recipe, record.run.seed] = record
        elif record.run.seed in protocol.seeds:
            finals[record.run.seed] = record
    tried = protocol.tune.seeds if protocol.tune else ()
    run = of_one_set[-1].run
    return ModelResults(
        model=run.model,
        plugin=run.plugin,
        newer=newer,
        again=_on_other_devices(of_one_set, finals),
        finals=tuple(record for _, record in sorted(finals.items())),
        tunes=tuple(
            tunes[recipe.name, seed]
            for recipe in protocol.recipes
            for seed in tried
            if (recipe.name, seed) in tunes
        ),
    )


def _on_other_devices(
    of_one_set: Sequence[Record], finals: Mapping[int, Record]
) -> tuple[Record, ...]:
    found: dict[tuple[int, str], Record] = {}
    for record in of_one_set:
        shown = finals.get(record.run.seed)
        if shown is None or not (shown.ok and record.ok) or record.run.stage == "tune":
            continue
        device = record.environment.device.digest
        if device and device != shown.environment.device.digest:
            found[record.run.seed, device] = record
    return tuple(record for _, record in sorted(found.items()))

"""The records of one store against one another: copies, gaps, and runs made twice."""

import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from statistics import fmean
from typing import NamedTuple

import msgspec
import numpy as np

from fmbench.contract import CLASSES
from fmbench.protocol import Protocol
from fmbench.records import Record, Run
from fmbench.verification.beside import Answers
from fmbench.verification.findings import Finding

BLOCKS = 8
ALIKE = 20
"""How many wrong answers, and how many that are not the commonest one, two runs must share in a
block of images before that is no chance."""


class Kept(NamedTuple):
    """What is kept of a record while the others are read.

    promised: the same for records on equal devices with equal versions; None without a promise.
    key, result: the same for equal ones.
    """

    stem: str
    key: int
    model: str
    seed: int
    created: str
    promised: int | None
    result: int
    ok: bool


class Score(NamedTuple):
    """What a trial of a recipe says for it: the best is the largest."""

    correct: float
    gain: float


class Across:
    """Takes the records of a store one by one, and says at the end what contradicts.

    unfinished: keys of runs that a runner has claimed, and is at or has left when it died.
    """

    def __init__(self, unfinished: Collection[str] = ()) -> None:
        self._unfinished = unfinished
        self._by_id: dict[str, str] = {}
        self._by_times: dict[tuple[float, ...], Kept] = {}
        self._by_block: dict[int, Kept] = {}
        self._by_logits: dict[str, tuple[Kept, str]] = {}
        self._by_key: dict[int, list[Kept]] = defaultdict(list)
        self._sets: dict[tuple[object, ...], _Set] = {}
        self._found: list[Finding] = []

    def add(self, record: Record, rules: Protocol, answers: Answers) -> None:
        """Take a record that is of these rules."""
        kept = _kept(record)
        other = self._by_id.setdefault(record.id, kept.stem)
        if other != kept.stem:
            self._say("false", "id", record, f"it has the id of {other}")
        copied = self._look_for_times(record, kept)
        if not copied:
            self._look_for_answers(record, kept, answers)
            self._by_key[kept.key].append(kept)
        run = record.run
        plugin = msgspec.json.encode(run.plugin, order="sorted")
        made_with = (
            run.model,
            plugin,
            run.torch,
            run.semantics,
            run.device_kind,
            run.protocol_digest,
        )
        if made_with not in self._sets:
            self._sets[made_with] = _Set(rules, self._unfinished)
        self._sets[made_with].add(record)

    def findings(self) -> Iterator[Finding]:
        """What was found: copies, runs made twice, what is missing."""
        yield from self._found
        for same in self._by_key.values():
            if len(same) > 1:
                yield from _made_twice(same)
        for (model, *_), of_set in self._sets.items():
            yield from of_set.findings(str(model))

    def _look_for_times(self, record: Record, kept: Kept) -> bool:
        """Whether another record has the very times of this one, which no clock gives twice."""
        cost = record.cost
        times = (cost.runner_seconds, cost.train_seconds, cost.inference_images_per_second)
        if not all(times):
            return False
        other = self._by_times.setdefault(times, kept)
        if other is kept:
            return False
        what = "the same run under another id" if other.key == kept.key else "one is copied"
        self._say("false", "copy", record, f"it has the times of {other.stem}: {what}")
        return True

    def _look_for_answers(self, record: Record, kept: Kept, answers: Answers) -> None:
        """Whether its answers to an eighth of the images, or its logits, are another run's."""
        if answers.predictions is None or answers.hits is None:
            return
        logits = record.result.logits_sha256
        computed, digest = self._by_logits.setdefault(logits, (kept, answers.digest))
        if logits and np.ptp(answers.predictions) and digest != answers.digest:
            what = f"its logits are those of {computed.stem}, and its predictions are not"
            self._say("false", "predictions", record, what)
        blocks = max(1, min(BLOCKS, len(answers.hits) // 1000))
        size = len(answers.hits) // blocks
        given = answers.predictions[: blocks * size].reshape(blocks, size)
        right = answers.hits[: blocks * size].reshape(blocks, size).sum(axis=1)
        of_block = np.arange(blocks, dtype=np.uint8)[:, None] * CLASSES
        each = np.bincount((given + of_block).ravel(), minlength=blocks * CLASSES)
        commonest = each.reshape(blocks, CLASSES).max(axis=1)
        for place in np.flatnonzero(size - np.maximum(right, commonest) >= ALIKE):
            other = self._by_block.setdefault(hash((int(place), given[place].tobytes())), kept)
            if (other.model, other.seed) != (kept.model, kept.seed):
                what = f"its predictions, or an eighth of them, are those of {other.stem}"
                self._say("false", "predictions", record, what)
                return

    def _say(self, level: str, kind: str, record: Record, what: str) -> None:
        self._found.append(Finding(level, kind, record.stem, what))  # type: ignore[arg-type]


def _kept(record: Record) -> Kept:
    """Of what is only compared the hash is kept: a board of 10,000 records has to fit."""
    run, where, result = record.run, record.environment, record.result
    promised = where.device.digest and record.reproducibility == "bitwise"
    bits = (where.device.digest, where.threads, where.python, *sorted(where.libraries.items()))
    return Kept(
        stem=sys.intern(record.stem),
        key=hash(record.key),
        model=sys.intern(run.model),
        seed=run.seed,
        created=record.created,
        promised=hash(bits) if promised else None,
        result=hash((result.status, result.correct, result.log_loss, result.logits_sha256)),
        ok=record.ok,
    )


def _made_twice(same: list[Kept]) -> Iterator[Finding]:
    """A run made more than once may differ between machines, and not where bits are promised."""
    good = [kept for kept in same if kept.ok]
    by_place: dict[int, Kept] = {}
    for kept in good:
        other = kept if kept.promised is None else by_place.setdefault(kept.promised, kept)
        if other.result != kept.result:
            yield Finding(
                "false", "contradiction", kept.stem,
                f"on an equal device {other.stem} came out otherwise",
            )  # fmt: skip
            return
    if len({kept.result for kept in good}) > 1:
        newest = max(good, key=lambda kept: (kept.created, kept.stem))
        yield Finding(
            "note", "contradiction", newest.stem,
            f"its run was made {len(good)} times with other results; the newest counts",
        )  # fmt: skip


class _Set:
    """The runs of one model that were made alike: which of its seeds and its trials there are."""

    def __init__(self, rules: Protocol, unfinished: Collection[str]) -> None:
        self._rules = rules
        self._unfinished = unfinished
        self._finals: dict[str, dict[int, Run]] = defaultdict(dict)
        self._good: dict[str, set[int]] = defaultdict(set)
        self._stopped: set[tuple[str, int]] = set()
        self._newest = ("", "")
        self._trials: dict[tuple[str, int], list[Score | None]] = defaultdict(list)

    def add(self, record: Record) -> None:
        run, result = record.run, record.result
        if run.stage == "tune":
            score = Score(result.correct or 0, -(result.log_loss or 0.0)) if record.ok else None
            self._trials[run.recipe, run.seed].append(score)
            return
        self._finals[run.recipe][run.seed] = run
        if not record.done:
            self._stopped.add((run.recipe, run.seed))
        if record.ok:
            self._good[run.recipe].add(run.seed)
            self._newest = max(self._newest, (record.created, run.recipe))

    def findings(self, model: str) -> Iterator[Finding]:
        seeds = self._rules.seeds
        for recipe, made in self._finals.items():
            last = max((place for place, seed in enumerate(seeds) if seed in made), default=-1)
            for seed in seeds[: max(last, 0)]:
                if seed in made:
                    continue
                if self._was_left(made[seeds[last]], seed):
                    yield Finding("note", "seeds", model, f"the run of seed {seed} has not ended")
                    continue
                yield Finding(
                    "false", "seed left out", model,
                    f"seed {seed} has no record with {recipe}, not even of a failure, and later "
                    "ones have",
                )  # fmt: skip
        newest = self._newest[1]
        owed = len(seeds) - len(self._good[newest])
        if newest and owed:
            yield Finding("note", "seeds", model, f"{owed} of {len(seeds)} seeds have no good run")
        if self._rules.tuning and newest:
            yield from self._about_recipe(model, newest)

    def _was_left(self, later: Run, seed: int) -> bool:
        """Whether a runner left the run of a seed, of whose workers another ended a later one.

        Its claim tells, or a run before it that was interrupted: a worker makes its runs in order.
        """
        if msgspec.structs.replace(later, seed=seed).key in self._unfinished:
            return True
        seeds = self._rules.seeds
        return any((later.recipe, one) in self._stopped for one in seeds[: seeds.index(seed)])

    def _about_recipe(self, model: str, chosen: str) -> Iterator[Finding]:
        """Whether the recipe is the one that the trials choose, whichever of several counts."""
        tuning = self._rules.tuning
        seeds = tuning.seeds if tuning else ()
        recipes = [recipe.name for recipe in self._rules.recipes]
        if missing := [
            f"{name} (seed {seed})"
            for name in recipes
            for seed in seeds
            if (name, seed) not in self._trials
        ]:
            yield Finding(
                "false", "trial left out", model, f"there is no trial of {', '.join(missing)}"
            )
            return
        most = self._mean(chosen, seeds, at_best=True)
        if most is None:
            yield Finding("false", "recipe", model, f"no trial of its recipe {chosen} was good")
            return
        for place, name in enumerate(recipes):
            least = self._mean(name, seeds, at_best=False)
            before = place < recipes.index(chosen) if chosen in recipes else True
            if least is not None and (least > most or (least == most and before)):
                yield Finding(
                    "false", "recipe", model,
                    f"its trials choose {name}, and its runs were made with {chosen}",
                )  # fmt: skip
                return

    def _mean(self, recipe: str, seeds: Iterable[int], *, at_best: bool) -> Score | None:
        """The most or the least that a recipe's trials can say for it; None for a bad recipe."""
        picked = []
        for seed in seeds:
            trials = self._trials[recipe, seed]
            good = [trial for trial in trials if trial is not None]
            if not good or (not at_best and len(good) < len(trials)):
                return None
            picked.append(max(good) if at_best else min(good))
        return Score(fmean(one.correct for one in picked), fmean(one.gain for one in picked))

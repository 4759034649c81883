"""A store from its first file to its last: each record by itself, then all of them together."""

import dataclasses
import hashlib
import os
import stat
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fmbench import records
from fmbench.errors import UsageError
from fmbench.leaderboard.tiers import VERIFICATIONS, kept_verifications, read_verification
from fmbench.records import Record
from fmbench.store import BESIDE, LOG, LOGITS, PREDICTIONS, WEIGHTS, Store, protocols_in
from fmbench.verification import single
from fmbench.verification.across import Across
from fmbench.verification.beside import NO_ANSWERS, Answers, FilesBeside
from fmbench.verification.findings import LEVELS, Finding, Verdict, VerdictOfRun
from fmbench.verification.rules import Rules
from fmbench.wording import counted


@dataclass(frozen=True)
class Asked:
    """A store, and the stems of the records in it that are asked about; all when that is empty."""

    store: Store
    stems: frozenset[str] = frozenset()


def asked_of(paths: Sequence[Path], protocol: str | None = None) -> list[Asked]:
    """The stores that paths mean: records, stores, results folders; of one protocol if it is named.

    Raises `UsageError` for a path that holds no records.
    """
    stems: dict[tuple[Path, str], set[str]] = {}
    whole: set[tuple[Path, str]] = set()
    for path in paths:
        found = list(_meant(path))
        if not found:
            raise UsageError(
                "there is no record, and no folder of records",
                where=str(path),
                hint="name a record's .json file, or a folder that `fmbench run` has written",
            )
        for folder, name, stem in found:
            stems.setdefault((folder, name), set()).add(stem)
            if not stem:
                whole.add((folder, name))
    asked = [
        Asked(Store(*of), frozenset() if of in whole else frozenset(found))
        for of, found in stems.items()
        if protocol in (None, of[1])
    ]
    if not asked:
        raise UsageError(
            f"holds no records of {protocol}",
            where=", ".join(map(str, paths)),
            hint=f"it has records of {', '.join(sorted({name for _, name in stems}))}",
        )
    return asked


def _meant(path: Path) -> Iterator[tuple[Path, str, str]]:
    """The results folder, the protocol and, for a record or a file beside one, its stem."""
    whole = path.absolute()
    if whole.parent.name == "records" and os.path.lexists(whole):
        stem = whole.name
        for kind in (".json", LOGITS, PREDICTIONS, LOG, WEIGHTS):
            stem = stem.removesuffix(kind)
        yield whole.parent.parent.parent, whole.parent.parent.name, stem
    elif whole.name == "records" and whole.is_dir():
        yield whole.parent.parent, whole.parent.name, ""
    elif (whole / "records").is_dir():
        yield whole.parent, whole.name, ""
    elif whole.is_dir():
        yield from ((whole, name, "") for name in protocols_in(whole))


def verify_store(
    asked: Asked, known_sources: Collection[tuple[str, str]], *, from_weights: bool = False
) -> Verdict:
    """Read every file of a store once, and say what is false, noteworthy and unchecked.

    known_sources: plugins' distributions with the SHA-256 of a source that is installed or
                   published.
    from_weights:  whether kept weights are scored again afterwards.

    Of each record little is kept while the others are read. Raises `StoreError` where the folder
    cannot be read.
    """
    return _Verification(asked, known_sources, from_weights).verdict()


class _Verification:
    def __init__(
        self, asked: Asked, known_sources: Collection[tuple[str, str]], from_weights: bool
    ) -> None:
        self._from_weights = from_weights
        self._store, self._stems = asked.store, asked.stems
        self._sources = known_sources
        self._rules = Rules(asked.store)
        self._files = FilesBeside(asked.store, self._rules, self._say)
        self._across = Across(asked.store.unfinished())
        self._unchecked: Counter[str] = Counter()
        self._unknown: Counter[tuple[str, str, str]] = Counter()
        folder = asked.store.folder
        self._verdict = Verdict(str(folder), folder.name, self._rules.texts)
        self._false: set[str] = set()
        self._models: set[str] = set()

    def verdict(self) -> Verdict:
        folder = self._store.records
        if folder.is_symlink():
            self._say("false", "files", "records", "the folder is a link")
        record_files = list(self._store.record_files())  # first: what lies beside is written before
        names = set(os.listdir(folder)) if folder.is_dir() else set()  # noqa: PTH208 - names alone
        for path in record_files:
            names.discard(path.name)
            try:
                record, content = self._store.read_record_and_bytes(path)
                if not records.is_as_written(content):
                    raise ValueError("is not written as fmbench writes a record")
            except ValueError as error:
                self._say("false", "record", path.stem, str(error))
                names -= {f"{path.stem}{kind}" for kind in BESIDE}
                continue
            beside = {kind for kind in BESIDE if f"{path.stem}{kind}" in names}
            names.difference_update(f"{path.stem}{kind}" for kind in beside)
            self._look_at(record, hashlib.sha256(content).hexdigest(), beside)
        self._left_over(names)
        for finding in self._across.findings():
            self._add(finding)
        self._compare_with_earlier_verifications()
        return self._ended()

    def _compare_with_earlier_verifications(self) -> None:
        """Records are never overwritten: what was verified once must still be the same."""
        if (self._store.folder / VERIFICATIONS).is_symlink():
            self._say("false", "files", VERIFICATIONS, "the folder is a link")
        kept = kept_verifications(self._store)
        if not kept:
            return
        now = {run.stem: run for run in self._verdict.runs}
        known = {path.stem for path in self._store.record_files()}
        for path in kept:
            then = read_verification(path)
            if then is None:
                what = "it is no verification, or not what its digest was taken of"
                self._say("false", "verification", path.name, what)
                continue
            for name, digest in then.protocols.items():
                if self._rules.texts.get(name, digest) != digest:
                    what = f"its rules are those verified on {then.created[:10]}, its text is not"
                    self._say("note", "protocol", name, what)
            for stem, run in then.runs.items():
                one = now.get(stem)
                if stem not in known:
                    what = f"it was verified on {then.created[:10]}, and is gone"
                    self._say("note", "record", stem, what)
                elif one and (one.record, one.predictions) != (run.record, run.predictions):
                    what = f"it is not what was verified on {then.created[:10]}"
                    self._say("false", "record", stem, what)

    def _look_at(self, record: Record, digest: str, beside: set[str]) -> None:
        rules = self._rules.protocols.get(record.run.protocol_digest)
        answers = NO_ANSWERS
        self._models.add(record.run.model)
        if record.run.protocol != self._store.folder.name:
            what = (
                f"it was made under {record.run.protocol}, and lies with {self._verdict.protocol}"
            )
            self._say("false", "protocol", record.stem, what)
        elif rules is None:
            what = (
                f"its protocol, digest {record.run.protocol_digest[:8]}, is not here, or not what "
                "it calls itself"
            )
            self._say("false", "protocol", record.stem, what)
        else:
            for kind, check in single.FALSE.items():
                for what in check(record, rules):
                    self._say("false", kind, record.stem, what)
            for kind, what in single.notes(record, rules):
                self._say("note", kind, record.stem, what)
            answers = self._files.answers(record, rules, beside)
            self._across.add(record, rules, answers)
        self._files.look_at(record, beside)
        self._note_what_is_unchecked(record, beside)
        if not self._stems or record.stem in self._stems:
            self._verdict.runs.append(_run(record, digest, answers))

    def _note_what_is_unchecked(self, record: Record, beside: set[str]) -> None:
        if record.schema < records.SCHEMA:
            self._unchecked[
                f"have schema {record.schema}, and no digest of their content: their status, "
                "log-loss and calibration error, their curves, costs, departure, promise of bits "
                "and environment may have been edited, and their predictions exchanged for others "
                "as accurate"
            ] += 1
        if record.ok and record.run.stage == "tune":
            self._unchecked["are trials, whose predictions are not kept: their scores"] += 1
        elif record.ok and LOGITS not in beside:
            self._unchecked["have no logits kept: their log-loss and calibration error"] += 1
        if LOG in record.files and LOG not in beside:
            self._unchecked["came without their logs: what their plugins printed"] += 1
        if WEIGHTS in record.files and WEIGHTS not in beside:
            self._unchecked["came without their weights: whether these give the scores"] += 1
        if record.ok and WEIGHTS in beside and not self._from_weights:
            self._unchecked[
                "have weights kept, of which only the digest was checked: that they give these "
                "scores, see --from-weights"
            ] += 1
        plugin = record.run.plugin
        if (plugin.distribution, plugin.source) not in self._sources:
            self._unknown[plugin.distribution, plugin.version, plugin.source[:12]] += 1

    def _left_over(self, names: set[str]) -> None:
        for name in sorted(names):
            try:
                kind = os.lstat(self._store.records / name).st_mode
            except FileNotFoundError:  # a runner at work has renamed it
                continue
            if not stat.S_ISREG(kind):
                self._say("false", "files", name, "it is not a regular file")
            elif name.endswith(BESIDE):
                self._say("note", "files", name, "it lies without its record")
            elif not name.startswith("."):
                self._say("note", "files", name, "it is not of a record")

    def _ended(self) -> Verdict:
        for finding in self._rules.findings:
            self._add(finding)
        for what, count in sorted(self._unchecked.items()):
            self._say("unchecked", "scores", self._verdict.protocol, f"{_records(count)} {what}")
        for (distribution, version, source), count in sorted(self._unknown.items()):
            what = f"{_records(count)} of {version} with a source that is neither installed here "
            what += f"nor published: {source}"
            self._say("note", "source", distribution, what)
        runs = [
            msgspec.structs.replace(run, tier=None) if run.stem in self._false else run
            for run in self._verdict.runs
        ]
        found = sorted(set(self._verdict.findings), key=_order)
        if self._stems:
            known = {path.stem for path in self._store.record_files()}
            others = self._models - {run.model for run in runs}
            found = [one for one in found if one.where not in known - self._stems | others]
        return dataclasses.replace(self._verdict, runs=runs, findings=found)

    def _say(self, level: str, kind: str, where: str, what: str) -> None:
        self._add(Finding(level, kind, where, what))  # type: ignore[arg-type]

    def _add(self, finding: Finding) -> None:
        self._verdict.findings.append(finding)
        if finding.level == "false":
            self._false.add(finding.where)


def _run(record: Record, digest: str, answers: Answers) -> VerdictOfRun:
    return VerdictOfRun(
        stem=sys.intern(record.stem),
        id=record.id,
        model=sys.intern(record.run.model),
        distribution=sys.intern(record.run.plugin.distribution),
        stage=record.run.stage,
        seed=record.run.seed,
        status=record.result.status,
        tier="re-scored" if answers.hits is not None else "reported",
        record=digest,
        predictions=answers.digest,
    )


def _records(count: int) -> str:
    return counted(count, "record")


def _order(finding: Finding) -> tuple[int, str, str, str]:
    return LEVELS.index(finding.level), finding.where, finding.kind, finding.what

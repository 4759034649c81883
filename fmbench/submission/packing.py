"""What of a store belongs into a submission, and what it says of itself."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fmbench import files
from fmbench.leaderboard.stored_results import ModelResults, StoredResults
from fmbench.protocol import Protocol, load, names
from fmbench.records import Record
from fmbench.store import LOG, LOGITS, PREDICTIONS, RECORD_BYTES, WEIGHTS, Store, published
from fmbench.submission.layout import (
    COMMIT,
    KINDS,
    PUBLISHED,
    RECORD,
    protocol_file,
    require_fitting,
    suffixes_beside,
)
from fmbench.wording import counted


@dataclass(frozen=True)
class Piece:
    """A file of a submission: its path there, of what kind it is, where it lies, and its bytes."""

    name: str
    kind: str
    source: Path
    size: int


@dataclass(frozen=True)
class Submission:
    """All records of one protocol in a store, failures included, with what belongs to them.

    missing:  what the rows lack, or what keeps them from being taken, a sentence each.
    left_out: what lies in the store and is not packed, a sentence each.
    faults:   files that belong here and cannot be packed, a sentence each.
    """

    protocol: Protocol
    records: tuple[Record, ...]
    pieces: tuple[Piece, ...]
    missing: tuple[str, ...]
    left_out: tuple[str, ...]
    faults: tuple[str, ...]

    @property
    def size(self) -> int:
        """The bytes of all files together."""
        return sum(piece.size for piece in self.pieces)

    @property
    def by_kind(self) -> dict[str, tuple[int, int]]:
        """How many files there are of each kind, and their bytes."""
        numbers, sizes = Counter[str](), Counter[str]()
        for piece in self.pieces:
            numbers[piece.kind] += 1
            sizes[piece.kind] += piece.size
        return {kind: (numbers[kind], sizes[kind]) for kind in KINDS.values() if numbers[kind]}


def collect(
    store: Store, stored: StoredResults, *, logs: bool = False, logits: bool = False
) -> Submission:
    """The submission of what a store holds under its protocol.

    Labels and boards do not belong to it: labels are the data set's, and boards are computed.
    logs, logits: whether they are packed too, where they were kept.
    """
    protocol, contents = stored.protocol, stored.contents
    chosen = [one for one in contents.records if one.run.protocol_digest == protocol.digest]
    wanted = {PREDICTIONS, *([LOG] if logs else []), *([LOGITS] if logits else [])}
    kept = protocol_file(protocol)
    text = published() / protocol.id / kept  # whose comments may be others than in the store
    paths: list[tuple[Path, str, Record | None]] = [
        (text if text.is_file() else store.folder / kept, ".toml", None)
    ]
    paths += [
        (store.path(record, suffix), suffix, record)
        for record in chosen
        for suffix in (RECORD, *suffixes_beside(record))
        if suffix in (RECORD, PREDICTIONS)
        or (suffix in wanted and _is_there(store.path(record, suffix)))
    ]
    pieces, faults = [], []
    for path, suffix, record in paths:
        within = path.name if record is None else f"{store.records.name}/{path.name}"
        try:
            if record is None or suffix == RECORD:
                files.read_at_most(path, RECORD_BYTES)
            else:
                require_fitting(path, suffix, record)
            name = f"{PUBLISHED}/{protocol.id}/{within}"
            pieces.append(Piece(name, KINDS[suffix], path, path.lstat().st_size))
        except (OSError, ValueError) as error:
            faults.append(f"{within}: {files.reason(error)}")
    return Submission(
        protocol=protocol,
        records=tuple(chosen),
        pieces=tuple(sorted(pieces, key=lambda piece: piece.name)),
        missing=tuple(_missing(protocol, stored.entries, chosen)),
        left_out=tuple(_left_out(store, stored, chosen, wanted)),
        faults=tuple(faults),
    )


def _missing(
    protocol: Protocol, entries: Sequence[ModelResults], chosen: Sequence[Record]
) -> Iterator[str]:
    for entry in entries:
        made = {record.run.seed for record in entry.finals}
        if owed := [seed for seed in protocol.seeds if seed not in made]:
            yield f"{entry.model}: no final run of {_numbered('seed', owed)}"
        for record in entry.finals:
            if not record.ok:
                yield f"{entry.model}: seed {record.run.seed} {record.result.status}"
        if tuning := protocol.tuning:
            tried = {(record.run.recipe, record.run.seed) for record in entry.tunes}
            for recipe in protocol.recipes:
                owed = [seed for seed in tuning.seeds if (recipe.name, seed) not in tried]
                if owed:
                    yield f"{entry.model}: no tune run of {recipe.name}, {_numbered('seed', owed)}"
    if protocol.digest not in {shipped.digest for shipped in map(load, names())}:
        yield f"{protocol.id} is not a protocol that fmbench has: its results are not published"
    if nameless := [one for one in chosen if not COMMIT.fullmatch(one.environment.commit)]:
        yield (
            f"no commit of fmbench in {len(nameless)} of {counted(len(chosen), 'record')}, which "
            "cannot be published: install it from a clean checkout, and run again"
        )


def _left_out(
    store: Store, stored: StoredResults, chosen: Sequence[Record], wanted: set[str]
) -> Iterator[str]:
    contents = stored.contents
    if other := len(contents.records) - len(chosen):
        yield f"{counted(other, 'record')} of another version of the protocol"
    yield from contents.problems
    if lost := store.without_record():
        yield f"{counted(len(lost), 'file')} of runs that left no record"
    for suffix, option in ((LOG, "--logs"), (LOGITS, "--logits")):
        there = [one for one in chosen if _is_there(store.path(one, suffix))]
        if suffix not in wanted and there:
            yield f"the {KINDS[suffix]} of {counted(len(there), 'run')}; {option} packs them"
    if kept := [one for one in chosen if _is_there(store.path(one, WEIGHTS))]:
        yield f"the weights of {counted(len(kept), 'run')}, which are not published"


def _numbered(noun: str, numbers: Sequence[int]) -> str:
    """`seed 3`, `seeds 1, 2, 3`."""
    return f"{noun}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _is_there(path: Path) -> bool:
    return path.is_symlink() or path.exists()

"""The store: one folder of immutable record files for each protocol in a results folder."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from fmbench import data, files, protocol, records, weights
from fmbench.data import idx
from fmbench.errors import DataError, StoreError
from fmbench.protocol import Protocol
from fmbench.records import Record
from fmbench.weights import Weights
from fmbench.wording import encodable, same_records

PREDICTIONS, LOGITS, LOG, WEIGHTS = BESIDE = (".npy", ".logits.npy", ".log", ".safetensors")
LOG_BYTES = 256 * 1024
RECORD_BYTES = 1024 * 1024
TEST_LABELS = data.FILES[3]
COPY_OR_REDO = (
    "copy the file from where the record comes from, or remove the record's files and run again"
)


@dataclass(frozen=True)
class Contents:
    """What a store holds: its records, in the order of their file names, and unreadable files."""

    records: tuple[Record, ...]
    problems: tuple[str, ...]


class Store:
    """The records made under one protocol in a results folder.

    RESULTS/PROTOCOL/records/ holds a .json for each run, beside it a .npy of the predicted classes,
    a .logits.npy and a .safetensors of the weights where these are kept and, when the plugin
    printed anything, a .log.
    RESULTS/PROTOCOL/protocol-DIGEST.toml is the protocol they were made under,
    t10k-labels-idx1-ubyte the test labels they were scored by, and RESULTS/PROTOCOL/work/ is
    scratch.
    """

    def __init__(self, results: Path, protocol: str) -> None:
        self.folder = results / protocol
        self.records = self.folder / "records"
        work = self.folder / "work"
        self.jobs = work / "jobs"
        self.claims = work / "claims"
        self.checkpoints = work / "checkpoints"
        self._seen: set[str] = set()

    def make(self) -> None:
        """Make the folders; raises `StoreError` when records cannot be kept there."""
        for folder in (self.records, self.jobs, self.claims, self.checkpoints):
            files.make_folder(folder)
        files.require_hard_links(self.claims)

    def add(
        self,
        record: Record,
        predictions: NDArray[np.uint8] | None = None,
        *,
        logits: NDArray[np.float32] | None = None,
        log: bytes = b"",
        weights_from: Path | None = None,
    ) -> Record:
        """Store a record for good, and return it with the digests of the files beside it.

        The record itself comes last: its file is the mark of commit.

        weights_from: a file of kept weights, copied piece by piece. One that is none of this run,
                      which a plugin may have put there, is left out.

        Logits are kept as float16 (n, classes), less the largest of each image, which leaves their
        softmax as it is and none too large for a float16.
        """
        beside = {
            PREDICTIONS: b"" if predictions is None else files.npy_bytes(predictions),
            LOGITS: b"" if logits is None else files.npy_bytes(_half(logits)),
            LOG: log,
        }
        kept = {kind: content for kind, content in beside.items() if content}
        for kind, content in kept.items():
            files.write_new(self.path(record, kind), content)
        weights_digest = self._copy_weights(weights_from, record) if weights_from else ""
        if record.schema == records.SCHEMA:
            digests = {kind: hashlib.sha256(content).hexdigest() for kind, content in kept.items()}
            if weights_digest:
                digests[WEIGHTS] = weights_digest
            record = msgspec.structs.replace(record, files=digests)
        files.write_new(self.path(record, ".json"), records.encode(record))
        return record

    def _copy_weights(self, source: Path, record: Record) -> str:
        """Put weights beside a record; returns their SHA-256, empty when they are not kept."""
        path = self.path(record, WEIGHTS)
        try:
            with files.open_regular(source) as file:
                digest = files.write_stream(path, files.pieces(file))
            if weights.read(path).run == record.run:
                return digest
        except (OSError, ValueError, StoreError):  # a record without them is better than none
            pass
        path.unlink(missing_ok=True)
        return ""

    def weights(self, record: Record) -> tuple[Weights, Path]:
        """What the kept weights of a run say of themselves, and their file, which is its record's.

        Raises `StoreError` when none are kept, or the file is not what its record was made with.
        """
        path = self.path(record, WEIGHTS)
        if WEIGHTS not in record.files:
            raise StoreError(
                "its weights are not kept",
                where=record.id,
                hint="make the run again in another folder and keep them: fmbench run "
                f"{record.run.plugin.distribution}:{record.run.model} --keep-weights float32 "
                "--results FOLDER",
            )
        try:
            found = weights.read(path)
            if found.run != record.run or files.digest_of_file(path) != record.files[WEIGHTS]:
                raise ValueError("its content is not what its record was made with")
        except (OSError, ValueError) as error:
            raise _unfitting(path, error) from error
        return found, path

    def read(self) -> Contents:
        """Everything in the store; a file that cannot be read is a problem, not an error."""
        self._seen.clear()
        return self.read_new()

    def read_new(self) -> Contents:
        """What has come into the store since it was last read."""
        found: list[Record] = []
        problems: list[str] = []
        for path in self.record_files():
            if path.name in self._seen:
                continue
            self._seen.add(path.name)
            try:
                found.append(self.read_record(path))
            except ValueError as error:
                problems.append(encodable(f"{path.name} {error}"))
        return Contents(tuple(found), tuple(problems))

    def unfinished(self) -> frozenset[str]:
        """Keys of the runs that a runner has claimed here, and is at or has left when it died."""
        return frozenset(path.stem for path in self.claims.glob("*.json"))

    def record_files(self) -> Iterator[Path]:
        """The files that should be records, in the order of their names; raises `StoreError`."""
        for name in sorted(_names_in(self.records)):
            if name.endswith(".json") and not name.startswith("."):
                yield self.records / name

    def read_record(self, path: Path) -> Record:
        """The record in a file; raises `ValueError` that says what the file is instead."""
        return self.read_record_and_bytes(path)[0]

    def read_record_and_bytes(self, path: Path) -> tuple[Record, bytes]:
        """The record in a file, and the file's content; see `read_record`."""
        try:
            content = files.read_at_most(path, RECORD_BYTES)
            record = records.decode(content)
        except (OSError, ValueError) as error:
            raise ValueError(f"is not a record: {files.reason(error)}") from error
        if path.stem != record.stem:
            raise ValueError(f"is a copy of the record {record.stem}.json")
        return record, content

    def without_record(self) -> list[Path]:
        """Files of runs whose record, the mark of commit, never came."""
        whole = {f"{path.stem}{kind}" for path in self.records.glob("*.json") for kind in BESIDE}
        parts = [path for path in self.records.glob("*") if path.name.endswith(BESIDE)]
        return [path for path in parts if path.name not in whole]

    def keep_protocol(self, digest: str, text: str) -> None:
        """Keep the text of the protocol that records are made under beside them."""
        files.write(self._protocol_path(digest), text.encode())

    def protocol_of(self, found: Sequence[Record]) -> Protocol:
        """The protocol of the newest of these records, as it was kept.

        Raises `StoreError` when there is no record, or its protocol was not kept.
        """
        if not found:
            raise StoreError(
                "holds no records",
                where=str(self.folder),
                hint="make some: fmbench run --all"
                + same_records(self.folder.parent, self.folder.name),
            )
        newest = max(found, key=lambda record: (record.created, record.id))
        path = self._protocol_path(newest.run.protocol_digest)
        try:
            kept = protocol.parse(
                files.read_at_most(path, RECORD_BYTES).decode(), str(path), kept=True
            )
            if kept.digest != newest.run.protocol_digest:
                raise ValueError(f"its digest is {kept.digest[:12]}")
        except (OSError, ValueError) as error:
            raise StoreError(
                f"is not the protocol its records were made under: {files.reason(error)}",
                where=str(path),
                hint="copy it from where the records come from",
            ) from error
        return kept

    def keep_labels(self, labels: NDArray[np.uint8]) -> None:
        """Keep the test labels beside the records, so that a store alone is enough for a board."""
        files.write(self.folder / TEST_LABELS, idx.encode(labels))

    def labels(self, of: Protocol) -> NDArray[np.uint8]:
        """The test labels, uint8 (n,), verified by the protocol's digest.

        Raises `StoreError` when they were not kept or are not the protocol's.
        """
        try:
            return data.read(self.folder, TEST_LABELS, of.data.sha256)
        except DataError as error:
            raise StoreError(
                f"the test labels its records were scored by: {error.what}",
                where=str(self.folder / TEST_LABELS),
                hint="copy the file from where the records come from, or from the data set",
            ) from error

    def _protocol_path(self, digest: str) -> Path:
        return self.folder / f"protocol-{digest[:8]}.toml"

    def predictions(self, record: Record) -> NDArray[np.uint8]:
        """The predicted class of each test image, uint8 (n,).

        Raises `StoreError` when the file is missing or does not fit its record.
        """
        path = self.path(record, PREDICTIONS)
        try:
            return files.read_npy(
                path, np.uint8, (record.result.images,), sha256=record.files.get(PREDICTIONS)
            )
        except (OSError, ValueError) as error:
            raise _unfitting(path, error) from error

    def log(self, record: Record) -> str:
        """What the plugin printed in that run's job, at most 256 kB; no link is followed."""
        try:
            with files.open_regular(self.path(record, LOG)) as file:
                return file.read(LOG_BYTES).decode("utf-8", "replace")
        except OSError:
            return ""

    def sizes(self, record: Record) -> dict[str, int]:
        """Bytes of the files beside a record, by what their names end in."""
        paths = {kind: self.path(record, kind) for kind in BESIDE}
        return {kind: os.lstat(path).st_size for kind, path in paths.items() if path.is_file()}

    def path(self, record: Record, suffix: str) -> Path:
        """Where a file of a record lies."""
        return self.records / f"{record.stem}{suffix}"


def _unfitting(path: Path, error: Exception) -> StoreError:
    """The error that says why a file beside a record is not what the record was made with."""
    return StoreError(
        f"does not fit its record: {files.reason(error)}", where=str(path), hint=COPY_OR_REDO
    )


def _half(logits: NDArray[np.float32]) -> NDArray[np.float16]:
    relative = logits.astype(np.float64) - logits.max(1, keepdims=True)
    half: NDArray[np.float16] = relative.clip(min=np.finfo(np.float16).min).astype(np.float16)
    return half


def _names_in(folder: Path) -> list[str]:
    """What a folder holds, nothing where there is none."""
    try:
        return os.listdir(folder)  # noqa: PTH208 - the names alone take a tenth of the memory
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(
            f"cannot be read: {error.strerror or error}",
            where=str(folder),
            hint="choose another folder with --results",
        ) from error


def protocols_in(results: Path) -> list[str]:
    """The protocols a results folder has records of, sorted; raises `StoreError`."""
    names = sorted(_names_in(results))
    return [name for name in names if any((results / name / "records").glob("[!.]*.json"))]


def published() -> Path:
    """The results published with this version of fmbench: in its wheel, or in its checkout."""
    package = Path(str(resources.files("fmbench")))
    packaged = package / "published"
    return packaged if packaged.is_dir() else package.parent / "results" / "published"

"""The record: what one run leaves behind, and the key that says which run it was."""

import hashlib
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from fmbench.environment import Environment
from fmbench.hardware import DeviceKind
from fmbench.protocol import StageName
from fmbench.statuses import STATUSES, Meaning, Repeat, Status

Reproducibility = Literal["bitwise", "statistical", "none"]
SCHEMA: Final = 3


class _Part(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Plugin(_Part, frozen=True, kw_only=True):
    """Where a model comes from: its distribution, as installed.

    source:       SHA-256 of the distribution's installed files.
    dependencies: versions of what the distribution declares, the core left out.
    """

    distribution: str
    version: str
    entry: str
    source: str
    dependencies: dict[str, str]


class Run(_Part, frozen=True, kw_only=True):
    """One run: model, protocol, stage, recipe and seed, with all that decides its result."""

    model: str
    plugin: Plugin
    protocol: str
    protocol_digest: str
    stage: StageName
    recipe: str
    seed: int
    device_kind: DeviceKind
    semantics: int
    torch: str

    @property
    def key(self) -> str:
        """SHA-256 of this run: two runs of one key are the same run made twice."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    @property
    def stem(self) -> str:
        """What the names of this run's files begin with."""
        return _stem(self, self.key)


def _stem(run: Run, key: str) -> str:
    return f"{run.model.replace('/', '+')}-{run.stage}-s{run.seed}-{key[:8]}"


class Progress(_Part, frozen=True, kw_only=True):
    """How far a run has come. `loss` is the mean training loss of the epoch so far."""

    run: Run
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float | None
    images_per_second: float

    @property
    def share(self) -> float:
        """How much of its training is done, 0 to 1."""
        return ((self.epoch - 1) * self.steps + self.step) / (self.epochs * self.steps)


class Result(_Part, frozen=True, kw_only=True):
    """What is deterministic about a run: two runs are equal when these are.

    curve: mean training loss of each epoch, null where it was not finite.
    validation_curve: correct validation images after each epoch, where the protocol measures it.
    fit_correct: correct ones of `fit_images` images the run was trained on, likewise.
    The scores are over `images` images of the test set (final) or of the validation split (tune);
    they are null unless the status is ok.
    """

    status: Status
    message: str = ""
    images: int = 0
    correct: int | None = None
    log_loss: float | None = None
    calibration_error: float | None = None
    curve: tuple[float | None, ...] = ()
    logits_sha256: str = ""
    validation_curve: tuple[int, ...] = ()
    fit_images: int = 0
    fit_correct: int | None = None

    def __post_init__(self) -> None:
        scores = (self.correct, self.log_loss, self.calibration_error)
        if self.status == "ok" and (None in scores or not 0 <= (self.correct or 0) <= self.images):
            raise ValueError("a good result needs its scores, and no more correct than images")
        if self.status == "ok" and not self.images:
            raise ValueError("a good result needs images")
        if self.status != "ok" and scores != (None, None, None):
            raise ValueError("only a good result has scores")
        if self.validation_curve and not self.images:
            raise ValueError("a validation curve needs images")
        if any(loss is not None and loss < 0 for loss in self.curve):
            raise ValueError("no loss is below 0")

    @property
    def accuracy(self) -> float | None:
        """Share of images classified right, 0 to 1."""
        return None if self.correct is None else self.correct / self.images


class Cost(_Part, frozen=True, kw_only=True):
    """What a run took. Times are seconds, memory is bytes, FLOPs are of one image's forward pass.

    train_seconds is the worker's clock around training alone; runner_seconds is the runner's own,
    from the run's start to its end, building and evaluation included. resumed_after is the epoch
    after which the run went on from a checkpoint, 0 for a run in one piece: train_seconds then
    covers both pieces, runner_seconds the last. beside is how many other workers its runner had
    under way on that machine meanwhile, at most; None where that is not on record.
    """

    train_seconds: float = 0.0
    runner_seconds: float = 0.0
    images_per_second: float = 0.0
    inference_images_per_second: float = 0.0
    resumed_after: int = 0
    parameters: int = 0
    forward_flops: int = 0
    peak_memory: int = 0
    beside: int | None = None


class Record(_Part, frozen=True, kw_only=True):
    """The immutable file of a run that has ended, failed or not.

    schema:    3; records of schema 2 and 1 have no `files` and no digest of their content, those of
               schema 1 no `departure` and no facts of the device either.
    departure: what was not done as the protocol says, because this device computes it wrong, and
               how that was found; empty where nothing was.
    files:     the SHA-256 of each file that lies beside the record, by what its name ends in.
    """

    schema: Literal[1, 2, 3] = SCHEMA
    id: Annotated[str, Meta(pattern=r"^[0-9a-z]{1,32}\Z")]
    key: str
    created: str
    reproducibility: Reproducibility
    departure: str = ""
    run: Run
    result: Result
    cost: Cost
    environment: Environment
    files: dict[str, str] = {}

    @property
    def stem(self) -> str:
        """What the names of this record's files begin with."""
        return f"{_stem(self.run, self.key)}-{self.id}"

    @property
    def ok(self) -> bool:
        """Whether it has scores."""
        return self.result.status == "ok"

    @property
    def meaning(self) -> Meaning:
        """What its status means."""
        return STATUSES[self.result.status]

    @property
    def done(self) -> bool:
        """Whether the run need not be made again: it was not merely interrupted."""
        return self.meaning.repeat is not Repeat.ALWAYS


def encode(record: Record) -> bytes:
    """A record as indented JSON, in the form in which it came: an old one stays as it was.

    From schema 3 on it ends with the digest of everything before it.
    """
    parts = msgspec.to_builtins(record)
    if record.cost.beside is None:
        del parts["cost"]["beside"]
    if record.schema == 1:
        del parts["departure"], parts["environment"]["device"]["facts"]
    if record.schema < SCHEMA:
        del parts["files"]
    else:
        parts["digest"] = _digest(parts)
    return _indented(parts)


def decode(content: bytes) -> Record:
    """Read a record.

    Raises `ValueError` when it is malformed, of a later schema, or not what its key and its digest
    were taken of.
    """
    try:
        parts = msgspec.json.decode(content)
        _require_known_schema(parts)
        digest = parts.pop("digest", None) if _has_digest(parts) else None
        record = msgspec.convert(parts, Record)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if record.key != record.run.key:
        raise ValueError("its key is not that of the run it describes")
    if digest != (_digest(parts) if record.schema == SCHEMA else None):
        raise ValueError("its content is not what its digest was taken of")
    return record


def is_as_written(content: bytes) -> bool:
    """Whether bytes that decode to a record are spaced as `encode` spaces them, nothing twice."""
    return content == _indented(msgspec.json.decode(content))


def _indented(parts: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(parts), indent=1) + b"\n"


def _require_known_schema(parts: object) -> None:
    schema = parts.get("schema") if isinstance(parts, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise ValueError(
            f"it has schema {schema}, and this version of fmbench reads up to {SCHEMA}"
        )


def _has_digest(parts: object) -> bool:
    """Whether a record's JSON may have a digest: in older ones it is a field nobody knows."""
    return isinstance(parts, dict) and parts.get("schema") == SCHEMA


def _digest(parts: dict[str, Any]) -> str:
    """SHA-256 of a record's JSON with its keys in order, without the digest itself."""
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()

"""A protocol: the fixed rules of a comparison, read from a TOML file and named by a digest."""

import hashlib
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from fmbench import derivation
from fmbench.errors import ProtocolError
from fmbench.hardware import DeviceKind
from fmbench.protocol_files import encode, parent_of
from fmbench.protocol_files import heading as heading
from fmbench.protocol_files import is_path as is_path
from fmbench.protocol_files import names as names
from fmbench.protocol_files import source as source

StageName = Literal["tune", "final"]

Count = Annotated[int, Meta(ge=1)]
Natural = Annotated[int, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, lt=1)]
Positive = Annotated[float, Meta(gt=0, le=1e6)]
Mean = Annotated[float, Meta(ge=-1e6, le=1e6)]
Seed32 = Annotated[int, Meta(ge=0, lt=2**32)]
Slug = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,31}\Z")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]

TRAINING_IMAGES, TEST_IMAGES = 60_000, 10_000


class _Table(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Digests(_Table, frozen=True):
    """SHA-256 of the four decompressed idx files.

    Distributors recompress the files, so the bytes of a .gz differ between them.
    """

    train_images: Sha256
    train_labels: Sha256
    test_images: Sha256
    test_labels: Sha256


class DataRules(_Table, frozen=True, kw_only=True):
    """Which bytes, how they are split and how pixels are normalised.

    mean, std:         pixels between 0 and 1 have `mean` subtracted and are then divided by `std`.
                       quick-v1 and lite-v1 call `std` `deviation`; either name is read.
    validation_images: how many training images, drawn by class, recipes are scored on; tune runs
                       train on others, final runs on all.
    split_seed:        the seed of that draw, and of those of `train_images` and `fit_images`.
    """

    sha256: Digests
    mean: Mean
    std: Positive
    validation_images: Natural = 0
    split_seed: Seed32 = 0


class Stage(_Table, frozen=True, kw_only=True):
    """The budget of one stage.

    epochs:       passes over the images; a last batch that is not full is left out.
    train_images: drawn by class; all of them when absent.
    """

    epochs: Count
    train_images: Count | None = None


class Tuning(Stage, frozen=True, kw_only=True, omit_defaults=True):
    """The stage that tries recipes, scored on validation images.

    seeds:      each recipe is tried with each of them; their mean decides.
    each_epoch: whether validation accuracy is measured after each epoch; its time does not count.
    fit_images: how many training images, drawn by class and without augmentation, are classified
                after training, which shows how far a model fits them.
    """

    seeds: tuple[Seed32, ...] = (0,)
    each_epoch: bool = False
    fit_images: Natural = 0


class TrainingRules(_Table, frozen=True, kw_only=True):
    """What every run of every recipe shares.

    batch_size:            images of a step.
    evaluation_batch_size: images of a forward pass when a model is tested.
    schedule:              how the learning rate moves from step to step.
    warmup:                the share of steps of rising rate; above 0 for one-cycle alone.
    label_smoothing:       the share of each target that is spread evenly over all classes.
    clip_norm:             the largest norm of all gradients together; larger ones are scaled down
                           to it before a step.
    """

    batch_size: Count
    evaluation_batch_size: Count
    schedule: Literal["constant", "cosine", "one-cycle"]
    warmup: Fraction = 0.0
    label_smoothing: Fraction = 0.0
    clip_norm: Positive | None = None


class DeviceRules(_Table, frozen=True, kw_only=True):
    """Numerics on one kind of device, `cpu` or `cuda`.

    threads:       CPU threads of a run. When absent, all cores or as `--threads` says. Other
                   counts give other bits.
    precision:     of forward passes: float32, or torch's autocast to bfloat16.
    channels_last: whether weights and images lie in memory channels last.
    tf32:          whether CUDA may multiply float32 in TF32.
    deterministic: whether only deterministic algorithms are used, so that the same device model,
                   versions and threads give the same bits.
    """

    precision: Literal["float32", "bfloat16"]
    threads: Count | None = None
    channels_last: bool = True
    tf32: bool = False
    deterministic: bool = True


class Augmentation(_Table, frozen=True, kw_only=True):
    """What is done to training images, drawn anew for each image of each batch.

    shift: up to so many pixels in each direction, zeros moving in.
    flip:  left to right, with probability one half.
    """

    shift: Annotated[int, Meta(ge=0, le=14)] = 0
    flip: bool = False


class Recipe(_Table, frozen=True, kw_only=True):
    """One declared way to train.

    learning_rate: the highest of the schedule.
    weight_decay:  of parameters of two or more dimensions; others have none.
    momentum:      of sgd, Nesterov's; adamw uses torch's default betas.
    augmentation:  the name of one of the protocol's.
    """

    name: Slug
    optimizer: Literal["sgd", "adamw"]
    learning_rate: Positive
    weight_decay: Annotated[float, Meta(ge=0, le=1e6)] = 0.0
    momentum: Fraction = 0.9
    augmentation: Slug = "none"


class Protocol(_Table, frozen=True, kw_only=True):
    """A whole protocol; the files in `fmbench/protocols` are examples with comments.

    name, version: together its id, `quick-v1`, and the folder its records lie in.
    status:        released says that the rules will not change again.
    summary:       one line for people; by default it names the protocol that is extended.
    extends:       a built-in protocol's name, or a path relative to this file: the rules that hold
                   where this file has none. Its tables merge with the parent's key by key; a list
                   or any other value, `[[recipes]]` too, replaces the parent's. Name, version,
                   status and summary are never taken over.
    differs:       how the rules differ from the protocol that is extended; fmbench writes it into
                   the copy beside records, which has all rules.
    seeds:         of the final runs; `--seeds K` makes the first K.
    devices:       the kinds of device it may run on.
    tune:          needed, like `data.validation_images`, when there are several recipes.
    recipes:       with only one, nothing is tried.

    Raises `ValueError` when its parts contradict one another.
    """

    name: Slug
    version: Count
    status: Literal["draft", "released"] = "draft"
    summary: str
    extends: str | None = None
    differs: tuple[str, ...] | None = None
    seeds: tuple[Count, ...]
    data: DataRules
    training: TrainingRules
    devices: dict[DeviceKind, DeviceRules]
    augmentations: dict[Slug, Augmentation] = {}
    tune: Tuning | None = None
    final: Stage
    recipes: tuple[Recipe, ...]

    def __post_init__(self) -> None:
        names = [recipe.name for recipe in self.recipes]
        if not names or len(set(names)) < len(names):
            raise ValueError("recipes need at least one entry and names that differ")
        for seeds in (self.seeds, self.tune.seeds if self.tune else (0,)):
            if not seeds or len(set(seeds)) < len(seeds):
                raise ValueError("seeds need at least one entry and none twice")
        if len(names) > 1 and (self.tune is None or not self.data.validation_images):
            raise ValueError("several recipes need a [tune] table and data.validation_images")
        for recipe in self.recipes:
            if recipe.augmentation not in {"none", *self.augmentations}:
                raise ValueError(
                    f"recipe {recipe.name} uses the augmentation {recipe.augmentation}, "
                    "which is not in [augmentations]"
                )
        if (self.training.schedule == "one-cycle") != bool(self.training.warmup):
            raise ValueError("training.warmup above 0 and the schedule one-cycle need one another")
        if self.data.validation_images >= TRAINING_IMAGES:
            raise ValueError(f"data.validation_images leaves none of {TRAINING_IMAGES:,} to train")

    @property
    def id(self) -> str:
        """Name and version, `quick-v1`; also the name of the folder its records lie in."""
        return f"{self.name}-v{self.version}"

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides a result: not the status, summary or parent."""
        rules = msgspec.to_builtins(self)
        for key in ("status", "summary", "extends", "differs"):
            del rules[key]
        rules["data"]["deviation"] = rules["data"].pop("std")  # its name when digests began
        # What came later does not count while it is absent: released digests stay as they were.
        if self.training.clip_norm is None:
            del rules["training"]["clip_norm"]
        for name, device in self.devices.items():
            if device.threads is None:
                del rules["devices"][name]["threads"]
        return hashlib.sha256(msgspec.json.encode(rules, order="sorted")).hexdigest()

    @property
    def derived(self) -> str:
        """How it differs from the protocol it extends, a sentence; empty without one."""
        if self.extends is None or self.differs is None:
            return ""
        if not self.differs:
            return f"Its rules are those of {self.extends}."
        return f"It differs from {self.extends}: {'; '.join(self.differs)}."

    @property
    def tuning(self) -> Tuning | None:
        """How recipes are tried before the final runs; None when there is but one."""
        return self.tune if len(self.recipes) > 1 else None

    def stage(self, name: StageName) -> Stage:
        """The budget of a stage; without a [tune] table both are the final one."""
        return self.tune if name == "tune" and self.tune else self.final

    def recipe(self, name: str) -> Recipe:
        """The recipe of that name; raises `KeyError` when there is none."""
        return {recipe.name: recipe for recipe in self.recipes}[name]

    def augmentation(self, recipe: Recipe) -> Augmentation:
        """What a recipe does to training images."""
        return self.augmentations.get(recipe.augmentation, Augmentation())


def parse(text: str, where: str, heirs: tuple[str, ...] = (), *, kept: bool = False) -> Protocol:
    """Read a protocol from TOML text, with the rules of the one it extends.

    heirs: the files that extend this one.
    kept:  whether it lies beside records, where it has all its rules: no other file is read.

    Raises `ProtocolError` naming the file and the key.
    """
    try:
        tables = _with_std(msgspec.toml.decode(text))
        if "extends" in tables and "differs" not in tables:
            if kept:
                raise ProtocolError(
                    "it extends another file, and beside records a protocol has all its rules",
                    where=where,
                    hint="copy the file from where the records come from",
                )
            file, above = parent_of(tables.pop("extends"), where, heirs)
            return _derive(tables, parse(above, file, (*heirs, where)))
        return msgspec.convert(tables, Protocol, str_keys=True)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProtocolError(
            str(error),
            where=where,
            hint="compare its keys with `fmbench protocols quick-v1 --json`",
        ) from error


def _with_std(tables: dict[str, Any]) -> dict[str, Any]:
    """The tables of a file that may call `data.std` by the name it had, `deviation`."""
    data = tables.get("data")
    if isinstance(data, dict) and "deviation" in data and "std" not in data:
        data["std"] = data.pop("deviation")
    return tables


def _derive(tables: dict[str, Any], parent: Protocol) -> Protocol:
    rules = msgspec.to_builtins(parent)
    inherited = {key: rules[key] for key in rules if key not in derivation.OWN}
    inherited["summary"] = f"{parent.id} with rules of one's own."
    child = msgspec.convert(derivation.merge(inherited, tables), Protocol, str_keys=True)
    differs = derivation.differences(parent, child)
    return msgspec.structs.replace(child, extends=parent.id, differs=differs)


def load(name: str) -> Protocol:
    """The protocol of that name, or the one in the file of that path.

    Raises `UsageError` when there is none and `ProtocolError` when its file is malformed.
    """
    return parse(source(name), name)


def whole_text(rules: Protocol, text: str) -> str:
    """The text of a protocol's file, or one with all its rules where it extends another."""
    if rules.differs is None:
        return text
    head = f"# All rules of {rules.id}, which extends {rules.extends}. Written by fmbench.\n\n"
    return head + encode(msgspec.to_builtins(rules))

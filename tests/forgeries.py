"""Forged, damaged and good results folders, made from the published ones."""

import hashlib
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors.numpy

from fmbench import files, protocol, records
from fmbench import weights as kept_weights
from fmbench.data import idx
from fmbench.environment import describe
from fmbench.hardware import cpu_device
from fmbench.protocol import Protocol
from fmbench.records import Record
from fmbench.scoring import score
from fmbench.store import BESIDE, LOG, LOGITS, PREDICTIONS, WEIGHTS, Store, published
from fmbench.verification import asked_of, keeping, verify_store

QUICK, LITE, DRAFT = "quick-v1", "lite-v1", "standard-v1"
Change = Callable[[dict[str, Any]], None]


def copy_of(results: Path, name: str) -> Store:
    """The published records of a protocol in a folder, without their board."""
    source, folder = published() / name, results / name
    folder.mkdir(parents=True)
    shutil.copytree(source / "records", folder / "records")
    for file in (*source.glob("protocol-*.toml"), source / "t10k-labels-idx1-ubyte"):
        shutil.copy(file, folder)
    return Store(results, name)


def find(store: Store, model: str = "softmax", stage: str = "final", seed: int = 1) -> Record:
    """The record of a run; of several the first by file name."""
    return next(
        one
        for one in store.read().records
        if (one.run.model, one.run.stage, one.run.seed) == (model, stage, seed)
    )


def parts_of(store: Store, record: Record) -> dict[str, Any]:
    """What a record's file holds."""
    found = msgspec.json.decode(store.path(record, ".json").read_bytes())
    assert isinstance(found, dict)
    return found


def write_parts(store: Store, parts: dict[str, Any], *, digest: bool = False) -> str:
    """Write what a forger would: the key and the name fit, and the digest where that is asked.

    Returns what the file's name begins with.
    """
    run = msgspec.convert(parts["run"], records.Run)
    parts["key"] = run.key
    if digest:
        parts.pop("digest", None)
        content = msgspec.json.encode(parts, order="sorted")
        parts["digest"] = hashlib.sha256(content).hexdigest()
    content = msgspec.json.format(msgspec.json.encode(parts), indent=1) + b"\n"
    stem = f"{run.stem}-{parts['id']}"
    (store.records / f"{stem}.json").write_bytes(content)
    return stem


def edit(store: Store, record: Record, change: Change, *, digest: bool = False) -> None:
    """Change a record with its key and its name, and the names of the files beside it."""
    parts = parts_of(store, record)
    change(parts)
    stem = write_parts(store, parts, digest=digest)
    if stem == record.stem:
        return
    store.path(record, ".json").unlink()
    for kind in BESIDE:
        if store.path(record, kind).exists():
            store.path(record, kind).rename(store.records / f"{stem}{kind}")


def another(store: Store, record: Record, change: Change, predictions: bytes | None = None) -> None:
    """A further record made from one, with the same predictions or others."""
    parts = parts_of(store, record)
    parts["id"] = "f0f0f0f0"
    change(parts)
    stem = write_parts(store, parts)
    if predictions is None and store.path(record, PREDICTIONS).exists():
        predictions = store.path(record, PREDICTIONS).read_bytes()
    if predictions is not None:
        (store.records / f"{stem}{PREDICTIONS}").write_bytes(predictions)


def other_times(parts: dict[str, Any]) -> None:
    """Times of another run that agree with one another."""
    for name in ("train_seconds", "runner_seconds"):
        parts["cost"][name] *= 1.07
    for name in ("images_per_second", "inference_images_per_second"):
        parts["cost"][name] /= 1.07


def renew(store: Store, *, logits: bool = False, log: bytes = b"", weights: bool = False) -> None:
    """Write all records anew with the newest schema, as a rebuilt folder has them."""
    every = [
        (one, store.predictions(one) if one.ok and one.run.stage == "final" else None)
        for one in store.read().records
    ]
    for record, predictions in every:
        for kind in (".json", PREDICTIONS):
            store.path(record, kind).unlink(missing_ok=True)
        made = None
        if logits and predictions is not None:
            made = np.full((len(predictions), 10), -9.0, np.float32)
            made[np.arange(len(predictions)), predictions] = 3.0
            labels = store.labels(store.protocol_of([record]))
            record = _scored_by(record, made, labels)
        newest = msgspec.structs.replace(record, schema=records.SCHEMA)
        kept = store.folder / "weights"
        if weights and predictions is not None:
            kept.write_bytes(weights_of(record, store.protocol_of([record])))
        store.add(newest, predictions, logits=made, log=log, weights_from=kept if weights else None)
        kept.unlink(missing_ok=True)


def weights_of(record: Record, rules: Protocol) -> bytes:
    """A small file of kept weights that says it is of that run."""
    tensors = {"weight": np.ones((10, 2), np.float32)}
    return safetensors.numpy.save(tensors, kept_weights.metadata(record.run, rules))


def _scored_by(record: Record, logits: Any, labels: Any) -> Record:
    scores = score(logits, labels)
    result = msgspec.structs.replace(
        record.result, log_loss=scores.log_loss, calibration_error=scores.calibration_error
    )
    return msgspec.structs.replace(record, result=result)


def rules_changed(store: Store, name: str, *changes: tuple[str, str]) -> str:
    """Keep a built-in protocol's text with changes, and return its digest."""
    text = protocol.source(name)
    for then, now in changes:
        assert then in text, then
        text = text.replace(then, now)
    digest = protocol.parse(text, name).digest
    store.keep_protocol(digest, text)
    return digest


# Forgeries: the function changes a store, and the kind of finding that names it.


def _set(*path: str, to: Any) -> Change:
    def change(parts: dict[str, Any]) -> None:
        for name in path[:-1]:
            parts = parts[name]
        parts[path[-1]] = to(parts[path[-1]]) if callable(to) else to

    return change


def _edited(
    *path: str, to: Any, model: str = "softmax", stage: str = "final", seed: int = 1
) -> Any:
    return lambda store: edit(store, find(store, model, stage, seed), _set(*path, to=to))


def _edited_below_digest(*path: str, to: Any) -> Any:
    def forge(store: Store) -> None:
        renew(store)
        edit(store, find(store), _set(*path, to=to))

    return forge


def _replaced(kind: str, place: Callable[[Path], object]) -> Any:
    """A file of softmax's run made something else."""

    def forge(store: Store) -> None:
        path = store.path(find(store), kind)
        content = path.read_bytes() if path.exists() else b"words"
        aside = store.folder / "aside"
        aside.write_bytes(content)
        path.unlink(missing_ok=True)
        place(path)

    return forge


def _link(path: Path) -> None:
    path.symlink_to(path.parent.parent / "aside")


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch PWNED",)


def _weights_edited(change: Callable[[bytes], bytes], *, digest: bool = False) -> Any:
    """Weights with another content, which the record has the digest of where that is asked."""

    def forge(store: Store) -> None:
        renew(store, weights=True)
        path = store.path(find(store), WEIGHTS)
        path.write_bytes(change(path.read_bytes()))
        if digest:
            now = hashlib.sha256(path.read_bytes()).hexdigest()
            edit(store, find(store), _set("files", WEIGHTS, to=now), digest=True)

    return forge


def _others_weights(store: Store) -> None:
    """Another run's weights in a record that has their digest."""
    renew(store, weights=True)
    content = store.path(find(store, "vgg11"), WEIGHTS).read_bytes()
    store.path(find(store), WEIGHTS).write_bytes(content)
    now = hashlib.sha256(content).hexdigest()
    edit(store, find(store), _set("files", WEIGHTS, to=now), digest=True)


def _swapped(store: Store) -> None:
    first, second = (store.path(find(store, model), PREDICTIONS) for model in ("softmax", "vgg11"))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def _swapped_alike(store: Store) -> None:
    """Predictions as accurate as the true ones, in a record that has their digest."""
    renew(store)
    record = find(store)
    labels = store.labels(store.protocol_of([record]))
    right = np.random.RandomState(0).permutation(len(labels)) < (record.result.correct or 0)
    other = np.where(right, labels, (labels + 1) % 10).astype(np.uint8)
    store.path(record, PREDICTIONS).write_bytes(files.npy_bytes(other))


def _under_a_new_name(store: Store) -> None:
    def change(parts: dict[str, Any]) -> None:
        parts["run"]["model"] = "genius"
        other_times(parts)

    another(store, find(store, "timm/resnet18"), change)


def _nearly_anothers(store: Store) -> None:
    """One right and one wrong answer exchanged, and everything else made to fit."""
    record = find(store, "timm/resnet18")
    labels = store.labels(store.protocol_of([record]))
    answers = store.predictions(record).copy()
    right, wrong = (np.flatnonzero((answers == labels) == is_so)[0] for is_so in (True, False))
    answers[right], answers[wrong] = (labels[right] + 1) % 10, labels[wrong]

    def change(parts: dict[str, Any]) -> None:
        parts["run"]["model"] = "genius"
        parts["result"]["logits_sha256"] = "7" * 64
        other_times(parts)

    another(store, record, change, files.npy_bytes(answers))


def _relabelled(store: Store) -> None:
    path = store.folder / "t10k-labels-idx1-ubyte"
    labels = store.labels(store.protocol_of(store.read().records)).copy()
    labels[:100] = store.predictions(find(store))[:100]
    path.write_bytes(idx.encode(labels))


def _of_draft(store: Store) -> None:
    digest = rules_changed(store, QUICK, ("epochs = 1", "epochs = 2"))
    for record in store.read().records:
        edit(store, record, _set("run", "protocol_digest", to=digest))


def _draft_called_released(store: Store) -> None:
    digest = rules_changed(store, DRAFT, ('status = "draft"', 'status = "released"'))
    store.folder.rename(store.folder.with_name(DRAFT))
    moved = Store(store.folder.parent, DRAFT)
    for record in moved.read().records:

        def change(parts: dict[str, Any]) -> None:
            parts["run"] |= {"protocol": DRAFT, "protocol_digest": digest}

        edit(moved, record, change)


def _of_other_data(store: Store) -> None:
    mnist = protocol.load(QUICK).data.sha256.train_images
    digest = rules_changed(store, QUICK, (mnist, "0" * 64))
    edit(store, find(store), _set("run", "protocol_digest", to=digest))


def _other_rules_under_the_name(store: Store) -> None:
    path = next(store.folder.glob("protocol-*.toml"))
    path.write_text(path.read_text().replace("epochs = 1", "epochs = 2"))


def _seed_left_out(store: Store) -> None:
    record = find(store, "vgg11", seed=2)
    for kind in (".json", PREDICTIONS):
        store.path(record, kind).unlink()


def _copied_to_another_seed(store: Store) -> None:
    record = find(store, seed=2)
    for kind in (".json", PREDICTIONS):
        store.path(record, kind).unlink()

    def change(parts: dict[str, Any]) -> None:
        parts["run"]["seed"] = 2
        other_times(parts)

    another(store, find(store, seed=1), change)


def _chosen_otherwise(store: Store) -> None:
    other = next(
        recipe.name
        for recipe in protocol.load(LITE).recipes
        if recipe.name != find(store).run.recipe
    )
    for seed in (1, 2, 3):
        edit(store, find(store, seed=seed), _set("run", "recipe", to=other))


def _same_id(store: Store) -> None:
    edit(store, find(store), _set("id", to=find(store, "vgg11").id))


def _without_digest(store: Store) -> None:
    renew(store)
    edit(store, find(store), lambda parts: parts.pop("digest") and None)


def _lowered(store: Store) -> None:
    renew(store)

    def change(parts: dict[str, Any]) -> None:
        parts["schema"] = 2
        parts["cost"]["train_seconds"] /= 2

    edit(store, find(store), change)


def _better_loss_than_logits(store: Store) -> None:
    renew(store, logits=True)
    edit(store, find(store), _set("result", "log_loss", to=lambda loss: loss * 0.8), digest=True)


def _verified_and_edited(store: Store) -> None:
    (asked,) = asked_of([store.folder])
    assert keeping.keep(verify_store(asked, ()), describe(cpu_device(), 1), None)
    edit(store, find(store), _set("environment", "cpu", to="a faster one"))


def _better_tier(store: Store) -> None:
    (asked,) = asked_of([store.folder])
    path = keeping.keep(verify_store(asked, ()), describe(cpu_device(), 1), None)
    assert path
    path.write_bytes(path.read_bytes().replace(b'"re-scored"', b'"re-run"'))


def _contradicts(store: Store) -> None:
    """One run made twice where bits are promised, and better the second time."""
    renew(store)
    record = msgspec.structs.replace(find(store), environment=describe(cpu_device(), 1))
    labels = store.labels(store.protocol_of([record]))
    predictions = store.predictions(find(store)).copy()
    wrong = np.flatnonzero(predictions != labels)[:50]
    predictions[wrong] = labels[wrong]
    libraries = record.environment.libraries | {"torch": record.run.torch}
    environment = msgspec.structs.replace(record.environment, libraries=libraries)
    for number, better in enumerate((0, len(wrong))):
        cost = msgspec.structs.replace(record.cost, runner_seconds=9.0 + number)
        result = msgspec.structs.replace(
            record.result, correct=(record.result.correct or 0) + better
        )
        store.add(
            msgspec.structs.replace(
                record, id=f"c0c0c0c{number}", environment=environment, cost=cost, result=result
            ),
            predictions if better else store.predictions(find(store)),
        )


def _folder_is_a_link(store: Store) -> None:
    store.records.rename(store.folder / "elsewhere")
    store.records.symlink_to(store.folder / "elsewhere")


def _class_that_is_none(store: Store) -> None:
    """Wrong answers, as many as before, that are no class."""
    record = find(store)
    answers = store.predictions(record).copy()
    answers[answers != store.labels(store.protocol_of([record]))] = 77
    store.path(record, PREDICTIONS).write_bytes(files.npy_bytes(answers))


def _verifications_elsewhere(store: Store) -> None:
    (store.folder / "elsewhere").mkdir()
    (store.folder / "verifications").symlink_to(store.folder / "elsewhere")


FORGERIES: dict[str, tuple[str, Callable[[Store], object], str]] = {
    "accuracy edited": (QUICK, _edited("result", "correct", to=9000), "accuracy"),
    "accuracy and log-loss edited": (
        QUICK,
        lambda store: (
            edit(store, find(store), _set("result", "correct", to=9500)),
            edit(store, find(store), _set("result", "log_loss", to=0.2)),
        ),
        "accuracy",
    ),
    "predictions swapped": (QUICK, _swapped, "accuracy"),
    "predictions as accurate": (QUICK, _swapped_alike, "predictions"),
    "predictions missing": (
        QUICK, lambda store: store.path(find(store), PREDICTIONS).unlink(), "predictions",
    ),
    "predictions cut": (
        QUICK,
        lambda store: store.path(find(store), PREDICTIONS).write_bytes(
            store.path(find(store), PREDICTIONS).read_bytes()[:-1]
        ),
        "predictions",
    ),
    "predictions of a trial": (
        LITE,
        lambda store: store.path(find(store, stage="tune", seed=0), PREDICTIONS).write_bytes(
            store.path(find(store), PREDICTIONS).read_bytes()
        ),
        "predictions",
    ),
    "another's predictions under a new name": (QUICK, _under_a_new_name, "predictions"),
    "nearly another's predictions under a new name": (QUICK, _nearly_anothers, "predictions"),
    "another's times under a new name": (
        QUICK,
        lambda store: another(store, find(store, "vgg11"), _set("run", "model", to="genius")),
        "copy",
    ),
    "labels edited": (QUICK, _relabelled, "labels"),
    "labels cut": (
        QUICK,
        lambda store: os.truncate(store.folder / "t10k-labels-idx1-ubyte", 5000),
        "labels",
    ),
    "protocol digest edited": (QUICK, _edited("run", "protocol_digest", to="0" * 64), "protocol"),
    "a draft's records under a released name": (QUICK, _of_draft, "protocol"),
    "a draft that calls itself released": (QUICK, _draft_called_released, "protocol"),
    "a record of another data set": (QUICK, _of_other_data, "protocol"),
    "a protocol edited": (QUICK, _other_rules_under_the_name, "protocol"),
    "a protocol missing": (
        QUICK, lambda store: next(store.folder.glob("protocol-*")).unlink(), "protocol",
    ),
    "a record of another protocol": (QUICK, _edited("run", "protocol", to="lite-v1"), "protocol"),
    "a seed twice under two ids": (
        LITE, lambda store: another(store, find(store), lambda _: None), "copy",
    ),
    "a seed copied to another": (LITE, _copied_to_another_seed, "predictions"),
    "a seed left out": (LITE, _seed_left_out, "seed left out"),
    "a trial left out": (
        LITE,
        lambda store: store.path(find(store, stage="tune", seed=0), ".json").unlink(),
        "trial left out",
    ),
    "a recipe that no trial chose": (LITE, _chosen_otherwise, "recipe"),
    "a recipe that is none": (QUICK, _edited("run", "recipe", to="my-own"), "run"),
    "a seed that is none": (QUICK, _edited("run", "seed", to=77), "run"),
    "a device that is none": (QUICK, _edited("run", "device_kind", to="cuda"), "environment"),
    "a future schema": (QUICK, _edited("schema", to=9), "record"),
    "a field of one's own": (
        QUICK,
        lambda store: edit(store, find(store), lambda parts: parts.update(award="best")),
        "record",
    ),
    "the environment of another torch": (
        QUICK, _edited("environment", "libraries", "torch", to="2.9.0"), "environment",
    ),
    "the environment of a GPU": (
        QUICK, _edited("environment", "device", "kind", to="cuda"), "environment",
    ),
    "a time to come": (QUICK, _edited("created", to="2999-01-01T00:00:00Z"), "environment"),
    "a time that is none": (QUICK, _edited("created", to="yesterday"), "environment"),
    "a time of training edited": (
        QUICK, _edited("cost", "train_seconds", to=lambda seconds: seconds / 2), "times",
    ),
    "a negative time": (QUICK, _edited("cost", "runner_seconds", to=-1.0), "times"),
    "a log-loss that cannot be": (QUICK, _edited("result", "log_loss", to=0.01), "result"),
    "a calibration error that cannot be": (
        QUICK, _edited("result", "calibration_error", to=-0.1), "result",
    ),
    "a curve cut": (LITE, _edited("result", "curve", to=lambda curve: curve[:-1]), "result"),
    "fewer images": (
        QUICK,
        lambda store: edit(
            store, find(store), lambda parts: parts["result"].update(images=9000, correct=8000)
        ),
        "predictions",
    ),
    "another validation set": (
        LITE,
        lambda store: edit(
            store, find(store, stage="tune", seed=0),
            lambda parts: parts["result"].update(images=4000, correct=3900),
        ),
        "result",
    ),
    "an id twice": (QUICK, _same_id, "id"),
    "a key edited": (
        QUICK,
        lambda store: store.path(find(store), ".json").write_bytes(
            store.path(find(store), ".json").read_bytes().replace(b'"seed": 1', b'"seed": 2')
        ),
        "record",
    ),
    "a file renamed": (
        QUICK,
        lambda store: store.path(find(store), ".json").rename(store.records / "best.json"),
        "record",
    ),
    "a record is a link": (QUICK, _replaced(".json", _link), "record"),
    "a record is a pipe": (QUICK, _replaced(".json", os.mkfifo), "record"),
    "a record is huge": (
        QUICK, _replaced(".json", lambda path: path.write_bytes(b" " * 2_000_000)), "record",
    ),
    "a record is deep": (
        QUICK, _replaced(".json", lambda path: path.write_bytes(b"[" * 100_000)), "record",
    ),
    "a record is pickled": (
        QUICK, _replaced(".json", lambda path: path.write_bytes(pickle.dumps(Evil()))), "record",
    ),
    "predictions are a link": (QUICK, _replaced(PREDICTIONS, _link), "predictions"),
    "predictions are a pipe": (QUICK, _replaced(PREDICTIONS, os.mkfifo), "predictions"),
    "predictions are huge": (
        QUICK,
        _replaced(PREDICTIONS, lambda path: path.write_bytes(bytes(2_000_000))),
        "predictions",
    ),
    "predictions are pickled": (
        QUICK,
        _replaced(PREDICTIONS, lambda path: path.write_bytes(pickle.dumps(Evil()))),
        "predictions",
    ),
    "a log is a link": (QUICK, _replaced(LOG, _link), "files"),
    "a log is huge": (
        QUICK, _replaced(LOG, lambda path: path.write_bytes(bytes(2_000_000))), "files",
    ),
    "something is a link": (
        QUICK, lambda store: (store.records / "notes").symlink_to("/etc/passwd"), "files",
    ),
    "a protocol names a file to be read": (
        QUICK,
        lambda store: (store.folder / "protocol-00000000.toml").write_text(
            'extends = "/dev/zero"\n'
        ),
        "protocol",
    ),
    "the folder is a link": (QUICK, _folder_is_a_link, "files"),
    "a time below a digest": (
        QUICK, _edited_below_digest("cost", "runner_seconds", to=1.0), "record",
    ),
    "an environment below a digest": (
        QUICK, _edited_below_digest("environment", "cpu", to="a faster one"), "record",
    ),
    "a digest removed": (QUICK, _without_digest, "record"),
    "a schema lowered": (QUICK, _lowered, "record"),
    "a log added": (
        QUICK,
        lambda store: (renew(store), store.path(find(store), LOG).write_bytes(b"fine")),
        "files",
    ),
    "a log edited": (
        QUICK,
        lambda store: (
            renew(store, log=b"loss is bad"), store.path(find(store), LOG).write_bytes(b"fine"),
        ),
        "files",
    ),
    "weights edited": (QUICK, _weights_edited(lambda content: content[:-1] + b"\1"), "weights"),
    "weights pickled": (
        QUICK, _weights_edited(lambda _: pickle.dumps(Evil()), digest=True), "weights",
    ),
    "weights of another run": (QUICK, _others_weights, "weights"),
    "weights are a link": (
        QUICK,
        lambda store: (renew(store, weights=True), _replaced(WEIGHTS, _link)(store)),
        "weights",
    ),
    "weights are a pipe": (
        QUICK, lambda store: (renew(store, weights=True), _replaced(WEIGHTS, os.mkfifo)(store)),
        "weights",
    ),
    "weights added": (
        QUICK,
        lambda store: (
            renew(store),
            store.path(find(store), WEIGHTS).write_bytes(
                weights_of(find(store), store.protocol_of([find(store)]))
            ),
        ),
        "files",
    ),
    "a better log-loss than the logits'": (QUICK, _better_loss_than_logits, "logits"),
    "edited since it was verified": (QUICK, _verified_and_edited, "record"),
    "a verification edited": (QUICK, _better_tier, "verification"),
    "a class that is none": (QUICK, _class_that_is_none, "predictions"),
    "more images than any memory holds": (
        QUICK, _edited("result", "images", to=2**62), "predictions",
    ),
    "a model that no plugin can name": (QUICK, _edited("run", "model", to="soft\nmax"), "run"),
    "parameters less than none": (QUICK, _edited("cost", "parameters", to=-5), "times"),
    "on from an epoch that is none": (QUICK, _edited("cost", "resumed_after", to=77), "times"),
    "more right than looked at": (
        QUICK,
        lambda store: edit(
            store, find(store),
            lambda parts: parts["result"].update(fit_images=10, fit_correct=11),
        ),
        "result",
    ),
    "an old record with the digest of none": (
        QUICK, lambda store: edit(store, find(store), lambda parts: parts.update(digest=None)),
        "record",
    ),
    "verifications are a link": (QUICK, _verifications_elsewhere, "files"),
    "one run, two results, one machine": (QUICK, _contradicts, "contradiction"),
}  # fmt: skip


# Good folders


def _schema_2(store: Store) -> None:
    for record in store.read().records:
        newest = msgspec.structs.replace(record, schema=2)
        store.path(record, ".json").write_bytes(records.encode(newest))


def _other_machine(store: Store) -> None:
    """All runs made once more on a machine of another kind, with other bits."""
    for number, record in enumerate(store.read().records):

        def change(parts: dict[str, Any], number: int = number) -> None:
            other_times(parts)
            parts["id"] = f"abcd{number:04x}"
            parts["environment"]["device"]["name"] = "Another CPU"
            parts["result"]["logits_sha256"] = f"{number:064x}"

        predictions = None
        if record.ok and record.run.stage == "final":
            answers = store.predictions(record).copy()
            labels = store.labels(store.protocol_of([record]))
            right, wrong = answers == labels, answers != labels
            swap = [np.flatnonzero(right)[number], np.flatnonzero(wrong)[number]]
            answers[swap[0]] = (labels[swap[0]] + 1) % 10
            answers[swap[1]] = labels[swap[1]]
            predictions = files.npy_bytes(answers)
        another(store, record, change, predictions)


def _retried(store: Store) -> None:
    """Each run failed at first, in another way each time."""
    every = ("crashed", "timeout", "oom", "interrupted", "failed")
    for number, record in enumerate(store.read().records):
        status = every[number % len(every)]
        result = records.Result(status=status, message="on purpose")  # type: ignore[arg-type]
        store.add(
            msgspec.structs.replace(
                record, schema=3, id=f"dead{number:04x}", created="2026-01-01T00:00:00Z",
                result=result, cost=records.Cost(runner_seconds=float(number + 1)),
            )
        )  # fmt: skip


def _failed_seed(store: Store) -> None:
    record = find(store, "vgg11", seed=store.protocol_of(store.read().records).seeds[-1])
    for kind in (".json", PREDICTIONS):
        store.path(record, kind).unlink()
    result = records.Result(status="diverged", message="loss was not finite")
    store.add(msgspec.structs.replace(record, schema=3, result=result), log=b"nan\n")


def _fewer_seeds(store: Store) -> None:
    last = store.protocol_of(store.read().records).seeds[-1]
    for record in store.read().records:
        if record.run.stage == "final" and record.run.seed == last:
            for kind in (".json", PREDICTIONS):
                store.path(record, kind).unlink()


def _newer_plugin(store: Store) -> None:
    """A plugin's next version gives the same bits."""
    for number, record in enumerate(store.read().records):
        if record.run.model == "vgg11":

            def change(parts: dict[str, Any], number: int = number) -> None:
                other_times(parts)
                parts["id"] = f"beef{number:04x}"
                parts["run"]["plugin"]["version"] = "0.2.0"
                parts["run"]["plugin"]["source"] = "9" * 64

            another(store, record, change)


def _other_distribution(store: Store) -> None:
    """Another distribution offers the same model under the same name."""
    for number, record in enumerate(store.read().records):
        if record.run.model == "vgg11":

            def change(parts: dict[str, Any], number: int = number) -> None:
                other_times(parts)
                parts["id"] = f"cafe{number:04x}"
                parts["run"]["plugin"]["distribution"] = "my-vgg"

            another(store, record, change)


def _verified(store: Store) -> None:
    (asked,) = asked_of([store.folder])
    assert keeping.keep(verify_store(asked, ()), describe(cpu_device(), 1), None)


def _constant(store: Store) -> None:
    """Two models that have died give every image the same class."""
    labels = store.labels(store.protocol_of(store.read().records))
    for place, model in enumerate(("vgg11", "vgg11-bn")):
        for record in [one for one in store.read().records if one.run.model == model and one.ok]:
            if record.run.stage == "tune":
                continue
            answers = np.zeros(len(labels), np.uint8)
            store.path(record, PREDICTIONS).write_bytes(files.npy_bytes(answers))

            def change(parts: dict[str, Any], place: int = place) -> None:
                parts["result"] |= {
                    "correct": int((labels == 0).sum()), "log_loss": 2.3026,
                    "logits_sha256": f"{place}" * 64,
                }  # fmt: skip

            edit(store, record, change)


def _own_protocol(store: Store) -> None:
    name = store.folder.name.partition("-")[0]
    text = next(store.folder.glob("protocol-*.toml")).read_text()
    text = text.replace(f'name = "{name}"', 'name = "mine"')
    of = protocol.parse(text, "mine")
    for path in store.folder.glob("protocol-*.toml"):
        path.unlink()
    store.folder.rename(store.folder.with_name("mine-v1"))
    moved = Store(store.folder.parent, "mine-v1")
    moved.keep_protocol(of.digest, text)
    for record in moved.read().records:
        edit(
            moved, record,
            lambda parts: parts["run"].update(protocol="mine-v1", protocol_digest=of.digest),
        )  # fmt: skip


def _with_clutter(store: Store) -> None:
    store.make()
    (store.records / ".softmax.json.123.tmp").write_bytes(b"half")
    (store.records / "softmax-final-s9-00000000-11111111.npy").write_bytes(b"half")
    (store.folder / "notes.txt").write_text("mine")


def _no_labels(store: Store) -> None:
    (store.folder / "t10k-labels-idx1-ubyte").unlink()


def _resumed(store: Store) -> None:
    for record in store.read().records:
        edit(store, record, _set("cost", "resumed_after", to=1))


def _overtaken(store: Store) -> Record:
    """The run before the last loses its record; of one seed it is the only one."""
    record = find(store, "vgg11", seed=store.protocol_of(store.read().records).seeds[-2:][0])
    for kind in (".json", PREDICTIONS):
        store.path(record, kind).unlink()
    return record


def _under_way(store: Store) -> None:
    record = _overtaken(store)
    store.make()
    (store.claims / f"{record.key}.json").write_bytes(b"{}")


def _stopped(store: Store) -> None:
    record = find(store, "vgg11", seed=1)
    if record.key != _overtaken(store).key:
        for kind in (".json", PREDICTIONS):
            store.path(record, kind).unlink()
    result = records.Result(status="interrupted", message="stopped by the user")
    store.add(msgspec.structs.replace(record, schema=3, result=result))


GOOD: dict[str, Callable[[Store], object]] = {
    "published": lambda _: None,
    "rebuilt": renew,
    "rebuilt with logits": lambda store: renew(store, logits=True),
    "rebuilt with weights": lambda store: renew(store, weights=True),
    "rebuilt with logs": lambda store: renew(store, log=b"epoch 1 of 8\n"),
    "logits left behind": lambda store: (
        renew(store, logits=True),
        store.path(find(store), LOGITS).unlink(),
    ),
    "weights left behind": lambda store: (
        renew(store, weights=True),
        store.path(find(store), WEIGHTS).unlink(),
    ),
    "logs left behind": lambda store: (
        renew(store, log=b"epoch 1 of 8\n"),
        store.path(find(store), LOG).unlink(),
    ),
    "schema 2": _schema_2,
    "merged with another machine's": _other_machine,
    "rebuilt and merged": lambda store: (renew(store), _schema_2(store), _other_machine(store)),
    "retried": _retried,
    "rebuilt and retried": lambda store: (renew(store), _retried(store)),
    "a failed seed": _failed_seed,
    "fewer seeds": _fewer_seeds,
    "a newer plugin": _newer_plugin,
    "another distribution": _other_distribution,
    "verified": _verified,
    "verified twice, then retried": lambda store: (_verified(store), _retried(store)),
    "rebuilt and verified": lambda store: (renew(store), _verified(store)),
    "constant answers": _constant,
    "rules of one's own": _own_protocol,
    "clutter": _with_clutter,
    "labels at hand elsewhere, or not": _no_labels,
    "resumed": _resumed,
    "a run of another worker goes on": _under_way,
    "stopped with two workers": _stopped,
}


GOOD_FOLDERS = [(name, of) for name in GOOD for of in (QUICK, LITE)]
"""Each good folder, made from either published board."""

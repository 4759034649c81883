"""Submissions: what is packed and what is said of it, and what of a pull request is taken."""

import gzip
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

import samples
import simulated
import submitted
from conftest import Fmbench
from fmbench import files
from fmbench.errors import StoreError, UsageError
from fmbench.leaderboard.board import read_board
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.records import SCHEMA
from fmbench.store import Store
from fmbench.submission import intake, writing
from fmbench.submission.packing import Submission, collect

LITE = Store(submitted.PUBLISHED, "lite-v1")


def collected(store: Store, **options: bool) -> Submission:
    """The submission of a store."""
    return collect(store, StoredResults(store), **options)


def names(submission: Submission) -> set[str]:
    """The paths of its files below those of the published results."""
    return {piece.name.removeprefix("results/published/") for piece in submission.pieces}


def small(folder: Path, **more: object) -> Store:
    """A store of two simulated models of three seeds."""
    return simulated.write_store(folder, {"a": 0.9, "b": 0.8}, seeds=3, images=500, **more)  # type: ignore[arg-type]


def test_a_submission_holds_what_belongs_and_nothing_else(tmp_path: Path) -> None:
    """Records, predictions and the protocol are packed; boards, labels and scratch are not."""
    store = small(tmp_path)
    (store.folder / "leaderboard.md").write_text("old")
    (store.folder / "notes.txt").write_text("mine")
    found = collected(store)
    kinds = {kind: number for kind, (number, _) in found.by_kind.items()}
    assert kinds == {"records": 12, "predictions": 6, "protocol": 1}
    assert len(names(found)) == 19
    assert {Path(name).suffix for name in names(found)} == {".json", ".npy", ".toml"}
    assert found.size == sum(piece.source.stat().st_size for piece in found.pieces)
    assert found.faults == ()


def test_logs_and_logits_are_packed_when_asked_for(tmp_path: Path) -> None:
    """They stay behind by default, and it says which option packs them."""
    store = small(tmp_path)
    record = next(one for one in store.read().records if one.run.stage == "final")
    store.path(record, ".log").write_bytes(b"said\n")
    logits = np.zeros((500, 10), np.float16)
    store.path(record, ".logits.npy").write_bytes(files.npy_bytes(logits))
    assert collected(store).left_out == (
        "the logs of 1 run; --logs packs them",
        "the logits of 1 run; --logits packs them",
    )
    found = collected(store, logs=True, logits=True)
    assert (found.by_kind["logs"], found.by_kind["logits"]) == ((1, 5), (1, 10_128))
    assert found.left_out == ()


def test_failures_are_packed_and_named(tmp_path: Path) -> None:
    """A failed run is in the submission like any other, and told as what the row lacks."""
    store = small(tmp_path, broken="b")
    found = collected(store)
    assert {record.result.status for record in found.records} == {"ok", "diverged"}
    assert "b: seed 3 diverged" in found.missing
    assert found.by_kind["records"][0] == 12
    assert found.by_kind["predictions"][0] == 5


def test_what_is_owed_is_said(tmp_path: Path) -> None:
    """Seeds and tune runs that were not made are named, and records that name no commit."""
    store = small(tmp_path)
    for path in (*store.records.glob("a-final-s[23]-*"), *store.records.glob("b-tune-*")):
        path.unlink()
    said = collected(store).missing
    assert "a: no final run of seeds 2, 3" in said
    assert [one for one in said if one.startswith("b: no tune run of adamw-high, seed 0")]
    assert any("no commit of fmbench in 7 of 7 records" in one for one in said)
    assert any("is not a protocol that fmbench has" in one for one in said)
    assert collected(LITE).missing == ()


def test_what_counts_no_more_is_packed_too(tmp_path: Path) -> None:
    """Older records of the same protocol travel: nothing that was run is hidden."""
    store = small(tmp_path)
    old = next(record for record in store.read().records if record.run.stage == "final")
    older = msgspec.structs.replace(old, id="0ld", created="2020-01-01T00:00:00Z")
    store.add(older, store.predictions(old))
    assert f"tiny-v1/records/{older.stem}.json" in names(collected(store))


def test_what_stays_behind_is_told(tmp_path: Path) -> None:
    """Records of another digest, files that are no records, and lost predictions stay behind."""
    store = small(tmp_path)
    store.add(samples.record(samples.run(model="other"), created="2020-01-01T00:00:00Z"))
    (store.records / "x.json").write_text("{}")
    (store.records / "lost-final-s1-0-0.npy").write_bytes(b"")
    said = collected(store).left_out
    assert "1 record of another version of the protocol" in said
    assert any(one.startswith("x.json is not a record") for one in said)
    assert "1 file of runs that left no record" in said


@pytest.mark.parametrize("damage", ["link", "pipe", "huge", "pickled", "missing"])
def test_a_file_that_is_none_of_the_kind_is_a_fault(tmp_path: Path, damage: str) -> None:
    """Links, pipes, huge or pickled files are not packed, and the submission is refused."""
    store = small(tmp_path)
    path = sorted(store.records.glob("*.npy"))[0]
    if damage == "huge":
        os.truncate(path, 3_000_000_000)
    elif damage == "pickled":
        np.save(path, np.array([{}], object), allow_pickle=True)
    else:
        path.unlink()
        if damage == "link":
            path.symlink_to("/etc/hostname")
        elif damage == "pipe":
            os.mkfifo(path)
    (fault,) = collected(store).faults
    assert path.name in fault


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.ZIP"])
def test_an_archive_has_always_the_same_bytes(tmp_path: Path, name: str) -> None:
    """Copied elsewhere and at another time, equal files give an equal archive, of those files."""
    store = small(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two", copy_function=shutil.copyfile)
    other = Store(tmp_path / "two", store.folder.name)
    for path in other.records.iterdir():
        os.utime(path, (1, 1))
    found = collected(store)
    writing.write_archive(found, tmp_path / name)
    (tmp_path / "again").mkdir()
    writing.write_archive(collected(other), tmp_path / "again" / name)
    content = (tmp_path / name).read_bytes()
    assert content == (tmp_path / "again" / name).read_bytes()
    if name.lower().endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            held = {one: archive.read(one) for one in archive.namelist()}
    else:
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(content))) as archive:
            held = {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]
    assert held == {piece.name: piece.source.read_bytes() for piece in found.pieces}
    with pytest.raises(UsageError, match="exists already"):
        writing.write_archive(found, tmp_path / name)


def test_a_folder_gets_only_what_it_lacks(tmp_path: Path) -> None:
    """Into a clone only new files are copied; a file of another content stops it before any is."""
    found = collected(small(tmp_path / "one"))
    clone = tmp_path / "clone"
    assert len(writing.write_folder(found, clone)) == len(found.pieces)
    assert writing.write_folder(found, clone) == []
    first, last = (clone / found.pieces[place].name for place in (0, -1))
    first.unlink()
    last.write_bytes(b"other")
    with pytest.raises(StoreError, match="1 file there hold"):
        writing.write_folder(found, clone)
    assert not first.exists()


def test_a_submission_is_packed_as_a_user_packs_it(fmbench: Fmbench, tmp_path: Path) -> None:
    """A results folder or a store in it, sizes in a table and in JSON, then the archive."""
    said = fmbench("submit", submitted.PUBLISHED, "--protocol", "lite-v1")
    assert said.returncode == 0, said.stderr
    assert "Nothing is missing, and nothing is false." in said.stdout
    packed = fmbench("submit", LITE.folder, "--output", "lite.zip", "--json")
    assert packed.returncode == 0, packed.stderr
    assert len(json.loads(packed.stdout)["files"]) == len(
        zipfile.ZipFile(tmp_path / "lite.zip").namelist()
    )
    for words in (("submit", submitted.PUBLISHED), ("submit", LITE.folder, "--protocol", "x")):
        refused = fmbench(*words)
        assert (refused.returncode, "hint:" in refused.stderr) == (2, True)


@pytest.mark.parametrize("damage", ["a file is lost", "a forged accuracy"])
def test_a_bad_submission_is_not_written(fmbench: Fmbench, tmp_path: Path, damage: str) -> None:
    """With a lost file, or a record that is false, it ends with 1, and no archive is there."""
    records = submitted.copy_model(tmp_path / "results")
    if damage == "a file is lost":
        sorted(records.glob("*.npy"))[0].unlink()
    else:
        submitted.FALSE[damage][0](records)
    refused = fmbench("submit", "--output", "x.zip")
    assert refused.returncode == 1
    assert ("Cannot be packed:" in refused.stdout) == (damage == "a file is lost")
    assert "False:\n- vgg11-bn-final-s1-" in refused.stdout
    assert not (tmp_path / "x.zip").exists()


def test_what_submit_packs_is_accepted(fmbench: Fmbench, tmp_path: Path) -> None:
    """Packed into a clone, all of a stranger's records are taken, and merged with the base's."""
    base, offered = submitted.write_checkouts(tmp_path)
    shutil.rmtree(offered)
    shutil.copytree(base, offered)
    submitted.copy_model(tmp_path / "mine")
    packed = fmbench("submit", "mine", "--output", offered)
    assert packed.returncode == 0, packed.stderr
    taken = fmbench("accept", offered, base, "--output", "merged")
    assert taken.returncode == 0, taken.stdout + taken.stderr
    assert "6 records in 9 files can be taken.\n- lite-v1: vgg11-bn\n" in taken.stdout
    assert Store(tmp_path / "merged", "lite-v1").read() == LITE.read()
    again = fmbench("accept", offered, base, "--output", "merged")
    assert (again.returncode, "exists already" in again.stderr) == (2, True)


def test_a_pull_request_that_changes_nothing_takes_nothing(tmp_path: Path) -> None:
    """A checkout held against itself has nothing to take and nothing to refuse."""
    base, _ = submitted.write_checkouts(tmp_path)
    found = intake.examine(base, base)
    assert (found.records, found.taken, found.refused) == ({}, [], [])


def test_the_first_records_of_a_protocol_bring_its_file(tmp_path: Path) -> None:
    """Where the base has no records of a protocol, its file is taken, if fmbench has it."""
    base, offered = submitted.write_checkouts(tmp_path)
    shutil.rmtree(base / submitted.IN_CHECKOUT)
    (offered / submitted.IN_CHECKOUT / "t10k-labels-idx1-ubyte").unlink()
    shutil.rmtree(offered / submitted.IN_CHECKOUT / "verifications")
    for path in (offered / submitted.IN_CHECKOUT).glob("*.*"):
        if path.suffix != ".toml":
            path.unlink()
    found = intake.examine(offered, base)
    assert found.refused == []
    assert len(found.records) == 54
    assert [path for path in found.taken if path.endswith(".toml")]


@pytest.mark.parametrize("case", submitted.REFUSED)
def test_a_hostile_pull_request_is_refused(tmp_path: Path, case: str) -> None:
    """Each thing that a submission may not do is refused by name, on one line of plain text."""
    base, offered = submitted.write_checkouts(tmp_path)
    assert intake.examine(offered, base).refused == []
    forge, said = submitted.REFUSED[case]
    forge(offered / submitted.IN_CHECKOUT / "records")
    refused = intake.examine(offered, base).refused
    assert any(said in sentence for sentence in refused), refused
    assert all(sentence.isprintable() for sentence in refused)


def test_the_steps_for_a_stranger_lead_to_a_pull_request_that_is_accepted(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """Typed as results/SUBMITTING.md has them, the commands make a commit that may be merged."""
    base, _ = submitted.write_checkouts(tmp_path, "lite-v2")
    submitted.commit_all(base)
    clone = tmp_path / "fashion-mnist-bench"
    subprocess.run(["git", "clone", "--quiet", base, clone], check=True)
    submitted.copy_model(tmp_path / "results", "lite-v2")
    page = (submitted.PUBLISHED.parent / "SUBMITTING.md").read_text("utf-8")
    commands = re.findall(r"^ *\$ (.*)$", page, re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        program, *words = shlex.split(command)
        if program == "fmbench":
            program = str(Path(sys.executable).with_name("fmbench"))
        ran = subprocess.run(
            [program, *words], cwd=tmp_path, env=environment | submitted.AUTHOR,
            capture_output=True, text=True,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
    changed = subprocess.run(
        ["git", "-C", clone, "status", "--short"], capture_output=True, text=True, check=True
    )
    assert changed.stdout == ""
    found = intake.examine(clone, base)
    assert found.refused == []
    assert {record.run.model for record in found.records.values()} == {submitted.MODEL}


# Merging two folders, which is copying files


def union(folder: Path, *parts: Path) -> Store:
    """A results folder of lite-v1 with the files of several."""
    for part in parts:
        shutil.copytree(part, folder, dirs_exist_ok=True)
    return Store(folder, "lite-v1")


def halves(folder: Path) -> tuple[Path, Path]:
    """The published runs, as if each of two machines had made some seeds."""
    found = folder / "one", folder / "two"
    for place, half in enumerate(found):
        shutil.copytree(LITE.folder, half / "lite-v1")
        for path in (half / "lite-v1" / "records").iterdir():
            if ("-s1-" in path.name) == bool(place):
                path.unlink()
    return found


def test_two_folders_are_merged_by_copying(fmbench: Fmbench, tmp_path: Path) -> None:
    """Seeds made on two machines make whole rows together, and nothing contradicts."""
    one, two = halves(tmp_path)
    half = read_board(StoredResults(Store(two, "lite-v1")), cached=False)
    assert not any(row.complete for row in half.rows)
    whole = union(tmp_path / "results", one, two)
    assert whole.read() == LITE.read()
    verified = fmbench("verify", "--no-keep", "--protocol", "lite-v1")
    assert verified.returncode == 0, verified.stdout
    board = read_board(StoredResults(whole), cached=False)
    assert all(row.complete for row in board.rows)
    assert union(tmp_path / "other way", two, one).read() == whole.read()


def test_what_contradicts_in_two_merged_folders_is_named(fmbench: Fmbench, tmp_path: Path) -> None:
    """A run that came out otherwise on an equal device is false in the union, and fine apart."""
    folders = tmp_path / "one", tmp_path / "two"
    for place, folder in enumerate(folders):
        renewed(folder, id_=f"{place:08}", flip=place)
        apart = fmbench("verify", "--no-keep", folder)
        assert apart.returncode == 0, apart.stdout
    union(tmp_path / "results", *folders)
    together = fmbench("verify", "--no-keep", "results")
    assert together.returncode == 1
    assert "came out otherwise" in together.stdout
    assert "softmax-final-s1" in together.stdout


def renewed(folder: Path, id_: str, flip: int) -> None:
    """A store of softmax's first run alone, of a known device, with some answers made wrong."""
    old = next(
        record
        for record in LITE.read().records
        if (record.run.model, record.run.stage, record.run.seed) == ("softmax", "final", 1)
    )
    store = Store(folder, "lite-v1")
    store.make()
    for path in (*LITE.folder.glob("protocol-*"), *LITE.folder.glob("t10k-*")):
        shutil.copy(path, store.folder)
    for path in LITE.records.glob("softmax-tune-*"):
        shutil.copy(path, store.records)
    labels = StoredResults(LITE).labels
    predictions = LITE.predictions(old).copy()
    right = np.flatnonzero(predictions == labels)[:flip]
    predictions[right] = (labels[right] + 1) % 10
    device = msgspec.structs.replace(old.environment.device, facts={"model": "1"})
    where = msgspec.structs.replace(old.environment, device=device)
    assert old.result.correct
    result = msgspec.structs.replace(old.result, correct=old.result.correct - flip)
    cost = msgspec.structs.replace(old.cost, runner_seconds=old.cost.runner_seconds + flip)
    store.add(
        msgspec.structs.replace(
            old, schema=SCHEMA, id=id_, environment=where, result=result, cost=cost
        ),
        predictions,
    )

"""The store: files that are whole, never overwritten, and read without running anything."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.special import softmax

import samples
from conftest import TinyData
from fmbench import files, protocol, records
from fmbench.errors import StoreError
from fmbench.store import Store, protocols_in


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    store = Store(tmp_path, "tiny-v1")
    store.make()
    return store


def test_a_name_that_is_not_utf_8_is_told_in_words_that_json_can_hold(tmp_path: Path) -> None:
    """A record file of such a name is a problem like another, and can be written as UTF-8."""
    store = Store(tmp_path, "p")
    store.make()
    (store.records / os.fsdecode(b"\xff.json")).write_bytes(b"{}")
    (problem,) = store.read().problems
    assert "\\udcff.json" in problem.encode().decode()


def test_a_copied_record_is_reported_and_counts_once(tmp_path: Path) -> None:
    """A file manager's copy of a record, or a renamed one, is no second run."""
    store = Store(tmp_path, "tiny-v1")
    store.make()
    record = samples.record()
    store.add(record)
    path = store.path(record, ".json")
    path.with_name(f"{path.stem} (conflicted copy).json").write_bytes(path.read_bytes())
    contents = store.read()
    assert contents.records == (record,)
    assert [f"a copy of the record {path.name}" in one for one in contents.problems] == [True]


def test_what_is_added_is_read_back(store: Store) -> None:
    """Record, predictions and log of a run come back as they were."""
    record, predictions = samples.record(), np.arange(100, dtype=np.uint8) % 10
    record = store.add(record, predictions, log=b"said so")
    assert set(record.files) == {".npy", ".log"}
    assert store.read().records == (record,)
    assert store.read().problems == ()
    assert (store.predictions(record) == predictions).all()
    assert store.log(record) == "said so"
    assert protocols_in(store.folder.parent) == ["tiny-v1"]


@given(
    hnp.arrays(
        np.float32, (7, 10), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
    )
)
def test_kept_logits_keep_their_softmax(
    tmp_path_factory: pytest.TempPathFactory, logits: NDArray[np.float32]
) -> None:
    """Kept as float16, logits of any size are finite and give the probabilities to 0.1 %."""
    store = Store(tmp_path_factory.mktemp("kept"), "tiny-v1")
    store.make()
    store.add(samples.record(), logits=logits)
    kept = files.read_npy(store.path(samples.record(), ".logits.npy"), np.float16, (7, 10))
    assert np.isfinite(kept).all()
    np.testing.assert_allclose(
        softmax(kept.astype(np.float64), 1), softmax(logits.astype(np.float64), 1), atol=1e-3
    )


def test_what_lies_beside_a_record_is_not_left_over(store: Store) -> None:
    """Every kind of file beside a record is known as its own, and left over without it."""
    zeros = np.zeros((100, 10), np.float32)
    store.add(samples.record(), zeros[:, 0].astype(np.uint8), logits=zeros, log=b"said so")
    assert store.without_record() == []
    store.path(samples.record(), ".json").unlink()
    left = {store.path(samples.record(), kind).name for kind in (".npy", ".logits.npy", ".log")}
    assert {path.name for path in store.without_record()} == left


def test_a_kept_protocol_is_that_of_its_records(store: Store, tiny: TinyData) -> None:
    """One that was edited since has another digest, and is refused."""
    rules = protocol.load(str(tiny.protocol))
    record = samples.record(samples.run(protocol_digest=rules.digest))
    kept = tiny.protocol.read_text()
    store.keep_protocol(rules.digest, kept)
    assert store.protocol_of([record]) == rules
    store.keep_protocol(rules.digest, kept.replace("batch_size = 16", "batch_size = 32"))
    with pytest.raises(StoreError, match="is not the protocol its records were made under"):
        store.protocol_of([record])


def test_a_folder_without_records_is_no_protocol_held(store: Store) -> None:
    """A store that was made and got no record does not count among those that hold some."""
    results = store.folder.parent
    assert protocols_in(results) == []
    store.add(samples.record())
    Store(results, "other-v1").make()
    assert protocols_in(results) == ["tiny-v1"]


def test_a_record_is_never_overwritten(store: Store) -> None:
    """Adding a record twice fails and leaves the first one's bytes."""
    store.add(samples.record())
    before = store.path(samples.record(), ".json").read_bytes()
    with pytest.raises(FileExistsError):
        store.add(samples.record())
    assert store.path(samples.record(), ".json").read_bytes() == before


def test_an_unreadable_file_is_a_problem_and_hides_nothing(store: Store) -> None:
    """One spoilt, one oversized and one foreign file cost only themselves."""
    store.add(samples.record())
    (store.records / "spoilt.json").write_bytes(b"{")
    big = records.encode(samples.record(id="1" * 8)) + b" " * 1024 * 1024
    (store.records / "big.json").write_bytes(big)
    contents = store.read()
    assert len(contents.records) == 1
    assert "it is larger than" in contents.problems[0]
    assert [problem.split()[0] for problem in contents.problems] == ["big.json", "spoilt.json"]


def test_predictions_are_read_without_pickle(store: Store) -> None:
    """A .npy that holds objects is refused, not run."""
    record = samples.record()
    store.add(record)
    np.save(store.path(record, ".npy"), np.array([{"a": 1}] * 100), allow_pickle=True)
    with pytest.raises(StoreError, match="holds object"):
        store.predictions(record)


@pytest.mark.parametrize("array", [np.zeros(99, np.uint8), np.zeros(100, np.int64)])
def test_predictions_that_do_not_fit_their_record_are_refused(
    store: Store, array: np.ndarray
) -> None:
    """Predictions are one uint8 for each image the record counts."""
    record = samples.record()
    store.add(record)
    np.save(store.path(record, ".npy"), array)
    with pytest.raises(StoreError, match="fit"):
        store.predictions(record)


def test_nothing_half_written_is_left_when_a_write_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing fsync leaves neither the file nor a temporary one."""

    def broken(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", broken)
    with pytest.raises(StoreError, match="No space left"):
        files.write(tmp_path / "a", b"content")
    assert list(tmp_path.iterdir()) == []


def test_a_file_and_its_name_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Content is on disk before the file has its name, and the name before anyone is told."""
    calls = []

    def noting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            calls.append(name)
            return real(*arguments)

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(files.os, name, noting(name, getattr(files.os, name)))
    files.write(tmp_path / "a", b"content")
    assert calls == ["fsync", "replace", "fsync"]


@pytest.mark.parametrize("name", ["x" * 300, "file/below"])
def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path: Path, name: str) -> None:
    """Where not even the temporary file can be named, the error is the one about the place."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        files.write(tmp_path / name, b"content")


def test_a_file_system_without_links_is_reported_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a record could not be placed, making the store says so: no run is trained for it."""

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(files.os, "link", refused)
    with pytest.raises(StoreError, match="Operation not permitted"):
        Store(tmp_path, "tiny-v1").make()


def test_without_a_temporary_folder_a_command_says_which_to_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where nothing temporary can be written, the error says how to name another place."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(StoreError, match="no temporary folder") as raised, files.temporary_folder():
        pass
    assert "TMPDIR" in raised.value.hint


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    """A results folder that is a file says so, with what to do."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(StoreError) as caught:
        Store(tmp_path / "taken", "tiny-v1").make()
    assert "taken" in str(caught.value)
    assert caught.value.hint

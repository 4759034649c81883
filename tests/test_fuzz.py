"""Reading runs no code and ends in a value or a clear error, whatever the bytes."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import samples
from fmbench import files, records
from fmbench.errors import StoreError
from fmbench.store import Store
from readers import READERS, mutate


@pytest.mark.parametrize("name", READERS)
def test_each_reader_reads_its_own_sample(name: str) -> None:
    """The fuzzing starts from bytes that are well-formed: a value comes out."""
    assert READERS[name].read(READERS[name].sample) is not None


@pytest.mark.parametrize("name", READERS)
@given(content=st.binary(max_size=400))
def test_any_bytes_end_in_a_value_or_a_clear_error(name: str, content: bytes) -> None:
    """Arbitrary bytes never raise anything but the reader's own errors."""
    try_reading(name, content)


@pytest.mark.parametrize("name", READERS)
@given(seed=st.integers(0, 2**32 - 1))
def test_damaged_files_end_in_a_value_or_a_clear_error(name: str, seed: int) -> None:
    """Well-formed bytes with a few changed, cut or doubled never raise anything else either."""
    try_reading(name, mutate(READERS[name].sample, np.random.RandomState(seed)))


def try_reading(name: str, content: bytes) -> None:
    """Read bytes; only the reader's own errors pass."""
    try:
        READERS[name].read(content)
    except READERS[name].errors:
        pass


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch PWNED",)


@pytest.fixture
def attacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with one good record among attacks."""
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "results", "tiny-v1")
    store.make()
    store.add(samples.record(), np.zeros(100, np.uint8))
    folder = store.records
    good = records.encode(samples.record())
    (folder / "pickle.json").write_bytes(pickle.dumps(Evil()))
    (folder / "huge.json").write_bytes(b"[" * 900_000)
    (folder / "deep.json").write_bytes(b'{"run":' * 100_000)
    (folder / "number.json").write_bytes(good.replace(b'"seed": 1', b'"seed": ' + b"9" * 5000))
    (folder / "model.json").write_bytes(good.replace(b'"model": "m"', b'"model": "../../x"'))
    (folder / "id.json").write_bytes(good.replace(b'"id": "00000000"', b'"id": "x/../../../y"'))
    (folder / "folder.json").mkdir()
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (folder / "link.json").symlink_to(secret)
    store.path(samples.record(), ".log").symlink_to(secret)
    (folder / "loop.json").symlink_to(folder / "loop.json")
    (folder / "endless.json").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.json")
    outside = tmp_path / "outside.json"
    outside.write_bytes(records.encode(samples.record(id="11111111")))
    (folder / "outside.json").symlink_to(outside)
    return store


def test_a_folder_of_attacks_costs_only_its_own_files(attacked: Store, tmp_path: Path) -> None:
    """Pickles, deep and huge JSON, links and forged names are problems; nothing is run."""
    contents = attacked.read()
    assert [record.id for record in contents.records] == [samples.record().id]
    assert len(contents.problems) == 12
    assert not any("secret" in problem for problem in contents.problems)
    assert attacked.log(samples.record()) == ""
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.parametrize(
    "attack",
    [
        pickle.dumps(Evil()),
        b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16,
        b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b"x" * 100,
        b"PK\x03\x04" + b"0" * 100,
        b"",
    ],
)
def test_predictions_that_are_attacks_are_refused(attacked: Store, attack: bytes) -> None:
    """A pickle, an archive or a monstrous header in a .npy is an error that names the file."""
    attacked.path(samples.record(), ".npy").write_bytes(attack)
    with pytest.raises(StoreError) as caught:
        attacked.predictions(samples.record())
    assert caught.value.where.endswith(".npy")


@pytest.mark.parametrize("name", ["predictions", "protocol", "board"])
@pytest.mark.parametrize("attack", ["pipe", "endless", "link"])
def test_what_is_no_regular_file_is_not_waited_for(
    attacked: Store, tmp_path: Path, name: str, attack: str
) -> None:
    """A pipe, a device or a link in the place of any file is refused, and its content unread."""
    path = {
        "predictions": attacked.path(samples.record(), ".npy"),
        "protocol": attacked.folder / f"protocol-{'d' * 8}.toml",
        "board": attacked.folder / "leaderboard.md",
    }[name]
    path.unlink(missing_ok=True)
    if attack == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if attack == "endless" else tmp_path / "secret.txt")
    read = {
        "predictions": lambda: attacked.predictions(samples.record()),
        "protocol": lambda: attacked.protocol_of([samples.record()]),
        "board": lambda: files.read_at_most(path, 1000),
    }[name]
    with pytest.raises((OSError, StoreError)):
        read()


def test_an_object_array_is_refused(attacked: Store) -> None:
    """Numpy's own pickled arrays are not loaded."""
    np.save(attacked.path(samples.record(), ".npy"), np.array([Evil()] * 100), allow_pickle=True)
    with pytest.raises(StoreError, match="object"):
        attacked.predictions(samples.record())
    assert not Path("PWNED").exists()

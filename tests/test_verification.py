"""Verification: every forgery is found and named, and no good folder is refused."""

import contextlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fmbench import files
from fmbench.console.verdicts import print_verdicts
from fmbench.errors import FmbenchError
from fmbench.leaderboard.board import read_board
from fmbench.leaderboard.formats import to_csv, to_markdown
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.store import Store, published
from fmbench.verification import Verdict, asked_of, boards, verify_store
from forgeries import FORGERIES, GOOD, GOOD_FOLDERS, copy_of, edit, find, renew

SOURCES = frozenset(
    (record.run.plugin.distribution, record.run.plugin.source)
    for record in Store(published(), "quick-v1").read().records
)


def verdict_of(results: Path) -> Verdict:
    """What verification says of the one store in a results folder."""
    (asked,) = asked_of([path for path in results.iterdir() if path.is_dir()])
    return verify_store(asked, SOURCES)


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_found_and_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is false is found, under the word for its kind, and nothing in the folder is run."""
    monkeypatch.chdir(tmp_path)
    of, forge, kind = FORGERIES[name]
    forge(copy_of(tmp_path / "results", of))
    found = verdict_of(tmp_path / "results")
    assert kind in {one.kind for one in found.false}, found.false
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.parametrize(("name", "of"), GOOD_FOLDERS)
def test_a_good_folder_is_not_refused(name: str, of: str, tmp_path: Path) -> None:
    """Rebuilt, merged, retried, of another machine or an old schema: nothing is false."""
    GOOD[name](copy_of(tmp_path / "results", of))
    assert verdict_of(tmp_path / "results").false == []


def test_there_are_forty_of_each() -> None:
    """Forty kinds of forgery and forty good folders at least."""
    assert len(FORGERIES) >= 40
    assert len(GOOD_FOLDERS) >= 40


def _right(store: Store) -> None:
    """Softmax is right on all but 200 images."""
    labels = store.labels(store.protocol_of([find(store)])).copy()
    labels[:200] = (labels[:200] + 1) % 10
    store.path(find(store), ".npy").write_bytes(files.npy_bytes(labels))
    edit(store, find(store), lambda parts: parts["result"].update(correct=9800, log_loss=0.1))


def _fast(store: Store) -> None:
    """Softmax answers faster than its device can compute."""

    def change(parts: dict[str, Any]) -> None:
        parts["environment"]["device"]["name"] = "AMD EPYC, Zen 5, AVX-512"
        parts["cost"]["inference_images_per_second"] = 1e12

    edit(store, find(store), change)


def _gone(store: Store) -> None:
    """A record has been removed since it was verified."""
    GOOD["verified"](store)
    record = find(store)
    for kind in (".json", ".npy"):
        store.path(record, kind).unlink()


NOTED: dict[str, Callable[[Store], object]] = {
    "record": _gone,
    "accuracy": _right,
    "times": _fast,
    "source": lambda store: edit(
        store, find(store), lambda parts: parts["run"]["plugin"].update(source="1" * 64)
    ),
}


@pytest.mark.parametrize("kind", NOTED)
def test_what_may_be_true_is_noted_and_not_false(kind: str, tmp_path: Path) -> None:
    """High accuracies, impossible times, unknown sources and lost records are for a reader."""
    NOTED[kind](copy_of(tmp_path / "results", "quick-v1"))
    found = verdict_of(tmp_path / "results")
    assert found.false == []
    assert kind in {one.kind for one in found.findings if one.level == "note"}


def test_old_records_list_what_is_not_checked(tmp_path: Path) -> None:
    """Records without a digest say which of their fields may have been edited; new ones do not."""
    store = copy_of(tmp_path / "results", "quick-v1")
    said = " ".join(one.what for one in verdict_of(tmp_path / "results").findings)
    assert "9 records have schema 1" in said
    assert "may have been edited" in said
    renew(store)
    said = " ".join(one.what for one in verdict_of(tmp_path / "results").findings)
    assert "schema" not in said


def test_a_verification_counts_while_its_files_are_what_they_were(tmp_path: Path) -> None:
    """A row has a tier once it was verified, and none when its predictions have changed since."""
    store = copy_of(tmp_path / "results", "quick-v1")
    assert {row.tier for row in read_board(StoredResults(store)).rows} == {None}
    GOOD["verified"](store)
    assert {row.tier for row in read_board(StoredResults(store)).rows} == {"re-scored"}
    path = store.path(find(store), ".npy")
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    by_model = {row.model: row.tier for row in read_board(StoredResults(store)).rows}
    assert by_model.pop("softmax") is None
    assert set(by_model.values()) == {"re-scored"}


def test_a_record_that_was_verified_and_is_gone_is_noted(tmp_path: Path) -> None:
    """What a verification names and nobody finds is for a reader to know."""
    store = copy_of(tmp_path / "results", "quick-v1")
    GOOD["verified"](store)
    gone = find(store, "vgg11")
    for kind in (".json", ".npy"):
        store.path(gone, kind).unlink()
    found = verdict_of(tmp_path / "results")
    assert found.false == []
    assert gone.stem in {one.where for one in found.findings if one.level == "note"}


def test_a_board_that_is_not_what_records_say_is_noted(tmp_path: Path) -> None:
    """Merged or new records make a board old, which is no fault of theirs."""
    store = copy_of(tmp_path / "results", "quick-v1")
    (store.folder / "leaderboard.csv").write_text("rank_best\n")
    (asked,) = asked_of([store.folder])
    verdict = verify_store(asked, SOURCES)
    assert not boards.compare(asked, verdict)
    assert [one.level for one in verdict.findings if one.kind == "board"] == ["note"]


def test_a_board_is_written_anew_by_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records are read and the board is written under the lock of those who write boards."""
    (asked,) = asked_of([copy_of(tmp_path / "results", "quick-v1").folder])
    done: list[str] = []

    @contextlib.contextmanager
    def locked(folder: Path) -> Iterator[None]:
        done.append(f"lock {folder.name}")
        yield
        done.append("unlock")

    monkeypatch.setattr(boards, "the_only_writer", locked)
    monkeypatch.setattr(boards, "read_board", lambda *_, **__: done.append("read"))
    monkeypatch.setattr(boards, "write_board", lambda *_: done.append("write"))
    boards.write_anew(asked, None)
    assert done == ["lock claims", "read", "write", "unlock"]


def test_a_name_of_two_lines_feigns_no_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file's name is printed on the line of what was found about it."""
    store = copy_of(tmp_path / "results", "quick-v1")
    (store.records / "a\n  false softmax.json").write_bytes(b"{}")
    print_verdicts([verdict_of(tmp_path / "results")])
    assert capsys.readouterr().out.count("\n  false ") == 1


def test_a_record_is_not_blamed_for_another_model(tmp_path: Path) -> None:
    """Where one record is named, a seed that another model lacks is no finding."""
    store = copy_of(tmp_path / "results", "lite-v1")
    gone = find(store, "vgg11", seed=2)
    for kind in (".json", ".npy"):
        store.path(gone, kind).unlink()
    assert verdict_of(tmp_path / "results").false
    for model, is_blamed in (("softmax", False), ("vgg11", True)):
        (asked,) = asked_of([store.path(find(store, model), ".json")])
        assert bool(verify_store(asked, SOURCES).false) is is_blamed


# Random edits

EDITS = int(os.environ.get("FMBENCH_EDITS", "300"))
"""How many edits the test makes; `tox -e long` makes 10,000."""


@pytest.fixture(params=["newest schema", "old and verified"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Three models of the published board, with a verification where old records need it."""
    store = copy_of(tmp_path / "small", "quick-v1")
    for path in store.records.iterdir():
        if not path.name.startswith(("softmax", "vgg11-final", "timm+regnety_002")):
            path.unlink()
    if request.param == "newest schema":
        renew(store, log=b"a line\n", weights=True)
    else:
        GOOD["verified"](store)
    return store


def board_of(store: Store) -> tuple[str, str] | None:
    """The board of a store as Markdown and CSV; None where there is none."""
    try:
        board = read_board(StoredResults(store), cached=False)
    except FmbenchError:
        return None
    return to_markdown(board), to_csv(board)


def test_a_random_edit_is_found_or_changes_no_board(small: Store) -> None:
    """One byte or one field edited anywhere: it is found, or is listed as unchecked and shows not.

    Every field of every record and every byte of every file is as likely as another.
    """
    draw = np.random.RandomState(EDITS)
    before, unseen = board_of(small), Counter[str]()
    assert {one.level for one in verdict_of(small.folder.parent).findings} == {"unchecked"}
    every = sorted(path for path in small.folder.rglob("*") if path.is_file())
    for _ in range(EDITS):
        path = every[draw.randint(len(every))]
        content = path.read_bytes()
        edited = edit_somewhere(content, draw, fields=path.suffix == ".json")
        path.write_bytes(edited)
        findings = verdict_of(small.folder.parent).findings
        if edited != content and not any(one.level != "unchecked" for one in findings):
            unseen[path.suffix] += 1
            assert board_of(small) == before, (path.name, content, edited)
            unchecked = {one.where for one in findings if one.level == "unchecked"}
            assert path.name in unchecked, (path.name, content, edited)
        path.write_bytes(content)
    assert set(unseen) <= {".toml"}


def edit_somewhere(content: bytes, draw: np.random.RandomState, *, fields: bool) -> bytes:
    """Bytes with one byte changed, or JSON with one field of it changed."""
    if fields and draw.randint(2):
        parts = json.loads(content)
        holders = list(holders_in(parts))
        holder, name = holders[draw.randint(len(holders))]
        holder[name] = changed(holder[name], draw)
        return msgspec.json.format(msgspec.json.encode(parts), indent=1) + b"\n"
    place = draw.randint(len(content))
    other = (content[place] + draw.randint(1, 256)) % 256
    return content[:place] + bytes([other]) + content[place + 1 :]


def holders_in(parts: Any) -> Iterator[tuple[Any, Any]]:
    """Each place in JSON that holds a value, as what holds it and its key or number there."""
    for name, value in parts.items() if isinstance(parts, dict) else enumerate(parts):
        yield parts, name
        if isinstance(value, dict | list):
            yield from holders_in(value)


def changed(value: Any, draw: np.random.RandomState) -> Any:
    """Another value of the same kind."""
    match value:
        case bool() | None:
            return 1
        case int() | float():
            return value + type(value)(draw.randint(1, 100))
        case str():
            return value + "0" if draw.randint(2) else value[:-1] + "~"
    return type(value)() if value else None

"""Protocols that extend others: what they take over, what they say otherwise, and their text."""

import json
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Fmbench, Install, TinyData
from fmbench import protocol
from fmbench.errors import ExitCode, ProtocolError
from fmbench.leaderboard.board import read_board
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.protocol_files import encode
from fmbench.store import Store
from plugins_of_all_kinds import offering

CHILD = """
extends = "{parent}"
name = "mine"
version = 1

[final]
epochs = 1
"""
VALUES = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=9)
    | st.datetimes()
)
TABLES = st.dictionaries(
    st.text(st.characters(codec="utf-8"), max_size=4),
    st.recursive(
        VALUES,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=4), inner, max_size=3)
        ),
        max_leaves=9,
    ),
    max_size=4,
)


def child(folder: Path, parent: object, *changes: tuple[str, str], name: str = "mine") -> Path:
    """A protocol's file that extends `parent`, with pieces of its text replaced."""
    text = CHILD.replace("{parent}", str(parent))
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


@given(TABLES)
def test_tables_come_back_from_their_text(tables: dict[str, object]) -> None:
    """Whatever TOML can hold is read from the text as it was."""
    assert tomllib.loads(encode(tables)) == tables


def test_a_child_has_its_parents_rules_but_for_its_own(tmp_path: Path) -> None:
    """Tables merge key by key, lists replace, and the digest is that of the same rules whole."""
    changes = ("[final]", "seeds = [7]\n[devices.cpu]\nthreads = 1\n[final]")
    mine = protocol.load(str(child(tmp_path, "lite-v1", changes)))
    parent = protocol.load("lite-v1")
    by_hand = msgspec.structs.replace(
        parent,
        name="mine",
        seeds=(7,),
        final=protocol.Stage(epochs=1),
        devices=parent.devices | {"cpu": protocol.DeviceRules(precision="bfloat16", threads=1)},
    )
    assert mine.digest == by_hand.digest
    assert (mine.id, mine.status, mine.recipes) == ("mine-v1", "draft", parent.recipes)
    assert mine.summary != parent.summary
    assert mine.derived == (
        "It differs from lite-v1: seeds [7] instead of [1, 2, 3]; devices.cpu.threads 1 instead of "
        "none; final.epochs 1 instead of 8."
    )


def test_recipes_replace_those_of_the_parent(tmp_path: Path) -> None:
    """A child's own recipes are all it has; what changed in one of the same name is listed."""
    recipe = '[[recipes]]\nname = "adamw-4e-3"\noptimizer = "adamw"\nlearning_rate = 0.5\n[final]'
    mine = protocol.load(str(child(tmp_path, "lite-v1", ("[final]", recipe))))
    assert [one.learning_rate for one in mine.recipes] == [0.5]
    assert "recipes adamw-4e-3 instead of adamw-4e-3, adamw-5e-4-flipped" in mine.derived
    assert "recipes.adamw-4e-3.learning_rate 0.5 instead of 0.004" in mine.derived
    assert "recipes.adamw-5e-4-flipped" not in mine.derived


def test_a_child_that_changes_nothing_is_its_parent_by_another_name(tmp_path: Path) -> None:
    """Only the name then distinguishes its digest from its parent's, and it says so."""
    path = child(tmp_path, "quick-v1", ("[final]\nepochs = 1\n", ""))
    mine = protocol.load(str(path))
    assert mine.derived == "Its rules are those of quick-v1."
    assert msgspec.structs.replace(mine, name="quick").digest == protocol.load("quick-v1").digest


def test_a_parent_is_found_beside_its_child(tiny: TinyData, tmp_path: Path) -> None:
    """A path is relative to the file it stands in, and parents may have parents."""
    (tmp_path / "a").mkdir()
    middle = child(tmp_path / "a", tiny.protocol, name="middle")
    text = CHILD.replace("{parent}", "a/middle.toml").replace("epochs = 1", "epochs = 3")
    path = tmp_path / "leaf.toml"
    path.write_text(text)
    assert protocol.load(str(path)).derived.endswith("mine-v1: final.epochs 3 instead of 1.")
    assert protocol.load(str(middle)).derived.endswith("tiny-v1: final.epochs 1 instead of 2.")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("epochs = 1", "epoch = 1", "epoch"),
        ("epochs = 1", "epochs = 'one'", "$.final.epochs"),
        ("[final]\nepochs = 1", "final = 1", "$.final"),
        ('name = "mine"', "", "name"),
        ("version = 1", "", "version"),
        ("lite-v1", "lite-v9", "lite-v9"),
        ("lite-v1", "absent.toml", "absent.toml"),
        ("lite-v1", "a\\u0000.toml", "a"),
        ("lite-v1", "./mine.toml", "which extends it"),
        ('"lite-v1"', "3", "extends"),
    ],
)
def test_a_child_that_cannot_be_read_names_file_and_key(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    """An unknown key or parent, a missing name or a circle is an error of the child's file."""
    path = child(tmp_path, "lite-v1", (old, new))
    with pytest.raises(ProtocolError) as caught:
        protocol.load(str(path))
    assert caught.value.where == str(path)
    assert said in caught.value.what
    assert caught.value.hint


def test_a_circle_of_files_is_found(tmp_path: Path) -> None:
    """Files that extend one another, however they spell it, are an error that names one."""
    child(tmp_path, "b.toml", name="a")
    child(tmp_path, f"../{tmp_path.name}/a.toml", name="b")
    with pytest.raises(ProtocolError, match="which extends it"):
        protocol.load(str(tmp_path / "a.toml"))


def test_what_is_kept_beside_records_needs_no_parent(
    fmbench: Fmbench, install: Install, tiny: TinyData, tmp_path: Path
) -> None:
    """The kept text has all rules, and the digest; the board says what differs without a parent."""
    install("plugin-a", offering("one=linear"))
    parent = tiny.variant(tmp_path / "parent.toml")
    mine = child(tmp_path, "parent.toml")
    ran = fmbench("run", "one", "--protocol", "mine.toml", "--data-dir", tiny.folder)
    assert ran.returncode == 0, ran.stderr
    rules = protocol.load(str(mine))
    said = "It differs from tiny-v1: final.epochs 1 instead of 2."
    assert said in ran.stdout
    store = Store(tmp_path / "results", "mine-v1")
    kept = store.folder / f"protocol-{rules.digest[:8]}.toml"
    parent.unlink()
    assert protocol.load(str(kept)) == rules
    assert said in read_board(StoredResults(store)).notes
    assert said in fmbench("protocols", kept).stdout
    again = fmbench("run", "one", "--protocol", kept, "--data-dir", tiny.folder)
    assert "nothing is left to run" in again.stderr
    assert protocol.load(str(kept)) == rules


def test_a_new_protocol_is_written_and_resolved(fmbench: Fmbench, tmp_path: Path) -> None:
    """`protocols new` writes a short file that extends another, and never replaces one."""
    asked = ("protocols", "new", "my-protocol", "--from", "lite-v1", "--set", "final.epochs=30")
    made = fmbench(*asked, "--set", "seeds=[1,2]", "--set", "final.train_images=6_000")
    assert made.returncode == 0, made.stderr
    assert made.stdout == "fmbench run --all --protocol my-protocol.toml\n"
    path = tmp_path / "my-protocol.toml"
    assert tomllib.loads(path.read_text()) == {
        "extends": "lite-v1", "name": "my-protocol", "version": 1, "seeds": [1, 2],
        "final": {"epochs": 30, "train_images": 6000},
    }  # fmt: skip
    found = json.loads(fmbench("protocols", "my-protocol.toml", "--json").stdout)
    assert found["final"] == {"epochs": 30, "train_images": 6000}
    assert "final.epochs 30 instead of 8" in fmbench("protocols", "my-protocol.toml").stdout
    before = path.read_bytes()
    again = fmbench(*asked)
    assert again.returncode == ExitCode.USAGE
    assert "exists already" in again.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["new", "--from", "lite-v1", "--set", "training.schedule=cosine"], "put text in quotes"),
        (["new", "--from", "lite-v1", "--set", "final.epoch=3"], "epoch"),
        (["new", "--from", "lite-v1", "--set", "final.epochs=0"], "$.final.epochs"),
        (["new", "--from", "lite-v1", "--set", "name='x'"], "sets no rule"),
        (["new", "--from", "lite-v9"], "lite-v9"),
        (["lite", "--from", "lite-v1"], "built-in"),
        (["No Name", "--from", "lite-v1"], "not a name"),
    ],
)
def test_a_new_protocol_that_cannot_be_is_a_usage_error(
    fmbench: Fmbench, tmp_path: Path, arguments: list[str], said: str
) -> None:
    """A wrong name, parent or rule is reported with a hint, and nothing is written."""
    refused = fmbench("protocols", "new", *arguments)
    assert refused.returncode == ExitCode.USAGE
    assert said in refused.stderr
    assert "hint: " in refused.stderr
    assert not list(tmp_path.glob("*.toml"))

"""Protocols: files with digests, read strictly."""

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import TinyData
from fmbench import data, protocol, standing
from fmbench.errors import ProtocolError, UsageError
from fmbench.protocol import Protocol

RELEASED = {
    "lite-v1": "83a6f5f74b278be6d1cec4b1bedd135f58f08143462aacba5da069da6d1bd755",
    "lite-v2": "05fca2724a87139c59d0de0c8df6b033c0d2b246b2a4a01484fa8fe5f2531d63",
    "quick-v1": "ebe7235bcf6b35f3bb574e5d5950915ac9b33b89bc48ade15fff8e1d53ac327d",
    "quick-v2": "edfa41ea3a23d02f9a2b0418eee3f124dec26d3d1c67237b6e30fefec76b7f08",
}


def test_a_file_that_says_deviation_is_the_protocol_that_says_std(tiny: TinyData) -> None:
    """Either name of a normalisation's standard deviation gives the same rules and digest."""
    text = tiny.protocol.read_text()
    assert "\ndeviation = " in text
    renamed = protocol.parse(text.replace("\ndeviation = ", "\nstd = "), "renamed")
    assert renamed == protocol.parse(text, "as it was")
    assert renamed.digest == protocol.parse(text, "as it was").digest


def test_a_released_protocol_never_changes() -> None:
    """The digest of every released protocol is pinned here; an edit means a new version."""
    released = {
        name: protocol.load(name).digest
        for name in protocol.names()
        if protocol.load(name).status == "released"
    }
    assert released == RELEASED


def test_a_protocol_is_superseded_by_the_newest_released_one_of_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Drafts supersede nothing, no protocol supersedes itself, and one's own name is nobody's."""
    released = {"quick-v1", "quick-v2", "lite-v1"}

    def load(name: str) -> Protocol:
        status = "released" if name in released else "draft"
        return msgspec.structs.replace(protocol.load(name), status=status)

    monkeypatch.setattr(standing, "load", load)
    assert standing.successor("quick-v1") == "quick-v2"
    assert standing.standing(load("quick-v1")) == "released, superseded by quick-v2"
    for name in ("quick-v2", "quick-v9", "lite-v1", "standard-v1", "mine-v1", "quick", "quick-vx"):
        assert standing.successor(name) is None
    assert standing.standing(load("lite-v2")) == "draft"


def test_built_in_protocols_are_listed_quickest_first() -> None:
    """The built-in protocols are there, in the order of their cost."""
    assert protocol.names() == [
        "quick-v1",
        "quick-v2",
        "lite-v1",
        "lite-v2",
        "standard-v1",
    ]
    assert [protocol.load(name).id for name in protocol.names()] == protocol.names()


@pytest.mark.parametrize("name", protocol.names())
def test_headings_say_what_is_fixed_and_free(name: str) -> None:
    """The comment block says Fixed and Free on one screen, with the file's own numbers."""
    rules = protocol.load(name)
    heading = protocol.heading(protocol.source(name))
    assert "\nFixed\n" in heading
    assert "\nFree\n" in heading
    assert len(heading.splitlines()) <= 24
    assert f"batches of {rules.training.batch_size}" in heading
    assert f"{rules.final.epochs} epoch" in heading
    if rules.final.train_images:
        assert f"{rules.final.train_images:,} training images" in heading
    if rules.tuning:
        assert f"recipes     {len(rules.recipes)}," in heading
        assert f"/{rules.data.validation_images:,} split" in heading
    if len(rules.seeds) > 1:
        assert f"1 to {len(rules.seeds)}" in heading


@pytest.mark.parametrize("name", protocol.names())
def test_built_in_protocols_name_the_official_bytes(name: str) -> None:
    """Every built-in protocol is about Fashion-MNIST as its authors published it."""
    assert protocol.load(name).data.sha256 == data.FASHION_MNIST


def test_the_digest_covers_what_decides_a_result_and_nothing_else(tiny: TinyData) -> None:
    """Status, summary and comments leave the digest alone; any rule changes it."""
    text = tiny.protocol.read_text()
    digest = protocol.parse(text, "t").digest
    same = text.replace("For tests.", "Else.").replace(
        "version = 1", 'version = 1\nstatus="released"'
    )
    assert protocol.parse(f"# a comment\n{same}", "t").digest == digest
    for old, new in [
        ("warmup = 0.3", "warmup = 0.3\nclip_norm = 5.0"),
        ('precision = "float32"', 'precision = "float32"\nthreads = 1'),
        ("0.01", "0.02"),
        ("epochs = 2", "epochs = 3"),
        ("[1, 2]", "[1]"),
    ]:
        assert protocol.parse(text.replace(old, new), "t").digest != digest


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("epochs = 2", "epochs = 2\nspeed = 3", "speed"),
        ("epochs = 2", "epochs = 'two'", "$.final.epochs"),
        ("epochs = 2", "epochs = 0", "$.final.epochs"),
        ("[final]", "[final", "line"),
        ('optimizer = "adamw"', 'optimizer = "lion"', "optimizer"),
        ("seeds = [1, 2]", "seeds = [1, 1]", "seeds"),
        ("warmup = 0.3", "", "warmup"),
        ('"one-cycle"', '"cosine"', "warmup"),
        ("mean = 0.3", "mean = nan", "mean"),
        ("learning_rate = 0.01", "learning_rate = inf", "learning_rate"),
        ("validation_images = 60", "validation_images = 70000", "validation_images"),
        ("split_seed = 1", "split_seed = 5000000000", "split_seed"),
        ('name = "tiny"', 'name = "tiny\\n"', "name"),
        ("learning_rate = 0.01", 'learning_rate = 0.01\naugmentation = "blur"', "blur"),
        (
            "[[recipes]]",
            '[[recipes]]\nname="b"\noptimizer="sgd"\nlearning_rate=1\n[[recipes]]',
            "tune",
        ),
    ],
)
def test_a_malformed_protocol_names_file_and_key(
    tiny: TinyData, tmp_path: Path, old: str, new: str, said: str
) -> None:
    """A wrong key, type, value or contradiction is an error naming the file and the key."""
    path = tiny.variant(tmp_path / "mine.toml", (old, new))
    with pytest.raises(ProtocolError) as caught:
        protocol.load(str(path))
    assert "mine.toml" in str(caught.value)
    assert said in str(caught.value)
    assert caught.value.hint


@given(st.text())
def test_any_text_is_a_protocol_or_a_clear_error(text: str) -> None:
    """Reading arbitrary text raises nothing but ProtocolError."""
    with pytest.raises(ProtocolError):
        protocol.parse(text, "t")


@pytest.mark.parametrize("name", ["quick-v9", "", "missing.toml", "/nowhere/x.toml", "a/../b"])
def test_an_unknown_protocol_is_a_usage_error(name: str) -> None:
    """A name or path that leads nowhere says what to type instead."""
    with pytest.raises(UsageError) as caught:
        protocol.load(name)
    assert caught.value.hint


def test_a_protocol_beside_records_reads_no_other_file(tmp_path: Path) -> None:
    """One that extends a file is refused unread: strangers' records come with their protocols."""
    os.mkfifo(tmp_path / "pipe.toml")
    for named in ("/dev/zero", str(tmp_path / "pipe.toml"), "lite-v1"):
        with pytest.raises(ProtocolError, match="extends another file"):
            protocol.parse(f'extends = "{named}"\n', "protocol-00000000.toml", kept=True)
    for name in protocol.names():
        rules = protocol.load(name)
        whole = protocol.whole_text(rules, protocol.source(name))
        assert protocol.parse(whole, name, kept=True).digest == rules.digest

"""Records and keys: what one run leaves behind, read strictly."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import samples
from fmbench import records
from fmbench.records import Result


def test_a_record_survives_writing_and_reading() -> None:
    """Decoding an encoded record gives the same record."""
    record = samples.record()
    assert records.decode(records.encode(record)) == record


CHANGES = {
    "model": "other",
    "protocol": "other-v1",
    "protocol_digest": "e" * 64,
    "stage": "tune",
    "recipe": "sgd",
    "seed": 2,
    "device_kind": "cuda",
    "semantics": 2,
    "torch": "2.1",
    "plugin": msgspec.structs.replace(samples.PLUGIN, source="1" * 64),
}
PLUGIN_CHANGES = {
    "distribution": "plugin-b",
    "version": "1.1",
    "entry": "b",
    "source": "1" * 64,
    "dependencies": {"torch": "3"},
}


@pytest.mark.parametrize("field", CHANGES)
def test_each_declared_input_changes_the_key(field: str) -> None:
    """A run with any one declared input changed is another run."""
    assert set(CHANGES) == set(records.Run.__struct_fields__)
    assert samples.run(**{field: CHANGES[field]}).key != samples.RUN.key


@pytest.mark.parametrize("field", PLUGIN_CHANGES)
def test_each_part_of_the_provenance_changes_the_key(field: str) -> None:
    """Another version, source or dependency of the plugin makes another run."""
    assert set(PLUGIN_CHANGES) == set(records.Plugin.__struct_fields__)
    plugin = msgspec.structs.replace(samples.PLUGIN, **{field: PLUGIN_CHANGES[field]})
    assert samples.run(plugin=plugin).key != samples.RUN.key


def test_a_key_that_is_not_its_runs_is_refused() -> None:
    """A record whose declared inputs were edited by hand no longer reads."""
    content = records.encode(samples.record())
    with pytest.raises(ValueError, match="key"):
        records.decode(content.replace(b'"seed": 1', b'"seed": 2'))


@pytest.mark.parametrize(
    "change",
    [
        (b'"images": 100', b'"images": 0'),
        (b'"correct": 80', b'"correct": 101'),
        (b'"correct": 80', b'"correct": null'),
        (b'"log_loss": 0.5', b'"log_loss": null'),
    ],
)
def test_a_good_result_has_scores_that_can_be(change: tuple[bytes, bytes]) -> None:
    """A record that claims to be ok without possible scores is refused when it is read."""
    content = records.encode(samples.record())
    assert change[0] in content
    with pytest.raises(ValueError, match="good result"):
        records.decode(content.replace(*change))


@pytest.mark.parametrize(
    ("curves", "said"),
    [
        ({"validation_curve": (5,)}, "a validation curve needs images"),
        ({"curve": (-1.0,)}, "no loss is below 0"),
    ],
)
def test_curves_that_no_run_leaves_are_refused(curves: dict[str, Any], said: str) -> None:
    """Shares of no images, and losses without a logarithm, would break the page."""
    with pytest.raises(ValueError, match=said):
        Result(status="failed", **curves)


def test_unknown_fields_and_schemas_are_refused() -> None:
    """What this version does not know it does not guess at."""
    content = records.encode(samples.record())
    with pytest.raises(ValueError, match="surprise"):
        records.decode(content.replace(b'"schema": 3', b'"schema": 3, "surprise": 1'))
    with pytest.raises(ValueError, match="schema"):
        records.decode(content.replace(b'"schema": 3', b'"schema": 99'))


def test_a_record_of_schema_1_is_read_and_written_as_it_was() -> None:
    """Old records know no facts of a device: they are promised to nothing, and keep their bytes."""
    old = msgspec.structs.replace(samples.record(), schema=1)
    content = records.encode(old)
    for field in (b"facts", b"departure", b"files", b'\n "digest"'):
        assert field not in content
    found = records.decode(content)
    assert found.environment.device.digest == ""
    assert records.encode(found) == content


def test_an_edited_field_of_any_kind_shows() -> None:
    """What no other field speaks of, a time or the environment, is under the record's digest."""
    content = records.encode(samples.record())
    for then, now in ((b'"cpu": "A CPU"', b'"cpu": "B CPU"'), (b"50.0", b"500.0")):
        assert then in content
        with pytest.raises(ValueError, match="its content is not what its digest was taken of"):
            records.decode(content.replace(then, now))
    old = records.encode(msgspec.structs.replace(samples.record(), schema=2))
    assert records.decode(old.replace(b'"cpu": "A CPU"', b'"cpu": "B CPU"')).environment.cpu


def test_a_digest_without_its_schema_is_refused() -> None:
    """A record that calls itself older than its digest is not what it says."""
    content = records.encode(samples.record())
    lowered = content.replace(b'"schema": 3', b'"schema": 2').replace(b' "files": {},\n', b"")
    with pytest.raises(ValueError, match="digest"):
        records.decode(lowered)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_clearly(content: bytes) -> None:
    """Arbitrary bytes raise nothing but ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011 - the message is msgspec's
        records.decode(content)


def test_deep_nesting_is_refused() -> None:
    """A file of nothing but brackets does not exhaust the stack."""
    with pytest.raises(ValueError):  # noqa: PT011
        records.decode(b'{"run":' * 100_000)


def test_file_names_hold_no_folder() -> None:
    """The slash in a model's name does not become a folder."""
    stem = samples.run(model="timm/resnet18").stem
    assert stem == f"timm+resnet18-final-s1-{samples.run(model='timm/resnet18').key[:8]}"

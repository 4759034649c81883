"""Making a recorded run again: the same to the bit, and why not where it is not."""

import json
from pathlib import Path

import msgspec
import pytest

import samples
from conftest import Fmbench, Install, TinyData
from fmbench import protocol, records
from fmbench.discovery import ListedModel
from fmbench.errors import ExitCode, UsageError
from fmbench.execution import reproduction
from fmbench.execution.reproduction import Reproduction
from fmbench.leaderboard.spread import Prediction
from fmbench.records import Record
from fmbench.store import Store
from plugins_of_all_kinds import GOOD

THEN = samples.record()
NEWER = samples.record(samples.run(torch="3.0"))
OTHER_BITS = msgspec.structs.replace(
    THEN, result=msgspec.structs.replace(THEN.result, logits_sha256="f" * 64)
)
FAILED = samples.record(status="failed")


WIDE = Prediction(centre=0.8, margin=0.05, runs=3, freedom=20)
NARROW = Prediction(centre=0.9, margin=0.05, runs=3, freedom=20)
UNPROMISED = msgspec.structs.replace(OTHER_BITS, reproducibility="statistical")


@pytest.mark.parametrize(
    ("now", "expected", "promised", "conclusion"),
    [
        (THEN, None, True, "same bits"),
        (OTHER_BITS, WIDE, True, "not alike"),
        (FAILED, WIDE, True, "not alike"),
        (NEWER, None, False, "same bits"),
        (UNPROMISED, WIDE, False, "alike"),
        (UNPROMISED, NARROW, False, "not alike"),
        (UNPROMISED, None, False, "no conclusion"),
        (msgspec.structs.replace(FAILED, reproducibility="statistical"), WIDE, False, "not alike"),
    ],
    ids=[
        "same", "near-but-promised", "failed", "newer", "near", "far", "nothing-known",
        "unpromised-failure",
    ],
)  # fmt: skip
def test_bits_count_where_they_are_promised_and_nearness_elsewhere(
    now: Record, expected: Prediction | None, promised: bool, conclusion: str
) -> None:
    """Other bits are not alike where the same were promised, however near; elsewhere near ones are.

    The same end is demanded everywhere.
    """
    found = Reproduction(THEN, now, expected, None, "")
    assert (found.promised, found.conclusion) == (promised, conclusion)


def test_bits_are_promised_between_equal_devices_alone() -> None:
    """A record without facts, with others, or with other threads promises nothing."""
    where = THEN.environment
    for environment in (
        msgspec.structs.replace(where, device=msgspec.structs.replace(where.device, facts={})),
        msgspec.structs.replace(
            where, device=msgspec.structs.replace(where.device, facts={"model": "2"})
        ),
        msgspec.structs.replace(where, threads=7),
    ):
        other = msgspec.structs.replace(OTHER_BITS, environment=environment)
        for then, now in ((THEN, other), (other, THEN)):
            assert not Reproduction(then, now, None, None, "").promised
    nothing_known = msgspec.structs.replace(
        THEN,
        environment=msgspec.structs.replace(
            where, device=msgspec.structs.replace(where.device, facts={})
        ),
    )
    assert not Reproduction(nothing_known, nothing_known, None, None, "").promised


def test_runs_that_diverge_alike_are_alike() -> None:
    """Two runs that ended badly in the same way need no score to be alike."""
    diverged = msgspec.structs.replace(
        samples.record(status="diverged"), reproducibility="statistical"
    )
    other = msgspec.structs.replace(
        diverged, result=msgspec.structs.replace(diverged.result, curve=(9.0,))
    )
    assert Reproduction(diverged, other, None, None, "").conclusion == "alike"


def test_what_was_not_alike_is_named() -> None:
    """Versions, sources, devices and threads that differ are reported with both their values."""
    plugin = msgspec.structs.replace(
        samples.PLUGIN, source="1" * 64, dependencies={"torch": "2", "timm": "1.0"}
    )
    where = msgspec.structs.replace(samples.ENVIRONMENT, threads=8)
    now = msgspec.structs.replace(samples.record(samples.run(plugin=plugin)), environment=where)
    assert set(Reproduction(THEN, now, None, None, "").changes) == {
        "threads: 2 then, 8 now",
        "timm: none then, 1.0 now",
        "source of plugin-a: 000000000000 then, 111111111111 now",
    }


def test_a_run_is_made_again_with_as_many_threads(
    tiny: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads are those on record, whatever this machine has, unless others are given."""
    model = ListedModel(name="m", summary="", size=28, source="", plugin=samples.PLUGIN)
    monkeypatch.setattr(reproduction, "select", lambda *_: [model])
    where = msgspec.structs.replace(samples.ENVIRONMENT, threads=7)
    record = msgspec.structs.replace(samples.record(status="failed"), environment=where)
    rules = protocol.load(str(tiny.protocol))
    for asked, used in ((None, 7), (3, 3)):
        again = reproduction.plan_again(
            record, Store(tmp_path, rules.id), rules, device="", threads=asked
        )
        assert again.setting.threads == used
        assert again.run.seed == record.run.seed


def test_a_trial_is_planned_as_one(
    tiny: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tune run is pending as one, and a device that the protocol does not know is refused."""
    model = ListedModel(name="m", summary="", size=28, source="", plugin=samples.PLUGIN)
    monkeypatch.setattr(reproduction, "select", lambda *_: [model])
    rules = protocol.load(str(tiny.protocol))
    store = Store(tmp_path, rules.id)
    for stage, tunes in (("tune", 1), ("final", 0)):
        record = samples.record(samples.run(stage=stage), status="failed")
        again = reproduction.plan_again(record, store, rules, device="", threads=None)
        assert (len(again.pending.tune), len(again.pending.finals)) == (tunes, 1 - tunes)
    other = ("[devices.cpu]", "[devices.cuda]")
    elsewhere = protocol.load(str(tiny.variant(tmp_path / "cuda.toml", other)))
    with pytest.raises(UsageError, match=r"has no \[devices.cpu\] table"):
        reproduction.plan_again(record, store, elsewhere, device="cpu", threads=None)


def test_a_run_is_made_again_and_compared(
    fmbench: Fmbench, install: Install, tiny: TinyData, tmp_path: Path
) -> None:
    """Made again it has the same bits and adds nothing; other bits on record are exit code 1."""
    install("plugin-good", GOOD)
    data = ("--data-dir", tiny.folder)
    asked = ("run", "good", "--protocol", tiny.protocol, "--seeds", 1, "--threads", 1, *data)
    assert fmbench(*asked).returncode == 0
    store = Store(tmp_path / "results", "tiny-v1")
    (record,) = store.read().records
    before = {path: path.read_bytes() for path in store.folder.rglob("*") if path.is_file()}
    again = fmbench("reproduce", record.id[:6], *data)
    assert again.returncode == 0, again.stderr
    assert "The same bits." in again.stdout
    assert {path: path.read_bytes() for path in before} == before
    assert store.read().records == (record,)

    result = msgspec.structs.replace(record.result, logits_sha256="0" * 64)
    spoilt = msgspec.structs.replace(record, result=result)
    store.path(record, ".json").write_bytes(records.encode(spoilt))
    broken = fmbench("reproduce", record.id, *data, "--json")
    assert broken.returncode == ExitCode.RUN_FAILED
    told = json.loads(broken.stdout)
    assert (told["same"], told["promised"], told["agree"]) == (False, True, 100)
    assert told["conclusion"] == "not alike"
    assert told["now"]["result"] == json.loads(records.encode(record))["result"]

    install("plugin-good", f"{GOOD}# edited\n")
    edited = fmbench("reproduce", record.id, *data)
    assert edited.returncode == 0, edited.stdout
    assert "source of plugin-good" in edited.stdout
    assert "Other bits, which nobody promised" in edited.stdout


def test_what_cannot_be_made_again_is_reported_before_anything_is_trained(
    fmbench: Fmbench, install: Install, tiny: TinyData, tmp_path: Path
) -> None:
    """A record without its predictions, and a model that nobody offers, are errors with a hint."""
    install("plugin-good", GOOD)
    store = Store(tmp_path / "results", "tiny-v1")
    store.make()
    rules = protocol.load(str(tiny.protocol))
    run = samples.run(protocol_digest=rules.digest)
    store.keep_protocol(rules.digest, tiny.protocol.read_text())
    for said, record in (
        (".npy", samples.record(run)),
        ("plugin-a:m", samples.record(run, status="failed")),
        ("was interrupted", samples.record(run, status="interrupted")),
    ):
        store.add(record)
        refused = fmbench("reproduce", "0000")
        assert refused.returncode == ExitCode.USAGE
        assert said in refused.stderr
        assert "hint: " in refused.stderr
        store.path(record, ".json").unlink()

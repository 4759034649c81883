"""`fmbench verify` as a user types it: exit codes, what it leaves, and runs made again."""

import json
from pathlib import Path

import msgspec
import pytest

from conftest import Fmbench, Install, TinyData
from fmbench import records
from fmbench.errors import ExitCode
from fmbench.store import Store
from forgeries import copy_of
from plugins_of_all_kinds import CONVOLUTION, offering

VERIFY = ("verify", "results")


@pytest.fixture
def made(fmbench: Fmbench, install: Install, tiny: TinyData, tmp_path: Path) -> Store:
    """Two seeds of two models, trained on the tiny data set."""
    install("plugin-good", offering("good=linear", "conv=convolution", extra=CONVOLUTION))
    ran = fmbench(
        "run", "good", "conv", "--protocol", tiny.protocol, "--data-dir", tiny.folder,
        "--threads", 1,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return Store(tmp_path / "results", "tiny-v1")


def forge(store: Store, **changes: object) -> None:
    """Change the first good record as a forger would who knows how digests are taken."""
    record = store.read().records[0]
    content = records.encode(msgspec.structs.replace(record, **changes))
    store.path(record, ".json").write_bytes(content)


def test_a_verification_is_left_once_and_shown_by_the_board(made: Store, fmbench: Fmbench) -> None:
    """Verifying twice writes one file; the board has the tier, and keeps rows from it up."""
    assert "re-scored" not in fmbench("leaderboard").stdout
    first = fmbench(*VERIFY)
    assert first.returncode == 0, first.stdout
    assert "nothing is false" in first.stdout
    assert "wrote" in first.stderr
    second = fmbench(*VERIFY)
    assert "wrote" not in second.stderr
    assert len(list((made.folder / "verifications").iterdir())) == 1
    for form in ("terminal", "md", "csv", "html"):
        assert "re-scored" in fmbench("leaderboard", "--format", form).stdout, form
    rows = json.loads(fmbench("leaderboard", "--json").stdout)["rows"]
    assert {row["tier"] for row in rows} == {"re-scored"}
    assert fmbench("leaderboard", "--verified", "re-scored").returncode == 0
    none = fmbench("leaderboard", "--verified", "re-run")
    assert none.returncode == ExitCode.NOTHING_SELECTED
    assert "hint: check the records" in none.stderr


def test_what_is_false_is_named_and_ends_with_1(made: Store, fmbench: Fmbench) -> None:
    """A forged accuracy is named with its record, in text and in JSON, and gets no tier."""
    record = made.read().records[0]
    forge(made, result=msgspec.structs.replace(record.result, correct=1))
    found = fmbench(*VERIFY)
    assert found.returncode == ExitCode.RUN_FAILED
    assert f"{record.stem}: it says 1 are right" in found.stdout
    (said,) = json.loads(fmbench(*VERIFY, "--json").stdout)
    assert said["false"] >= 1
    assert [run["tier"] for run in said["runs"] if run["id"] == record.id] == [None]


def test_a_run_made_again_is_held_to_its_record(
    made: Store, fmbench: Fmbench, tiny: TinyData
) -> None:
    """A drawn run that comes out the same is re-run; one that does not is false."""
    again = (*VERIFY, "--data-dir", tiny.folder, "--rerun")
    first = fmbench(*again, 1, "--draw-seed", 5)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "1 run to make again, drawn with --draw-seed 5" in first.stderr
    assert "same bits" in first.stdout
    drawn = [run["stem"] for run in json.loads(fmbench(*VERIFY, "--json").stdout)[0]["runs"]]
    kept = next((made.folder / "verifications").iterdir())
    runs = json.loads(kept.read_text())["runs"]
    assert sorted(runs) == sorted(drawn)
    assert sorted(run["tier"] for run in runs.values()) == ["re-run"] + 3 * ["re-scored"]
    assert "re-run, 1 of 2" in fmbench("leaderboard", "--columns", "model,verified").stdout
    other = msgspec.structs.replace(made.read().records[0].result, logits_sha256="f" * 64)
    kept.unlink()
    forge(made, result=other)
    found = fmbench(*again, "all", "--no-keep")
    assert found.returncode == ExitCode.RUN_FAILED
    assert "made again" in found.stdout
    assert not list((made.folder / "verifications").iterdir())


def test_a_record_may_be_named_by_any_of_its_files(made: Store, fmbench: Fmbench) -> None:
    """Only the records named are judged, each once."""
    stem = made.read().records[0].stem
    named = [made.records / f"{stem}{kind}" for kind in (".json", ".npy")]
    (said,) = json.loads(fmbench("verify", *named, "--json").stdout)
    assert [run["stem"] for run in said["runs"]] == [stem]


def test_a_run_whose_plugin_is_gone_cannot_be_made_again(
    made: Store, fmbench: Fmbench, tiny: TinyData, site: Path
) -> None:
    """It stays re-scored, and a line says why; that is no fault of the record."""
    (site / "plugin_good-1.0.dist-info" / "entry_points.txt").unlink(missing_ok=True)
    for folder in site.glob("plugin*dist-info"):
        (folder / "entry_points.txt").unlink(missing_ok=True)
    found = fmbench(*VERIFY, "--data-dir", tiny.folder, "--rerun", "all")
    assert found.returncode == 0, found.stdout
    assert "could not be made again" in found.stdout
    assert len(made.read().records) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "there is no record"),
        (("results", "--rerun", "some"), "is no number of runs"),
        (("results", "--protocol", "lite-v1"), "holds no records of lite-v1"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    fmbench: Fmbench, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    """A path without records, a wrong number or a protocol that is not there: exit 2, a hint."""
    copy_of(tmp_path / "results", "quick-v1")
    found = fmbench("verify", *arguments)
    assert found.returncode == ExitCode.USAGE
    assert said in found.stderr
    assert "hint:" in found.stderr

"""The JSON Schemas in docs/schemas describe the files, and nothing else passes them."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

import generated
import samples
import simulated
from conftest import Fmbench
from fmbench import records
from fmbench.leaderboard.tiers import Verification, VerifiedRun
from fmbench.store import Store

FOLDER = generated.ROOT / "docs" / "schemas"
NAMES = sorted(path.name.removesuffix(".schema.json") for path in FOLDER.iterdir())


def validator(name: str) -> Draft202012Validator:
    """What holds a value to the schema of that name."""
    return Draft202012Validator(json.loads((FOLDER / f"{name}.schema.json").read_text("utf-8")))


def fits(name: str, value: Any) -> None:
    """Assert that a value is as the schema of that name says."""
    assert [error.message for error in validator(name).iter_errors(value)] == []


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with models that are ranked and one that is not."""
    models = {"a": 0.80, "timm/b": 0.90, "timm/c": 0.85}
    return simulated.write_store(tmp_path / "results", models, seeds=3, broken="a")


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_one_and_leads_only_within_itself(name: str) -> None:
    """It is valid under its draft, and its references are to its own parts."""
    found = validator(name)
    Draft202012Validator.check_schema(found.schema)
    text = json.dumps(found.schema)
    assert "description" in text
    assert text.count('"$ref": "#/$defs/') == text.count('"$ref"')


def test_records_of_every_schema_fit(store: Store) -> None:
    """All published records, and those written now, with good runs and bad ones."""
    found = [*generated.PUBLISHED.glob("*/records/*.json"), *store.records.glob("*.json")]
    assert {records.decode(path.read_bytes()).schema for path in found} >= {1, records.SCHEMA}
    for path in found:
        fits("record", json.loads(path.read_text("utf-8")))


def test_what_is_no_record_does_not_fit() -> None:
    """A missing part, a part too many, a wrong type and a digest that is not due are refused."""
    good = json.loads(records.encode(samples.record()))
    fits("record", good)
    run = good["run"]
    wrong: list[dict[str, Any]] = [
        {name: part for name, part in good.items() if name != "digest"},
        {name: part for name, part in good.items() if name != "run"},
        good | {"more": 1},
        good | {"schema": 1},
        good | {"schema": 99},
        good | {"id": "../x"},
        good | {"run": run | {"seed": "1"}},
        good | {"result": good["result"] | {"status": "fine"}},
    ]
    for one in wrong:
        assert not validator("record").is_valid(one), one


@pytest.mark.parametrize("target", ["new-images", "this-test-set"])
def test_boards_fit(store: Store, fmbench: Fmbench, target: str) -> None:
    """JSON and CSV of a board with and without ranks, as the command prints them."""
    asked = ("leaderboard", "--results", store.folder.parent, "--for", target)
    board = json.loads(fmbench(*asked, "--json").stdout)
    fits("leaderboard", board)
    assert len(board["rows"]) == 3
    rows = list(csv.DictReader(io.StringIO(fmbench(*asked, "--format", "csv").stdout)))
    fits("leaderboard-csv", rows)
    assert {row["accuracy"] for row in rows} == {repr(row["accuracy"]) for row in board["rows"]}
    assert not validator("leaderboard-csv").is_valid([rows[0] | {"seeds": "3.0"}])
    assert not validator("leaderboard").is_valid(board | {"schema": 2})


def test_published_files_fit() -> None:
    """Each published leaderboard.csv."""
    found = list(generated.PUBLISHED.glob("*/leaderboard.csv"))
    assert found
    for path in found:
        with path.open(encoding="utf-8", newline="") as file:
            fits("leaderboard-csv", list(csv.DictReader(file)))


def test_comparisons_and_verifications_fit(store: Store, fmbench: Fmbench) -> None:
    """What `compare --json` prints, and what `verify` keeps."""
    asked = ("compare", "timm/b", "timm/c", "--results", store.folder.parent, "--json")
    fits("comparison", json.loads(fmbench(*asked).stdout))
    kept = Verification(
        created="2026-01-01T00:00:00Z", environment=samples.ENVIRONMENT, protocols={},
        runs={"m-final-s1": VerifiedRun(tier="re-run", record="0" * 64, came_out="same bits")},
    )  # fmt: skip
    fits("verification", msgspec.to_builtins(kept.sealed()))

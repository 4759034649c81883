"""docs/schemas: JSON Schemas of the files and of what `--json` prints, generated from the code."""

import json
from collections.abc import Iterator
from dataclasses import fields
from inspect import cleandoc
from typing import Any, get_type_hints

import msgspec

from fmbench.leaderboard.board import Board, Row
from fmbench.leaderboard.comparison import Compared
from fmbench.leaderboard.formats import JSON_SCHEMA
from fmbench.leaderboard.tiers import TIERS, Tier, Verification
from fmbench.records import SCHEMA, Record

DRAFT = "https://json-schema.org/draft/2020-12/schema"
SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
INTERVAL = "end of its 95 % interval for new test images, a share from 0 to 1"
OVER_SEEDS = "of the 95 % t interval of the mean over seeds from five seeds on, else of their range"
NO_TWINS = "accuracy on the test images that are no near-twins of training images"
NO_DOUBTS = "accuracy on the test images whose label is not doubtful"
ABOUT = {
    "rank_best": "The best rank that the runs leave open; none where the model is not ranked.",
    "rank_worst": "The worst rank that the runs leave open.",
    "model": "The model's name.",
    "distribution": "The distribution that offers it.",
    "version": "That distribution's version.",
    "accuracy": "Mean test accuracy over its good seeds, a share from 0 to 1.",
    "accuracy_image_low": f"Lower {INTERVAL}.",
    "accuracy_image_high": f"Upper {INTERVAL}.",
    "accuracy_seed_low": f"Lower end {OVER_SEEDS}, a share from 0 to 1.",
    "accuracy_seed_high": f"Upper end {OVER_SEEDS}, a share from 0 to 1.",
    "accuracy_without_near_twins": f"Its {NO_TWINS}, a share from 0 to 1.",
    "accuracy_without_near_twins_low": f"Lower {INTERVAL}.",
    "accuracy_without_near_twins_high": f"Upper {INTERVAL}.",
    "accuracy_without_doubtful_labels": f"Its {NO_DOUBTS}, a share from 0 to 1.",
    "accuracy_without_doubtful_labels_low": f"Lower {INTERVAL}.",
    "accuracy_without_doubtful_labels_high": f"Upper {INTERVAL}.",
    "seeds": "How many seeds have a good run.",
    "seeds_expected": "How many seeds the protocol has.",
    "test_images": "How many test images each run was scored on.",
    "log_loss": "Mean log-loss on test images, in nats.",
    "calibration_error": "Mean expected calibration error in 15 bins, a share from 0 to 1.",
    "parameters": "Trainable parameters.",
    "forward_flops": "Floating-point operations of one image's forward pass.",
    "train_seconds": "Mean seconds of training; none where devices differ.",
    "train_images_per_second": "Mean images a second in training; none where devices differ.",
    "inference_images_per_second": "Mean images a second in inference; none where devices differ.",
    "peak_memory": "The largest run's peak memory, in bytes.",
    "recipe": "The recipe of the final runs, empty without one.",
    "device": "Where the good runs were made.",
    "tier": "How far all good runs were checked; none when one was not.",
    "seeds_rerun": "How many good runs were made again in a check.",
    "status": "`ok`, or what is missing and why.",
}
RANKS = ("rank_best", "rank_worst")
NUMBER = r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?"
CELLS: dict[object, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "string", "pattern": "^[0-9]+$"},
    int | None: {"type": "string", "pattern": "^[0-9]*$"},
    float | None: {"type": "string", "pattern": f"^({NUMBER})?$"},
    Tier | None: {"enum": ["", *TIERS]},
}


def schemas() -> dict[str, str]:
    """The content of each file in docs/schemas, by its name."""
    made = {
        "record": record(),
        "leaderboard": leaderboard(),
        "leaderboard-csv": leaderboard_csv(),
        "comparison": _of(Compared, "What `fmbench compare --json` prints."),
        "verification": _of(Verification, "A file in RESULTS/PROTOCOL/verifications."),
    }
    return {
        f"{name}.schema.json": json.dumps({"$schema": DRAFT} | schema, indent=1) + "\n"
        for name, schema in made.items()
    }


def record() -> dict[str, Any]:
    """RESULTS/PROTOCOL/records/*.json: what msgspec knows, and what `records.encode` adds."""
    schema = _of(Record, "A file RESULTS/PROTOCOL/records/*.json, of schema 1, 2 or 3.")
    part = schema["$defs"]["Record"]
    part["properties"]["digest"] = SHA256 | {
        "description": "SHA-256 of the record's JSON without it, keys sorted and no space between."
    }
    part["required"].append("schema")
    part |= {
        "if": {"properties": {"schema": {"const": SCHEMA}}},
        "then": {"required": ["digest", "files"]},
        "else": {"properties": {"digest": False, "files": False}},
    }
    return schema


def leaderboard() -> dict[str, Any]:
    """What `fmbench leaderboard --json` prints."""
    schema = _of(Board, "What `fmbench leaderboard --json` prints, without --columns.")
    board, row = schema["$defs"]["Board"], schema["$defs"]["Row"]
    board["properties"] = {"schema": {"const": JSON_SCHEMA}} | board["properties"]
    board["required"].insert(0, "schema")
    for name, about in row["properties"].items():
        about["description"] = ABOUT[name]
    return schema


def leaderboard_csv() -> dict[str, Any]:
    """RESULTS/PROTOCOL/leaderboard.csv: each cell as text, as the file has it."""
    types = get_type_hints(Row)
    names = [field.name for field in fields(Row)]
    cells = {name: CELLS[types[name]] | {"description": ABOUT[name]} for name in names}
    weaker = {f"{name}_this_test_set": cells[name] for name in RANKS}
    return {
        "title": "leaderboard.csv",
        "description": "The rows of RESULTS/PROTOCOL/leaderboard.csv, and of what `fmbench "
        "leaderboard --format csv` prints without --columns: an object each row, its cells by "
        "their headings, all as text. Empty text stands for none. Text that a spreadsheet would "
        "take for a formula has an apostrophe before it.",
        "type": "array",
        "items": {
            "type": "object",
            "properties": cells | weaker,
            "required": [name for name in names if name not in RANKS],
            "oneOf": [{"required": list(RANKS)}, {"required": list(weaker)}],
            "additionalProperties": False,
        },
    }


def _of(kind: type, about: str) -> dict[str, Any]:
    schema = msgspec.json.schema(kind)
    for part in _objects(schema):
        if "description" in part and isinstance(part["description"], str):
            part["description"] = cleandoc(part["description"])
        if "pattern" in part:
            part["pattern"] = part["pattern"].replace("\\Z", "$")
    return {"title": kind.__name__, "description": about} | schema


def _objects(part: Any) -> Iterator[dict[str, Any]]:
    """A schema and all objects in it."""
    if isinstance(part, dict):
        yield part
        part = list(part.values())
    for inner in part if isinstance(part, list) else ():
        yield from _objects(inner)

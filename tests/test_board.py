"""The board: which records stand on it, and that it says what it leaves out."""

import csv
import io
import json
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

import samples
from conftest import TinyData
from fmbench import protocol, wording
from fmbench.data import FASHION_MNIST
from fmbench.leaderboard import formats
from fmbench.leaderboard.board import Board, read_board
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.protocol import Protocol
from fmbench.records import Cost, Record
from fmbench.store import Store


@pytest.fixture
def rules(tiny: TinyData) -> Protocol:
    """The tiny protocol: seeds 1 and 2."""
    return protocol.load(str(tiny.protocol))


def final(rules: Protocol, model: str = "m", seed: int = 1, **fields: object) -> Record:
    """A final record under a protocol; fields of the run and of the record."""
    run_fields = {key: fields.pop(key) for key in list(fields) if hasattr(samples.RUN, key)}
    of = samples.run(model=model, seed=seed, protocol_digest=rules.digest, **run_fields)
    return samples.record(of, **fields)  # type: ignore[arg-type]


def board_of(rules: Protocol, found: list[Record]) -> Board:
    """The board of a store that holds these records."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), rules.id)
        store.make()
        for record in found:
            store.add(record, np.zeros(record.result.images, np.uint8))
        return read_board(StoredResults(store, rules))


def test_rows_are_means_over_seeds_best_first(rules: Protocol) -> None:
    """A row's accuracy is the mean of its seeds, with both uncertainties and n."""
    board = board_of(
        rules,
        [final(rules, "a", seed, correct=70 + seed) for seed in (1, 2)]
        + [final(rules, "b", seed, correct=80 + seed) for seed in (1, 2)],
    )
    assert [(row.model, row.accuracy, row.status) for row in board.rows] == [
        ("b", pytest.approx(0.815), "ok"),
        ("a", pytest.approx(0.715), "ok"),
    ]
    best = board.rows[0]
    assert (best.accuracy_seed_low, best.accuracy_seed_high) == (0.81, 0.82)
    assert (best.accuracy_image_low, best.accuracy_image_high) == pytest.approx(
        (0.72776, 0.87893), abs=1e-5
    )
    assert (best.seeds, best.test_images) == (2, 100)


@pytest.mark.parametrize("status", ["diverged", "invalid", "oom", "timeout", "failed", "crashed"])
def test_a_failed_seed_stays_visible_and_below_complete_rows(rules: Protocol, status: str) -> None:
    """A row with a failed seed says so and comes after every complete row, however good."""
    board = board_of(
        rules,
        [
            final(rules, "good", 1, correct=99),
            final(rules, "good", 2, status=status),
            final(rules, "plain", 1, correct=50),
            final(rules, "plain", 2, correct=50),
        ],
    )
    assert [row.model for row in board.rows] == ["plain", "good"]
    assert board.rows[1].status == f"1 of 2 seeds: 1 {status}"
    assert status in formats.to_markdown(board)


def test_a_model_that_only_failed_has_a_row(rules: Protocol) -> None:
    """Failures are rows: a model without one good seed is still there, without numbers."""
    board = board_of(rules, [final(rules, "m", seed, status="crashed") for seed in (1, 2)])
    assert board.rows[0].status == "0 of 2 seeds: 2 crashed"
    assert board.rows[0].accuracy is None


def test_records_of_another_protocol_text_never_mix(rules: Protocol) -> None:
    """Records under another digest are left out, and counted aloud."""
    stranger = samples.record(samples.run(seed=2), correct=1)
    board = board_of(rules, [final(rules), stranger])
    assert board.rows[0].status == "1 of 2 seeds"
    assert any("1 record of another version" in note for note in board.notes)


@pytest.mark.parametrize(
    "change",
    [
        {"torch": "9"},
        {"semantics": 9},
        {"plugin": msgspec.structs.replace(samples.PLUGIN, version="9")},
        {"plugin": msgspec.structs.replace(samples.PLUGIN, source="9" * 64)},
        {"plugin": msgspec.structs.replace(samples.PLUGIN, dependencies={"torch": "9"})},
        {"recipe": "other"},
        {"device_kind": "cuda"},
    ],
)
def test_what_was_made_differently_is_never_pooled(
    rules: Protocol, change: dict[str, object]
) -> None:
    """Of two sets made with different software or recipes the newest counts, the rest is named."""
    old = final(rules, seed=1, correct=10, created="2026-01-01T00:00:00Z")
    new = final(rules, seed=2, correct=90, created="2026-01-02T00:00:00Z", **change)
    board = board_of(rules, [old, new])
    assert [row.accuracy for row in board.rows] == [0.9]
    assert board.rows[0].status == "1 of 2 seeds"
    assert any("1 record older than others" in note for note in board.notes)


def test_the_same_seeds_on_another_device_are_said_beside_those_shown(rules: Protocol) -> None:
    """Of runs on two devices the newest are shown; how far the others lie from them is a note."""
    other = msgspec.structs.replace(
        samples.ENVIRONMENT,
        device=msgspec.structs.replace(
            samples.ENVIRONMENT.device, name="B CPU", facts={"model": "2"}
        ),
    )
    elsewhere = [
        msgspec.structs.replace(
            final(rules, model, correct=correct, created="2025-12-31T00:00:00Z", id="11111111"),
            environment=other,
        )
        for model, correct in (("a", 70), ("b", 81), ("c", 77))
    ]
    shown = [final(rules, model, correct=80) for model in ("a", "b", "c")]
    failed = msgspec.structs.replace(
        final(rules, "a", status="failed", created="2025-12-30T00:00:00Z", id="22222222"),
        environment=other,
    )
    board = board_of(rules, [*shown, *elsewhere, failed])
    assert [row.accuracy for row in board.rows] == [0.8, 0.8, 0.8]
    assert {row.device for row in board.rows} == {"A CPU"}
    assert (
        "3 runs of the same models and seeds on B CPU left out: accuracy there differs by at most "
        "10.00 percentage points (a), and by 3.00 percentage points in the median."
    ) in board.notes
    assert any(note.startswith("Left out: 1 record older than") for note in board.notes)


def test_a_newer_failure_does_not_hide_a_complete_row(rules: Protocol) -> None:
    """After an upgrade that is interrupted or fails, the older good set still stands."""
    good = [final(rules, seed=seed, correct=90) for seed in (1, 2)]
    for status in ("interrupted", "failed"):
        later = final(rules, status=status, torch="9", created="2026-02-01T00:00:00Z")
        board = board_of(rules, [*good, later])
        (row,) = board.rows
        assert (row.accuracy, row.complete) == (0.9, True)
        assert row.status == f"torch 9 {status}, torch 2.0 shown"
        assert any("Left out: 1 record older" in note for note in board.notes)


def test_a_newer_version_that_failed_is_reported_in_the_row(rules: Protocol) -> None:
    """The row says which version is shown, and how the newer one ended; mended, it is shown."""
    newer = msgspec.structs.replace(samples.PLUGIN, version="0.1.1", source="9" * 64)
    good = [final(rules, seed=seed, correct=90) for seed in (1, 2)]
    failed = final(rules, plugin=newer, status="failed", created="2026-02-01T00:00:00Z")
    (row,) = board_of(rules, [*good, failed]).rows
    assert row.status == f"0.1.1 failed, {samples.PLUGIN.version} shown"
    (row,) = board_of(rules, [good[0], failed]).rows
    assert row.status == f"0.1.1 failed, {samples.PLUGIN.version} shown, 1 of 2 seeds"
    mended = final(rules, seed=2, plugin=newer, correct=80, created="2026-02-02T00:00:00Z")
    (row,) = board_of(rules, [*good, failed, mended]).rows
    assert (row.version, row.status) == ("0.1.1", "1 of 2 seeds: 1 failed")


def test_a_run_of_a_seed_that_the_protocol_lacks_makes_no_row_of_its_own(rules: Protocol) -> None:
    """Beside a newer failure, too, it has no score and the row says what is missing."""
    newer = msgspec.structs.replace(samples.PLUGIN, version="0.1.1", source="9" * 64)
    failed = final(rules, plugin=newer, status="failed", created="2026-02-01T00:00:00Z")
    for found in ([final(rules, seed=9)], [final(rules, seed=9), failed]):
        (row,) = board_of(rules, found).rows
        assert (row.accuracy, row.complete) == (None, False)


def test_one_name_from_two_distributions_is_two_rows(rules: Protocol) -> None:
    """A row is a distribution and a model, not a name."""
    other = msgspec.structs.replace(samples.PLUGIN, distribution="plugin-b")
    board = board_of(rules, [final(rules), final(rules, plugin=other)])
    assert [row.distribution for row in board.rows] == ["plugin-a", "plugin-b"]


def test_of_one_seed_the_newest_good_record_counts(rules: Protocol) -> None:
    """The same seed twice is one seed; a later failure does not hide an earlier success."""
    board = board_of(
        rules,
        [
            final(rules, seed=1, correct=10, id="3", created="2026-01-01T00:00:00Z"),
            final(rules, seed=1, correct=20, id="2", created="2026-01-02T00:00:00Z"),
            final(rules, seed=1, status="failed", id="1", created="2026-01-03T00:00:00Z"),
        ],
    )
    assert (board.rows[0].seeds, board.rows[0].accuracy) == (1, 0.2)


def test_the_order_of_records_changes_no_byte(rules: Protocol) -> None:
    """However records are named, and so in whatever order they are read, the board is the same."""
    found = [
        final(
            rules, f"m{n % 5}", 1 + n % 2, correct=n, created=f"2026-01-{1 + n:02}T00:00:00Z",
            id=f"{n:08}",
        )
        for n in range(20)
    ]  # fmt: skip
    renamed = [msgspec.structs.replace(one, id=f"{19 - n:08}") for n, one in enumerate(found)]
    before, after = board_of(rules, found), board_of(rules, renamed)
    assert [row.accuracy for row in before.rows] == pytest.approx(
        [0.165, 0.155, 0.145, 0.135, 0.125]
    )
    for render in (formats.to_markdown, formats.to_csv):
        assert render(before) == render(after)


def test_times_of_several_devices_are_not_averaged(rules: Protocol) -> None:
    """Seeds trained with other threads have no common time; with as many they have."""
    one, two = final(rules, seed=1), final(rules, seed=2)
    where = msgspec.structs.replace(samples.ENVIRONMENT, threads=1)
    slower = msgspec.structs.replace(two, environment=where)
    assert board_of(rules, [one, two]).rows[0].train_seconds == 2.0
    mixed = board_of(rules, [one, slower]).rows[0]
    assert (mixed.train_seconds, mixed.train_images_per_second) == (None, None)


def test_csv_and_json_hold_the_same_numbers(rules: Protocol) -> None:
    """The CSV and the JSON of a board agree, unrounded."""
    board = board_of(rules, [final(rules, correct=77)])
    row = next(csv.DictReader(io.StringIO(formats.to_csv(board))))
    content = json.loads(formats.to_json(board))
    assert float(row["accuracy"]) == content["rows"][0]["accuracy"] == 0.77
    assert content["schema"] == 1


def test_csv_cells_cannot_start_a_formula(rules: Protocol) -> None:
    """Text from a plugin that a spreadsheet would run is made inert."""
    evil = msgspec.structs.replace(samples.PLUGIN, version="=1+1")
    text = formats.to_csv(board_of(rules, [final(rules, plugin=evil)]))
    assert next(csv.DictReader(io.StringIO(text)))["version"] == "'=1+1"


def test_markdown_cells_cannot_become_markup(rules: Protocol) -> None:
    """Neither a picture from elsewhere nor a link gets onto a board by a plugin's version."""
    evil = msgspec.structs.replace(samples.PLUGIN, version="![](http://x/y.png) `a` *b* \\[c](d)")
    text = formats.to_markdown(board_of(rules, [final(rules, plugin=evil)]))
    assert r"!\[\](http://x/y.png) \`a\` \*b\* \\\[c\](d)" in text


def test_times_of_other_thread_counts_are_told_apart(rules: Protocol) -> None:
    """One CPU with one thread and with two is two devices, in the rows and below them."""
    one = msgspec.structs.replace(samples.ENVIRONMENT, threads=1)
    found = [final(rules, "a"), msgspec.structs.replace(final(rules, "b"), environment=one)]
    board = board_of(rules, found)
    assert [row.device for row in board.rows] == ["A CPU, 2 threads", "A CPU, 1 thread"]
    assert any("compare only between rows of one device" in note for note in board.notes)
    assert [row.device for row in board_of(rules, found[:1]).rows] == ["A CPU"]


@pytest.mark.parametrize(("correct", "doubted"), [(97, False), (98, True)])
def test_what_nobody_has_reproduced_is_doubted(
    rules: Protocol, correct: int, doubted: bool
) -> None:
    """Above 97 % on the true data set a row is called doubtful; on another set it is not."""
    data_rules = msgspec.structs.replace(rules.data, sha256=FASHION_MNIST)
    true = msgspec.structs.replace(rules, data=data_rules)
    board = board_of(true, [final(true, correct=correct)])
    assert any("Doubt m: nothing above 97 %" in note for note in board.notes) == doubted
    other = board_of(rules, [final(rules, correct=correct)])
    assert not any("Doubt" in note for note in other.notes)


@pytest.mark.parametrize(
    ("train", "runner", "resumed", "doubted"),
    [
        (100.0, 103.0, 0, False), (100.0, 195.0, 0, False), (100.0, 300.0, 0, True),
        (100.0, 50.0, 0, True), (100.0, 50.0, 3, False), (0.5, 9.0, 0, False), (2.0, 0.0, 0, False),
    ],
)  # fmt: skip
def test_times_that_the_runner_did_not_see_are_doubted(
    rules: Protocol, train: float, runner: float, resumed: int, doubted: bool
) -> None:
    """A worker's training time that fits ill into the runner's is reported; a resumed run's may."""
    cost = Cost(
        train_seconds=train, runner_seconds=runner, resumed_after=resumed,
        inference_images_per_second=100.0,
    )  # fmt: skip
    board = board_of(rules, [msgspec.structs.replace(final(rules), cost=cost)])
    assert any("Doubt the times of m" in note for note in board.notes) == doubted


def test_markdown_cells_cannot_break_the_table(rules: Protocol) -> None:
    """A pipe in a plugin's text does not add a column."""
    evil = msgspec.structs.replace(samples.PLUGIN, version="1|2")
    lines = formats.to_markdown(board_of(rules, [final(rules, plugin=evil)])).splitlines()
    header, _, row = lines[2:5]
    assert header.count("|") == row.replace("\\|", "").count("|")


def test_a_markdown_table_reads_as_text() -> None:
    """Columns are two wider than their heading or as wide as their widest cell, cells trimmed."""
    rows = [["vgg11", "9"], [" a-long-name ", "10,000"]]
    assert wording.markdown_table(["model", "images"], rows, right=[False, True]) == (
        "| model       |   images |\n"
        "|:------------|---------:|\n"
        "| vgg11       |        9 |\n"
        "| a-long-name |   10,000 |"
    )


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0"),
        (7, "7"),
        (7850, "7.85 k"),
        (999.6, "1.00 k"),
        (128_806_154, "129 M"),
        (0.5, "0.50"),
    ],
)
def test_short_numbers_keep_three_digits(number: float, said: str) -> None:
    """Large numbers are shortened with the right unit."""
    assert wording.short(number) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.123, "0.12 s"),
        (9.9, "9.9 s"),
        (0.00421, "4.2 ms"),
        (0.099, "99 ms"),
        (0, "0.00 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (7260, "2 h 01 min"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float, said: str) -> None:
    """Seconds, minutes and hours switch where people switch."""
    assert wording.duration(seconds) == said

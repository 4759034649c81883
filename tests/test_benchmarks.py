"""The scripts in benchmarks: that they run, compare like with like, and print what they found."""

import contextlib
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import contenders
import engines
import interval_coverage
import lite_boards
import many_records
import overhead
import reference_band
import rounding
import samples
import script
import seed_spread
import speed
import suspects
import time_to_accuracy
import verifying
import vgg11_ladder
import vgg11_rows
import workload
from conftest import Fmbench, TinyData, tiny_images
from contenders import CONTENDERS, Timing
from fmbench import hardware, limits, protocol
from fmbench.contract import InputSpec, Model
from fmbench.leaderboard.stored_results import choose_model_results
from fmbench.protocol import Protocol
from fmbench.records import Cost, Record
from fmbench.store import Store
from fmbench.training.devices import identified
from workload import Workload

SCRIPTS = {
    one.__name__: one.main
    for one in (
        engines, interval_coverage, lite_boards, many_records, overhead, reference_band, rounding,
        seed_spread, speed, suspects, time_to_accuracy, verifying, vgg11_ladder, vgg11_rows,
    )
}  # fmt: skip
WITHOUT_PROCESSES = ("fmbench", "floor", "torchvision, 0 workers")


class Probe(nn.Module):
    """A linear model that keeps every batch it is given."""

    def __init__(self, size: int, batches: list[Tensor]) -> None:
        super().__init__()
        self.linear = nn.Linear(size * size, 10)
        self.batches = batches

    def forward(self, images: Tensor) -> Tensor:
        """Keep the batch and classify it."""
        self.batches.append(images.detach().clone())
        logits: Tensor = self.linear(images.flatten(1))
        return logits


def probe(size: int, batches: list[Tensor]) -> Model:
    """An offer of a `Probe`."""
    return Model("probe", lambda spec: Probe(spec.size, batches), size=size)


@pytest.fixture
def plain(tiny: TinyData, tmp_path: Path) -> Protocol:
    """The tiny protocol at a constant rate, so that an epoch may have a single step."""
    changes = (('"one-cycle"\nwarmup = 0.3', '"constant"'), ("", ""))
    return protocol.load(str(tiny.variant(tmp_path / "plain.toml", *changes)))


@pytest.fixture
def augmented(tiny: TinyData, tmp_path: Path) -> Protocol:
    """The tiny protocol with shifts of a pixel, and flips."""
    path = tiny.variant(
        tmp_path / "augmented.toml",
        ('optimizer = "adamw"', 'optimizer = "adamw"\naugmentation = "all"'),
        ("[final]", "[augmentations.all]\nshift = 1\nflip = true\n\n[final]"),
    )
    return protocol.load(str(path))


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The contenders take seconds that are made up, and tell their names as they train."""
    told: list[str] = []

    def pretend(name: str) -> Callable[[Workload], Timing]:
        def train(work: Workload) -> Timing:
            told.append(name)
            rounds = told.count(name)
            return Timing(1.0 if name == "fmbench" else float(rounds), work.images, 1.0)

        return train

    monkeypatch.setattr(contenders, "CONTENDERS", {name: pretend(name) for name in CONTENDERS})
    return told


def work_of(rules: Protocol, model: Model, images: int, epochs: int = 1) -> Workload:
    """A workload of that many of the tiny images on one thread."""
    pixels, labels = tiny_images(320, 1)
    return Workload(
        model=model,
        protocol=rules,
        recipe=rules.recipes[0],
        pixels=pixels[:images],
        labels=labels[:images],
        device=hardware.cpu_device(),
        threads=1,
        epochs=epochs,
    )


def options(tiny: TinyData) -> list[str]:
    """What every script that trains is given: the tiny data set, one thread."""
    return ["--protocol", str(tiny.protocol), "--data-dir", str(tiny.folder), "--threads", "1"]


def cells(table: str) -> list[list[str]]:
    """The cells of a Markdown table's rows."""
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[1:]]


@pytest.mark.parametrize(
    ("size", "names"),
    [(28, tuple(CONTENDERS)), (32, WITHOUT_PROCESSES), (64, WITHOUT_PROCESSES)],
)
def test_every_contender_has_the_same_first_loss(
    plain: Protocol, size: int, names: tuple[str, ...]
) -> None:
    """From the same weights, all contenders find the same loss on the same batch, within 1e-5."""
    work = work_of(plain, probe(size, []), plain.training.batch_size)
    losses = [CONTENDERS[name](work).loss for name in names]
    assert max(losses) - min(losses) < 1e-5, losses


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_contender_clips_alike(tiny: TinyData, tmp_path: Path, precision: str) -> None:
    """Four steps on one batch with clipped gradients have one mean loss, but for rounding."""
    path = tiny.variant(
        tmp_path / "clipped.toml",
        ('"one-cycle"\nwarmup = 0.3', '"constant"\nclip_norm = 0.1'),
        ('precision = "float32"', f'precision = "{precision}"'),
        ('"adamw"\nlearning_rate = 0.01', '"sgd"\nlearning_rate = 0.1'),
    )
    rules = protocol.load(str(path))
    work = work_of(rules, probe(28, []), rules.training.batch_size, epochs=4)
    losses = [CONTENDERS[name](work).loss for name in WITHOUT_PROCESSES if name != "floor"]
    assert max(losses) - min(losses) < 1e-3, losses


def test_every_contender_takes_the_same_steps_on_the_same_images(plain: Protocol) -> None:
    """Batches have one shape and number, and without augmentation hold the same pixels."""
    size, seen = plain.training.batch_size, {}
    for name in WITHOUT_PROCESSES:
        batches: list[Tensor] = []
        work = work_of(plain, probe(32, batches), 3 * size, epochs=2)
        assert CONTENDERS[name](work).images == work.images == 6 * size
        assert [batch.shape for batch in batches] == [(size, 1, 32, 32)] * work.steps, name
        images = torch.cat(batches).flatten(1).numpy()
        seen[name] = images[np.lexsort(images.round(3).T)]
    peers = seen["torchvision, 0 workers"]
    np.testing.assert_allclose(peers, seen["fmbench"], rtol=0, atol=1e-5)


def test_the_peer_augments_as_the_recipe_says(augmented: Protocol, tmp_path: Path) -> None:
    """Each of the peer's images is its original, flipped or not, moved within what is allowed."""
    work, rules = work_of(augmented, probe(28, []), 320), augmented.data
    dataset = contenders.make_dataset(work, tmp_path)
    torch.manual_seed(0)
    found = set()
    for number in range(60):
        original = torch.from_numpy(work.pixels[number])
        candidates = [
            F.pad(turned, (1,) * 4)[row : row + 28, column : column + 28]
            for turned in (original, original.flip(1))
            for row, column in itertools.product(range(3), repeat=2)
        ]
        image = dataset[number][0] * rules.std + rules.mean
        distances = [float((one / 255 - image).abs().max()) for one in candidates]
        assert min(distances) < 1e-5
        found.add(int(np.argmin(distances)))
    assert len(found) > 12


def test_the_peers_vgg11_is_the_plugins() -> None:
    """Torchvision's adapted vgg11 has the parameters of the plugin's, name by name."""
    model = workload.find_model("vgg11")
    with torch.device("meta"):
        ours = model.build(InputSpec(size=model.size)).state_dict()
        theirs = contenders.build_plain(model).state_dict()
    assert {name: value.shape for name, value in ours.items()} == {
        name: value.shape for name, value in theirs.items()
    }


def test_fmbench_trains_in_the_benchmark_as_in_a_run(
    augmented: Protocol, tiny: TinyData, tmp_path: Path, fmbench: Fmbench
) -> None:
    """The contender's loss is, to the bit, that of the same run by the command."""
    where = ("--protocol", tmp_path / "augmented.toml", "--data-dir", tiny.folder, "--threads", 1)
    assert fmbench("run", "softmax", *where).returncode == 0
    (record,) = (
        one for one in Store(tmp_path / "results", augmented.id).read().records if one.run.seed == 1
    )
    curve = [loss for loss in record.result.curve if loss is not None]
    work = work_of(augmented, workload.find_model("softmax"), 320, epochs=2)
    assert len(curve) == 2 and contenders.train_with_fmbench(work).loss == sum(curve) / 2


def test_speed_takes_ratios_within_a_round(
    tiny: TinyData, capsys: pytest.CaptureFixture[str], pretended: list[str]
) -> None:
    """Contenders take turns; the table has the medians over rounds and names the instructions."""
    assert speed.main(["softmax", "--rounds", "3", "--images", "100", *options(tiny)]) == 0
    told = capsys.readouterr().out
    assert pretended == list(CONTENDERS) * 4  # a warm-up before the rounds
    assert cells(told) == [
        ["softmax", "fmbench", "96 (96–96)", "1.00 (1.00–1.00)"],
        *(["softmax", name, "32 (24–48)", "3.00 (2.00–4.00)"] for name in list(CONTENDERS)[1:]),
    ]
    assert identified(hardware.cpu_device()).name in told


@pytest.mark.parametrize(("most", "status"), [(1.0, 0), (0.0, 1)])
def test_overhead_is_what_the_command_says_and_held_to_a_budget(
    tiny: TinyData, capsys: pytest.CaptureFixture[str], most: float, status: int
) -> None:
    """The parts of a real run are read from its account, and too large a share ends with 1."""
    assert overhead.main(["softmax", "--most", f"{most}", *options(tiny)]) == status
    told = capsys.readouterr()
    shares = {part: float(share) for part, _, share in cells(told.out)}
    assert 0 < shares["starting workers"] < 100
    assert abs(sum(shares.values()) - 100) < 1
    assert "tiny-v1, 2 runs of softmax: " in told.out
    assert ("is overhead" in told.err) == bool(status)


@pytest.mark.parametrize(("most", "status"), [(1e9, 0), (0.0, 1)])
def test_a_runs_cost_is_held_to_a_budget(
    tiny: TinyData,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    most: float,
    status: int,
) -> None:
    """Runs of next to no training are made and counted; what costs too much ends with 1."""
    monkeypatch.setattr(engines, "MOST_SECONDS_A_RUN", most)
    asked = ["--runs", "3", "--engines", "local", "--protocol", str(tiny.protocol)]
    assert engines.main([*asked, "--data-dir", str(tiny.folder)]) == status
    ((engine, runs, *numbers),) = cells(capsys.readouterr().out)
    assert (engine, runs, len(numbers)) == ("local", "3", 5)


@pytest.mark.parametrize(("least", "status"), [(0.0, 0), (1e9, 1)])
def test_side_by_side_is_held_to_its_gain(
    tiny: TinyData,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    least: float,
    status: int,
) -> None:
    """Two protocols that differ in threads alone are run; too small a gain ends with 1."""
    monkeypatch.setattr(engines, "LEAST_GAIN", least)
    asked = ["softmax", "--side-by-side", "--protocol", str(tiny.protocol)]
    assert engines.main([*asked, "--data-dir", str(tiny.folder)]) == status
    rows = cells(capsys.readouterr().out)
    assert [row[1] for row in rows] == [str(limits.cores()), "1"]


@pytest.mark.parametrize(("target", "status", "epochs"), [(0.0, 0, 1), (1.01, 1, 2)])
def test_time_to_accuracy_stops_at_the_target(
    tiny: TinyData, capsys: pytest.CaptureFixture[str], target: float, status: int, epochs: int
) -> None:
    """Training ends after the first epoch at the target, or says that it was not reached."""
    how = ["--target", str(target), "--max-epochs", "2"]
    assert time_to_accuracy.main(["softmax", *how, *options(tiny)]) == status
    told = capsys.readouterr()
    rows = cells(told.out)
    assert len(rows) == epochs
    assert all(float(row[1]) >= 0 and 0 <= float(row[3]) <= 100 for row in rows)
    assert ("was not reached" in told.out) == bool(status)
    assert "never feeds a leaderboard" in told.err


def test_testing_between_epochs_changes_no_training(tiny: TinyData) -> None:
    """With evaluations between its epochs, a network with dropout learns the same to the bit."""

    def build(spec: InputSpec) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(spec.size**2, 10))

    work = work_of(protocol.load(str(tiny.protocol)), Model("dropout", build), 64, epochs=2)
    tested = time_to_accuracy.train(work, *tiny_images(20, 2), target=2.0)
    assert sum(epoch.loss for epoch in tested) / 2 == contenders.train_with_fmbench(work).loss


def test_rungs_differ_in_what_they_say(plain: Protocol) -> None:
    """Size and batch, then the loop, then the network, then the precision; nothing else changes."""
    rungs = vgg11_ladder.climb(work_of(plain, workload.find_model("vgg11"), 96))
    seen = [
        (
            train is contenders.train_with_fmbench,
            work.model.size,
            work.model.name,
            work.rules.precision,
            work.batch_size,
        )
        for train, work in rungs.values()
    ]
    assert seen == [
        (False, 224, "vgg11", "float32", 32),
        (False, 32, "vgg11", "float32", 16),
        (True, 32, "torchvision", "float32", 16),
        (True, 32, "vgg11", "float32", 16),
        (True, 32, "vgg11", "bfloat16", 16),
    ]
    assert len({work.recipe for _, work in rungs.values()}) == 1


@pytest.mark.usefixtures("pretended")
def test_the_ladder_says_what_each_rung_gains(
    tiny: TinyData, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each rung's images a second stand over those of the rung above it, round by round."""
    assert vgg11_ladder.main(["--rounds", "1", *options(tiny)]) == 0
    gains = [row[3].partition(" ")[0] for row in cells(capsys.readouterr().out)]
    assert gains == ["", "0.75", "4.00", "1.00", "1.00"]


@pytest.mark.parametrize(
    ("most", "opening", "status"), [("inf", "inf", 0), ("0", "inf", 1), ("inf", "0", 1)]
)
def test_many_records_are_read_with_ranks_computed_and_cached(
    capsys: pytest.CaptureFixture[str], most: str, opening: str, status: int
) -> None:
    """Copied records give their models' rows; taking more than allowed ends with 1."""
    assert many_records.main(["30", "--most", most, "--opening", opening]) == status
    told = capsys.readouterr()
    (row,) = cells(told.out)
    assert row[:2] == ["30", "5"]
    assert ("30 records took more" in told.err) == (most == "0")
    assert ("30 records were opened in more" in told.err) == (opening == "0")


def test_the_rows_in_the_page_come_from_the_records(capsys: pytest.CaptureFixture[str]) -> None:
    """The page about VGG-11 holds what the published records say its rows took."""
    assert vgg11_rows.main([]) == 0
    page = script.VGG11.read_text("utf-8")
    assert script.fill(page, "rows", capsys.readouterr().out.removesuffix("\n")) == page


def test_what_a_row_took_is_summed_over_its_runs() -> None:
    """Training is a final run's; a row is its good runs by the runner's clock, trials included."""
    rules = protocol.load("lite-v1")
    cost = Cost(
        train_seconds=120.0, runner_seconds=180.0, images_per_second=100.0,
        inference_images_per_second=400.0, peak_memory=3 * 10**9,
    )  # fmt: skip

    def record(seed: int, *, stage: Any = "final", status: str = "ok") -> Record:
        run = samples.run(
            model="vgg11", protocol=rules.id, protocol_digest=rules.digest, stage=stage, seed=seed,
            recipe=rules.recipes[0].name,
        )  # fmt: skip
        return msgspec.structs.replace(samples.record(run, status=status, id=str(seed)), cost=cost)

    made = [record(1), record(2), record(3, status="failed"), record(0, stage="tune")]
    shown, where = vgg11_rows.paragraphs(choose_model_results(rules, made))
    assert cells(shown) == [[
        "vgg11", "80.00 ± 7.77", "2 × 100", "2 min 00 s (2 min 00 s–2 min 00 s)", "100 (100–100)",
        "400 (400–400)", "3.00 GB", "3 min 00 s", "9 min 00 s",
    ]]  # fmt: skip
    assert where == "lite-v1, A CPU, 2 cores, threads used: 2, torch 2.0."


def test_the_page_about_both_lite_boards_comes_from_the_records(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The page holds what the script prints."""
    assert lite_boards.main([]) == 0
    page, told = lite_boards.PAGE.read_text("utf-8"), capsys.readouterr().out
    tables = told.strip().split("\n\n")
    assert all(f"generated -->\n\n{table}\n\n<!-- end" in page for table in tables)
    assert len(tables) == 3


def right(*accuracies: int, recipe: str = "rate") -> lite_boards.Row:
    """A row whose runs had so many of a hundred images right, the first ones."""
    return lite_boards.Row(recipe, np.array([np.arange(100) < right for right in accuracies]))


def test_boards_are_compared_by_the_models_they_share() -> None:
    """A difference is the later board's accuracy less the earlier's; its half-width is over 0."""
    first = {"a": right(80, 80), "gone": right(70)}
    last = {"new": right(95), "a": right(90, 90)}
    ((model, before, _, after, _, gap),) = cells(lite_boards.boards(first, last))
    assert (model, before, after) == ("a", "80.00", "90.00")
    change, half = gap.split(" ± ")
    assert change == "+10.00" and 3 < float(half) < 8  # 1.96 * sqrt(0.1 * 0.9 / 100) is 5.9


def test_steps_add_up_to_the_difference_of_the_boards() -> None:
    """A model's steps sum to its last accuracy less its first; beside each is its later recipe."""
    accuracies = {"first": 80, "second": 82, "third": 87, "last": 84}
    boards = [{"a": right(a, recipe=recipe), "b": right(70)} for recipe, a in accuracies.items()]
    del boards[1]["b"]
    ((model, before, *steps, after),) = cells(lite_boards.steps(boards))
    assert [model, before, after] == ["a", "80.00", "84.00"]
    assert [step.split(" ")[0] for step in steps] == ["+2.00", "second", "+5.00", "third", "-3.00"]


def test_the_first_seeds_are_ranked_beside_all() -> None:
    """Accuracies and ranks are those of the first three runs, then those of all five."""
    board = {"a": right(90, 90, 90, 80, 80), "b": right(50, 50, 50, 50, 50)}
    assert cells(lite_boards.seeds(board)) == [
        ["a", "90.00", "1", "86.00", "1"],
        ["b", "50.00", "2", "50.00", "2"],
    ]


def test_a_table_is_put_between_its_marks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What people wrote stays, what was between the marks goes; a page without marks is refused."""
    page = tmp_path / "page.md"
    page.write_text("Before.\n<!-- x: generated -->\nold\n<!-- end of x -->\nAfter.\n")
    for _ in range(2):
        script.finish("x", "One.", "Two.", page=page)
        assert page.read_text() == (
            "Before.\n<!-- x: generated -->\n\nOne.\n\nTwo.\n\n<!-- end of x -->\nAfter.\n"
        )
    assert capsys.readouterr().out == "One.\n\nTwo.\n\n" * 2
    with pytest.raises(ValueError, match="is missing"):
        script.fill("no marks", "x", "")


def test_every_command_in_the_pages_exists(capsys: pytest.CaptureFixture[str]) -> None:
    """The pages start every script, and each option that one is given is one of its own."""
    pages = (script.README, script.VGG11, interval_coverage.PAGE, lite_boards.PAGE)
    text = "".join(page.read_text("utf-8") for page in pages)
    lines = re.findall(r"python benchmarks/(\w+)\.py([^`\n]*)", text)
    assert {name for name, _ in lines} == set(SCRIPTS)
    for name, rest in lines:
        with contextlib.suppress(SystemExit):
            SCRIPTS[name](["--help"])
        told = capsys.readouterr().out
        assert all(option in told for option in re.findall(r"--[a-z-]+", rest)), rest


def test_a_workload_counts_whole_batches(plain: Protocol) -> None:
    """Steps and images leave out an epoch's last incomplete batch; a warm-up is a few steps."""
    work = work_of(plain, probe(28, []), 100, epochs=3)
    assert (work.steps, work.images) == (18, 288)
    short = work.warm_up()
    assert (short.steps, short.epochs) == (4, 1)

"""The scripts in benchmarks: that they run, compare like with like, and tell what they measured."""

import contextlib
import itertools
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import samples
from conftest import TinyData, tiny_images
from fmbench import data, discovery, hardware, protocol
from fmbench.contract import InputSpec, Model
from fmbench.execution import worker
from fmbench.execution.plan import make_setting
from fmbench.execution.selection import select
from fmbench.execution.timings import Part
from fmbench.leaderboard.evidence import choose_entries
from fmbench.protocol import Protocol
from fmbench.records import Cost, Record

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import boards
import contenders
import costs
import growth
import jobs
import ladder
import measurements
import memory
import networks
import overhead
import report
import short_protocol
import speed
import tables
import time_to_accuracy
import torchvision_peer
from timing import Timing, take_turns
from workload import Workload

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = {
    "speed": speed.main,
    "growth": growth.main,
    "ladder": ladder.main,
    "memory": memory.main,
    "time_to_accuracy": time_to_accuracy.main,
    "report": report.main,
    "boards": boards.main,
    "overhead": overhead.main,
}
WITHOUT_PROCESSES = ("fmbench", "torchvision, 0 workers", "Lightning, 0 workers", "floor")
OCCASION = measurements.Occasion(made="2026-11-24", environment=samples.ENVIRONMENT, busy=0.0)


M = TypeVar("M")


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


def workload(rules: Protocol, model: Model, images: int, epochs: int = 1) -> Workload:
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


def read(path: Path, kind: type[M]) -> M:
    """The measurement of that kind a script has left."""
    measured = measurements.read(path)
    assert isinstance(measured, kind)
    return measured


def options(tiny: TinyData, path: Path) -> list[str]:
    """What every script is told: the tiny data set, one thread, a JSON file."""
    return [
        "--protocol", str(tiny.protocol), "--data-dir", str(tiny.folder),
        "--threads", "1", "--json", str(path),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("size", "names"), [(28, ()), (32, WITHOUT_PROCESSES), (64, WITHOUT_PROCESSES)]
)
def test_every_contender_has_the_same_first_loss(
    plain: Protocol, size: int, names: tuple[str, ...]
) -> None:
    """From the same weights, all contenders find the same loss on the same batch, within 1e-5."""
    work = workload(plain, probe(size, []), plain.training.batch_size)
    losses = {name: train(work).loss for name, train in contenders.choose(names).items()}
    assert len(losses) == len(names or contenders.choose())
    assert max(losses.values()) - min(losses.values()) < 1e-5, losses


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
    work = workload(rules, probe(28, []), rules.training.batch_size, epochs=4)
    chosen = contenders.choose(WITHOUT_PROCESSES).items()
    losses = {name: train(work).loss for name, train in chosen if name != "floor"}
    assert max(losses.values()) - min(losses.values()) < 1e-3, losses


def test_every_contender_takes_the_same_steps_on_the_same_images(plain: Protocol) -> None:
    """Batches have one shape and number, and without augmentation hold the same pixels."""
    size, seen = plain.training.batch_size, {}
    for name in WITHOUT_PROCESSES:
        batches: list[Tensor] = []
        work = workload(plain, probe(32, batches), 3 * size, epochs=2)
        timing = contenders.choose([name])[name](work)
        assert timing.images == work.images == 6 * size
        assert [batch.shape for batch in batches] == [(size, 1, 32, 32)] * work.steps, name
        images = torch.cat(batches).flatten(1).numpy()
        seen[name] = images[np.lexsort(images.round(3).T)]
    for name in ("torchvision, 0 workers", "Lightning, 0 workers"):
        np.testing.assert_allclose(seen[name], seen["fmbench"], rtol=0, atol=1e-5)


def test_the_peer_augments_as_the_recipe_says(augmented: Protocol, tmp_path: Path) -> None:
    """Each of the peer's images is its original, flipped or not, moved within what is allowed."""
    work, rules = workload(augmented, probe(28, []), 320), augmented.data
    dataset = torchvision_peer.make_dataset(work, tmp_path)
    torch.manual_seed(0)
    found = set()
    for number in range(60):
        original = torch.from_numpy(work.pixels[number])
        candidates = [
            F.pad(turned, (1,) * 4)[row : row + 28, column : column + 28]
            for turned in (original, original.flip(1))
            for row, column in itertools.product(range(3), repeat=2)
        ]
        image = dataset[number][0] * rules.deviation + rules.mean
        distances = [float((one / 255 - image).abs().max()) for one in candidates]
        assert min(distances) < 1e-5
        found.add(int(np.argmin(distances)))
    assert len(found) > 12


def test_the_peers_vgg11_is_the_plugins() -> None:
    """Torchvision's adapted vgg11 has the parameters of the plugin's, name by name."""
    model = networks.find("vgg11")
    with torch.device("meta"):
        ours = model.build(InputSpec(size=model.size)).state_dict()
        theirs = networks.build_plain(model).state_dict()
    assert {name: value.shape for name, value in ours.items()} == {
        name: value.shape for name, value in theirs.items()
    }


def test_fmbench_trains_in_the_benchmark_as_in_a_worker(
    augmented: Protocol, tiny: TinyData, tmp_path: Path
) -> None:
    """The contender's loss is, to the bit, that of the same run by fmbench's worker."""
    setting = make_setting(augmented, hardware.cpu_device(), threads=1)
    (listed,) = select(discovery.catalogue(), ["softmax"])
    placed = jobs.place(tmp_path, listed, setting, data.load(tiny.folder, augmented.data.sha256))
    under_training = worker.ModelUnderTraining(placed.read_job(), torch.device("cpu"))
    outcome = worker.train_and_answer(placed, under_training, 0, [])
    work = workload(augmented, networks.find("softmax"), 320, epochs=2)
    curve = [loss for loss in outcome.curve if loss is not None]
    assert len(curve) == 2 and contenders.train_with_fmbench(work).loss == sum(curve) / 2


@pytest.mark.parametrize("name", protocol.names())
def test_a_short_protocol_can_be_read_back(name: str, tmp_path: Path) -> None:
    """What is written as a protocol's file is read as the same protocol."""
    whole = protocol.load(name)
    short = short_protocol.shorten(
        whole, recipe=whole.recipes[-1].name, images=640, epochs=2, seeds=2
    )
    assert protocol.load(str(short_protocol.write(short, tmp_path / "p.toml"))) == short
    assert (short.seeds, short.final.epochs, short.tuning) == ((1, 2), 2, None)


def test_speed_prints_what_its_json_says(
    tiny: TinyData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every contender, Lightning too, has a time each round; the tables come from the JSON file."""
    path = tmp_path / "speed.json"
    little = ["--rounds", "1", "--images", "100"]
    assert speed.main(["softmax", *little, *options(tiny, path)]) == 0
    measured = read(path, measurements.Speed)
    (row,) = measured.rows
    assert [one.contender for one in row.contended] == list(contenders.choose())
    assert all(len(one.seconds) == 1 for one in row.contended)
    assert (row.images, row.steps) == (96, 6)
    assert capsys.readouterr().out == tables.to_markdown(measured) + "\n"


def test_speed_goes_on_after_a_model_that_fails(
    tiny: TinyData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model that cannot be measured costs only its own rows, and the exit status."""
    path = tmp_path / "speed.json"
    only = ["--rounds", "1", "--images", "64", "--contender", "fmbench", "--contender", "floor"]
    assert speed.main(["no-such-model", "softmax", *only, *options(tiny, path)]) == 1
    assert [row.model for row in read(path, measurements.Speed).rows] == ["softmax"]
    assert "no-such-model" in capsys.readouterr().err


def test_contenders_take_turns() -> None:
    """Every contender trains once a round, in the same order."""
    told: list[str] = []

    def contender(name: str) -> Callable[[], Timing]:
        def train() -> Timing:
            told.append(name)
            return Timing(1.0, 1, 0.0)

        return train

    taken = take_turns({name: contender(name) for name in "ab"}, 2)
    assert "".join(told) == "abab"
    assert {name: len(found) for name, found in taken.items()} == {"a": 2, "b": 2}


def row(**seconds: tuple[float, ...]) -> measurements.SpeedRow:
    """A row of the speed table in which contenders took these seconds."""
    names = {"two": "torchvision, 2 workers", "none": "torchvision, 0 workers"}
    return measurements.SpeedRow(
        model="m",
        protocol="p-v1",
        recipe="r",
        images=1200,
        steps=10,
        contended=tuple(
            measurements.Contended(contender=names.get(name, name), seconds=taken, loss=1.0)
            for name, taken in seconds.items()
        ),
    )


def test_ratios_are_those_of_one_round() -> None:
    """A ratio is taken within a round, of the quicker worker count there; then come the medians."""
    found = row(fmbench=(1.0, 2.0, 4.0), none=(9.0, 8.0, 8.0), two=(8.0, 9.0, 9.0))
    assert tables.ratios(found, measurements.PEERS, ["fmbench"]) == [8.0, 4.0, 2.0]
    assert tables.ratios(found, ["fmbench"], ["floor"]) == []
    text = tables.to_markdown(measurements.Speed(occasion=OCCASION, rows=(found,)))
    assert "4.00 (2.00–8.00)" in text
    assert "600 (300–1,200)" in text


def test_growth_is_net_of_the_fixed_costs() -> None:
    """Twice the time beyond the fixed cost is 2.00, whatever the fixed cost of the round was."""

    def of(axis: str, factor: int, *seconds: float) -> measurements.GrowthRow:
        return measurements.GrowthRow(
            axis=axis, factor=factor, images=1, epochs=1, models=1, seeds=1,
            seconds=seconds, train_seconds=seconds,
        )  # fmt: skip

    found = measurements.Growth(
        occasion=OCCASION,
        shortest=(3.0, 13.0),
        idle=(1.0, 1.0),
        rows=(of("seeds", 1, 5.0, 15.0), of("seeds", 2, 7.0, 17.0),
              of("models", 1, 5.0, 5.0), of("models", 2, 13.0, 13.0)),
    )  # fmt: skip
    nets = re.findall(r"([\d.]+ \([\d.–]+\)) \|$", tables.to_markdown(found), re.MULTILINE)
    assert nets == [
        "1.00 (1.00–1.00)", "2.00 (2.00–2.00)", "1.00 (1.00–1.00)", "3.00 (3.00–3.00)",
    ]  # fmt: skip


def test_growth_runs_the_command(
    tiny: TinyData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each size is a real run of the command, with a time for the command and for training."""
    path = tmp_path / "growth.json"
    small = ["--images", "160", "--epochs", "1", "--rounds", "1", "--warm-ups", "0"]
    chosen = ["--axis", "seeds", "--factors", "2"]
    assert growth.main([*small, *chosen, *options(tiny, path)]) == 0
    measured = read(path, measurements.Growth)
    assert [(one.axis, one.factor, one.seeds) for one in measured.rows] == [
        ("seeds", 1, 1),
        ("seeds", 2, 2),
    ]
    assert all(0 < one.train_seconds[0] < one.seconds[0] for one in measured.rows)
    assert capsys.readouterr().out == tables.to_markdown(measured) + "\n"


@pytest.mark.parametrize(("most", "status"), [(1.0, 0), (0.0, 1)])
def test_overhead_is_what_the_command_says_and_held_to_a_budget(
    tiny: TinyData, tmp_path: Path, capsys: pytest.CaptureFixture[str], most: float, status: int
) -> None:
    """The parts of a real run are read from its account, and too large a share ends with 1."""
    path = tmp_path / "overhead.json"
    asked = ["softmax", "--most", f"{most}", *options(tiny, path)]
    assert overhead.main(asked) == status
    measured = read(path, measurements.Overhead)
    assert measured.models == ("softmax",)
    assert 0 < measured.seconds[Part.TRAINING] < sum(measured.seconds.values())
    assert measured.seconds[Part.WORKER] > 0
    assert 0 < measured.share < 1
    told = capsys.readouterr()
    assert told.out == tables.to_markdown(measured) + "\n"
    assert ("is overhead" in told.err) == bool(status)


def test_memory_compares_a_worker_with_a_bare_process(
    tiny: TinyData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both processes leave their peak, in bytes of the same order."""
    path = tmp_path / "memory.json"
    few = ["--steps", "4", "--rounds", "1"]
    assert memory.main(["softmax", *few, *options(tiny, path)]) == 0
    measured = read(path, measurements.Memory)
    (found,) = measured.rows
    assert 0.8 < found.worker[0] / found.bare[0] < 1.25
    assert capsys.readouterr().out == tables.to_markdown(measured) + "\n"


@pytest.mark.parametrize(("target", "status", "epochs"), [(0.0, 0, 1), (1.01, 1, 2)])
def test_time_to_accuracy_stops_at_the_target(
    tiny: TinyData,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    target: float,
    status: int,
    epochs: int,
) -> None:
    """Training ends after the first epoch at the target, or says that it was not reached."""
    path = tmp_path / "time.json"
    how = ["--target", str(target), "--max-epochs", "2"]
    assert time_to_accuracy.main(["softmax", *how, *options(tiny, path)]) == status
    measured = read(path, measurements.TimeToAccuracy)
    assert len(measured.epochs) == epochs
    assert all(epoch.seconds > 0 and 0 <= epoch.accuracy <= 1 for epoch in measured.epochs)
    told = capsys.readouterr()
    assert told.out == tables.to_markdown(measured) + "\n"
    assert "never feeds a leaderboard" in told.err


def test_rungs_differ_in_what_they_say(plain: Protocol) -> None:
    """Size and batch, then the loop, then the network, then the precision; nothing else changes."""
    steps = ladder.climb(workload(plain, networks.find("vgg11"), 96))
    seen = [
        (
            step.train is contenders.train_with_fmbench,
            step.workload.model.size,
            step.workload.model.name,
            step.workload.rules.precision,
            step.workload.batch_size,
        )
        for step in steps
    ]
    assert seen == [
        (False, 224, "vgg11", "float32", 32),
        (False, 32, "vgg11", "float32", 16),
        (True, 32, "torchvision", "float32", 16),
        (True, 32, "vgg11", "float32", 16),
        (True, 32, "vgg11", "bfloat16", 16),
    ]
    assert len({step.workload.recipe for step in steps}) == 1


def test_the_ladder_prints_what_its_json_says(
    tiny: TinyData, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    """Each rung has a time each round, and the table says what it gained on the one above it."""
    quick = {"torchvision": 1.0, "fmbench": 0.5}

    def pretend(name: str, work: Workload, **_: object) -> Timing:
        return Timing(quick[name], work.images, 1.0)

    monkeypatch.setattr(contenders, "train_with_torchvision", partial(pretend, "torchvision"))
    monkeypatch.setattr(contenders, "train_with_fmbench", partial(pretend, "fmbench"))
    path = tmp_path / "ladder.json"
    assert ladder.main(["--rounds", "2", *options(tiny, path)]) == 0
    measured = read(path, measurements.Ladder)
    assert [rung.seconds for rung in measured.rungs] == [(1.0,) * 2] * 2 + [(0.5,) * 2] * 3
    told = capsys.readouterr().out
    assert told == tables.to_markdown(measured) + "\n"
    assert "2.00 (2.00–2.00)" in told


@pytest.mark.parametrize(("most", "status"), [("inf", 0), ("0", 1)])
def test_boards_are_read_with_ranks_computed_and_cached(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], most: str, status: int
) -> None:
    """Made-up records give their models' rows, either way; taking more than allowed ends with 1."""
    path = tmp_path / "boards.json"
    assert boards.main(["32", "--most", most, "--json", str(path)]) == status
    found = read(path, measurements.Boards)
    told = capsys.readouterr()
    assert told.out == tables.to_markdown(found) + "\n"
    assert ("32 records took more" in told.err) == bool(status)
    (row,) = found.rows
    assert (row.records, row.computed.models, row.cached.models) == (32, 4, 4)
    assert row.computed.peak_memory > 10**7
    assert min(row.computed.read_seconds, row.cached.tabulate_seconds) > 0


def test_testing_between_epochs_changes_no_training(tiny: TinyData) -> None:
    """With evaluations between its epochs, a network with dropout learns the same to the bit."""
    rules = protocol.load(str(tiny.protocol))
    work = workload(rules, networks.CNN, 64, epochs=2)
    tested = time_to_accuracy.train(work, *tiny_images(20, 2), target=2.0)
    assert sum(epoch.loss for epoch in tested) / 2 == contenders.train_with_fmbench(work).loss


def test_the_tables_in_the_pages_come_from_the_results() -> None:
    """Between their marks the pages hold what report.py makes of measurements and records."""
    assert report.main([]) == 0


def test_a_report_fills_only_what_lies_between_marks() -> None:
    """What people wrote stays; a section holds its own measurements, or says it has none."""
    measured = measurements.Speed(
        occasion=OCCASION, rows=(row(fmbench=(1.0, 1.0), floor=(0.5, 0.5)),)
    )
    contents = report.pages([measured])[report.README]
    before = report.README.read_text("utf-8")
    filled = report.fill(before, contents)
    assert tables.to_markdown(measured) in filled
    assert "2.00 (2.00–2.00)" in filled
    assert filled.count(report.NOTHING) == len(contents) - 1
    emptied = dict.fromkeys(contents, "")
    assert report.fill(filled, emptied) == report.fill(before, emptied)
    with pytest.raises(ValueError, match="is missing"):
        report.fill("no marks", contents)


def test_a_time_to_accuracy_is_on_one_page() -> None:
    """VGG-11's is on the page about it, every other model's in README.md."""
    ours, other = (
        measurements.TimeToAccuracy(
            occasion=OCCASION, model=model, protocol="lite-v1", recipe="r", seed=1, target=0.5,
            max_epochs=2, epochs=(measurements.Epoch(seconds=3.0, loss=1.0, accuracy=0.6),),
        )
        for model in ("vgg11", "softmax")
    )  # fmt: skip
    filled = report.pages([ours, other])
    assert filled[report.VGG11]["time to accuracy"] == tables.to_markdown(ours)
    assert filled[report.README]["time to accuracy"] == tables.to_markdown(other)


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
    told = costs.to_markdown(choose_entries(rules, made))
    cells = [cell.strip() for cell in told.splitlines()[2].split("|")]
    assert cells[1:-1] == [
        "vgg11", "80.00 ± 7.77", "2 × 100", "2 min 00 s (2 min 00 s–2 min 00 s)", "100 (100–100)",
        "400 (400–400)", "3.00 GB", "3 min 00 s", "9 min 00 s",
    ]  # fmt: skip
    assert told.endswith("lite-v1, A CPU, 2 cores, threads used: 2, torch 2.0.\n")
    assert costs.to_markdown(choose_entries(rules, made[2:])) == ""


def test_every_command_in_the_pages_exists(capsys: pytest.CaptureFixture[str]) -> None:
    """Each script the pages start is there, and each option it is given is one of its own."""
    text = report.README.read_text("utf-8") + report.VGG11.read_text("utf-8")
    lines = re.findall(r"python benchmarks/(\w+)\.py([^`\n]*)", text)
    assert set(SCRIPTS) <= {name for name, _ in lines}
    for name, rest in lines:
        assert (BENCHMARKS / f"{name}.py").exists()
        if name in SCRIPTS:
            with contextlib.suppress(SystemExit):
                SCRIPTS[name](["--help"])
            told = capsys.readouterr().out
            assert all(option in told for option in re.findall(r"--[a-z-]+", rest)), rest


def test_a_workload_counts_whole_batches(plain: Protocol) -> None:
    """Steps and images leave out an epoch's last incomplete batch; a warm-up is a few steps."""
    work = workload(plain, probe(28, []), 100, epochs=3)
    assert (work.steps, work.images) == (18, 288)
    short = work.warm_up()
    assert (short.steps, short.epochs) == (4, 1)

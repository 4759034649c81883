"""From records to verdicts: each follows from the numbers beside it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fmbench_vgg_variants
import msgspec
import numpy as np
import pytest
from fmbench_batchnorm import cli, evidence, invariance
from fmbench_batchnorm.claims import findings, verdicts_by_other_thresholds
from fmbench_batchnorm.evidence import Part, Runs, Study
from fmbench_batchnorm.findings import (
    HOLDS,
    NOT,
    PARTLY,
    Sensitivity,
    accuracy,
    gain,
    seeds_that_train,
)
from fmbench_batchnorm.intervals import difference, mean
from fmbench_batchnorm.invariance import Change, Invariance
from fmbench_batchnorm.page import write_page
from fmbench_batchnorm.plan import CHANGES, GAPS, RATES, Plan, changed, regularised, swept
from fmbench_vgg_variants.variants import Variant
from scipy import stats

import samples
from fmbench import protocol
from fmbench.contract import MODEL_NAME
from fmbench.records import Record
from fmbench.store import Store

PUBLISHED = Path(__file__).parents[1] / "results"
SEEDS, EPOCHS, CHANCE = 5, 8, 0.1

Truth = Callable[[Variant, float], tuple[float, float]]
"""Accuracy on validation images and on those trained on, of a variant at a learning rate."""


def runs(variant: Variant, rate: float, truth: Truth) -> Runs:
    """Five made-up runs around the truth, a tenth of a point apart; at chance they diverged."""
    accuracy, fit = truth(variant, rate)
    return Runs(variant, rate, EPOCHS, tuple(made(accuracy, fit, seed) for seed in range(SEEDS)))


def made(accuracy: float, fit: float, seed: int) -> Record:
    """A tune record of that accuracy: it closes in on it over eight epochs."""
    run = samples.run(stage="tune", seed=seed)
    if accuracy <= CHANCE:
        return samples.record(run, status="diverged")
    record = samples.record(run)
    shift = 0.001 * (seed - 2)
    right = round(5000 * (accuracy + shift))
    curve = [round(right * (1 - 0.5**epoch / 2)) for epoch in range(1, EPOCHS)]
    result = msgspec.structs.replace(
        record.result,
        images=5000, correct=right, validation_curve=(*curve, right),
        fit_images=5000, fit_correct=round(5000 * (fit + shift)),
    )  # fmt: skip
    return msgspec.structs.replace(record, result=result)


FAILED = samples.record(samples.run(stage="tune"), status="diverged")


def world(truth: Truth, *, exact: bool) -> Study:
    """A study of width 8 in which `truth` holds."""
    change = Change(
        with_epsilon=0.0 if exact else 1.0, without_epsilon=0.0 if exact else 1.0, plain=1.0
    )

    def part(plan: Plan) -> Part:
        rules = protocol.load(str(plan.file))
        return Part(
            rules,
            {
                (variant, recipe.learning_rate): runs(variant, recipe.learning_rate, truth)
                for variant in plan.variants(8)
                for recipe in rules.recipes
            },
        )

    return Study(
        width=8,
        rates=part(RATES),
        changes=part(CHANGES),
        gaps=part(GAPS),
        invariance=Invariance(
            width=8,
            plugin=samples.run().plugin,
            torch="2.14.1",
            scaled={"10": change},
            moved=change,
        ),
    )


def as_claimed(variant: Variant, rate: float) -> tuple[float, float]:
    """Batch norm does all that is said of it."""
    if variant.batch_norm:
        return 0.89, 0.90 if variant.dropout else 0.905
    usual = variant.std is None and variant.scale == 1 and variant.activation == "relu"
    if not usual or rate > 0.05:
        return 0.1, 0.1
    return 0.855, 0.88 if variant.dropout else 0.95


def of_no_effect(variant: Variant, rate: float) -> tuple[float, float]:
    """Batch norm changes nothing, and nothing but usual networks trains; biases help."""
    usual = variant.std is None and variant.scale == 1 and variant.activation == "relu"
    if not usual:
        return 0.3, 0.3
    return (0.86 if variant.bias else 0.8), 0.9 if variant.dropout else 0.95


def alike(accuracy: float, fit: float) -> Truth:
    """All networks end alike."""
    return lambda _variant, _rate: (accuracy, fit)


of_no_difference = alike(0.88, 0.9)
"""Everything trains alike, with batch norm and without."""


def half_true(variant: Variant, rate: float) -> tuple[float, float]:
    """Of each claim a part holds."""
    if not variant.batch_norm:
        return as_claimed(variant, rate)
    if variant.activation == "tanh":
        return 0.1, 0.1
    if variant.std is not None or variant.scale != 1:
        small = (variant.std or variant.scale / 5) < 0.05
        return 0.81 if small else 0.85, 0.86
    if not variant.bias:
        return 0.8, 0.8
    return 0.85, 0.83 if variant.dropout else 0.905  # narrower without dropout, and no less by it


def untrained(variant: Variant, rate: float) -> tuple[float, float]:
    """Networks with batch norm stay at chance, where nothing can over-fit."""
    return (0.1, 0.1) if variant.batch_norm else as_claimed(variant, rate)


@pytest.mark.parametrize(
    ("truth", "exact", "verdicts"),
    [
        (as_claimed, True, [HOLDS] * 6),
        (of_no_effect, False, [NOT] * 6),
        (half_true, True, [PARTLY] * 6),
        (of_no_difference, True, [NOT, HOLDS, PARTLY, PARTLY, PARTLY, NOT]),
        (untrained, False, [NOT, NOT, NOT, NOT, NOT, NOT]),
    ],
    ids=["as-claimed", "of-no-effect", "half-true", "of-no-difference", "untrained"],
)
def test_verdicts_follow_the_truth(truth: Truth, exact: bool, verdicts: list[str]) -> None:
    """In made-up worlds each verdict is what that world's numbers demand."""
    found = findings(world(truth, exact=exact))
    assert {one.number: one.verdict for one in found} == dict(enumerate(verdicts, start=1))


def test_other_accuracies_for_trained_give_their_own_verdicts() -> None:
    """Where all networks end at 82 % they train by 75 % and by 80 %, and not by 85 %."""
    told = verdicts_by_other_thresholds(world(alike(0.82, 0.9), exact=True))
    assert told[1] == "the same by 75% and 85%"
    assert told[5] == "by 75% holds partly; by 85% does not hold here"
    assert set(verdicts_by_other_thresholds(world(as_claimed, exact=True)).values()) == {told[1]}


def test_gaps_are_compared_at_one_rate() -> None:
    """Where gaps depend on the rate alone, a better rate with batch norm makes no claim hold."""

    def by_rate(variant: Variant, rate: float) -> tuple[float, float]:
        large = rate > 0.02
        return (0.861 if large == variant.batch_norm else 0.86), 0.88 if large else 0.95

    study = world(by_rate, exact=True)
    assert study.gaps.best(study.plain.normalised).rate > study.gaps.best(study.plain).rate
    assert findings(study)[5].verdict == NOT


def test_a_better_rate_is_one_at_which_every_seed_trains() -> None:
    """A higher mean does not make up for a seed that fails."""
    study = world(of_no_difference, exact=True)
    changes, plain = study.changes, study.plain
    key = next(key for key in changes.runs if key[0] == plain)
    high = [*(made(0.99, 0.99, seed) for seed in range(4)), made(0.7, 0.7, 4)]
    mixed = replace(changes, runs={**changes.runs, key: Runs(*key, EPOCHS, tuple(high))})
    assert mixed.runs[key].mean > mixed.best(plain).mean
    assert mixed.best(plain).rate != key[1]


def test_scatter_is_no_sensitivity() -> None:
    """A group of which one member fails at one seed is neither insensitive nor shown sensitive."""
    steady = runs(Variant(), 0.01, of_no_difference)
    shaky = Runs(Variant(), 0.01, EPOCHS, (*steady.records[:4], made(0.7, 0.7, 4)))
    lost = runs(Variant(), 0.01, alike(0.5, 0.5))
    assert not Sensitivity([steady, shaky], [steady, steady]).there
    assert not Sensitivity([steady, lost], [steady, shaky]).gone
    assert Sensitivity([steady, lost], [steady, steady]).there
    assert Sensitivity([steady, lost], [steady, steady]).gone
    assert Sensitivity([steady, lost], [steady, shaky]).less
    assert not Sensitivity([steady, lost], [lost, lost]).less


def test_the_fastest_rate_is_not_one_at_which_all_diverged() -> None:
    """A rate at which no seed trains has the most epochs to any accuracy, not the fewest."""
    found = findings(world(as_claimed, exact=True))[0]
    epochs = {row[0]: row for row in found.tables[1].rows}
    assert epochs["80%"][1].endswith(("at 0.003", "at 0.01", "at 0.03"))
    assert epochs["90%"][1:3] == ("not in 8, at no rate",) * 2


def test_seeds_that_split_have_no_interval() -> None:
    """Where some seeds train and others do not, the mean stands alone."""
    group = Runs(Variant(), 0.1, EPOCHS, (*runs(Variant(), 0.01, as_claimed).records[:4], FAILED))
    assert accuracy(group) == "70.4"
    assert seeds_that_train(group) == "4 of 5, least 10.0, 1 diverged"
    assert "(" in accuracy(runs(Variant(), 0.01, as_claimed))


def test_what_was_not_measured_has_no_interval() -> None:
    """Where all seeds diverged chance stands alone, and a difference of two such groups nowhere."""
    diverged = Runs(Variant(), 1.0, EPOCHS, (FAILED,) * SEEDS)
    assert accuracy(diverged) == "10.0"
    assert seeds_that_train(diverged) == "0 of 5, least 10.0, 5 diverged"
    assert gain(diverged, diverged) == ""
    assert "(" in gain(runs(Variant(), 0.01, as_claimed), diverged)


def test_a_run_that_diverged_counts_as_chance() -> None:
    """A failed run is no gap in the evidence: it has a tenth right after every epoch."""
    group = Runs(Variant(), 0.1, EPOCHS, (made(0.88, 0.9, 0), FAILED))
    assert group.accuracies == [pytest.approx(0.878), 0.1]
    assert group.curves[1] == [0.1] * EPOCHS
    assert group.epochs_to(0.85)[1] is None
    assert group.gaps[1] == 0.0


def test_epochs_are_read_off_between_their_ends() -> None:
    """From chance at the start, accuracy counts as linear between the ends of two epochs."""
    record = made(0.88, 0.9, 2)
    result = msgspec.structs.replace(record.result, validation_curve=(2500, 4000, 3900))
    group = Runs(Variant(), 0.1, 3, (msgspec.structs.replace(record, result=result),))
    assert group.epochs_to(0.3) == [pytest.approx(0.5)]
    assert group.epochs_to(0.5) == [pytest.approx(1)]
    assert group.epochs_to(0.65) == [pytest.approx(1.5)]
    assert group.epochs_to(0.81) == [None]


def test_intervals_are_those_of_the_textbook() -> None:
    """Means and paired differences have Student's interval, as scipy.stats computes it."""
    random = np.random.RandomState(1)
    first, second = random.normal(0.9, 0.01, 5).tolist(), random.normal(0.8, 0.03, 5).tolist()
    student = stats.ttest_1samp(first, 0).confidence_interval()
    assert (mean(first).low, mean(first).high) == pytest.approx((student.low, student.high))
    paired = stats.ttest_rel(first, second).confidence_interval()
    found = difference(first, second)
    assert (found.low, found.high) == pytest.approx((paired.low, paired.high))


def test_intervals_cover_as_often_as_they_say() -> None:
    """Of 4,000 intervals of a difference of correlated runs 95 % hold the truth, within a point."""
    random = np.random.RandomState(2)
    shared = random.normal(0, 0.02, (4000, 5))
    first, second = (shared + random.normal(0, spread, (4000, 5)) for spread in (0.01, 0.03))
    pairs = zip(first.tolist(), second.tolist(), strict=True)
    held = [interval.low <= 0 <= interval.high for interval in (difference(*p) for p in pairs)]
    assert 0.94 <= np.mean(held) <= 0.96


def test_every_variant_of_the_study_is_a_model() -> None:
    """Its name passes the contract and the family resolves it, at any width."""
    for variant in (*swept(64), *changed(64), *regularised(64), *changed(8)):
        assert MODEL_NAME.fullmatch(variant.name)
        assert fmbench_vgg_variants.resolve(variant.name).name == variant.name


def test_batch_norm_takes_out_scale_and_bias() -> None:
    """With batch norm factors and biases cancel, but for what it adds to variances."""
    found = invariance.measure(4)
    for factor, change in found.scaled.items():
        assert change.without_epsilon < 1e-12
        assert change.plain == pytest.approx(abs(float(factor) - 1))  # ReLU passes factors on
    assert found.moved.with_epsilon < 1e-12 < 0.01 < found.moved.plain
    as_used = {factor: change.with_epsilon for factor, change in found.scaled.items()}
    assert as_used["100"] < as_used["0.1"] < 0.005 < as_used["0.01"]


def test_the_readme_counts_the_runs() -> None:
    """The README says how many runs the study makes."""
    made = 0
    for plan in (RATES, CHANGES, GAPS):
        rules = protocol.load(str(plan.file))
        tries = len(rules.recipes) * len(evidence.tuning(rules).seeds)
        made += len(plan.variants(8)) * tries
    assert f"makes {made} runs" in (PUBLISHED.parent / "README.md").read_text("utf-8")


def batchnorm(*arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run the command as a user would."""
    command = [Path(sys.executable).with_name("fmbench-batchnorm"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)


def test_the_published_page_follows_from_its_records() -> None:
    """The committed page and summary say what the committed records say, no more and no less."""
    checked = batchnorm("page", "--check", "--results", PUBLISHED)
    assert checked.returncode == 0, checked.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the published results."""
    folder = tmp_path / "results"
    shutil.copytree(PUBLISHED, folder)
    return folder


def spoil(results: Path, **changes: object) -> Path:
    """Change the result of one record of the normalised network."""
    path = next((results / CHANGES.protocol / "records").glob("vgg11@width=*,bn-tune-s1-*.json"))
    record = json.loads(path.read_bytes())
    record["result"] |= changes
    path.write_text(json.dumps(record))
    return path


def test_a_page_that_says_something_else_is_stale(copy: Path) -> None:
    """Another record, and another word on the page, do not pass; the page can be made again."""
    page = copy / "index.html"
    said = page.read_text("utf-8")
    page.write_text(said.replace("holds partly", "holds").replace("does not hold here", "holds"))
    assert batchnorm("page", "--check", "--results", copy).returncode == 4
    page.write_text(said)
    spoil(copy, correct=2500)
    stale = batchnorm("page", "--check", "--results", copy)
    assert stale.returncode == 4
    assert "hint: write it with: fmbench-batchnorm page" in stale.stderr
    assert batchnorm("page", "--results", copy).returncode == 0
    assert batchnorm("page", "--check", "--results", copy).returncode == 0


def test_a_study_that_is_not_whole_has_no_page(copy: Path) -> None:
    """A missing run, one that says nothing about its network, and an empty folder are errors."""
    path = spoil(copy, status="crashed", correct=None, log_loss=None, calibration_error=None)
    crashed = batchnorm("page", "--results", copy)
    assert crashed.returncode == 2
    assert "has runs that ended crashed" in crashed.stderr
    assert "--retry-failed" in crashed.stderr
    path.unlink()
    missing = batchnorm("page", "--results", copy)
    assert missing.returncode == 2
    assert "lacks runs of vgg11@width=" in missing.stderr
    empty = batchnorm("page", "--results", copy / "nothing")
    assert empty.returncode == 2
    assert "hint: make them with: fmbench-batchnorm run" in empty.stderr


def test_runs_of_two_versions_are_not_compared(copy: Path) -> None:
    """Records made with another torch than the rest make the study an error."""
    store = Store(copy, RATES.protocol)
    for record in store.read().records:
        if ",bn" in record.run.model:
            store.path(record, ".json").unlink()
            run = msgspec.structs.replace(record.run, torch="0.1")
            store.add(msgspec.structs.replace(record, run=run, key=run.key))
    mixed = batchnorm("page", "--results", copy)
    assert mixed.returncode == 2
    assert "several versions or kinds of device" in mixed.stderr


def test_exact_tests_of_another_version_do_not_count(copy: Path) -> None:
    """Exact tests of other sources than the runs make the study an error, and are made again."""
    (exact,) = copy.glob("invariance-width-*.json")
    found = json.loads(exact.read_bytes())
    found["plugin"]["source"] = "0" * 64
    exact.write_text(json.dumps(found))
    other = batchnorm("page", "--results", copy)
    assert other.returncode == 2
    assert "exact tests of several versions" in other.stderr
    assert not invariance.of_this_installation(msgspec.convert(found, Invariance))


def test_the_page_shows_what_each_verdict_rests_on() -> None:
    """Each claim has its rule, verdict, figure and tables; the page needs no network."""
    found = evidence.read(PUBLISHED)
    page = write_page(found)
    for one in findings(found):
        section = page.partition(f'id="claim-{one.number}"')[2].partition("</section>")[0]
        assert f'<span class="verdict">{one.verdict.capitalize()}.</span>' in section
        assert "<svg" in section
        assert section.count("<table>") == len(one.tables) >= 1
    assert "<script" not in page and "<link" not in page and "@import" not in page


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ([], {"--threads": "1", "--workers": "6"}),
        (["--threads", "2"], {"--threads": "2", "--workers": "3"}),
        (["--threads", "9"], {"--threads": "9", "--workers": "1"}),
        (["--workers", "4"], {"--threads": "1", "--workers": "4"}),
        (
            ["--engine", "ray", "--address", "host:1"],
            {"--threads": "1", "--workers": "auto", "--engine": "ray", "--address": "host:1"},
        ),
    ],
)
def test_runs_go_through_workers_of_one_thread_unless_told_otherwise(
    asked: list[str], given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All three parts are runs of fmbench's engines, on this machine as many as have own cores."""
    commands: list[list[str]] = []
    monkeypatch.setattr(cli, "_finish", lambda command: len(commands.append(command) or []))
    monkeypatch.setattr(cli, "_write", lambda *_: None)
    monkeypatch.setattr(cli.limits, "cores", lambda: 6)
    monkeypatch.setattr(invariance, "read", lambda *_: "exact")
    monkeypatch.setattr(invariance, "of_this_installation", lambda _: True)
    cli.app(["run", "--device", "cpu", *asked], standalone_mode=False)
    assert len(commands) == 3
    for command in commands:
        said = {name: command[command.index(name) + 1] for name in given}
        assert said == given


def test_stopping_the_study_stops_its_runner_first() -> None:
    """SIGTERM is handed on, and the study ends once its runner has: nothing goes on unseen."""
    runner = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'stopped\\n'), os._exit(130)))\n"
        "os.write(1, b'ready\\n')\n"
        "while True: time.sleep(0.05)\n"
    )
    study = (
        "import sys\n"
        "from fmbench_batchnorm.cli import _finish\n"
        f"sys.exit(_finish([sys.executable, '-c', {runner!r}]))\n"
    )
    with subprocess.Popen([sys.executable, "-c", study], stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"ready\n"
        child.terminate()
        assert child.stdout.read() == b"stopped\n"
    assert child.returncode == 130

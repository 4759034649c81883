"""Planning: which runs are pending, which recipe wins, what counts as done."""

import itertools
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

import samples
from conftest import TinyData
from fmbench import limits, protocol
from fmbench.console import runs
from fmbench.discovery import ListedModel
from fmbench.errors import ProtocolError, UsageError
from fmbench.execution.plan import (
    Setting,
    best_recipe,
    done_records,
    make_setting,
    pending,
    train_steps,
)
from fmbench.execution.session import Session
from fmbench.hardware import Device
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.records import Record, Run
from fmbench.store import Store

CPU = Device(kind="cpu", name="A CPU", memory=1)
MODEL = ListedModel(name="m", summary="", size=28, source="", plugin=samples.PLUGIN)
RECIPES = """[tune]
epochs = 1

[[recipes]]
name = "other"
optimizer = "sgd"
learning_rate = 0.1

[[recipes]]"""


@pytest.fixture
def setting(tiny: TinyData) -> Setting:
    """The tiny protocol on a CPU: one recipe, two seeds."""
    return make_setting(protocol.load(str(tiny.protocol)), CPU)


@pytest.fixture
def tuned(tiny: TinyData, tmp_path: Path) -> Setting:
    """The same with two recipes."""
    path = tiny.variant(tmp_path / "tuned.toml", ("[[recipes]]", RECIPES))
    return make_setting(protocol.load(str(path)), CPU)


def records_of(runs: tuple[Run, ...], **fields: object) -> dict[str, Record]:
    """Done records of runs."""
    return {run.key: samples.record(run, **fields) for run in runs}  # type: ignore[arg-type]


def test_one_recipe_needs_no_tune_runs(setting: Setting) -> None:
    """With nothing to choose, a final run for each seed is all that is pending."""
    plan = pending(MODEL, setting, {})
    assert plan.tune == ()
    assert [run.seed for run in plan.finals] == [1, 2]
    assert plan.count == 2


def test_what_is_done_is_not_pending_again(setting: Setting) -> None:
    """A finished run leaves the plan; when all are there nothing is next."""
    first, second = pending(MODEL, setting, {}).finals
    assert pending(MODEL, setting, records_of((first,))).next == (second,)
    assert pending(MODEL, setting, records_of((first, second))).next == ()


def test_finals_wait_for_every_recipe_and_use_the_best(tuned: Setting) -> None:
    """Tune runs come first, one a recipe with equal seeds; their winner trains the finals."""
    plan = pending(MODEL, tuned, {})
    assert [run.recipe for run in plan.next] == ["other", "adamw"]
    assert {run.seed for run in plan.next} == {0}
    assert plan.count == 4
    worse, better = plan.tune
    half = records_of((worse,), correct=50)
    assert pending(MODEL, tuned, half).next == (better,)
    done = half | records_of((better,), correct=60)
    assert {run.recipe for run in pending(MODEL, tuned, done).next} == {"adamw"}


def test_recipes_are_chosen_by_their_mean_over_the_tune_seeds(
    tiny: TinyData, tmp_path: Path
) -> None:
    """Each recipe is tried with each tune seed, and one that failed once is not chosen."""
    seeded = RECIPES.replace("epochs = 1", "epochs = 1\nseeds = [0, 7]")
    path = tiny.variant(tmp_path / "seeded.toml", ("[[recipes]]", seeded))
    setting = make_setting(protocol.load(str(path)), CPU)
    runs = pending(MODEL, setting, {}).tune
    assert [(run.recipe, run.seed) for run in runs] == [
        ("other", 0), ("other", 7), ("adamw", 0), ("adamw", 7),
    ]  # fmt: skip
    lucky_once = [
        samples.record(run, correct=correct)
        for run, correct in zip(runs, (90, 50, 71, 71), strict=True)
    ]
    assert best_recipe(lucky_once) == "adamw"
    failed_once = [*lucky_once[:3], samples.record(runs[3], status="diverged")]
    assert best_recipe(failed_once) == "other"


def test_tuning_alone_owes_no_final_run(setting: Setting, tuned: Setting) -> None:
    """With only tune runs wanted nothing follows; one recipe, or final seeds, is an error."""
    only = make_setting(tuned.protocol, CPU, tune_only=True)
    plan = pending(MODEL, only, {})
    assert (len(plan.tune), plan.count) == (2, 2)
    after = pending(MODEL, only, records_of(plan.tune))
    assert (after.next, after.count, after.recipe) == ((), 0, "other")
    with pytest.raises(UsageError, match="one recipe"):
        make_setting(setting.protocol, CPU, tune_only=True)
    with pytest.raises(UsageError, match="--seeds"):
        make_setting(tuned.protocol, CPU, tune_only=True, seeds=1)


def test_a_model_none_of_whose_recipes_train_has_no_finals(tuned: Setting) -> None:
    """When every tune run fails, nothing more is pending."""
    done = records_of(pending(MODEL, tuned, {}).tune, status="diverged")
    plan = pending(MODEL, tuned, done)
    assert plan.next == ()
    assert plan.count == 0


@pytest.mark.parametrize(
    ("statuses", "ok"),
    [(("ok", "ok"), True), (("diverged", "ok"), True), (("diverged", "diverged"), False)],
)
def test_all_is_ok_while_one_recipe_is(
    tuned: Setting, tmp_path: Path, statuses: tuple[str, str], ok: bool
) -> None:
    """One recipe may fail when the finals of another are there; when all fail, the model has."""
    store = Store(tmp_path, tuned.protocol.id)
    store.make()
    tried = pending(MODEL, tuned, {}).tune
    for run, status in zip(tried, statuses, strict=True):
        store.add(samples.record(run, status=status))
    session = Session(tuned, "", (MODEL,), (), store, retry_failed=False)
    assert not session.all_ok()
    for run in pending(MODEL, tuned, done_records(store.read().records)).finals:
        store.add(samples.record(run))
    assert session.all_ok() is ok


def test_ties_between_recipes_go_to_log_loss_then_to_the_first_listed() -> None:
    """Equal accuracy is decided by lower log-loss, equal log-loss by the protocol's order."""

    def tried(recipe: str, correct: int, log_loss: float) -> Record:
        return samples.record(samples.run(recipe=recipe), correct=correct, log_loss=log_loss)

    assert best_recipe([tried("a", 80, 0.5), tried("b", 81, 0.9)]) == "b"
    assert best_recipe([tried("a", 80, 0.5), tried("b", 80, 0.4)]) == "b"
    assert best_recipe([tried("z", 80, 0.5), tried("b", 80, 0.5)]) == "z"


def test_trials_shown_are_those_of_the_newest_version(
    tiny: TinyData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After an upgrade the trials are the new version's, not those that older finals rest on."""
    recipes = RECIPES.replace("epochs = 1", "epochs = 1\nseeds = [0, 5]")
    path = tiny.variant(tmp_path / "p.toml", ("[[recipes]]", recipes))
    rules = protocol.load(str(path))
    store = Store(tmp_path, rules.id)
    store.make()
    newer = msgspec.structs.replace(samples.PLUGIN, version="2.0")
    for day, (plugin, correct) in enumerate(((samples.PLUGIN, 54), (newer, 6)), start=1):
        for recipe, seed in itertools.product(("other", "adamw"), (0, 5)):
            run = samples.run(
                plugin=plugin, stage="tune", recipe=recipe, seed=seed, protocol_digest=rules.digest
            )
            created = f"2026-01-0{day}T00:00:00Z"
            store.add(samples.record(run, correct=correct, images=60, created=created))
    store.add(samples.record(samples.run(protocol_digest=rules.digest)), np.zeros(100, np.uint8))
    runs.print_trials(StoredResults(store, rules))
    assert re.findall(r" (\d+\.\d+) +2 × 60", capsys.readouterr().out) == ["10.00", "10.00"]


@pytest.mark.parametrize(
    ("status", "done", "when_retrying"),
    [("ok", True, True), ("interrupted", False, False)]
    + [(s, True, True) for s in ("diverged", "invalid")]
    + [(s, True, False) for s in ("oom", "timeout", "failed", "crashed")],
)
def test_what_counts_as_done(status: str, done: bool, when_retrying: bool) -> None:
    """Every end but an interruption is final; retried is only what may be a machine's doing."""
    record = samples.record(status=status)
    assert bool(done_records([record])) is done
    assert bool(done_records([record], retry_failed=True)) is when_retrying


def test_an_ok_record_counts_before_a_newer_failure() -> None:
    """A failure that comes after a success does not undo it, in whatever order they are read."""
    ok = samples.record(id="1", created="2026-01-01T00:00:00Z")
    bad = samples.record(id="2", created="2026-01-02T00:00:00Z", status="failed")
    assert done_records([ok, bad]) == done_records([bad, ok]) == {ok.key: ok}


def test_seeds_are_the_protocols(setting: Setting, tiny: TinyData) -> None:
    """--seeds K takes the first K of the protocol's seeds and no others."""
    rules = protocol.load(str(tiny.protocol))
    assert make_setting(rules, CPU, seeds=1).seeds == (1,)
    for bad in (0, 3, -1):
        with pytest.raises(UsageError, match="seeds"):
            make_setting(rules, CPU, seeds=bad)


def test_a_device_the_protocol_does_not_know_is_refused(tiny: TinyData) -> None:
    """Numerics are never guessed for a kind of device without a table of its own."""
    with pytest.raises(UsageError, match="cuda"):
        make_setting(protocol.load(str(tiny.protocol)), Device(kind="cuda", name="G", memory=1))


def test_too_few_steps_are_refused(tiny: TinyData) -> None:
    """A budget that does not fill a batch, or whose warm-up has no step, is a protocol error."""
    rules = protocol.load(str(tiny.protocol))
    assert train_steps(rules, "final", 320) == 40
    with pytest.raises(ProtocolError):
        train_steps(rules, "final", 15)
    with pytest.raises(ProtocolError):
        train_steps(rules, "final", 16)
    assert msgspec.structs.asdict(rules)["training"].batch_size == 16


def test_threads_are_the_protocols_where_it_names_them(tiny: TinyData, tmp_path: Path) -> None:
    """Another number is a usage error; without a rule it is as asked, else all cores."""
    free = protocol.load(str(tiny.protocol))
    assert make_setting(free, CPU, threads=3).threads == 3
    assert make_setting(free, CPU).threads == limits.cores()
    change = ('precision = "float32"', 'precision = "float32"\nthreads = 1')
    fixed = protocol.load(str(tiny.variant(tmp_path / "fixed.toml", change)))
    assert make_setting(fixed, CPU).threads == make_setting(fixed, CPU, threads=1).threads == 1
    with pytest.raises(UsageError, match="sets threads to 1") as refused:
        make_setting(fixed, CPU, threads=2)
    assert "--threads" in refused.value.hint

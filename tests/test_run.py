"""Whole runs with real workers on a tiny data set: good models, bad models, and going on."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest

from conftest import Fmbench, Install, TinyData, alive
from fmbench import files
from fmbench.errors import ExitCode
from fmbench.records import Record
from fmbench.store import Store
from plugins_of_all_kinds import CONVOLUTION, GOOD, offering

BAD = """
import os
from torch import nn

class Wrapped(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
        self.act = act
    def forward(self, batch):
        return self.act(self, self.layers(batch))

def leave():
    import subprocess, sys
    code = "import os, time; os.fork() and os._exit(0); os.setsid(); time.sleep(3600) # LEFT"
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True).wait()

def raises(module, logits): raise RuntimeError("on purpose, in " + os.path.expanduser("~/x"))
def exits(module, logits): raise SystemExit(0)
def dies(module, logits):
    import sys
    with open(os.path.join(sys.argv[1], "refusal.json"), "w") as file:
        file.write('{"what": "this machine is mine", "hint": "give up"}')
    print("last words"); os._exit(0)
def signals(module, logits): os.kill(os.getpid(), 40)
def segfaults(module, logits): import ctypes; ctypes.string_at(0)
def diverges(module, logits): return logits * float("inf")
def nan(module, logits): return logits if module.training else logits * float("nan")
def shape(module, logits): return logits[:, :9]
def memory(module, logits): import torch; raise torch.OutOfMemoryError("on purpose")
def dtype(module, logits): return logits.long()
def host_memory(module, logits): import numpy; numpy.ones(1 << 46)
def torchs_memory(module, logits): import torch; return logits + torch.empty(10**14)[:1]
def unprintable(module, logits):
    class Unprintable(Exception):
        def __str__(self): raise RuntimeError("on purpose")
    raise Unprintable
def closes_streams(module, logits):
    import sys
    sys.stderr.close(); sys.stdout.close()
    raise ValueError("the real reason")
def childless(module, logits):
    import signal
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    return logits
def threads(module, logits):
    from concurrent.futures import ThreadPoolExecutor
    if not vars(module).get("pool"): module.pool = ThreadPoolExecutor(1)
    return module.pool.submit(lambda: logits * 1).result()
def pair(module, logits): return (logits, logits) if module.training else logits
def chatters(module, logits):
    for line in range(20_000): print("line", line, "\u2713 of many")
    if module.training: raise ValueError("the last word")
    return logits
def hangs(module, logits):
    if module.training:
        leave()
        while True: pass
    return logits
def deaf(module, logits):
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return hangs(module, logits)
def leaves(module, logits):
    if not module.training: leave()
    return logits
def closes(module, logits): os.closerange(0, 1024); return logits
def floods(module, logits): print("x" * 1_000_000); return logits
def edits(module, logits):
    import gc, torch
    if vars(module).get("edited"): return logits
    module.edited = True
    for thing in gc.get_objects():
        if isinstance(thing, torch.Tensor) and thing.dtype == torch.uint8: thing.zero_()
    return logits
def reseeds(module, logits): import torch; torch.manual_seed(0); return logits
def flips(module, logits):
    import torch
    torch.set_num_threads(1); torch.use_deterministic_algorithms(False)
    torch.set_default_dtype(torch.float64); torch.set_grad_enabled(True)
    return logits
def pipes(module, logits):
    import sys
    path = os.path.join(sys.argv[1], "environment.json")
    if os.path.exists(path): os.unlink(path); os.mkfifo(path)
    return logits
def moves(module, logits): os.chdir("/"); return logits
def clock(module, logits):
    import json, time, fmbench.scoring, fmbench.training.loop as loop
    time.perf_counter = time.monotonic = lambda: 0.0
    loop.perf_counter = iter(range(10**9)).__next__
    fmbench.scoring.score = json.dumps = None
    return logits if module.training else logits * 0
def reports(module, logits):
    if module.training:
        import gc, fmbench.execution.job as job
        for thing in gc.get_objects():
            if isinstance(thing, job.JobFolder):
                thing.append(job.Event(kind="progress", run=0, steps=0))
    return logits
"""
OTHER_PLUGINS = "no:fmbench-softmax,no:fmbench-vgg,no:fmbench-timm,no:fmbench-small-nets"
WANTED = {
    "raises": ("failed", "RuntimeError: on purpose, in ~/x"),
    "exits": ("failed", "SystemExit"),
    "dies": ("crashed", "exit status 0"),
    "segfaults": ("crashed", "SIGSEGV"),
    "signals": ("crashed", "signal 40"),
    "diverges": ("diverged", "after epoch 1"),
    "nan": ("invalid", "not finite"),
    "shape": ("invalid", "shape (1, 9)"),
    "memory": ("oom", "on purpose"),
    "hangs": ("timeout", "longer than 8 s"),
    "no-module": ("failed", "not an nn.Module"),
    "dtype": ("invalid", "int64"),
    "host_memory": ("oom", "Unable to allocate"),
    "torchs_memory": ("oom", "DefaultCPUAllocator"),
    "unprintable": ("failed", "Unprintable: it has no message"),
    "closes_streams": ("failed", "ValueError: the real reason"),
    "childless": ("ok", ""),
    "threads": ("ok", ""),
    "pair": ("invalid", "a tuple, not a tensor"),
    "chatters": ("failed", "the last word"),
    "lazy": ("failed", "1.weight has no shape yet"),
    "deaf": ("timeout", "longer than 8 s"),
    "leaves": ("ok", ""),
    "closes": ("ok", ""),
    "floods": ("ok", ""),
    "edits": ("ok", ""),
    "reseeds": ("ok", ""),
    "flips": ("ok", ""),
    "moves": ("ok", ""),
    "pipes": ("ok", ""),
    "clock": ("ok", ""),
    "reports": ("ok", ""),
}
AT_IMPORT = {
    "zoo-import-error": "import nothing_of_this_name",
    "zoo-syntax": "def broken(:",
    "zoo-exits": "raise SystemExit(0)",
    "zoo-dies": "import os; os._exit(0)",
    "zoo-segfaults": "import ctypes; ctypes.string_at(0)",
    "zoo-misspelt": "import fmbench\n@fmbench.hookimpl\ndef fmbench_model(): return []",
    "zoo-unmarked": "def fmbench_models(): return []",
    "zoo-none": "import fmbench\n@fmbench.hookimpl\ndef fmbench_models(): pass",
    "zoo-twins": offering("twin=linear", "twin=linear"),
    "zoo-contract": "fmbench_contract = 99",
    "zoo-hostile": offering("../x=linear"),
}


def bad_plugin(mark: str) -> str:
    """A plugin with a model for each way to fail; the mark is on whatever they leave behind."""
    names = [name for name in WANTED if name not in ("no-module", "lazy")]
    builders = [f"bad-{name}=lambda spec: bad('{name}')" for name in names]
    extra = (
        f"CODE = {BAD.replace('LEFT', mark)!r}\n"
        "def bad(name):\n"
        "    space = {}\n"
        "    exec(CODE, space)\n"
        "    return space['Wrapped'](space[name])\n"
    )
    lazy = "bad-lazy=lambda spec: (nn := __import__('torch').nn).Sequential("
    lazy += "nn.Flatten(), nn.LazyLinear(10))"
    return offering(*builders, "bad-no-module=lambda spec: 'text'", lazy, extra=extra)


def records(results: Path, protocol: str = "tiny-v1") -> dict[tuple[str, int], Record]:
    """The final records of a results folder by model and seed."""
    found = Store(results, protocol).read().records
    return {(one.run.model, one.run.seed): one for one in found if one.run.stage == "final"}


def left_behind(mark: str) -> list[int]:
    """Processes that have the mark of one zoo's runaways; another zoo may run beside it."""
    return [
        process.pid
        for process in psutil.process_iter()
        if any(mark in word for word in cmdline(process))
    ]


def cmdline(process: psutil.Process) -> list[str]:
    """A process's command line, empty when it is gone."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture
def good(install: Install) -> None:
    """Install a plugin of two models that train."""
    install(
        "plugin-good",
        offering("good=linear", "conv=convolution", extra=CONVOLUTION),
    )


def test_a_run_leaves_records_predictions_and_a_leaderboard(
    fmbench: Fmbench, good: None, tiny: TinyData, tmp_path: Path
) -> None:
    """One command trains, scores, records and tabulates; the same command again does nothing."""
    asked = ("run", "good", "conv", "--protocol", tiny.protocol, "--data-dir", tiny.folder)
    first = fmbench(*asked, "--threads", 1, "--timings", "--keep-logits")
    assert first.returncode == 0, first.stderr
    assert "4 runs to make" in first.stderr
    assert "wall time" in first.stderr
    assert "no CUDA device" in first.stderr or "cuda:0" in first.stderr
    found = records(tmp_path / "results")
    assert set(found) == {("good", 1), ("good", 2), ("conv", 1), ("conv", 2)}
    store = Store(tmp_path / "results", "tiny-v1")
    for record in found.values():
        assert record.result.status == "ok"
        assert record.environment.threads == 1
        assert record.result.images == 100
        assert len(record.result.curve) == 2
        predictions = store.predictions(record)
        assert predictions.max() < 10
        logits = files.read_npy(store.path(record, ".logits.npy"), np.float16, (100, 10))
        assert (logits[np.arange(100), predictions] == 0).all()  # each image's largest
        assert record.cost.train_seconds > 0
        assert record.cost.runner_seconds >= record.cost.train_seconds
        assert record.cost.peak_memory > 10**7
        assert record.cost.images_per_second == pytest.approx(640 / record.cost.train_seconds)
        assert record.environment.threads >= 1
        assert str(tmp_path) not in msgspec.json.encode(record).decode()
    assert found["good", 1].result.accuracy > 0.8  # type: ignore[operator]
    assert "| good " in (store.folder / "leaderboard.md").read_text()
    assert "good," in (store.folder / "leaderboard.csv").read_text()
    for folder in (store.jobs, store.checkpoints):
        assert list(folder.iterdir()) == []
    assert "data set is not at hand" not in (store.folder / "index.html").read_text()
    second = fmbench(*asked)
    assert second.returncode == 0
    assert "data set is not at hand" not in (store.folder / "index.html").read_text()
    assert "nothing is left to run" in second.stderr
    assert second.stdout == first.stdout
    assert records(tmp_path / "results") == found


def test_what_lies_in_the_current_folder_is_never_imported(
    fmbench: Fmbench, good: None, tiny: TinyData, tmp_path: Path
) -> None:
    """A file named like a library where the user happens to stand does not reach any process."""
    for name in ("torch", "numpy", "fmbench", "plugin_good"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('imported from here')")
    asked = ("--protocol", tiny.protocol, "--data-dir", tiny.folder, "--seeds", 1)
    ran = fmbench("run", "good", *asked)
    assert ran.returncode == 0, ran.stderr


def test_the_same_run_made_twice_gives_the_same_bits(
    fmbench: Fmbench, good: None, tiny: TinyData, tmp_path: Path
) -> None:
    """On one machine the result sections of two runs of a key are equal, logits included."""
    asked = ("run", "good", "conv", "--protocol", tiny.protocol, "--data-dir", tiny.folder)
    fmbench(*asked, "--results", tmp_path / "a")
    fmbench(*asked, "--results", tmp_path / "b")
    first, second = records(tmp_path / "a"), records(tmp_path / "b")
    assert len(first) == 4
    assert {one.key: one.result for one in first.values()} == {
        one.key: one.result for one in second.values()
    }


WRONG_CHANNELS_LAST = """
def strange(spec):
    import torch
    from torch import nn
    class Off(torch.autograd.Function):
        @staticmethod
        def forward(context, maps, scale):
            context.save_for_backward(maps, scale)
            return maps * scale.view(1, -1, 1, 1)
        @staticmethod
        def backward(context, gradient):
            maps, scale = context.saved_tensors
            factor = 1 if maps.is_contiguous() else 100
            return gradient * scale.view(1, -1, 1, 1), factor * (gradient * maps).sum((0, 2, 3))
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))
        def forward(self, maps):
            return Off.apply(maps, self.weight)
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), Scale(), nn.Flatten(), nn.Linear(676, 10))
"""


def test_a_device_that_is_wrong_is_departed_from_and_reported(
    fmbench: Fmbench, install: Install, good: None, tiny: TinyData, tmp_path: Path
) -> None:
    """Record, `show` and board say what was done otherwise than the protocol says, and why."""
    install("plugin-strange", offering("strange=strange", extra=WRONG_CHANNELS_LAST))
    asked = ("--protocol", tiny.protocol, "--data-dir", tiny.folder, "--seeds", 1)
    ran = fmbench("run", "strange", "good", *asked)
    assert ran.returncode == 0, ran.stderr
    found = records(tmp_path / "results")
    departure = "contiguous memory: channels last, the weight gradient of 1 is off by 99 times"
    assert found["strange", 1].departure.startswith(departure)
    assert found["good", 1].departure == ""
    (note,) = [line for line in ran.stdout.splitlines() if "Not trained as the protocol" in line]
    assert f"strange: {departure}" in note
    shown = fmbench("show", found["strange", 1].id)
    assert departure in shown.stdout
    assert found["strange", 1].environment.device.digest[:12] in shown.stdout


def test_a_protocols_threads_are_used(
    fmbench: Fmbench, good: None, tiny: TinyData, tmp_path: Path
) -> None:
    """A protocol of one thread trains with one, and refuses `--threads 2` with exit code 2."""
    change = ('precision = "float32"', 'precision = "float32"\nthreads = 1')
    path = tiny.variant(tmp_path / "one.toml", change)
    asked = ("run", "good", "--protocol", path, "--data-dir", tiny.folder, "--seeds", 1)
    refused = fmbench(*asked, "--threads", 2)
    assert refused.returncode == ExitCode.USAGE
    assert "hint: leave --threads out" in refused.stderr
    assert fmbench(*asked).returncode == 0
    (record,) = records(tmp_path / "results").values()
    assert record.environment.threads == 1


@pytest.mark.long
@pytest.mark.parametrize(
    "engine",
    [
        (),
        ("--workers", 2),
        pytest.param(("--engine", "ray", "--threads", 1), marks=pytest.mark.cluster),
    ],
    ids=["alone", "two workers", "ray"],
)
def test_the_zoo_costs_nobody_else_anything(
    fmbench: Fmbench,
    install: Install,
    good: None,
    tiny: TinyData,
    tmp_path: Path,
    engine: tuple[object, ...],
) -> None:
    """All bad plugins at once: each has its status and message, good results are as without."""
    mark = f"LEFT-BY-{tmp_path}"
    install("plugin-bad", bad_plugin(mark))
    for name, code in AT_IMPORT.items():
        install(name, code)
    asked = ("--protocol", tiny.protocol, "--data-dir", tiny.folder, "--seeds", 1)
    threads = () if engine == () else ("--threads", 1)  # as many as each of two workers has
    alone = fmbench("run", "good", "conv", *asked, *threads, "--results", tmp_path / "alone")
    assert alone.returncode == 0
    everything = (*asked, *engine, "--results", tmp_path / "all")
    fmbench("run", "bad-hangs", "bad-deaf", *everything, "--timeout", 8)
    ran = fmbench("run", "--all", *everything, FMBENCH_PLUGINS=OTHER_PLUGINS)
    assert ran.returncode == 1, ran.stderr
    found = records(tmp_path / "all")
    for name, (status, said) in WANTED.items():
        record = found[f"bad-{name}", 1]
        assert record.result.status == status, name
        assert said in record.result.message, name
        assert f"bad-{name}" in ran.stdout
    assert found["bad-clock", 1].result.correct == 10
    (doubt,) = [line for line in ran.stdout.splitlines() if "Doubt the times of" in line]
    assert "bad-clock" in doubt
    assert "good" not in doubt
    for name in ("flips", "hangs", "dies", "raises"):
        assert found[f"bad-{name}", 1].reproducibility == "none", name
    for name in ("good", "bad-diverges"):
        assert found[name, 1].reproducibility == "bitwise", name
    assert not left_behind(mark)
    problems = json.loads(fmbench("models", "--json").stdout)["problems"]
    assert {problem["entry"].partition("[")[0] for problem in problems} == set(AT_IMPORT)
    store = Store(tmp_path / "all", "tiny-v1")
    flood = store.path(found["bad-floods", 1], ".log").stat().st_size
    assert 0 < len(store.log(found["bad-floods", 1])) <= flood <= 256 * 1024
    assert "last words" in store.log(found["bad-dies", 1])
    assert "the real reason" in store.log(found["bad-closes_streams", 1])
    chatter = store.log(found["bad-chatters", 1])
    assert chatter.startswith("line 0 \u2713 of many")
    assert "bytes are left out" in chatter
    assert chatter.rstrip().endswith("ValueError: the last word")
    for key, record in records(tmp_path / "alone").items():
        assert found[key].result == record.result
    assert {name for name, _ in found} == {"good", "conv", *(f"bad-{name}" for name in WANTED)}
    shown = fmbench("show", "--results", tmp_path / "all")
    assert "on purpose" in shown.stdout
    raised = found["bad-raises", 1]
    one = fmbench("show", raised.id, "--results", tmp_path / "all")
    assert "Traceback" in one.stdout
    assert str(Path.home() / "x") not in one.stdout


def test_a_run_owes_nothing_to_the_run_before_it(
    fmbench: Fmbench, install: Install, tiny: TinyData, tmp_path: Path
) -> None:
    """Flags that one run sets are reset for the next, which is what it is alone."""
    code = f"CODE = {BAD!r}\nexec(CODE)\ndef build(spec): return Wrapped(flips)\n"
    install("plugin-flips", offering("flips=build", extra=code))
    asked = ("run", "flips", "--protocol", tiny.protocol, "--data-dir", tiny.folder)
    assert fmbench(*asked).returncode == 0
    second = records(tmp_path / "results")["flips", 2]
    for path in Store(tmp_path / "results", "tiny-v1").records.glob("*-s2-*"):
        path.unlink()
    assert fmbench(*asked).returncode == 0
    assert records(tmp_path / "results")["flips", 2].result == second.result


EDITED_MEANWHILE = """
def edits(spec):
    with open(__file__, "a") as file: file.write("# edited")
    return linear(spec)
"""


def test_a_plugin_edited_meanwhile_costs_its_own_runs_and_they_stay_pending(
    fmbench: Fmbench, install: Install, tiny: TinyData, tmp_path: Path
) -> None:
    """Runs after the edit are interrupted, not failed: put back as it was, they are pending."""
    code = offering("edits=edits", "later=linear", extra=EDITED_MEANWHILE)
    install("plugin-edited", code)
    install("plugin-good", GOOD)
    asked = ("--protocol", tiny.protocol, "--data-dir", tiny.folder, "--threads", 1)
    ran = fmbench("run", "edits", "later", "good", *asked)
    assert ran.returncode == ExitCode.RUN_FAILED
    assert "have changed since this command began" in ran.stderr
    found = records(tmp_path / "results")
    statuses = {key: record.result.status for key, record in found.items()}
    assert statuses == {
        ("edits", 1): "ok", ("edits", 2): "ok", ("later", 1): "interrupted",
        ("good", 1): "ok", ("good", 2): "ok",
    }  # fmt: skip
    install("plugin-edited", code)
    again = fmbench("run", "later", *asked)
    assert again.returncode == 0, again.stderr
    assert "2 runs to make" in again.stderr


def test_without_a_worker_that_starts_no_model_is_blamed(
    fmbench: Fmbench, install: Install, tiny: TinyData, tmp_path: Path, site: Path
) -> None:
    """Where torch cannot be imported the command ends with a hint, and no row is made."""
    install("plugin-good", GOOD)
    (site / "torch.py").write_text("raise ImportError('libtorch.so is not there')")
    ran = fmbench("run", "good", "--protocol", tiny.protocol, "--data-dir", tiny.folder)
    assert ran.returncode == ExitCode.USAGE
    assert "libtorch.so is not there" in ran.stderr
    assert "hint: " in ran.stderr
    assert records(tmp_path / "results") == {}


def test_a_crash_at_one_seed_leaves_the_others(
    fmbench: Fmbench, install: Install, tiny: TinyData, tmp_path: Path
) -> None:
    """A worker that dies at the first seed costs that seed; the next goes on in a new job."""
    code = offering(
        "moody=moody",
        extra="""
def moody(spec):
    import os, torch
    if torch.initial_seed() == of_the_first_run(): os._exit(7)
    return linear(spec)

def of_the_first_run():
    import hashlib
    digest = hashlib.sha256(b"tiny-v1\\0" + b"1\\0build").digest()
    return int.from_bytes(digest[:8], "big") >> 1
""",
    )
    install("plugin-moody", code)
    asked = ("run", "moody", "--protocol", tiny.protocol, "--data-dir", tiny.folder)
    assert fmbench(*asked).returncode == 1
    found = records(tmp_path / "results")
    assert found["moody", 1].result.status == "crashed"
    assert found["moody", 2].result.status == "ok"
    again = fmbench(*asked)
    assert again.returncode == 1
    assert "nothing is left to run" in again.stderr


def test_a_killed_workers_run_goes_on_when_it_is_retried(
    fmbench: Fmbench, install: Install, tiny: TinyData, tmp_path: Path
) -> None:
    """A worker killed after a checkpoint has crashed; --retry-failed goes on, to the same bits."""
    code = offering(
        "mortal=mortal",
        extra="""
def mortal(spec):
    import torch
    class Mortal(torch.nn.Sequential):
        def forward(self, batch):
            import glob, os
            there = glob.glob("results/tiny-v1/work/checkpoints/*/epoch-1.json")
            if there and not os.path.exists("died"):
                open("died", "w").close()
                os.kill(os.getpid(), 9)
            return super().forward(batch)
    return Mortal(*linear(spec))
""",
    )
    install("plugin-mortal", code)
    asked = ["run", "mortal", "--protocol", tiny.protocol, "--data-dir", tiny.folder]
    asked += ["--seeds", 1, "--checkpoint-every", 0, "--threads", 1]
    assert fmbench(*asked).returncode == 1
    assert records(tmp_path / "results")["mortal", 1].result.status == "crashed"
    assert "nothing is left to run" in fmbench(*asked).stderr
    again = fmbench(*asked, "--retry-failed")
    assert again.returncode == 0, again.stderr
    both = Store(tmp_path / "results", "tiny-v1").read().records
    (resumed,) = [record for record in both if record.result.status == "ok"]
    assert len(both) == 2
    assert resumed.cost.resumed_after == 1
    fmbench(*asked, "--results", tmp_path / "quiet")
    assert resumed.result == records(tmp_path / "quiet")["mortal", 1].result
    assert not list(Store(tmp_path / "results", "tiny-v1").checkpoints.iterdir())


def test_recipes_are_chosen_on_validation_and_tested_once(
    fmbench: Fmbench, good: None, tiny: TinyData, tmp_path: Path
) -> None:
    """Tune runs are records too, scored on validation images; finals use the better recipe."""
    path = tiny.variant(
        tmp_path / "tuned.toml",
        (
            "[[recipes]]",
            '[tune]\nepochs = 1\n\n[[recipes]]\nname = "hopeless"\noptimizer = "sgd"\n'
            "learning_rate = 1e-9\n\n[[recipes]]",
        ),
    )
    ran = fmbench("run", "good", "--protocol", path, "--data-dir", tiny.folder)
    assert ran.returncode == 0, ran.stderr
    found = Store(tmp_path / "results", "tiny-v1").read().records
    tuned = {one.run.recipe: one for one in found if one.run.stage == "tune"}
    assert set(tuned) == {"hopeless", "adamw"}
    assert {one.result.images for one in tuned.values()} == {60}
    finals = [one for one in found if one.run.stage == "final"]
    assert {one.run.recipe for one in finals} == {"adamw"}
    assert {one.result.images for one in finals} == {100}


WATCHED = (
    "[[recipes]]",
    "[tune]\nepochs = 3\nseeds = [0, 5]\neach_epoch = true\nfit_images = 40\n\n"
    '[[recipes]]\nname = "slower"\noptimizer = "adamw"\nlearning_rate = 0.001\n\n[[recipes]]',
)


def test_trying_recipes_alone_sees_no_test_image(
    fmbench: Fmbench, good: None, tiny: TinyData, tmp_path: Path
) -> None:
    """`--tune-only` records each epoch's accuracy and the fit; how it watches changes no bit."""
    path = tiny.variant(tmp_path / "watched.toml", WATCHED)
    asked = ("run", "good", "--tune-only", "--data-dir", tiny.folder)
    ran = fmbench(*asked, "--protocol", path)
    assert ran.returncode == 0, ran.stderr
    assert "ok good, trying slower, seed 5: " in ran.stderr
    assert "chosen" in ran.stdout
    found = Store(tmp_path / "results", "tiny-v1").read().records
    assert {(one.run.stage, one.run.recipe, one.run.seed) for one in found} == {
        ("tune", recipe, seed) for recipe in ("slower", "adamw") for seed in (0, 5)
    }
    for one in found:
        result = one.result
        assert (result.images, result.fit_images, len(result.validation_curve)) == (60, 40, 3)
        assert result.validation_curve[-1] == result.correct
        assert 0 <= (result.fit_correct or 0) <= 40
    slow = {one.run.seed: one.result for one in found if one.run.recipe == "slower"}
    assert slow[0].validation_curve[0] < slow[0].validation_curve[-1]
    assert {one.result.fit_correct for one in found if one.run.recipe == "adamw"} == {40}
    shown = fmbench("show", found[0].id).stdout
    assert "% of 40 images it was trained on" in shown
    assert "% after each" in shown
    plain = tiny.variant(
        tmp_path / "plain.toml", (WATCHED[0], WATCHED[1].replace("each_epoch = true", ""))
    )
    assert fmbench(*asked, "--protocol", plain, "--results", "plain").returncode == 0
    unwatched = Store(tmp_path / "plain", "tiny-v1").read().records
    assert {one.result.validation_curve for one in unwatched} == {()}
    assert {(o.run.recipe, o.run.seed): o.result.logits_sha256 for o in unwatched} == {
        (o.run.recipe, o.run.seed): o.result.logits_sha256 for o in found
    }


def test_accuracy_after_each_epoch_survives_a_kill(
    environment: dict[str, str], install: Install, fmbench: Fmbench, tiny: TinyData, tmp_path: Path
) -> None:
    """A run that goes on from a checkpoint still knows the epochs before it, to the bit."""
    marker, reached = tmp_path / "marker", tmp_path / "reached"
    install(
        "plugin-pausing",
        offering(
            "pausing=pausing",
            extra=f"""
import os, time

forwards = 0

def pausing(spec):
    network = linear(spec)
    network.register_forward_pre_hook(pause)
    return network

def pause(module, inputs):
    global forwards
    forwards += module.training
    if forwards > 20 and os.path.exists({str(marker)!r}):  # in the second epoch of the first run
        open({str(reached)!r}, "w").close()
        time.sleep(600)
""",
        ),
    )
    path = tiny.variant(tmp_path / "watched.toml", WATCHED)
    asked = [
        "run", "pausing", "--tune-only", "--protocol", path, "--data-dir", tiny.folder,
        "--checkpoint-every", "0",
    ]  # fmt: skip
    assert fmbench(*asked, "--results", "whole").returncode == 0
    marker.touch()
    child = subprocess.Popen(
        [Path(sys.executable).with_name("fmbench"), *map(str, asked)],
        cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    while not reached.exists():
        assert child.poll() is None
        time.sleep(0.05)
    child.kill()
    child.wait()
    marker.unlink()
    assert fmbench(*asked).returncode == 0
    whole, resumed = (
        {
            (one.run.recipe, one.run.seed): one
            for one in Store(tmp_path / folder, "tiny-v1").read().records
        }
        for folder in ("whole", "results")
    )
    assert max(one.cost.resumed_after for one in resumed.values()) == 1
    assert {key: one.result for key, one in resumed.items()} == {
        key: one.result for key, one in whole.items()
    }


def test_an_interrupted_run_goes_on_where_it_was(
    environment: dict[str, str], install: Install, fmbench: Fmbench, tiny: TinyData, tmp_path: Path
) -> None:
    """Ctrl-C ends with exit 130, no worker left and an interrupted record; the rest comes later."""
    marker = tmp_path / "slow"
    marker.touch()
    install(
        "plugin-slow",
        offering(
            "slow=slow",
            extra=f"""
def slow(spec):
    import os, time
    while os.path.exists({str(marker)!r}): time.sleep(0.05)
    return linear(spec)
""",
        ),
    )
    asked = ["run", "slow", "--protocol", tiny.protocol, "--data-dir", tiny.folder]
    child = subprocess.Popen(
        [Path(sys.executable).with_name("fmbench"), *map(str, asked)],
        cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    jobs = Store(tmp_path / "results", "tiny-v1").jobs
    while not list(jobs.glob("*/job-*/events.jsonl")):
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=600)
    assert child.returncode == 130
    assert "goes on with what is missing" in said
    assert [one.result.status for one in records(tmp_path / "results").values()] == ["interrupted"]
    assert list(jobs.iterdir()) == []
    marker.unlink()
    assert fmbench(*asked).returncode == 0
    done = Store(tmp_path / "results", "tiny-v1").read().records
    assert sorted(one.result.status for one in done) == ["interrupted", "ok", "ok"]


@pytest.mark.parametrize("killed", ["runner", "guard"])
def test_a_worker_dies_with_its_runner_and_with_its_guard(
    environment: dict[str, str], install: Install, tiny: TinyData, tmp_path: Path, killed: str
) -> None:
    """Either killed outright leaves neither a worker behind nor what its plugin has started."""
    install(
        "plugin-endless",
        offering(
            "endless=endless",
            extra=f"""
def endless(spec):
    import os, subprocess, time
    left = subprocess.Popen(["sleep", "600"], start_new_session=True)
    open({str(tmp_path / "pid")!r}, "w").write(f"{{os.getpid()}} {{left.pid}} ")
    time.sleep(600)
""",
        ),
    )
    asked = ["run", "endless", "--protocol", tiny.protocol, "--data-dir", tiny.folder]
    asked += ["--seeds", "1"]
    child = subprocess.Popen(
        [Path(sys.executable).with_name("fmbench"), *map(str, asked)],
        cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text().endswith(" ")):
        assert child.poll() is None
        time.sleep(0.05)
    worker, left = (int(one) for one in pid.read_text().split())
    guard = psutil.Process(worker).parent()
    assert guard
    assert guard.pid != child.pid
    (child if killed == "runner" else guard).kill()
    child.wait()
    for _ in range(6000):
        if not alive(worker) and not alive(left):
            return
        time.sleep(0.05)
    pytest.fail("something outlived its runner")


SPY = """
import gc, os, pathlib, sys

WANTED = bytes.fromhex({labels!r})
KEPT = []

def values():  # what the garbage collector knows, and what that refers to: arrays it does not
    for thing in gc.get_objects():
        yield thing
        yield from gc.get_referents(thing)

def holds(thing):
    import numpy, torch
    if isinstance(thing, torch.Tensor): thing = thing.detach().numpy()
    if isinstance(thing, (list, tuple)) and len(thing) == len(WANTED):
        return [*thing] == [*WANTED]
    if not isinstance(thing, numpy.ndarray) or thing.dtype.kind not in "uif": return False
    return WANTED in thing.astype("uint8").tobytes()

def content(path):
    import numpy
    if path.suffix == ".npy": return numpy.load(path).astype("uint8").tobytes()
    return path.read_bytes()

def search():
    found = {{"a value" for thing in values() if holds(thing)}}
    job = pathlib.Path(sys.argv[1])
    handles = [os.path.realpath("/proc/self/fd/" + link) for link in os.listdir("/proc/self/fd")]
    for path in [*job.parent.rglob("*"), *map(pathlib.Path, handles)]:
        if path.is_file() and WANTED in content(path): found.add(str(path))
    if found: raise RuntimeError(f"labels in {{sorted(found)}}")

def spy(spec):
    search()
    return linear(spec)

def planted(spec):
    import numpy
    KEPT.append(numpy.frombuffer(WANTED, numpy.uint8).astype(numpy.int64))
    numpy.save(pathlib.Path(sys.argv[1], "planted.npy"), KEPT[0])
    search()
"""


def test_a_plugin_is_never_given_test_labels(
    fmbench: Fmbench, install: Install, tiny: TinyData, tmp_path: Path
) -> None:
    """A plugin that searches its process and the files near it finds no labels but planted ones."""
    labels = (tiny.folder / "t10k-labels-idx1-ubyte").read_bytes()[8:]
    spy = SPY.format(labels=labels.hex())
    install("plugin-spy", offering("spy=spy", "planted=planted", extra=spy))
    ran = fmbench("run", "spy", "planted", "--protocol", tiny.protocol, "--data-dir", tiny.folder)
    assert ran.returncode == 1, ran.stderr
    found = records(tmp_path / "results")
    assert found["spy", 1].result.status == "ok", found["spy", 1].result.message
    said = found["planted", 1].result.message
    assert "labels in ['/" in said and "/planted.npy', 'a value']" in said


def test_a_stranger_plugin_reaches_the_leaderboard(
    fmbench: Fmbench, install: Install, tiny: TinyData
) -> None:
    """A plugin the core has never heard of is listed, trained and ranked like any other."""
    install("stranger", GOOD)
    assert "stranger 1.0" in fmbench("models").stdout
    ran = fmbench("run", "good", "--protocol", tiny.protocol, "--data-dir", tiny.folder)
    assert ran.returncode == 0
    board = json.loads(fmbench("leaderboard", "--json").stdout)
    assert [(row["distribution"], row["model"], row["status"]) for row in board["rows"]] == [
        ("stranger", "good", "ok")
    ]


def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    fmbench: Fmbench, good: None, tiny: TinyData, tmp_path: Path
) -> None:
    """--dry-run prints plan, estimate and price, and writes nothing."""
    ran = fmbench(
        "run", "good", "conv", "--protocol", tiny.protocol, "--dry-run", "--price", "2.50"
    )
    assert ran.returncode == 0
    unknown = "how long is unknown until conv and 1 other model have trained for a second"
    assert f"4 runs to make, {unknown}; in " in ran.stderr
    assert "conv" in ran.stdout
    assert "0.00 at 2.5 an hour" in ran.stdout
    assert "Not in the sum, since nobody knows their speed: conv, good." in ran.stdout
    assert not (tmp_path / "results").exists()

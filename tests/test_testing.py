"""The checks of the contract: each catches and names the fault it is for, and no other."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from torch import nn

import fmbench
import samples
import wrong_models
from conftest import TinyData, child_environment, install_into
from fmbench import discovery, protocol
from fmbench.console.checks import print_reports
from fmbench.contract import InputSpec, Model
from fmbench.discovery import Catalogue, ListedFamily, Problem
from fmbench.errors import NothingSelectedError, PluginError, StoreError, UsageError
from fmbench.protocol import Protocol
from fmbench.testing import Report, contract
from fmbench.testing.checked_model import CheckedModel
from fmbench.testing.conformance import CHECKS, check_all
from fmbench.testing.expected_cost import expected_cost
from fmbench.testing.importing import Imported
from fmbench.testing.isolation import check_model, check_models
from fmbench.testing.process_state import SideEffects
from fmbench.testing.reports import failed, line_of_crash
from fmbench.training import devices
from fmbench.training.batches import Images
from fmbench.training.checkpoints import Checkpoints
from plugins_of_all_kinds import GOOD, HEADER, offering
from wrong_models import WRONG, Build

ROOT = Path(__file__).parents[1]
NAMES = [check.name for check in CHECKS]
PLAIN = protocol.load("quick-v1")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a file in it, where a wrong model can do no harm."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "precious").write_text("")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def checked(build: Build, rules: Protocol = PLAIN, until: str = NAMES[-1]) -> dict[str, Report]:
    """The reports of a model with that build function, by check, up to one of them."""
    imported = Imported(Model("model", build))
    with devices.streams_kept(), tempfile.TemporaryDirectory() as folder:
        model = CheckedModel(imported, rules, Path(folder), SideEffects())
        reports = islice(check_all(model), NAMES.index(until) + 1)
        return {report.check: report for report in reports}


def faults(build: Build) -> dict[str, str]:
    """What each check that a model fails says, errors and warnings."""
    return {
        name: report.message
        for name, report in checked(build).items()
        if report.outcome in ("error", "warning")
    }


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_model_is_caught_by_the_check_it_fails(name: str) -> None:
    """One check fails, that of what is wrong, and says so."""
    wrong = WRONG[name]
    found = faults(wrong.build)
    assert list(found) == [wrong.breaks]
    assert wrong.says in found[wrong.breaks]


@pytest.mark.parametrize("name", wrong_models.GOOD)
def test_a_good_model_passes_every_check(name: str) -> None:
    """Every check of a good model is ok."""
    reports = checked(wrong_models.GOOD[name])
    assert list(reports) == NAMES
    assert {report.outcome for report in reports.values()} == {"ok"}, reports


def test_every_check_has_a_model_that_fails_it() -> None:
    """No check is without a fault it is shown to catch, here or in a test of its own."""
    own = {"discovery", "light-import", "cost"}
    assert {wrong.breaks for wrong in WRONG.values()} | own == set(NAMES)


def test_a_model_that_is_not_offered_is_caught_by_discovery(tmp_path: Path) -> None:
    """What an import raises is reported with its hint, and leaves other checks without a result."""
    imported = Imported(PluginError("the model is no longer offered", hint="install it again"))
    first, *others = check_all(CheckedModel(imported, PLAIN, tmp_path, SideEffects()))
    assert (first.check, first.outcome, first.hint) == ("discovery", "error", "install it again")
    assert {report.outcome for report in others} == {"skipped"}
    assert {report.message for report in others} == {"needs what discovery checks"}
    assert failed([first, *others])


IMPORTS = {
    "import imports_torch": ("light-import", "importing_0.py, line 1"),
    "import torch": ("light-import", "importing_1.py, line 1"),
    "try: import torch\nexcept ImportError: pass": ("light-import", "importing_2.py, line 1"),
    "import os; os.environ['FMBENCH_TRACE'] = '1'": ("state-kept", "FMBENCH_TRACE"),
    "import os; os.chdir('/')": ("state-kept", "import changes the working directory"),
    "import random; random.seed(0)": ("state-kept", "random stream of random"),
    "import numpy; numpy.random.seed(0)": ("state-kept", "random stream of numpy"),
    "import imports_network": ("no-network", "import connects to 192.0.2.1"),
    "from pathlib import Path; Path.home().joinpath('t').touch()": (
        "state-kept",
        "import changes ~/t",
    ),
    "": ("", ""),
}


def test_what_an_import_does_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing the plugin loads no torch, changes nothing, and reaches for nothing."""
    (tmp_path / "imports_torch.py").write_text("\n\nimport torch")
    (tmp_path / "imports_network.py").write_text(
        "import contextlib, socket\n"
        "with contextlib.suppress(OSError):\n"
        f"    socket.socket().connect({wrong_models.ADDRESS})\n"
    )
    for number, line in enumerate(IMPORTS):
        install_into(tmp_path, f"importing-{number}", f"{line}\n{GOOD}")
    monkeypatch.syspath_prepend(tmp_path)
    for name, value in child_environment(tmp_path, tmp_path / "cache").items():
        monkeypatch.setenv(name, value)
    names = [f"importing-{number}" for number in range(len(IMPORTS))]
    reports = list(check_models(discovery.catalogue(), names, PLAIN))
    for number, (check, says) in enumerate(IMPORTS.values()):
        mine = [one for one in reports if one.plugin == f"importing-{number} 1.0"]
        found = {one.check: one.message for one in mine if one.outcome != "ok"}
        assert len(mine) == len(CHECKS)
        assert list(found) == [check] * bool(check), found
        assert says in found.get(check, "")


PRETRAINED = """
def pretrained(spec):
    import os, pathlib, urllib.request
    cache = os.environ.get("TORCH_HOME") or pathlib.Path.home() / ".cache" / "torch"
    if not pathlib.Path(cache, "weights").exists():
        urllib.request.urlopen("http://weights.invalid/model")
    return linear(spec)
"""


@pytest.mark.parametrize("place", ["home/.cache/torch", "elsewhere"])
def test_weights_that_were_downloaded_earlier_are_missed(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a cache holds on this machine alone does not hide that the network is needed."""
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "weights").touch()
    install_into(tmp_path, "pretrained", offering("p=pretrained", extra=PRETRAINED))
    monkeypatch.syspath_prepend(tmp_path)
    for name, value in child_environment(tmp_path, tmp_path / "cache").items():
        monkeypatch.setenv(name, value)
    if place == "elsewhere":
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / place))
    reports = list(check_models(discovery.catalogue(), ["pretrained"], PLAIN))
    found = {one.check: one.message for one in reports if one.outcome == "error"}
    assert found == {"no-network": "build looks up weights.invalid"}


def test_a_crash_below_a_folder_of_any_name_is_the_plugins(tmp_path: Path) -> None:
    """Faulthandler escapes what is not ASCII; paths are compared as they are."""
    core = Path(fmbench.__file__).parent
    escaped = str(core / "jörg.py").encode("ascii", "backslashreplace").decode()
    mine = str(tmp_path / "Ünï.py").encode("ascii", "backslashreplace").decode()
    frames = f'  File "{escaped}", line 1 in run\n  File "{mine}", line 7 in forward\n'
    assert line_of_crash(frames) == "Ünï.py, line 7, in forward"


@pytest.mark.parametrize(
    ("uphill", "outcome", "networks"),
    [((1,), "ok", 5), ((2,), "ok", 5), ((1, 4), "error", 5), ((2, 4), "error", 5),
     ((1, 2), "error", 4), ((4,), "ok", 4)],
)  # fmt: skip
def test_a_model_that_learns_from_two_of_three_seeds_learns(
    uphill: tuple[int, ...], outcome: str, networks: int
) -> None:
    """One seed may be unlucky, and two may not; a third is tried only when two disagree."""
    built: list[nn.Module] = []

    def build(spec: InputSpec) -> nn.Module:  # the second, third and fifth of them are trained
        wrong = len(built) in uphill
        built.append(WRONG["uphill"].build(spec) if wrong else wrong_models.Linear())
        return built[-1]

    assert checked(build, until="learns")["learns"].outcome == outcome
    assert len(built) == networks


def test_a_full_folder_is_not_the_models_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no checkpoint can be written there is none to read, and TMPDIR is named."""

    def full(*_: object, **__: object) -> None:
        raise StoreError("cannot be written: no space left", hint="make room")

    monkeypatch.setattr(Checkpoints, "save", full)
    reports = checked(wrong_models.GOOD["linear"])
    report = reports.pop("safetensors")
    assert report.outcome == "skipped"
    assert "TMPDIR" in report.message
    assert {one.outcome for one in reports.values()} == {"ok"}


def test_a_torch_that_cannot_be_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that ends before its first check says what to try, and its other checks skip."""
    install_into(tmp_path, "wholesome", GOOD)
    (tmp_path / "torch.py").write_text("raise ImportError('libtorch.so is missing')")
    monkeypatch.syspath_prepend(tmp_path)
    for name, value in child_environment(tmp_path, tmp_path / "cache").items():
        monkeypatch.setenv(name, value)
    first, *others = check_models(discovery.catalogue(), ["wholesome"], PLAIN)
    assert (first.outcome, first.message) == ("error", "the process ended with exit status 1")
    assert "import torch" in first.hint
    assert {one.message for one in others} == {"needs what discovery checks"}


def test_a_run_that_does_not_fit_is_a_warning(
    tiny: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More memory than there is, or more than a day, is reported beforehand."""
    long = tiny.variant(tmp_path / "long.toml", ("epochs = 2", "epochs = 1_000_000_000"))
    too_long = checked(wrong_models.GOOD["linear"], protocol.load(str(long)))["cost"]
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=1_000_000))
    too_large = checked(wrong_models.GOOD["linear"])["cost"]
    for report, says in (
        (too_long, "a run of tiny-v1 here takes about"),
        (too_large, "and there are 1.00 MB"),
    ):
        assert report.outcome == "warning"
        assert "7,850 parameters, 15.7 k FLOPs" in report.message
        assert says in report.message


def test_the_memory_of_a_run_is_what_its_tensors_hold() -> None:
    """Parameters, gradients, two moments, what the backward pass needs, and the images."""
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 1000, bias=False), nn.ReLU(), nn.Linear(1000, 10)
    )
    pixels = torch.zeros(64, 28, 28, dtype=torch.uint8)
    images = Images(pixels, size=28, rules=PLAIN.data, device=torch.device("cpu"))
    found = expected_cost(network, images, PLAIN)
    weights = 784 * 1000 + 1000 * 10 + 10
    kept = 64 * (784 + 1000 + 10)  # the images, the hidden layer, the logits
    assert found.parameters == weights
    assert found.peak_memory == pytest.approx(4 * 4 * weights + 4 * kept + 60_000 * 784, rel=0.01)


def state() -> list[object]:
    """What a wrong model below changes."""
    flags = torch.get_default_dtype(), torch.get_deterministic_debug_mode()
    return [*flags, torch.get_default_device(), dict(os.environ), Path.cwd()]


def test_what_a_model_changes_is_put_back() -> None:
    """After each moment: flags, folder and environment."""

    def build(_: InputSpec) -> nn.Module:
        torch.set_default_dtype(torch.float64)
        torch.use_deterministic_algorithms(True)
        torch.set_default_device("meta")
        os.environ["FMBENCH_TRACE"] = "1"
        os.chdir("/")
        return wrong_models.Linear()

    devices.set_flags(PLAIN.devices["cpu"], torch.get_num_threads())
    before = state()
    assert "state-kept" in faults(build)
    assert state() == before


def test_a_report_has_the_traceback_of_what_was_raised() -> None:
    """An author sees where in the plugin an error comes from."""
    report = checked(WRONG["build raises"].build)["builds"]
    assert "in fail" in report.trace
    assert "ValueError: there is no such layer" in report.trace


def a_report(outcome: str, model: str = "m", **fields: str) -> Report:
    """A report of one check."""
    told = {"message": "", "hint": "", "check": "output", "requires": "It is so."} | fields
    return Report(model=model, plugin="p 1", outcome=outcome, **told)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcomes", "fails"),
    [
        ([], True),
        (["ok", "warning", "skipped"], False),
        (["ok", "error"], True),
        (["skipped", "skipped"], True),
    ],
)
def test_errors_and_nothing_checked_fail(outcomes: list[str], fails: bool) -> None:
    """An error fails; so does a model all of whose checks were skipped, and no model at all."""
    reports = [a_report(outcome) for outcome in outcomes]
    assert failed(reports) is fails
    assert failed([*reports, a_report("skipped", "another")])


def test_what_checks_require_are_sentences() -> None:
    """What a check requires is one line that ends in a full stop; names are unique."""
    for check in CHECKS:
        assert check.requires.endswith(".")
        assert "\n" not in check.requires
    assert len(set(NAMES)) == len(NAMES)


def test_what_a_plugin_says_is_printed_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Markup and control characters in a message are printed, not obeyed; a hint stands below."""
    reports = [a_report("error", message="[red]x[/red]\x1b[2J", hint="mend it"), a_report("ok")]
    assert print_reports(reports) == reports
    printed = capsys.readouterr()
    assert "m (p 1)\n  error   output: [red]x[/red]\N{REPLACEMENT CHARACTER}[2J\n" in printed.out
    assert "hint: mend it" in printed.out
    assert "1 model checked: 1 ok, 0 warning, 1 error, 0 skipped" in printed.err


def test_the_command_never_loads_torch() -> None:
    """Neither the checks' runner nor their printer imports torch: the children do."""
    code = (
        "import sys, fmbench.testing.isolation, fmbench.console.checks; "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


PROBLEM = Problem(entry="broken[x]", version="1.0", what="it implements no hook", hint="do so")


def test_problems_of_what_is_asked_for_are_errors() -> None:
    """A plugin's problem is an error of its own, whether all is asked for or its distribution."""
    broken = Catalogue(problems=(PROBLEM,))
    for requests in ([], ["broken"]):
        (report,) = check_models(broken, requests, PLAIN)
        assert (report.check, report.outcome, report.plugin) == (
            "discovery", "error", "broken[x] 1.0",
        )  # fmt: skip
        assert (report.message, report.hint) == (PROBLEM.what, PROBLEM.hint)
        assert failed([report])


def test_names_that_nobody_offers_are_usage_errors() -> None:
    """An unknown name is reported at once; no plugin at all is nothing selected."""
    with pytest.raises(NothingSelectedError):
        check_models(Catalogue(), [], PLAIN)
    known = discovery.catalogue()
    with pytest.raises(UsageError, match="sotfmax"):
        check_models(known, ["sotfmax"], PLAIN)


def test_a_plugin_that_lists_nothing_says_what_to_name() -> None:
    """A distribution of families alone is reported, with the prefixes of what it can resolve."""
    family = ListedFamily(prefix="vgg11@", plugin=samples.PLUGIN)
    with pytest.raises(NothingSelectedError, match=r"no model matches 'plugin-a:\*'") as caught:
        check_models(Catalogue(families=(family,)), ["plugin-a"], PLAIN)
    assert "vgg11@" in caught.value.hint


HOSTILE = """
import ctypes, os, pathlib, subprocess, time

def segfault(spec):
    ctypes.string_at(0)

def leave(spec):
    network = linear(spec)
    network.register_forward_hook(lambda *_: os._exit(0))
    return network

def hang(spec):
    sleeper = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    marker = pathlib.Path(os.environ["FMBENCH_TEST_MARKER"])
    marker.with_suffix(".new").write_text(str(sleeper.pid))
    marker.with_suffix(".new").rename(marker)
    while True:
        time.sleep(0.01)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Plugins that crash, hang and exit, and good ones, installed for this process and others."""
    site = tmp_path_factory.mktemp("site")
    hostile = offering(
        "segfaults=segfault", "leaves=leave", "hangs=hang", "well=linear", extra=HOSTILE
    )
    install_into(site, "hostile", hostile)
    install_into(site, "misspelt", GOOD.replace("def fmbench_models", "def fmbench_model"))
    install_into(site, "of-tomorrow", f"fmbench_contract = 99\n{GOOD}")
    install_into(site, "empty", f"{HEADER}\n@fmbench.hookimpl\ndef fmbench_models(): return []\n")
    install_into(site, "mixed", offering(
        "good=linear", "squeezed=squeezed", "spare=spare", extra=MIXED
    ))  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        for name, value in child_environment(site, tmp_path_factory.mktemp("cache")).items():
            patch.setenv(name, value)
        patch.setenv("FMBENCH_TEST_MARKER", str(site / "marker"))
        patch.setenv("FMBENCH_PLUGINS", "no:fmbench-softmax,no:fmbench-timm,no:fmbench-vgg")
        yield site


MIXED = """
def squeezed(spec):
    from torch import nn
    class Squeezed(nn.Linear):
        def forward(self, batch):
            return super().forward(batch.flatten(1)).squeeze()
    return Squeezed(784, 10)

def spare(spec):
    from torch import nn
    network = linear(spec)
    network[0].unused = nn.Linear(1, 1)
    return network
"""


def test_a_model_that_crashes_exits_or_hangs_is_named_with_the_check_it_was_at(
    installed: Path,
) -> None:
    """It costs its own remaining checks alone, its children are ended, and the line is reported."""
    marker = installed / "marker"
    reports = list(
        check_models(
            discovery.catalogue(),
            ["hostile"],
            PLAIN,
            timeout=600,
            clock=lambda: 1e6 if marker.exists() else 0.0,
        )
    )
    by_model = {
        model: {report.check: report for report in reports if report.model == model}
        for model in ("segfaults", "leaves", "hangs", "well")
    }
    for model, check, says in (
        ("segfaults", "builds", "signal SIGSEGV, at hostile.py"),
        ("leaves", "output", "the process ended with exit status 0"),
        ("hangs", "builds", "still busy after 600 s, at hostile.py"),
    ):
        found = by_model[model]
        assert list(found) == NAMES
        assert [name for name in NAMES if found[name].outcome == "error"] == [check]
        assert says in found[check].message
        assert {found[name].outcome for name in NAMES[NAMES.index(check) + 1 :]} == {"skipped"}
    assert list(by_model["well"]) == NAMES
    assert {report.outcome for report in by_model["well"].values()} == {"ok"}
    assert not psutil.pid_exists(int(marker.read_text()))


def test_a_plugin_that_breaks_the_contract_is_named_with_its_fault(installed: Path) -> None:
    """A misspelt hook and another contract are found before any model is."""
    catalogue = discovery.catalogue()
    for name, says in (("misspelt", "fmbench_model"), ("of-tomorrow", "contract 99")):
        (report,) = check_models(catalogue, [name], PLAIN)
        assert (report.outcome, report.model) == ("error", "")
        assert says in report.message
        assert report.hint


SUITE = """
import {module}
from fmbench.testing import contract


@contract({module})
def test_contract(check):
    check()
"""


def test_a_whole_test_file_of_a_plugin_is_ten_lines(installed: Path, tmp_path: Path) -> None:
    """Each check of each model is an item; errors fail and say why, warnings are shown."""
    stray = tmp_path / "stray.py"
    stray.write_text(GOOD)
    for module in ("mixed", "misspelt", "empty", "stray"):
        (tmp_path / f"test_{module}.py").write_text(SUITE.format(module=module))
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "--color=no", tmp_path],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ran.returncode == 1, ran.stderr
    assert len(SUITE.strip().splitlines()) <= 10
    ended = {
        line.split("::")[-1].split(" - ")[0]: line.split()[0]
        for line in ran.stdout.splitlines()
        if line.startswith(("PASSED", "FAILED"))
    }
    for name in NAMES:
        assert ended[f"test_contract[good-{name}]"] == "PASSED"
        assert ended[f"test_contract[spare-{name}]"] == "PASSED"
    assert ended["test_contract[squeezed-output]"] == "FAILED"
    assert "ContractWarning: spare fails unused-parameters" in ran.stdout
    assert "squeezed fails output: the model returned torch.float32" in ran.stdout
    assert "requires: The output is (batch, classes)" in ran.stdout
    assert "squeezed cost: needs what output checks" in ran.stdout
    assert "empty offers no model: nothing is checked" in ran.stdout
    assert "no installed distribution has an entry point that names stray" in ran.stdout
    assert "misspelt[" in ran.stdout
    assert "unknown hook 'fmbench_model'" in ran.stdout
    assert ran.stdout.count("FAILED test_") == 4


STARTS = """
def starts(spec):
    import os, pathlib, subprocess
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    pathlib.Path(os.environ["FMBENCH_TEST_STARTED"]).write_text(str(process.pid))
    return linear(spec)
"""


def test_a_check_ends_what_the_model_started_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of the test's own, a server say, goes on; one that the plugin started does not."""
    install_into(tmp_path, "starting", offering("starts=starts", extra=STARTS))
    monkeypatch.syspath_prepend(tmp_path)
    for name, value in child_environment(tmp_path, tmp_path / "cache").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FMBENCH_TEST_STARTED", str(tmp_path / "started"))
    (model,) = [one for one in discovery.catalogue().models if one.name == "starts"]
    mine = subprocess.Popen(["sleep", "1000"])
    try:
        assert {report.outcome for report in check_model(model, PLAIN)} == {"ok"}
        assert mine.poll() is None
    finally:
        mine.kill()
        mine.wait()
    assert not psutil.pid_exists(int((tmp_path / "started").read_text()))


def test_without_pytest_the_suite_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """`fmbench.testing` imports without pytest; only the decorator needs it, and says so."""
    monkeypatch.setitem(sys.modules, "pytest", None)
    with pytest.raises(UsageError, match="pip install pytest"):
        contract(wrong_models)

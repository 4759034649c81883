"""The checks of the contract: each catches and names the fault it is for, and no other."""

import contextlib
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
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
from fmbench.errors import NothingSelectedError, PluginError, UsageError
from fmbench.testing import Report, contract, manual
from fmbench.testing.checks import perform
from fmbench.testing.child import ChildFolder
from fmbench.testing.facts import Fact
from fmbench.testing.laws import LAWS
from fmbench.testing.report import failed
from fmbench.testing.running import check_models
from fmbench.testing.subject import Subject
from fmbench.testing.surroundings import Surroundings, random_streams_kept
from plugins_of_all_kinds import GOOD, HEADER, offering
from wrong_models import WRONG, Build

ROOT = Path(__file__).parents[1]
NAMES = [law.check.name for law in LAWS]
PLAIN = protocol.load("quick-v1")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a file in it, where a wrong model can do no harm."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "precious").write_text("")
    monkeypatch.setenv("HOME", str(folder))
    return folder


def examine(subject: Subject) -> Iterator[Report]:
    """Put every law to a subject, in order."""
    for law in LAWS:
        yield perform(law, subject)


@contextlib.contextmanager
def examined(build: Build, value: str = "") -> Iterator[Subject]:
    """A subject of a model with that build function."""
    with random_streams_kept():
        subject = Subject("model", lambda: Model("model", build), PLAIN, value=value)
        yield subject
        subject.release()


def faults(build: Build, value: str = "") -> dict[str, str]:
    """What each check that a model fails says, errors and warnings."""
    with examined(build, value) as subject:
        return {
            report.check: report.message
            for report in examine(subject)
            if report.outcome in ("error", "warning")
        }


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_model_is_caught_by_the_law_it_breaks(name: str) -> None:
    """One check fails, that of the broken law, and says what is wrong."""
    wrong = WRONG[name]
    found = faults(wrong.build)
    assert list(found) == [wrong.breaks]
    assert wrong.says in found[wrong.breaks]


def test_the_clean_up_of_what_others_left_is_not_a_models_doing() -> None:
    """Garbage that is collected while a model is built, and removes its files, blames nobody."""

    def build(_: InputSpec) -> nn.Module:
        left.clear()
        return wrong_models.Linear()

    left = [tempfile.TemporaryDirectory()]
    assert faults(build) == {}


@pytest.mark.parametrize("name", wrong_models.GOOD)
def test_a_good_model_passes_every_check(name: str) -> None:
    """Every check of a good model is ok; the import is not checked where there is no plugin."""
    with examined(wrong_models.GOOD[name]) as subject:
        outcomes = {report.check: report.outcome for report in examine(subject)}
    assert outcomes.pop("light-import") == "skipped"
    assert set(outcomes.values()) == {"ok"}, outcomes


def test_every_law_has_a_model_that_breaks_it() -> None:
    """No check is without a fault it is shown to catch, here or in a test of its own."""
    own = {"discovery", "name-form", "light-import", "cost"}
    assert {wrong.breaks for wrong in WRONG.values()} | own == set(NAMES)


def test_a_model_that_is_not_offered_is_caught_by_discovery() -> None:
    """What an import raises is told with its hint, and leaves other checks without a verdict."""

    def load() -> Model:
        raise PluginError("the model is no longer offered", hint="install it again")

    subject = Subject("model", load, PLAIN)
    first, *others = examine(subject)
    assert (first.check, first.outcome, first.hint) == ("discovery", "error", "install it again")
    assert {report.outcome for report in others} == {"skipped"}
    assert failed([first, *others])


@pytest.mark.parametrize("name", ["Model", "a/b/c", "model\n", "modèle"])
def test_a_name_that_got_past_the_contract_is_caught(name: str) -> None:
    """A name of another form is an error of its own check alone."""
    model = Model("model", wrong_models.GOOD["linear"])
    object.__setattr__(model, "name", name)
    subject = Subject(name, lambda: model, PLAIN)
    bad = [report for report in examine(subject) if report.outcome == "error"]
    subject.release()
    assert [(report.check, repr(name) in report.message) for report in bad] == [("name-form", True)]


IMPORTS = {
    "import imports_torch": ("light-import", "imported_alone.py, line 1"),
    "import torch": ("light-import", "imported_alone.py, line 1"),
    "import os; os._exit(3)": ("light-import", "exit status 3"),
    "raise ValueError('no')": ("light-import", "ValueError: no (imported_alone.py, line 1"),
    "import os; os.environ['FMBENCH_TRACE'] = '1'": ("globals-untouched", "FMBENCH_TRACE"),
    "import os; os.chdir('/')": ("globals-untouched", "import changes the working directory"),
    "import random; random.seed(0)": ("globals-untouched", "random stream of random"),
    "import wrong_models_network": ("no-network", "import connects to 192.0.2.1"),
    "from pathlib import Path; Path.home().joinpath('t').touch()": ("no-writes", "import writes"),
}


@pytest.mark.parametrize("line", IMPORTS)
def test_what_an_import_does_is_caught(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Importing the plugin alone loads no torch, changes nothing, and reaches for nothing."""
    (tmp_path / "imported_alone.py").write_text(f"{line}\n{GOOD}")
    (tmp_path / "imports_torch.py").write_text("\n\nimport torch")
    (tmp_path / "wrong_models_network.py").write_text(
        "import contextlib, socket\n"
        "with contextlib.suppress(OSError):\n"
        f"    socket.socket().connect({wrong_models.ADDRESS})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    check, says = IMPORTS[line]
    found = faults(wrong_models.GOOD["linear"], "imported_alone")
    assert list(found) == [check]
    assert says in found[check]


def test_a_crash_below_a_folder_of_any_name_is_the_plugins(tmp_path: Path) -> None:
    """Faulthandler escapes what is not ASCII; paths are compared as they are."""
    folder = ChildFolder(tmp_path)
    core = Path(fmbench.__file__).parent
    escaped = str(core / "jörg.py").encode("ascii", "backslashreplace").decode()
    mine = str(tmp_path / "Ünï.py").encode("ascii", "backslashreplace").decode()
    frames = f'  File "{escaped}", line 1 in run\n  File "{mine}", line 7 in forward\n'
    folder._stuck.write_text(frames)
    assert folder.where() == "Ünï.py, line 7, in forward"


def test_a_plugin_that_lists_lightly_passes_the_import_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin that imports torch in its build function has nothing to be told."""
    (tmp_path / "imported_lightly.py").write_text(GOOD)
    monkeypatch.syspath_prepend(tmp_path)
    assert faults(wrong_models.GOOD["linear"], "imported_lightly") == {}


@pytest.mark.parametrize(("uphill", "outcome"), [((2,), "ok"), ((2, 3), "error")])
def test_the_third_seed_decides_when_two_disagree(uphill: tuple[int, ...], outcome: str) -> None:
    """A model that learns from two seeds of three learns; from one of three it does not."""
    built: list[nn.Module] = []

    def build(spec: InputSpec) -> nn.Module:  # twice from the first seed, then from the others
        wrong = len(built) in uphill
        built.append(WRONG["uphill"].build(spec) if wrong else wrong_models.Linear())
        return built[-1]

    with examined(build) as subject:
        report = perform(LAWS[NAMES.index("learns")], subject)
    assert report.outcome == outcome
    assert len(built) == 4


def test_a_run_that_does_not_fit_is_a_warning(tiny: TinyData, tmp_path: Path) -> None:
    """More memory than there is, or more than a day, is told beforehand."""
    long = tiny.variant(tmp_path / "long.toml", ("epochs = 2", "epochs = 1_000_000_000"))
    for rules, memory, says in (
        (PLAIN, 1_000_000, "and there are 1.00 MB"),
        (protocol.load(str(long)), None, "a run of tiny-v1 here takes about"),
    ):
        subject = Subject(
            "model", lambda: Model("model", wrong_models.GOOD["linear"]), rules, memory=memory
        )
        report = perform(LAWS[-1], subject)
        assert (report.check, report.outcome) == ("cost", "warning")
        assert "7,850 parameters, 15.7 k FLOPs" in report.message
        assert says in report.message


def test_the_memory_of_a_run_is_what_its_tensors_hold() -> None:
    """Parameters, gradients, two moments, what the backward pass needs, and the images."""

    def build(_: InputSpec) -> nn.Module:
        return nn.Sequential(
            nn.Flatten(), nn.Linear(784, 1000, bias=False), nn.ReLU(), nn.Linear(1000, 10)
        )

    with examined(build) as subject:
        found = subject.estimate
    weights = 784 * 1000 + 1000 * 10 + 10
    kept = 64 * (784 + 1000 + 10)  # the images, the hidden layer, the logits
    assert found.parameters == weights
    assert found.memory == pytest.approx(4 * 4 * weights + 4 * kept + 60_000 * 784, rel=0.01)


def test_each_fact_has_a_check_that_answers_for_it() -> None:
    """When a fact cannot be found out, there is a check whose error that is."""
    owners = {value._owner for value in vars(Subject).values() if isinstance(value, Fact)}
    assert owners <= set(NAMES)


@pytest.mark.parametrize("build", [WRONG["squeezed"].build, wrong_models.convolutional])
def test_the_order_of_checks_does_not_matter(build: Build) -> None:
    """Each check gives the same outcome when it is the first, as pytest may choose."""
    with examined(build) as subject:
        forwards = {report.check: report.outcome for report in examine(subject)}
    with examined(build) as subject:
        backwards = {law.check.name: perform(law, subject).outcome for law in reversed(LAWS)}
    assert backwards == forwards


def test_checking_leaves_this_process_as_it_was() -> None:
    """Whatever a model changes is put back: flags, folder, environment and random streams."""

    def build(_: InputSpec) -> nn.Module:
        torch.manual_seed(5)
        np.random.seed(5)
        random.seed(5)
        torch.set_default_dtype(torch.float64)
        os.environ["FMBENCH_TRACE"] = "1"
        os.chdir("/")
        return wrong_models.Linear()

    def draw() -> tuple[float, float, float]:
        return torch.rand(1).item(), np.random.rand(), random.random()

    def seed() -> None:
        torch.manual_seed(1)
        np.random.seed(1)
        random.seed(1)

    before = Surroundings()
    seed()
    expected = draw()
    seed()
    assert "globals-untouched" in faults(build)
    assert draw() == expected
    seed()
    assert before.changes_since() in ([], ["the seed of torch"])


def test_a_remark_has_the_traceback_of_what_was_raised() -> None:
    """An author sees where in the plugin an error comes from."""
    with examined(WRONG["build raises"].build) as subject:
        report = perform(LAWS[NAMES.index("builds")], subject)
    assert "in fail" in report.trace
    assert "ValueError: there is no such layer" in report.trace


def a_report(outcome: str, model: str = "m", **fields: str) -> Report:
    """A report of one check."""
    told = {"message": "", "hint": "", "check": "output", "law": "It is so."} | fields
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


def test_laws_are_sentences() -> None:
    """A law is one line that ends in a full stop, its check's name its function's."""
    for law in LAWS:
        assert law.check.law.endswith(".")
        assert "\n" not in law.check.law
        assert law.check.name == law.judge.__name__.replace("_", "-")
    assert len(set(NAMES)) == len(NAMES)


def test_the_page_of_checks_is_fresh() -> None:
    """docs/checks.md is what `python -m fmbench.testing.manual` prints."""
    assert (ROOT / "docs" / "checks.md").read_text("utf-8") == manual.page()


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
        "import sys, fmbench.testing.running, fmbench.console.checks; "
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
    """An unknown name is told at once; no plugin at all is nothing selected."""
    with pytest.raises(NothingSelectedError):
        check_models(Catalogue(), [], PLAIN)
    known = discovery.catalogue()
    with pytest.raises(UsageError, match="sotfmax"):
        check_models(known, ["sotfmax"], PLAIN)


def test_a_plugin_that_lists_nothing_says_what_to_name() -> None:
    """A distribution of families alone is told so, with the prefixes of what it can resolve."""
    family = ListedFamily(prefix="vgg11@", plugin=samples.PLUGIN)
    with pytest.raises(NothingSelectedError, match="plugin-a lists no model") as caught:
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
    """It costs its own remaining checks alone, what it started is ended, and the line is told."""
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
    """Each check of each model is an item; errors fail with law and hint, warnings are shown."""
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
    assert ended["test_contract[squeezed-batch-of-one]"] == "FAILED"
    assert "ContractWarning: spare breaks unused-parameters" in ran.stdout
    assert "squeezed breaks batch-of-one: the model returned torch.float32" in ran.stdout
    assert "law: A batch of one image is answered" in ran.stdout
    assert "squeezed cost: needs what batch-of-one checks" in ran.stdout
    assert "empty offers no model: nothing is checked" in ran.stdout
    assert "no installed distribution has an entry point that names stray" in ran.stdout
    assert "misspelt[" in ran.stdout
    assert "unknown hook 'fmbench_model'" in ran.stdout
    assert ran.stdout.count("FAILED test_") == 4


def test_without_pytest_the_suite_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """`fmbench.testing` imports without pytest; only the decorator needs it, and says so."""
    monkeypatch.setitem(sys.modules, "pytest", None)
    with pytest.raises(UsageError, match="pip install pytest"):
        contract(wrong_models)

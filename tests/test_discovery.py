"""Discovery: plugins of all kinds as real metadata in a real folder, listed in real children."""

import importlib.abc
import json
import os
import shutil
import sys
import zipfile
from importlib import metadata
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

import msgspec
import pytest

from conftest import Fmbench, Install, TinyData, alive
from fmbench import discovery, hardware, protocol
from fmbench.cli import completion
from fmbench.discovery import child, choice, entries, fingerprint, listing
from fmbench.errors import FmbenchError, NothingSelectedError, PluginError
from fmbench.execution import selection
from fmbench.execution.plan import make_run, make_setting
from plugins_of_all_kinds import GOOD, HEADER, UNPRINTABLE, offering

BAD = {
    "import-error": ("import nothing_of_this_name", "ModuleNotFoundError"),
    "syntax-error": ("def broken(:", "SyntaxError"),
    "exits": ("raise SystemExit(0)", "SystemExit"),
    "dies": ("import os; os._exit(0)", "exit status 0"),
    "segfaults": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "is-killed": ("import os; os.kill(os.getpid(), 9)", "SIGKILL"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "misspelt": (f"{HEADER}\n@fmbench.hookimpl\ndef fmbench_model(): return []", "fmbench_model"),
    "unmarked": (f"{HEADER}\ndef fmbench_models(): return []", "not marked"),
    "empty": ("", "implements no hook"),
    "returns-none": (f"{HEADER}\n@fmbench.hookimpl\ndef fmbench_models(): pass", "None"),
    "returns-one": (
        f"{HEADER}\n@fmbench.hookimpl\ndef fmbench_models(): return fmbench.Model('m', linear)",
        "one Model, not a list",
    ),
    "offers-text": (f"{HEADER}\n@fmbench.hookimpl\ndef fmbench_models(): return ['m']", "str"),
    "contract": ("fmbench_contract = 99", "written for contract 99"),
    "twins": (offering("twin=linear", "twin=linear"), "two models named twin"),
    "hostile": (offering("../x=linear"), "not a model name"),
    "raises": (f"{HEADER}\n@fmbench.hookimpl\ndef fmbench_models(): 1 / 0", "ZeroDivisionError"),
}


@pytest.fixture
def found(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this process and its children see `site` and nothing that is installed besides."""
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(site))
    real = entries.metadata.distributions
    monkeypatch.setattr(entries.metadata, "distributions", lambda: real(path=[str(site)]))
    return site


@pytest.mark.parametrize("name", BAD)
def test_a_broken_plugin_costs_only_its_own_models(
    found: Path, install: Install, name: str
) -> None:
    """Whatever a plugin does when it is loaded is its own problem, reported with a hint."""
    code, said = BAD[name]
    install(f"bad-{name}", code)
    install("zz-good", GOOD)
    catalogue = discovery.catalogue()
    assert [model.name for model in catalogue.models] == ["good"]
    assert [problem.entry for problem in catalogue.problems] == [f"bad-{name}[bad-{name}]"]
    assert said in catalogue.problems[0].what
    assert catalogue.problems[0].hint


@pytest.mark.parametrize(
    "spoil",
    ["import sys; sys.path.clear()", "import builtins; del builtins.print; raise SystemExit"],
)
def test_what_an_import_does_to_its_interpreter_is_nobody_elses_problem(
    found: Path, install: Install, spoil: str
) -> None:
    """A plugin that spoils the process it is listed in takes no other plugin's models with it."""
    install("bad-one", f"{spoil}\n{GOOD}".replace("good", "bad"))
    install("zz-good", f"import colorsys\nprint('here')\n{GOOD}")
    catalogue = discovery.catalogue()
    assert "good" in [model.name for model in catalogue.models]
    assert "zz-good" not in " ".join(problem.entry for problem in catalogue.problems)


def test_a_plugin_that_hangs_is_given_up(
    found: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endless import ends at the time limit, and so does what it has started."""
    monkeypatch.setattr(listing, "CHILD_SECONDS", 3)
    install("bad-hangs", f"{daemon(found / 'pid')}\nwhile True: pass")
    install("zz-good", GOOD)
    catalogue = discovery.catalogue()
    assert [model.name for model in catalogue.models] == ["good"]
    assert "still busy" in catalogue.problems[0].what
    assert not alive(int((found / "pid").read_text()))


@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), 11)"])
def test_a_plugin_that_dies_leaves_nothing_running(found: Path, install: Install, end: str) -> None:
    """What an import has started ends with it, also when it takes its process down at once."""
    install("bad-dies", f"{daemon(found / 'pid')}\nimport os\n{end}")
    assert "gave no answer" in discovery.catalogue().problems[0].what
    assert not alive(int((found / "pid").read_text()))


def daemon(path: Path) -> str:
    """Code that starts a process in a session of its own and writes its pid to a file."""
    return f"""
import subprocess
left = subprocess.Popen(["sleep", "600"], start_new_session=True)
open({str(path)!r}, "w").write(str(left.pid))
"""


def test_what_an_import_starts_does_not_outlive_it(found: Path, install: Install) -> None:
    """A process that a plugin starts when it is listed is gone when the catalogue is there."""
    install("plugin-a", f"{daemon(found / 'pid')}\n{GOOD}")
    assert [model.name for model in discovery.catalogue().models] == ["good"]
    assert not alive(int((found / "pid").read_text()))


def test_the_answer_is_cached_until_a_file_changes(
    found: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second look asks no child; an edited plugin does, and its source digest differs."""
    install("plugin-a", GOOD)
    first = discovery.catalogue()
    with monkeypatch.context() as patch:
        patch.setattr(listing, "_run_child", lambda *_: pytest.fail("a child was asked"))
        assert discovery.catalogue() == first
    install("plugin-a", offering("better=linear"))
    second = discovery.catalogue()
    assert [model.name for model in second.models] == ["better"]
    assert second.models[0].plugin.source != first.models[0].plugin.source


def test_bytecode_is_no_source(found: Path, install: Install) -> None:
    """What Python compiles beside a plugin changes no digest, listed or not."""
    install("plugin-a", GOOD)
    record = found / "plugin_a-1.0.dist-info" / "RECORD"
    record.write_text(f"{record.read_text()}__pycache__/plugin_a.pyc,,\n")
    (entry,) = entries.entries()
    before = fingerprint.source_digest(entry)
    (found / "__pycache__").mkdir(exist_ok=True)
    (found / "__pycache__" / "plugin_a.pyc").write_bytes(b"compiled")
    assert fingerprint.source_digest(entry) == before


def test_an_editable_install_is_its_modules_files(found: Path, install: Install) -> None:
    """A module that no RECORD lists counts, and so does a listed file: edits change the source."""
    install("plugin-a", GOOD)
    record = found / "plugin_a-1.0.dist-info" / "RECORD"
    listed = record.read_text()
    record.write_text(listed.replace("plugin_a.py,,\n", ""))
    first = discovery.catalogue().models[0]
    (found / "plugin_a.py").write_text(offering("better=linear"))
    second = discovery.catalogue().models[0]
    assert second.name == "better"
    helper = found / "helper.py"
    helper.write_text("")
    record.write_text(f"{listed}helper.py,,\n")
    third = discovery.catalogue().models[0]
    helper.write_text("edited = True")
    fourth = discovery.catalogue().models[0]
    digests = {model.plugin.source for model in (first, second, third, fourth)}
    assert len(digests) == 4


def test_modules_beside_an_editable_one_are_its_source(
    found: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the folder that an editable module lies in, whatever can be imported counts."""
    install("plugin-a", GOOD)
    folder = found.parent / "my-plugin"
    (folder / "layers").mkdir(parents=True)
    (found / "plugin_a.py").rename(folder / "plugin_a.py")
    monkeypatch.syspath_prepend(folder)  # as a .pth file or a finder would
    record = found / "plugin_a-1.0.dist-info" / "RECORD"
    record.write_text(record.read_text().replace("plugin_a.py,,\n", ""))
    (entry,) = [entry for entry in entries.entries() if entry.distribution == "plugin-a"]
    digests = [fingerprint.source_digest(entry)]
    for path in (folder / "helper.py", folder / "layers" / "__init__.py", folder / "layers/b.py"):
        for text in ("", "edited = True"):
            path.write_text(text)
            digests.append(fingerprint.source_digest(entry))
    (folder / "notes.txt").write_text("not imported")
    assert len(set(digests)) == len(digests) == 7
    assert fingerprint.source_digest(entry) == digests[-1]


SCRATCH = (
    ".__init__.py.swp", ".DS_Store", "__init__.py~", "#__init__.py#", "4913", "__init__.py.orig",
    "__pycache__/layers.cpython-311.pyc", ".ipynb_checkpoints/layers.py", ".#layers.py",
)  # fmt: skip


@pytest.mark.parametrize("name", SCRATCH)
def test_what_no_import_reads_is_no_source(
    found: Path, install: Install, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What editors and Python leave in an editable plugin changes no key; what it ships does."""
    install("plugin-a", GOOD)
    folder = found.parent / "my-plugin" / "plugin_a"
    folder.mkdir(parents=True)
    (found / "plugin_a.py").rename(folder / "__init__.py")
    monkeypatch.syspath_prepend(folder.parent)
    record = found / "plugin_a-1.0.dist-info" / "RECORD"
    listed = record.read_text().replace("plugin_a.py,,\n", "")
    record.write_text(listed)
    (entry,) = [entry for entry in entries.entries() if entry.distribution == "plugin-a"]
    before = fingerprint.source_digest(entry)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("scratch")
    assert fingerprint.source_digest(entry) == before
    (folder / "weights.pth").write_text("data")
    assert fingerprint.source_digest(entry) != before


def test_a_hidden_file_that_a_wheel_ships_is_source(found: Path, install: Install) -> None:
    """What RECORD lists counts, whatever its name: the plugin may read it."""
    install("plugin-a", GOOD)
    record = found / "plugin_a-1.0.dist-info" / "RECORD"
    record.write_text(f"{record.read_text()}.plugin_a.json,,\n")
    (found / ".plugin_a.json").write_text("1")
    (entry,) = entries.entries()
    before = fingerprint.source_digest(entry)
    (found / ".plugin_a.json").write_text("2")
    assert fingerprint.source_digest(entry) != before


def test_a_plugin_in_an_archive_is_known_by_the_archive(
    found: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that is imported from a zip file has another key when the file is another."""
    digests = []
    for code in (GOOD, f"{GOOD}# changed\n"):
        install("plugin-a", code)
        (found / "plugin_a.py").rename(found.parent / "plugin_a.py")
        archive = found.parent / "plugins.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.write(found.parent / "plugin_a.py", "plugin_a.py")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(found), str(archive)]))
        monkeypatch.syspath_prepend(archive)
        importlib.invalidate_caches()
        (model,) = discovery.catalogue().models
        digests.append(model.plugin.source)
    assert len(set(digests)) == 2


def test_a_plugin_whose_code_cannot_be_found_is_refused(found: Path, install: Install) -> None:
    """Where no file is found nothing would show when the code changes: a problem, no model."""
    install("plugin-a", GOOD)
    (found / "plugin_a.py").rename(found.parent / "code.txt")
    (found / "sitecustomize.py").write_text(
        f"""
import importlib.abc, importlib.machinery, sys
class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        return importlib.machinery.ModuleSpec(name, self) if name == "plugin_a" else None
    def create_module(self, spec): return None
    def exec_module(self, module):
        exec(open({str(found.parent / "code.txt")!r}).read(), vars(module))
sys.meta_path.append(Finder())
"""
    )
    (problem,) = discovery.catalogue().problems
    assert "none of its files is found" in problem.what
    assert problem.hint


class InNamespace(importlib.abc.MetaPathFinder):
    """Finds a package of a namespace as an editable install of setuptools does."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """A namespace of no folder, and the package in it."""
        if name == "acme":
            namespace = ModuleSpec(name, None, is_package=True)
            namespace.submodule_search_locations = ["__editable__.acme.finder.__path_hook__"]
            return namespace
        return spec_from_file_location(name, self.file) if name == "acme.models" else None


def test_an_editable_package_of_a_namespace_is_its_own_files(
    found: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the command is typed, the files of the package count and no others."""
    install("plugin-a", GOOD, entry="acme.models")
    record = found / "plugin_a-1.0.dist-info" / "RECORD"
    record.write_text("__editable__.plugin_a-1.0.pth,,\n__editable___plugin_a_finder.py,,\n")
    (found / "__editable___plugin_a_finder.py").write_text("in a folder of this machine")
    package = found.parent / "lib"
    package.mkdir()
    (found / "plugin_a.py").rename(package / "__init__.py")
    monkeypatch.setattr(sys, "meta_path", [InNamespace(package / "__init__.py"), *sys.meta_path])
    (entry,) = entries.entries()
    assert [name for name, _ in fingerprint.installed_files(entry)] == ["lib/__init__.py"]
    (found.parent / "elsewhere.py").write_text("")
    monkeypatch.chdir(found.parent)
    assert [name for name, _ in fingerprint.installed_files(entry)] == ["lib/__init__.py"]


def test_others_in_a_namespace_are_no_source(found: Path, install: Install) -> None:
    """Another distribution in the same namespace changes no key; a file of one's own does."""
    install("plugin-a", "", entry="acme.models")
    models = found / "acme" / "models"
    models.mkdir(parents=True)
    (models / "__init__.py").write_text(GOOD)
    digests = [discovery.catalogue().models[0].plugin.source]
    (found / "acme" / "utils").mkdir()
    (found / "acme" / "utils" / "__init__.py").write_text("")
    digests.append(discovery.catalogue().models[0].plugin.source)
    (models / "layers.py").write_text("")
    digests.append(discovery.catalogue().models[0].plugin.source)
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    "value", ["plugin_a", "plugin_a [fast]", "plugin_a : plugin", "plugin_a:plugin[fast]"]
)
def test_however_an_entry_point_is_written_its_module_is_known(
    found: Path, install: Install, value: str
) -> None:
    """Extras and spaces are no part of a module's name: its files are found, and it is loaded."""
    code = f"{GOOD}\nimport sys\nplugin = sys.modules[__name__]\n"
    install("plugin-a", code, entry=value)
    record = found / "plugin_a-1.0.dist-info" / "RECORD"
    record.write_text("__editable__.plugin_a-1.0.pth,,\n")  # so that only the module tells
    (entry,) = entries.entries()
    assert (entry.module, fingerprint.installed_files(entry)[0][0]) == ("plugin_a", "plugin_a.py")
    assert [model.name for model in discovery.catalogue().models] == ["good"]


@pytest.mark.parametrize("value", ["plugin_a :", "./plugin_a.py", "plugin a"])
def test_what_is_no_entry_point_is_reported(found: Path, install: Install, value: str) -> None:
    """A value that names no module is shown, with what to write instead."""
    install("plugin-a", GOOD, entry=value)
    (problem,) = discovery.catalogue().problems
    assert repr(value.strip()) in problem.what
    assert "MODULE" in problem.hint


def test_a_dependency_whose_metadata_are_gone_has_no_version(found: Path, install: Install) -> None:
    """What an interrupted installation left of a dependency costs its plugin nothing."""
    install("plugin-a", GOOD, requires="half-there>=1")
    (found / "half_there-1.0.dist-info").mkdir()
    (model,) = discovery.catalogue().models
    assert model.plugin.dependencies == {"half-there": ""}


BROKEN_METADATA = {
    "no METADATA": {"entry_points.txt": b"[fmbench]\nx = x\n"},
    "no name": {"METADATA": b"Version: 1\n", "entry_points.txt": b"[fmbench]\nx = x\n"},
    "no UTF-8": {"METADATA": b"Name: \xff\n", "entry_points.txt": b"[fmbench]\nx = x\n"},
    "no entry point": {
        "METADATA": b"Name: x\nVersion: 1\n",
        "entry_points.txt": b"[console_scripts]\nthis is none\n",
    },
}


@pytest.mark.parametrize("how", BROKEN_METADATA)
def test_broken_metadata_costs_only_its_own_distribution(
    found: Path, install: Install, tiny: TinyData, fmbench: Fmbench, how: str
) -> None:
    """Metadata that cannot be parsed is a problem with its folder's name; all others work."""
    install("plugin-a", GOOD)
    folder = found / "x-0.1.dist-info"
    folder.mkdir()
    for name, content in BROKEN_METADATA[how].items():
        (folder / name).write_bytes(content)
    catalogue = discovery.catalogue()
    assert [model.name for model in catalogue.models] == ["good"]
    (problem,) = catalogue.problems
    assert problem.entry == str(folder)
    assert "metadata" in problem.what
    assert problem.hint
    asked = ("--protocol", tiny.protocol, "--data-dir", tiny.folder, "--seeds", 1)
    ran = fmbench("run", "good", *asked)
    assert ran.returncode == 0, ran.stderr
    assert f"problem in {folder}: " in ran.stderr


def test_a_plugins_own_record_that_cannot_be_read_is_its_problem(
    found: Path, install: Install
) -> None:
    """A list of files that no parser takes costs that plugin's models and nobody else's."""
    install("plugin-a", GOOD)
    install("plugin-b", offering("other=linear"))
    (found / "plugin_b-1.0.dist-info" / "RECORD").write_bytes(b"\xff\xfe")
    catalogue = discovery.catalogue()
    assert [model.name for model in catalogue.models] == ["good"]
    assert [problem.entry for problem in catalogue.problems] == ["plugin-b[plugin-b]"]


def test_words_that_utf8_cannot_hold_cost_no_plugin(found: Path, install: Install) -> None:
    """Half a surrogate pair in a summary, or in what an import raises, is spelt out."""
    summary = "[fmbench.Model('odd', linear, summary='\\udcff')]"
    install("plugin-a", f"{HEADER}\n@fmbench.hookimpl\ndef fmbench_models(): return {summary}")
    install("plugin-b", "raise ValueError('\\udcff')")
    install("plugin-c", f"{UNPRINTABLE}\nraise Unprintable")
    catalogue = discovery.catalogue()
    assert [model.summary for model in catalogue.models] == ["\\udcff"]
    assert [problem.what for problem in catalogue.problems] == [
        "ValueError: \\udcff",
        "Unprintable: it has no message that can be printed",
    ]


def test_a_dependency_of_another_version_makes_another_run(
    found: Path, install: Install, tiny: TinyData
) -> None:
    """What a plugin declares it needs is part of its runs' keys, upgraded behind the cache too."""
    others = "Requires-Dist: fashion-mnist-bench\nRequires-Dist: heavy; extra == 'dev'"
    install("plugin-a", GOOD, requires=f"needed>=1\n{others}")
    setting = make_setting(protocol.load(str(tiny.protocol)), hardware.cpu_device())
    keys = []
    for version in ("1.0", "2.0"):
        for old in found.glob("needed-*"):
            shutil.rmtree(old)
        install("needed", "", version=version, group="other")
        (model,) = discovery.catalogue().models
        assert model.plugin.dependencies == {"needed": version}
        run = make_run(model, setting, "final", "adamw", 1)
        assert run.torch == metadata.version("torch")
        keys.append(run.key)
    assert keys[0] != keys[1]


@pytest.mark.parametrize("fault", ["import os; os._exit(1)", "import nothing_of_this_name"])
def test_a_fault_is_looked_at_again(
    found: Path, install: Install, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A broken plugin is imported each time: what mends it may show in no stamp."""
    install("bad-dies", fault)
    asked, ask = [], listing._ask
    monkeypatch.setattr(listing, "_ask", lambda found: asked.append(1) or ask(found))
    assert discovery.catalogue() == discovery.catalogue()
    assert len(asked) == 2


def test_provenance_names_what_is_installed(found: Path, install: Install) -> None:
    """A model carries its distribution, version, entry and source digest."""
    install("plugin-a", GOOD, version="2.5")
    plugin = discovery.catalogue().models[0].plugin
    assert (plugin.distribution, plugin.version, plugin.entry) == ("plugin-a", "2.5", "plugin-a")
    assert len(plugin.source) == 64


FAMILY = f"""{HEADER}
def resolve(name):
    size = name.removeprefix("wide/")
    if not size.isdigit():
        raise LookupError(f"{{size}} is not a width; try wide/8")
    return fmbench.Model(name, linear)

@fmbench.hookimpl
def fmbench_models():
    return [fmbench.Family("wide/", resolve, listed=["wide/4"])]
"""


def test_members_of_a_family_are_resolved_on_request(found: Path, install: Install) -> None:
    """Listed members are in the catalogue; any other is found by its name, or its reason is."""
    install("plugin-a", FAMILY)
    catalogue = discovery.catalogue()
    assert [model.name for model in catalogue.models] == ["wide/4"]
    assert [model.name for model in selection.select(catalogue, ["wide/9"])] == ["wide/9"]
    with pytest.raises(PluginError, match="not a width"):
        selection.select(catalogue, ["wide/x"])


OVERLAPPING = f"""{HEADER}
def refuse(name):
    raise LookupError(f"nobody is {{name}}")

def resolve(name):
    return fmbench.Model(name, linear)

@fmbench.hookimpl
def fmbench_models():
    return [
        fmbench.Family("x/", refuse), fmbench.Family("x/y@", resolve),
        fmbench.Model("x/special", linear),
    ]
"""


@pytest.mark.parametrize("name", ["x/special", "x/y@1"])
def test_the_closest_offer_answers_for_a_name(found: Path, install: Install, name: str) -> None:
    """A model goes before a family, and the longest prefix before the others, in a worker too."""
    install("plugin-overlapping", OVERLAPPING)
    (model,) = selection.select(discovery.catalogue(), [name])
    assert model.name == name
    try:
        assert child.load_model(child.unchanged(model.plugin), name).name == name
    finally:
        sys.modules.pop("plugin_overlapping", None)


def test_a_plugin_is_loaded_for_training_by_its_provenance(found: Path, install: Install) -> None:
    """A worker gets the very model the catalogue named, or an error that says it is gone."""
    install("plugin-a", GOOD)
    plugin = discovery.catalogue().models[0].plugin
    try:
        entry = child.unchanged(plugin)
        assert child.load_model(entry, "good").name == "good"
        with pytest.raises(PluginError, match="no longer"):
            child.load_model(entry, "gone")
        older = msgspec.structs.replace(plugin, dependencies={"torch": "1.0"})
        with pytest.raises(child.ChangedError, match="have changed since"):
            child.unchanged(older)
        (found / "plugin_a.py").write_text(GOOD + "# edited\n")
        with pytest.raises(child.ChangedError, match="have changed since"):
            child.unchanged(plugin)
        shutil.rmtree(found / "plugin_a-1.0.dist-info")
        with pytest.raises(child.ChangedError):
            child.unchanged(plugin)
    finally:
        sys.modules.pop("plugin_a", None)


def test_two_entries_of_one_distribution_are_one_offer(found: Path, install: Install) -> None:
    """A distribution that offers a model twice is asked for it by its name, bare or qualified."""
    install("plugin-a", GOOD)
    (found / "plugin_a-1.0.dist-info" / "entry_points.txt").write_text(
        "[fmbench]\none = plugin_a\ntwo = plugin_a\n"
    )
    catalogue = discovery.catalogue()
    for request in ("good", "plugin-a:good"):
        assert [model.name for model in selection.select(catalogue, [request])] == ["good"]


def test_a_shell_completes_from_what_was_offered_last(
    found: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken plugin is imported anew by commands, but not each time a shell completes a name."""
    install("plugin-a", GOOD)
    install("bad-one", "import nothing_of_this_name")
    asked = []
    ask = listing._ask
    monkeypatch.setattr(listing, "_ask", lambda found: asked.append(1) or ask(found))
    assert completion.models("go") == completion.models("goo") == ["good"]
    assert len(asked) == 1
    assert len(discovery.catalogue().problems) == 1
    assert len(asked) == 2


def test_plugins_can_be_left_out(
    found: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A distribution that `no:` names in FMBENCH_PLUGINS is not even looked at."""
    install("plugin-a", GOOD)
    install("bad-one", "import nothing_of_this_name")
    monkeypatch.setenv("FMBENCH_PLUGINS", "no:Bad_One, no:plugin-x")
    catalogue = discovery.catalogue()
    assert [model.name for model in catalogue.models] == ["good"]
    assert catalogue.problems == ()


@pytest.mark.parametrize(
    ("words", "autoload", "taken"),
    [
        ("", "", True),
        ("", "0", True),
        ("", "1", False),
        ("plugin-a", "1", True),
        ("PLUGIN_A", "1", True),
        ("no:plugin-a", "", False),
        ("no:plugin-a,plugin-a", "", True),
        ("plugin-a,no:plugin.a", "1", False),
        ("no:other,third", "", True),
    ],
)
def test_words_choose_and_the_last_counts(
    monkeypatch: pytest.MonkeyPatch, words: str, autoload: str, taken: bool
) -> None:
    """Names and no: names, in any spelling, decide who takes part; autoload decides the rest."""
    monkeypatch.setenv("FMBENCH_PLUGINS", words)
    monkeypatch.setenv("FMBENCH_DISABLE_PLUGIN_AUTOLOAD", autoload)
    assert choice.takes_part("plugin-a") is taken


ZOO = (
    HEADER
    + """
def resolve(name):
    if name == "zoo/bear":
        raise LookupError("the bear is asleep")
    return fmbench.Model(name, linear)

@fmbench.hookimpl
def fmbench_models():
    return [fmbench.Family("zoo/", resolve, listed=["zoo/ant"], members=MEMBERS)]

def MEMBERS():
    return ["zoo/ant", "zoo/bear", "zoo/cat"]
"""
)


def test_all_members_of_a_family_are_listed_on_request(found: Path, install: Install) -> None:
    """Only listed members are in the catalogue; a pattern of the family has all, and why not."""
    install("plugin-a", ZOO)
    catalogue = discovery.catalogue()
    assert [model.name for model in catalogue.models] == ["zoo/ant"]
    asked = selection.members_matching(catalogue, ["zoo/*"])
    assert [model.name for model in asked.models] == ["zoo/ant", "zoo/cat"]
    assert [problem.what for problem in asked.problems] == ["zoo/bear: the bear is asleep"]
    assert selection.members_matching(catalogue, ["zoo/c*"]).problems == ()
    with pytest.raises(NothingSelectedError, match="zoo/d"):
        selection.members_matching(catalogue, ["zoo/d*"])


def test_a_family_without_a_list_offers_its_listed_members(found: Path, install: Install) -> None:
    """A family need not know all its members."""
    install("plugin-a", ZOO.replace(", members=MEMBERS", ""))
    asked = selection.members_matching(discovery.catalogue(), ["zoo/*"])
    assert [model.name for model in asked.models] == ["zoo/ant"]


def test_models_lists_good_and_bad(fmbench: Fmbench, install: Install) -> None:
    """`fmbench models` shows models, and below them each problem with its hint; JSON has both."""
    install("plugin-a", GOOD)
    install("bad-one", "import nothing_of_this_name")
    shown = fmbench("models")
    assert shown.returncode == 0
    assert "good" in shown.stdout
    assert "problem in bad-one[bad-one] 1.0: ModuleNotFoundError" in shown.stdout
    content = json.loads(fmbench("models", "--json").stdout)
    assert "good" in [model["name"] for model in content["models"]]
    assert content["problems"][0]["entry"] == "bad-one[bad-one]"


def test_a_name_two_plugins_offer_must_be_asked_for_in_full(found: Path, install: Install) -> None:
    """A bare name that two distributions offer is an error that names both."""
    install("plugin-a", GOOD)
    install("plugin-b", GOOD)
    catalogue = discovery.catalogue()
    with pytest.raises(selection.UsageError) as caught:
        selection.select(catalogue, ["good"])
    assert "plugin-a:good or plugin-b:good" in caught.value.hint
    chosen = selection.select(catalogue, ["plugin-b:good"])
    assert [model.plugin.distribution for model in chosen] == ["plugin-b"]
    assert len(selection.select(catalogue, ["*"])) == 2


def test_a_member_of_a_family_that_two_plugins_offer_must_be_asked_for_in_full(
    found: Path, install: Install
) -> None:
    """No plugin's family silently comes first; with its distribution either is there."""
    install("plugin-a", ZOO)
    install("plugin-b", ZOO)
    catalogue = discovery.catalogue()
    with pytest.raises(selection.UsageError) as caught:
        selection.select(catalogue, ["zoo/cat"])
    assert "plugin-a:zoo/cat or plugin-b:zoo/cat" in caught.value.hint
    (chosen,) = selection.select(catalogue, ["plugin-b:zoo/cat"])
    assert (chosen.name, chosen.plugin.distribution) == ("zoo/cat", "plugin-b")


@pytest.mark.parametrize("good", [GOOD, ""])
def test_a_model_that_is_not_there_is_reported_with_what_is_broken(
    found: Path, install: Install, good: str
) -> None:
    """Whoever asks for a broken plugin's model hears why it is not there."""
    install("my-plugin", "import nothing_of_this_name")
    if good:
        install("plugin-a", good)
    with pytest.raises(FmbenchError) as caught:
        selection.select(discovery.catalogue(), ["my-cnn"])
    assert "my-plugin[my-plugin] is broken: ModuleNotFoundError" in caught.value.hint

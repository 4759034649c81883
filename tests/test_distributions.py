"""Distributions as strangers get them: built as they are published, installed in a clean venv."""

import email
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Callable
from email.message import Message
from pathlib import Path

import pytest
import yaml

from conftest import TinyData
from fmbench.scaffold import write_plugin

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SOURCE = PROJECT["urls"]["Source"]
FOLDERS = (ROOT, *sorted(ROOT.glob("plugins/*/")), *sorted(ROOT.glob("contrib/*/")))
NAMES = [PROJECT["name"], *(folder.name for folder in FOLDERS[1:])]
PIP = ("python", "-m", "pip", "install", "--no-index", "--no-build-isolation", "--no-compile")
OURS = ("fmbench", "fashion_mnist_bench", "_fmbench", "__editable__", "_editable", "my_")
LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^]]+\]: (\S+)$", re.MULTILINE)
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Clean = tuple[Callable[..., None], Run]


def outside(**more: str) -> dict[str, str]:
    """This environment without the checkout on Python's path, this Python's programs first."""
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**inherited, "PATH": programs, "PIP_NO_CACHE_DIR": "1", **more}


def workflow_step(workflow: str, name: str) -> str:
    """What a named step of a workflow runs."""
    text = (ROOT / ".github" / "workflows" / workflow).read_text("utf-8")
    jobs = yaml.safe_load(text)["jobs"].values()
    (step,) = (s for job in jobs for s in job.get("steps", ()) if s.get("name") == name)
    return str(step["run"])


def lend(site: Path) -> None:
    """Let a venv use what is installed here, but for anything of fmbench's."""
    lent = site / "lent"
    lent.mkdir()
    for key in ("purelib", "platlib"):
        for path in Path(sysconfig.get_path(key)).iterdir():
            if not path.name.startswith(OURS) and not (lent / path.name).exists():
                (lent / path.name).symlink_to(path)
    (site / "lent.pth").write_text(f"{lent}\n")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the publishing workflow builds, source distributions and the wheels that these make."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        ["bash", "-e", "-c", workflow_step("publish.yml", "build")],
        cwd=ROOT, env=outside(DIST=str(folder)), check=True, capture_output=True,
    )  # fmt: skip
    return folder


def wheel(built: Path, name: str) -> zipfile.ZipFile:
    """The one wheel of a distribution."""
    (path,) = built.glob(f"{name.replace('-', '_')}-*.whl")
    return zipfile.ZipFile(path)


def metadata_of(built: Path, name: str) -> Message:
    """A wheel's metadata, the description as payload."""
    held = wheel(built, name)
    (path,) = (path for path in held.namelist() if path.endswith(".dist-info/METADATA"))
    return email.message_from_string(held.read(path).decode("utf-8"))


@pytest.fixture
def clean(built: Path, tmp_path: Path) -> Clean:
    """A clean environment: how to install into it, and how to run its programs.

    What is asked for is resolved with all that it needs, from what was built and what is lent.
    """
    folder = tmp_path / "venv"
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    lend(site)
    environment = outside(XDG_CACHE_HOME=str(tmp_path / "cache"), COLUMNS="200", NO_COLOR="1")
    environment["PATH"] = f"{folder / 'bin'}{os.pathsep}{environment['PATH']}"

    def run(
        program: str, *arguments: object, cwd: Path = tmp_path
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [program, *map(str, arguments)],
            capture_output=True, text=True, env=environment, cwd=cwd, timeout=2000,
        )  # fmt: skip

    def install(*wanted: object) -> None:
        done = run(*PIP, "--find-links", built, *wanted)
        assert done.returncode == 0, done.stderr

    return install, run


@pytest.mark.long
def test_distributions_work_in_a_clean_environment(
    clean: Clean, tiny: TinyData, tmp_path: Path
) -> None:
    """The core alone says how to go on; with plugins, a stranger's among them, rows are made."""
    install, run = clean
    install(PROJECT["name"])
    assert run("fmbench", "--version").stdout == f"fmbench {PROJECT['version']}\n"
    alone = run("fmbench", "models")
    assert alone.returncode == 0
    assert "hint: pip install" in alone.stderr
    write_plugin("my-cnn", tmp_path / "my-cnn")
    install(*NAMES, tmp_path / "my-cnn")
    modules = ["fmbench", *(name.replace("-", "_") for name in NAMES[1:])]
    code = f"import importlib.util as u; [print(u.find_spec(name).origin) for name in {modules}]"
    origins = run("python", "-P", "-c", code).stdout.split()
    assert len(origins) == len(NAMES)
    assert all(path.startswith(str(tmp_path / "venv" / "lib")) for path in origins)
    listed = json.loads(run("fmbench", "models", "--json").stdout)
    assert listed["problems"] == []
    names = {model["name"] for model in listed["models"]}
    assert {"softmax", "vgg11", "vgg11-bn", "timm/resnet18", "my-cnn"} <= names
    checked = run("fmbench", "check", "softmax", "my-cnn")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    data = ("--protocol", tiny.protocol, "--data-dir", tiny.folder)
    ran = run("fmbench", "run", "softmax", "my-cnn", *data, "-p", "tensorboard")
    assert ran.returncode == 0, ran.stderr
    assert "my-cnn 0.1.0" in ran.stdout
    published = run("fmbench", "leaderboard", "--results", "results", "--check")
    assert published.returncode == 0, published.stderr
    study = run("fmbench-batchnorm", "--help")
    assert study.returncode == 0, study.stderr


def test_the_extra_brings_the_default_plugins(clean: Clean, tmp_path: Path) -> None:
    """`fashion-mnist-bench[models]` is the core and all of plugins/, in versions that fit."""
    install, _ = clean
    report = tmp_path / "report.json"
    install("--dry-run", "--report", report, f"{PROJECT['name']}[models]")
    chosen = json.loads(report.read_text("utf-8"))["install"]
    plugins = {folder.name for folder in ROOT.glob("plugins/*/")}
    assert {one["metadata"]["name"] for one in chosen} == {PROJECT["name"], *plugins}


def test_the_line_of_the_readme_makes_a_board_in_a_clean_environment(
    clean: Clean, tiny: TinyData, tmp_path: Path
) -> None:
    """As the workflow runs it, but with pip kept from the index, few data and one plugin."""
    _, run = clean
    text = (ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8")
    (line,) = re.findall(r"- (pip install .* && fmbench run --all)\n", text)
    pip = tmp_path / "venv" / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nshift\n{" ".join(PIP)} "$@"\n')
    pip.chmod(0o755)
    small = (
        f"{line} --protocol {tiny.protocol} --data-dir {tiny.folder} "
        f"--results {tmp_path / 'results'} -p no:fmbench-timm -p no:fmbench-vgg"
    )
    ran = run("bash", "-e", "-c", small, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert "fmbench-softmax" in ran.stdout


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_a_distribution_is_fit_for_an_index(built: Path, folder: Path) -> None:
    """It has what an index shows, its licence, and links that lead into the repository's files."""
    name = NAMES[FOLDERS.index(folder)]
    metadata = metadata_of(built, name)
    for field in ("Summary", "Keywords", "Classifier", "Requires-Python"):
        assert metadata[field]
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Project-URL"] == f"Source, {SOURCE}"
    assert metadata["Description-Content-Type"] == "text/markdown"
    (licence,) = (path for path in wheel(built, name).namelist() if path.endswith("/LICENSE"))
    assert wheel(built, name).read(licence) == (ROOT / "LICENSE").read_bytes()
    description = str(metadata.get_payload())
    links = [inline or reference for inline, reference in LINK.findall(description)]
    assert links
    for link in links:
        assert link.startswith(("https://", "#"))
        if link.startswith(f"{SOURCE}/"):
            kind, revision, path = link.removeprefix(f"{SOURCE}/").split("/", 2)
            assert kind in {"blob", "raw"}
            assert revision == (f"v{PROJECT['version']}" if folder == ROOT else "main")
            assert (ROOT / path.partition("#")[0]).exists(), link


def test_the_cores_wheel_holds_the_published_results(built: Path) -> None:
    """Each board that is committed is in the wheel, with its records."""
    held = set(wheel(built, PROJECT["name"]).namelist())
    published = ROOT / "results" / "published"
    files = [*published.glob("*/leaderboard.md"), *published.glob("*/records/*")]
    assert files
    assert {f"fmbench/published/{path.relative_to(published).as_posix()}" for path in files} <= held


def test_a_wheel_from_the_source_distribution_names_its_commit(built: Path, tmp_path: Path) -> None:
    """Without a git checkout the commit is the one that the source distribution was built from."""
    (packed,) = built.glob("fashion_mnist_bench-*.tar.gz")
    shutil.unpack_archive(packed, tmp_path)
    (source,) = tmp_path.glob("*/")
    build = (sys.executable, "-m", "hatchling", "build", "-d", tmp_path, "-t", "wheel")
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    held = wheel(tmp_path, PROJECT["name"])
    assert held.read("fmbench/COMMIT").decode().strip().removesuffix("+changed") == commit
    assert any(name.startswith("fmbench/published/lite-v1/records/") for name in held.namelist())


def test_a_wheel_leaves_out_the_scratch_of_runs_under_way(tmp_path: Path) -> None:
    """What a run into the published results keeps in `work` is in no wheel."""
    for name in ("lite-v1/records/a.json", "lite-v1/work/checkpoints/big", "lite-v1/work/job.json"):
        path = tmp_path / "results" / "published" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    data: dict[str, dict[str, str]] = {"force_include": {}}
    module.Extras(str(tmp_path), {}, None, None, str(tmp_path), "wheel").initialize(
        "standard", data
    )
    assert list(data["force_include"].values()) == ["fmbench/published/lite-v1/records/a.json"]

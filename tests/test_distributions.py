"""Wheels as strangers install them: the core, the plugins and a plugin from outside, in a venv."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import fmbench
from conftest import TinyData
from fmbench.scaffold import write_plugin

ROOT = Path(__file__).parents[1]
OURS = ("fmbench", "fashion_mnist_bench", "_fmbench", "__editable__", "_editable", "my_")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


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
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels of the core, the three plugins and a new plugin."""
    folder = tmp_path_factory.mktemp("wheels")
    mine = folder / "source" / "my-cnn"
    write_plugin("my-cnn", mine)
    sources = [ROOT, *sorted((ROOT / "plugins").glob("*/")), mine]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--wheel-dir", folder, *sources],
        check=True,
    )  # fmt: skip
    return folder


@pytest.fixture
def clean(tmp_path: Path) -> tuple[Callable[..., None], Run]:
    """A clean environment: how to install wheels into it, and how to run its `fmbench`."""
    folder = tmp_path / "venv"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    (site,) = folder.glob("lib/python*/site-packages")
    lend(site)
    environment = {
        **{key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        "XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "200", "NO_COLOR": "1",
    }  # fmt: skip

    def install(*paths: Path) -> None:
        subprocess.run(
            [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index",
             "--no-deps", *paths],
            check=True,
        )  # fmt: skip

    def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [folder / "bin" / "fmbench", *map(str, arguments)],
            capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=2000,
        )  # fmt: skip

    return install, run


def test_wheels_work_in_a_clean_environment(
    wheels: Path, clean: tuple[Callable[..., None], Run], tiny: TinyData
) -> None:
    """The core alone says how to go on; with plugins, a stranger's among them, rows are made."""
    install, run = clean
    install(*wheels.glob("fashion_mnist_bench-*.whl"))
    alone = run("models")
    assert alone.returncode == 0
    assert "hint: pip install" in alone.stderr
    install(*wheels.glob("fmbench_*.whl"), *wheels.glob("my_cnn-*.whl"))
    listed = json.loads(run("models", "--json").stdout)
    assert listed["problems"] == []
    names = {model["name"] for model in listed["models"]}
    assert {"softmax", "vgg11", "vgg11-bn", "timm/resnet18", "my-cnn"} <= names
    checked = run("check", "softmax", "my-cnn")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    ran = run("run", "softmax", "my-cnn", "--protocol", tiny.protocol, "--data-dir", tiny.folder)
    assert ran.returncode == 0, ran.stderr
    assert "my-cnn 0.1.0" in ran.stdout
    published = run("leaderboard", "--results", "results", "--check")
    assert published.returncode == 0, published.stderr


def test_the_cores_wheel_holds_the_published_results(wheels: Path) -> None:
    """Each board that is committed is in the wheel, with its records."""
    (wheel,) = wheels.glob("fashion_mnist_bench-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    published = ROOT / "results" / "published"
    files = [*published.glob("*/leaderboard.md"), *published.glob("*/records/*")]
    assert files
    assert {f"fmbench/published/{path.relative_to(published).as_posix()}" for path in files} <= held


def test_a_wheel_from_the_source_distribution_names_its_commit(tmp_path: Path) -> None:
    """Without a git checkout the commit is the one that the source distribution was built from."""
    build = (sys.executable, "-m", "hatchling", "build", "-d", tmp_path, "-t")
    subprocess.run([*build, "sdist"], cwd=ROOT, check=True, capture_output=True)
    (packed,) = tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(packed, tmp_path)
    (source,) = tmp_path.glob("*/")
    subprocess.run([*build, "wheel"], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = zipfile.ZipFile(wheel)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
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


def test_the_tested_package_is_not_the_lent_one(
    wheels: Path, clean: tuple[Callable[..., None], Run], tmp_path: Path
) -> None:
    """What the clean environment imports is its own wheel, not this checkout."""
    install, _ = clean
    install(*wheels.glob("fashion_mnist_bench-*.whl"))
    code = "import fmbench; print(fmbench.__file__)"
    where = subprocess.run(
        [tmp_path / "venv" / "bin" / "python", "-P", "-c", code],
        capture_output=True, text=True, check=True,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    ).stdout  # fmt: skip
    assert str(tmp_path) in where
    assert where.strip() != fmbench.__file__

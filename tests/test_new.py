"""A new plugin is right as it is written, and names that cannot work are refused."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Fmbench, TinyData
from fmbench.errors import ExitCode

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_a_new_plugin_passes_its_own_tests_and_gets_a_row(
    fmbench: Fmbench, environment: dict[str, str], site: Path, tiny: TinyData, tmp_path: Path
) -> None:
    """Written, installed and run as it is: its tests pass, its check passes, its row is ok."""
    made = fmbench("new", "my-cnn")
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines() == [
        "pip install ./my-cnn", "fmbench check my-cnn", "fmbench run my-cnn",
    ]  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
         "--target", site, tmp_path / "my-cnn"],
        check=True,
    )  # fmt: skip
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path / "my-cnn"],
        capture_output=True, text=True, env=environment, cwd=tmp_path / "my-cnn", timeout=2000,
    )  # fmt: skip
    assert tests.returncode == 0, tests.stdout
    checked = fmbench("check", "my-cnn")
    assert checked.returncode == 0, checked.stdout
    (address,) = re.findall(r'^Source = "(.*)"$', PYPROJECT.read_text("utf-8"), re.MULTILINE)
    for page in ("README.md", ".github/workflows/test.yml"):
        text = (tmp_path / "my-cnn" / page).read_text("utf-8")
        assert f'pip install "fashion-mnist-bench @ git+{address}"' in text
    ran = fmbench("run", "my-cnn", "--protocol", tiny.protocol, "--data-dir", tiny.folder)
    assert ran.returncode == 0, ran.stderr
    assert "my-cnn 0.1.0" in ran.stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("My_CNN", "not a name"),
        ("../my-cnn", "not a name"),
        ("9lives", "not a name"),
        ("a" * 41, "not a name"),
        ("json", "Python uses"),
        ("class", "Python uses"),
        ("numpy", "installed"),
        ("fmbench-softmax", "installed"),
        ("fashion-mnist-bench", "would replace"),
    ],
)
def test_a_name_that_cannot_work_is_refused(
    fmbench: Fmbench, tmp_path: Path, name: str, said: str
) -> None:
    """Names that no distribution, module or model may have are reported with a hint."""
    ran = fmbench("new", name)
    assert ran.returncode == ExitCode.USAGE
    assert said in ran.stderr
    assert "hint:" in ran.stderr
    assert not (tmp_path / name).exists() or name.startswith("..")


def test_a_plugin_in_the_current_folder_is_no_installed_module(
    fmbench: Fmbench, tmp_path: Path
) -> None:
    """A name of one word is a folder that Python could import; the next steps are still told."""
    made = fmbench("new", "mycnn", PYTHONPATH=str(tmp_path))
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines()[1:] == ["fmbench check mycnn", "fmbench run mycnn"]


def test_nothing_is_ever_overwritten(fmbench: Fmbench, tmp_path: Path) -> None:
    """A folder that exists is left as it is."""
    (tmp_path / "my-cnn").mkdir()
    ran = fmbench("new", "my-cnn")
    assert ran.returncode == ExitCode.USAGE
    assert "exists already" in ran.stderr
    assert list((tmp_path / "my-cnn").iterdir()) == []
    assert fmbench("new", "my-cnn", "--folder", tmp_path / "a" / "b").returncode == 0
    assert (tmp_path / "a" / "b" / "my_cnn.py").exists()

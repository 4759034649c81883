"""The workflows for GitHub: well formed, of few rights, and the lines that README names."""

import configparser
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

import submitted
from conftest import Install
from fmbench.scaffold import write_plugin

ROOT = Path(__file__).parents[1]
WORKFLOWS = ROOT / ".github" / "workflows"
FOLDERS = (ROOT, *sorted(ROOT.glob("plugins/*/")), *sorted(ROOT.glob("contrib/*/")))
PINNED = re.compile(r"[\w-]+/[\w-]+@(v\d+|release/v\d+|[0-9a-f]{40})")
READ = {"contents": "read"}


def read(path: Path) -> dict[str, Any]:
    """A workflow; YAML takes its key `on` for true."""
    workflow: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return {"on" if key is True else key: value for key, value in workflow.items()}


@pytest.fixture(
    params=["test.yml", "publish.yml", "submission.yml", "pages.yml", "of a new plugin"]
)
def workflow(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Each workflow in turn, the one that `fmbench new` writes among them."""
    if request.param != "of a new plugin":
        return read(WORKFLOWS / request.param)
    write_plugin("my-cnn", tmp_path / "my-cnn")
    return read(tmp_path / "my-cnn" / ".github" / "workflows" / "test.yml")


def test_a_workflow_is_well_formed(workflow: dict[str, Any]) -> None:
    """It may read alone, its actions are pinned, and its steps are lines that bash can read."""
    assert {"name", "on", "jobs"} <= set(workflow) <= {"name", "on", "permissions", "env", "jobs"}
    assert workflow["permissions"] == READ
    for job in workflow["jobs"].values():
        if "uses" in job:
            assert (ROOT / job["uses"]).is_file()
            continue
        assert job["runs-on"] == "ubuntu-latest"
        assert set(job.get("needs", ())) <= set(workflow["jobs"])
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert "uses" not in step or PINNED.fullmatch(step["uses"])
            line = re.sub(r"\$\{\{.*?\}\}", "expression", step.get("run", ""))
            subprocess.run(["bash", "-n", "-c", line], check=True)


def test_the_tests_workflow_runs_the_lines_of_the_readme() -> None:
    """It runs README's two lines and no other; `.ci/run` has the second, and `tox -e long`."""
    (job,) = read(WORKFLOWS / "test.yml")["jobs"].values()
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert runs == ["${{ matrix.line }}"]
    lines = job["strategy"]["matrix"]["line"]
    assert len(lines) == 2
    readme = (ROOT / "README.md").read_text("utf-8")
    for line in lines:
        assert f"\n```\n{line}\n```\n" in readme
    in_ci = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    assert in_ci[-2:] == [lines[-1], "tox -e long"]


def test_cluster_tests_run_in_an_environment_of_their_own() -> None:
    """`tox` leaves out what starts a Ray cluster, and `tox -e long` runs that alone."""
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", "utf-8")
    assert '-m "not cluster and not sweep"' in tox["testenv"]["commands"]
    assert "pytest -m cluster" in tox["testenv:long"]["commands"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_distribution_names_the_pythons_that_are_tested(folder: Path) -> None:
    """Classifiers and `requires-python` say what the workflow tests, and so does README."""
    (job,) = read(WORKFLOWS / "test.yml")["jobs"].values()
    pythons = job["strategy"]["matrix"]["python"]
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    named = re.findall(r"Python :: ([\d.]+)", "\n".join(project["classifiers"]))
    assert named == pythons
    assert project["requires-python"] == f">={pythons[0]}"
    assert f"Python {pythons[0]} to {pythons[-1]}" in (ROOT / "README.md").read_text("utf-8")
    assert "{}.{}".format(*sys.version_info) in pythons


def test_only_what_passed_is_published_and_by_a_job_that_runs_nothing_else() -> None:
    """Tags start it; after all tests, a job of its own uploads what another has built."""
    workflow = read(WORKFLOWS / "publish.yml")
    assert workflow["on"] == {"push": {"tags": ["v*"]}}
    jobs = workflow["jobs"]
    assert [name for name, job in jobs.items() if "permissions" in job] == ["publish"]
    publish = jobs["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["environment"] == "pypi"
    assert publish["needs"] == ["test", "build"]
    assert jobs["test"] == {"uses": "./.github/workflows/test.yml"}
    actions = [step["uses"].partition("@")[0] for step in publish["steps"]]
    assert actions == ["actions/download-artifact", "pypa/gh-action-pypi-publish"]


def submission_job() -> dict[str, Any]:
    """The one job that reads what strangers have written."""
    (job,) = read(WORKFLOWS / "submission.yml")["jobs"].values()
    return dict(job)


def test_what_strangers_offer_is_data_to_the_workflow_that_reads_it() -> None:
    """It has no secret, no right to write and no expression; what it installs is the base."""
    started = read(WORKFLOWS / "submission.yml")["on"]
    assert list(started) == ["pull_request"]
    others = read(WORKFLOWS / "test.yml")["on"]["pull_request"]
    assert set(others["paths-ignore"]) < set(started["pull_request"]["paths"])
    for path in WORKFLOWS.glob("*.yml"):
        assert "pull_request_target" not in read(path)["on"]
    text = (WORKFLOWS / "submission.yml").read_text("utf-8")
    assert "${{" not in text
    assert "secrets." not in text
    job = submission_job()
    assert set(job) == {"runs-on", "timeout-minutes", "steps"}
    used = [step for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]) for step in used)
    assert used[0]["with"]["persist-credentials"] is False
    lines = [line for step in job["steps"] for line in step.get("run", "").splitlines()]
    assert [line for line in lines if "pip" in line] == ["pip install ./base"]
    assert read(WORKFLOWS / "submission.yml")["env"]["FMBENCH_DISABLE_PLUGIN_AUTOLOAD"] == "1"
    printing = next(step["run"] for step in job["steps"] if "fmbench accept" in step.get("run", ""))
    assert printing.startswith('echo "::stop-commands::$(cat /proc/sys/kernel/random/uuid)"')


def judged(
    folder: Path, environment: dict[str, str]
) -> tuple["subprocess.CompletedProcess[str]", str]:
    """The last step of the submission workflow after those before it, and the summary it wrote."""
    workflow = read(WORKFLOWS / "submission.yml")
    (folder / "summary.md").touch()
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    for step in submission_job()["steps"]:
        if "run" not in step or "pip install" in step["run"]:
            continue
        ran = subprocess.run(
            ["bash", "-e", "-c", step["run"]], cwd=folder, capture_output=True, text=True,
            env={**environment, **workflow["env"], "PATH": path,
                 "GITHUB_STEP_SUMMARY": str(folder / "summary.md")},
        )  # fmt: skip
    return ran, (folder / "summary.md").read_text("utf-8")


PLUGIN = """
from pathlib import Path
Path({!r}).touch()
"""


def test_a_good_submission_is_compared_with_what_is_published(
    tmp_path: Path, environment: dict[str, str], install: Install
) -> None:
    """It passes, the summary has the new row, the boards are there, and no plugin was imported."""
    install("plugin-a", PLUGIN.format(str(tmp_path / "imported")))
    submitted.write_merge(*submitted.write_checkouts(tmp_path))
    ran, summary = judged(tmp_path, environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 row new, 8 ranks moved by other rows." in summary
    assert "| vgg11-bn " in summary
    upload = submission_job()["steps"][-1]["with"]
    for pattern in upload["path"].split():
        assert list(tmp_path.glob(pattern)), pattern
    board = tmp_path / "merged" / "lite-v1" / "leaderboard.csv"
    assert board.read_bytes() == (submitted.PUBLISHED / "lite-v1" / board.name).read_bytes()
    assert not (tmp_path / "imported").exists()


BAD = (
    "a link that leads out",
    "a changed record",
    "a huge record",
    "pickled predictions",
    "a line end in a name",
    "a tier that is claimed",
    "a workflow",
)


@pytest.mark.parametrize("case", [*BAD, *submitted.FALSE])
def test_a_bad_submission_fails_and_shows_no_difference(
    tmp_path: Path, environment: dict[str, str], case: str
) -> None:
    """What may not be taken, and what is false, ends the workflow before anything is concluded."""
    base, offered = submitted.write_checkouts(tmp_path)
    forge, said = {**submitted.REFUSED, **submitted.FALSE}[case]
    forge(offered / submitted.IN_CHECKOUT / "records")
    submitted.write_merge(base, offered)
    ran, summary = judged(tmp_path, environment)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert said in ran.stdout
    assert summary == ""


def test_the_published_folder_goes_to_github_pages_as_it_is() -> None:
    """The folder of boards is what is uploaded, and nothing in it links out of it but the web."""
    (job,) = read(WORKFLOWS / "pages.yml")["jobs"].values()
    (folder,) = [step["with"]["path"] for step in job["steps"] if "with" in step]
    pages = sorted((ROOT / folder).glob("**/index.html"))
    assert ROOT / folder / "index.html" in pages and len(pages) > 2
    for page in pages:
        for link in re.findall(r'(?:href|src)="([^"#]+)"', page.read_text("utf-8")):
            if not link.startswith(("https:", "data:")):
                target = (page.parent / unquote(link)).resolve()
                assert target.is_relative_to(ROOT / folder) and target.is_file(), (page, link)

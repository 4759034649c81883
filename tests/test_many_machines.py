"""The files of docs/many-machines: what Slurm and Kubernetes are given is well formed and runs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from conftest import Fmbench, Install, TinyData
from fmbench.store import Store
from plugins_of_all_kinds import offering

FILES = Path(__file__).parents[1] / "docs" / "many-machines"
SLURM = FILES / "slurm.sh"
JOB = os.getpid()
RAY = f"/tmp/ray-{JOB}"  # noqa: S108 - where the script puts it
STAND_INS = {
    "ray": f'exec {sys.executable} -m ray.scripts.scripts "$@"',
    "fmbench": f'exec {sys.executable} -m fmbench "$@"',
    "scontrol": '[ "$*" = "show hostnames alpha[1-2]" ] && printf "alpha1\\nalpha2\\n"',
    "srun": 'echo "$*" >>srun.log; while [[ $1 == --* ]]; do shift; done; exec "$@"',
}


def test_the_slurm_script_asks_for_what_it_uses() -> None:
    """Its directives are options of sbatch, above all commands, and set each variable it reads."""
    text = SLURM.read_text("utf-8")
    subprocess.run(["bash", "-n", SLURM], check=True)
    head, _, body = text.partition("\nset -euo pipefail\n")
    lines = [line for line in head.splitlines() if not line.startswith(("# ", "#!"))]
    assert text.startswith("#!/bin/bash\n")
    found = [re.fullmatch(r"#?#SBATCH --([a-z-]+)=[\w:]+|#?", line) for line in lines]
    assert all(found)
    asked = {one[1] for one in found if one and one[1]}
    known = {"job-name", "nodes", "ntasks-per-node", "cpus-per-task", "mem", "time"}
    assert asked == known | {"gpus-per-node"}
    assert "#SBATCH" not in body
    set_by = {"CPUS_PER_TASK": "cpus-per-task", "MEM_PER_NODE": "mem", "JOB_NUM_NODES": "nodes"}
    always = {"JOB_ID", "JOB_NODELIST"}
    read = set(re.findall(r"SLURM_(\w+)", body))
    assert read <= set_by.keys() | always
    assert {set_by[name] for name in read - always} <= asked


@pytest.mark.cluster
def test_the_slurm_script_runs_on_two_nodes(
    environment: dict[str, str], install: Install, tiny: TinyData, tmp_path: Path
) -> None:
    """With stand-ins for Slurm's programs both nodes join, runs end well, and nothing is left."""
    install("plugin-a", offering("one=linear"))
    rules = tiny.variant(tmp_path / "one.toml", ('"float32"', '"float32"\nthreads = 1'))
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, body in STAND_INS.items():
        (programs / name).write_text(f"#!/bin/bash\n{body}\n")
        (programs / name).chmod(0o755)
    given = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "SLURM_JOB_ID": str(JOB),
        "SLURM_JOB_NODELIST": "alpha[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "1",
        "SLURM_MEM_PER_NODE": "4000",
    }
    ran = subprocess.run(
        ["bash", SLURM, "one", "--protocol", rules, "--data-dir", tiny.folder],
        cwd=tmp_path, env=environment | given, capture_output=True, text=True, timeout=600,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "is not used" not in ran.stderr
    records = Store(tmp_path / "results", "tiny-v1").read().records
    assert [record.result.status for record in records] == ["ok", "ok"]
    assert {record.cost.beside for record in records} == {0}  # each on a node of its own
    started, removed = (tmp_path / "srun.log").read_text().splitlines()
    assert started.startswith("--nodes=1 --ntasks=1 --cpus-per-task=1 --nodelist=alpha2 ray start ")
    assert removed == f"--nodes=2 --ntasks-per-node=1 rm -rf {RAY}"
    assert not Path(RAY).exists()
    assert [one for one in psutil.process_iter() if f"{RAY}/" in command(one)] == []


def command(process: psutil.Process) -> str:
    """What started a process; empty when it is gone."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_the_options_of_ray_are_its_own() -> None:
    """Each option of `ray start` that the page or the script names is one of the installed Ray."""
    page = FILES.with_suffix(".md").read_text("utf-8")
    commands = re.findall(r"ray start (?:.*\\\n)*.*", page + SLURM.read_text("utf-8"))
    named = {option for one in commands for option in re.findall(r"--[a-z-]+", one)}
    told = subprocess.run(
        [sys.executable, "-m", "ray.scripts.scripts", "start", "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert len(named) > 5
    assert [option for option in sorted(named) if option not in told.stdout] == []


def test_the_job_for_kuberay_is_well_formed(fmbench: Fmbench) -> None:
    """One image for all pods, as much asked for as allowed, a token, and nothing open outside."""
    job: dict[str, Any] = yaml.safe_load((FILES / "kuberay.yaml").read_text("utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    cluster = spec["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    containers = [one for group in groups for one in group["template"]["spec"]["containers"]]
    assert len({container["image"] for container in containers}) == 1
    for container in containers:
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
    assert "hostNetwork" not in json.dumps(job)
    program, subcommand, *options = spec["entrypoint"].split()
    assert (program, subcommand) == ("fmbench", "run")
    help_text = fmbench("run", "--help").stdout
    assert all(option in help_text for option in options if option.startswith("--"))
    (head,) = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    (mount,) = head["volumeMounts"]
    paths = [option for option in options if option.startswith("/")]
    assert paths and all(path.startswith(mount["mountPath"]) for path in paths)
    volumes = cluster["headGroupSpec"]["template"]["spec"]["volumes"]
    assert [volume["name"] for volume in volumes] == [mount["name"]]

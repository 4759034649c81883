"""What a container leaves of a machine: cores, quota and memory, of both versions of cgroups."""

import os
from pathlib import Path

import pytest

from fmbench import limits


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of eight cores and 64 GB whose cgroups lie in the test's folder."""
    monkeypatch.setattr(limits, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(limits, "OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(limits.psutil, "virtual_memory", lambda: type("M", (), {"total": 64e9}))
    return tmp_path


def lay(machine: Path, own: str, files: dict[str, str]) -> None:
    """Write /proc/self/cgroup, and the files of cgroups."""
    (machine / "own").write_text(own)
    for name, content in files.items():
        path = machine / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.mark.parametrize(
    ("own", "files", "quota", "cores", "memory"),
    [
        ("", {}, None, 8, 64e9),
        ("0::/\n", {"cpu.max": "max 100000", "memory.max": "max"}, None, 8, 64e9),
        ("0::/\n", {"cpu.max": "150000 100000", "memory.max": "2000000"}, 1.5, 1, 2e6),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000", "a/cpu.max": "200000 100000"}, 2, 2, 64e9),
        ("0::/host/only\n", {"cpu.max": "300000 100000"}, 3, 3, 64e9),
        ("0::/\n", {"cpu.max": "50000 100000"}, 0.5, 1, 64e9),
        ("0::/\n", {"cpu.max": "1600000 100000"}, 16, 8, 64e9),
        ("0::/\n", {"cpu.max": "100000 0"}, None, 8, 64e9),
        ("0::/\n", {"cpu.max": "nonsense"}, None, 8, 64e9),
        (
            "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n0::/\n",
            {
                "cpu/docker/x/cpu.cfs_quota_us": "200000",
                "cpu/docker/x/cpu.cfs_period_us": "100000",
                "cpu/cpu.cfs_quota_us": "-1",
                "cpu/cpu.cfs_period_us": "100000",
                "memory/docker/x/memory.limit_in_bytes": "3000000",
                "memory/memory.limit_in_bytes": "9223372036854771712",
            },
            2,
            2,
            3e6,
        ),
    ],
    ids=[
        "none", "v2-without", "v2", "v2-nested", "v2-path-of-the-host", "v2-half", "v2-wide",
        "v2-zero", "v2-nonsense", "v1",
    ],
)  # fmt: skip
def test_the_narrowest_limit_counts(
    machine: Path, own: str, files: dict[str, str], quota: float | None, cores: int, memory: float
) -> None:
    """Of quota, affinity and memory the least of what any of a process's cgroups allows."""
    lay(machine, own, files)
    assert limits.cpu_quota() == quota
    assert limits.cores() == cores
    assert limits.memory() == memory

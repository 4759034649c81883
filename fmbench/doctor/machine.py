"""The machine itself: system, processor, cores, load, memory and clock."""

import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

import fmbench
from fmbench import environment, limits
from fmbench.doctor.findings import Finding
from fmbench.hardware import VARIABLES, cpu_facts, cpu_name
from fmbench.wording import counted, memory, percent, versions

LIBRARIES = ("numpy", "scipy", "pandas", "msgspec", "pluggy", "safetensors")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_PROC_BIND", "GOMP_CPU_AFFINITY")
LITTLE_MEMORY = 4 * 10**9
"""The published runs took up to 3.6 GB, those of vgg11-bn."""

COARSEST_CLOCK = 1e-3
A_DAY = 86_400.0


def system() -> Iterator[Finding]:
    """The operating system, Python and fmbench."""
    commit = environment.commit()[:12]
    said = (
        f"{platform.system()} {platform.release()} {platform.machine()}, "
        f"Python {platform.python_version()}, "
        f"fmbench {environment.version(environment.DISTRIBUTION) or '(not installed)'} {commit}"
    ).rstrip()
    if sys.platform == "linux":
        yield Finding(about="system", says=said)
    else:
        yield Finding(
            about="system",
            level="warning",
            says=f"{said}; fmbench is tested on Linux alone",
            hint="see the section Requirements of README.md",
        )
    if other := environment.version("fmbench"):
        yield Finding(
            about="system",
            level="fault",
            says=f"the distribution fmbench {other}, another tool, has this one's package name",
            hint="pip uninstall fmbench, then pip install --force-reinstall "
            f"{environment.DISTRIBUTION}",
        )


def libraries() -> Iterator[Finding]:
    """Versions of the libraries that compute or store."""
    found = {name: version for name in LIBRARIES if (version := environment.version(name))}
    if absent := [name for name in LIBRARIES if name not in found]:
        yield Finding(
            about="libraries",
            level="fault",
            says=f"{versions(found)}; not installed: {', '.join(absent)}",
            hint=f"pip install {environment.DISTRIBUTION}, or pip install . in a checkout",
        )
    else:
        yield Finding(about="libraries", says=versions(found))


def processor() -> Iterator[Finding]:
    """The CPU, and variables that make libraries choose other code on it."""
    extensions = cpu_facts().get("extensions", "").split()
    notable = [
        name
        for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")
        if name in extensions
    ]
    said = cpu_name() + (f", with {', '.join(notable)}" if notable else "")
    yield Finding(about="processor", says=said)
    if chosen := {name: value for name in VARIABLES if (value := os.environ.get(name))}:
        yield Finding(
            about="processor",
            level="warning",
            says="libraries are told to choose their code by "
            + ", ".join(f"{name}={value}" for name, value in chosen.items()),
            hint="unset them, unless they are meant: runs have other bits and times with them",
        )


def cores() -> Iterator[Finding]:
    """How many cores a run may use, and what withholds others."""
    here, allowed, quota = os.cpu_count() or 1, len(limits.core_numbers()), limits.cpu_quota()
    said = f"{limits.cores()} of {counted(here, 'core')} may be used"
    if quota is not None:
        said += f": a cgroup allows the time of {quota:.3g}"
    elif allowed < here:
        said += ": the others are withheld by this process's affinity"
    if quota is not None and quota != int(quota):
        yield Finding(
            about="cores",
            level="warning",
            says=f"{said}, so that some threads will be stopped at times",
            hint="give the container a whole number of cores",
        )
    else:
        yield Finding(about="cores", says=said)
    if told := {name: value for name in THREAD_VARIABLES if (value := os.environ.get(name))}:
        yield Finding(
            about="cores",
            level="warning",
            says="threads are told how to run by "
            + ", ".join(f"{name}={value}" for name, value in told.items()),
            hint="unset them: a protocol or --threads says how many threads a run has",
        )


def load() -> Iterator[Finding]:
    """How busy other programs keep the cores."""
    busy = environment.busy_share()
    if busy > environment.BUSY:
        yield Finding(
            about="load",
            level="warning",
            says=f"other programs use {percent(busy, 0)} % of the cores",
            hint="times measured now mean little: end them, or wait",
        )
    else:
        yield Finding(about="load", says=f"other programs use {percent(busy, 0)} % of the cores")


def room_in_memory() -> Iterator[Finding]:
    """The memory that may be used and is free, less what a cgroup withholds."""
    usable, free = limits.memory(), limits.memory_available()
    said = f"{memory(free)} of {memory(usable)} are free"
    if usable < psutil.virtual_memory().total:
        said += f"; a cgroup withholds the rest of {memory(psutil.virtual_memory().total)}"
    if free < LITTLE_MEMORY:
        yield Finding(
            about="memory",
            level="warning",
            says=said,
            hint="large models may run out of it: vgg11-bn took up to 3.6 GB",
        )
    else:
        yield Finding(about="memory", says=said)


def clock() -> Iterator[Finding]:
    """Whether the time of day is later than fmbench's own files, and how fine clocks are."""
    newest = max(path.stat().st_mtime for path in Path(fmbench.__file__).parent.rglob("*.py"))
    if time.time() < newest - A_DAY:
        yield Finding(
            about="clock",
            level="warning",
            says="the clock is behind: files of fmbench are from its future",
            hint="set the clock: of two records of one run the newer one counts",
        )
        return
    resolution = time.get_clock_info("perf_counter").resolution
    if resolution > COARSEST_CLOCK:
        yield Finding(
            about="clock",
            level="warning",
            says=f"times are measured in steps of {resolution:g} s",
            hint="do not compare the times of short runs",
        )
        return
    said = f"it is later than fmbench's files; times are measured in steps of {resolution:g} s"
    yield Finding(about="clock", says=said)

"""Make what a session on a bare machine is given: wheels, the data set, records to go on from.

    benchmarks/gpu/pack [--with-records FILE]

Fills benchmarks/gpu/carried, which git ignores, with wheels of this checkout and its plugins, of
what the machine lacks in the versions installed here, for its Python; and with the four files of
Fashion-MNIST. Ends with 1 when they and the checkout together are more than travels.
"""

import argparse
import gzip
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from fmbench import data, environment
from fmbench.data.dataset import locate
from gpu.session import ARCHIVE, CARRIED, DATA, WHEELS

ROOT = Path(__file__).parents[2]
MOST = 64 * 2**20
"""Bytes of checkout and folder together that travel to the machine."""

LACKING = ("msgspec", "platformdirs", "pooch", "timm")
"""What the machine lacks, or has in a version that is not known: timm decides networks."""

PYTHON = "3.12"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill the folder anew; 1 when it is too large."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, help="folder of the four files; they are found")
    parser.add_argument("--with-records", type=Path, help=f"{ARCHIVE} of an earlier session")
    parser.add_argument("--into", type=Path, default=CARRIED, help=f"folder; {CARRIED}")
    options = parser.parse_args(arguments)
    records = options.with_records.read_bytes() if options.with_records else None
    if options.into.exists():
        shutil.rmtree(options.into)
    wheels = options.into / WHEELS
    wheels.mkdir(parents=True)
    build(wheels)
    download(wheels)
    pack_data(data.find(options.data_dir), options.into / DATA)
    if records:
        (options.into / ARCHIVE).write_bytes(records)
    carried = sum(path.stat().st_size for path in options.into.rglob("*") if path.is_file())
    print(f"{options.into}: {carried / 2**20:.1f} MiB, the checkout {checkout() / 2**20:.1f} MiB")
    if carried + checkout() > MOST:
        print(f"together more than the {MOST / 2**20:.0f} MiB that travel", file=sys.stderr)
        return 1
    return 0


def build(wheels: Path) -> None:
    """Build the wheels of this checkout, which say what commit they are of, and of its plugins."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    folders = [ROOT, *(path.parent for path in sorted(ROOT.glob("plugins/*/pyproject.toml")))]
    subprocess.run([*pip, "--wheel-dir", str(wheels), *map(str, folders)], check=True)


def download(wheels: Path) -> None:
    """Download what the machine lacks, in the versions installed here, for its Python."""
    wanted = [f"{name}=={environment.version(name)}" for name in LACKING]
    platforms = [word for one in PLATFORMS for word in ("--platform", one)]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    pip += ["--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp"]
    subprocess.run([*pip, *platforms, "--dest", str(wheels), *wanted], check=True)


def pack_data(folder: Path, into: Path) -> None:
    """Copy the four files, compressed."""
    into.mkdir()
    for name in data.FILES:
        source = locate(folder, name)
        if source is None:
            raise FileNotFoundError(folder / name)
        if source.suffix == ".gz":
            shutil.copyfile(source, into / source.name)
        else:
            (into / f"{name}.gz").write_bytes(gzip.compress(source.read_bytes()))


def checkout() -> int:
    """Bytes of the files that git does not ignore."""
    listed = [
        "git",
        "-C",
        str(ROOT),
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")
    return sum((ROOT / name).stat().st_size for name in names if (ROOT / name).is_file())


if __name__ == "__main__":
    sys.exit(main())

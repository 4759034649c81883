"""plugins/README.md as it is followed: its commands in order, and what they print.

`python tests/tutorial.py` follows it and writes the outputs into the page; it needs the data set.
"""

import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from conftest import child_environment
from fmbench import data

PAGE = Path(__file__).parents[1] / "plugins" / "README.md"
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
WIDTH = "118"


class Follower:
    """Somebody at a terminal in an empty folder, who installs into a site of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = folder / "site"
        self.site.mkdir()
        self._environment = child_environment(self.site, folder / "cache") | {
            "COLUMNS": WIDTH,
            "FMBENCH_DATA": str(data.find(progress=False)),
        }

    def type(self, command: str) -> str:
        """Type a command; returns what it prints, without trailing blanks."""
        words = shlex.split(command)
        if words[:2] == ["pip", "install"]:
            program = [
                sys.executable, "-m", "pip", "install", "--quiet", "--no-deps",
                "--no-build-isolation", "--target", str(self.site), *words[2:],
            ]  # fmt: skip
        else:
            program = [str(Path(sys.executable).with_name(words[0])), *words[1:]]
        ran = subprocess.run(
            program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True,
            cwd=self.folder, env=self._environment, timeout=2800,
        )  # fmt: skip
        lines = [line.rstrip() for line in ran.stdout.strip("\n").splitlines()]
        return "".join(f"{line}\n" for line in lines if line)


def follow(text: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Each console block of a page, and what it is when its commands are typed in order."""
    follower = Follower(folder)
    for block in CONSOLE.findall(text):
        commands = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
        yield block, "".join(f"$ {command}\n{follower.type(command)}" for command in commands)


def followed(text: str, folder: Path) -> str:
    """The page with the outputs its commands have in `folder`, and the model as it is written."""
    blocks = iter([new for _, new in follow(text, folder)])
    text = CONSOLE.sub(lambda _: f"```console\n{next(blocks)}```", text)
    code = (folder / "my-cnn" / "my_cnn.py").read_text("utf-8")
    return PYTHON.sub(lambda _: f"```python\n{code}```", text)


def masked(output: str) -> str:
    """Output without what differs from machine to machine: numbers, devices, all but first columns.

    How many columns of a table fit depends on how long its numbers are.
    """
    output = re.sub(r"(?m)^  (\S+)  +\S.*$", r"  \1", output)
    output = re.sub(r" on cpu, [^;\n]*;", " on cpu, DEVICE;", output)
    output = re.sub(r"runs? on .*\.", "runs on DEVICE.", output)
    output = re.sub(r"(?m)^other programs keep.*\n", "", output)
    output = re.sub(r"Too narrow for [^.]*\.\n", "", output)
    output = re.sub(r"[+-]?\d[\d.,]*(?:e-?\d+)?(?: (?:k|M|G|min|ms|s|h)\b)*", "#", output)
    output = re.sub(r"(?:# )+#", "#", output)
    output = re.sub(r"─+", "─", output)
    return re.sub(r"[ \t]+", " ", output)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        PAGE.write_text(followed(PAGE.read_text("utf-8"), Path(scratch)), "utf-8")

"""A new plugin: a complete distribution, written from templates, right before it is touched."""

import keyword
import os
import re
import sys
from dataclasses import dataclass
from importlib import metadata, resources, util
from pathlib import Path

from fmbench import files
from fmbench.contract import MODEL_NAME
from fmbench.environment import DISTRIBUTION, version
from fmbench.errors import StoreError, UsageError

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
PREFIX = "fmbench-"
LONGEST = 40


@dataclass(frozen=True)
class Names:
    """What a new plugin's parts are called."""

    distribution: str
    module: str
    model: str


def names_of(name: str) -> Names:
    """The names that follow from a distribution's; raises `UsageError` when one cannot be used."""
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise UsageError(
            f"{name!r} is not a name for a plugin",
            hint="use lower-case letters and digits in words joined by -, such as my-cnn, at most "
            f"{LONGEST} characters",
        )
    names = Names(name, name.replace("-", "_"), name.removeprefix(PREFIX))
    if keyword.iskeyword(names.module) or names.module in sys.stdlib_module_names:
        raise UsageError(f"{names.module} is a word of Python's own", hint=f"fmbench new my-{name}")
    if version(name):
        raise UsageError(
            f"a distribution {name} is installed, which the plugin would replace",
            hint=f"fmbench new my-{name}",
        )
    if util.find_spec(names.module) is not None:
        raise UsageError(
            f"a module {names.module} is installed, which the plugin's would hide",
            hint=f"fmbench new my-{name}",
        )
    if not MODEL_NAME.fullmatch(names.model):
        raise UsageError(f"{names.model!r} is not a model name", hint=f"fmbench new my-{name}")
    return names


def write_plugin(name: str, folder: Path | None = None) -> list[Path]:
    """Write a plugin into `folder`, ./NAME by default; returns the files, in order.

    Raises `UsageError` when the name cannot be used, or the folder exists or cannot be written.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    names = names_of(name)
    folder = folder or Path(name)
    if os.path.lexists(folder):
        raise UsageError("exists already", where=str(folder), hint="nothing is ever overwritten")
    templates = resources.files("fmbench.scaffold") / "templates"
    environment = Environment(  # noqa: S701 - what is written is Python, TOML and Markdown
        loader=FunctionLoader(lambda path: (templates / path).read_text("utf-8")),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    targets = {
        "pyproject.toml": folder / "pyproject.toml",
        "module.py": folder / f"{names.module}.py",
        "test_module.py": folder / "tests" / f"test_{names.module}.py",
        "README.md": folder / "README.md",
        "test.yml": folder / ".github" / "workflows" / "test.yml",
    }
    for template, path in targets.items():
        text = environment.get_template(f"{template}.j2").render(
            names=names, source=source_of_fmbench()
        )
        try:
            files.write_new(files.make_folder(path.parent) / path.name, text.encode())
        except StoreError as error:
            hint = "choose another with --folder FOLDER"
            raise UsageError(error.what, where=error.where, hint=hint) from error
    return list(targets.values())


def source_of_fmbench() -> str:
    """The address of fmbench's own source, as its distribution says."""
    addresses: list[str] = metadata.metadata(DISTRIBUTION).get_all("Project-URL", [])
    return dict(address.split(", ", 1) for address in addresses)["Source"]

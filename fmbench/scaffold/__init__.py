"""What one begins with: a new plugin, right before it is touched, or a protocol of one's own."""

import keyword
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata, resources, util
from pathlib import Path
from typing import Any

from fmbench import files, protocol
from fmbench.contract import MODEL_NAME
from fmbench.derivation import merge
from fmbench.environment import DISTRIBUTION, version
from fmbench.errors import ProtocolError, StoreError, UsageError
from fmbench.protocol import Protocol
from fmbench.protocol_files import encode

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
PROTOCOL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
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
        raise UsageError(
            f"{names.module} is a name that Python uses", hint=f"fmbench new my-{name}"
        )
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
        raise UsageError("exists already", where=str(folder), hint="choose another --folder")
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


def write_protocol(name: str, parent: str, sets: Sequence[str]) -> tuple[Path, Protocol]:
    """Write ./NAME.toml, a protocol that extends another; returns its path and its rules.

    sets: its own rules, such as `final.epochs=30`: dotted keys with TOML values.

    Raises `UsageError` when the name is taken or cannot be used, or a rule is none, and as
    `protocol.load` does for the parent.
    """
    name = name.removesuffix(".toml")
    path = Path(f"{name}.toml")
    if not PROTOCOL_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a name for a protocol",
            hint="use lower-case letters and digits, such as my-protocol, at most 32 characters",
        )
    if f"{name}-v1" in protocol.names():
        raise UsageError(f"{name}-v1 is a built-in protocol", hint="choose another name")
    if os.path.lexists(path):
        raise UsageError("exists already", where=str(path), hint="choose another name")
    above = protocol.load(parent)
    tables: dict[str, Any] = {"extends": parent, "name": name, "version": 1}
    for rule in sets:
        tables = merge(tables, _rule(rule))
    text = f"# {name}: {above.id} with rules of one's own.\n\n{encode(tables)}"
    try:
        rules = protocol.parse(text, str(path))
    except ProtocolError as error:
        raise UsageError(
            error.what,
            where="--set",
            hint=f"its keys are those of `fmbench protocols {shlex.quote(parent)} --json`",
        ) from error
    try:
        files.write_new(path, text.encode())
    except StoreError as error:
        raise UsageError(error.what, where=error.where, hint="go to another folder") from error
    return path, rules


def _rule(words: str) -> dict[str, Any]:
    """`final.epochs=30` as tables; raises `UsageError`."""
    try:
        found = tomllib.loads(words)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{words!r} is not KEY=VALUE with a TOML value: {error}",
            where="--set",
            hint="""put text in quotes: --set 'training.schedule="cosine"'""",
        ) from error
    if not found or found.keys() & {"name", "extends", "differs"}:
        raise UsageError(
            f"{words!r} sets no rule",
            where="--set",
            hint="the name is the argument, and --from says what is extended",
        )
    return found


def source_of_fmbench() -> str:
    """The address of fmbench's own source, as its distribution says."""
    addresses: list[str] = metadata.metadata(DISTRIBUTION).get_all("Project-URL", [])
    return dict(address.split(", ", 1) for address in addresses)["Source"]

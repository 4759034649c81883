"""Protocols as text: where the built-in ones and one's own lie, and TOML made of tables."""

import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from fmbench.errors import ProtocolError, UsageError

QUICK = "quick-v2"
"""The protocol of a first try: what is meant where none is named."""


def source(name: str) -> str:
    """The text of a protocol's file, by name or path; raises `UsageError` when there is none."""
    if is_path(name):
        try:
            return Path(name).read_text("utf-8-sig")  # some editors begin with a byte-order mark
        except (OSError, ValueError) as error:
            raise UsageError(
                f"no protocol can be read there: {error}",
                where=name,
                hint="`fmbench protocols` lists the built-in ones",
            ) from error
    if name not in names():
        raise UsageError(
            f"there is no protocol {name!r}",
            hint=f"choose one of {', '.join(names())}, or give the path of a .toml file",
        )
    return (resources.files("fmbench") / "protocols" / f"{name}.toml").read_text("utf-8")


def parent_of(name: object, where: str, heirs: tuple[str, ...]) -> tuple[str, str]:
    """The protocol that the file `where` extends, as a name or path, and its text.

    heirs: the files that extend `where` itself.

    Raises `ProtocolError` when it cannot be read, or extends `where` in its turn.
    """
    hint = f"extend one of {', '.join(names())}, or give the path of a .toml file"
    if not isinstance(name, str):
        raise ProtocolError("the value of extends is no text", where=where, hint=hint)
    file = str(Path(where).parent / name) if is_path(name) else name
    try:
        text = source(file)
    except UsageError as error:
        raise ProtocolError(f"extends {name!r}: {error.what}", where=where, hint=hint) from error
    if _identity(file) in map(_identity, (*heirs, where)):
        raise ProtocolError(f"extends {name!r}, which extends it", where=where, hint=hint)
    return file, text


def _identity(name: str) -> str:
    return str(Path(name).resolve()) if is_path(name) else name


def is_path(name: str) -> bool:
    """Whether a protocol is named by its file's path."""
    return name.endswith(".toml") or "/" in name


def names() -> list[str]:
    """The built-in protocols, quickest first."""
    folder = resources.files("fmbench") / "protocols"
    files = (file.name for file in folder.iterdir())
    found = [name.removesuffix(".toml") for name in files if name.endswith(".toml")]
    order = ["quick", "lite", "standard"]
    return sorted(
        (name for name in found if "-v" in name),
        key=lambda name: (order.index(name.rsplit("-v", 1)[0]), name),
    )


def heading(text: str) -> str:
    """The comment block a protocol's file opens with, without its `#` signs."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(lines)


def encode(tables: Mapping[str, Any], path: tuple[str, ...] = ()) -> str:
    """Tables as TOML text; a key whose value is None is left out."""
    plain = (
        f"{_key(key)} = {_inline(value)}\n"
        for key, value in tables.items()
        if value is not None and not _is_section(value)
    )
    parts = ["".join(plain)]
    for key, value in tables.items():
        inner = (*path, _key(key))
        if _is_section(value) and isinstance(value, Mapping):
            body = encode(value, inner)
            parts.append(body if body.startswith("[") else f"[{'.'.join(inner)}]\n{body}")
        elif _is_section(value):
            parts += [f"[[{'.'.join(inner)}]]\n{encode(one, inner)}" for one in value]
    return "\n".join(part for part in parts if part)


def _is_section(value: object) -> bool:
    """Whether it is a table, or a list of nothing but tables."""
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(one, Mapping) for one in value)
    return isinstance(value, Mapping)


def _key(key: str) -> str:
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else _inline(key)


def _inline(value: object) -> str:
    """A value in one line of TOML."""
    match value:
        case bool():
            return str(value).lower()
        case str():  # as in JSON, which lets DEL stand
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case Mapping():
            inner = (f"{_key(key)} = {_inline(one)}" for key, one in value.items())
            return f"{{{', '.join(inner)}}}"
        case list() | tuple():
            return f"[{', '.join(map(_inline, value))}]"
        case _:
            return str(value)

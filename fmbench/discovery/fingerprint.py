"""The files behind an entry point, by which a changed plugin is known."""

import hashlib
import os
import pkgutil
import re
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path

from fmbench import files
from fmbench.discovery.entries import Entry
from fmbench.environment import DISTRIBUTION, normal_name, version

SCRATCH = re.compile(r"\..*|.*~|#.*#|.*\.(bak|orig|rej|tmp)|4913|__pycache__")
"""Names of files and folders that editors, versioning and Python leave beside sources: hidden ones,
copies made before a change, the number that vim tries a folder with, compiled modules."""

EDITABLE = re.compile(r"[^/]*\.pth|__editable__[^/]*")
"""What an editable install puts beside everybody's packages: it says where a checkout lies."""


def installed_files(entry: Entry) -> list[tuple[str, Path]]:
    """Name and path of each file of an entry's distribution and of its top-level module.

    An editable install has none of its sources; what can be imported from where its module lies is
    taken for them, less what no import reads: see `SCRATCH`. Of a module in an archive that is the
    archive. Empty where nothing is found.
    """
    found: dict[str, Path] = {}
    for file in metadata.distribution(entry.distribution).files or ():
        outside = ".dist-info" in file.parts[0] or ".." in file.parts
        if not (outside or EDITABLE.fullmatch(file.as_posix()) or "__pycache__" in file.parts):
            found[file.as_posix()] = Path(str(file.locate()))
    if module := _module_of(entry):
        found |= _files_of_module(module)
    return sorted((name, path) for name, path in found.items() if path.is_file())


def source_digest(entry: Entry) -> str:
    """SHA-256 of the names and contents of an entry's installed files."""
    digest = hashlib.sha256()
    for name, path in installed_files(entry):
        try:
            content = bytes.fromhex(files.digest_of_file(path))
        except FileNotFoundError:  # gone since it was listed
            continue
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + content)
    return digest.hexdigest()


def dependencies(entry: Entry) -> dict[str, str]:
    """Installed versions of what a distribution declares, extras and the core left out."""
    declared = metadata.distribution(entry.distribution).requires or []
    required = (line for line in declared if "extra ==" not in line)
    named = {normal_name(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]) for line in required}
    return {name: version(name) for name in sorted(named - {DISTRIBUTION})}


def _module_of(entry: Entry) -> ModuleSpec | None:
    """The top-level package or module of an entry; of a namespace the first that is in a file."""
    path: Sequence[str] | None = None
    found = None
    name = ""
    for part in entry.module.split("."):
        name = f"{name}.{part}".lstrip(".")
        found = _find(name, path)
        if found is None or found.has_location or getattr(found.loader, "archive", None):
            break
        path = found.submodule_search_locations
    return found


def _find(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """Look for a module as `import` does, but import nothing."""
    for finder in sys.meta_path:
        try:
            if found := finder.find_spec(name, path):
                return found
        except (AttributeError, ImportError, ValueError):
            continue
    return None


def _files_of_module(module: ModuleSpec) -> dict[str, Path]:
    if archive := getattr(module.loader, "archive", None):  # a zip file on the path
        return {Path(archive).name: Path(archive)}
    places = dict.fromkeys(_places(module))  # each once, in a fixed order
    alone = "." in module.name  # others share the namespace
    for folder in dict.fromkeys(() if alone else (place.parent for place in places)):
        if any(folder.glob("*.dist-info")):  # where everybody's packages lie
            continue
        for finder, name, _ in pkgutil.iter_modules([str(folder)]):
            beside = finder.find_spec(name, None)
            places |= dict.fromkeys(_places(beside) if beside else ())
    return {
        path.relative_to(place.parent).as_posix(): path
        for place in places
        for path in (_walk(place) if place.is_dir() else [place])
    }


def _places(module: ModuleSpec) -> Iterator[Path]:
    """The folders of a package, or the file of a module."""
    if not module.has_location or module.origin is None:
        return  # a namespace, or what a finder makes up
    found = module.submodule_search_locations or [module.origin]
    yield from (Path(one) for one in found if Path(one).is_absolute())


def _walk(folder: Path) -> Iterator[Path]:
    """The files in a folder that are not scratch; a folder that goes away meanwhile has none."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not SCRATCH.fullmatch(name)]
        yield from (Path(place, name) for name in names if not SCRATCH.fullmatch(name))

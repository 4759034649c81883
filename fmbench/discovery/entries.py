"""The entry points of installed plugins, and the files and versions behind each."""

import hashlib
import pkgutil
import re
from collections.abc import Iterator
from importlib import metadata, util
from importlib.machinery import ModuleSpec
from pathlib import Path

from msgspec import Struct

from fmbench.discovery import choice
from fmbench.environment import DISTRIBUTION, normal_name, version
from fmbench.records import Plugin

GROUP = "fmbench"


class Entry(Struct, frozen=True, order=True):
    """One entry point of the group: which distribution offers which object under which name."""

    distribution: str
    version: str
    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.distribution}[{self.name}]"

    @property
    def import_hint(self) -> str:
        """What to type to see a fault at import for oneself."""
        return f"see why with: python -c 'import {self.value.partition(':')[0]}'"


def entries() -> list[Entry]:
    """The entry points of the group in this environment, sorted.

    Those that `choice` leaves out are not even looked at.
    """
    return sorted(
        entry
        for name, of_one in installed_distributions().items()
        if choice.takes_part(name)
        for entry in of_one
    )


def installed_distributions() -> dict[str, set[Entry]]:
    """The installed plugins of models by their normal names, whether or not they take part.

    Of a distribution that lies on the path twice the first counts, as it does for `import`.
    """
    found: dict[str, set[Entry]] = {}
    for distribution in metadata.distributions():
        points = [point for point in distribution.entry_points if point.group == GROUP]
        name = normal_name(distribution.name) if points else ""
        if points and name not in found:
            found[name] = {
                Entry(name, distribution.version, point.name, point.value) for point in points
            }
    return found


def entry_of(plugin: Plugin) -> Entry | None:
    """The entry a plugin's provenance names, while it is installed."""
    wanted = (plugin.distribution, plugin.entry)
    return next((e for e in entries() if (e.distribution, e.name) == wanted), None)


def installed_files(entry: Entry) -> list[tuple[str, Path]]:
    """Name and path of each file of an entry's distribution and of its top-level module.

    An editable install has none of its sources; what can be imported from where its module lies is
    taken for them.
    """
    found: dict[str, Path] = {}
    for file in metadata.distribution(entry.distribution).files or ():
        if ".dist-info" not in file.parts[0] and ".." not in file.parts:
            found[file.as_posix()] = Path(str(file.locate()))
    top = _top_module(entry)
    places = dict.fromkeys(_places(top) if top else ())  # each once, in a fixed order
    for folder in dict.fromkeys(place.parent for place in places):
        if any(folder.glob("*.dist-info")):  # where everybody's packages lie
            continue
        for finder, name, _ in pkgutil.iter_modules([str(folder)]):
            beside = finder.find_spec(name, None)
            places |= dict.fromkeys(_places(beside) if beside else ())
    for place in places:
        for path in place.rglob("*") if place.is_dir() else [place]:
            found[path.relative_to(place.parent).as_posix()] = path
    return sorted(
        (name, path)
        for name, path in found.items()
        if "__pycache__" not in name and not name.endswith(".pth") and path.is_file()
    )


def _top_module(entry: Entry) -> ModuleSpec | None:
    try:
        return util.find_spec(entry.value.partition(":")[0].partition(".")[0])
    except (ImportError, ValueError):
        return None


def _places(module: ModuleSpec) -> Iterator[Path]:
    """The folders of a top-level package, or the file of a module."""
    if module.submodule_search_locations:
        yield from map(Path, module.submodule_search_locations)
    elif module.origin and module.has_location:
        yield Path(module.origin)


def source_digest(entry: Entry) -> str:
    """SHA-256 of the names and contents of an entry's installed files."""
    digest = hashlib.sha256()
    for name, path in installed_files(entry):
        digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def dependencies(entry: Entry) -> dict[str, str]:
    """Installed versions of what a distribution declares, extras and the core left out."""
    declared = metadata.distribution(entry.distribution).requires or []
    required = (line for line in declared if "extra ==" not in line)
    named = {normal_name(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]) for line in required}
    return {name: version(name) for name in sorted(named - {DISTRIBUTION})}

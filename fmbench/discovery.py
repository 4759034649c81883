"""Which models are installed: entry points loaded in a child, and its answer as plain data.

The process that runs benchmarks never imports a plugin of models. `catalogue()` asks a child,
entry by entry when one child dies, and keeps the answer until an installed file changes.
"""

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib import metadata, util
from pathlib import Path

import msgspec
import platformdirs
import pluggy
from msgspec import Struct

from fmbench import files, hookspecs, processes
from fmbench.contract import Family, Model
from fmbench.environment import DISTRIBUTION, version
from fmbench.errors import FmbenchError, PluginError
from fmbench.records import Plugin

GROUP = "fmbench"
DISABLE = "FMBENCH_DISABLE_PLUGINS"
CHILD_SECONDS = 60


class Entry(Struct, frozen=True, order=True):
    """One entry point of the group: which distribution offers which object under which name."""

    distribution: str
    version: str
    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.distribution}[{self.name}]"


class ListedModel(Struct, frozen=True, kw_only=True):
    """A model as the catalogue holds it, without its build function."""

    name: str
    summary: str
    size: int
    source: str
    plugin: Plugin


class ListedFamily(Struct, frozen=True, kw_only=True):
    """A family as the catalogue holds it."""

    prefix: str
    plugin: Plugin


class Problem(Struct, frozen=True, kw_only=True):
    """Why an entry offers less than it might."""

    entry: str
    version: str
    what: str
    hint: str = ""


class Catalogue(Struct, frozen=True, kw_only=True):
    """Everything the installed plugins offer, and what is wrong with them."""

    models: tuple[ListedModel, ...] = ()
    families: tuple[ListedFamily, ...] = ()
    problems: tuple[Problem, ...] = ()


def catalogue() -> Catalogue:
    """All installed models; cached until a plugin's version or files change."""
    found = entries()
    if not found:
        return Catalogue()
    cached = platformdirs.user_cache_path("fmbench") / f"catalogue-{_stamp(found)}.json"
    if known := files.read_json(cached, Catalogue):
        return known
    answer = _ask(found)
    if not _gave_no_answer(answer):
        with contextlib.suppress(FmbenchError):  # a cache that cannot be written costs only time
            files.write(files.make_folder(cached.parent) / cached.name, msgspec.json.encode(answer))
    return answer


def resolve(name: str, family: ListedFamily) -> ListedModel:
    """The member of a family, asked for in a child.

    Raises `PluginError` with the plugin's own sentence when the family has no such member.
    """
    entry = next(entry for entry in entries() if _names(entry, family.plugin))
    answer = _run_child([entry], name)
    for model in answer.models:
        if model.name == name:
            return model
    problem = answer.problems[0] if answer.problems else None
    raise PluginError(
        problem.what if problem else f"{family.prefix} did not resolve {name}",
        where=family.plugin.distribution,
        hint=problem.hint if problem else "",
    )


def load_model(plugin: Plugin, name: str) -> Model:
    """Import a plugin here and return its model: only a worker or a check does this.

    Raises `PluginError` when the plugin no longer offers it, and whatever its import raises.
    """
    for entry in entries():
        if _names(entry, plugin):
            for offer in _offers(entry):
                if isinstance(offer, Model) and offer.name == name:
                    return offer
                if isinstance(offer, Family) and name.startswith(offer.prefix):
                    return _member(offer, name)
    raise PluginError(f"the model {name} is no longer offered", where=plugin.distribution)


def entries() -> list[Entry]:
    """The entry points of the group in this environment, sorted.

    Of a distribution that lies on the path twice the first counts, as it does for `import`.
    Distributions named in the variable FMBENCH_DISABLE_PLUGINS, with commas between, are left out.
    """
    found: set[Entry] = set()
    seen = {_normal(name.strip()) for name in os.environ.get(DISABLE, "").split(",")}
    for distribution in metadata.distributions():
        points = [point for point in distribution.entry_points if point.group == GROUP]
        if not points:
            continue
        name = _normal(distribution.name)
        if name not in seen:
            found |= {
                Entry(name, distribution.version, point.name, point.value) for point in points
            }
        seen.add(name)
    return sorted(found)


_NO_ANSWER = "gave no answer when it was imported"


def _names(entry: Entry, plugin: Plugin) -> bool:
    return (entry.distribution, entry.name) == (plugin.distribution, plugin.entry)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _gave_no_answer(answer: Catalogue) -> bool:
    return any(problem.what.startswith(_NO_ANSWER) for problem in answer.problems)


def _ask(found: list[Entry]) -> Catalogue:
    answer = _run_child(found)
    if len(found) == 1 or not _gave_no_answer(answer):
        return answer
    parts = [_run_child([entry]) for entry in found]
    return Catalogue(
        models=tuple(model for part in parts for model in part.models),
        families=tuple(family for part in parts for family in part.families),
        problems=tuple(problem for part in parts for problem in part.problems),
    )


def _run_child(found: list[Entry], member: str = "") -> Catalogue:
    """Ask one child about these entries; a child that dies or hangs is itself a problem."""
    with tempfile.TemporaryDirectory(prefix="fmbench-") as folder:
        answer = Path(folder, "answer.json")
        Path(folder, "request.json").write_bytes(msgspec.json.encode((found, member)))
        child = subprocess.Popen(
            [*processes.PYTHON_MODULE, "fmbench.discovery", folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            child.wait(CHILD_SECONDS)
            reason = _how_it_ended(child.returncode)
        except subprocess.TimeoutExpired:
            reason = f"it was still busy after {CHILD_SECONDS} s"
        finally:
            _kill_group(child)
        no_answer = Catalogue(problems=tuple(_no_answer(entry, reason) for entry in found))
        return files.read_json(answer, Catalogue) or no_answer


def _how_it_ended(status: int) -> str:
    if status < 0:
        return f"it was killed by signal {signal.Signals(-status).name}"
    return f"it ended with exit status {status}"


def _no_answer(entry: Entry, reason: str) -> Problem:
    module = entry.value.partition(":")[0]
    return Problem(
        entry=str(entry),
        version=entry.version,
        what=f"{_NO_ANSWER}: {reason}",
        hint=f"see why with: python -c 'import {module}'",
    )


def _kill_group(child: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _stamp(found: list[Entry]) -> str:
    """A digest that changes whenever an answer of the child might."""
    facts: list[object] = [version(DISTRIBUTION), sys.version, sys.path[1:]]
    for entry in found:
        stats = [
            (name, stat.st_mtime_ns, stat.st_size)
            for name, path in _installed_files(entry)
            for stat in [path.stat()]
        ]
        facts.append((entry, _dependencies(entry), stats))
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:16]


def _installed_files(entry: Entry) -> list[tuple[str, Path]]:
    """Name and path of each file of an entry's distribution and of its top-level module.

    The second is what an editable install has in place of the first.
    """
    found: dict[str, Path] = {}
    for file in metadata.distribution(entry.distribution).files or ():
        if ".dist-info" not in file.parts[0] and ".." not in file.parts:
            found[file.as_posix()] = Path(str(file.locate()))
    top = entry.value.partition(":")[0].partition(".")[0]
    try:
        spec = util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in Path(folder).rglob("*"):
            found[path.relative_to(Path(folder).parent).as_posix()] = path
    if spec and spec.origin and not spec.submodule_search_locations:
        found[Path(spec.origin).name] = Path(spec.origin)
    return sorted(
        (name, path)
        for name, path in found.items()
        if "__pycache__" not in name and not name.endswith(".pth") and path.is_file()
    )


def _source_digest(entry: Entry) -> str:
    digest = hashlib.sha256()
    for name, path in _installed_files(entry):
        digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _dependencies(entry: Entry) -> dict[str, str]:
    """Installed versions of what a distribution declares, extras and the core left out."""
    declared = metadata.distribution(entry.distribution).requires or []
    required = (line for line in declared if "extra ==" not in line)
    named = {_normal(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]) for line in required}
    return {name: version(name) for name in sorted(named - {DISTRIBUTION})}


# What follows runs in the child, or in a worker.


def _answer(found: Iterable[Entry], member: str) -> Catalogue:
    models: list[ListedModel] = []
    families: list[ListedFamily] = []
    problems: list[Problem] = []
    for entry in found:
        try:
            plugin = Plugin(
                distribution=entry.distribution,
                version=entry.version,
                entry=entry.name,
                source=_source_digest(entry),
                dependencies=_dependencies(entry),
            )
            offers = _offers(entry)
            own_families = [offer for offer in offers if isinstance(offer, Family)]
            own_models = [offer for offer in offers if isinstance(offer, Model)]
            for family in own_families:
                asked = [member] if member.startswith(family.prefix) else family.listed
                own_models += [_member(family, name) for name in asked]
            _check_names([model.name for model in own_models])
        except BaseException as error:  # whatever a plugin raises costs only its own models
            problems.append(_problem(entry, error))
            continue
        families += [ListedFamily(prefix=family.prefix, plugin=plugin) for family in own_families]
        models += [
            ListedModel(
                name=model.name,
                summary=model.summary,
                size=model.size,
                source=model.source,
                plugin=plugin,
            )
            for model in own_models
        ]
    return Catalogue(models=tuple(models), families=tuple(families), problems=tuple(problems))


def _offers(entry: Entry) -> list[Model | Family]:
    """Load one entry alone, hold it to the hook specifications and ask what it offers."""
    point = metadata.EntryPoint(name=entry.name, value=entry.value, group=GROUP)
    loaded = point.load()
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs.ModelHooks)
    manager.register(loaded, name=str(entry))
    for name in dir(loaded):
        if not name.startswith("fmbench_") or not callable(getattr(loaded, name)):
            continue
        if not hasattr(getattr(loaded, name), f"{hookspecs.PROJECT}_impl"):
            raise PluginError(
                f"the function {name} is not marked as a hook",
                hint=f"write @fmbench.hookimpl above def {name}",
            )
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(
            str(error).strip(), hint="a plugin of models implements fmbench_models()"
        ) from error
    if not manager.hook.fmbench_models.get_hookimpls():
        raise PluginError(
            "it implements no hook",
            hint=f"point the entry at the module that defines fmbench_models(), not {entry.value}",
        )
    answers = manager.hook.fmbench_models()
    if not answers:
        raise PluginError("fmbench_models() returned None", hint="return a list of fmbench.Model")
    offers = list(answers[0])
    for offer in offers:
        if not isinstance(offer, Model | Family):
            raise PluginError(
                f"fmbench_models() offers a {type(offer).__name__}",
                hint="return a list of fmbench.Model and fmbench.Family",
            )
    return offers


def _member(family: Family, name: str) -> Model:
    try:
        model = family.resolve(name)
    except LookupError as error:
        raise PluginError(str(error.args[0]) if error.args else f"there is no {name}") from error
    if not isinstance(model, Model) or model.name != name:
        raise PluginError(f"the family {family.prefix} answered {name} with {model!r}")
    return model


def _check_names(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise PluginError(f"it offers two models named {name}")


def _problem(entry: Entry, error: BaseException) -> Problem:
    if isinstance(error, FmbenchError):
        what, hint = error.what, error.hint
    else:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        hint = f"see why with: python -c 'import {entry.value.partition(':')[0]}'"
    return Problem(entry=str(entry), version=entry.version, what=what, hint=hint)


def main(folder: str) -> None:
    """Answer the request in `folder`; the only thing this child does."""
    request = Path(folder, "request.json").read_bytes()
    found, member = msgspec.json.decode(request, type=tuple[list[Entry], str])
    files.write(Path(folder, "answer.json"), msgspec.json.encode(_answer(found, member)))
    os._exit(0)  # threads or exit handlers a plugin left behind do not delay the answer


if __name__ == "__main__":
    main(sys.argv[1])

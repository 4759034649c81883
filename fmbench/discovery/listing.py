"""The catalogue: what installed plugins offer, listed in a child and kept as plain data.

The process that runs benchmarks never imports a plugin of models. `catalogue()` asks a child,
entry by entry when something is wrong, and keeps the answer until an installed file changes.
"""

import hashlib
import subprocess
import sys
from collections.abc import Iterable
from typing import TypeVar

import msgspec
from msgspec import Struct

from fmbench import cache, files, processes
from fmbench.contract import Family
from fmbench.discovery.entries import Entry, Problem, entries, entry_of, installed, taking_part
from fmbench.discovery.fingerprint import dependencies, installed_files
from fmbench.environment import DISTRIBUTION, version
from fmbench.errors import PluginError
from fmbench.records import Plugin
from fmbench.wording import encodable

CHILD_SECONDS = 60
ALL_MEMBERS = "*"
INSTALL_MODELS = (
    "pip install plugins/*/ in a checkout of fmbench, "
    f"or pip install '{DISTRIBUTION}[models]' from a package index that has it"
)
"""What to do when no plugin offers a model."""


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


class Catalogue(Struct, frozen=True, kw_only=True):
    """Everything the installed plugins offer, and what is wrong with them."""

    models: tuple[ListedModel, ...] = ()
    families: tuple[ListedFamily, ...] = ()
    problems: tuple[Problem, ...] = ()


F = TypeVar("F", Family, ListedFamily)


def family_of(name: str, families: Iterable[F]) -> F | None:
    """The family a member belongs to: of several the one with the longest prefix."""
    fitting = (family for family in families if name.startswith(family.prefix))
    return max(fitting, key=lambda family: len(family.prefix), default=None)


def catalogue() -> Catalogue:
    """All installed models; cached until a plugin's version or files change."""
    everything = installed()
    answer = _offered(taking_part(everything))
    problems = (*answer.problems, *everything.problems)
    return msgspec.structs.replace(answer, problems=problems)


def _offered(found: list[Entry]) -> Catalogue:
    """What these entries offer, from the cache where it is there."""
    if not found:
        return Catalogue()
    name = _kept_as(found)
    known = cache.read(name, Catalogue)
    if known and not known.problems:  # what is wrong may be mended where no stamp shows it
        return known
    answer = _ask(found)
    cache.keep(name, answer)
    return answer


def remembered() -> Catalogue:
    """What the plugins last offered, problems included; listed now if they never were."""
    return cache.read(_kept_as(entries()), Catalogue) or catalogue()


def resolve(name: str, family: ListedFamily) -> ListedModel:
    """The member of a family, resolved in a child.

    Raises `PluginError` with the plugin's own sentence when the family has no such member.
    """
    entry = entry_of(family.plugin)
    answer = _run_child([entry], name) if entry else Catalogue()
    for model in answer.models:
        if model.name == name:
            return model
    problem = answer.problems[0] if answer.problems else None
    raise PluginError(
        problem.what if problem else f"{family.prefix} did not resolve {name}",
        where=family.plugin.distribution,
        hint=problem.hint if problem else "",
    )


def members(family: ListedFamily) -> Catalogue:
    """All members of a family, listed in a child; problems say why some cannot be had."""
    entry = entry_of(family.plugin)
    return _run_child([entry], f"{family.prefix}{ALL_MEMBERS}") if entry else Catalogue()


def _ask(found: list[Entry]) -> Catalogue:
    """Ask all entries in one child, and each in its own once something is wrong.

    What one does to the interpreter it is imported in may be another's problem.
    """
    answer = _run_child(found)
    if len(found) == 1 or not answer.problems:
        return answer
    parts = [_run_child([entry]) for entry in found]
    return Catalogue(
        models=tuple(model for part in parts for model in part.models),
        families=tuple(family for part in parts for family in part.families),
        problems=tuple(problem for part in parts for problem in part.problems),
    )


def _run_child(found: list[Entry], member: str = "") -> Catalogue:
    """Ask one child about these entries; a child that dies or hangs is itself a problem."""
    with files.temporary_folder() as folder:
        answer = folder / "answer.json"
        files.write(folder / "request.json", msgspec.json.encode((found, member)))
        child = processes.start("fmbench.discovery.child", folder)
        try:
            child.wait(CHILD_SECONDS)
            reason = f"it ended with {processes.how_it_ended(child.returncode)}"
        except subprocess.TimeoutExpired:
            reason = f"it was still busy after {CHILD_SECONDS} s"
        finally:
            processes.end(child)
        no_answer = Catalogue(problems=tuple(_no_answer(entry, reason) for entry in found))
        return files.read_json(answer, Catalogue) or no_answer


def _no_answer(entry: Entry, reason: str) -> Problem:
    return Problem(
        entry=str(entry),
        version=entry.version,
        what=f"gave no answer when it was imported: {reason}",
        hint=entry.import_hint,
    )


def _kept_as(found: list[Entry]) -> str:
    """A name in the cache that changes whenever an answer of the child might."""
    facts: list[object] = [version(DISTRIBUTION), sys.version, [*map(encodable, sys.path[1:])]]
    for entry in found:
        try:
            stats = [
                (encodable(name), stat.st_mtime_ns, stat.st_size)
                for name, path in installed_files(entry)
                for stat in [path.stat()]
            ]
            facts.append((entry, dependencies(entry), stats))
        except Exception as error:  # of broken metadata, which the child will report
            facts.append((entry, encodable(repr(error))))
    return f"catalogue-{hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:16]}"

"""What one plugin offers: it is imported here, in a child that answers, or in a worker."""

import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import msgspec
import pluggy

from fmbench import files, hookspecs, processes
from fmbench.contract import CONTRACT, Family, Model
from fmbench.discovery.entries import GROUP, Entry, Problem, entry_of
from fmbench.discovery.fingerprint import dependencies, installed_files, source_digest
from fmbench.discovery.listing import (
    ALL_MEMBERS,
    Catalogue,
    ListedFamily,
    ListedModel,
    family_of,
)
from fmbench.errors import FmbenchError, PluginError
from fmbench.records import Plugin
from fmbench.wording import encodable, raised


class ChangedError(PluginError):
    """A plugin is not what it was when the command began."""


def unchanged(plugin: Plugin) -> Entry:
    """The entry of a plugin that is what was planned with; raises `ChangedError` for another."""
    planned = plugin.version, plugin.source, plugin.dependencies
    with contextlib.suppress(Exception):  # of a parser: metadata may be half written, too
        entry = entry_of(plugin)
        if entry and (entry.version, source_digest(entry), dependencies(entry)) == planned:
            return entry
    raise ChangedError(
        "its files or those it depends on have changed since this command began",
        where=plugin.distribution,
        hint="start the command again; a plugin that is edited meanwhile is best installed without "
        "--editable",
    )


def load_model(entry: Entry, name: str) -> Model:
    """Import a plugin here and return its model: only a worker or a check does this.

    Raises `PluginError` when it no longer offers the model, and whatever its import raises.
    """
    offers = _offers(entry)
    for offer in offers:
        if isinstance(offer, Model) and offer.name == name:
            return offer
    if family := family_of(name, [offer for offer in offers if isinstance(offer, Family)]):
        return _member(family, name)
    raise PluginError(
        f"the model {name} is no longer offered",
        where=entry.distribution,
        hint="see what is offered with: fmbench models",
    )


def _answer(found: Iterable[Entry], member: str) -> Catalogue:
    models: list[ListedModel] = []
    families: list[ListedFamily] = []
    problems: list[Problem] = []
    for entry in found:
        try:
            plugin = _provenance(entry)
            offers = _offers(entry)
            if not installed_files(entry):
                raise PluginError(
                    "none of its files is found: nothing would show when its code changes",
                    hint="install it from a folder or a wheel with pip",
                )
            own_families = [offer for offer in offers if isinstance(offer, Family)]
            own_models = [offer for offer in offers if isinstance(offer, Model)]
            for family in own_families:
                if member == f"{family.prefix}{ALL_MEMBERS}":
                    found_members, refused = _members(entry, family)
                    own_models += found_members
                    problems += refused
                    continue
                belongs = family is family_of(member, own_families)
                names = [member] if belongs else family.listed
                own_models += [_member(family, name) for name in names]
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


def _provenance(entry: Entry) -> Plugin:
    try:
        return Plugin(
            distribution=entry.distribution,
            version=entry.version,
            entry=entry.name,
            source=source_digest(entry),
            dependencies=dependencies(entry),
        )
    except Exception as error:  # of a parser that met what is no metadata
        raise PluginError(
            f"what is installed of it cannot be listed: {raised(error)}", hint="install it again"
        ) from error


def _offers(entry: Entry) -> list[Model | Family]:
    """Load one entry alone, hold it to the hook specifications and ask what it offers."""
    point = metadata.EntryPoint(name=entry.name, value=entry.value, group=GROUP)
    if not point.pattern.match(entry.value):
        raise PluginError(
            f"its entry point is {entry.value!r}", hint="write NAME = MODULE or MODULE:OBJECT"
        )
    loaded = point.load()
    contract = getattr(loaded, "fmbench_contract", CONTRACT)
    if contract != CONTRACT:
        raise PluginError(
            f"it was written for contract {contract!r}, and this fmbench has contract {CONTRACT}",
            hint="install versions of the plugin and of fashion-mnist-bench that agree",
        )
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
    if isinstance(answers[0], Model | Family):
        raise PluginError(
            f"fmbench_models() returned one {type(answers[0]).__name__}, not a list",
            hint="return a list of fmbench.Model and fmbench.Family",
        )
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
        raise PluginError(
            str(error.args[0]) if error.args else f"there is no {name}",
            hint=f"see the family's models with: fmbench models '{family.prefix}{ALL_MEMBERS}'",
        ) from error
    if not isinstance(model, Model) or model.name != name:
        raise PluginError(
            f"the family {family.prefix} answered {name} with {model!r}",
            hint="return the fmbench.Model of that very name, or raise LookupError with a sentence",
        )
    return model


def _members(entry: Entry, family: Family) -> tuple[list[Model], list[Problem]]:
    """All members of a family, and why those that cannot be had cannot."""
    found, refused = [], []
    for name in family.members() if family.members else family.listed:
        try:
            found.append(_member(family, name))
        except Exception as error:
            problem = _problem(entry, error)
            refused.append(msgspec.structs.replace(problem, what=f"{name}: {problem.what}"))
    return found, refused


def _check_names(names: list[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise PluginError(
                f"it offers two models named {name}", hint="give each model a name of its own"
            )


def _problem(entry: Entry, error: BaseException) -> Problem:
    if isinstance(error, FmbenchError):
        what, hint = error.what, error.hint
    else:
        what, hint = raised(error).splitlines()[0], entry.import_hint
    return Problem(entry=str(entry), version=entry.version, what=encodable(what), hint=hint)


def main(folder: str, parent: str) -> None:
    """Answer the request in `folder` from a fork, and end as it ends, with all it has started."""
    processes.begin_as_child(int(parent))
    processes.adopt_orphans()
    me = os.getpid()
    fork = os.fork()
    if fork == 0:
        processes.end_with_parent(signal.SIGKILL, me)
        request = Path(folder, "request.json").read_bytes()
        found, member = msgspec.json.decode(request, type=tuple[list[Entry], str])
        files.write(Path(folder, "answer.json"), msgspec.json.encode(_answer(found, member)))
        os._exit(0)  # threads or exit handlers a plugin left behind do not delay the answer
    _, status = os.waitpid(fork, 0)
    processes.kill_descendants()
    if os.WIFSIGNALED(status):
        with contextlib.suppress(OSError):  # SIGKILL has no handler to reset
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(me, os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

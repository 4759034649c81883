"""The checks as a pytest suite: one decorator makes a plugin's whole test file."""

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fmbench import discovery, protocol
from fmbench.discovery import Catalogue, ListedModel
from fmbench.discovery.entries import Entry, entries
from fmbench.errors import UsageError
from fmbench.execution.selection import select
from fmbench.testing.laws import LAWS, Law
from fmbench.testing.report import Report, provenance

if TYPE_CHECKING:
    from fmbench.testing.subject import Subject

QUICK = "quick-v1"


class ContractWarning(UserWarning):
    """A model breaks a law whose check is a warning."""


@dataclass(frozen=True)
class Item:
    """One check of one model, or what keeps a plugin from having any; calling it decides a test.

    Raises `AssertionError` for an error, warns of a warning, and skips what has no verdict.
    """

    name: str
    report: Callable[[], Report | str]

    def __call__(self) -> None:
        """Decide the test."""
        import pytest

        __tracebackhide__ = True
        found = self.report()
        if isinstance(found, str):
            raise AssertionError(found)
        words = f"{found.model or found.plugin} breaks {found.check}: {found.message}"
        words += f"\n\nlaw: {found.law}"
        words += f"\n\nhint: {found.hint}" if found.hint else ""
        words += f"\n\n{found.trace}" if found.trace else ""
        if found.outcome == "error":
            raise AssertionError(words)
        if found.outcome == "warning":
            warnings.warn(words, ContractWarning, stacklevel=2)
        elif found.outcome == "skipped":
            pytest.skip(f"{found.model} {found.check}: {found.message}")


def contract(
    plugin: ModuleType, *, models: Sequence[str] = (), protocol: str = QUICK
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a test function with the parameter `check` a suite: each model, each check, one item.

    plugin:   the module its entry point names; the plugin has to be installed.
    models:   names of its models, members of families among them; all listed ones by default.
    protocol: a name or file; only the cost is estimated under it.

    What keeps models from being checked (a fault in the plugin, no model at all) is an item too,
    and fails. Raises `UsageError` where pytest is not installed.
    """
    try:
        import pytest
    except ImportError as error:
        raise UsageError(
            "pytest is not installed, and the contract suite is made of its items",
            hint="pip install pytest, or use `fmbench check`",
        ) from error
    items = _items(plugin.__name__, models, protocol)
    parameters = [pytest.param(item, id=item.name) for item in items]
    return pytest.mark.parametrize("check", parameters)


def _items(module: str, names: Sequence[str], protocol_name: str) -> list[Item]:
    """The items of an installed plugin; of a broken one what is wrong with it."""
    own = [entry for entry in entries() if entry.module == module]
    if not own:
        words = f"no installed distribution has an entry point that names {module}"
        return [_broken(f"{words}\n\nhint: pip install --editable .")]
    catalogue = _offered_by(own)
    items = [
        _broken(f"{problem.entry}: {problem.what}\n\nhint: {problem.hint}")
        for problem in catalogue.problems
    ]
    if names:
        listed = select(catalogue, names) if catalogue.models or catalogue.families else []
    else:
        listed = list(catalogue.models)
    for model in listed:
        value = next(entry.value for entry in own if entry.name == model.plugin.entry)
        candidate = _Candidate(model, value, protocol_name)
        items += [
            Item(f"{model.name}-{law.check.name}", functools.partial(candidate.report, law))
            for law in LAWS
        ]
    return items or [_broken(f"{module} offers no model: nothing is checked")]


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A model to check, and where it comes from."""

    model: ListedModel
    value: str
    protocol: str

    def report(self, law: Law) -> Report:
        from fmbench.testing.checks import perform
        from fmbench.testing.surroundings import random_streams_kept

        subject = _subject(self)
        with random_streams_kept():
            report = perform(law, subject, provenance(self.model.plugin))
        if law is LAWS[-1]:
            subject.drop()  # it holds networks, and nobody may ask again
        return report


@functools.lru_cache(maxsize=1)
def _subject(candidate: _Candidate) -> "Subject":
    """The subject that the items of a model share, as long as no other model's come between."""
    from fmbench.discovery.child import load_model, unchanged
    from fmbench.testing.subject import Subject

    model = candidate.model
    return Subject(
        model.name,
        lambda: load_model(unchanged(model.plugin), model.name),
        protocol.load(candidate.protocol),
        value=candidate.value,
    )


def _offered_by(own: list[Entry]) -> Catalogue:
    """The part of the catalogue that comes from these entries."""
    places = {(entry.distribution, entry.name) for entry in own}
    whole = discovery.catalogue()
    return Catalogue(
        models=tuple(
            one for one in whole.models if (one.plugin.distribution, one.plugin.entry) in places
        ),
        families=tuple(
            one for one in whole.families if (one.plugin.distribution, one.plugin.entry) in places
        ),
        problems=tuple(one for one in whole.problems if one.entry in {str(entry) for entry in own}),
    )


def _broken(words: str) -> Item:
    return Item("plugin", lambda: words)

"""The checks as a pytest suite: one decorator makes a plugin's whole test file."""

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from fmbench import discovery, protocol
from fmbench.discovery import ListedModel
from fmbench.discovery.entries import entries
from fmbench.errors import UsageError
from fmbench.execution.selection import select
from fmbench.testing.conformance import CHECKS
from fmbench.testing.isolation import check_model
from fmbench.testing.reports import Report

QUICK = "quick-v1"


class ContractWarning(UserWarning):
    """A model fails a check that is a warning."""


@dataclass(frozen=True)
class Item:
    """One check of one model, or what keeps a plugin from having any; calling it decides a test.

    Raises `AssertionError` for an error, warns of a warning, and skips what has no result.
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
        words = f"{found.model or found.plugin} fails {found.check}: {found.message}"
        words += f"\n\nrequires: {found.requires}"
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

    A model is checked as `fmbench check` does, in a process of its own, when its first item is run.
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
    catalogue = discovery.catalogue()
    problems = [one for one in catalogue.problems if one.entry in set(map(str, own))]
    items = [_broken(f"{one.entry}: {one.what}\n\nhint: {one.hint}") for one in problems]
    places = {(entry.distribution, entry.name) for entry in own}
    models: Sequence[ListedModel] = [
        one for one in catalogue.models if (one.plugin.distribution, one.plugin.entry) in places
    ]
    if names and not problems:
        models = select(catalogue, [f"{own[0].distribution}:{name}" for name in names])
    for model in models:
        results = functools.cache(functools.partial(_results, model, protocol_name))
        items += [
            Item(f"{model.name}-{check.name}", functools.partial(_report, results, check.name))
            for check in CHECKS
        ]
    return items or [_broken(f"{module} offers no model: nothing is checked")]


def _results(model: ListedModel, protocol_name: str) -> dict[str, Report]:
    return {report.check: report for report in check_model(model, protocol.load(protocol_name))}


def _report(results: Callable[[], dict[str, Report]], check: str) -> Report:
    return results()[check]


def _broken(words: str) -> Item:
    return Item("plugin", lambda: words)

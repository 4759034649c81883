"""The checks as a pytest suite: one decorator makes a plugin's whole test file."""

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

from fmbench import discovery
from fmbench.discovery import ListedModel, Problem
from fmbench.discovery.entries import entries
from fmbench.errors import UsageError
from fmbench.execution.selection import select
from fmbench.protocol import load
from fmbench.protocol_files import QUICK
from fmbench.testing.conformance import CHECKS
from fmbench.testing.isolation import check_model, report_of_problem
from fmbench.testing.reports import Report


class ContractWarning(UserWarning):
    """A model fails a check that is a warning."""


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
    return pytest.mark.parametrize(
        "check",
        [pytest.param(functools.partial(_decide, report), id=name) for name, report in items],
    )


def _items(
    module: str, names: Sequence[str], protocol: str
) -> Iterator[tuple[str, Callable[[], Report]]]:
    """The name of each item of an installed plugin, and how its report is had."""
    own = {str(entry): entry for entry in entries() if entry.module == module}
    catalogue = discovery.catalogue()
    problems = [one for one in catalogue.problems if one.entry in own]
    models = [
        one for one in catalogue.models if f"{one.plugin.distribution}[{one.plugin.entry}]" in own
    ]
    if own and names and not problems:
        distribution = next(iter(own.values())).distribution
        models = select(catalogue, [f"{distribution}:{name}" for name in names])
    if not (models or problems):
        what = f"{module} offers no model: nothing is checked"
        if not own:
            what = f"no installed distribution has an entry point that names {module}"
        problems = [Problem(entry=module, version="", what=what, hint="pip install --editable .")]
    for problem in problems:
        yield "plugin", functools.partial(report_of_problem, problem)
    for model in models:
        results = functools.cache(functools.partial(_results, model, protocol))
        for check in CHECKS:
            yield f"{model.name}-{check.name}", functools.partial(_report, results, check.name)


def _results(model: ListedModel, protocol: str) -> dict[str, Report]:
    return {report.check: report for report in check_model(model, load(protocol))}


def _report(results: Callable[[], dict[str, Report]], check: str) -> Report:
    return results()[check]


def _decide(report: Callable[[], Report]) -> None:
    """Fail for an error, warn of a warning, and skip what has no result."""
    import pytest

    __tracebackhide__ = True
    found = report()
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

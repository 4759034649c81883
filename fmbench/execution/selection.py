"""From what a person types to models: names, patterns, members of families."""

import difflib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from fmbench import discovery
from fmbench.discovery import Catalogue, ListedModel
from fmbench.environment import normal_name
from fmbench.errors import NothingSelectedError, UsageError
from fmbench.records import Plugin


def select(catalogue: Catalogue, requests: Sequence[str]) -> list[ListedModel]:
    """The models that names (`vgg11`), patterns (`timm/*`) and `DISTRIBUTION:MODEL` ask for.

    Each once, in the order asked for. Raises `UsageError` for a name nobody offers or two
    plugins offer, `NothingSelectedError` for a pattern without a match or no plugin at all.
    """
    if not catalogue.models and not catalogue.families:
        raise NothingSelectedError(
            "no plugin is installed that offers a model",
            hint=_hint(discovery.INSTALL_MODELS, catalogue),
        )
    chosen: dict[tuple[str, str], ListedModel] = {}
    for request in requests:
        for model in _matches(catalogue, request):
            chosen.setdefault((model.plugin.distribution, model.name), model)
    return list(chosen.values())


def members_matching(catalogue: Catalogue, patterns: Sequence[str]) -> Catalogue:
    """The models that fit a pattern, among them all members of families a pattern begins with.

    Raises `NothingSelectedError` when none fits.
    """
    models = {(one.plugin.distribution, one.name): one for one in catalogue.models}
    problems = list(catalogue.problems)
    for family in catalogue.families:
        if any(pattern.startswith(family.prefix) for pattern in patterns):
            answer = discovery.members(family)
            models |= {(one.plugin.distribution, one.name): one for one in answer.models}
            problems += [
                one for one in answer.problems if _fits(one.what.partition(": ")[0], patterns)
            ]
    found = [one for one in models.values() if _fits(one.name, patterns)]
    if not found:
        raise NothingSelectedError(
            f"no model matches {' or '.join(patterns)}",
            hint="`fmbench models` lists what is installed",
        )
    return Catalogue(models=tuple(found), problems=tuple(problems))


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _matches(catalogue: Catalogue, request: str) -> list[ListedModel]:
    distribution, _, name = request.rpartition(":")
    distribution = normal_name(distribution)
    offered = [
        model for model in catalogue.models if distribution in ("", model.plugin.distribution)
    ]
    families = [f for f in catalogue.families if distribution in ("", f.plugin.distribution)]
    if any(sign in name for sign in "*?["):
        found = [model for model in offered if fnmatchcase(model.name, name)]
        if not found:
            prefixes = [one.prefix for one in families]
            named = f"; name a member of {' or '.join(prefixes)} in full" if prefixes else ""
            raise NothingSelectedError(
                f"no model matches {request!r}",
                hint=f"`fmbench models` lists what is installed{named}",
            )
        return found
    found = [model for model in offered if model.name == name]
    _require_one([model.plugin for model in found], name)
    if found:
        return found
    if family := discovery.family_of(name, families):
        rivals = [one for one in families if one.prefix == family.prefix]
        _require_one([one.plugin for one in rivals], name)
        return [discovery.resolve(name, family)]
    close = difflib.get_close_matches(name, [model.name for model in offered], n=3, cutoff=0.5)
    near = f"did you mean {' or '.join(close)}?" if close else "`fmbench models` lists them all"
    raise UsageError(f"there is no model {request!r}", hint=_hint(near, catalogue))


def _require_one(plugins: Iterable[Plugin], name: str) -> None:
    distributions = sorted({plugin.distribution for plugin in plugins})
    if len(distributions) > 1:
        choices = " or ".join(f"{distribution}:{name}" for distribution in distributions)
        raise UsageError(
            f"{len(distributions)} plugins offer a model {name}", hint=f"ask for {choices}"
        )


def _hint(otherwise: str, catalogue: Catalogue) -> str:
    """A hint that tells of broken plugins too: one of them may be what was asked for."""
    broken = [f"{one.entry} is broken: {one.what}" for one in catalogue.problems]
    return "\n      ".join([otherwise, *broken])

"""From what a person types to models: names, patterns, members of families."""

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from fmbench import discovery
from fmbench.discovery import Catalogue, ListedModel
from fmbench.errors import NothingSelectedError, UsageError


def select(catalogue: Catalogue, requests: Sequence[str]) -> list[ListedModel]:
    """The models that names (`vgg11`), patterns (`timm/*`) and `DISTRIBUTION:MODEL` ask for.

    Each once, in the order asked for. Raises `UsageError` for a name nobody offers or two
    plugins offer, `NothingSelectedError` for a pattern without a match or no plugin at all.
    """
    if not catalogue.models and not catalogue.families:
        raise NothingSelectedError(
            "no plugin is installed that offers a model",
            hint="pip install plugins/fmbench-softmax, or see `fmbench models` for broken plugins",
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
    offered = [
        model for model in catalogue.models if distribution in ("", model.plugin.distribution)
    ]
    if any(sign in name for sign in "*?["):
        found = [model for model in offered if fnmatchcase(model.name, name)]
        if not found:
            raise NothingSelectedError(
                f"no model matches {request!r}", hint="`fmbench models` lists what is installed"
            )
        return found
    found = [model for model in offered if model.name == name]
    if len(found) > 1:
        choices = " or ".join(f"{model.plugin.distribution}:{name}" for model in found)
        raise UsageError(f"{len(found)} plugins offer a model {name}", hint=f"ask for {choices}")
    if found:
        return found
    families = (f for f in catalogue.families if distribution in ("", f.plugin.distribution))
    if family := discovery.family_of(name, families):
        return [discovery.resolve(name, family)]
    close = difflib.get_close_matches(name, [model.name for model in offered], n=3, cutoff=0.5)
    raise UsageError(
        f"there is no model {request!r}",
        hint=f"did you mean {' or '.join(close)}?" if close else "`fmbench models` lists them all",
    )

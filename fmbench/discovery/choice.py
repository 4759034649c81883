"""Which installed plugins take part: every plugin of models, and observers that are named.

A person says otherwise with `-p NAME` and `-p no:NAME`, or with the same words in the environment:
FMBENCH_PLUGINS=tensorboard,no:fmbench-vgg. FMBENCH_DISABLE_PLUGIN_AUTOLOAD=1 leaves out every
plugin of models that is not named.
"""

import os
from collections.abc import Sequence

from fmbench.environment import normal_name

VARIABLE = "FMBENCH_PLUGINS"
NO_AUTOLOAD = "FMBENCH_DISABLE_PLUGIN_AUTOLOAD"
NOT = "no:"


def add(words: Sequence[str]) -> None:
    """Add a command's `-p` words to the environment, so that its children choose alike."""
    os.environ[VARIABLE] = ",".join([*_words(), *words])


def named() -> list[str]:
    """The names that are given, in order, as they were written; a later `no:` takes one out."""
    names: dict[str, str] = {}
    for word in _words():
        if word.startswith(NOT):
            names.pop(normal_name(word.removeprefix(NOT)), None)
        else:
            names.setdefault(normal_name(word), word)
    return list(names.values())


def takes_part(distribution: str) -> bool:
    """Whether a distribution's models are offered; what comes later in the words counts more."""
    answer = os.environ.get(NO_AUTOLOAD, "") in ("", "0")
    for word in _words():
        if normal_name(word.removeprefix(NOT)) == normal_name(distribution):
            answer = not word.startswith(NOT)
    return answer


def _words() -> list[str]:
    return [word.strip() for word in os.environ.get(VARIABLE, "").split(",") if word.strip()]

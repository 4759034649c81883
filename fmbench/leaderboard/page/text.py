"""Words and numbers as the page shows them: inert, whatever they hold."""

import re
from collections.abc import Sequence

from markupsafe import Markup, escape

from fmbench import wording
from fmbench.wording import percent

GAP = "\N{NO-BREAK SPACE}"
_PARTS = re.compile(r"(?<=[/_@=,-])(?=.)")


def inert(value: object) -> object:
    """A value as a template prints it: markup as it is, all else as text that only shows."""
    return value if isinstance(value, Markup) else wording.inert(str(value))


def breakable(name: str) -> Markup:
    """A name as markup that a line may break after their / _ - @ = and commas."""
    return Markup("<wbr>").join(escape(inert(part)) for part in _PARTS.split(name))


def span(low: float, high: float) -> str:
    """An interval of shares in per cent: `84.25–85.65`."""
    return f"{percent(low)}–{percent(high)}"


def count(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 model`, `12 models`."""
    return f"{number:,}{GAP}{noun if number == 1 else plural or noun + 's'}"


def whole(quantity: str) -> str:
    """A quantity that no line breaks: `3 min 20 s`."""
    return quantity.replace(" ", GAP)


def listing(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def shortened(name: str, most: int) -> str:
    """A name cut in the middle to at most that many characters, both ends kept."""
    if len(name) <= most:
        return name
    tail = most // 2
    return f"{name[: most - tail - 1]}…{name[-tail:]}"

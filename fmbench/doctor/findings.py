"""What is found about a machine: a sentence, how bad it is, and what to do about it."""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from msgspec import Struct

from fmbench.errors import FmbenchError
from fmbench.wording import raised

Level = Literal["ok", "warning", "fault"]
LEVELS: tuple[Level, ...] = ("ok", "warning", "fault")
REPORT = "report this line and those above it"


class Finding(Struct, frozen=True, kw_only=True):
    """One line of a report.

    about: what it is about, a word or two.
    level: ok; warning, which costs time, space or some rows; fault, which makes runs fail or wrong.
    says:  what was found, a sentence.
    hint:  what to do about it; empty when nothing is wrong.
    """

    about: str
    level: Level = "ok"
    says: str
    hint: str = ""


Verdict = Literal["right", "avoided", "wrong"]


class Checked(Struct, frozen=True, kw_only=True):
    """What a child found of a layer's gradients in one precision.

    verdict: right; avoided, where the device has a known fault that runs go around; wrong.
    says:    what is wrong, and what fmbench does about it.
    """

    layer: str
    precision: str
    verdict: Verdict
    says: str = ""


Look = Callable[[], Iterable[Finding]]


def looked(about: str, look: Look) -> Iterator[Finding]:
    """What a look at something finds; whatever it raises is a fault, and never ends the report."""
    try:
        yield from look()
    except FmbenchError as error:
        yield Finding(about=about, level="fault", says=error.what, hint=error.hint)
    except OSError as error:
        said = f"cannot be looked at: {error.strerror or type(error).__name__}"
        hint = "see who may read and write there"
        yield Finding(about=about, level="fault", says=said, hint=hint)
    except Exception as error:
        yield Finding(
            about=about, level="fault", says=f"cannot be looked at: {raised(error)}", hint=REPORT
        )


def worst(found: Iterable[Finding]) -> Level:
    """The worst level among some findings."""
    return max((one.level for one in found), key=LEVELS.index, default="ok")

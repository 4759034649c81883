"""What is found out about a model once, and which check answers for it when that fails."""

import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import fmbench
from fmbench.errors import FmbenchError
from fmbench.testing.watch import RefusedError
from fmbench.wording import raised

LONGEST = 400
S = TypeVar("S", bound="Facts")
T = TypeVar("T")


class Fault(Exception):  # noqa: N818 - what a check finds is a fault of the model
    """What a law finds wrong, in a sentence, and what to do about it."""

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class SkipError(Exception):
    """Why a check has no verdict about this model."""


class MissingFactError(Exception):
    """A fact could not be found out; the check `owner` says why, others have no verdict."""

    def __init__(self, owner: str, cause: BaseException) -> None:
        super().__init__(f"needs what {owner} checks")
        self.owner = owner
        self.cause = cause


class Facts:
    """Has facts: values that are found out when first asked for, and kept until dropped."""

    def __init__(self) -> None:
        self._found: dict[str, Any] = {}

    def drop(self, *names: str) -> None:
        """Forget facts, or all of them, with the memory they hold."""
        for name in names or tuple(self._found):
            self._found.pop(name, None)


class Fact(Generic[S, T]):
    """A fact of a class of `Facts`; made by `fact`."""

    def __init__(self, find: Callable[[S], T], owner: str) -> None:
        self.__doc__ = find.__doc__
        self._find = find
        self._owner = owner

    def __set_name__(self, of: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, facts: None, of: type) -> "Fact[S, T]": ...
    @overload
    def __get__(self, facts: S, of: type) -> T: ...
    def __get__(self, facts: S | None, of: type) -> "T | Fact[S, T]":
        if facts is None:
            return self
        if self._name not in facts._found:
            facts._found[self._name] = self._find_out(facts)
        found = facts._found[self._name]
        if isinstance(found, MissingFactError):
            raise MissingFactError(found.owner, found.cause) from found.cause
        value: T = found
        return value

    def _find_out(self, facts: S) -> T | MissingFactError:
        try:
            return self._find(facts)
        except KeyboardInterrupt:
            raise
        except MissingFactError as missing:  # of a fact this one needs
            return missing
        except BaseException as error:  # whatever a plugin raises, SystemExit too
            return MissingFactError("no-network" if _was_refused(error) else self._owner, error)


def fact(owner: str) -> Callable[[Callable[[S], T]], Fact[S, T]]:
    """Make a method a fact that the check `owner` answers for."""
    return lambda find: Fact(find, owner)


def told(error: BaseException) -> str:
    """What was raised, and in which line of the plugin."""
    if isinstance(error, Fault | FmbenchError):
        return error.what
    words = " ".join(raised(error).split())[:LONGEST]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if may_be_the_plugins(frame.filename):
            return f"{words} ({Path(frame.filename).name}, line {frame.lineno}, in {frame.name})"
    return words


def trace(error: BaseException) -> str:
    """The traceback of what a plugin raised; nothing of a fault, whose sentence says it all."""
    if isinstance(error, Fault | FmbenchError):
        return ""
    return "".join(traceback.format_exception(error))[-10_000:]


def may_be_the_plugins(file: str) -> bool:
    """Whether a source file is neither this package's nor torch's nor Python's own."""
    packages, core = sysconfig.get_path("purelib"), str(Path(fmbench.__file__).parent)
    if file.startswith((f"{core}/", f"{packages}/torch/", "<")):
        return False
    return file.startswith(packages) or not file.startswith(sysconfig.get_path("stdlib"))


def _was_refused(error: BaseException | None) -> bool:
    """Whether an error comes from a network call that a watch refused."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, RefusedError):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False

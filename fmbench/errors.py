"""Every error fmbench raises on purpose, and the exit code each one ends a command with."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the exit status of every `fmbench` command means."""

    OK = 0
    RUN_FAILED = 1
    USAGE = 2
    INTERNAL = 3
    CHECK_FAILED = 4
    NOTHING_SELECTED = 5
    INTERRUPTED = 130


class FmbenchError(Exception):
    """A fault that a person can mend.

    what:  one sentence saying what is wrong.
    where: the plugin, file or option it is wrong in; empty when `what` names it.
    hint:  what to type or change next; empty when there is nothing to suggest.
    """

    exit_code = ExitCode.USAGE

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        sentence = f"{self.where}: {self.what}" if self.where else self.what
        return f"{sentence}\n\nhint: {self.hint}" if self.hint else sentence


class UsageError(FmbenchError):
    """A command names something that does not exist or cannot be done."""


class PluginError(FmbenchError):
    """A plugin breaks the contract; `where` names the plugin."""


class StoreError(FmbenchError):
    """A results folder cannot be read or written; `where` names the path."""


class DataError(FmbenchError):
    """The data set is missing or its bytes are not the right ones; `where` names the file."""

    exit_code = ExitCode.CHECK_FAILED


class ProtocolError(FmbenchError):
    """A protocol file is malformed or contradicts itself; `where` names the file."""

    exit_code = ExitCode.CHECK_FAILED


class StaleError(FmbenchError):
    """A file that is computed from records is not what they say; `where` names its folder."""

    exit_code = ExitCode.CHECK_FAILED


class NothingSelectedError(FmbenchError):
    """A command that needs models found none to work on."""

    exit_code = ExitCode.NOTHING_SELECTED

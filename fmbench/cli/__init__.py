"""The commands. Each is thin: it reads its options, calls one thing, and prints what came back."""

import errno
import sys
import traceback

from fmbench.cli import (
    boards,
    checking,
    doctoring,
    inventory,
    plugins,
    predicting,
    protocols,
    reproducing,
    running,
    submitting,
    terminal,
)
from fmbench.cli.app import app
from fmbench.errors import ExitCode, FmbenchError

OF_THE_SYSTEM = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
"""What stops any program: no permission, a file system that is read-only or full."""

for command in (
    running.run,
    boards.leaderboard,
    boards.compare,
    boards.show,
    reproducing.reproduce,
    reproducing.verify,
    predicting.predict,
    predicting.export,
    inventory.models,
    plugins.new,
    checking.check,
    doctoring.doctor,
    inventory.data,
    submitting.submit,
    submitting.accept,
):
    app.command()(command)
app.add_typer(protocols.app, name="protocols")


def main() -> None:
    """Run a command; every error becomes a message and a documented exit code."""
    terminal.prepare()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # what cannot be written is known now, not when Python ends
    except Exception as error:
        if isinstance(error, OSError) and error.errno in OF_THE_SYSTEM:
            error = FmbenchError(str(error.strerror), where=str(error.filename or ""))
        if isinstance(error, FmbenchError):
            from fmbench.console import stream

            stream.complain(str(error))
            sys.exit(error.exit_code)
        traceback.print_exc()
        sys.stderr.write(
            "\nhint: this is a fault of fmbench; please report it with these lines and those of "
            "fmbench doctor\n"
        )
        sys.exit(ExitCode.INTERNAL)

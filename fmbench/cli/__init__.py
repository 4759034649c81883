"""The commands. Each is thin: it reads its options, calls one thing, and prints what came back."""

import signal
import sys
import traceback

from fmbench.cli import boards, checking, plugins, reproducing, running, sources
from fmbench.cli.app import app
from fmbench.errors import ExitCode, FmbenchError

for command in (
    running.run,
    boards.leaderboard,
    boards.compare,
    boards.show,
    reproducing.reproduce,
    sources.models,
    plugins.new,
    checking.check,
    sources.protocols,
    sources.data,
):
    app.command()(command)


def main() -> None:
    """Run a command; every error becomes a message and a documented exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except FmbenchError as error:
        from fmbench.console import stream

        stream.complain(str(error))
        sys.exit(error.exit_code)
    except Exception:
        traceback.print_exc()
        sys.stderr.write("\nhint: this is a fault of fmbench; please report it with these lines\n")
        sys.exit(ExitCode.INTERNAL)

"""`fmbench.run`: the command of that name as a function, for notebooks and scripts."""

import math
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from fmbench.console import bar, runs, stream, tables
from fmbench.discovery.guests import named_observers
from fmbench.errors import NothingSelectedError, UsageError
from fmbench.execution.making import make_board, make_runs
from fmbench.execution.session import plan_session
from fmbench.results import Leaderboard

_ONE_AT_A_TIME = threading.Lock()
"""A runner's scratch and claims are its process's."""


def run(
    models: str | Iterable[str],
    *,
    protocol: str | os.PathLike[str] = "auto",
    results: str | os.PathLike[str] = "results",
    workers: int | Literal["auto"] = "auto",
    seeds: int | None = None,
    device: str = "auto",
    data_dir: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    timeout: float = 86_400.0,
    retry_failed: bool = False,
    keep_logits: bool = False,
) -> Leaderboard:
    """Train and test models as `fmbench run` does, and return the board that they stand on.

    models:   names, patterns of listed models such as `timm/*`, or full names in a family; `"*"`
              is every listed model.
    results:  the folder of the records; the board is written there too.
    workers:  how many runs are made side by side.
    seeds:    only the first so many of the protocol's.
    timeout:  seconds that one run may take.
    The others are the command's options of these names.

    A run that is already recorded is not repeated. Models are trained in processes of their own,
    which end with their runs; no other process of the caller's is touched, and neither are its
    signal handlers, environment and folder. It may be called in any thread; of several calls in one
    process, one waits for the other. A bar on stderr, or in the notebook, says how far it is.

    A run that fails is no exception: its model's row says so. Raises `UsageError` for an argument
    that cannot be meant; `NothingSelectedError` when no model fits; `DataError` when the data set
    is not found or not the right one; `ProtocolError` for a malformed protocol, `PluginError` for
    a plugin, and `StoreError` for a folder that cannot be used. `KeyboardInterrupt` stops it; the
    same call goes on with what is missing.
    """
    _require_count("workers", None if workers == "auto" else workers)
    _require_count("threads", threads)
    _require_count("seeds", seeds)
    if not 1 <= timeout < math.inf:
        raise UsageError(
            f"{timeout!r} is not a number of seconds from 1 on",
            where="timeout",
            hint="for practically no limit use 1e9",
        )
    requests = [models] if isinstance(models, str) else list(models)
    if not requests:
        raise NothingSelectedError("no model is named", hint='fmbench.run("*"), or name some')
    folder = None if data_dir is None else Path(data_dir)
    with _ONE_AT_A_TIME:
        guests = named_observers()
        session = plan_session(
            requests,
            protocol_name=os.fspath(protocol),
            device=device,
            seeds=seeds,
            tune_only=False,
            threads=threads,
            workers=None if workers == "auto" else workers,
            results=Path(results),
            retry_failed=retry_failed,
        )
        for problem in session.problems:
            tables.print_problem(problem)
        estimate = session.estimate() if session.count else None
        runs.print_session(session, estimate)
        if estimate:
            try:
                make_runs(
                    session,
                    estimate,
                    show=bar.BarProgress,
                    guests=guests,
                    say=stream.say,
                    data_dir=folder,
                    timeout=timeout,
                    keep_logits=keep_logits,
                )
            except KeyboardInterrupt:
                stream.say("stopped; the same call goes on with what is missing")
                raise
        stored, board, page = make_board(session, folder)
    stream.say(f"the page: {page}")
    return Leaderboard(stored, board)


def _require_count(name: str, number: int | None) -> None:
    """Raise `UsageError` for what is no whole number above 0; None is left to others."""
    if number is not None and not (isinstance(number, int) and number >= 1):
        raise UsageError(
            f"{number!r} is not a number of {name}",
            where=name,
            hint="use a whole number from 1 on, or leave it out",
        )

"""The checks of models, each model in a child process of its own, with a time limit."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence

from fmbench import files, processes
from fmbench.discovery import Catalogue, ListedModel, Problem
from fmbench.environment import normal_name
from fmbench.errors import NothingSelectedError
from fmbench.execution.selection import select
from fmbench.protocol import Protocol
from fmbench.testing.check_folder import CheckFolder, Request
from fmbench.testing.conformance import CHECKS
from fmbench.testing.reports import Report

SECONDS_A_MODEL = 600.0
LOOK_SECONDS = 0.05
ROOM = 100_000
TELLING_SECONDS = 1.0
LONGER = "`fmbench check --timeout SECONDS` gives it longer"

Clock = Callable[[], float]


def check_models(
    catalogue: Catalogue,
    requests: Sequence[str],
    protocol: Protocol,
    *,
    timeout: float = SECONDS_A_MODEL,
    clock: Clock = time.monotonic,
) -> Iterator[Report]:
    """Check what is asked for, and report each check as it ends.

    requests: names, patterns, DISTRIBUTION:MODEL, or a distribution, which means all its models
              and what is wrong with it; everything when empty.
    timeout:  the longest the checks of one model may take, in seconds of `clock`.

    Problems of the distributions asked for are errors. Raises what `select` does for a name that
    nobody offers. This process never imports a plugin.
    """
    models, problems = _choose(catalogue, requests)
    return _reports(models, problems, protocol, timeout, clock)


def _reports(
    models: Sequence[ListedModel],
    problems: Sequence[Problem],
    protocol: Protocol,
    timeout: float,
    clock: Clock,
) -> Iterator[Report]:
    for problem in problems:
        plugin = f"{problem.entry} {problem.version}".rstrip()
        yield CHECKS[0].report("", plugin, "error", problem.what, hint=problem.hint)
    processes.adopt_orphans()
    for model in models:
        try:
            yield from check_model(model, protocol, timeout=timeout, clock=clock)
        finally:
            processes.kill_descendants()  # all of them: only a command may do so, not a test


def check_model(
    model: ListedModel,
    protocol: Protocol,
    *,
    timeout: float = SECONDS_A_MODEL,
    clock: Clock = time.monotonic,
) -> Iterator[Report]:
    """Report each check of one model; one that ends the child is an error, later ones skipped."""
    with files.temporary_folder() as path:
        folder = CheckFolder(path.resolve())
        request = Request(model=model.name, plugin=model.plugin, protocol=protocol)
        folder.write_request(request)
        program = "fmbench.testing.checking_process"
        child = subprocess.Popen(
            [*processes.PYTHON_MODULE, program, str(path), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=path,
            env={
                **processes.SETTINGS,
                **os.environ,
                "PYTHONPATH": os.pathsep.join(map(os.path.abspath, _python_path())),
                "TMPDIR": str(path),
            },
            start_new_session=True,
        )
        told = 0
        try:
            deadline = clock() + timeout
            busy = True
            while busy and clock() < deadline:
                busy = child.poll() is None
                news = folder.reports()[told:]
                told += len(news)
                yield from news
                if busy:
                    time.sleep(LOOK_SECONDS)
            if busy:
                _ask_where(child, folder)
        finally:
            processes.end(child)
        yield from folder.reports()[told:]
        how = f"the process was still busy after {timeout:g} s"
        if not busy:
            how = f"the process ended with {processes.how_it_ended(child.returncode)}"
            if child.returncode:
                files.write(path / "room", bytes(ROOM))  # else a full folder is to blame
        yield from _missing(request, folder, how, LONGER if busy else "")


def _python_path() -> list[str]:
    """The folders of PYTHONPATH, where it is set."""
    return list(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))


def _missing(request: Request, folder: CheckFolder, how: str, hint: str) -> Iterator[Report]:
    """What becomes of the checks that a child has not reported."""
    about = request.model, request.provenance
    missing = CHECKS[len(folder.reports()) :]
    place = folder.where()
    for check in missing[:1]:
        message = f"{how}, at {place}" if place else how
        yield check.report(*about, "error", message, hint=hint)
    for check in missing[1:]:
        yield check.report(*about, "skipped", f"needs what {missing[0].name} checks")


def _ask_where(child: "subprocess.Popen[bytes]", folder: CheckFolder) -> None:
    """Let a child that hangs say where it is; it may be unable to."""
    child.send_signal(signal.SIGUSR1)
    for _ in range(round(TELLING_SECONDS / LOOK_SECONDS)):
        if folder.where() or child.poll() is not None:
            return
        time.sleep(LOOK_SECONDS)


def _choose(
    catalogue: Catalogue, requests: Sequence[str]
) -> tuple[list[ListedModel], list[Problem]]:
    """The models asked for, each once, and the problems of their distributions."""
    if not requests:
        broken_only = catalogue.problems and not catalogue.models
        models = [] if broken_only else select(catalogue, ["*"])
        return models, list(catalogue.problems)
    chosen: dict[tuple[str, str], ListedModel] = {}
    concerned: set[str] = set()
    for request in requests:
        plugin = normal_name(request)
        if _is_distribution(catalogue, request):
            concerned.add(plugin)
            found = _models_of(catalogue, plugin)
        else:
            found = select(catalogue, [request])
        chosen |= {(one.plugin.distribution, one.name): one for one in found}
    concerned |= {distribution for distribution, _ in chosen}
    problems = [problem for problem in catalogue.problems if _distribution(problem) in concerned]
    return list(chosen.values()), problems


def _is_distribution(catalogue: Catalogue, request: str) -> bool:
    """Whether a request names a plugin, and no model of that name."""
    plugins = {model.plugin.distribution for model in catalogue.models}
    plugins |= {family.plugin.distribution for family in catalogue.families}
    plugins |= {_distribution(problem) for problem in catalogue.problems}
    names = {model.name for model in catalogue.models}
    return normal_name(request) in plugins and request not in names


def _models_of(catalogue: Catalogue, distribution: str) -> list[ListedModel]:
    models = [one for one in catalogue.models if one.plugin.distribution == distribution]
    if not models and all(_distribution(one) != distribution for one in catalogue.problems):
        families = [one for one in catalogue.families if one.plugin.distribution == distribution]
        raise NothingSelectedError(
            f"{distribution} lists no model",
            hint=f"name a member of {' or '.join(one.prefix for one in families)} in full",
        )
    return models


def _distribution(problem: Problem) -> str:
    return problem.entry.partition("[")[0]

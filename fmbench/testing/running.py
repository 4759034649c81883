"""The checks as a command runs them: each model in a child of its own, with a time limit."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence

from fmbench import files, processes
from fmbench.discovery import Catalogue, ListedModel, Problem
from fmbench.discovery.entries import entry_of
from fmbench.environment import normal_name
from fmbench.errors import NothingSelectedError
from fmbench.execution.selection import select
from fmbench.protocol import Protocol
from fmbench.testing.child import ChildFolder, Request
from fmbench.testing.laws import LAWS
from fmbench.testing.report import Outcome, Report, provenance, report_of

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


def _choose(
    catalogue: Catalogue, requests: Sequence[str]
) -> tuple[list[ListedModel], list[Problem]]:
    """The models asked for, each once, and the problems of their distributions."""
    if not requests:
        broken_only = catalogue.problems and not catalogue.models
        models = [] if broken_only else select(catalogue, ["*"])
        return models, list(catalogue.problems)
    chosen: dict[tuple[str, str], ListedModel] = {}
    named = {normal_name(one) for one in requests if _is_distribution(catalogue, one)}
    for request in requests:
        plugin = normal_name(request)
        found = _models_of(catalogue, plugin) if plugin in named else select(catalogue, [request])
        for model in found:
            chosen.setdefault((model.plugin.distribution, model.name), model)
    concerned = named | {model.plugin.distribution for model in chosen.values()}
    problems = [problem for problem in catalogue.problems if _distribution(problem) in concerned]
    return list(chosen.values()), problems


def _models_of(catalogue: Catalogue, distribution: str) -> list[ListedModel]:
    models = [one for one in catalogue.models if one.plugin.distribution == distribution]
    problems = [one for one in catalogue.problems if _distribution(one) == distribution]
    if not models and not problems:
        families = [one for one in catalogue.families if one.plugin.distribution == distribution]
        raise NothingSelectedError(
            f"{distribution} lists no model",
            hint=f"name a member of {' or '.join(one.prefix for one in families)} in full",
        )
    return models


def _is_distribution(catalogue: Catalogue, request: str) -> bool:
    """Whether a request names a plugin, and no model of that name."""
    plugins = {model.plugin.distribution for model in catalogue.models}
    plugins |= {family.plugin.distribution for family in catalogue.families}
    plugins |= {_distribution(problem) for problem in catalogue.problems}
    return normal_name(request) in plugins and all(
        model.name != request for model in catalogue.models
    )


def _distribution(problem: Problem) -> str:
    return problem.entry.partition("[")[0]


def _reports(
    models: Sequence[ListedModel],
    problems: Sequence[Problem],
    protocol: Protocol,
    timeout: float,
    clock: Clock,
) -> Iterator[Report]:
    for problem in problems:
        yield report_of(
            LAWS[0].check,
            "error",
            problem.what,
            model="",
            plugin=f"{problem.entry} {problem.version}".rstrip(),
            hint=problem.hint,
        )
    if models:
        processes.adopt_orphans()
    for model in models:
        yield from _check(model, protocol, timeout, clock)


def _check(
    model: ListedModel, protocol: Protocol, timeout: float, clock: Clock
) -> Iterator[Report]:
    """Check one model in a child; a check that ends the child is an error, later ones skipped."""
    with files.temporary_folder() as path:
        folder = ChildFolder(path.resolve())
        entry = entry_of(model.plugin)
        folder.write_request(
            Request(
                model=model.name,
                plugin=model.plugin,
                value=entry.value if entry else "",
                protocol=protocol,
            )
        )
        child = subprocess.Popen(
            [*processes.PYTHON_MODULE, "fmbench.testing.child", str(path), str(os.getpid())],
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
        known: list[Report] = []
        try:
            deadline = clock() + timeout
            busy = True
            while busy and clock() < deadline:
                busy = child.poll() is None
                yield from _news(folder, known)
                if busy:
                    time.sleep(LOOK_SECONDS)
            if busy:
                _ask_where(child, folder)
        finally:
            processes.end(child)
            processes.kill_descendants()
        yield from _news(folder, known)
        if busy:
            how, hint = f"the process was still busy after {timeout:g} s", LONGER
        else:
            if child.returncode:
                files.write(path / "room", bytes(ROOM))  # else a full folder is to blame
            how = f"the process ended with {processes.how_it_ended(child.returncode)}"
            hint = ""
        yield from _unreported(model, folder, known, how, hint)


def _python_path() -> list[str]:
    """The folders of PYTHONPATH, where it is set."""
    return list(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))


def _news(folder: ChildFolder, known: list[Report]) -> list[Report]:
    """Reports that have come in since the known ones, which they join."""
    reports = [line.report for line in folder.lines() if line.report]
    news = reports[len(known) :]
    known += news
    return news


def _unreported(
    model: ListedModel, folder: ChildFolder, known: Sequence[Report], how: str, hint: str
) -> Iterator[Report]:
    """What becomes of the checks that a child has not reported."""
    outcomes = {report.check: report.outcome for report in known}
    missing = [law.check for law in LAWS if law.check.name not in outcomes]
    begun = [line.check for line in folder.lines() if not line.report]
    culprit = begun[-1] if begun else LAWS[0].check.name
    if missing and outcomes.get(culprit, "ok") == "ok":  # it ended the child, or the next one did
        culprit = culprit if culprit not in outcomes else missing[0].name
    place = folder.where()
    for check in missing:
        outcome: Outcome = "skipped"
        message = f"needs what {culprit} checks"
        if check.name == culprit:
            outcome, message = "error", f"{how}, at {place}" if place else how
        yield report_of(
            check,
            outcome,
            message,
            model=model.name,
            plugin=provenance(model.plugin),
            hint=hint if outcome == "error" else "",
        )


def _ask_where(child: "subprocess.Popen[bytes]", folder: ChildFolder) -> None:
    """Let a child that hangs say where it is; it may be unable to."""
    child.send_signal(signal.SIGUSR1)
    for _ in range(round(TELLING_SECONDS / LOOK_SECONDS)):
        if folder.where() or child.poll() is not None:
            return
        time.sleep(LOOK_SECONDS)

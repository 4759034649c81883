"""The checks of models, each model in a child process of its own, with a time limit."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from fmbench import files, processes
from fmbench.discovery import Catalogue, ListedModel, Problem
from fmbench.environment import normal_name
from fmbench.execution.selection import select
from fmbench.protocol import Protocol
from fmbench.testing.checking_process import REPORTS, REQUEST, STUCK
from fmbench.testing.conformance import CHECKS
from fmbench.testing.reports import Report, line_of_crash

SECONDS_A_MODEL = 600.0
LOOK_SECONDS = 0.05
ROOM = 100_000
TELLING_SECONDS = 1.0

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
    yield from map(report_of_problem, problems)
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
    plugin = f"{model.plugin.distribution} {model.plugin.version}"
    for report in _in_a_child(model, protocol, timeout, clock):
        yield msgspec.structs.replace(report, model=model.name, plugin=plugin)


def report_of_problem(problem: Problem) -> Report:
    """Report what keeps a plugin from offering models."""
    return Report(
        plugin=f"{problem.entry} {problem.version}".rstrip(),
        check=CHECKS[0].name,
        requires=CHECKS[0].requires,
        outcome="error",
        message=problem.what,
        hint=problem.hint,
    )


def _in_a_child(
    model: ListedModel, protocol: Protocol, timeout: float, clock: Clock
) -> Iterator[Report]:
    """The reports of a child, and what becomes of the checks that it has not reported."""
    with files.temporary_folder() as folder:
        request = msgspec.json.encode((model.name, model.plugin, protocol))
        files.write(folder / REQUEST, request)
        child = processes.start("fmbench.testing.checking_process", folder)
        done = offset = 0
        deadline = clock() + timeout
        try:
            while True:
                ended, late = child.poll() is not None, clock() >= deadline
                news, offset = files.json_lines(folder / REPORTS, Report, offset)
                done += len(news)
                yield from news
                if ended or late:
                    break
                time.sleep(LOOK_SECONDS)
            if not ended:
                child.send_signal(signal.SIGUSR1)  # it says where it is, if it can
                time.sleep(TELLING_SECONDS)
        finally:
            processes.end(child)
        if not ended:
            how = f"the process was still busy after {timeout:g} s"
            hint = "`fmbench check --timeout SECONDS` gives it longer"
        else:
            how = f"the process ended with {processes.how_it_ended(child.returncode)}"
            hint = ""
            if child.returncode:
                files.write(folder / "room", bytes(ROOM))  # else a full folder is to blame
            if child.returncode > 0 and not done:
                hint = "see whether torch works: python -c 'import torch; torch.ones(1) + 1'"
        if line := _where(folder / STUCK):
            how += f", at {line}"
        for number, check in enumerate(CHECKS[done:]):
            yield Report(
                check=check.name,
                requires=check.requires,
                outcome="skipped" if number else "error",
                message=f"needs what {CHECKS[done].name} checks" if number else how,
                hint="" if number else hint,
            )


def _where(stuck: Path) -> str:
    """In which line of a plugin a child was when it crashed or was asked; "" for none."""
    try:
        return line_of_crash(stuck.read_text("utf-8", "replace"))
    except OSError:
        return ""


def _choose(
    catalogue: Catalogue, requests: Sequence[str]
) -> tuple[list[ListedModel], list[Problem]]:
    """The models asked for, each once, and the problems of their distributions."""
    broken = {_distribution(problem) for problem in catalogue.problems}
    offering = {model.plugin.distribution for model in catalogue.models}
    offering |= {family.plugin.distribution for family in catalogue.families}
    names = {model.name for model in catalogue.models}
    patterns = [] if requests or (broken and not catalogue.models) else ["*"]
    concerned = set[str]() if requests else broken
    for request in requests:
        plugin = normal_name(request)
        if plugin not in broken | offering or request in names:
            patterns.append(request)
            continue
        concerned.add(plugin)
        patterns += [f"{plugin}:*"] if plugin in offering else []
    models = select(catalogue, patterns) if patterns else []
    concerned |= {model.plugin.distribution for model in models}
    return models, [one for one in catalogue.problems if _distribution(one) in concerned]


def _distribution(problem: Problem) -> str:
    return problem.entry.partition("[")[0]

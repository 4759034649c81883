"""Checks carried out: a law put to a subject, and the report that comes of it."""

from time import perf_counter
from typing import TYPE_CHECKING

from fmbench.errors import FmbenchError, StoreError
from fmbench.testing.facts import Fault, MissingFactError, SkipError, told, trace
from fmbench.testing.laws import Law
from fmbench.testing.report import Outcome, Report, report_of

if TYPE_CHECKING:
    from fmbench.testing.subject import Subject


def perform(law: Law, subject: "Subject", plugin: str = "") -> Report:
    """Put one law to a subject. Whatever its plugin raises becomes the report."""
    start = perf_counter()
    outcome: Outcome = "ok"
    message = hint = raised = ""
    try:
        message = law.judge(subject) or ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too
        cause = error
        if isinstance(error, MissingFactError):
            cause = error.cause
        if isinstance(error, MissingFactError) and error.owner != law.check.name:
            outcome, message = "skipped", str(error)
        elif isinstance(cause, SkipError):
            outcome, message = "skipped", str(cause)
        elif isinstance(cause, StoreError):  # the folder's fault, not the model's
            outcome, message = "skipped", f"{cause.where} {cause.what}: export TMPDIR=FOLDER"
        else:
            outcome = law.check.severity if isinstance(cause, Fault) else "error"
            message, raised = told(cause), trace(cause)
            hint = cause.hint if isinstance(cause, Fault | FmbenchError) else ""
    return report_of(
        law.check,
        outcome,
        message,
        model=subject.name,
        plugin=plugin,
        hint=hint,
        trace=raised,
        seconds=perf_counter() - start,
    )

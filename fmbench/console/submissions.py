"""What the commands about submissions print."""

from collections.abc import Sequence

from fmbench.console.stream import print_table, tell
from fmbench.submission.intake import Intake
from fmbench.submission.packing import Submission
from fmbench.verification import Finding
from fmbench.wording import counted, memory

MOST = 20


def print_submission(found: Submission, false: Sequence[Finding]) -> None:
    """What is packed, by kind and in all, what is missing or stays behind, and what is false."""
    rows = [
        {"packed": kind, "files": str(number), "size": memory(size)}
        for kind, (number, size) in found.by_kind.items()
    ]
    total = {"packed": "in all", "files": str(len(found.pieces)), "size": memory(found.size)}
    print_table([*rows, total], title=f"{found.protocol.id}, {found.protocol.digest[:12]}")
    _list("Missing", found.missing)
    _list("Not packed", found.left_out)
    _list("Cannot be packed", found.faults)
    _list("False", [f"{one.where}: {one.what}" for one in false])
    if not (found.missing or found.faults or false):
        tell("Nothing is missing, and nothing is false.")


def print_intake(found: Intake) -> None:
    """What of a pull request is taken, by model, and what is refused."""
    if found.refused:
        _list("Nothing is taken, because of this", found.refused)
    elif not found.taken:
        tell("There is nothing to take: the two checkouts do not differ.")
    else:
        number = counted(len(found.records), "record")
        tell(f"{number} in {counted(len(found.taken), 'file')} can be taken.")
        names = {f"{one.run.protocol}: {one.run.model}" for one in found.records.values()}
        for name in sorted(names):
            tell(f"- {name}")


def _list(title: str, sentences: Sequence[str]) -> None:
    if sentences:
        tell(f"{title}:")
    for sentence in sentences[:MOST]:
        tell(f"- {sentence}")
    if len(sentences) > MOST:
        tell(f"- and {len(sentences) - MOST} more; --json lists all")

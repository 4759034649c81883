"""The tables and texts the reading commands print."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.text import Text

from fmbench.console.live import run_kind
from fmbench.console.stream import out, plain, print_table, talk, tell
from fmbench.data import Summary
from fmbench.discovery import Catalogue, Problem
from fmbench.leaderboard.board import Board
from fmbench.leaderboard.columns import Column
from fmbench.leaderboard.comparison import Compared
from fmbench.leaderboard.difference import Difference, sections
from fmbench.protocol import Protocol, StageName
from fmbench.records import Record
from fmbench.standing import standing
from fmbench.store import LOG, LOGITS, PREDICTIONS, WEIGHTS, Contents
from fmbench.wording import duration, memory, percent, short, versions

KEPT = {PREDICTIONS: "predictions", LOGITS: "logits", LOG: "log", WEIGHTS: "weights"}
DROPPABLE = (
    "plugin",
    "device",
    "FLOPs",
    "calibration error",
    "log-loss",
    "images/s",
    "parameters",
    "over seeds, %",
    "train",
    "verified",
)


def print_board(board: Board, columns: Sequence[Column], *, fixed: bool = False) -> None:
    """The leaderboard, its notes below; `fixed` columns are all shown, however narrow it is."""
    names = [row.model for row in board.rows]
    needed = {"plugin"} if len(set(names)) < len(names) else set()
    droppable = () if fixed else [heading for heading in DROPPABLE if heading not in needed]
    print_table(
        [{column.heading: column.cell(row) for column in columns} for row in board.rows],
        title=f"{board.protocol} leaderboard",
        faint=[not row.complete for row in board.rows],
        droppable=droppable,
        wrapping="status",
    )
    for note in board.notes:
        out.print(plain(note, "dim"))


def print_comparison(found: Compared) -> None:
    """Two models, their paired difference, and what may be concluded."""
    print_table(
        [
            {
                "model": side.model,
                "plugin": f"{side.distribution} {side.version}",
                "accuracy, %": percent(side.accuracy),
                "n": f"{side.seeds} × {found.images:,}",
            }
            for side in (found.first, found.second)
        ],
        title=found.protocol,
    )
    print_table(
        [
            {
                "class": one.name,
                found.first.name: percent(one.first),
                found.second.name: percent(one.second),
                "difference": f"{100 * one.gap:+.2f}",
                "95 % interval": f"{100 * one.low:+.2f} to {100 * one.high:+.2f}",
            }
            for one in found.classes
        ],
        title="by class, %",
    )
    leads = [one.lead > 0 for one in found.disagreements]
    tell(
        f"Only {found.first.name} is right in most of its runs on {sum(leads)} images; "
        f"only {found.second.name} on {len(leads) - sum(leads)}."
    )
    if found.mcnemar_p is not None:
        p = f"= {found.mcnemar_p:.2g}" if found.mcnemar_p else "< 1e-300"
        tell(f"McNemar's exact test of the two single runs: p {p}.")
    tell("Intervals by class hold together; all are for expected accuracy on new images.", "dim")
    tell(f"\n{found.conclusion}")


def print_differences(found: Sequence[Difference]) -> None:
    """What changes on each board: a sentence, tables, and the notes that one side alone has."""
    for one in found:
        tell(f"{one.protocol}: {one.conclusion}")
        for title, rows in sections(one):
            print_table(rows, title=title, droppable=("device", "plugin"), wrapping="status")
        for title, notes in (("New notes", one.notes_new), ("Notes that are gone", one.notes_gone)):
            if notes:
                tell(f"{title}:")
            for note in notes:
                tell(f"- {note}", "dim")


def print_catalogue(catalogue: Catalogue) -> None:
    """What is installed: models, families, and below them what is wrong."""
    print_table(
        [
            {
                "model": model.name,
                "plugin": f"{model.plugin.distribution} {model.plugin.version}",
                "input": f"{model.size} px",
                "summary": model.summary,
            }
            for model in catalogue.models
        ],
        droppable=("input",),
        wrapping="summary",
    )
    for family in catalogue.families:
        tell(f"family {family.prefix}NAME: any member by its name ({family.plugin.distribution})")
    for problem in catalogue.problems:
        out.print(_problem(problem), soft_wrap=True)


def print_protocols(protocols: list[Protocol]) -> None:
    """The built-in protocols, a line each."""
    print_table(
        [
            {
                "protocol": protocol.id,
                "status": protocol.status,
                "digest": protocol.digest[:12],
                "summary": protocol.summary,
            }
            for protocol in protocols
        ],
        wrapping="summary",
    )


def print_protocol(protocol: Protocol, heading: str) -> None:
    """What a protocol fixes and leaves free: the comment its file opens with."""
    tell(heading)
    tell(f"\n{protocol.id}, {standing(protocol)}, digest {protocol.digest}")
    if protocol.derived:
        tell(protocol.derived)


def print_data(folder: Path, summary: Summary) -> None:
    """Where the data set is and what is in it."""
    tell(f"Fashion-MNIST, verified, in {folder}")
    for name, shape in (("training", summary.train_images), ("test", summary.test_images)):
        tell(f"{name} images: {'×'.join(f'{size:,}' for size in shape)}, uint8")
    print_table(
        [
            {
                "label": str(number),
                "name": label.name,
                "training images": f"{label.train:,}",
                "test images": f"{label.test:,}",
            }
            for number, label in enumerate(summary.labels)
        ]
    )


def print_records(contents: Contents) -> None:
    """Every run with its status."""
    print_table(
        [
            {
                "record": record.id,
                "model": record.run.model,
                "run": run_kind(record.run),
                "status": record.result.status,
                "test, %": _accuracy(record, "final"),
                "validation, %": _accuracy(record, "tune"),
                "train": duration(record.cost.train_seconds) if record.result.images else "",
                "message": record.result.message.partition("\n")[0],
            }
            for record in contents.records
        ],
        droppable=("train",),
        wrapping="message",
    )
    for problem in contents.problems:
        tell(problem)


def _accuracy(record: Record, stage: StageName) -> str:
    """The accuracy of a run of that stage; test images play no part in trying recipes."""
    return percent(record.result.accuracy) if record.run.stage == stage else ""


def print_record(record: Record, log: str, sizes: Mapping[str, int]) -> None:
    """One run: result, cost, environment, curve, what is kept of it, and log.

    sizes: bytes of the files beside the record, by what their names end in.
    """
    run, result, cost, where = record.run, record.result, record.cost, record.environment
    facts = {
        "record": f"{record.id}, key {record.key[:12]}, {record.created}",
        "run": f"{run.model}, {run_kind(run)}, recipe {run.recipe}, {run.protocol}",
        "plugin": f"{run.plugin.distribution} {run.plugin.version}, "
        f"source {run.plugin.source[:12]}, {versions(run.plugin.dependencies)}",
        "status": result.status + (f": {result.message}" if result.message else ""),
    }
    if result.accuracy is not None:
        images = "test images" if run.stage == "final" else "validation images"
        facts |= {
            "accuracy": f"{percent(result.accuracy)} % of {result.images:,} {images}",
            "log-loss": f"{result.log_loss:.4f}, calibration error {result.calibration_error:.4f}",
            "trained": f"{duration(cost.train_seconds)} at {short(cost.images_per_second)} images/s"
            f", {duration(cost.runner_seconds)} by the runner's clock",
            "inference": f"{short(cost.inference_images_per_second)} images/s",
            "model": f"{cost.parameters:,} parameters, {short(cost.forward_flops)} FLOPs an image",
            "memory": f"{memory(cost.peak_memory)} at the peak",
        }
    if result.fit_correct is not None:
        share = percent(result.fit_correct / result.fit_images)
        facts["fit"] = f"{share} % of {result.fit_images:,} images it was trained on"
    if result.validation_curve:
        shares = (percent(right / result.images) for right in result.validation_curve)
        facts["epochs"] = f"{' '.join(shares)} % after each"
    facts |= {
        "curve": " ".join("none" if loss is None else f"{loss:.4f}" for loss in result.curve),
        "device": f"{where.device.torch_name}, {where.device.name} {where.device.driver}".rstrip(),
        "facts": "; ".join(f"{name} {fact}" for name, fact in where.device.facts.items())
        or "none on record, so that it cannot be told from others of its name",
        "machine": f"{where.cpu}, {where.cores} cores, {where.threads} threads, {where.os}",
        "versions": f"fmbench {where.fmbench} {where.commit[:12]}, Python {where.python}, "
        + versions(where.libraries),
        "repeatable": record.reproducibility,
    }
    if where.device.digest:
        facts["device"] += f", digest {where.device.digest[:12]}"
    if record.departure:
        facts["departure"] = record.departure
    if sizes:
        kept = (f"{KEPT[kind]} {memory(size)}" for kind, size in sizes.items())
        facts["kept"] = ", ".join(kept)
    for name, fact in facts.items():
        tell(f"{name:<11}{fact}")
    if log:
        tell(f"\nlog:\n{log}")


def print_problem(problem: Problem) -> None:
    """Why a plugin offers less than it might, as talk."""
    talk.print(_problem(problem))


def _problem(problem: Problem) -> Text:
    hint = f"\n  hint: {problem.hint}" if problem.hint else ""
    where = f"{problem.entry} {problem.version}".rstrip()
    text = plain(f"problem in {where}: ", "red")
    return text.append_text(plain(f"{problem.what}{hint}", "default"))

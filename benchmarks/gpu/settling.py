"""Which lines of the candidate protocol the measurements of a session settle, and which not."""

from collections.abc import Callable, Sequence
from statistics import median

from fmbench.protocol import TRAINING_IMAGES, Protocol
from fmbench.wording import counted, duration
from gpu import journal
from gpu.side_by_side import gains

Lines = Sequence[journal.Line]
Finding = tuple[str, str]
"""Whether a line is settled, `yes`, `in part` or `no`, and why."""

NOT_LISTED = "the stage that lists the models did not run"


def settle(lines: Lines, rules: Protocol) -> list[list[str]]:
    """For each line of the candidate that a GPU decides: its draft, whether it is settled, why.

    Speed alone settles nothing that also decides accuracy: that takes runs under the candidate.
    """
    cuda = rules.devices.get("cuda")
    drafts: list[tuple[str, str, Callable[[Lines, Protocol], Finding]]] = [
        ("training.batch_size", f"{rules.training.batch_size}", batch_size),
        ("tune.epochs, final.epochs", epochs(rules), budget),
        ("devices.cuda.precision", cuda.precision if cuda else "absent", variant("float32")),
        ("devices.cuda.tf32", f"{cuda.tf32}" if cuda else "absent", variant("float32 with TF32")),
        ("devices.cuda.channels_last", f"{cuda.channels_last}" if cuda else "absent",
         variant("channels first")),
        ("recipes", counted(len(rules.recipes), "recipe"), recipes),
        ("status", rules.status, status),
    ]  # fmt: skip
    return [[name, draft, *finding(lines, rules)] for name, draft, finding in drafts]


def epochs(rules: Protocol) -> str:
    """The epochs of both stages, as the draft has them."""
    return f"{rules.tuning.epochs if rules.tuning else 'none'}, {rules.final.epochs}"


def measured_rates(lines: Lines) -> dict[int, dict[str, float]]:
    """By batch and model, images a second of the eager loop, the median over rounds."""
    found: dict[int, dict[str, float]] = {}
    for line in lines:
        if line["kind"] == "speed" and line.get("contender") == "fmbench" and "seconds" in line:
            rate = median(line["images"] / seconds for seconds in line["seconds"])
            found.setdefault(line["batch"], {})[line["model"]] = rate
    return found


def all_models(lines: Lines) -> set[str]:
    """The models of the session."""
    return {line["model"] for line in lines if line["kind"] == "model"}


def whole_rates(lines: Lines) -> dict[int, dict[str, float]]:
    """The rates at those batches at which every model of the session was measured."""
    names = all_models(lines)
    rates = measured_rates(lines)
    return {batch: of for batch, of in rates.items() if names and names <= of.keys()}


def batch_size(lines: Lines, _: Protocol) -> Finding:
    """What an epoch of all models takes at each batch; accuracy is measured at one alone."""
    rates = whole_rates(lines)
    if not rates:
        return "no", "the speed of all models was not measured at any batch"
    parts = [
        f"{sum(TRAINING_IMAGES / rate for rate in of.values()):.1f} s at {batch:,}"
        for batch, of in rates.items()
    ]
    models = counted(len(all_models(lines)), "model")
    said = f"an epoch of {models} takes {', '.join(parts)}, computed from their rates"
    return "in part", f"{said}; accuracy at other batches than the candidate's was not measured"


def budget(lines: Lines, rules: Protocol) -> Finding:
    """How long the training of all runs takes, computed from the eager rates and the joint gain."""
    rates = whole_rates(lines).get(rules.training.batch_size)
    if rates is None:
        return "no", f"not every model's speed was measured at {rules.training.batch_size}"
    tuned = TRAINING_IMAGES - rules.data.validation_images
    tuning = rules.tuning
    images = len(rules.seeds) * rules.final.epochs * (rules.final.train_images or TRAINING_IMAGES)
    if tuning:
        per_run = tuning.epochs * (tuning.train_images or tuned)
        images += len(rules.recipes) * len(tuning.seeds) * per_run
    seconds = sum(images / rate for rate in rates.values())
    said = f"training of all runs would take {duration(seconds)} one after another"
    joint = gains(lines)
    how = max(joint, key=lambda one: joint[one], default=None)
    if how is None:
        return "in part", f"{said}, computed; side by side was not measured"
    workers, shared = how
    under = " under MPS" if shared else ""
    return "in part", (
        f"{said}, and {duration(seconds / joint[how])} with {workers} side by side{under}, "
        "computed, as if each model gained what one did"
    )


def variant(name: str) -> Callable[[Lines, Protocol], Finding]:
    """A finding about a variant of the device's rules: its speed, model by model."""

    def finding(lines: Lines, _: Protocol) -> Finding:
        ratios = [
            f"{line['model']} {gain(line):.2f}"
            for line in lines
            if line["kind"] == "lever" and line["variant"] == name and "rates" in line
        ]
        if not ratios:
            return "no", f"{name} was not measured"
        said = f"{name} is so many times as fast: {', '.join(ratios)}"
        return "in part", f"{said}; what it does to accuracy was not measured"

    return finding


def gain(line: journal.Line) -> float:
    """How many times as fast a variant is as the eager loop, once it has warmed up."""
    ratio: float = median(line["rates"][1:]) / median(line["eager_rates"][1:])
    return ratio


def recipes(lines: Lines, rules: Protocol) -> Finding:
    """For how many models all recipes were tried."""
    if rules.tuning is None:
        return "yes", "there is one, and nothing is tried"
    wanted = len(rules.recipes) * len(rules.tuning.seeds)
    whole = [model for model in all_models(lines) if _good(lines, rules, model, "tune") >= wanted]
    if not all_models(lines):
        return "no", NOT_LISTED
    said = f"all were tried on {len(whole)} of {counted(len(all_models(lines)), 'model')}"
    return ("yes" if whole and len(whole) == len(all_models(lines)) else "no"), said


def status(lines: Lines, rules: Protocol) -> Finding:
    """Whether a whole board exists, made on one device: then the protocol may be released."""
    wanted, names = len(rules.seeds), all_models(lines)
    if not names:
        return "no", NOT_LISTED
    whole = [model for model in names if _good(lines, rules, model, "final") >= wanted]
    digests = {run["digest"] for run in _runs(lines, rules)}
    said = f"{len(whole)} of {counted(len(names), 'model')} have all {counted(wanted, 'seed')}"
    if len(digests) > 1:
        return "no", f"{said}, made on {len(digests)} devices"
    return ("yes" if whole and len(whole) == len(names) else "no"), said


def _runs(lines: Lines, rules: Protocol) -> list[journal.Line]:
    """The runs of this very candidate: those under other rules say nothing about it."""
    return [
        run
        for line in lines
        if line["kind"] == "runs" and line["protocol_digest"] == rules.digest
        for run in line["runs"]
    ]


def _good(lines: Lines, rules: Protocol, model: str, stage: str) -> int:
    """How many different runs of a model and stage have ended well."""
    return len(
        {
            (run["recipe"], run["seed"])
            for run in _runs(lines, rules)
            if run["model"] == model and run["stage"] == stage and run["status"] == "ok"
        }
    )

"""The study's page and its summary, made from records alone."""

import hashlib
import re
from collections import defaultdict

import msgspec
from fmbench_vgg_variants.variants import FULL_WIDTH
from jinja2 import Environment, PackageLoader, StrictUndefined

from fmbench.leaderboard.stored_results import digest_of
from fmbench.protocol import Protocol
from fmbench_batchnorm.claims import findings, verdicts_by_other_thresholds
from fmbench_batchnorm.claims.rates import JUDGED
from fmbench_batchnorm.evidence import TRAINS, Study, tuning

_MARKS = (
    "Marks are means over seeds, bars their 95 % intervals, faint dots single seeds; dashed: "
    f"{TRAINS:.0%}, from which on a run counts as one that trains"
)
_LINES = "Thin lines are single seeds, thick ones their means"
CAPTIONS = {
    1: f"{_MARKS}. Right, each network at the rate where it takes the fewest epochs to "
    f"{JUDGED:.0%}, dashed as well. {_LINES}.",
    2: f"{_MARKS}. Each network at the best of its rates.",
    3: f"{_MARKS}. Each network at the best of its rates; right, the same from 75 % on.",
    4: f"Left, the exact tests. {_MARKS}. Each network at the best of its rates; right, the same "
    "from 75 % on.",
    5: f"{_LINES}, each network at the best of its rates; dashed: {TRAINS:.0%}.",
    6: "Marks are means over seeds, bars their 95 % intervals, faint dots single seeds.",
}


def write_page(study: Study, *, drawn: bool = True) -> str:
    """The page: one HTML document that needs no network.

    drawn: whether its figures are there; `without_figures` leaves them out in any case.
    """
    templates = Environment(
        loader=PackageLoader("fmbench_batchnorm"),
        autoescape=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    return templates.get_template("page.html.j2").render(
        study=study,
        full_width=FULL_WIDTH,
        findings=findings(study),
        otherwise=verdicts_by_other_thresholds(study),
        figures=_figures(study) if drawn else defaultdict(str),
        digest=digest(study),
        facts=facts(study),
        captions=CAPTIONS,
        trains=f"{TRAINS:.0%}",
    )


def _figures(study: Study) -> dict[int, str]:
    from fmbench_batchnorm import figures  # matplotlib takes longer to load than all the rest

    return figures.draw(study)


def digest(study: Study) -> str:
    """SHA-256 of all that the page follows from."""
    exact = msgspec.json.encode(study.invariance)
    return hashlib.sha256(digest_of(study.records).encode() + exact).hexdigest()


def facts(study: Study) -> dict[str, str]:
    """How the runs were made, in words."""
    record = study.records[0]
    devices = sorted({one.environment.device.name for one in study.records})
    return {
        "network": f"VGG-11 with {study.width} to {8 * study.width} channels for 32-pixel images; "
        "the eight convolutions are normalised, the two hidden linear layers are not: they keep "
        "activation and dropout",
        "runs": f"{len(study.records)}, {study.seeds} seeds for each network and learning rate; on "
        f"{', '.join(devices)}, torch {record.run.torch}",
        "claim 1": _training(study.rates.rules),
        "claims 2 to 5": _training(study.changes.rules),
        "claim 6": _training(study.gaps.rules),
        "not tried": "longer training, other learning rates, schedules and optimizers: a network "
        "that does not train here may train with any of them",
        "judged on": f"{study.changes.rules.data.validation_images:,} validation images; "
        "no test image was looked at",
    }


def _training(rules: Protocol) -> str:
    stage, first = tuning(rules), rules.recipes[0]
    tried = ", ".join(f"{recipe.learning_rate:g}" for recipe in rules.recipes)
    return (
        f"{stage.train_images:,} images, {stage.epochs} epochs, batches of "
        f"{rules.training.batch_size}; SGD with Nesterov momentum {first.momentum:g}, no weight "
        f"decay, constant learning rates of {tried} ({rules.id}, digest {rules.digest[:12]})"
    )


def without_figures(page: str) -> str:
    """All of a page that follows from records alone: how figures are drawn depends on libraries."""
    return re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)


def summary(study: Study) -> str:
    """The verdicts as a Markdown table."""
    otherwise = verdicts_by_other_thresholds(study)
    lines = [
        f"| | claim | verdict | by another accuracy than {TRAINS:.0%} | measured | runs |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.number} | {one.claim} | **{one.verdict}** | {otherwise[one.number]} "
        f"| {one.conclusion} | {one.runs} |"
        for one in findings(study)
    ]
    lines += ["", *(f"- {name}: {said}" for name, said in facts(study).items())]
    lines += [
        "- numbers in brackets: 95 % intervals over seeds (Student's t; differences are taken seed "
        "by seed); the six claims are not corrected for one another",
        "- does not hold here: a rule was not met; the opposite was not shown",
        "- rules, tables and figures: index.html",
    ]
    return "\n".join(lines) + "\n"

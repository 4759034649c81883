"""One record against the protocol it names: what its fields say of one another.

Each check yields sentences about what is wrong, none where all is well.
"""

import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from fmbench.contract import MODEL_NAME
from fmbench.data import FASHION_MNIST
from fmbench.leaderboard.notes import REPRODUCED, clocks_disagree
from fmbench.protocol import TRAINING_IMAGES, Protocol
from fmbench.records import Record
from fmbench.wording import percent, short

CLOCKS = 1e-6
"""How far the product of a time and a speed may lie from the images it is of, relatively."""

FLOPS_PER_CORE = (("amx", 6e9 * 2048), ("avx512", 6e9 * 128), ("avx", 6e9 * 64))
"""What no core of such instructions can exceed, in FLOPs a second: 6 GHz is above any clock sold,
and each has at most two units. AMX: bfloat16, 1,024 multiplications with additions a cycle; AVX-512
twice 32 lanes of bfloat16, AVX twice 8 lanes of float32 and as much again to be safe. From Intel's
and AMD's optimisation manuals."""
FLOPS_OF_GPUS = (
    ("H200", 989e12),
    ("H100", 989e12),
    ("A100", 312e12),
    ("L40S", 366e12),
    ("L40", 181e12),
    ("L4", 121e12),
    ("T4", 65e12),
    ("V100", 125e12),
)
"""The dense peak of 16-bit tensor cores, in FLOPs a second, from NVIDIA's data sheets."""


def run_as_protocol_says(record: Record, rules: Protocol) -> Iterator[str]:
    """Seed, recipe, device and threads are among those the protocol allows."""
    run = record.run
    if not MODEL_NAME.fullmatch(run.model):
        yield f"no plugin can call a model {run.model[:40]!r}"
    tuning = rules.tuning
    if run.stage == "tune" and tuning is None:
        yield f"{rules.id} tries no recipes, and this is a trial of one"
    seeds = tuning.seeds if run.stage == "tune" and tuning else rules.seeds
    if run.seed not in seeds:
        yield f"its seed {run.seed} is none of the protocol's"
    if run.recipe not in {recipe.name for recipe in rules.recipes}:
        yield f"its recipe {run.recipe} is none of the protocol's"
    device = rules.devices.get(run.device_kind)
    if device is None:
        yield f"{rules.id} does not run on {run.device_kind}"
    elif device.threads not in (None, record.environment.threads):
        yield f"it was made with {record.environment.threads} threads, not {device.threads}"


def result_as_protocol_says(record: Record, rules: Protocol) -> Iterator[str]:
    """Of a good run: the numbers of epochs and images, and scores that can be."""
    if not record.ok:
        return
    result, stage = record.result, rules.stage(record.run.stage)
    epochs = stage.epochs
    if len(result.curve) != epochs or None in result.curve:
        yield f"its curve has not a loss of each of {epochs} epochs"
    if record.run.stage == "tune":
        if result.images != rules.data.validation_images:
            yield f"it was scored on {result.images:,} images, not on the validation images"
        if rules.tune and rules.tune.each_epoch and len(result.validation_curve) != epochs:
            yield f"its validation curve has not {epochs} epochs"
        if result.validation_curve and result.validation_curve[-1] != result.correct:
            yield "its validation curve does not end with its score"
    fit, epoch_scores = result.fit_correct or 0, result.validation_curve
    if not 0 <= fit <= result.fit_images or not all(0 <= n <= result.images for n in epoch_scores):
        yield "more images are right than were looked at"
    yield from _scores_that_cannot_be(record)


def _scores_that_cannot_be(record: Record) -> Iterator[str]:
    result = record.result
    loss, error, accuracy = result.log_loss, result.calibration_error, result.accuracy
    if loss is None or error is None or accuracy is None:
        return
    # A wrong answer leaves the right class a probability of one half at most.
    if not (math.isfinite(loss) and loss >= (1 - accuracy) * math.log(2) - 1e-6):
        yield f"no model with {percent(accuracy)} % right has a log-loss of {loss:.4g}"
    if not 0 <= error <= 1:
        yield f"its calibration error {error:.4g} is no share"


def environment_agrees(record: Record, rules: Protocol) -> Iterator[str]:  # noqa: ARG001
    """What the run and its environment say of the same things."""
    run, where = record.run, record.environment
    if run.device_kind != where.device.kind:
        yield f"it ran on {run.device_kind}, and its environment has a {where.device.kind} device"
    if where.libraries.get("torch", run.torch) != run.torch:
        yield f"it ran with torch {run.torch}, and its environment has {where.libraries['torch']}"
    declared = run.plugin.dependencies.get("torch", run.torch)
    if declared != run.torch:
        yield f"it ran with torch {run.torch}, and its plugin's dependencies have {declared}"
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record.created, re.ASCII):
            raise ValueError
        created = datetime.fromisoformat(record.created)
    except ValueError:
        yield f"its time {record.created[:40]!r} is none"
        return
    if created > datetime.now(UTC) + timedelta(days=1):
        yield f"it was made on {record.created[:10]}, which is still to come"


def times_agree(record: Record, rules: Protocol) -> Iterator[str]:
    """The time and the speed of training are of the number of images that the protocol has."""
    cost = record.cost
    if not record.ok:
        return
    numbers = (
        cost.train_seconds,
        cost.runner_seconds,
        cost.images_per_second,
        cost.inference_images_per_second,
    )
    if not all(math.isfinite(number) and number >= 0 for number in numbers):
        yield "its times are no times"
        return
    if min(cost.parameters, cost.forward_flops, cost.peak_memory, cost.beside or 0) < 0:
        yield "its costs are less than none"
    epochs = rules.stage(record.run.stage).epochs
    if not 0 <= cost.resumed_after <= epochs:
        yield f"it went on from epoch {cost.resumed_after} of {epochs}"
    images = _images_trained(record, rules)
    trained = cost.train_seconds * cost.images_per_second
    if images and trained and not math.isclose(trained, images, rel_tol=CLOCKS):
        yield "its time and its speed of training are not of the same images"


def _images_trained(record: Record, rules: Protocol) -> int:
    """How many images a run's steps have seen, 0 where the size of its data set is not known."""
    stage = rules.stage(record.run.stage)
    held_back = rules.data.validation_images if record.run.stage == "tune" else 0
    images = stage.train_images
    if images is None:
        images = TRAINING_IMAGES - held_back if rules.data.sha256 == FASHION_MNIST else 0
    batch = rules.training.batch_size
    return images // batch * batch * stage.epochs


FALSE: dict[str, Callable[[Record, Protocol], Iterator[str]]] = {
    "run": run_as_protocol_says,
    "result": result_as_protocol_says,
    "environment": environment_agrees,
    "times": times_agree,
}
"""The checks whose sentences make a record false, by the kind of finding."""


def notes(record: Record, rules: Protocol) -> Iterator[tuple[str, str]]:
    """What may be true and should be known: the kind of finding and a sentence."""
    if not record.ok:
        return
    on_fashion_mnist = rules.data.sha256 == FASHION_MNIST
    accuracy = record.result.accuracy or 0.0
    if on_fashion_mnist and record.run.stage == "final" and accuracy > REPRODUCED:
        yield (
            "accuracy",
            f"{percent(accuracy)} % is above {100 * REPRODUCED:g} %, the most that is known to "
            "have been reproduced",
        )
    if clocks_disagree(record):
        yield "times", "the worker's and the runner's clock differ"
    peak, cost = peak_flops(record), record.cost
    # A step computes at least the forward pass and the gradients of the weights.
    rate = cost.forward_flops * max(2 * cost.images_per_second, cost.inference_images_per_second)
    if peak is not None and rate > peak:
        yield (
            "times",
            f"{short(rate)}FLOP/s is more than {record.environment.device.name} can compute",
        )


def peak_flops(record: Record) -> float | None:
    """What a record's device cannot exceed, in FLOPs a second; None where it is not known."""
    where = record.environment
    if where.device.kind == "cuda":
        return next((peak for name, peak in FLOPS_OF_GPUS if name in where.device.name), None)
    known = " ".join([*where.device.facts.values(), where.device.name]).lower().replace("-", "")
    return next((where.cores * peak for name, peak in FLOPS_PER_CORE if name in known), None)

"""The checks of the plugin contract. A check's docstring says what it requires."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import psutil

from fmbench.errors import FmbenchError
from fmbench.testing.reports import Fault, Outcome, Report, Severity, SkipError, told, trace
from fmbench.wording import duration, memory, short

if TYPE_CHECKING:
    from fmbench.testing.checked_model import CheckedModel

TOLERANCE = 1e-4
LONGEST_RUN = 86_400.0
SEED, OTHER_SEED, THIRD_SEED = 1, 2, 3
BATCH = 8
NAMED = 3


@dataclass(frozen=True)
class Check:
    """One requirement of the plugin contract, how bad it is to break it, and how it is checked.

    run:       returns a remark or nothing; raises `Fault` for a model that breaks the requirement.
    essential: whether later checks need what this one finds out.
    always:    whether it is run without that, too: a fault counts then, and no fault proves
               nothing.
    """

    name: str
    severity: Severity
    requires: str
    run: "Callable[[CheckedModel], str | None]"
    essential: bool
    always: bool


def check(
    severity: Severity, *, essential: bool = False, always: bool = False
) -> "Callable[[Callable[[CheckedModel], str | None]], Check]":
    """Make a function a check; its name is the function's, with hyphens."""

    def make(run: "Callable[[CheckedModel], str | None]") -> Check:
        name = run.__name__.replace("_", "-")
        return Check(name, severity, inspect.getdoc(run) or "", run, essential, always)

    return make


def check_all(model: "CheckedModel") -> Iterator[Report]:
    """Run every check of a model in order; whatever its plugin raises becomes a report."""
    missing = ""
    for one in CHECKS:
        report = _perform(one, model, missing)
        if one.essential and report.outcome in ("error", "skipped"):
            missing = missing or one.name
        yield report


def _perform(check: Check, model: "CheckedModel", missing: str) -> Report:
    """Run one check; `missing` is the essential one that failed before it."""
    start = perf_counter()
    outcome: Outcome = "ok"
    message, hint, raised = "", "", ""
    try:
        if not missing or check.always:
            message = check.run(model) or ""
        if missing:
            raise SkipError(f"needs what {missing} checks")
    except SkipError as reason:
        outcome, message = "skipped", str(reason)
    except FmbenchError as error:
        outcome = check.severity if isinstance(error, Fault) else "error"
        message, hint = error.what, error.hint
    except (Exception, SystemExit) as error:
        outcome, message, raised = "error", told(error), trace(error)
        if model.effects.network:  # it may have raised for want of it
            outcome, message = "skipped", f"needs what {no_network.name} checks"
    return Report(
        check=check.name,
        requires=check.requires,
        outcome=outcome,
        message=message,
        hint=hint,
        trace=raised,
        seconds=round(perf_counter() - start, 3),
    )


def some(names: Sequence[str]) -> str:
    """The first of several names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


@check("error", essential=True)
def discovery(model: "CheckedModel") -> None:
    """The plugin is found, imported and asked for its models without a fault."""
    _ = model.imported.model


@check("error")
def light_import(model: "CheckedModel") -> None:
    """Importing the plugin and listing its models leaves torch unloaded."""
    if model.imported.heavy:
        raise Fault(
            f"torch is imported by {model.imported.heavy}",
            hint="import torch, and what needs it, inside build",
        )


@check("error", essential=True)
def builds(model: "CheckedModel") -> None:
    """`build` returns a new `nn.Module`, whatever the seed."""
    model.first, model.second, model.other = map(model.build, (SEED, SEED, OTHER_SEED))


@check("error", essential=True)
def output(model: "CheckedModel") -> None:
    """The output is (batch, classes), finite, in training and evaluation, also for one image."""
    for images, training in ((range(BATCH), False), (range(1), False), (range(BATCH), True)):
        model.answer(model.first, images, SEED, training=training)


@check("error")
def same_seed(model: "CheckedModel") -> None:
    """The same seed gives the same parameters, buffers, and outputs in training mode."""
    model.first = model.build(SEED)  # what has answered may hold other buffers by now
    if differing := model.differing(model.second):
        raise Fault(
            f"{differing[0]} differs between two networks built from one seed",
            hint="draw from torch's global generator, as torch.nn.init does",
        )
    one, two = (
        model.answer(network, range(BATCH), SEED, training=True)
        for network in (model.first, model.second)
    )
    if not one.equal(two):
        raise Fault(
            "two networks built from one seed answer differently in training",
            hint="draw from torch's global generator, in build and in forward",
        )


@check("warning")
def other_seeds(model: "CheckedModel") -> None:
    """Different seeds give different parameters."""
    parameters = dict(model.first.named_parameters()).keys()
    if parameters and parameters.isdisjoint(model.differing(model.other)):
        raise Fault(
            "two seeds gave the same parameters: several seeds will say less than they seem to",
            hint="draw from torch's global generator and leave its seed alone",
        )


@check("warning")
def autocast(model: "CheckedModel") -> None:
    """The output is (batch, classes), floating and finite, under bfloat16 autocast as well."""
    for training in (False, True):  # apart: autocast keeps weights that it cast without a gradient
        model.answer(model.first, range(BATCH), SEED, training=training, precision="bfloat16")


@check("error", essential=True)
def learns(model: "CheckedModel") -> str:
    """Twenty epochs of AdamW on one batch lower its loss, from two of three seeds at least."""
    model.trainings = [model.train(model.second, SEED), model.train(model.other, OTHER_SEED)]
    if len({one.last < one.first for one in model.trainings}) > 1:  # else a third decides nothing
        model.trainings.append(model.train(model.build(THIRD_SEED), THIRD_SEED))
    losses = ", ".join(f"{one.first:.4g} to {one.last:.4g}" for one in model.trainings)
    if sum(one.last < one.first for one in model.trainings) < 2:
        raise Fault(f"the loss goes from {losses}", hint="compare it with a plain linear layer")
    return f"from {losses}"


@check("warning")
def unused_parameters(model: "CheckedModel") -> None:
    """A gradient reaches every trainable parameter within twenty epochs of one batch."""
    if unreached := model.trainings[0].unreached:
        raise Fault(
            f"no gradient reaches {some(unreached)}",
            hint="remove what is unused, or set requires_grad to False",
        )


@check("error")
def evaluation(model: "CheckedModel") -> None:
    """In evaluation mode an image's logits do not depend on chance or, within 1e-4, its batch."""
    expected = model.answer(model.second, range(BATCH), SEED)
    if moved := model.movement(expected, range(BATCH), OTHER_SEED):
        raise Fault(
            f"the same images got other logits, {moved:.2g} apart",
            hint="pass training=self.training to functional.dropout, or use nn.Dropout",
        )
    half = range(BATCH // 2)
    for images in (half, [*half, *range(BATCH, BATCH + len(half))]):
        if (moved := model.movement(expected[: len(half)], images, SEED)) > TOLERANCE:
            raise Fault(
                f"with other images beside it, an image's logits move by {moved:.2g}",
                hint="take statistics over a batch in training mode only, as nn.BatchNorm2d does",
            )


@check("error", always=True)
def state_kept(model: "CheckedModel") -> None:
    """Seeds, torch's flags, modules' modes, environment, working and home folder are kept."""
    if changed := [*model.effects.changes, *model.seeded()]:
        raise Fault(some(changed), hint="leave the process as you find it")


@check("error", always=True)
def no_network(model: "CheckedModel") -> None:
    """Importing, building, evaluating and training ask nothing of the network."""
    if sought := model.effects.network:
        raise Fault(some([*sought]), hint="models are trained from scratch: pass pretrained=False")


@check("warning")
def right_gradients(model: "CheckedModel") -> None:
    """One batch's gradients, as the protocol trains here, are those of contiguous float32."""
    if departure := model.departure():
        raise Fault(
            departure,
            hint="it is this device that is wrong, or a function whose backward ignores strides",
        )


@check("warning")
def resumable(model: "CheckedModel") -> None:
    """All that training changes is in the state dict, so that a run can go on from a checkpoint."""
    for training in model.trainings:
        if training.obstacle:
            raise Fault(
                f"a checkpoint would lack {training.obstacle}: an interrupted run starts again",
                hint="keep state in parameters and persistent buffers",
            )


@check("error")
def safetensors(model: "CheckedModel") -> None:
    """The state dict comes back from a checkpoint, in safetensors, as it was."""
    if model.trainings[0].obstacle:
        raise SkipError("none is ever written of it, as it cannot be resumed")
    if spoilt := model.spoilt(SEED):
        raise Fault(
            f"{some(spoilt)} is not what it was after a checkpoint was read back",
            hint="see what load_state_dict does with what state_dict has returned",
        )


@check("warning")
def cost(model: "CheckedModel") -> str:
    """A run under the protocol is expected to fit into memory here, and to end within a day."""
    if "cpu" not in model.protocol.devices:
        raise SkipError(f"{model.protocol.id} does not say how to train on a CPU")
    found, here = model.expected_cost(OTHER_SEED), psutil.virtual_memory().total
    words = (
        f"{found.parameters:,} parameters, {short(found.forward_flops)} FLOPs an image; "
        f"a run of {model.protocol.id} here takes about {duration(found.train_seconds)} "
        f"and {memory(found.peak_memory)}"
    )
    if found.peak_memory > here:
        raise Fault(f"{words}, and there are {memory(here)}", hint="use a machine with more")
    if found.train_seconds > LONGEST_RUN:
        raise Fault(words, hint="name a longer one with `fmbench run --timeout SECONDS`")
    return words


CHECKS = (
    discovery,
    light_import,
    builds,
    output,
    same_seed,
    other_seeds,
    autocast,
    learns,
    unused_parameters,
    evaluation,
    state_kept,
    no_network,
    right_gradients,
    resumable,
    safetensors,
    cost,
)
"""Every check, in the order in which they are run."""

"""The checks of the plugin contract. A check's docstring says what it requires."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from fmbench.errors import FmbenchError, StoreError
from fmbench.testing.process_state import some
from fmbench.testing.reports import Fault, Report, Severity, SkipError, told, trace
from fmbench.wording import duration, memory, short

if TYPE_CHECKING:
    from fmbench.testing.checked_model import CheckedModel

TOLERANCE = 1e-4
LONGEST_RUN = 86_400.0
SEED, OTHER_SEED = 1, 2
BATCH = 8


@dataclass(frozen=True)
class Check:
    """One requirement of the plugin contract, how bad it is to break it, and how it is checked.

    run:    returns a remark or nothing; raises `Fault` for a model that breaks the requirement.
    needs:  the check whose results this one uses; empty for none.
    always: whether it is run without them, too: a fault counts then, and no fault proves nothing.
    """

    name: str
    severity: Severity
    requires: str
    run: "Callable[[CheckedModel], str | None]"
    needs: str
    always: bool

    def report(
        self, model: str, plugin: str, outcome: Any, message: str = "", **more: Any
    ) -> Report:
        """A report of this check."""
        return Report(
            model=model,
            plugin=plugin,
            check=self.name,
            requires=self.requires,
            outcome=outcome,
            message=message,
            **more,
        )


def check(
    severity: Severity, *, needs: str = "", always: bool = False
) -> "Callable[[Callable[[CheckedModel], str | None]], Check]":
    """Make a function a check; its name is the function's, with hyphens."""

    def make(run: "Callable[[CheckedModel], str | None]") -> Check:
        name = run.__name__.replace("_", "-")
        return Check(name, severity, inspect.getdoc(run) or "", run, needs, always)

    return make


def perform(check: Check, model: "CheckedModel", unmet: dict[str, str], plugin: str = "") -> Report:
    """Run one check of a model. Whatever its plugin raises becomes the report.

    unmet: for each earlier check without results, the one that says why; this one joins them.
    """
    start = perf_counter()
    cause = unmet.get(check.needs, "")
    outcome, message, hint, raised = "ok", "", "", ""
    try:
        if not cause or check.always:
            message = check.run(model) or ""
    except KeyboardInterrupt:
        raise
    except SkipError as reason:
        outcome, message = "skipped", str(reason)
    except StoreError as error:  # the folder's fault, not the model's
        outcome, message = "skipped", f"{error.where} {error.what}: export TMPDIR=FOLDER"
    except BaseException as error:  # SystemExit too
        cause, outcome, message, raised = check.name, "error", told(error), trace(error)
        if isinstance(error, Fault | FmbenchError):
            hint = error.hint
            outcome = check.severity if isinstance(error, Fault) else "error"
        elif model.effects.network:  # it may have raised for want of it
            cause = no_network.name
    if cause:
        unmet[check.name] = cause
        if cause != check.name:
            outcome, message = "skipped", f"needs what {cause} checks"
    seconds = round(perf_counter() - start, 3)
    return check.report(
        model.name, plugin, outcome, message, hint=hint, trace=raised, seconds=seconds
    )


@check("error")
def discovery(model: "CheckedModel") -> None:
    """The plugin is found, imported and asked for its models without a fault."""
    _ = model.imported.model


@check("error", needs="discovery")
def light_import(model: "CheckedModel") -> None:
    """Importing the plugin and listing its models leaves torch unloaded."""
    if model.imported.heavy:
        raise Fault(
            f"torch is imported by {model.imported.heavy}",
            hint="import torch, and what needs it, inside build",
        )


@check("error", needs="discovery")
def builds(model: "CheckedModel") -> None:
    """`build` returns a new `nn.Module`, whatever the seed."""
    model.first, model.second, model.other = map(model.build, (SEED, SEED, OTHER_SEED))
    model.compare_seeds()


@check("error", needs="builds")
def output(model: "CheckedModel") -> None:
    """The output is (batch, classes), finite, in training and evaluation, also for one image."""
    model.answer(model.first, range(BATCH), SEED)
    model.answer(model.first, range(1), SEED)
    model.logits = model.answer(model.first, range(BATCH), SEED, training=True)


@check("error", needs="output")
def same_seed(model: "CheckedModel") -> None:
    """The same seed gives the same parameters, buffers, and outputs in training mode."""
    if model.differing:
        raise Fault(
            f"{model.differing[0]} differs between two networks built from one seed",
            hint="draw from torch's global generator, as torch.nn.init does",
        )
    if not model.answer(model.second, range(BATCH), SEED, training=True).equal(model.logits):
        raise Fault(
            "two networks built from one seed answer differently in training",
            hint="draw from torch's global generator, in build and in forward",
        )


@check("warning", needs="builds")
def other_seeds(model: "CheckedModel") -> None:
    """Different seeds give different parameters."""
    if model.seed_ignored:
        raise Fault(
            "two seeds gave the same parameters: several seeds will say less than they seem to",
            hint="draw from torch's global generator and leave its seed alone",
        )


@check("warning", needs="output")
def autocast(model: "CheckedModel") -> None:
    """The output is (batch, classes), floating and finite, under bfloat16 autocast as well."""
    for training in (False, True):  # apart: autocast keeps weights that it cast without a gradient
        with model.bfloat16():
            model.answer(model.first, range(BATCH), SEED, training=training)


@check("error", needs="output")
def learns(model: "CheckedModel") -> str:
    """Twenty steps of AdamW on one batch lower its loss, from one of two seeds at least."""
    model.trainings = model.train(model.second, SEED), model.train(model.other, OTHER_SEED)
    losses = ", ".join(f"{one.first:.4g} to {one.last:.4g}" for one in model.trainings)
    if not any(one.last < one.first for one in model.trainings):
        raise Fault(f"the loss goes from {losses}", hint="compare it with a plain linear layer")
    return f"from {losses}"


@check("warning", needs="learns")
def unused_parameters(model: "CheckedModel") -> None:
    """A gradient reaches every trainable parameter within twenty steps."""
    if unreached := model.trainings[0].unreached:
        raise Fault(
            f"no gradient reaches {some(unreached)}",
            hint="remove what is unused, or set requires_grad to False",
        )


@check("error", needs="learns")
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


@check("error", needs="evaluation", always=True)
def state_kept(model: "CheckedModel") -> None:
    """Seeds, torch's flags, modules' modes, environment, working and home folder are kept."""
    if changed := [*model.effects.changes, *model.seeded()]:
        raise Fault("; ".join(changed), hint="leave the process as you find it")


@check("error", needs="evaluation", always=True)
def no_network(model: "CheckedModel") -> None:
    """Importing, building, evaluating and training ask nothing of the network."""
    if sought := model.effects.network:
        raise Fault(some(sought), hint="models are trained from scratch: pass pretrained=False")


@check("warning", needs="builds")
def right_gradients(model: "CheckedModel") -> None:
    """One batch's gradients, as the protocol trains here, are those of contiguous float32."""
    if departure := model.departure():
        raise Fault(
            departure,
            hint="it is this device that is wrong, or a function whose backward ignores strides",
        )


@check("warning", needs="learns")
def resumable(model: "CheckedModel") -> None:
    """All that training changes is in the state dict, so that a run can go on from a checkpoint."""
    if hidden := model.trainings[0].hidden or model.trainings[1].hidden:
        raise Fault(
            f"{hidden} is not in the state dict: an interrupted run starts again",
            hint="register it as a persistent buffer",
        )
    if unstorable := model.unstorable():
        raise Fault(
            f"{unstorable} in the state dict is not a tensor: an interrupted run starts again",
            hint="keep state in parameters and buffers instead of get_extra_state",
        )


@check("error", needs="learns")
def safetensors(model: "CheckedModel") -> None:
    """The state dict comes back from a checkpoint, in safetensors, as it was."""
    if not model.saved():
        raise SkipError("none is ever written of it, as it cannot be resumed")


@check("warning", needs="learns")
def cost(model: "CheckedModel") -> str:
    """A run under the protocol is expected to fit into memory here, and to end within a day."""
    if "cpu" not in model.protocol.devices:
        raise SkipError(f"{model.protocol.id} does not say how to train on a CPU")
    found = model.expected_cost()
    words = (
        f"{found.parameters:,} parameters, {short(found.flops)} FLOPs an image; "
        f"a run of {model.protocol.id} here takes about {duration(found.seconds)} "
        f"and {memory(found.memory)}"
    )
    if found.memory > model.memory:
        raise Fault(f"{words}, and there are {memory(model.memory)}")
    if found.seconds > LONGEST_RUN:
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

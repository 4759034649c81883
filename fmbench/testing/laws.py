"""The laws of the plugin contract. A law's docstring is its sentence, its function the judge."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from fmbench.contract import MODEL_NAME
from fmbench.testing.facts import Fault, MissingFactError, SkipError
from fmbench.testing.report import Check, Severity
from fmbench.wording import duration, memory, short

if TYPE_CHECKING:
    from fmbench.testing.subject import Subject

TOLERANCE = 1e-4
LONGEST_RUN = 86_400.0
NAMED = 3


@dataclass(frozen=True)
class Law:
    """A check, and the function that judges a subject by it.

    It returns a remark or nothing, and raises `Fault` for a subject that breaks the law.
    """

    check: Check
    judge: "Callable[[Subject], str | None]"


def law(severity: Severity) -> "Callable[[Callable[[Subject], str | None]], Law]":
    """Make a function a law; its name is the check's, with hyphens."""

    def make(judge: "Callable[[Subject], str | None]") -> Law:
        sentence = inspect.getdoc(judge) or ""
        return Law(Check(judge.__name__.replace("_", "-"), severity, sentence), judge)

    return make


@law("error")
def discovery(subject: "Subject") -> None:
    """The plugin is found, imported and asked for its models without a fault."""
    _ = subject.model


@law("error")
def name_form(subject: "Subject") -> None:
    """The name has lower-case letters, digits and `. _ -`, at most one `/` and one `@variant`."""
    for name in {subject.name, subject.model.name}:
        if not MODEL_NAME.fullmatch(name):
            raise Fault(f"{name!r} is not a model name", hint="for instance timm/resnet18")
    if subject.model.name != subject.name:
        raise Fault(f"asked for {subject.name}, the plugin answers with {subject.model.name}")


@law("error")
def light_import(subject: "Subject") -> None:
    """Importing the plugin and listing its models leaves torch unloaded."""
    if subject.imported.fault:
        raise Fault(f"imported alone, it raises {subject.imported.fault}")
    if subject.imported.heavy:
        raise Fault(
            f"torch is imported by {subject.imported.heavy}",
            hint="import torch, and what needs it, inside build",
        )


@law("error")
def builds(subject: "Subject") -> None:
    """`build` returns a new `nn.Module`, whatever the seed."""
    _ = subject.fresh, subject.twin, subject.stranger


@law("error")
def same_seed(subject: "Subject") -> None:
    """The same seed gives the same parameters and buffers."""
    if differing := subject.twin[1]:
        raise Fault(
            f"{differing} differs between two networks built from one seed",
            hint="draw from torch's global generator, as torch.nn.init does",
        )


@law("warning")
def other_seeds(subject: "Subject") -> None:
    """Different seeds give different parameters."""
    if subject.stranger[1]:
        raise Fault(
            "two seeds gave the same parameters: several seeds will say less than they seem to",
            hint="draw from torch's global generator and leave its seed alone",
        )


@law("error")
def output(subject: "Subject") -> None:
    """The output is (batch, classes), floating and finite, in evaluation and in training mode."""
    _ = subject.logits, subject.training_logits


@law("warning")
def autocast(subject: "Subject") -> None:
    """The output is (batch, classes), floating and finite, under bfloat16 autocast as well."""
    _ = subject.mixed


@law("error")
def batch_of_one(subject: "Subject") -> None:
    """A batch of one image is answered in evaluation mode, with (1, classes)."""
    _ = subject.single


@law("error")
def repeats(subject: "Subject") -> None:
    """Two networks from one seed answer alike in training mode."""
    if subject.twin[1]:
        raise SkipError("they differ before they answer")
    if not subject.repeated:
        raise Fault(
            "two networks built from one seed answer differently in training",
            hint="draw from torch's global generator, in build and in forward",
        )


@law("error")
def gradients(subject: "Subject") -> None:
    """The loss has a finite gradient with respect to trainable parameters."""
    _ = subject.gradients


@law("error")
def learns(subject: "Subject") -> str:
    """Twenty steps of AdamW on one batch lower its loss, from two of three seeds at least."""
    trials = [subject.trial, subject.second_trial]
    if len({trial.last < trial.first for trial in trials}) > 1:  # else they are the median
        trials.append(subject.third_trial)
    change = median(trial.last - trial.first for trial in trials)
    losses = ", ".join(f"{trial.first:.4g} to {trial.last:.4g}" for trial in trials)
    if not change < 0:
        raise Fault(f"the loss goes from {losses}", hint="compare it with a plain linear layer")
    return f"from {losses}"


@law("warning")
def unused_parameters(subject: "Subject") -> None:
    """A gradient reaches every trainable parameter within twenty steps."""
    if unreached := subject.trial.unreached:
        raise Fault(
            f"no gradient reaches {_some(unreached)}",
            hint="remove what is unused, or set requires_grad to False",
        )


@law("error")
def mode_kept(subject: "Subject") -> None:
    """A forward pass leaves every module in the training or evaluation mode it finds it in."""
    missing = subject.run_through()
    if subject.flips:
        raise Fault(
            f"a forward pass changes the mode of {_some(list(dict.fromkeys(subject.flips)))}",
            hint="leave train() and eval() to the caller; read self.training",
        )
    if missing:
        raise missing


@law("error")
def eval_deterministic(subject: "Subject") -> None:
    """In evaluation mode the same batch gets the same logits, to the bit."""
    _ = subject.settled


@law("error")
def batch_mates(subject: "Subject") -> None:
    """In evaluation mode an image's logits do not depend on the rest of its batch, within 1e-4."""
    if not subject.influence <= TOLERANCE:
        raise Fault(
            f"with other images beside it, an image's logits move by {subject.influence:.2g}",
            hint="take statistics over a batch in training mode only, as nn.BatchNorm2d does",
        )


@law("error")
def globals_untouched(subject: "Subject") -> None:
    """Global random streams, torch's flags, threads, working directory and environment are kept."""
    missing = subject.run_through()
    changed = [*subject.place.changes]
    try:
        changed += subject.reseeded
    except MissingFactError as also_missing:
        missing = missing or also_missing
    changed += [f"import changes {what}" for what in _imported(subject).changes]
    if changed:
        raise Fault("; ".join(dict.fromkeys(changed)), hint="leave the process as you find it")
    if missing:
        raise missing


@law("error")
def no_network(subject: "Subject") -> None:
    """Importing, building, evaluating and training ask nothing of the network."""
    missing = subject.run_through()
    if wanted := [*_imported(subject).network, *subject.place.watch.network]:
        raise Fault(_some(wanted), hint="models are trained from scratch: pass pretrained=False")
    if missing:
        raise missing


@law("error")
def no_writes(subject: "Subject") -> None:
    """Importing, building, evaluating and training change no file outside the working directory."""
    missing = subject.run_through()
    if written := [*_imported(subject).writes, *subject.place.watch.writes]:
        raise Fault(_some(written), hint="write to tempfile.gettempdir(), or not at all")
    if missing:
        raise missing


@law("warning")
def right_gradients(subject: "Subject") -> None:
    """One batch's gradients, as the protocol trains here, are those of contiguous float32."""
    if subject.departure:
        raise Fault(subject.departure, hint="it is this device that is wrong, not the model")


@law("warning")
def resumable(subject: "Subject") -> None:
    """All that training changes is in the state dict, so that a run can go on from a checkpoint."""
    if subject.trial.hidden:
        raise Fault(
            f"{subject.trial.hidden} is not in the state dict: an interrupted run starts again",
            hint="register it as a persistent buffer",
        )
    if subject.unstorable:
        raise Fault(
            f"{subject.unstorable} in the state dict is not a tensor: an interrupted run starts "
            "again",
            hint="keep state in parameters and buffers instead of get_extra_state",
        )


@law("error")
def safetensors(subject: "Subject") -> None:
    """The state dict comes back from a checkpoint, in safetensors, as it was."""
    if not subject.saved:
        raise SkipError("none is ever written of it, as it cannot be resumed")


@law("warning")
def cost(subject: "Subject") -> str:
    """A run under the protocol is expected to fit into memory here, and to end within a day."""
    found = subject.estimate
    words = (
        f"{found.parameters:,} parameters, {short(found.flops)} FLOPs an image; "
        f"a run of {subject.protocol.id} here takes about {duration(found.seconds)} "
        f"and {memory(found.memory)}"
    )
    if found.memory > subject.memory:
        raise Fault(f"{words}, and there are {memory(subject.memory)}")
    if found.seconds > LONGEST_RUN:
        raise Fault(words, hint="name a longer one with `fmbench run --timeout SECONDS`")
    return words


LAWS = (
    discovery,
    name_form,
    light_import,
    builds,
    same_seed,
    other_seeds,
    output,
    autocast,
    batch_of_one,
    repeats,
    gradients,
    learns,
    unused_parameters,
    mode_kept,
    eval_deterministic,
    batch_mates,
    globals_untouched,
    no_network,
    no_writes,
    right_gradients,
    resumable,
    safetensors,
    cost,
)
"""Every law, in the order in which they are checked."""


def _imported(subject: "Subject") -> "_Seen":
    """What was seen of the plugin imported alone; nothing, when it could not be."""
    try:
        found = subject.imported
    except MissingFactError:
        return _Seen()
    return _Seen(found.changes, found.network, found.writes)


@dataclass(frozen=True)
class _Seen:
    changes: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


def _some(names: "list[str] | tuple[str, ...]") -> str:
    """The first of several names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")

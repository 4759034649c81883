"""What a command is about to run, and what came of it."""

from collections.abc import Sequence

from fmbench.console.live import run_kind, time_of
from fmbench.console.stream import print_table, say, tell
from fmbench.execution.estimate import Estimate
from fmbench.execution.plan import best_recipe
from fmbench.execution.reproduction import Again, Reproduction
from fmbench.execution.session import Session
from fmbench.execution.timings import Timings, overhead
from fmbench.hardware import (
    CUDA_MEMORY_FOR_AUTO,
    Device,
    cuda_devices,
    torch_is_built_for_cuda,
)
from fmbench.leaderboard.recipes import recipes_tried
from fmbench.leaderboard.stored_results import StoredResults, choose_model_results
from fmbench.records import Record
from fmbench.standing import standing
from fmbench.store import WEIGHTS, Store
from fmbench.wording import counted, duration, memory, percent, short


def print_session(session: Session, estimate: Estimate | None) -> None:
    """What a run is about to do, as talk; there is no estimate where nothing is left to run."""
    protocol, device = session.setting.protocol, session.setting.device
    where = f"{device.torch_name}, {device.name}"
    if device.kind == "cpu":
        where += f"; {_why_no_gpu(cuda_devices())}"
    say(f"protocol {protocol.id} ({standing(protocol)}, digest {protocol.digest[:12]}) on {where}")
    if estimate:
        runs = counted(session.count, "run")
        beside = min(session.workers, session.count)
        at_once = f", {beside} at a time" if beside > 1 else ""
        say(f"{runs} to make{at_once}, {_how_long(estimate)}; in {session.store.folder}")
    else:
        say(f"nothing is left to run; the records are in {session.store.folder}")


def _why_no_gpu(gpus: list[Device]) -> str:
    """Why a CPU is used on this machine."""
    if not gpus:
        return "there is no CUDA device"
    if not torch_is_built_for_cuda():
        return f"{gpus[0].name} is not used: this torch is built without CUDA"
    if all(gpu.memory < CUDA_MEMORY_FOR_AUTO for gpu in gpus):
        return (
            f"{gpus[0].name} has {memory(gpus[0].memory)}, and auto takes "
            f"{memory(CUDA_MEMORY_FOR_AUTO)} or more: --device cuda uses it"
        )
    return f"{gpus[0].name} is not used"


def print_plan(session: Session, estimate: Estimate | None) -> None:
    """The runs that are pending, model by model, and what one worker takes for them."""
    finals = len(session.setting.seeds)
    estimate = estimate or session.estimate()
    print_table(
        [
            {
                "model": pending.model.name,
                "plugin": f"{pending.model.plugin.distribution} {pending.model.plugin.version}",
                "tune runs": str(len(pending.tune)),
                "final runs": f"{pending.count - len(pending.tune)} of {finals}",
                "time": duration(estimate.worker_seconds(pending.model.name) or None),
                "speed from": estimate.source(pending.model.name) if pending.count else "",
            }
            for pending in session.pending
        ]
    )


def print_price(session: Session, estimate: Estimate, *, price: float, machines: int) -> None:
    """What the pending runs cost at the price of an hour of one machine, and on what that rests.

    machines: how many the session's workers are on.
    """
    unknown = estimate.unknown()
    known = [one for one in session.pending if one.count and one.model.name not in unknown]
    sources = {one.model.name: estimate.source(one.model.name) for one in known}
    wall = estimate.remaining()
    tell(
        f"{counted(sum(one.count for one in known), 'run')}: "
        f"{duration(sum(map(estimate.worker_seconds, sources)))} of work, about {duration(wall)} "
        f"with {counted(session.workers, 'worker')} on {counted(machines, 'machine')}, "
        f"{price * machines * wall / 3600:.2f} at {price:g} an hour of a machine."
    )
    if any(source.startswith("elsewhere") for source in sources.values()):
        scale = estimate.scale()
        how = f"times {scale:.2f}, as what both have trained compares" if scale else "as they are"
        tell(f"Extrapolated: speeds from elsewhere are those of published records, {how}.")
    if any("thread" in source for source in sources.values()):
        threads = counted(session.setting.threads, "thread")
        tell(
            f"Extrapolated: these runs have {threads}; speeds with another number stay as they are."
        )
    if unknown:
        tell(f"Not in the sum, since nobody knows their speed: {', '.join(unknown)}.")


def print_trials(stored: StoredResults) -> None:
    """The recipes tried on each model, the one its final runs would use marked."""
    lines = []
    images = stored.protocol.data.validation_images
    tunes = [record for record in stored.contents.records if record.run.stage == "tune"]
    for entry in choose_model_results(stored.protocol, tunes):
        best = best_recipe(entry.tunes)
        lines += [
            {
                "model": entry.model,
                "recipe": tried.recipe,
                "validation, %": percent(tried.accuracy) or tried.status,
                "n": f"{len(tried.records)} × {images:,}",
                "choice": "chosen" if tried.recipe == best else "",
            }
            for tried in recipes_tried(entry)
        ]
    print_table(lines, title=f"{stored.protocol.id} recipes")
    tell("Mean accuracy on validation images over the tune seeds; test images play no part.", "dim")


def print_timings(timings: Timings) -> None:
    """Where the wall time of a run went, as talk."""
    spent = timings.seconds()
    total = sum(spent.values())
    say(
        f"wall time {duration(total)}, {100 * overhead(spent):.1f} % outside training and "
        "evaluation:"
    )
    for part, seconds in spent.items():
        say(f"  {part.value:<32} {seconds:8.2f} s {100 * seconds / total:5.1f} %")


def weights_kept(store: Store, made: Sequence[Record]) -> str:
    """Of how many of the good final runs made now the weights are kept, and how large they are."""
    good = [record for record in made if record.ok and record.run.stage == "final"]
    kept = [record for record in good if WEIGHTS in record.files]
    size = sum(store.sizes(record)[WEIGHTS] for record in kept)
    said = f"kept the weights of {len(kept)} of {counted(len(good), 'good final run')}"
    said += f", {memory(size)}" if kept else ""
    return said if len(kept) == len(good) else f"{said}; logs say why others have none"


def print_again(again: Again, estimate: Estimate) -> None:
    """Which run is about to be made again, as talk."""
    record, run = again.record, again.record.run
    say(
        f"{run.protocol}, {run.model}, {run_kind(run)}, recipe {run.recipe}, recorded "
        f"{record.created[:10]} on {record.environment.device.name}; again on "
        f"{again.setting.device.name}, {_how_long(estimate)}"
    )


def _how_long(estimate: Estimate) -> str:
    """The time left, and what has to happen before more is known of it."""
    unknown = estimate.unknown()
    if not unknown:
        elsewhere = ", by the speed of published runs" if estimate.of_others else ""
        return time_of(estimate) + elsewhere
    names, have = unknown[0], "has"
    if others := unknown[1:]:
        names, have = f"{names} and {counted(len(others), 'other model')}", "have"
    until = f"how long is unknown until {names} {have} trained for a second"
    return f"{time_of(estimate)}: {until}" if estimate.remaining() else until


def print_reproduction(found: Reproduction) -> None:
    """A run as it was recorded beside the same made again, and what that says."""
    sides = (found.then, found.now)
    facts: dict[str, list[str]] = {
        "status": [side.result.status for side in sides],
        "message": [side.result.message.partition("\n")[0] for side in sides],
        "accuracy, %": [percent(side.result.accuracy) for side in sides],
        "log-loss": [f"{loss:.6f}" if (loss := side.result.log_loss) else "" for side in sides],
        "logits, SHA-256": [side.result.logits_sha256[:12] for side in sides],
        "train": [duration(side.cost.train_seconds) for side in sides],
        "images/s": [short(side.cost.images_per_second) for side in sides],
    }
    print_table(
        [
            {"measured": name, "then": then, "now": now}
            for name, (then, now) in facts.items()
            if then or now
        ],
        title=f"{found.then.run.protocol}, {found.then.run.model}, {run_kind(found.then.run)}",
    )
    if found.changes:
        tell(f"Not made alike: {'; '.join(found.changes)}.")
    else:
        tell("Made with the same versions, on the same kind of device, with as many threads.")
    if found.agree is not None and not found.same:
        tell(f"Both give the same class on {found.agree:,} of {found.now.result.images:,} images.")
    tell(f"\n{_conclusion(found)}")
    if found.conclusion == "not alike" and found.log:
        tell(f"\nlog:\n{found.log}")


def _conclusion(found: Reproduction) -> str:
    expected, runs = "", ""
    if found.expected:
        expected = f"{percent(found.expected.centre)} ± {percent(found.expected.margin)} %"
        runs = counted(found.expected.runs, "run")
    match found.conclusion:
        case "same bits":
            return "The same bits."
        case "alike" if not found.now.ok:
            return f"Alike: it ended in the same way, {found.now.result.status}."
        case "alike":
            return f"Alike: within what another seed gives, {expected} after {runs} on record."
        case "no conclusion":
            return (
                "Other bits, which nobody promised. How far apart seeds lie is not on record, so "
                "that nothing can be said about the difference."
            )
    if found.then.result.status != found.now.result.status:
        return "Not alike: it ended otherwise."
    if found.promised:
        return "Not alike: other bits, where the same were promised."
    return f"Not alike: outside of what another seed gives, {expected} after {runs} on record."

"""What small models learn here, and layers' gradients: held against what is known of both."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from fmbench import data, files, training
from fmbench.data import Dataset
from fmbench.doctor.band import Band, band, numbers_of
from fmbench.doctor.child import ended
from fmbench.doctor.findings import Checked, Finding
from fmbench.doctor.models import MODELS, rules_of
from fmbench.doctor.software import FETCH, local_data
from fmbench.environment import DISTRIBUTION, version
from fmbench.errors import DataError, UsageError
from fmbench.execution.job import Job, JobFolder
from fmbench.execution.scorer import Scorer
from fmbench.hardware import Device
from fmbench.protocol import Protocol
from fmbench.records import Plugin, Result, Run
from fmbench.wording import counted, percent

ABOUT = "reference"
GRADIENTS = "gradients.jsonl"
SECONDS = 600.0
"""A guard; it takes seconds."""

DOUBTS = {
    "cpu": "see whether --seed 2 says the same: then torch or this machine is wrong, and no run "
    "made here can be trusted",
    "cuda": "the band was made on CPUs and has not been tried on a GPU: compare it with "
    "--device cpu, and report both",
}
"""What to do about a result that is not where it should be, by kind of device."""


def reference(device: Device, *, data_dir: Path | None = None, seed: int = 1) -> Iterator[Finding]:
    """Train the small models and check gradients, in a child process; some seconds.

    Raises `DataError` when the data set is not here or its bytes are wrong, and `UsageError` when
    torch cannot use the device.
    """
    place = local_data(data_dir)
    if place is None:
        raise DataError("the data set is not here", hint=FETCH)
    dataset = data.load(place)
    with files.temporary_folder() as folder:
        scorers = {name: prepare(name, dataset, device, folder, (seed,)) for name in MODELS}
        how = ended("fmbench.doctor.reference_process", folder, SECONDS)
        known = band()
        for name, scorer in scorers.items():
            if refusal := JobFolder(folder / name).read_refusal():
                raise UsageError(refusal.what, hint=refusal.hint)
            for result, departure in results(name, scorer, folder, 1):
                yield held(name, result, known, departure, hint=DOUBTS[device.kind])
        checked, _ = files.json_lines(folder / GRADIENTS, Checked)
        yield from of_gradients(checked)
    if how:
        yield Finding(
            about=ABOUT,
            level="fault",
            says=f"the process that trains did not come to its end: {how}",
            hint="a library below torch crashes on this machine: try another build of torch",
        )


def prepare(
    name: str, dataset: Dataset, device: Device, folder: Path, seeds: Sequence[int]
) -> Scorer:
    """Write the job of a small model, a run a seed, into `folder/NAME`; returns what scores it."""
    rules = rules_of(name)
    scorer = Scorer(dataset, rules)
    inputs = folder / f"{name}-inputs"
    scorer.write_inputs("final", inputs)
    own = Plugin(
        distribution=DISTRIBUTION,
        version=version(DISTRIBUTION),
        entry="doctor",
        source="",
        dependencies={},
    )
    JobFolder(folder / name).write_job(
        Job(
            model=name,
            plugin=own,
            protocol=rules,
            runs=tuple(_run(name, own, rules, device, seed) for seed in seeds),
            device=device,
            threads=rules.devices[device.kind].threads or 1,
            inputs=str(inputs),
            checkpoints=str(folder / f"{name}-checkpoints"),
            checkpoint_seconds=SECONDS,
        )
    )
    return scorer


def _run(name: str, plugin: Plugin, rules: Protocol, device: Device, seed: int) -> Run:
    return Run(
        model=name,
        plugin=plugin,
        protocol=rules.id,
        protocol_digest=rules.digest,
        stage="final",
        recipe=rules.recipes[0].name,
        seed=seed,
        device_kind=device.kind,
        semantics=training.SEMANTICS,
        torch=version("torch"),
    )


def results(name: str, scorer: Scorer, folder: Path, count: int) -> Iterator[tuple[Result, str]]:
    """The result of each run that has ended, and what was not done as the protocol says."""
    of_job = JobFolder(folder / name)
    for number in range(count):
        if outcome := of_job.read_outcome(number):
            scored = scorer.score_run("final", outcome, of_job.answers(number))
            yield scored.result, outcome.departure


def held(
    name: str, result: Result, known: Band, departure: str = "", *, hint: str = DOUBTS["cpu"]
) -> Finding:
    """What the band says of a run of a small model; `hint` is what to do when it lies outside.

    departure: what was not done as the protocol says, and why; no small model needs one.
    """
    if result.status != "ok":
        return Finding(
            about=ABOUT,
            level="fault",
            says=f"{name}: its run ended as {result.status}: {result.message}",
            hint=hint,
        )
    limits = {number: known.limits(name, number) for number in known.models[name].numbers}
    found = numbers_of(result)
    said = {
        number: f"{number} {_shown(number, found[number])} "
        f"({_shown(number, low)} to {_shown(number, high)})"
        for number, (low, high) in limits.items()
    }
    outside = [number for number, (low, high) in limits.items() if not low <= found[number] <= high]
    if outside:
        return Finding(
            about=ABOUT,
            level="fault",
            says=f"{name}: not where honest runs lie: {', '.join(said[one] for one in outside)}",
            hint=hint,
        )
    if departure:
        return Finding(
            about=ABOUT, level="fault", says=f"{name}: trained in {departure}", hint=hint
        )
    return Finding(about=ABOUT, says=f"{name}: {', '.join(said.values())}")


def _shown(number: str, value: float) -> str:
    return f"{percent(value)} %" if number == "accuracy" else f"{value:.3f}"


def of_gradients(checked: Sequence[Checked]) -> Iterator[Finding]:
    """What the checks of layers say: a line a layer that is not right, and one for the others."""
    by_layer: dict[tuple[str, str, str], list[str]] = {}
    for one in checked:
        if one.verdict != "right":
            by_layer.setdefault((one.layer, one.verdict, one.says), []).append(one.precision)
    for (layer, verdict, says), precisions in by_layer.items():
        avoided = verdict == "avoided"
        yield Finding(
            about="gradients",
            level="warning" if avoided else "fault",
            says=f"{layer}, {' and '.join(precisions)}: {says}",
            hint="a known fault of oneDNN: fmbench trains such models in contiguous memory, and "
            "says so on the board"
            if avoided
            else "report this line, with the machine's: fmbench would go around it or refuse the "
            "model, but other layers may be wrong too",
        )
    right = {one.layer for one in checked} - {layer for layer, _, _ in by_layer}
    if right:
        every = " and ".join(dict.fromkeys(one.precision for one in checked))
        yield Finding(
            about="gradients", says=f"right for {counted(len(right), 'kind')} of layers in {every}"
        )

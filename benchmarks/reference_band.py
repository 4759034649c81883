"""Where the numbers of `fmbench doctor --reference` lie over seeds, on two instruction sets.

    python benchmarks/reference_band.py --band 100
    python benchmarks/reference_band.py --write

The first writes fmbench/doctor/reference.json from that many seeds on each instruction set, from
1001 and from 2001: runs of one seed on both would hardly differ. The second holds 50 other seeds on
each, 1 and up, to that file, and checks gradients there.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

import msgspec

import script
from fmbench import data, environment, files, hardware
from fmbench.doctor import band as bands
from fmbench.doctor.band import NUMBERS, Band, KeptModel, Spread, numbers_of
from fmbench.doctor.child import ended
from fmbench.doctor.findings import Checked, Finding, worst
from fmbench.doctor.models import MODELS, rules_of
from fmbench.doctor.reference import GRADIENTS, held, of_gradients, prepare, results
from fmbench.execution.job import JobFolder
from fmbench.wording import counted

FIRST = 1
SECONDS = 7200.0
LIMITED = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
INSTRUCTIONS: dict[str, Mapping[str, str]] = {"all": {}, "AVX2": LIMITED}
"""Variables of a child's environment, by what it may use."""

PLACE = Path(bands.__file__).with_name(bands.FILE)


class Made(NamedTuple):
    """What came of some seeds: the numbers of each model by seed, and what is said of all."""

    device: str
    numbers: dict[str, list[dict[str, float]]]
    gradients: list[Finding]
    runs: dict[str, list[Finding]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the band, or hold other seeds to it; 1 when one of those is outside."""
    parser = script.parser(__doc__)
    parser.add_argument("--band", type=int, metavar="N", help="write the band from N seeds each")
    parser.add_argument("--seeds", type=int, default=50, help="others that are held to it; 50")
    parser.add_argument("--data-dir", type=Path, help="folder of the four files; they are found")
    options = parser.parse_args(arguments)
    if options.band:
        firsts = (1000 * (place + 1) + 1 for place in range(len(INSTRUCTIONS)))
        every = [
            make(range(first, first + options.band), variables, options.data_dir)
            for first, variables in zip(firsts, INSTRUCTIONS.values(), strict=True)
        ]
        kept = band_of(every)
        PLACE.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
        return 0
    here = script.begin(hardware.cpu_device(), 1)
    seeds = range(FIRST, FIRST + options.seeds)
    others = {
        name: make(seeds, one, options.data_dir, bands.band()) for name, one in INSTRUCTIONS.items()
    }
    script.finish(
        "reference",
        *report(others, bands.band()),
        here,
        page=script.README if options.write else None,
    )
    return int(any(passed(one) < options.seeds for one in others.values()))


def make(
    seeds: Sequence[int],
    variables: Mapping[str, str],
    data_dir: Path | None,
    known: Band | None = None,
) -> Made:
    """Train the small models with these seeds in one child, under these variables."""
    dataset = data.load(data.find(data_dir))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        device = hardware.cpu_device()
        scorers = {one: prepare(one, dataset, device, folder, seeds) for one in MODELS}
        if how := ended("fmbench.doctor.reference_process", folder, SECONDS, variables):
            raise SystemExit(f"the child of {dict(variables)} failed: {how}")
        found = {one: [*results(one, scorers[one], folder, len(seeds))] for one in MODELS}
        checked, _ = files.json_lines(folder / GRADIENTS, Checked)
        where = msgspec.json.decode(
            JobFolder(folder / "network").environment.read_bytes(), type=environment.Environment
        )
    return Made(
        device=where.device.name,
        numbers={one: [numbers_of(result) for result, _ in found[one]] for one in MODELS},
        gradients=[*of_gradients(checked)],
        runs={
            one: [held(one, result, known, departure) for result, departure in found[one]]
            for one in found
            if known
        },
    )


def band_of(every: Sequence[Made]) -> Band:
    """Mean and standard deviation of each number over all runs."""
    models = {}
    for name in MODELS:
        runs = [numbers for one in every for numbers in one.numbers[name]]
        spreads = {}
        for number in NUMBERS:
            values = [numbers[number] for numbers in runs]
            spreads[number] = Spread(mean=fmean(values), deviation=stdev(values))
        models[name] = KeptModel(digest=rules_of(name).digest, numbers=spreads)
    return Band(
        runs=sum(len(one.numbers["network"]) for one in every),
        devices=tuple(one.device for one in every),
        torch=environment.version("torch"),
        models=models,
    )


def passed(made: Made) -> int:
    """How many seeds `fmbench doctor --reference` passes."""
    if worst(made.gradients) == "fault":
        return 0
    return sum(worst(findings) != "fault" for findings in zip(*made.runs.values(), strict=True))


def report(others: Mapping[str, Made], known: Band) -> list[str]:
    """A sentence, and a table of where the seeds lie."""
    rows = []
    for name, made in others.items():
        for model in MODELS:
            for number in NUMBERS:
                spread = known.models[model].numbers[number]
                values = [numbers[number] for numbers in made.numbers[model]]
                furthest = max(abs(value - spread.mean) for value in values) / spread.deviation
                low, high = known.limits(model, number)
                rows.append(
                    [
                        name, model, number, f"{low:.4f} to {high:.4f}",
                        f"{min(values):.4f} to {max(values):.4f}", f"{furthest:.1f}",
                    ]
                )  # fmt: skip
    counts = ", ".join(
        f"{passed(made)} of {len(made.numbers['network'])} with {name} instructions ("
        + counted(sum(one.level == "warning" for one in made.gradients), "kind")
        + " of layers computed wrong and gone around)"
        for name, made in others.items()
    )
    headings = (
        "instructions", "model", "number", "band", "these seeds", "furthest, in deviations",
    )  # fmt: skip
    return [
        f"Seeds that pass: {counts}. The band is {known.width:.2f} standard deviations to either "
        f"side of the mean of {known.runs} runs with other seeds.",
        script.table(headings, rows, words=3),
    ]


if __name__ == "__main__":
    script.run(main)

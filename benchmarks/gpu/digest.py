"""Turn what came back from a session on a GPU into committed numbers, tables and conclusions.

    benchmarks/gpu/digest FOLDER [--write]

FOLDER holds measurements.jsonl. Prints tables, and what they say about the lines of the candidate
protocol; with --write also puts them into benchmarks/README.md, and all that was measured into
benchmarks/gpu/results. A stage that did not run, or was cut off, is named as such: a number that
was not measured stands nowhere. What a rehearsal found is shown, and never written.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, median

import script
from fmbench import protocol
from fmbench.errors import UsageError
from gpu import journal
from gpu.settings import LIMITS
from gpu.settling import gain, settle
from gpu.side_by_side import gains

RESULTS = Path(__file__).parent / "results"
NONE = "not measured"
Lines = Sequence[journal.Line]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the digest and, where it is asked for, write it; 1 when a stage did not end well."""
    parser = script.parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--protocol", default="standard-v1", help="the candidate; standard-v1")
    options = parser.parse_args(arguments)
    lines = journal.read(options.folder)
    begun = next((line for line in lines if line["kind"] == "begin"), None)
    if begun is None:
        raise UsageError("there is no session there", where=str(options.folder))
    if options.write and begun["rehearsal"]:
        raise UsageError("a rehearsal is not published", hint="leave --write out")
    if options.write:
        keep(lines, begun["date"])
    page = script.README if options.write else None
    rules = protocol.load(options.protocol)
    script.finish("gpu", *paragraphs(lines, settle(lines, rules)), page=page)
    return int(any(row[1] != "ok" for row in stages(lines)))


def keep(lines: Lines, date: str) -> Path:
    """Write all lines into a file that is named after the moment and the device; its path."""
    name = re.sub(r"[^a-z0-9]+", "-", device_name(lines).lower()).strip("-")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{date}-{name}.json"
    path.write_text(json.dumps(list(lines), indent=1, ensure_ascii=False) + "\n", "utf-8")
    return path


def device_name(lines: Lines) -> str:
    """What the device is called, as far as the stage that describes it ran."""
    found = (line["device"]["name"] for line in of_kind(lines, "device"))
    return str(next(found, "unknown device"))


def paragraphs(lines: Lines, conclusions: Sequence[Sequence[str]]) -> Iterator[str]:
    """The digest: a sentence on the device, then each table under what it shows."""
    yield sentence(lines)
    yield script.table(STAGES, stages(lines), words=2)
    for title, headings, words, rows in (
        ("Eager speed.", SPEED, 2, speed(lines)),
        ("Levers, each alone, beside the eager loop.", LEVERS, 3, levers(lines)),
        ("Side by side on one device.", BESIDE, 3, beside(lines)),
        ("Time to a test accuracy.", TIME, 1, times(lines)),
        ("Final runs of the candidate.", RUNS, 1, runs(lines)),
    ):
        yield f"{title} {'' if rows else NONE.capitalize() + '.'}".strip()
        if rows:
            yield script.table(headings, rows, words=words)
    yield "What this settles of the candidate."
    yield script.table(("line", "draft", "settled", "why"), conclusions, words=4)


def sentence(lines: Lines) -> str:
    """The device, the versions, the ceilings and the commit."""
    described = next(of_kind(lines, "device"), None)
    if described is None:
        return "The device was not described."
    versions = ", ".join(f"{name} {one}" for name, one in described["versions"].items() if one)
    commit = described["environment"]["commit"][:12] or "of an unknown commit"
    rehearsal = any(line["rehearsal"] for line in of_kind(lines, "begin"))
    said = "A rehearsal, whose numbers mean nothing: " if rehearsal else ""
    said += f"{device_name(lines)}; {versions}; fmbench {commit}."
    if described["absent"]:
        said += f" Absent: {', '.join(described['absent'])}."
    if described["changed"]:
        said += f" Modules that were not those of the checkout: {', '.join(described['changed'])}."
    for ceiling in of_kind(lines, "ceiling"):
        if "flops_per_second" in ceiling:
            said += f" A {ceiling['what']} of side {ceiling['side']:,} ran at"
            said += f" {ceiling['flops_per_second'] / 1e12:,.2f} TFLOP/s."
        else:
            said += f" A {ceiling['what']} moved {ceiling['bytes_per_second'] / 1e12:,.2f} TB/s."
    return said


STAGES = ("stage", "ended", "seconds", "limit, s", "energy, kJ")


def stages(lines: Lines) -> list[list[str]]:
    """How each stage ended; those that did not run are named too."""
    ended = {line["stage"]: line for line in of_kind(lines, "stage")}
    joules = {line["stage"]: line["joules"] for line in of_kind(lines, "energy")}
    rows = []
    for name in LIMITS:
        line = ended.get(name)
        if line is None:
            rows.append([name, "did not run", "", "", ""])
        else:
            limit = "" if line["limit"] is None else f"{line['limit']:.0f}"
            energy = f"{joules[name] / 1000:.2f}" if name in joules else ""
            rows.append([name, line["ended"], f"{line['seconds']:.1f}", limit, energy])
    return rows


SPEED = ("model", "batch", "images/s", "time ÷ bare steps'", "best peer's ÷ ours", "of the ceiling")


def speed(lines: Lines) -> list[list[str]]:
    """For each model and batch the loop's rate, and its time over the bare steps'.

    A peer is timed by itself, so its ratio is one of rates. The share of the ceiling counts three
    forward passes a step, and the ceiling is the matrix product that was measured there.
    """
    found: dict[tuple[str, int], dict[str, journal.Line]] = {}
    for line in of_kind(lines, "speed"):
        found.setdefault((line["model"], line["batch"]), {})[line["contender"]] = line
    flops = {line["model"]: line.get("forward_flops") for line in of_kind(lines, "model")}
    peak = next((one["flops_per_second"] for one in of_kind(lines, "ceiling")
                 if "flops_per_second" in one), None)  # fmt: skip
    rows = []
    for (model, batch), contenders in found.items():
        rates = {name: rate(line) for name, line in contenders.items() if "seconds" in line}
        ours, floor = (contenders.get(name) for name in ("fmbench", "floor"))
        errors = [line["error"] for line in contenders.values() if "error" in line]
        if "fmbench" not in rates or ours is None or floor is None:
            said = f"failed: {errors[0].splitlines()[-1]}" if errors else NONE
            rows.append([model, f"{batch:,}", said, "", "", ""])
            continue
        pairs = zip(ours["seconds"], floor["seconds"], strict=True)
        peers = {name: one for name, one in rates.items() if name not in ("fmbench", "floor")}
        best = max(peers, key=lambda name: peers[name], default=None)
        forward = flops.get(model)
        rows.append([
            model, f"{batch:,}", f"{rates['fmbench']:,.0f}",
            script.spread([one / other for one, other in pairs]),
            f"{rates['fmbench'] / peers[best]:.2f} ({best})" if best else NONE,
            f"{3 * forward * rates['fmbench'] / peak:.1%}" if forward and peak else NONE,
        ])  # fmt: skip
    return rows


def rate(line: journal.Line) -> float:
    """Images a second, the median over rounds."""
    middle: float = median(line["images"] / seconds for seconds in line["seconds"])
    return middle


LEVERS = ("model", "variant", "results", "times as fast", "difference")


def levers(lines: Lines) -> list[list[str]]:
    """For each lever and model how many times as fast it is, and whether results stay equal.

    The first epoch, in which graphs are captured and code is compiled, is left out of the ratio.
    """
    rows = []
    for line in of_kind(lines, "lever"):
        cells = [line["model"], line["variant"]]
        if "rates" not in line:
            why = line.get("absent") or f"failed: {line['error'].splitlines()[-1]}"
            rows.append([*cells, why, "", ""])
            continue
        apart = line["difference"]
        rows.append([
            *cells, "equal" if line["equal"] else "differ", f"{gain(line):.2f}",
            "" if apart is None else f"{apart:.1e}",
        ])  # fmt: skip
    return rows


BESIDE = ("model", "MPS", "said", "workers", "wall time, s", "times as fast as one")


def beside(lines: Lines) -> list[list[str]]:
    """Wall time of a command with so many workers, and their joint rate over that of one alone."""
    joint = gains(lines)
    rows = []
    for line in of_kind(lines, "beside"):
        found = joint.get((line["workers"], line["mps"]))
        failed = line.get("error") or (f"exit status {line['status']}" if line["status"] else "ok")
        rows.append([
            line["model"], "yes" if line["mps"] else "no", failed, f"{line['workers']}",
            f"{line['seconds']:.1f}" if "seconds" in line else "",
            NONE if found is None else f"{found:.2f}",
        ])  # fmt: skip
    return rows


TIME = (
    "model",
    "batch",
    "epochs planned",
    "epochs trained",
    "training, s",
    "accuracy, %",
    "reached",
)


def times(lines: Lines) -> list[list[str]]:
    """What each schedule took to reach the accuracy; test labels were looked at to stop."""
    rows = []
    for line in of_kind(lines, "time"):
        cells = [line["model"], f"{line['batch']:,}", f"{line['epochs']}"]
        if "seconds" not in line:
            rows.append([*cells, "failed", "", "", ""])
            continue
        reached = "yes" if line["reached"] else "no"
        accuracy = f"{100 * line['accuracy'][-1]:.2f}" if line["accuracy"] else ""
        total = f"{sum(line['seconds']):.2f}"
        rows.append([*cells, f"{len(line['seconds'])}", total, accuracy, reached])
    return rows


RUNS = ("model", "good recipes' runs", "good finals", "accuracy, %", "failed")


def runs(lines: Lines) -> list[list[str]]:
    """How many runs of each model there are, and the mean accuracy of its final ones."""
    found = [run for line in of_kind(lines, "runs") for run in line["runs"]]
    rows = []
    for model in sorted({run["model"] for run in found}):
        own = [run for run in found if run["model"] == model]
        good = [run for run in own if run["status"] == "ok"]
        finals = [run["accuracy"] for run in good if run["stage"] == "final"]
        rows.append([
            model, f"{len(good) - len(finals)}", f"{len(finals)}",
            f"{100 * mean(finals):.2f}" if finals else "", f"{len(own) - len(good)}",
        ])  # fmt: skip
    return rows


def of_kind(lines: Lines, kind: str) -> Iterator[journal.Line]:
    """The lines of one kind, in order."""
    return (line for line in lines if line["kind"] == kind)


if __name__ == "__main__":
    script.run(main)

"""The command `fmbench-batchnorm`: make the study's runs, and write its page from their records."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from fmbench_vgg_variants.variants import FULL_WIDTH

from fmbench import hardware, limits
from fmbench.errors import ExitCode, FmbenchError, StaleError
from fmbench_batchnorm.evidence import read
from fmbench_batchnorm.plan import CHANGES, GAPS, RATES

CPU_WIDTH = 8
PAGE, SUMMARY = "index.html", "summary.md"

app = typer.Typer(add_completion=False, no_args_is_help=True)

ResultsOption = Annotated[Path, typer.Option(help="Folder of the study's records and page.")]
WidthOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help=f"Channels of the first convolution; {FULL_WIDTH} on a GPU, {CPU_WIDTH} on a CPU.",
    ),
]


@app.command()
def run(
    width: WidthOption = None,
    results: ResultsOption = Path("results/batchnorm"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:INDEX.")] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="CPU threads of a run; 1 on a CPU by default."),
    ] = None,
    workers: Annotated[
        str,
        typer.Option(
            metavar="N|auto", help="Runs side by side; auto makes as many as have their own cores."
        ),
    ] = "auto",
    engine: Annotated[str, typer.Option(help="local or ray, as for fmbench run.")] = "local",
    address: Annotated[
        str, typer.Option(metavar="auto|HOST:PORT", help="Ray cluster to join.")
    ] = "",
    retry_failed: Annotated[
        bool, typer.Option(help="Make failed runs again; one that diverged stays as it is.")
    ] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the four data files.")] = None,
) -> None:
    """Make the runs that are missing, and write the page.

    Interrupted, it goes on where it was.
    """
    from fmbench_batchnorm import invariance

    kind = hardware.find_device(device).kind
    width = width or (FULL_WIDTH if kind == "cuda" else CPU_WIDTH)
    if kind == "cpu":  # the protocols name no threads, and small networks do not share cores well
        threads = threads or 1
        if (workers, engine) == ("auto", "local"):
            workers = str(max(1, limits.cores() // threads))
    for plan in (RATES, CHANGES, GAPS):
        command = [
            sys.executable, "-P", "-m", "fmbench", "run",
            *(variant.name for variant in plan.variants(width)), "--tune-only",
            "--protocol", str(plan.file), "--results", str(results),
            "--device", device, "--workers", workers, "--engine", engine, "--address", address,
            *(["--data-dir", str(data_dir)] if data_dir else []),
            *(["--threads", str(threads)] if threads else []),
            *(["--retry-failed"] if retry_failed else []),
        ]  # fmt: skip
        status = _finish(command)
        if status not in (ExitCode.OK, ExitCode.RUN_FAILED):  # a run that diverged is a result
            raise typer.Exit(status)
    exact = invariance.read(results, width)
    if exact is None or not invariance.of_this_installation(exact):
        invariance.write(results, invariance.measure(width))
    _write(results, width)


@app.command()
def page(
    results: ResultsOption = Path("results/batchnorm"),
    width: WidthOption = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 4 when the page is stale.")
    ] = False,
) -> None:
    """Write the page and the summary from the records alone."""
    if check:
        _check(results, width)
    else:
        _write(results, width)


def _finish(command: list[str]) -> int:
    """Run a command to its end: what asks this process to stop asks it, and it is waited for."""
    with subprocess.Popen(command) as child:
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        try:
            return child.wait()
        except KeyboardInterrupt:  # Ctrl-C has reached the child as well
            return child.wait()


def _write(results: Path, width: int | None) -> None:
    from fmbench_batchnorm.page import summary, write_page

    found = read(results, width)
    (results / PAGE).write_text(write_page(found), "utf-8")
    (results / SUMMARY).write_text(summary(found), "utf-8")
    typer.echo(f"the page: {results / PAGE}", err=True)


def _check(results: Path, width: int | None) -> None:
    from fmbench_batchnorm.page import summary, without_figures, write_page

    found = read(results, width)
    for name, wanted in {PAGE: write_page(found, drawn=False), SUMMARY: summary(found)}.items():
        path = results / name
        there = path.read_text("utf-8") if path.is_file() else ""
        if without_figures(there) != without_figures(wanted):
            raise StaleError(
                "does not follow from its records",
                where=str(path),
                hint=f"write it with: fmbench-batchnorm page --results {results}",
            )


def main() -> None:
    """Run the command; an error of fmbench's is a sentence with a hint and its exit code."""
    try:
        app()
    except FmbenchError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(error.exit_code) from None

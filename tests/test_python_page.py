"""docs/python.md and the notebook beside it are run, and say what comes out."""

import doctest
import os
import re
from pathlib import Path

import matplotlib as mpl
import nbclient
import nbformat
import pytest
from matplotlib import pyplot

import generated
from fmbench import data

PAGE = generated.ROOT / "docs" / "python.md"
NOTEBOOK = generated.ROOT / "docs" / "results.ipynb"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.long
def test_the_page_says_what_its_code_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its blocks are typed in order into one interpreter, in a folder where `results` lies."""
    mpl.use("Agg")
    monkeypatch.setenv("FMBENCH_DATA", str(data.find(progress=False)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").symlink_to(generated.ROOT / "results")
    code = "\n".join(re.findall(r"```pycon\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
    test = doctest.DocTestParser().get_doctest(code, {}, PAGE.name, str(PAGE), 0)
    assert len(test.examples) > 15
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
    pyplot.close("all")
    assert not result.failed, "".join(said)
    assert (tmp_path / "board.png").stat().st_size > 1000


@pytest.mark.long
def test_the_notebook_runs_and_is_kept_without_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every cell runs in a kernel; the board is a table there, and the bar moves to its end."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    monkeypatch.setenv("FMBENCH_DATA", str(data.find(progress=False)))
    for name in ("XDG_CACHE_HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "TMPDIR"):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    nbclient.NotebookClient(
        notebook, timeout=2000, resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    ).execute(env=dict(os.environ))
    shown = [output for cell in code for output in cell.outputs]
    assert not [one for one in shown if one.output_type == "error"]
    html = [one.data.get("text/html", "") for one in shown if "data" in one]
    assert sum("quick-v2 leaderboard" in one for one in html) == 1
    assert sum("lite-v2 leaderboard" in one for one in html) == 1
    assert sum("image/png" in one.data for one in shown if "data" in one) == 2
    talk = "".join(one.text for one in shown if one.output_type == "stream")
    assert "0 of 1 runs" in talk and "1 of 1 runs" in talk
    assert "IProgress" not in talk and "Warning" not in talk

"""End to end on the real Fashion-MNIST with the installed plugins."""

import json
from pathlib import Path

import pytest

import tutorial
from conftest import Fmbench
from fmbench import data, discovery
from fmbench.store import Store, published

PROTOCOLS = Path(__file__).parent / "protocols"
LISTED = {
    "softmax",
    "vgg11",
    "vgg11-bn",
    "timm/resnet18",
    "timm/mobilenetv3_small_100",
    "timm/convnext_atto",
    "timm/regnety_002",
    "timm/edgenext_xx_small",
    "timm/vit_tiny_patch16_224",
}
SMALL = {"small-cnn", "two-conv", "random-features"}
"""What fmbench-small-nets adds to them where tests run."""
DEFAULT = ("fmbench-softmax", "fmbench-vgg", "fmbench-timm")


@pytest.fixture(scope="module")
def folder() -> Path:
    """Where the real data set is; it is fetched into the user's cache when it is nowhere yet."""
    return data.find(progress=False)


def test_the_real_data_set_is_what_its_authors_published(folder: Path) -> None:
    """The bytes verify, the shapes are right, and every class is equally large."""
    summary = data.summary(data.load(folder))
    assert summary.train_images == (60_000, 28, 28)
    assert summary.test_images == (10_000, 28, 28)
    assert {(label.train, label.test) for label in summary.labels} == {(6_000, 1_000)}


def test_data_prints_where_it_is_and_draws_it(
    fmbench: Fmbench, folder: Path, tmp_path: Path
) -> None:
    """`fmbench data` prints folder, shapes and label counts, and draws a picture of the classes."""
    ran = fmbench("data", "--data-dir", folder, "--picture", "classes.png")
    assert ran.returncode == 0, ran.stderr
    assert str(folder) in ran.stdout
    assert "60,000×28×28, uint8" in ran.stdout
    for label in data.LABELS:
        assert label in ran.stdout
    assert (tmp_path / "classes.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.sweep
def test_a_data_report_finds_what_the_list_says(
    fmbench: Fmbench, folder: Path, tmp_path: Path
) -> None:
    """`fmbench data --report` finds the near-twins anew, and they are those of suspects.json."""
    ran = fmbench("data", "--data-dir", folder, "--report", "report")
    assert ran.returncode == 0, ran.stderr
    text = (tmp_path / "report" / "index.html").read_text("utf-8")
    assert "the near-twins are those of its own list" in text
    written = {path.name for path in (tmp_path / "report").iterdir()}
    assert written == {"index.html", "suspects.json", "croissant.json"}


def test_a_report_is_not_begun_where_it_cannot_be_written(
    fmbench: Fmbench, folder: Path, tmp_path: Path
) -> None:
    """A file in its place is named at once, before anything is compared."""
    (tmp_path / "taken").write_text("")
    ran = fmbench("data", "--data-dir", folder, "--report", "taken")
    assert ran.returncode == 2
    assert "taken: cannot be written" in ran.stderr and "comparing" not in ran.stderr


@pytest.mark.long
def test_every_installed_model_runs_end_to_end(
    fmbench: Fmbench, folder: Path, tmp_path: Path
) -> None:
    """`fmbench run --all` trains each listed model on real images, tests it on all 10,000."""
    ran = fmbench("run", "--all", "--protocol", PROTOCOLS / "touch-v1.toml", "--data-dir", folder)
    assert ran.returncode == 0, ran.stderr
    found = Store(tmp_path / "results", "touch-v1").read().records
    assert {record.run.model for record in found} == LISTED | SMALL
    assert {record.result.images for record in found} == {10_000}
    assert all(record.cost.forward_flops > record.cost.parameters / 60 for record in found)
    assert all(model in ran.stdout for model in LISTED | SMALL)
    parameters = {record.run.model: record.cost.parameters for record in found}
    assert parameters["softmax"] == 7_850


def test_the_default_plugins_are_found() -> None:
    """The three default plugins offer the listed models and have no problem."""
    catalogue = discovery.catalogue()
    own = {m.name for m in catalogue.models if m.plugin.distribution in DEFAULT}
    assert own == LISTED
    assert catalogue.problems == ()


def test_softmax_reaches_what_the_literature_says(
    fmbench: Fmbench, folder: Path, tmp_path: Path
) -> None:
    """Softmax regression on all images, with a protocol of one's own, tests at 84.3 % or more."""
    protocol = PROTOCOLS / "softmax-full-v1.toml"
    ran = fmbench("run", "softmax", "--protocol", protocol, "--seeds", 1, "--data-dir", folder)
    assert ran.returncode == 0, ran.stderr
    (record,) = Store(tmp_path / "results", "softmax-full-v1").read().records
    assert record.result.accuracy is not None
    assert 0.843 <= record.result.accuracy < 0.87


def test_a_published_run_is_made_again(fmbench: Fmbench, folder: Path) -> None:
    """Softmax's published run comes out alike anywhere; bits depend on machines."""
    store = Store(published(), "quick-v1")
    (record,) = (one for one in store.read().records if one.run.model == "softmax")
    where = ("--results", published(), "--protocol", "quick-v1", "--data-dir", folder)
    told = json.loads(fmbench("reproduce", record.id, *where, "--json").stdout)
    then, now = told["then"]["result"], told["now"]["result"]
    assert told["then"]["id"] == record.id != told["now"]["id"]
    assert (now["status"], now["images"]) == ("ok", 10_000)
    assert abs(now["correct"] - then["correct"]) < 100
    assert told["agree"] > 9_500
    assert told["conclusion"] in ("alike", "same bits")
    assert not told["promised"]  # its record knows no facts of its device


def test_following_the_tutorial_to_the_letter_gives_a_row(tmp_path: Path) -> None:
    """plugins/README.md's commands print what it says, numbers and devices aside."""
    text = tutorial.PAGE.read_text("utf-8")
    for said, found in tutorial.follow(text, tmp_path):
        assert tutorial.masked(found) == tutorial.masked(said)
    code = (tmp_path / "my-cnn" / "my_cnn.py").read_text("utf-8")
    assert f"```python\n{code}```" in text

"""Kept weights, from a run to predictions, an export and a verification."""

import functools
import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries
from PIL import Image
from torch import nn

import samples
from conftest import TinyData, child_environment, install_into, tiny_images
from fmbench import data, protocol, weights
from fmbench.contract import InputSpec
from fmbench.errors import StoreError
from fmbench.execution import answering, ray_node
from fmbench.execution.job import RunOutcome
from fmbench.hardware import cpu_device
from fmbench.leaderboard.card import HUB_DATASET, evaluation_results
from fmbench.loading import load_network
from fmbench.records import Record
from fmbench.store import WEIGHTS, Store
from fmbench.training import forms, states
from forgeries import edit

pytestmark = pytest.mark.sweep

OWN = """
import fmbench

@fmbench.hookimpl
def fmbench_models():
    return [fmbench.Model(one.__name__, one) for one in (tied, counting, caching)]

def tied(spec):
    import torch
    from torch import nn
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(spec.size ** 2, 10)
            self.second = nn.Linear(spec.size ** 2, 10)
            self.second.weight = self.first.weight
            self.register_buffer("seen", torch.zeros(()))
        def forward(self, images):
            self.seen += self.training
            flat = images.flatten(1)
            return self.first(flat) + self.second(flat)
    return Tied()

def counting(spec):
    from torch import nn
    class Counting(nn.Sequential):
        calls = 0
        def forward(self, images):
            self.calls += self.training
            return super().forward(images) * (1 + 1 / (1 + self.calls))
    return Counting(nn.Flatten(), nn.Linear(spec.size ** 2, 10))

def caching(spec):
    from torch import nn
    class Caching(nn.Sequential):
        def train(self, mode=True):
            self.table = {} if mode else {"size": spec.size}
            return super().train(mode)
    return Caching(nn.Flatten(), nn.Linear(spec.size ** 2, 10))
"""
MODELS = ("softmax", "timm/test_convnext", "timm/test_vit_relpos", "tied", "caching", "counting")


@dataclass(frozen=True)
class Kept:
    """A results folder whose runs have left their weights, and how commands are run beside it."""

    folder: Path
    tiny: TinyData
    protocol: Path
    environment: dict[str, str]

    @property
    def store(self) -> Store:
        """What the runs have left."""
        return Store(self.folder / "results", "tiny-v1")

    def record(self, model: str) -> Record:
        """The run of a model."""
        return next(one for one in self.store.read().records if one.run.model == model)

    def fmbench(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        """Run the command as a user would."""
        return subprocess.run(
            [Path(sys.executable).with_name("fmbench"), *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environment,
            timeout=2500,
        )


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, tiny: TinyData) -> Kept:
    """Six models trained once, their weights kept."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "site").mkdir()
    install_into(folder / "site", "own", OWN)
    environment = child_environment(folder / "site", folder / "cache")
    rules = tiny.variant(
        folder / "one.toml", ("seeds = [1, 2]", "seeds = [1]"), ("epochs = 2", "epochs = 4")
    )
    found = Kept(folder, tiny, rules, environment)
    asked = ("run", *MODELS, "--protocol", rules, "--data-dir", tiny.folder)
    ran = found.fmbench(*asked, "--keep-weights", "float32", "--threads", 1)
    assert ran.returncode == 0, ran.stderr
    assert "kept the weights of 5 of 6 good final runs" in ran.stderr
    return found


@pytest.fixture(scope="module")
def answers_of(kept: Kept) -> Iterator[Callable[[str], np.ndarray]]:
    """The logits that the weights of a model give for the test images, on one thread."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PYTHONPATH", "XDG_CACHE_HOME"):
            patch.setenv(name, kept.environment[name])
        patch.syspath_prepend(kept.environment["PYTHONPATH"])
        patch.setattr(answering, "cores", lambda: 1)

        @functools.cache
        def answers(model: str) -> np.ndarray:
            about, path = kept.store.weights(kept.record(model))
            listed = answering.installed(about)
            images = tiny_images(100, 2)[0]
            return answering.answer(about, path, listed, images, cpu_device(), timeout=600)

        yield answers


def test_weights_lie_beside_their_record_with_their_digest(kept: Kept) -> None:
    """A safetensors file that says which run it is of, and `show` says how large it is."""
    record = kept.record("softmax")
    path = kept.store.path(record, WEIGHTS)
    assert record.files[WEIGHTS] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert weights.read(path).run == record.run
    tensors = safetensors.numpy.load_file(path)
    assert {name: one.shape for name, one in tensors.items()} == {
        "1.weight": (10, 784),
        "1.bias": (10,),
    }
    said = kept.fmbench("show", record.id).stdout
    assert "weights 33" in said
    assert "predictions 228 B" in said


@pytest.mark.parametrize("model", MODELS[:5])
def test_kept_weights_give_the_logits_of_their_run(
    model: str, kept: Kept, answers_of: Callable[[str], np.ndarray]
) -> None:
    """To the bit, with buffers, tied weights and tables of evaluation, on as many threads."""
    digest = hashlib.sha256(answers_of(model).tobytes()).hexdigest()
    assert digest == kept.record(model).result.logits_sha256


def test_weights_that_would_lack_something_are_not_kept(kept: Kept) -> None:
    """A model with state outside its state dict has a good run, no weights, and a log that says so.

    What needs them says how to get some.
    """
    record = kept.record("counting")
    assert record.ok
    assert WEIGHTS not in record.files
    assert "not kept: they would lack calls of the model" in kept.store.log(record)
    ran = kept.fmbench("predict", record.id, "a.png")
    assert ran.returncode == 2
    assert "its weights are not kept" in ran.stderr
    assert "--keep-weights float32" in ran.stderr


def test_nothing_is_kept_unasked_and_bfloat16_is_half(kept: Kept) -> None:
    """Weights are kept when they are asked for, whole or rounded."""
    asked = ("run", "softmax", "--protocol", kept.protocol, "--data-dir", kept.tiny.folder)
    for name, options in (("plain", ()), ("half", ("--keep-weights", "bf16"))):
        ran = kept.fmbench(*asked, *options, "--results", name, "--threads", 1)
        assert ran.returncode == 0, ran.stderr
    (plain,) = Store(kept.folder / "plain", "tiny-v1").read().records
    assert set(plain.files) == {".npy"}
    store = Store(kept.folder / "half", "tiny-v1")
    (half,) = store.read().records
    about, path = store.weights(half)
    assert about.rounded
    whole = kept.store.path(kept.record("softmax"), WEIGHTS)
    assert abs(whole.stat().st_size - path.stat().st_size - 2 * 7840) <= 16  # headers differ
    assert half.result == plain.result == kept.record("softmax").result


SPOILT = {
    "pickled": lambda path: path.write_bytes(pickle.dumps([1])),
    "another's": lambda path: path.write_bytes(
        safetensors.numpy.save({"a": np.zeros(1)}, {"format": "pt"})
    ),
    "a pipe": os.mkfifo,
    "a link": lambda path: path.symlink_to("/etc/passwd"),
    "missing": Path,
}


@pytest.mark.parametrize("name", SPOILT)
def test_weights_that_a_plugin_has_spoilt_cost_nothing_else(name: str, tmp_path: Path) -> None:
    """The record is stored, without weights; no link is followed and no pipe waited for."""
    store = Store(tmp_path, "tiny-v1")
    store.make()
    source: Callable[[Path], object] = SPOILT[name]
    source(tmp_path / "weights")
    record = store.add(samples.record(), np.zeros(100, np.uint8), weights_from=tmp_path / "weights")
    assert set(record.files) == {".npy"}
    assert not store.path(record, WEIGHTS).exists()
    with pytest.raises(StoreError, match="not kept"):
        store.weights(record)


def test_weights_come_back_from_a_node_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece is small, and the outcome comes after the last; unasked nothing is sent."""
    monkeypatch.setattr(ray_node.files, "pieces", lambda file: iter(lambda: file.read(1000), b""))
    there = tmp_path / "there"
    (there / "0").mkdir(parents=True)
    content = np.random.RandomState(0).bytes(10_500)
    (there / "0" / "weights.safetensors").write_bytes(content)
    (there / "0" / "outcome.json").write_text("{}")

    class Worker:
        def ended(self) -> RunOutcome:
            return RunOutcome(status="ok")

        def log(self) -> bytes:
            return b""

    for asked in (True, False):
        here = tmp_path / f"here-{asked}"
        for encoded in ray_node._news(there, Worker(), weights=asked):  # type: ignore[arg-type]
            news = ray_node.msgspec.msgpack.decode(encoded, type=ray_node.News)
            assert all(len(part) <= 1000 for _, part in news.parts.values())
            if "0/outcome.json" in news.parts and asked:
                assert (here / "0" / "weights.safetensors").read_bytes() == content
            news.apply(here)
        assert (here / "0" / "weights.safetensors").exists() == asked
        assert (here / "0" / "outcome.json").exists()


# Predictions


def test_pictures_of_the_data_set_get_their_labels(kept: Kept) -> None:
    """Ten that the model has right, a large light one in colour, a bad one; as text and JSON."""
    record = kept.record("softmax")
    images, labels = tiny_images(100, 2)
    right = np.flatnonzero(kept.store.predictions(record) == labels)[:10]
    folder = kept.folder / "pictures"
    folder.mkdir()
    for number in right:
        Image.fromarray(images[number]).save(folder / f"{number:03}.png")
    ran = kept.fmbench("predict", record.id, folder, "--json")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert [one["predictions"][0]["class"] for one in found] == labels[right].tolist()
    assert all(len(one["predictions"]) == 3 and one["notes"] == [] for one in found)

    shades = 255 - np.kron(images[right[0]], np.ones((12, 12), np.uint8))
    photograph = np.stack([shades, shades, shades // 2 + 120], 2).astype(np.uint8)
    Image.fromarray(photograph).save(kept.folder / "photograph.jpg")
    (kept.folder / "bad.png").write_text("words")
    ran = kept.fmbench("predict", record.id, "photograph.jpg", "bad.png", folder)
    assert ran.returncode == 1
    assert "bad.png: it is no picture" in ran.stderr
    assert "photograph.jpg: its background is light: inverted" in ran.stderr
    assert len(re.findall(r"\.(png|jpg)", ran.stdout)) == 11


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("none.safetensors", "No such file"),
        ("bad.safetensors", "not a safetensors"),
        ("zz", "0 records"),
    ],
)
def test_what_has_no_weights_is_refused(named: str, said: str, kept: Kept) -> None:
    """A usage error that says why, before anything is started."""
    (kept.folder / "bad.safetensors").write_bytes(pickle.dumps([1]))
    ran = kept.fmbench("predict", named, "a.png")
    assert ran.returncode == 2
    assert said in ran.stderr
    assert "hint:" in ran.stderr


def test_weights_alone_are_enough(kept: Kept) -> None:
    """A file that was copied elsewhere says by itself which model it is of."""
    path = kept.store.path(kept.record("tied"), WEIGHTS)
    (kept.folder / "mine.safetensors").write_bytes(path.read_bytes())
    Image.fromarray(tiny_images(1, 2)[0][0]).save(kept.folder / "one.png")
    ran = kept.fmbench("predict", "mine.safetensors", "one.png", "--results", "nowhere", "--json")
    assert ran.returncode == 0, ran.stderr
    assert len(json.loads(ran.stdout)) == 1


# Exports

CLEAN = """
import sys
sys.path[:0] = [""]
{block}
import numpy, torch
torch.set_num_threads(1)
batches = torch.from_numpy(numpy.load("{images}")).split(64)  # as the protocol says
numpy.save("{out}", torch.cat([logits(batch) for batch in batches]).numpy())
"""
BLOCKED = 'for name in ("fmbench", "fmbench_timm", "fmbench_softmax"): sys.modules[name] = None'


@pytest.mark.parametrize(
    ("model", "library"),
    [
        ("softmax", ""),
        ("timm/test_convnext", "timm"),
        ("timm/test_vit_relpos", "timm"),
        ("tied", None),
    ],
)
def test_an_export_gives_the_same_logits_where_it_is_loaded(
    model: str, library: str | None, kept: Kept, answers_of: Callable[[str], np.ndarray]
) -> None:
    """The card's own lines give them to 1e-6, without fmbench where torch or timm is enough.

    The card is one that the hub's classes read, with the accuracy that is on record.
    """
    record = kept.record(model)
    folder = kept.folder / f"export-{model.replace('/', '-')}"
    ran = kept.fmbench("export", record.id, folder)
    assert ran.returncode == 0, ran.stderr
    blocks = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    images, out = kept.folder / "images.npy", folder / "out.npy"
    np.save(images, tiny_images(100, 2)[0])
    own = library is None
    program = CLEAN.format(
        block=("" if own else BLOCKED) + "\n" + "\n".join(blocks), images=images, out=out
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=kept.environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(out), answers_of(model), rtol=1e-6, atol=1e-6)

    card = ModelCard((folder / "README.md").read_text())
    assert card.data.model_name == model
    assert card.data.library_name == (library or None)
    accuracy = card.data.eval_results[0]
    assert (accuracy.metric_type, accuracy.metric_value) == ("accuracy", record.result.accuracy)
    configuration = json.loads((folder / "config.json").read_text())
    assert configuration["fmbench"]["record"] == record.id
    assert ("architecture" in configuration) == (library == "timm")
    assert (folder / "leaderboard.svg").read_text().startswith("<svg")
    again = kept.fmbench("export", record.id, folder)
    assert again.returncode == 2
    assert "holds files already" in again.stderr


def test_evaluation_results_are_as_the_hub_reads_them() -> None:
    """The hub's own parser finds the data set, the accuracy in per cent and its source."""
    (entry,) = parse_eval_result_entries(yaml.safe_load(evaluation_results(samples.record())))
    assert (entry.dataset_id, entry.value) == (HUB_DATASET, 80.0)
    assert entry.source_name == "fmbench"


@pytest.mark.parametrize("name", ["fmbench-vgg:vgg11", "fmbench-timm:timm/qwen3_vit_88m_enc"])
def test_large_and_pooled_networks_are_loaded_too(name: str, tmp_path: Path) -> None:
    """VGG-11 is built by torch alone; an encoder that was given a head by its plugin."""
    distribution, _, model = name.partition(":")
    rules = protocol.load("quick-v1")
    plugin = samples.PLUGIN.__class__(
        distribution=distribution, version="0.1.0", entry=distribution.partition("-")[2],
        source="0" * 64, dependencies={},
    )  # fmt: skip
    run = samples.run(model=model, plugin=plugin, protocol_digest=rules.digest)
    network = _built(distribution, model)
    path = tmp_path / "model.safetensors"
    assert states.Keeper(network, "bf16").keep(path, run, rules) == ""
    images = torch.rand(2, 1, 32, 32)
    states.load(network, path)  # rounded, as the others
    with torch.no_grad():
        expected = network.eval()(images)
        assert torch.equal(load_network(path)(images), expected)
    (tmp_path / "work").mkdir()
    source = forms.torch_source(network, path, images, tmp_path / "work")
    assert bool(source) == (model == "vgg11")


def _built(distribution: str, model: str) -> nn.Module:
    if distribution == "fmbench-vgg":
        from fmbench_vgg.network import VGG11

        return VGG11(1, 10, False)
    from fmbench_timm import resolve

    return resolve(model).build(InputSpec(32))


# Verification


def test_weights_that_give_other_answers_are_found(kept: Kept) -> None:
    """Edited with their digest they pass until they are asked: they contradict their record."""
    folder = kept.folder / "copied"
    shutil.copytree(kept.store.folder, folder / "tiny-v1", ignore=lambda *_: {"work"})
    for board in (folder / "tiny-v1").glob("[il]*.*"):
        board.unlink()
    verify = ("verify", folder, "--no-keep", "--data-dir", kept.tiny.folder)
    ran = kept.fmbench(*verify, "--from-weights")
    assert ran.returncode == 0, ran.stdout
    assert "5 runs of 5 with kept weights scored from them" in ran.stderr
    store, record = Store(folder, "tiny-v1"), kept.record("softmax")
    path = store.path(record, WEIGHTS)
    path.write_bytes(path.read_bytes()[:-40] + np.array([30, *[0] * 9], "<f4").tobytes())
    now = hashlib.sha256(path.read_bytes()).hexdigest()
    edit(store, record, lambda parts: parts["files"].update({WEIGHTS: now}), digest=True)
    ran = kept.fmbench(*verify)
    assert ran.returncode == 0, ran.stdout
    assert "--from-weights" in ran.stdout
    ran = kept.fmbench(*verify, "--from-weights")
    assert ran.returncode == 1
    assert "its weights give" in ran.stdout


def test_the_real_data_set_from_a_run_to_predictions(tmp_path: Path) -> None:
    """Softmax under quick-v1: ten test images that it has right get their labels."""
    folder = data.find(progress=False)
    environment = child_environment(tmp_path, tmp_path / "cache")
    real = Kept(tmp_path, TinyData(folder, tmp_path), tmp_path, environment)
    ran = real.fmbench(
        "run", "softmax", "--protocol", "quick-v1", "--keep-weights", "bf16", "--data-dir", folder
    )
    assert ran.returncode == 0, ran.stderr
    store = Store(tmp_path / "results", "quick-v1")
    (record,) = store.read().records
    dataset = data.load(folder)
    right = np.flatnonzero(store.predictions(record) == dataset.test_labels)[:10]
    for number in right:
        Image.fromarray(dataset.test_images[number]).save(tmp_path / f"{number:05}.png")
    ran = real.fmbench("predict", record.id, *sorted(tmp_path.glob("*.png")), "--json")
    assert ran.returncode == 0, ran.stderr
    found = [one["predictions"][0]["label"] for one in json.loads(ran.stdout)]
    assert found == [data.LABELS[label] for label in dataset.test_labels[right]]

"""Checkpoints: a run that goes on from one computes the bits of an uninterrupted run."""

import collections
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from conftest import TinyData, tiny_images
from fmbench import protocol
from fmbench.protocol import Protocol
from fmbench.training import checkpoints as checkpoints_module
from fmbench.training import devices, loop
from fmbench.training.batches import Images
from fmbench.training.checkpoints import Checkpoints
from fmbench.training.hidden import attributes, hidden_state

EPOCHS = 4


class KilledError(Exception):
    """Stands for the end of the process."""


class Tied(nn.Module):
    """A model whose two layers share one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(784, 784)
        self.second = nn.Linear(784, 784)
        self.second.weight = self.first.weight
        self.last = nn.Linear(784, 10)

    def forward(self, batch: Tensor) -> Tensor:
        """Apply both layers."""
        logits: Tensor = self.last(self.second(self.first(batch.flatten(1)).relu()).relu())
        return logits


class Mirrored(nn.Module):
    """A model with a transposed weight and a buffer that lie in another weight's memory."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(784, 16)
        self.square = nn.Linear(16, 16)
        self.back = nn.Parameter(self.square.weight.detach().t())
        self.register_buffer("view", self.square.weight.detach()[:1])
        self.last = nn.Linear(16, 10)

    def forward(self, batch: Tensor) -> Tensor:
        """Apply the layers and the mirror."""
        hidden = self.square(self.first(batch.flatten(1)).relu()).relu() @ self.back
        logits: Tensor = self.last(hidden)
        return logits


def convolutional() -> nn.Module:
    """Batch norm, dropout and weights that lie channels-last."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(8 * 6 * 6, 10),
    )  # fmt: skip
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def linear() -> nn.Module:
    """One linear layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


class Odd(nn.Module):
    """A model with a buffer of a dtype that safetensors has no name for."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(784, 10)
        self.register_buffer("odd", torch.zeros(3, dtype=torch.complex128))

    def forward(self, batch: Tensor) -> Tensor:
        """Apply the layer."""
        logits: Tensor = self.last(batch.flatten(1))
        return logits


class Counting(nn.Module):
    """A model that counts its calls outside its state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = linear()
        self.calls = 0

    def forward(self, batch: Tensor) -> Tensor:
        """Count and apply."""
        self.calls += 1
        logits: Tensor = self.layers(batch)
        return logits


class Growing(nn.Module):
    """A model that registers a buffer when it is first used."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = linear()

    def forward(self, batch: Tensor) -> Tensor:
        """Register and apply."""
        if "late" not in dict(self.named_buffers()):
            self.register_buffer("late", torch.zeros(1))
        logits: Tensor = self.layers(batch)
        return logits


class Extra(nn.Module):
    """A model whose state dict holds more than tensors, and an attribute in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = linear()
        self.scale = torch.tensor(1.0, dtype=torch.bfloat16)

    def forward(self, batch: Tensor) -> Tensor:
        """Apply the layers."""
        logits: Tensor = self.layers(batch) * self.scale.float()
        return logits

    def get_extra_state(self) -> dict[str, int]:
        """What torch then puts into the state dict."""
        return {"version": 1}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Take it back."""


class Complex(nn.Module):
    """Complex parameters, and a buffer that is the conjugate of another."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.ones(28, 15, dtype=torch.cfloat))
        self.register_buffer("turned", torch.full((28, 15), 1 + 0.1j).conj())
        self.last = nn.Linear(784, 10)

    def forward(self, batch: Tensor) -> Tensor:
        """Filter, and apply the layer."""
        frequencies = torch.fft.rfft2(batch[:, 0]) * self.filter * self.turned
        logits: Tensor = self.last(torch.fft.irfft2(frequencies, s=(28, 28)).flatten(1))
        return logits


def normed() -> nn.Module:
    """Weights that torch computes anew in each pass, in its old ways and in its new one."""
    convolution = nn.utils.weight_norm(nn.Conv2d(1, 4, 3, stride=2))
    pruned = nn.Linear(16, 16)
    nn.utils.prune.l1_unstructured(pruned, "weight", amount=0.5)
    return nn.Sequential(
        convolution, nn.ReLU(), nn.Flatten(),
        nn.utils.spectral_norm(nn.Linear(676, 16)), nn.ReLU(), pruned,
        nn.utils.parametrizations.weight_norm(nn.Linear(16, 10)),
    )  # fmt: skip


MODELS = {
    "linear": linear, "convolutional": convolutional, "tied": Tied, "mirrored": Mirrored,
    "complex": Complex, "normed": normed,
}  # fmt: skip


class Sparse(nn.Module):
    """A model with a sparse buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = linear()
        self.register_buffer("graph", torch.eye(784).to_sparse())

    def forward(self, batch: Tensor) -> Tensor:
        """Go over the graph, and apply the layers."""
        passed = torch.sparse.mm(self.graph, batch.flatten(1).t()).t()  # type: ignore[arg-type]
        logits: Tensor = self.layers(passed)
        return logits


UNSTORABLE = {"odd": Odd, "counting": Counting, "extra": Extra, "sparse": Sparse}
GROWING = {"growing": Growing}


@pytest.fixture(params=["adamw", "sgd"])
def rules(request: pytest.FixtureRequest, tiny: TinyData, tmp_path: Path) -> Protocol:
    """The tiny protocol over four epochs, with either optimiser."""
    optimizer = f'optimizer = "{request.param}"'
    changes = (("epochs = 2", f"epochs = {EPOCHS}"), ('optimizer = "adamw"', optimizer))
    return protocol.load(str(tiny.variant(tmp_path / "p.toml", *changes)))


def train(
    rules: Protocol, name: str, folder: Path, *, until: int = EPOCHS, threads: int = 1
) -> tuple[dict[str, Tensor], loop.Trained]:
    """Train a model with checkpoints after every epoch, killed at the end of epoch `until`."""
    devices.prepare("cpu", rules.devices["cpu"], threads)
    devices.seed_everything(rules.id, 1, "build")
    model = (MODELS | UNSTORABLE | GROWING)[name]()
    pixels, labels = tiny_images(320, 1)

    def report(epoch: int, step: int, steps: int, loss: float, rate: float) -> None:
        if epoch > until:
            raise KilledError

    trained = loop.train(
        model,
        Images(torch.from_numpy(pixels), size=28, rules=rules.data, device=torch.device("cpu")),
        torch.from_numpy(labels).long(),
        protocol=rules,
        stage=rules.final,
        recipe=rules.recipes[0],
        seed=1,
        report=report,
        checkpoints=Checkpoints(folder, 0.0),
    )
    return model.state_dict(), trained


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_a_resumed_run_has_the_bits_of_an_uninterrupted_one(
    rules: Protocol, tmp_path: Path, name: str, killed_after: int
) -> None:
    """KilledError after any epoch, a run ends with the same parameters and the same curve."""
    whole, trained = train(rules, name, tmp_path / "whole")
    with pytest.raises(KilledError):
        train(rules, name, tmp_path / "cut", until=killed_after)
    facts = (tmp_path / f"cut/epoch-{killed_after}.json").read_bytes()
    before = msgspec.json.decode(facts)["seconds"]
    resumed, again = train(rules, name, tmp_path / "cut")
    assert again.resumed_after == killed_after
    assert again.seconds == pytest.approx(before + again.here)
    assert again.here > 0
    assert again.curve == trained.curve
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_steps_that_the_host_counts_are_restored_there(tiny: TinyData, tmp_path: Path) -> None:
    """On another device than the CPU the host would wait for the count at every step."""
    rules = protocol.load(str(tiny.protocol))
    with pytest.raises(KilledError):
        train(rules, "complex", tmp_path / "cut", until=1)
    model = Complex().to("meta")
    optimizer = loop.make_optimizer(model, rules.recipes[0])
    schedule = loop.make_schedule(optimizer, rules, rules.recipes[0], 40)
    with warnings.catch_warnings(action="ignore"):  # on this device nothing has values
        assert Checkpoints(tmp_path / "cut", 0.0).restore(model, optimizer, schedule)
    for state in optimizer.state.values():
        assert state["step"].device.type == "cpu"
        assert state["exp_avg"].device.type == "meta"


@pytest.mark.parametrize("spoil", ["cut short", "flipped", "json", "gone"])
def test_a_spoilt_checkpoint_falls_back_to_the_one_before(
    rules: Protocol, tmp_path: Path, spoil: str
) -> None:
    """A checkpoint whose bytes are wrong is not used; the previous one is, to the same bits."""
    whole, _ = train(rules, "linear", tmp_path / "whole")
    with pytest.raises(KilledError):
        train(rules, "linear", tmp_path / "cut", until=3)
    tensors, facts = tmp_path / "cut/epoch-3.safetensors", tmp_path / "cut/epoch-3.json"
    content = bytearray(tensors.read_bytes())
    match spoil:
        case "cut short":
            tensors.write_bytes(content[:-1])
        case "flipped":
            content[-1] ^= 1
            tensors.write_bytes(content)
        case "json":
            facts.write_bytes(facts.read_bytes()[:-1])
        case "gone":
            tensors.unlink()
    resumed, again = train(rules, "linear", tmp_path / "cut")
    assert again.resumed_after == 2
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_other_threads_start_again(rules: Protocol, tmp_path: Path) -> None:
    """A run goes on only with the number of threads it was begun with: sums depend on it."""
    with pytest.raises(KilledError):
        train(rules, "linear", tmp_path, until=2)
    try:
        assert train(rules, "linear", tmp_path, threads=2)[1].resumed_after == 0
    finally:
        torch.set_num_threads(1)


def test_another_device_starts_again(rules: Protocol, tmp_path: Path) -> None:
    """A run goes on only on a device of the digest that it was begun on, or of neither's."""
    network = torch.nn.Linear(784, 10)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    here = Checkpoints(tmp_path, 0.0, device="a")
    here.restore(network, optimizer, schedule)
    here.save(network, optimizer, schedule, curve=[1.0], seconds=1.0)
    for device, goes_on in (("a", True), ("b", False), ("", False)):
        found = Checkpoints(tmp_path, 0.0, device=device).restore(network, optimizer, schedule)
        assert (found is not None) == goes_on


def test_no_crash_point_loses_more_than_the_checkpoint_it_falls_into(tmp_path: Path) -> None:
    """Dying at any call, a process leaves the last checkpoint it had saved, or the next, whole."""
    script = Path(__file__).with_name("checkpoint_sweep.py")
    ran = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, timeout=2800
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 20


def test_what_started_again_keeps_its_own_checkpoints(rules: Protocol, tmp_path: Path) -> None:
    """Later checkpoints of other threads push no earlier one out: killed once more, it goes on."""
    with pytest.raises(KilledError):
        train(rules, "linear", tmp_path, until=3)
    try:
        for _ in range(2):
            with pytest.raises(KilledError):
                train(rules, "linear", tmp_path, until=1, threads=2)
        assert train(rules, "linear", tmp_path, threads=2)[1].resumed_after == 1
    finally:
        torch.set_num_threads(1)


def test_memory_that_runs_out_while_restoring_leaves_the_model_fresh(
    rules: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that cannot take up its optimiser's state starts again, to the bits of a quiet run."""

    def full(*_: object) -> None:
        raise RuntimeError("out of memory")

    whole, trained = train(rules, "normed", tmp_path / "whole")
    with pytest.raises(KilledError):
        train(rules, "normed", tmp_path / "cut", until=2)
    monkeypatch.setattr(checkpoints_module, "_counts_on_device", full)
    again, resumed = train(rules, "normed", tmp_path / "cut")
    assert resumed.resumed_after == 0
    assert resumed.curve == trained.curve
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_a_state_that_does_not_fit_touches_nothing(rules: Protocol, tmp_path: Path) -> None:
    """A model whose state has grown starts again from fresh weights, to the bits of a quiet run."""
    whole, trained = train(rules, "growing", tmp_path / "whole")
    with pytest.raises(KilledError):
        train(rules, "growing", tmp_path / "cut", until=2)
    again, resumed = train(rules, "growing", tmp_path / "cut")
    assert resumed.resumed_after == 0
    assert resumed.curve == trained.curve
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_a_checkpoint_that_cannot_be_written_costs_no_run(
    rules: Protocol, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there is no room for it, training goes on to the same curve and says so."""
    _, whole = train(rules, "linear", tmp_path / "whole")
    (tmp_path / "full").write_text("")
    _, trained = train(rules, "linear", tmp_path / "full")
    assert trained.curve == whole.curve
    assert "no checkpoint after epoch 1: it cannot be written" in capsys.readouterr().err


def test_two_checkpoints_are_kept(rules: Protocol, tmp_path: Path) -> None:
    """The newest and the one before it are there, nothing else; none after the last epoch."""
    train(rules, "linear", tmp_path)
    names = sorted(path.name for path in tmp_path.glob("epoch-*"))
    assert names == [
        "epoch-2.json", "epoch-2.safetensors", "epoch-3.json", "epoch-3.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("name", UNSTORABLE)
def test_a_model_that_cannot_be_stored_trains_without_checkpoints(
    rules: Protocol, tmp_path: Path, name: str
) -> None:
    """State that no file can hold, or outside the state dict, costs checkpoints, not the run."""
    _, trained = train(rules, name, tmp_path / "none")
    assert len(trained.curve) == EPOCHS
    assert not (tmp_path / "none").exists()


def test_a_checkpoint_is_a_file_as_safetensors_would_write_it(tmp_path: Path) -> None:
    """The library reads from it, value by value, what model and optimiser held."""
    model = convolutional()
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    checkpoints = Checkpoints(tmp_path, 0.0)
    checkpoints.restore(model, optimizer, schedule)
    model(torch.rand(4, 1, 28, 28)).sum().backward()
    optimizer.step()
    checkpoints.save(model, optimizer, schedule, curve=[1.0], seconds=1.0)
    path = tmp_path / "epoch-1.safetensors"
    held = {f"model.{name}": value for name, value in model.state_dict().items()}
    for number, parameter in enumerate(model.parameters()):
        for name, value in optimizer.state[parameter].items():
            held[f"optimizer.{number}.{name}"] = value
    found = safetensors.torch.load_file(path)
    assert found.keys() == held.keys()
    assert all(torch.equal(found[key], held[key]) for key in held)
    assert path.stat().st_size < 1.1 * len(safetensors.torch.save(found))


def test_a_checkpoint_is_due_when_its_interval_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the start of the run, and from each checkpoint on, it takes the whole interval."""
    now = [1000.0]
    monkeypatch.setattr(checkpoints_module, "monotonic", lambda: now[0])
    model = linear()
    optimizer = torch.optim.SGD(model.parameters())
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    checkpoints = Checkpoints(tmp_path, 60.0)
    checkpoints.restore(model, optimizer, schedule)
    for _ in range(2):
        now[0] += 59.9
        assert not checkpoints.due
        now[0] += 0.2
        assert checkpoints.due
        checkpoints.save(model, optimizer, schedule, curve=[1.0], seconds=1.0)
        assert not checkpoints.due


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_in_a_checkpoint_are_passed_over(facts: bytes, tensors: bytes) -> None:
    """Arbitrary files where checkpoints lie never raise and are never taken for one."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "epoch-1.json").write_bytes(facts)
        Path(folder, "epoch-1.safetensors").write_bytes(tensors)
        model = linear()
        optimizer = torch.optim.SGD(model.parameters())
        schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
        assert Checkpoints(Path(folder), 0.0).restore(model, optimizer, schedule) is None


class Volatile(nn.Module):
    """A model with a buffer that is not in its state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1), persistent=False)
        self.generator = np.random.default_rng(0)


def _nothing() -> None:
    """No value that can be compared."""


HIDING: dict[str, tuple[Any, Callable[[Any], object]]] = {
    "an old generator of numpy": (np.random.RandomState(0), lambda random: random.rand()),
    "another of its kinds": (
        np.random.Generator(np.random.MT19937(0)), lambda random: random.random(),
    ),
    "a generator of Python": (random.Random(0), lambda random: random.random()),
    "an array": (np.zeros(5000), lambda array: array.put(2500, 1)),
    "a tensor in a list": ([torch.zeros(5000)], lambda held: held[0][2500:2501].fill_(1)),
    "a tensor in a dictionary": (
        {"seen": (torch.zeros(5000),)}, lambda held: held["seen"][0].add_(1),
    ),
    "a queue": (collections.deque([1, 2]), lambda held: held.rotate()),
    "a list beside a function": ([_nothing, [1]], lambda held: held[1].append(2)),
    "a set": ({1, 2}, lambda held: held.add(3)),
}  # fmt: skip


@pytest.mark.parametrize("kind", HIDING)
def test_whatever_holds_state_is_looked_into(kind: str) -> None:
    """Generators, arrays and containers are compared by all that they hold, and are never equal."""
    held, change = HIDING[kind]
    model = linear()
    model.held = held
    model.itself = [held]
    model.itself.append(model.itself)
    fresh = attributes(model)
    assert hidden_state(fresh, model) == ""
    change(held)
    assert hidden_state(fresh, model) == "held of the model"


class Secretive(list[int]):
    """A list that cannot be looked through."""

    def __iter__(self) -> Any:
        raise RuntimeError("on purpose")


def deep(depth: int, inmost: int = 0) -> list[Any]:
    """A number in lists in lists."""
    made = [inmost]
    for _ in range(depth):
        made = [made]
    return made


UNREADABLE = {
    "a tensor without values": torch.empty(3, device="meta"),
    "tensors of several lengths": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "a very large number": 10**5000,
    "what cannot be looked through": Secretive([1]),
    "what is too deep": deep(5000),
    "a conjugate": torch.ones(3, dtype=torch.complex64).conj(),
    "a sparse tensor": torch.eye(3).to_sparse(),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_cannot_be_read_hinders_no_training(what: str) -> None:
    """Attributes that fail when they are looked at, or are too deep, count as unchanged."""
    model = linear()
    model.kept = UNREADABLE[what]
    assert hidden_state(attributes(model), model) == ""


def test_a_change_deep_in_containers_is_noticed() -> None:
    """The text of a container grows with what it holds, not with each depth."""
    model = linear()
    model.kept = deep(60)
    before = attributes(model)
    assert len(before[""]["kept"]) < 200
    assert hidden_state(before, model) == ""
    model.kept = deep(60, inmost=1)
    assert hidden_state(before, model) == "kept of the model"


def test_state_outside_the_state_dict_is_noticed() -> None:
    """A changed attribute, generator or buffer that is not persistent makes a model start again."""
    model = Counting()
    fresh = attributes(model)
    assert hidden_state(fresh, model) == ""
    model(torch.zeros(1, 784))
    assert hidden_state(fresh, model) == "calls of the model"
    volatile = Volatile()
    fresh = attributes(volatile)
    assert hidden_state(fresh, volatile) == ""
    volatile.generator.random()
    assert hidden_state(fresh, volatile) == "generator of the model"
    fresh = attributes(volatile)
    volatile.seen += 1
    assert hidden_state(fresh, volatile) == "seen of the model"


@pytest.mark.parametrize("name", MODELS)
def test_ordinary_models_hide_nothing(name: str) -> None:
    """Training an ordinary model leaves all it has learnt in its state dict."""
    model = (MODELS | UNSTORABLE)[name]()
    fresh = attributes(model)
    model(torch.rand(4, 1, 28, 28)).sum().backward()
    assert hidden_state(fresh, model) == ""

"""Training: batches held to plain restatements, the loop to its promises."""

import errno
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from conftest import TinyData, tiny_images
from fmbench import protocol, training
from fmbench.errors import UsageError
from fmbench.protocol import Augmentation, DataRules, Protocol
from fmbench.training import cost, devices, loop
from fmbench.training.batches import Images
from fmbench.training.checkpoints import Checkpoints
from wrong_models import Filtered, Tabled

CPU = torch.device("cpu")
RULES = DataRules(sha256=protocol.Digests("", "", "", ""), mean=0.3, std=0.4)
PIXELS = torch.from_numpy(tiny_images(40, 3)[0])


def images(size: int = 28, augmentation: Augmentation | None = None) -> Images:
    """Forty images on the CPU."""
    return Images(
        PIXELS, size=size, rules=RULES, device=CPU, augmentation=augmentation or Augmentation()
    )


def normalised(pixels: Tensor) -> Tensor:
    """What the protocol's mean and deviation make of bytes."""
    return (pixels.float() / 255 - RULES.mean) / RULES.std


@given(st.lists(st.integers(0, 39), min_size=1, max_size=9))
def test_a_plain_batch_is_the_normalised_images(index: list[int]) -> None:
    """Without augmentation a batch holds exactly the images asked for, in their order."""
    batch = images().batch(torch.tensor(index))
    assert batch.dtype == torch.float32
    assert batch.shape == (len(index), 1, 28, 28)
    torch.testing.assert_close(batch[:, 0], normalised(PIXELS[index]), rtol=0, atol=1e-5)


@given(st.integers(29, 63))
def test_small_sizes_are_padded_with_black(size: int) -> None:
    """29 to 63 pixels: the image stands in the middle of black, unchanged."""
    batch = images(size).batch(torch.tensor([3]))[0, 0]
    before = (size - 28) // 2
    inside = batch[before : before + 28, before : before + 28].clone()
    torch.testing.assert_close(inside, normalised(PIXELS[3]), rtol=0, atol=1e-5)
    batch[before : before + 28, before : before + 28] = -RULES.mean / RULES.std
    torch.testing.assert_close(batch, torch.full((size, size), -0.75))


def test_large_sizes_are_resized() -> None:
    """64 pixels and up: bilinear interpolation of the normalised image."""
    batch = images(64).batch(torch.tensor([3]))
    expected = F.interpolate(normalised(PIXELS[3])[None, None], size=(64, 64), mode="bilinear")
    torch.testing.assert_close(batch, expected, rtol=0, atol=1e-5)


@settings(max_examples=25)
@given(st.integers(0, 3), st.booleans(), st.integers(0, 2**31))
def test_augmented_images_are_shifted_and_flipped_originals(
    shift: int, flip: bool, seed: int
) -> None:
    """Every augmented image is its original, flipped or not, moved within the allowed pixels."""
    torch.manual_seed(seed)
    augmented = images(augmentation=Augmentation(shift=shift, flip=flip)).batch(torch.arange(5))
    for number in range(5):
        original = PIXELS[number]
        candidates = [
            F.pad(turned, (shift,) * 4)[row : row + 28, column : column + 28]
            for turned in ([original, original.flip(1)] if flip else [original])
            for row in range(2 * shift + 1)
            for column in range(2 * shift + 1)
        ]
        distances = [
            (augmented[number, 0] - normalised(candidate)).abs().max() for candidate in candidates
        ]
        assert min(distances) < 1e-5


def test_augmentation_draws_differ_between_images_and_use_every_shift() -> None:
    """Shifts and flips are drawn for each image, over the whole range."""
    torch.manual_seed(0)
    same = Images(
        PIXELS[:1].expand(400, 28, 28),
        size=28,
        rules=RULES,
        device=CPU,
        augmentation=Augmentation(shift=1, flip=True),
    ).batch(torch.arange(400))
    assert len({image.numpy().tobytes() for image in same}) == 2 * 3 * 3


@pytest.fixture
def rules(tiny: TinyData) -> Protocol:
    """The tiny protocol."""
    return protocol.load(str(tiny.protocol))


def linear() -> nn.Module:
    """A softmax model."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def convolutional() -> nn.Module:
    """A model with everything that draws or keeps state: convolution, batch norm, dropout."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(4 * 13 * 13, 10),
    )  # fmt: skip


def trained(
    rules: Protocol,
    build: object = linear,
    seed: int = 1,
    report: loop.Report = lambda *_: None,
    **more: Any,
) -> tuple[nn.Module, loop.Trained]:
    """A model trained under a protocol on the tiny images, in this process."""
    devices.prepare("cpu", rules.devices["cpu"], 1)
    pixels, labels = tiny_images(320, 1)
    recipe = rules.recipes[0]
    devices.seed_everything(rules.id, seed, "build")
    model: nn.Module = build()  # type: ignore[operator]
    resident = Images(
        torch.from_numpy(pixels),
        size=28,
        rules=rules.data,
        device=CPU,
        augmentation=rules.augmentation(recipe),
    )
    outcome = loop.train(
        model,
        resident,
        torch.from_numpy(labels).long(),
        protocol=rules,
        stage=rules.final,
        recipe=recipe,
        seed=seed,
        report=report,
        **more,
    )
    return model, outcome


def test_gradients_are_scaled_down_to_the_protocols_norm(rules: Protocol) -> None:
    """No step moves the weights further than learning rate times norm; without a norm some do."""
    recipe = msgspec.structs.replace(
        rules.recipes[0], optimizer="sgd", learning_rate=0.1, momentum=0.0, weight_decay=0.0
    )

    def moved(clip_norm: float | None) -> float:
        training = msgspec.structs.replace(
            rules.training, schedule="constant", warmup=0.0, clip_norm=clip_norm
        )
        changed = msgspec.structs.replace(rules, training=training, recipes=(recipe,))
        devices.seed_everything(rules.id, 1, "build")
        before = linear()
        after, _ = trained(changed)
        steps = zip(before.parameters(), after.parameters(), strict=True)
        return math.sqrt(sum(float((a - b).detach().square().sum()) for a, b in steps))

    allowed = 2 * 20 * 0.1 * 0.001  # epochs, steps an epoch, learning rate, norm
    assert moved(0.001) <= allowed * 1.0001
    assert moved(None) > 10 * allowed


def test_training_learns_and_reports_what_it_did(rules: Protocol) -> None:
    """The loss falls, the curve has a point an epoch, and the images are counted."""
    model, outcome = trained(rules)
    assert len(outcome.curve) == 2
    assert outcome.curve[1] < outcome.curve[0]
    assert outcome.images == 2 * 320
    assert outcome.seconds > 0
    test_pixels, test_labels = tiny_images(100, 2)
    evaluated = Images(torch.from_numpy(test_pixels), size=28, rules=rules.data, device=CPU)
    logits, seconds = loop.predict(model, evaluated, protocol=rules, device=CPU)
    assert logits.shape == (100, 10)
    assert seconds > 0
    assert (logits.argmax(1).numpy() == test_labels).mean() > 0.8


@pytest.mark.parametrize("build", [linear, convolutional])
def test_a_seed_decides_every_bit(rules: Protocol, build: object) -> None:
    """Two trainings of one seed give the same parameters; another seed gives others."""
    first, second, other = (trained(rules, build, seed)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_each_epoch_starts_its_random_streams_afresh(rules: Protocol) -> None:
    """What a plugin draws or reseeds in one epoch does not reach into the next."""

    class Reseeding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = linear()

        def forward(self, batch: Tensor) -> Tensor:
            torch.manual_seed(0)
            np.random.rand(3)
            logits: Tensor = self.layers(batch)
            return logits

    plain, meddling = trained(rules)[1], trained(rules, Reseeding)[1]
    assert plain.curve == meddling.curve


GOLDEN = {
    "adamw": (
        (
            (
                'optimizer = "adamw"',
                'optimizer = "adamw"\naugmentation = "all"\nweight_decay = 0.1',
            ),
            ("[final]", "[augmentations.all]\nshift = 2\nflip = true\n\n[final]"),
        ),
        (1.771115, 0.967090),
    ),
    "sgd": (
        (
            ('"adamw"\nlearning_rate = 0.01', '"sgd"\nlearning_rate = 0.01\nmomentum = 0.9'),
            ('"one-cycle"\nwarmup = 0.3', '"cosine"\nlabel_smoothing = 0.1\nclip_norm = 1.0'),
        ),
        (1.837155, 0.962546),
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_training_semantics_are_guarded_by_golden_curves(
    tiny: TinyData, tmp_path: Path, name: str
) -> None:
    """When training computes something else, SEMANTICS is raised and these curves made anew."""
    changes, curve = GOLDEN[name]
    _, outcome = trained(protocol.load(str(tiny.variant(tmp_path / "p.toml", *changes))))
    assert training.SEMANTICS == 1
    assert outcome.curve == pytest.approx(curve, rel=1e-3)


def test_a_table_made_while_a_model_answers_can_be_trained_with(rules: Protocol) -> None:
    """What a model makes and keeps in evaluation hinders no training afterwards."""
    model = Tabled()
    evaluated = Images(PIXELS, size=28, rules=rules.data, device=CPU)
    loop.predict(model, evaluated, protocol=rules, device=CPU)
    assert trained(rules, lambda: model)[1].curve[1] < 2


@pytest.mark.parametrize("name", GOLDEN)
def test_complex_parameters_are_trained_and_counted(
    tiny: TinyData, tmp_path: Path, name: str
) -> None:
    """Either optimiser moves them, clipped or not; each counts as two real numbers."""
    rules = protocol.load(str(tiny.variant(tmp_path / "p.toml", *GOLDEN[name][0])))
    model, outcome = trained(rules, Filtered)
    assert outcome.curve[1] < outcome.curve[0]
    assert not torch.equal(model.filter, torch.ones_like(model.filter))  # type: ignore[arg-type]
    assert cost.parameters(model) == 2 * 28 * 15 + 7850


class Pair(NamedTuple):
    """Logits, and those of an auxiliary head."""

    logits: Tensor
    auxiliary: Tensor


@pytest.mark.parametrize("training", [False, True])
def test_an_output_that_is_no_tensor_is_reported_alike_in_both_modes(
    rules: Protocol, training: bool
) -> None:
    """Auxiliary logits beside the logits get one sentence, in training as in evaluation."""

    class Auxiliary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = linear()

        def forward(self, batch: Tensor) -> object:
            logits = self.layers(batch)
            return Pair(logits, logits) if self.training == training else logits

    evaluated = Images(PIXELS, size=28, rules=rules.data, device=CPU)
    with pytest.raises(loop.InvalidOutputError, match="a Pair, not a tensor"):
        loop.predict(trained(rules, Auxiliary)[0], evaluated, protocol=rules, device=CPU)


OUT_OF_MEMORY = {
    "torch on a CPU": lambda: torch.empty(10**14),
    "numpy": lambda: np.ones(1 << 46),
    "the system": lambda: raised(OSError(errno.ENOMEM, "Cannot allocate memory")),
    "torch on a GPU": lambda: raised(torch.OutOfMemoryError("CUDA out of memory")),
    "the driver": lambda: raised(RuntimeError("CUDA error: out of memory")),
    "cuBLAS": lambda: raised(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling")),
    "cuDNN": lambda: raised(
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED")
    ),
    "torch under Windows": lambda: raised(
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried")
    ),
    "who wraps it": lambda: raised(RuntimeError("in block 3"), MemoryError()),
}


def raised(error: Exception, cause: Exception | None = None) -> None:
    """Raise an error, from another if there is one."""
    raise error from cause


@pytest.mark.parametrize("who", OUT_OF_MEMORY)
def test_want_of_memory_is_known_whatever_reports_it(who: str) -> None:
    """Each allocator has its own words for it, and its own exception."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each raises another
        OUT_OF_MEMORY[who]()
    assert devices.out_of_memory(caught.value)
    assert not devices.out_of_memory(RuntimeError("shapes cannot be multiplied"))


def test_each_step_is_reported_at_most_once(
    rules: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often progress is reported, an epoch's end is, once, after all of its steps."""
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_REPORTS", 0)
    told: list[tuple[int, int]] = []
    trained(rules, report=lambda epoch, step, *_: told.append((epoch, step)))
    assert told == [(epoch, step) for epoch in (1, 2) for step in range(10, 21)]


def test_the_clock_runs_around_training_alone(
    rules: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done after an epoch, and the writing of checkpoints, is no training time."""
    now = [0.0]
    monkeypatch.setattr(loop, "perf_counter", lambda: now[0])

    def take(seconds: float) -> None:
        now[0] += seconds

    class Slow(Checkpoints):
        def save(self, *given: Any, **named: Any) -> None:
            take(1000)
            super().save(*given, **named)

    class Working(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = linear()

        def forward(self, batch: Tensor) -> Tensor:
            take(1)
            logits: Tensor = self.layers(batch)
            return logits

    _, outcome = trained(
        rules, Working, checkpoints=Slow(tmp_path, 0.0), after_epoch=lambda _: take(100)
    )
    assert outcome.seconds == outcome.here == 2 * 20
    assert outcome.checkpointing == 1000  # the last epoch's end needs none


@pytest.mark.parametrize(
    "flip",
    [
        lambda: torch.set_num_threads(1),
        lambda: torch.use_deterministic_algorithms(
            not torch.are_deterministic_algorithms_enabled(), warn_only=True
        ),
    ],
    ids=["threads", "determinism"],
)
def test_either_flag_is_noticed(rules: Protocol, flip: Callable[[], None]) -> None:
    """Other threads, and other determinism, are each not as they were prepared."""
    cpu = rules.devices["cpu"]
    devices.prepare("cpu", cpu, 2)
    assert devices.as_prepared(cpu, 2)
    flip()
    assert not devices.as_prepared(cpu, 2)
    devices.set_flags(cpu, 2)
    assert devices.as_prepared(cpu, 2)


def spoil_older_flags() -> None:
    """Set TF32 as plugins did until torch 2.9."""
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("medium")


def spoil_newer_flags() -> None:
    """Set every one of the flags that torch 2.9 came with."""
    backends = torch.backends
    backends.fp32_precision = backends.cudnn.fp32_precision = "tf32"  # type: ignore[attr-defined]
    backends.cuda.matmul.fp32_precision = "tf32"
    backends.cudnn.conv.fp32_precision = backends.cudnn.rnn.fp32_precision = "tf32"  # type: ignore[attr-defined]
    for one in ("matmul", "conv", "rnn"):
        getattr(backends.mkldnn, one).fp32_precision = "bf16"


@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize("spoil", [spoil_older_flags, spoil_newer_flags])
def test_float32_is_multiplied_as_the_protocol_says(
    rules: Protocol, tf32: bool, spoil: Callable[[], None]
) -> None:
    """Whatever a plugin sets, TF32 is the protocol's on CUDA, and a CPU has float32."""
    backends = torch.backends
    if not hasattr(backends, "fp32_precision") and spoil is spoil_newer_flags:
        pytest.skip("this torch has the older flags alone")
    spoil()
    cpu = rules.devices["cpu"]
    devices.set_flags(msgspec.structs.replace(cpu, tf32=tf32), 1)
    assert backends.cuda.matmul.allow_tf32 is tf32
    assert backends.cudnn.allow_tf32 is tf32
    assert torch.get_float32_matmul_precision() == ("high" if tf32 else "highest")
    if hasattr(backends, "fp32_precision"):
        wanted = ("tf32",) if tf32 else ("ieee", "none")
        for one in (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn):  # type: ignore[attr-defined]
            assert one.fp32_precision in wanted
        for name in ("matmul", "conv", "rnn"):
            assert getattr(backends.mkldnn, name).fp32_precision in ("ieee", "none")
    devices.set_flags(cpu, 1)


def test_a_full_device_is_one_that_can_be_used(
    rules: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what a run would not find out by itself is wrong with the command."""
    full = mock.Mock(side_effect=torch.OutOfMemoryError("CUDA out of memory"))
    monkeypatch.setattr(torch, "ones", full)
    assert devices.prepare("cpu", rules.devices["cpu"], 1) == CPU
    monkeypatch.setattr(torch, "ones", mock.Mock(side_effect=RuntimeError("no driver")))
    with pytest.raises(UsageError, match="no driver"):
        devices.prepare("cpu", rules.devices["cpu"], 1)


def test_a_loss_that_is_not_finite_ends_the_run(rules: Protocol) -> None:
    """Training that diverges says after which epoch instead of going on."""

    class Exploding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = linear()

        def forward(self, batch: Tensor) -> Tensor:
            logits: Tensor = self.layers(batch) * math.inf
            return logits

    with pytest.raises(loop.DivergedError, match="epoch 1"):
        trained(rules, Exploding)


@pytest.mark.parametrize(
    "output",
    [torch.zeros(4, 9), torch.zeros(3, 10), torch.zeros(4, 10, dtype=torch.int64), [0.0] * 10],
)
def test_an_output_that_breaks_the_contract_is_refused(output: object) -> None:
    """A model's output is a floating tensor of shape (batch, classes) and nothing else."""
    with pytest.raises(loop.InvalidOutputError):
        loop.check_output(output, 4)


def test_weight_decay_spares_biases_and_norms(rules: Protocol) -> None:
    """Decay acts on parameters of two or more dimensions; frozen ones are left out."""
    model = convolutional()
    model[0].weight.requires_grad = False  # type: ignore[index, union-attr, assignment]
    recipe = protocol.Recipe(name="r", optimizer="sgd", learning_rate=1, weight_decay=0.5)
    decayed, spared = loop.make_optimizer(model, recipe).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.5, 0)
    assert [p.ndim for p in decayed["params"]] == [2]
    assert {p.ndim for p in spared["params"]} == {1}


def test_schedules_are_what_their_names_say(
    rules: Protocol, tiny: TinyData, tmp_path: Path
) -> None:
    """Constant stays, cosine falls to zero, one-cycle rises for its warm-up and falls."""

    def rates(schedule: str) -> list[float]:
        warmup = ("", "") if schedule == "one-cycle" else ("warmup = 0.3", "")
        path = tiny.variant(tmp_path / f"{schedule}.toml", ('"one-cycle"', f'"{schedule}"'), warmup)
        rules = protocol.load(str(path))
        optimizer = loop.make_optimizer(linear(), rules.recipes[0])
        steps = loop.make_schedule(optimizer, rules, rules.recipes[0], 20)
        found = []
        for _ in range(20):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            steps.step()
        return found

    assert set(rates("constant")) == {0.01}
    cosine = rates("cosine")
    assert cosine[0] == 0.01
    assert cosine == sorted(cosine, reverse=True)
    cycle = rates("one-cycle")
    assert max(cycle) == pytest.approx(cycle[5]) == pytest.approx(0.01)
    assert cycle[0] < 0.001 > cycle[-1]


def test_bfloat16_trains_where_a_protocol_says_so(tiny: TinyData, tmp_path: Path) -> None:
    """Reduced precision is a device rule: it changes bits, not what is learnt."""
    path = tiny.variant(tmp_path / "bf16.toml", ('precision = "float32"', 'precision = "bfloat16"'))
    reduced = trained(protocol.load(str(path)))[1].curve
    full = trained(protocol.load(str(tiny.protocol)))[1].curve
    assert reduced != full
    assert reduced == pytest.approx(full, rel=0.05)


def test_costs_count_parameters_and_operations() -> None:
    """A linear layer of 784 to 10 has 7,850 parameters and 15,680 operations an image."""
    model = linear()
    assert cost.parameters(model) == 7850
    assert cost.forward_flops(model, torch.zeros(1, 1, 28, 28)) == 15_680


class Attentive(nn.Module):
    """A transformer layer over the 28 rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(28, 4, 64, batch_first=True)
        self.head = nn.Linear(28, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Classes from the mean of the rows."""
        logits: torch.Tensor = self.head(self.layer(images[:, 0]).mean(1))
        return logits


def test_operations_of_attention_are_counted() -> None:
    """Neither attention nor a layer that torch may fuse is free: both count as written out."""
    rows, width, hidden = 28, 28, 64
    projections, attention = 4 * rows * width * width, 2 * rows * rows * width
    perceptron, head = 2 * rows * width * hidden, width * 10
    expected = 2 * (projections + attention + perceptron + head)
    assert cost.forward_flops(Attentive(), torch.zeros(1, 1, 28, 28)) == expected

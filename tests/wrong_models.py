"""Models that are wrong in one way each, and the check that has to catch and name it; good ones."""

import functools
import os
import random
import socket
import sqlite3
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fmbench.contract import InputSpec

Build = Callable[[InputSpec], Any]
ADDRESS = ("192.0.2.1", 80)  # reserved for documentation: nobody is there


class Linear(nn.Module):
    """Softmax regression; what others go wrong from."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(784, 10)

    def forward(self, batch: Tensor) -> Any:
        """Apply the layer."""
        return self.layer(batch.flatten(1))


class WrongScale(torch.autograd.Function):
    """A scale of channels whose gradient is too large in channels last.

    As that of a convolution was under AVX2.
    """

    @staticmethod
    def forward(context: Any, maps: Tensor, scale: Tensor, factor: float) -> Tensor:
        """Scale the channels."""
        context.save_for_backward(maps, scale)
        context.factor = factor
        return maps * scale.view(1, -1, 1, 1)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        """Right but for the scale."""
        maps, scale = context.saved_tensors
        factor = 1 if maps.is_contiguous() else context.factor
        of_scale = factor * (gradient * maps).sum((0, 2, 3))
        return gradient * scale.view(1, -1, 1, 1), of_scale, None


class Scale(nn.Module):
    """A layer with that gradient."""

    def __init__(self, channels: int, factor: float = 100) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.factor = factor

    def forward(self, maps: Tensor) -> Any:
        """Scale the channels."""
        return WrongScale.apply(maps, self.weight, self.factor)


class WrongInChannelsLast(nn.Module):
    """A convolution, that layer and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, stride=2)
        self.scale = Scale(8)
        self.head = nn.Linear(8 * 13 * 13, 10)

    def forward(self, batch: Tensor) -> Any:
        """Apply all three."""
        return self.head(self.scale(self.stem(batch)).flatten(1))


def forward(change: Callable[[Linear, Tensor], Any]) -> Build:
    """Build a linear model whose forward pass is another one."""

    class Changed(Linear):
        def forward(self, batch: Tensor) -> Any:
            return change(self, batch)

    return lambda _: Changed()


def after(change: Callable[[Linear], Any]) -> Build:
    """Build a linear model, and do something after it has drawn its parameters."""

    def build(spec: InputSpec) -> nn.Module:
        model = Linear()
        change(model)
        return model

    return build


def before_answering(act: Callable[[], Any]) -> Build:
    """Build a linear model that does something in each forward pass."""

    def answer(model: Linear, batch: Tensor) -> Tensor:
        act()
        return plain(model, batch)

    return forward(answer)


def plain(model: Linear, batch: Tensor) -> Tensor:
    """Return the linear model's own logits."""
    logits: Tensor = Linear.forward(model, batch)
    return logits


def fail(spec: InputSpec) -> nn.Module:
    """Raise."""
    raise ValueError("there is no such layer")


SHARED = nn.Linear(784, 10)


def share(model: Linear) -> None:
    """Take the layer that every other network has."""
    model.layer = SHARED


def lazy(spec: InputSpec) -> nn.Module:
    """Return layers that take their size from the first batch."""
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(spec.classes))


def leave(spec: InputSpec) -> nn.Module:
    """Exit."""
    raise SystemExit(3)


def from_numpy(model: Linear) -> None:
    """Draw parameters from a generator that no seed reaches."""
    drawn = np.random.default_rng().normal(size=(10, 784)).astype(np.float32)
    model.layer.weight.data = torch.from_numpy(drawn) / 100


def from_own_generator(seed: int | None) -> Callable[[Linear], None]:
    """Draw parameters from a generator of the model's own."""

    def change(model: Linear) -> None:
        generator = torch.Generator()
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(seed)
        nn.init.normal_(model.layer.weight, 0, 0.01, generator=generator)
        nn.init.zeros_(model.layer.bias)

    return change


def zeros(model: Linear) -> None:
    """Begin at zero."""
    nn.init.zeros_(model.layer.weight)
    nn.init.zeros_(model.layer.bias)


def pair_in_training(model: Linear, batch: Tensor) -> Any:
    """Answer with an auxiliary output in training."""
    logits = plain(model, batch)
    return (logits, logits) if model.training else logits


def add_to_float32(model: Linear, batch: Tensor) -> Tensor:
    """Add logits, which autocast makes bfloat16, to a tensor that is not."""
    return torch.zeros(len(batch), 10).index_add(1, torch.arange(10), plain(model, batch))


class NoParameters(nn.Module):
    """Ten sums of pixels."""

    def forward(self, batch: Tensor) -> Tensor:
        """Add up pixels."""
        return batch.flatten(1)[:, :780].unflatten(1, (10, 78)).sum(2)


class Reversed(torch.autograd.Function):
    """The identity, whose gradient points the wrong way."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        """Leave values alone."""
        return values.clone()

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        """Turn the gradient around."""
        return -gradient


def without_gradient_at_zero(model: Linear, batch: Tensor) -> Tensor:
    """Take a root where it has no slope."""
    return plain(model, batch) + (model.layer.bias * 0).sqrt()


class Explosive(Linear):
    """A model that a small step of training blows up."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.zeros_(self.layer.bias)

    def forward(self, batch: Tensor) -> Any:
        """Add what grows beyond all bounds."""
        return super().forward(batch) + (1e6 * self.layer.bias).exp()


class Projecting(Linear):
    """A random projection that no seed reaches, in a plain attribute."""

    def __init__(self) -> None:
        super().__init__()
        drawn = np.random.default_rng().normal(size=(784, 784)).astype(np.float32)
        self.projection = torch.from_numpy(drawn) / 28

    def forward(self, batch: Tensor) -> Any:
        """Project, and apply the layer."""
        return self.layer(batch.flatten(1) @ self.projection)


class Drawing(Linear):
    """Dropout drawn from a generator of the model's own."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, batch: Tensor) -> Any:
        """Drop a half of the pixels in training."""
        return drop(self, batch, self.generator)


def drop(model: Linear, batch: Tensor, generator: torch.Generator) -> Tensor:
    """Apply the layer, in training to a half of the pixels."""
    if model.training:
        batch = batch * (torch.rand(batch.shape, generator=generator) < 0.5)
    return plain(model, batch)


def drop_by_chance(model: Linear, batch: Tensor) -> Tensor:
    """Drop pixels that no seed decides."""
    generator = torch.Generator()
    generator.seed()
    return drop(model, batch, generator)


class Unused(Linear):
    """A layer that nothing goes through."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(3, 3)


class Auxiliary(NamedTuple):
    """Logits, and those of another head."""

    logits: Tensor
    others: Tensor


class Headed(Linear):
    """Two heads in training."""

    def forward(self, batch: Tensor) -> Any:
        """Answer twice, in training."""
        logits = super().forward(batch)
        return Auxiliary(logits, logits) if self.training else logits


class Counting(Linear):
    """A schedule in an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, batch: Tensor) -> Any:
        """Count batches."""
        if self.training:
            self.seen += 1
        return super().forward(batch)


class Begun(Linear):
    """A sign in an attribute that training has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = False

    def forward(self, batch: Tensor) -> Any:
        """Set the sign."""
        self.begun = self.begun or self.training
        return super().forward(batch)


class Forgetful(Linear):
    """A moving average that is not persistent."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(784), persistent=False)

    def forward(self, batch: Tensor) -> Any:
        """Keep the average of what was seen in training."""
        if self.training:
            self.average = batch.detach().flatten(1).mean(0)
        return super().forward(batch)


class ExtraState(Linear):
    """A state dict that holds more than tensors."""

    def get_extra_state(self) -> object:
        """Return what no tensor file can hold."""
        return {"version": 1}

    def set_extra_state(self, state: object) -> None:
        """Take it back."""


class Incomplete(Linear):
    """A state dict that leaves out what loading asks for."""

    def state_dict(self, *arguments: Any, **named: Any) -> Any:
        """Leave out the bias."""
        return {
            name: value
            for name, value in super().state_dict(*arguments, **named).items()
            if "bias" not in name
        }


class Deaf(Linear):
    """A model that ignores what is loaded into it."""

    def load_state_dict(self, *arguments: Any, **named: Any) -> Any:
        """Do nothing."""


def connect(*_: object) -> None:
    """Try to reach a server, and do without."""
    with suppress(OSError), socket.socket() as server:
        server.connect(ADDRESS)


def download(*_: object) -> None:
    """Try to fetch weights, and do without."""
    with suppress(OSError):
        urllib.request.urlopen("http://weights.invalid/model")


def home(name: str = "traces") -> Path:
    """Return a path in the home folder, that of a test."""
    return Path.home() / name


def remove(*_: object) -> None:
    """Remove a file of the user's."""
    home("precious").unlink(missing_ok=True)


def store(*_: object) -> None:
    """Put a row into a data base in the home folder."""
    with suppress(sqlite3.Error):
        sqlite3.connect(home()).close()


def set_variable(*_: object) -> None:
    """Change the environment."""
    os.environ["OMP_DYNAMIC"] = "TRUE"


@dataclass(frozen=True)
class Wrong:
    """A build function, the check its model fails, and a part of what that says."""

    breaks: str
    says: str
    build: Build


WRONG = {
    "lazy": Wrong("builds", "1.weight has no shape yet", lazy),
    "no module": Wrong("builds", "a function, not an nn.Module", lambda _: fail),
    "cached": Wrong("builds", "parameters of an earlier", functools.cache(lambda _: Linear())),
    "shares a layer": Wrong("builds", "parameters of an earlier", after(share)),
    "build raises": Wrong("builds", "ValueError: there is no such layer (wrong_models.py", fail),
    "build exits": Wrong("builds", "SystemExit: 3", leave),
    "drawn by numpy": Wrong("same-seed", "layer.weight differs", after(from_numpy)),
    "entropy": Wrong("same-seed", "layer.weight differs", after(from_own_generator(None))),
    "projects by chance": Wrong("same-seed", "answer differently", lambda _: Projecting()),
    "drops by chance": Wrong("same-seed", "answer differently", forward(drop_by_chance)),
    "always the same": Wrong("other-seeds", "two seeds gave", after(from_own_generator(0))),
    "zeros": Wrong("other-seeds", "two seeds gave", after(zeros)),
    "nine classes": Wrong("output", "(8, 9)", forward(lambda m, x: plain(m, x)[:, :9])),
    "one vector": Wrong("output", "(10,)", forward(lambda m, x: plain(m, x).mean(0))),
    "classes": Wrong("output", "torch.int64", forward(lambda m, x: plain(m, x).long())),
    "not a tensor": Wrong("output", "a list", forward(lambda m, x: [plain(m, x)])),
    "auxiliary": Wrong("output", "a tuple, not a tensor", forward(pair_in_training)),
    "infinite": Wrong("output", "not finite", forward(lambda m, x: plain(m, x) / 0)),
    "forward raises": Wrong("output", "RuntimeError", forward(lambda m, x: plain(m, x[:, :, 1:]))),
    "right contiguous alone": Wrong(
        "right-gradients", "the weight gradient of scale is off", lambda _: WrongInChannelsLast()
    ),
    "float32 alone": Wrong("autocast", "RuntimeError", forward(add_to_float32)),
    "squeezed": Wrong("output", "(10,)", forward(lambda m, x: plain(m, x).squeeze())),
    "detached": Wrong("learns", "not require grad", forward(lambda m, x: plain(m, x).detach())),
    "no parameters": Wrong("learns", "no trainable", lambda _: NoParameters()),
    "no slope": Wrong("learns", "layer.bias is not finite", forward(without_gradient_at_zero)),
    "uphill": Wrong("learns", "the loss goes", forward(lambda m, x: Reversed.apply(plain(m, x)))),
    "explosive": Wrong("learns", "the training loss was nan", lambda _: Explosive()),
    "unused": Wrong("unused-parameters", "spare.weight, spare.bias", lambda _: Unused()),
    "always training": Wrong("state-kept", "evaluation changes the mode of the model", forward(
        lambda m, x: plain(m.train(), x)
    )),
    "always evaluating": Wrong("state-kept", "training changes the mode of the model", forward(
        lambda m, x: plain(m.eval(), x)
    )),
    "dropout": Wrong("evaluation", "other logits", forward(
        lambda m, x: functional.dropout(plain(m, x))
    )),
    "noise": Wrong("evaluation", "other logits", forward(
        lambda m, x: plain(m, x + torch.randn_like(x) / 100)
    )),
    "batch statistics": Wrong("evaluation", "move by", forward(
        lambda m, x: plain(m, x - x.mean(0))
    )),
    "seeds torch": Wrong("state-kept", "build changes the seed of torch", after(
        lambda _: torch.manual_seed(0)
    )),
    "seeds torch in forward": Wrong("state-kept", "training changes the seed of torch",
        before_answering(lambda: torch.manual_seed(0))),
    "seeds numpy": Wrong("state-kept", "build seeds the random stream of numpy", after(
        lambda _: np.random.seed(0)
    )),
    "seeds numpy in forward": Wrong("state-kept", "evaluation seeds the random stream of numpy",
        before_answering(lambda: np.random.seed(0))),
    "seeds random": Wrong("state-kept", "build seeds the random stream of random", after(
        lambda _: random.seed(0)
    )),
    "double precision": Wrong("state-kept", "default dtype", after(
        lambda _: torch.set_default_dtype(torch.float64)
    )),
    "threads": Wrong("state-kept", "number of threads", after(
        lambda _: torch.set_num_threads(torch.get_num_threads() + 1)
    )),
    "no gradients": Wrong("state-kept", "gradient mode", after(
        lambda _: torch.set_grad_enabled(False)
    )),
    "deterministic": Wrong("state-kept", "deterministic mode", after(
        lambda _: torch.use_deterministic_algorithms(True)
    )),
    "default device": Wrong("state-kept", "default device", after(
        lambda _: torch.set_default_device("meta")
    )),
    "rough products": Wrong("state-kept", "precision of matrix products", after(
        lambda _: torch.set_float32_matmul_precision("medium")
    )),
    "tf32": Wrong("state-kept", "cudnn allow_tf32 flag", after(
        lambda _: setattr(torch.backends.cudnn, "allow_tf32", not torch.backends.cudnn.allow_tf32)
    )),
    "elsewhere": Wrong("state-kept", "working directory", after(lambda _: os.chdir("/"))),
    "elsewhere in forward": Wrong("state-kept", "training changes the working directory",
        before_answering(lambda: os.chdir("/"))),
    "environment": Wrong("state-kept", "variable OMP_DYNAMIC", after(set_variable)),
    "connects": Wrong("no-network", "build connects to 192.0.2.1 port 80", after(connect)),
    "downloads": Wrong("no-network", "looks up weights.invalid", before_answering(download)),
    "needs the network": Wrong("no-network", "build looks up 192.0.2.1", after(
        lambda _: socket.create_connection(ADDRESS)
    )),
    "writes": Wrong("state-kept", "build changes ~/traces", after(
        lambda _: home().write_text("x")
    )),
    "saves itself": Wrong("state-kept", "build changes ~/traces", after(
        lambda m: torch.save(m.state_dict(), home())
    )),
    "makes a folder": Wrong("state-kept", "evaluation changes ~/traces", before_answering(
        lambda: home().mkdir(exist_ok=True)
    )),
    "removes": Wrong("state-kept", "build changes ~/precious", after(remove)),
    "keeps a data base": Wrong("state-kept", "build changes ~/traces", after(store)),
    "counts": Wrong("resumable", "seen of the model", lambda _: Counting()),
    "begins": Wrong("resumable", "begun of the model", lambda _: Begun()),
    "draws on": Wrong("resumable", "generator of the model", lambda _: Drawing()),
    "forgets": Wrong("resumable", "average of the model", lambda _: Forgetful()),
    "extra state": Wrong("resumable", "_extra_state in the state dict", lambda _: ExtraState()),
    "meta": Wrong("builds", "0.weight lies on the device meta", lambda _: nn.Sequential(
        nn.Conv2d(1, 4, 3, device="meta"), nn.Flatten(), nn.Linear(2704, 10)
    )),
    "named pair": Wrong("output", "a Auxiliary, not a tensor", lambda _: Headed()),
    "incomplete": Wrong("safetensors", "layer.bias", lambda _: Incomplete()),
    "deaf": Wrong("safetensors", "is not what it was", lambda _: Deaf()),
}  # fmt: skip
"""By what is wrong; each fails its check and no other."""


class Tied(nn.Module):
    """Two layers that share one weight, and a buffer that lies in it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(784, 16)
        self.square = nn.Linear(16, 16)
        self.again = nn.Linear(16, 16)
        self.again.weight = self.square.weight
        self.back = nn.Parameter(self.square.weight.detach().t())
        self.register_buffer("view", self.square.weight.detach()[:1])
        self.last = nn.Linear(16, 10)

    def forward(self, batch: Tensor) -> Tensor:
        """Apply the layers and the transposed weight."""
        hidden = self.square(self.first(batch.flatten(1)).relu()).relu()
        logits: Tensor = self.last(self.again(hidden).relu() @ self.back)
        return logits


def convolutional(spec: InputSpec) -> nn.Module:
    """Batch norm, dropout, and weights of rank 4."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(8 * 6 * 6, spec.classes),
    )  # fmt: skip


class Recurrent(nn.Module):
    """A recurrent layer over rows, which keeps a list of its own weights."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.GRU(28, 16, batch_first=True)
        self.last = nn.Linear(16, 10)

    def forward(self, batch: Tensor) -> Tensor:
        """Read the rows and answer from the last."""
        logits: Tensor = self.last(self.rows(batch[:, 0])[0][:, -1])
        return logits


class Deep(nn.Module):
    """Weights of rank 5."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(1, 4, (1, 3, 3), stride=(1, 3, 3))
        self.last = nn.Linear(4 * 9 * 9, 10)

    def forward(self, batch: Tensor) -> Tensor:
        """Take the image for a film of one picture."""
        logits: Tensor = self.last(self.convolution(batch[:, None]).relu().flatten(1))
        return logits


class Wired(nn.Module):
    """A depth that the seed draws."""

    def __init__(self) -> None:
        super().__init__()
        depth = int(torch.randint(1, 6, ()))
        layers = [nn.Linear(784, 10)]
        layers += [nn.Linear(10, 10) for _ in range(depth)]
        self.layers = nn.Sequential(*layers)

    def forward(self, batch: Tensor) -> Tensor:
        """Apply the layers."""
        logits: Tensor = self.layers(batch.flatten(1))
        return logits


class Silent(Linear):
    """A `train` that returns nothing."""

    def train(self, mode: bool = True) -> Any:
        """Set the mode."""
        super().train(mode)


class Annotated(Linear):
    """Constant buffers, one not persistent and one not a number, and a table made when needed."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones(784), persistent=False)
        self.register_buffer("unknown", torch.tensor(float("nan")))
        self.table: Tensor | None = None

    def forward(self, batch: Tensor) -> Any:
        """Apply mask, table and layer."""
        if self.table is None:
            self.table = torch.linspace(0.5, 1, 784)
        return self.layer(batch.flatten(1) * self.mask * self.table)


class Tabled(nn.Module):
    """A table made in the first pass, kept, and multiplied into what lies between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(784, 32)
        self.last = nn.Linear(32, 10)
        self.table: Tensor | None = None

    def forward(self, batch: Tensor) -> Any:
        """Apply layer, table and layer."""
        if self.table is None:
            self.table = torch.linspace(0.5, 1, 32)
        return self.last(self.first(batch.flatten(1)).relu() * self.table)


class Filtered(Linear):
    """A filter of complex numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.ones(28, 15, dtype=torch.cfloat))

    def forward(self, batch: Tensor) -> Any:
        """Filter in the frequency domain, and apply the layer."""
        frequencies = torch.fft.rfft2(batch[:, 0].float()) * self.filter
        return super().forward(torch.fft.irfft2(frequencies, s=(28, 28)))


def normed(spec: InputSpec) -> nn.Module:
    """Weights computed anew in each pass, in torch's old ways."""
    return nn.Sequential(
        nn.Flatten(), nn.utils.weight_norm(nn.Linear(784, 32)), nn.ReLU(),
        nn.utils.spectral_norm(nn.Linear(32, spec.classes)),
    )  # fmt: skip


def considerate(spec: InputSpec) -> nn.Module:
    """Draw something under a seed of its own, and put everything back; write where it may."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.rand(3)
    Path("cache").write_text("x")
    home().parent.mkdir(exist_ok=True)
    return Linear()


GOOD: dict[str, Build] = {
    "linear": lambda _: Linear(),
    "tied": lambda _: Tied(),
    "convolutional": convolutional,
    "considerate": considerate,
    "recurrent": lambda _: Recurrent(),
    "deep": lambda _: Deep(),
    "wired": lambda _: Wired(),
    "silent": lambda _: Silent(),
    "annotated": lambda _: Annotated(),
    "tabled": lambda _: Tabled(),
    "filtered": lambda _: Filtered(),
    "normed": normed,
}

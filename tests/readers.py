"""Every reader of files fmbench did not just write itself, as a function of bytes."""

import hashlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError

import samples
from conftest import TINY
from fmbench import files, protocol, records, weights
from fmbench.data.idx import encode as encode_idx
from fmbench.data.idx import parse as parse_idx
from fmbench.data.pictures import PictureError, read_picture
from fmbench.discovery import Catalogue, ListedModel
from fmbench.errors import FmbenchError
from fmbench.execution.job import Event, JobFolder, RunOutcome
from fmbench.training import states
from fmbench.training.checkpoints import Checkpoints

FOLDER = Path(tempfile.mkdtemp(prefix="fmbench-readers-"))


class Reader(NamedTuple):
    """How to read bytes, what well-formed ones are, and the errors reading may end with."""

    read: Callable[[bytes], object]
    sample: bytes
    errors: tuple[type[Exception], ...]


def _predictions(content: bytes) -> object:
    path = FOLDER / "predictions.npy"
    path.write_bytes(content)
    return files.read_npy(path, np.uint8, (100,))


def _events(content: bytes) -> object:
    (FOLDER / "events.jsonl").write_bytes(content)
    return JobFolder(FOLDER).events_after(0)


def _outcome(content: bytes) -> object:
    (FOLDER / "0").mkdir(exist_ok=True)
    (FOLDER / "0" / "outcome.json").write_bytes(content)
    return JobFolder(FOLDER).read_outcome(0)


def _checkpoint(which: str) -> tuple[Callable[[bytes], object], bytes]:
    """How to read one of a checkpoint's two files, and what was written.

    Tensors are read with the digest that belongs to them: they get past it to their own reader.
    """
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    checkpoints = Checkpoints(FOLDER / which, 0.0)
    checkpoints.restore(model, optimizer, schedule)
    checkpoints.save(model, optimizer, schedule, curve=[1.0], seconds=1.0)

    file, facts = FOLDER / which / f"epoch-1.{which}", FOLDER / which / "epoch-1.json"
    sample, said = file.read_bytes(), facts.read_bytes()
    digest = hashlib.sha256(sample).hexdigest().encode()

    def read(content: bytes) -> object:
        if file != facts:
            facts.write_bytes(said.replace(digest, hashlib.sha256(content).hexdigest().encode()))
        file.write_bytes(content)
        return checkpoints.restore(model, optimizer, schedule)

    return read, sample


def _weights(content: bytes) -> object:
    """What a file says of itself, and its tensors in a network."""
    path = FOLDER / "kept.safetensors"
    path.write_bytes(content)
    states.load(torch.nn.Linear(2, 2), path)
    return weights.read(path)


def _kept_weights() -> bytes:
    rules = protocol.load("quick-v1")
    run = samples.run(protocol_digest=rules.digest)
    states.Keeper(torch.nn.Linear(2, 2), "bf16").keep(FOLDER / "sample", run, rules)
    return (FOLDER / "sample").read_bytes()


def _picture(content: bytes) -> object:
    path = FOLDER / "picture"
    path.write_bytes(content)
    return read_picture(path)


def _drawn(kind: str) -> bytes:
    """A small picture in a format, with an orientation in it."""
    noise = np.random.RandomState(0).randint(0, 256, (12, 9, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    content = io.BytesIO()
    Image.fromarray(noise).save(content, kind, exif=exif)
    return content.getvalue()


_PROTOCOL = TINY.format(
    digests="\n".join(
        f'{name} = "{"0" * 64}"'
        for name in ("train_images", "train_labels", "test_images", "test_labels")
    )
)
_CATALOGUE = Catalogue(
    models=(ListedModel(name="m", summary="", size=28, source="", plugin=samples.PLUGIN),)
)

READERS = {
    "records": Reader(records.decode, records.encode(samples.record()), (ValueError,)),
    "predictions": Reader(
        _predictions, files.npy_bytes(np.zeros(100, np.uint8)), (ValueError, OSError)
    ),
    "protocols": Reader(
        lambda content: protocol.parse(content.decode("utf-8", "replace"), "t"),
        _PROTOCOL.encode(),
        (FmbenchError,),
    ),
    "idx files": Reader(
        lambda content: parse_idx(content, rank=3, where="t"),
        encode_idx(np.zeros((3, 28, 28), np.uint8)),
        (FmbenchError,),
    ),
    "discovery's answer": Reader(
        lambda content: files.decode_json(content, Catalogue),
        msgspec.json.encode(_CATALOGUE),
        (),
    ),
    "events": Reader(
        _events, msgspec.json.encode(Event(kind="progress", run=0, epoch=1, loss=0.5)) + b"\n", ()
    ),
    "outcomes": Reader(_outcome, msgspec.json.encode(RunOutcome(status="ok", curve=(1.0,))), ()),
    "kept weights": Reader(_weights, _kept_weights(), (ValueError, SafetensorError)),
    "forms": Reader(
        lambda content: files.decode_json(content, weights.Form),
        msgspec.json.encode(weights.Form(kind="timm", config={"architecture": "a"})),
        (),
    ),
    **{
        f"{kind} pictures": Reader(_picture, _drawn(kind), (PictureError,))
        for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP")
    },
    "checkpoint facts": Reader(*_checkpoint("json"), ()),
    "checkpoint tensors": Reader(*_checkpoint("safetensors"), ()),
}


def mutate(sample: bytes, draw: np.random.RandomState) -> bytes:
    """A sample with a few bytes changed, cut, doubled or put in from elsewhere in it."""
    content = bytearray(sample)
    for _ in range(draw.randint(1, 5)):
        at = draw.randint(0, len(content) + 1)
        length = draw.randint(1, 9)
        match draw.randint(0, 4):
            case 0:
                content[at : at + length] = draw.bytes(length)
            case 1:
                del content[at : at + length * draw.randint(1, 20)]
            case 2:
                content[at:at] = content[at : at + length * 8]
            case 3 if at < len(content):
                content[at] ^= 1 << draw.randint(0, 8)
    return bytes(content)

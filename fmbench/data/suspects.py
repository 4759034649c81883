"""The suspect test images of Fashion-MNIST: near-twins of training images, and doubtful labels.

They are in suspects.json, which `python benchmarks/suspects.py --write` makes.
"""

import hashlib
import json
from functools import cache
from importlib import resources

import msgspec

from fmbench.data.twins import NearTwins
from fmbench.protocol import Digests

FILE = "suspects.json"
SCHEMA = 1
DOUBT_RULE = (
    "A test image has a doubtful label when at least `at_least` of the `runs` published final runs "
    "of `protocol` name one and the same other class."
)
AT_LEAST = 24
TEST_IMAGES = 10_000


class DoubtfulLabel(msgspec.Struct, frozen=True, array_like=True):
    """A test image by its number, and how many runs named each of the ten classes."""

    image: int
    votes: tuple[int, ...]


class DoubtfulLabels(msgspec.Struct, frozen=True, kw_only=True):
    """All doubtful labels, those that most runs contradict first.

    protocol, protocol_digest: what the runs were made under.
    records:   SHA-256 of the contents of the runs' records.
    unanimous: of how many images all runs name one other class.
    """

    rule: str
    protocol: str
    protocol_digest: str
    records: str
    runs: int
    at_least: int
    unanimous: int
    images: tuple[DoubtfulLabel, ...]


class Suspects(msgspec.Struct, frozen=True, kw_only=True):
    """Both lists.

    data:   SHA-256 of the four files of the data set they are about.
    digest: SHA-256 of `encode` of the rest, with an empty digest.
    """

    schema: int
    made_by: str
    data: Digests
    near_twins: NearTwins
    doubtful_labels: DoubtfulLabels
    digest: str = ""


def sealed(suspects: Suspects) -> Suspects:
    """The same with its digest."""
    blank = msgspec.structs.replace(suspects, digest="")
    digest = hashlib.sha256(encode(blank).encode()).hexdigest()
    return msgspec.structs.replace(blank, digest=digest)


@cache
def load() -> Suspects:
    """The lists that come with this version of fmbench."""
    text = (resources.files("fmbench.data") / FILE).read_bytes()
    return msgspec.json.decode(text, type=Suspects)


def encode(suspects: Suspects) -> str:
    """The lists as JSON, an image a line."""
    content = msgspec.to_builtins(suspects)
    lists = {}
    for name in ("near_twins", "doubtful_labels"):
        lists[f'"{name} go here"'] = ",\n   ".join(map(json.dumps, content[name]["images"]))
        content[name]["images"] = [f"{name} go here"]
    text = json.dumps(content, indent=1)
    for mark, lines in lists.items():
        text = text.replace(mark, lines)
    return text + "\n"

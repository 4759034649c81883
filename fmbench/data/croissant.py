"""Fashion-MNIST as used here, described in Croissant 1.0: JSON-LD that other tools read.

The format: https://docs.mlcommons.org/croissant/docs/croissant-spec.html. It describes the bytes;
no Croissant reader knows the idx format, so images are read with what `description` says of it.
"""

import json
from typing import Any

from msgspec.structs import astuple

from fmbench.contract import RAW_SIZE
from fmbench.data.dataset import FASHION_MNIST, FILES, LABELS
from fmbench.data.download import MIRRORS
from fmbench.data.suspects import Suspects

FILE = "croissant.json"
_MD5 = (  # of the authors' .gz files, as their README states them
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "25c81989df183df01b3e8a0aad5dffbe",
    "bef4ecab320f06d8554ea6380940ec79",
    "bb300cfdad3c16e7a12a480ee83cd310",
)
_CITATION = (
    "@article{xiao2017fashion, title={Fashion-MNIST: a Novel Image Dataset for Benchmarking "
    "Machine Learning Algorithms}, author={Xiao, Han and Rasul, Kashif and Vollgraf, Roland}, "
    "journal={arXiv preprint arXiv:1708.07747}, year={2017}}"
)
_OWN_TERMS = (
    "citeAs", "column", "conformsTo", "equivalentProperty", "extract", "field", "fileObject",
    "fileProperty", "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5",
    "parentField", "path", "recordSet", "references", "regex", "repeated", "replace",
    "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
_PARTS = (("train", 60_000, FILES[0], FILES[1]), ("test", 10_000, FILES[2], FILES[3]))


def describe(suspects: Suspects) -> str:
    """The description as JSON: where the files are, their digests, what is in them, their limits.

    suspects: what is known of the test images.
    """
    twins, doubts = suspects.near_twins, suspects.doubtful_labels
    rule = twins.rule.replace("`below`", f"{twins.below:g}").replace("`shift`", f"{twins.shift}")
    content = {
        "@context": _context(),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": "Fashion-MNIST",
        "description": (
            f"70,000 grey pictures of clothing, {RAW_SIZE} x {RAW_SIZE} pixels, in ten classes: "
            "60,000 to train on and 10,000 to test on. Each file is in the idx format: two zero "
            "bytes, the type 8 (unsigned byte), the number of axes, the length of each axis as a "
            "big-endian 32-bit integer, and the values in C order; 0 is background."
        ),
        "url": "https://github.com/zalandoresearch/fashion-mnist",
        "license": "https://spdx.org/licenses/MIT",
        "version": "1.0.0",
        "datePublished": "2017-08-25",
        "creator": [
            {"@type": "sc:Person", "name": name}
            for name in ("Han Xiao", "Kashif Rasul", "Roland Vollgraf")
        ],
        "publisher": {"@type": "sc:Organization", "name": "Zalando SE"},
        "citeAs": _CITATION,
        "isLiveDataset": False,
        "rai:dataLimitations": (
            f"{len(twins.images)} test images have a near-twin among the training images. "
            f"{rule} The labels of {len(doubts.images)} test images are doubtful: at least "
            f"{doubts.at_least} of {doubts.runs} runs of {doubts.protocol} of fmbench name one and "
            "the same other class."
        ),
        "distribution": [file for position in range(len(FILES)) for file in _files(position)],
        "recordSet": [_classes(), *(one for part in _PARTS for one in _records(*part))],
    }
    return json.dumps(content, indent=1) + "\n"


def _context() -> dict[str, Any]:
    """The context that version 1.0 of the format prescribes."""
    return {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/",
        "dct": "http://purl.org/dc/terms/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "sc": "https://schema.org/",
        **{term: f"cr:{term}" for term in _OWN_TERMS},
        "conformsTo": "dct:conformsTo",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "examples": {"@id": "cr:examples", "@type": "@json"},
    }


def _files(position: int) -> tuple[dict[str, Any], ...]:
    """A file as it is fetched, and what fmbench verifies of it."""
    name = FILES[position]
    packed = {
        "@type": "cr:FileObject",
        "@id": f"{name}.gz",
        "name": f"{name}.gz",
        "contentUrl": f"{MIRRORS[0]}{name}.gz",
        "encodingFormat": "application/gzip",
        "md5": _MD5[position],
    }
    plain = {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "containedIn": {"@id": f"{name}.gz"},
        "encodingFormat": "application/octet-stream",
        "sha256": astuple(FASHION_MNIST)[position],
    }
    return packed, plain


def _classes() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "description": "The ten classes.",
        "dataType": "sc:Enumeration",
        "key": {"@id": "classes/label"},
        "field": [
            _field("classes/label", "sc:Integer", "The label in the files."),
            _field("classes/name", ["sc:Text", "sc:name"], "What it stands for."),
        ],
        "data": [
            {"classes/label": label, "classes/name": name} for label, name in enumerate(LABELS)
        ],
    }


def _records(part: str, count: int, images: str, labels: str) -> tuple[dict[str, Any], ...]:
    """Images and labels are files of their own, and so sets of their own."""
    picture = f"{RAW_SIZE} x {RAW_SIZE} unsigned bytes."
    same = f"The label of number n is that of image n of {part}/images."
    label = _field(f"{part}/labels/label", "sc:Integer", same, source=labels)
    each = {
        "images": _field(f"{part}/images/image", "sc:ImageObject", picture, source=images),
        "labels": {**label, "references": {"field": {"@id": "classes/label"}}},
    }
    return tuple(
        {
            "@type": "cr:RecordSet",
            "@id": f"{part}/{kind}",
            "name": f"{part}/{kind}",
            "description": f"{count:,} {kind}, in the order of the file.",
            "field": [field],
        }
        for kind, field in each.items()
    )


def _field(
    id_: str, kind: str | list[str], description: str, *, source: str = ""
) -> dict[str, Any]:
    field: dict[str, Any] = {
        "@type": "cr:Field", "@id": id_, "name": id_, "description": description, "dataType": kind,
    }  # fmt: skip
    if source:
        field["source"] = {"fileObject": {"@id": source}, "extract": {"fileProperty": "content"}}
    return field

"""A model card in the form of the Hugging Face hub, and the results that hubs read.

The card: https://huggingface.co/docs/hub/model-cards, with `model-index` as in
https://github.com/huggingface/hub-docs/blob/main/modelcard.md. The results:
https://huggingface.co/docs/hub/eval-results.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fmbench.contract import CLASSES, RAW_SIZE
from fmbench.data import FASHION_MNIST, names_of_classes
from fmbench.leaderboard.board import Board, Row
from fmbench.leaderboard.statistics import image_interval
from fmbench.protocol import Protocol
from fmbench.records import Record
from fmbench.weights import Weights
from fmbench.wording import counted, duration, inert, percent, rank_set, short, versions

HUB_DATASET = "zalando-datasets/fashion_mnist"
SOURCE = "https://github.com/fashion-mnist-bench/fashion-mnist-bench"
PICTURE = "leaderboard.svg"
_HARMLESS = str.maketrans(
    {"<": "&lt;", "\n": " ", "\t": " "} | {mark: f"\\{mark}" for mark in "\\|[]`*_#"}
)


@dataclass(frozen=True)
class Card:
    """What a card is made from.

    row:     of the model on the board; None where the record does not count there.
    size:    side of the images that the network takes, in pixels.
    library: what loads the folder by itself: `timm`, or nothing.
    loading: lines of Python that make `model` from the folder.
    """

    record: Record
    weights: Weights
    board: Board
    row: Row | None
    size: int
    library: str
    loading: str

    @property
    def protocol(self) -> Protocol:
        """The rules that the run was made under."""
        return self.weights.protocol

    @property
    def data_set(self) -> str:
        """What the data set is called."""
        known = self.protocol.data.sha256 == FASHION_MNIST
        return "Fashion-MNIST" if known else f"the data set of {self.protocol.id}"


def preprocessing(protocol: Protocol, size: int) -> str:
    """Lines of Python that give `logits(pixels)` of a `model`, as fmbench prepares images."""
    rules = protocol.data
    adapt = ""
    if size >= 64:
        adapt = f'    images = F.interpolate(images, size=({size}, {size}), mode="bilinear")\n'
    elif size > RAW_SIZE:
        before = (size - RAW_SIZE) // 2
        after = size - RAW_SIZE - before
        edges = f"({before}, {after}, {before}, {after})"
        adapt = f"    images = F.pad(images, {edges}, value={-rules.mean / rules.std!r})\n"
    return (
        "import torch\n"
        "from torch.nn import functional as F\n"
        "\n"
        "\n"
        "@torch.no_grad()\n"
        "def logits(pixels):\n"
        '    """pixels: uint8 (n, 28, 28), light on dark; returns float32 (n, 10)."""\n'
        f"    images = pixels.float().mul({1 / (255 * rules.std)!r}).unsqueeze(1)\n"
        f"    images = images.add({-rules.mean / rules.std!r})\n"
        f"{adapt}"
        "    return model(images)\n"
    )


def model_card(card: Card) -> str:
    """The README.md of a model repository: metadata in YAML, then Markdown."""
    metadata = "".join(_yaml(_metadata(card)))
    sections = (_head(card), _use(card), _training(card), _limits(card), _on_board(card))
    return f"---\n{metadata}---\n\n" + "\n\n".join(sections) + "\n"


def evaluation_results(record: Record) -> str:
    """The content of a file in `.eval_results/`: test accuracy in per cent."""
    accuracy = record.result.accuracy or 0.0
    entry = {
        "dataset": {"id": HUB_DATASET, "task_id": "default"},
        "value": round(100 * accuracy, 4),
        "date": record.created,
        "source": {"url": SOURCE, "name": "fmbench"},
        "notes": f"{record.run.protocol}, seed {record.run.seed}: test accuracy in per cent",
    }
    return "".join(_yaml([entry]))


def configuration(card: Card, known: Mapping[str, Any]) -> dict[str, Any]:
    """The content of config.json.

    known: what timm needs, where it builds the network; see `forms.timm_config`.
    """
    rules, run = card.protocol.data, card.record.run
    names = list(names_of_classes(rules.sha256))
    found: dict[str, Any] = {
        **known,
        "num_classes": CLASSES,
        "label_names": names,
        "fmbench": {
            "model": run.model,
            "plugin": {"distribution": run.plugin.distribution, "version": run.plugin.version},
            "input": {"channels": 1, "size": card.size, "mean": rules.mean, "std": rules.std},
            "protocol": run.protocol,
            "protocol_digest": run.protocol_digest,
            "recipe": run.recipe,
            "seed": run.seed,
            "record": card.record.id,
            "key": card.record.key,
        },
    }
    if isinstance(of_timm := found.get("pretrained_cfg"), dict):
        of_images = {"mean": [rules.mean], "std": [rules.std], "crop_pct": 1.0}
        found["pretrained_cfg"] = {
            **of_timm,
            **of_images,
            "interpolation": "bilinear",
            "label_names": names,
        }
    else:
        found["model_type"] = "fmbench"
    return found


def _metadata(card: Card) -> dict[str, Any]:
    record, known = card.record, card.protocol.data.sha256 == FASHION_MNIST
    result = record.result
    metrics = [
        ("accuracy", "Test accuracy", result.accuracy),
        ("log_loss", "Log-loss, nats", result.log_loss),
        ("calibration_error", "Expected calibration error, 15 bins", result.calibration_error),
    ]
    dataset = {
        "name": card.data_set,
        "type": HUB_DATASET if known else "other",
        "split": "test",
    }
    return {
        **({"library_name": card.library} if card.library else {}),
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "fashion-mnist", "fmbench"],
        **({"datasets": [HUB_DATASET]} if known else {}),
        "metrics": ["accuracy"],
        "model-index": [
            {
                "name": record.run.model,
                "results": [
                    {
                        "task": {"type": "image-classification", "name": "Image classification"},
                        "dataset": dataset,
                        "metrics": [
                            {"type": kind, "value": value, "name": name}
                            for kind, name, value in metrics
                        ],
                        "source": {"name": "fmbench", "url": SOURCE},
                    }
                ],
            }
        ],
    }


def _head(card: Card) -> str:
    record, row = card.record, card.row
    result, run = record.result, record.run
    accuracy = result.accuracy or 0.0
    low, high = image_interval(accuracy, result.images)
    facts = {
        "test accuracy of these weights": f"{percent(accuracy)} % of {result.images:,} images; "
        f"95 % interval for new images of the same kind: {percent(low)} to {percent(high)} %",
        "log-loss": f"{result.log_loss:.4f} nats",
        "calibration error": f"{result.calibration_error:.4f}, 15 bins",
        "parameters": f"{record.cost.parameters:,}",
        "FLOPs of an image": short(record.cost.forward_flops),
    }
    if row and row.accuracy is not None:
        mean = f"{percent(row.accuracy)} % over {counted(row.seeds, 'seed')}"
        if row.accuracy_seed_low is not None:
            mean += f", {percent(row.accuracy_seed_low)} to {percent(row.accuracy_seed_high)} %"
        facts["its row on the board"] = mean
        ranks = rank_set(row.rank_best, row.rank_worst)
        facts["rank set"] = f"{ranks} of {len(card.board.rows)}" if ranks else "not ranked"
    else:
        facts["its row on the board"] = "this run does not count there"
    return (
        f"# {_safe(run.model)}, trained on {_safe(card.data_set)}\n\n"
        f"This model classifies grey images of 28 × 28 pixels into {CLASSES} classes. "
        f"[fmbench]({SOURCE}) trained it from random weights under its protocol "
        f"{_safe(run.protocol)}, and scored it once on the test set.\n\n" + _table(facts)
    )


def _use(card: Card) -> str:
    rounded = "\nThe weights were rounded to bfloat16 when they were stored.\n"
    return (
        "## Use\n\nIn this folder, this makes the model:\n\n"
        f"```python\n{card.loading}```\n\n"
        f"This prepares images as fmbench does, and gives their logits:\n\n"
        f"```python\n{preprocessing(card.protocol, card.size)}```\n"
        + (rounded if card.weights.rounded else "")
        + "\nThe classes: "
        + ", ".join(
            f"{number} {_safe(name)}"
            for number, name in enumerate(names_of_classes(card.protocol.data.sha256))
        )
        + "."
    )


def _training(card: Card) -> str:
    record, rules = card.record, card.protocol
    run, where = record.run, record.environment
    recipe, training = rules.recipe(run.recipe), rules.training
    augmentation = rules.augmentation(recipe)
    changes = [
        *([f"shifted by up to {augmentation.shift} pixels"] if augmentation.shift else []),
        *(["flipped"] if augmentation.flip else []),
    ]
    device = rules.devices[run.device_kind]
    images = rules.final.train_images
    cores = f", {counted(where.threads, 'thread')}" if where.device.kind == "cpu" else ""
    facts = {
        "protocol": f"{rules.id}, {rules.status}, digest {rules.digest[:12]}",
        "data": f"{card.data_set}, SHA-256 of its training images {rules.data.sha256.train_images}",
        "training images": f"{images:,}" if images else "all",
        "recipe": f"{run.recipe}: {recipe.optimizer}, learning rate {recipe.learning_rate:g}, "
        f"weight decay {recipe.weight_decay:g}",
        "augmentation": " and ".join(changes) or "none",
        "epochs": f"{rules.final.epochs}, batches of {training.batch_size}, {training.schedule} "
        "schedule",
        "label smoothing": f"{training.label_smoothing:g}",
        "precision": f"{device.precision} in forward passes",
        "seed": f"{run.seed}; the protocol has {', '.join(map(str, rules.seeds))}",
        "plugin": f"{run.plugin.distribution} {run.plugin.version}, "
        f"source {run.plugin.source[:12]}",
        "hardware": f"{where.device.name}{cores}",
        "time": f"{duration(record.cost.train_seconds)} of training",
        "energy": "not measured",
        "versions": f"fmbench {where.fmbench}, Python {where.python}, {versions(where.libraries)}",
        "record": f"{record.id}, {record.created}",
    }
    return "## Training\n\n" + _table(facts)


def _limits(card: Card) -> str:
    record, rules = card.record, card.protocol
    limits = [
        f"It knows {CLASSES} classes, and answers one of them whatever it is shown.",
        "It was trained on small grey images of one thing each, light on dark. Photographs have to "
        "be made alike first, as `fmbench predict` does; accuracy on them was not measured.",
        "The interval is about new images of the same kind, for this one run.",
        "The weights have no licence of their own yet: name one before you publish them.",
    ]
    if rules.tuning:
        limits.insert(
            2,
            "Its recipe was chosen on validation images; interval and ranks are conditional on it.",
        )
    if rules.devices[record.run.device_kind].precision == "bfloat16":
        limits.append(
            "It was trained and scored with forward passes in bfloat16: in float32 its logits are "
            "a little different."
        )
    if record.departure:
        limits.append(f"Not done as the protocol says: {_safe(record.departure)}.")
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits)


def _on_board(card: Card) -> str:
    notes = "\n".join(f"- {_safe(note)}" for note in card.board.notes)
    return (
        f"## The board it was measured on\n\n![Test accuracies of the models of "
        f"{_safe(card.protocol.id)}]({PICTURE})\n\n{notes}"
    )


def _table(facts: Mapping[str, str]) -> str:
    rows = "\n".join(f"| {name} | {_safe(fact)} |" for name, fact in facts.items())
    return f"| | |\n|:--|:--|\n{rows}"


def _safe(words: str) -> str:
    return inert(words).translate(_HARMLESS)


def _yaml(value: Mapping[str, Any] | Sequence[Any], depth: int = 0) -> Iterator[str]:
    """Data as YAML; its scalars are JSON, which YAML includes."""
    space = "  " * depth
    named = value.items() if isinstance(value, Mapping) else (("-", one) for one in value)
    for name, one in named:
        mark = name if name == "-" else f"{name}:"
        if not isinstance(one, Mapping | list):
            yield f"{space}{mark} {json.dumps(one, ensure_ascii=False)}\n"
        elif name == "-":  # its first line stands behind the mark
            inner = "".join(_yaml(one, depth + 1))
            yield f"{space}- {inner[len(space) + 2 :]}"
        else:
            yield f"{space}{mark}\n"
            yield from _yaml(one, depth + 1)

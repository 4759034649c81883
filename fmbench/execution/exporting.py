"""A run's kept weights as a folder in the form of a model hub's repository."""

from pathlib import Path

import msgspec
import numpy as np

from fmbench import files
from fmbench.data import FASHION_MNIST
from fmbench.discovery import ListedModel
from fmbench.errors import UsageError
from fmbench.execution import answering
from fmbench.hardware import cpu_device
from fmbench.leaderboard import card
from fmbench.leaderboard.board import Board, Row
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.records import Record
from fmbench.weights import Weights

WEIGHTS = "model.safetensors"
IMAGES = 8
_LOADING = {
    "timm": (
        "import timm\n\n"
        'model = timm.create_model("local-dir:.", pretrained=True).eval()\n'
        '# from the hub: timm.create_model("hf-hub:NAME/MODEL", pretrained=True)\n'
    ),
    "torch": (
        "from network import network\n"
        "from safetensors.torch import load_file\n\n"
        "model = network().eval()\n"
        f'model.load_state_dict(load_file("{WEIGHTS}"))\n'
    ),
    "plugin": (
        "from fmbench.loading import load_network  # with the plugin installed: see below\n\n"
        f'model = load_network("{WEIGHTS}")\n'
    ),
}


def export(
    record: Record,
    stored: StoredResults,
    board: Board,
    picture: str,
    kept: tuple[Weights, Path],
    model: ListedModel,
    folder: Path,
    *,
    timeout: float,
) -> list[Path]:
    """Write the folder, and return its files.

    board:   that of what is stored.
    picture: of the board, SVG.
    kept:    what the run's weights say of themselves, and their file.
    timeout: seconds that finding out how the network can be built may take.

    Raises `UsageError` when the folder is not empty, `StoreError` when it cannot be written, and
    what `answering.answer` raises.
    """
    weights, path = kept
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            "holds files already" if folder.is_dir() else "is no folder",
            where=str(folder),
            hint="name a new folder, or empty this one",
        )
    noise = np.random.RandomState(0).randint(0, 256, (IMAGES, 28, 28)).astype(np.uint8)
    form = answering.form(weights, path, model, noise, cpu_device(), timeout=timeout)
    row = next((one for one in board.rows if _is_of(record, one, stored)), None)
    about = card.Card(
        record=record,
        weights=weights,
        board=board,
        row=row,
        size=model.size,
        library="timm" if form.kind == "timm" else "",
        loading=_LOADING[form.kind],
    )
    texts = {
        "config.json": msgspec.json.format(
            msgspec.json.encode(card.configuration(about, form.config)), indent=2
        ).decode()
        + "\n",
        "README.md": card.model_card(about),
        card.PICTURE: picture,
    }
    if form.kind == "torch":
        texts["network.py"] = form.source
    if weights.protocol.data.sha256 == FASHION_MNIST:
        texts[".eval_results/fashion-mnist.yaml"] = card.evaluation_results(record)
    files.make_folder(folder)
    with files.open_regular(path) as file:
        files.write_stream(folder / WEIGHTS, files.pieces(file))
    for name, text in texts.items():
        files.make_folder((folder / name).parent)
        files.write(folder / name, text.encode())
    return [folder / name for name in (WEIGHTS, *texts)]


def _is_of(record: Record, row: Row, stored: StoredResults) -> bool:
    """Whether a run is one of those that a row rests on."""
    named = record.run.model, record.run.plugin.distribution
    return (row.model, row.distribution) == named and record in stored.entry(*named).ok

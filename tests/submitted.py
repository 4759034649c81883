"""Checkouts with published results, and pull requests with records for them, good and bad."""

import json
import os
import pickle
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

PUBLISHED = Path(__file__).parents[1] / "results" / "published"
BOARD = "lite-v1"
IN_CHECKOUT = Path("results", "published", BOARD)
MODEL = "vgg11-bn"
AUTHOR = {
    **{f"GIT_{who}_NAME": "x" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "x@example.org" for who in ("AUTHOR", "COMMITTER")},
    "GIT_CONFIG_GLOBAL": "/dev/null",
}


def write_checkouts(folder: Path, board: str = BOARD) -> tuple[Path, Path]:
    """A base whose board lacks one model, and a checkout that offers its records."""
    base, offered = folder / "base", folder / "offered"
    published = IN_CHECKOUT.with_name(board)
    shutil.copytree(PUBLISHED / board, base / published)
    for path in (base / published / "records").glob(f"{MODEL}-*"):
        path.unlink()
    (base / "README.md").write_text("A checkout.\n")
    shutil.copytree(base, offered)
    for path in (PUBLISHED / board / "records").glob(f"{MODEL}-*"):
        shutil.copy(path, offered / published / "records")
    return base, offered


def copy_model(results: Path, board: str = BOARD) -> Path:
    """A results folder of that model's records alone, whose protocol has a comment of its own.

    Returns the folder of the records.
    """
    store = results / board
    (store / "records").mkdir(parents=True)
    for path in (PUBLISHED / board / "records").glob(f"{MODEL}-*"):
        shutil.copy(path, store / "records")
    (kept,) = (PUBLISHED / board).glob("protocol-*.toml")
    (store / kept.name).write_text(f"# Another comment.\n{kept.read_text('utf-8')}", "utf-8")
    return store / "records"


def commit_all(checkout: Path) -> None:
    """Make a folder a checkout whose only branch has one more commit, of all that is in it."""
    for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "x")):
        subprocess.run(["git", "-C", checkout, *words], check=True, env={**os.environ, **AUTHOR})


def write_merge(base: Path, offered: Path) -> Path:
    """A checkout as GitHub makes it for a pull request: the merge of what is offered into base."""
    commit_all(base)
    (base / ".git").rename(offered / ".git")
    git = ("git", "-C", str(offered))
    for words in (
        ("switch", "--quiet", "--create", "offered"), ("add", "--all"),
        ("commit", "--quiet", "--allow-empty", "--message", "x"),
        ("switch", "--quiet", "--detach", "HEAD^"),
        ("merge", "--quiet", "--no-ff", "--message", "x", "offered"),
    ):  # fmt: skip
        subprocess.run([*git, *words], check=True, env={**os.environ, **AUTHOR})
    shutil.rmtree(base)
    return offered


def _new(records: Path, suffix: str) -> Path:
    """One of the files that are offered."""
    return sorted(records.glob(f"{MODEL}-final-s1-*{suffix}"))[0]


def forge(path: Path, change: Callable[[dict[str, dict[str, object]]], None]) -> None:
    """Change the fields of a record, whose key, name and form stay as they are."""
    fields = json.loads(path.read_text("utf-8"))
    change(fields)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(fields), indent=1) + b"\n")


def _forged_accuracy(records: Path) -> None:
    forge(_new(records, ".json"), lambda fields: fields["result"].update(correct=9_600))


def _link_out(records: Path) -> None:
    path = _new(records, ".npy")
    path.unlink()
    path.symlink_to("/etc/hostname")


def _linked_folder(records: Path) -> None:
    records.rename(records.parent / "elsewhere")
    records.symlink_to("elsewhere")


def _changed_record(records: Path) -> None:
    path = sorted(records.glob("softmax-final-*.json"))[0]
    path.write_bytes(path.read_bytes().replace(b'"correct"', b' "correct"'))


def _removed_record(records: Path) -> None:
    for path in sorted(records.glob("softmax-final-s1-*")):
        path.unlink()


def _huge_record(records: Path) -> None:
    os.truncate(_new(records, ".json"), 3_000_000)


def _huge_predictions(records: Path) -> None:
    os.truncate(_new(records, ".npy"), 3_000_000)


def _pickled(records: Path) -> None:
    np.save(_new(records, ".npy"), np.array([{}], object), allow_pickle=True)


def _bare_pickle(records: Path) -> None:
    _new(records, ".npy").write_bytes(pickle.dumps(list(range(10_000))))


def _deep(records: Path) -> None:
    _new(records, ".json").write_text("[" * 500_000)


def _pipe(records: Path) -> None:
    path = _new(records, ".npy")
    path.unlink()
    os.mkfifo(path)


def _line_end_in_a_name(records: Path) -> None:
    (records / "x\n::error::forged\n-final.json").write_text("{}")


def _markup_in_a_name(records: Path) -> None:
    (records / "<img src=x>-final-s1-00000000-0.json").write_text("{}")


def _no_text_as_a_name(records: Path) -> None:
    (Path(os.fsdecode(bytes(records) + b"/\xff.json"))).write_text("{}")


def _name_of_another_case(records: Path) -> None:
    path = _new(records, ".json")
    shutil.copy(path, records / path.name.upper())


def _copy(records: Path) -> None:
    path = _new(records, ".json")
    shutil.copy(path, records / path.name.replace("s1", "s9"))


def _another_page(records: Path) -> None:
    (records.parents[3] / "README.md").write_text("Mine.\n")


def _workflow(records: Path) -> None:
    folder = records.parents[3] / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "mine.yml").write_text("on: push\n")


def _claimed_tier(records: Path) -> None:
    folder = records.parent / "verifications"
    folder.mkdir(exist_ok=True)
    (folder / "2026-01-01T000000Z-00000000.json").write_text('{"tier": "re-run"}')


def _board_by_hand(records: Path) -> None:
    path = records.parent / "leaderboard.md"
    path.write_text(path.read_text("utf-8").replace("vgg11", "mine"), "utf-8")


def _other_labels(records: Path) -> None:
    path = records.parent / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[::-1])


def _other_protocol(records: Path) -> None:
    (path,) = records.parent.glob("protocol-*.toml")
    text = path.read_text("utf-8").replace("epochs = ", "epochs = 1", 1)
    path.with_name("protocol-00000000.toml").write_text(text, "utf-8")


def _extended_protocol(records: Path) -> None:
    (records.parent / "protocol-00000000.toml").write_text('extends = "/dev/zero"\n')


def _deep_protocol(records: Path) -> None:
    (records.parent / "protocol-00000000.toml").write_text("x = " + 20_000 * "[")


def _own_protocol(records: Path) -> None:
    shutil.copytree(records.parent, records.parents[1] / "mine-v1")


def _another_protocols_record(records: Path) -> None:
    other = sorted((PUBLISHED / "quick-v1" / "records").glob(f"{MODEL}-*.json"))[0]
    shutil.copy(other, records)


def _no_commit(records: Path) -> None:
    path = _new(records, ".json")
    forge(path, lambda fields: fields["environment"].update(commit="::error::forged"))


def _predictions_of_no_record(records: Path) -> None:
    _new(records, ".json").unlink()


def _predictions_of_a_tune_run(records: Path) -> None:
    tune = sorted(records.glob(f"{MODEL}-tune-*.json"))[0]
    shutil.copy(_new(records, ".npy"), tune.with_suffix(".npy"))


def _long_log(records: Path) -> None:
    _new(records, ".json").with_suffix(".log").write_bytes(b"x" * 300_000)


def _submodule(records: Path) -> None:
    (records.parents[3] / "module").mkdir()


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "a link that leads out": (_link_out, "is a link"),
    "a folder that is a link": (_linked_folder, "is a link now, and was a folder"),
    "a changed record": (_changed_record, "is changed"),
    "a removed record": (_removed_record, "is removed"),
    "a huge record": (_huge_record, "it is larger than"),
    "huge predictions": (_huge_predictions, "does not fit its record"),
    "pickled predictions": (_pickled, "does not fit its record"),
    "predictions that are a pickle": (_bare_pickle, "does not fit its record"),
    "a deep record": (_deep, "is not a record"),
    "a pipe": (_pipe, "is a special file"),
    "a line end in a name": (_line_end_in_a_name, r"\n::error::forged\n"),
    "markup in a name": (_markup_in_a_name, "is no file of a submission"),
    "a name that is no text": (_no_text_as_a_name, r"\udcff"),
    "a name of another case": (_name_of_another_case, "is no file of a submission"),
    "a copy under another name": (_copy, "is not called as its record is"),
    "a change of another page": (_another_page, "README.md is changed"),
    "a workflow": (_workflow, "is no file of a submission"),
    "a tier that is claimed": (_claimed_tier, "is no file of a submission"),
    "a board changed by hand": (_board_by_hand, "leaderboard.md is changed"),
    "other labels": (_other_labels, "is changed"),
    "another protocol of that name": (_other_protocol, "is not the protocol lite-v1"),
    "a protocol that names a file": (_extended_protocol, "it extends another file"),
    "a deep protocol": (_deep_protocol, "is not a protocol: maximum recursion depth exceeded"),
    "a protocol of one's own": (_own_protocol, "which is no protocol of fmbench"),
    "a record of another protocol": (_another_protocols_record, "is not a record of lite-v1"),
    "a record without a commit": (_no_commit, "names no commit of fmbench"),
    "predictions of no record": (_predictions_of_no_record, "belongs to no record"),
    "predictions of a tune run": (_predictions_of_a_tune_run, "belongs to no record"),
    "a log that is too long": (_long_log, "does not fit its record"),
    "an empty folder": (_submodule, "is an empty folder"),
}
"""What `fmbench accept` refuses of a checkout, and what it says."""

FALSE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a forged accuracy": (_forged_accuracy, "it says 9,600 are right"),
}
"""What it cannot see, and `fmbench verify` does, and what that says."""

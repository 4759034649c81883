"""A plugin imported alone: an interpreter of its own that says what came with it.

`python -P -m fmbench.testing.importing VALUE ANSWER PARENT` loads what an entry point's value
names, asks it for its models, and answers with `Imported` as JSON in a file.
"""

import os
import signal
import subprocess
import sys
import traceback
from importlib import metadata
from pathlib import Path

import msgspec
from msgspec import Struct

from fmbench import files, processes
from fmbench.contract import Family
from fmbench.testing.facts import Fault, may_be_the_plugins, told
from fmbench.testing.surroundings import Surroundings, random_streams
from fmbench.testing.watch import Watch

SECONDS = 60
HEAVY = "torch"


class Imported(Struct, frozen=True, kw_only=True):
    """What an import and the listing of models left behind.

    heavy:   the file and line that imported torch; empty when none did.
    changes: what is different in the process, in words.
    network: what was wanted from the network.
    writes:  what was changed outside the plugin's folder.
    fault:   what the import or the listing raised.
    """

    heavy: str = ""
    changes: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    fault: str = ""


def import_alone(value: str, folder: Path) -> Imported:
    """Import what an entry point's value names in a fresh interpreter that works in `folder`.

    Raises `Fault` when that interpreter gives no answer.
    """
    answer = folder / "imported.json"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    child = subprocess.Popen(
        [
            *processes.PYTHON_MODULE,
            "fmbench.testing.importing",
            value,
            str(answer),
            str(os.getpid()),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": path},
        start_new_session=True,
    )
    try:
        how = processes.how_it_ended(child.wait(SECONDS))
    except subprocess.TimeoutExpired:
        how = f"no answer within {SECONDS} s"
    finally:
        processes.end(child)
    imported = files.read_json(answer, Imported)
    if imported is None:
        raise Fault(f"importing {value} in an interpreter of its own ended with {how}")
    return imported


def main(value: str, answer: str, parent: str) -> None:
    """Import and answer; the only thing this child does."""
    processes.end_with_parent(signal.SIGKILL, int(parent))
    processes.adopt_orphans()
    finder, watch = _Witness(), Watch(Path(answer).parent)
    sys.meta_path.insert(0, finder)
    before, streams, fault = Surroundings(), random_streams(), ""
    with watch.on("import"):
        try:
            loaded = metadata.EntryPoint(name="plugin", value=value, group="").load()
            for offer in loaded.fmbench_models():
                if isinstance(offer, Family):
                    for name in offer.listed:
                        offer.resolve(name)
        except BaseException as error:  # whatever a plugin raises, SystemExit too
            fault = told(error)
    changes = before.changes_since()
    now = random_streams()
    changes += [f"the random stream of {name}" for name in streams if now[name] != streams[name]]
    before.restore()
    imported = Imported(
        heavy=finder.importer if HEAVY in sys.modules else "",
        changes=tuple(changes),
        network=tuple(watch.network),
        writes=tuple(watch.writes),
        fault=fault,
    )
    files.write(Path(answer), msgspec.json.encode(imported))
    processes.kill_descendants()
    os._exit(0)  # threads or exit handlers a plugin left behind do not delay the answer


class _Witness:
    """Finds nothing, but sees who imports torch first."""

    importer = ""

    def find_spec(self, name: str, *_: object) -> None:
        if name == HEAVY and not self.importer:
            for frame in traceback.extract_stack()[:-1]:  # from the outside in
                if may_be_the_plugins(frame.filename):
                    self.importer = f"{Path(frame.filename).name}, line {frame.lineno}"
                    return


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3])

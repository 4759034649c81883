"""The data set over https, from its authors' two addresses and one mirror."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue
from time import monotonic

from fmbench.data.dataset import FILES, read
from fmbench.errors import DataError
from fmbench.protocol import Digests

MIRRORS = (
    "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
)
_CONNECT = 10.0  # seconds, for all mirrors together: a closed network fails fast
_SILENCE = 30.0  # seconds without a byte
_RETRIES = 1


def fetch(work: Path, digests: Digests, *, progress: bool, say: Callable[[str], None]) -> Path:
    """Download the four files into `work`, an empty folder, verify them, and return it.

    A file that a mirror lacks or has wrong comes from the next one. Raises `DataError` with every
    mirror's reason, a line each.
    """
    import pooch

    end = monotonic() + _CONNECT
    answers = {mirror: _knock(mirror) for mirror in MIRRORS}
    downloader = pooch.HTTPDownloader(
        progressbar=progress and sys.stderr.isatty(),  # somebody looks at it
        chunk_size=1 << 16,
        timeout=(_CONNECT, _SILENCE),
        headers={"Accept-Encoding": "identity"},
    )
    pooch.get_logger().setLevel("WARNING")  # `say` does the talking
    reasons = []
    todo = list(FILES)
    for mirror, answer in answers.items():
        if reason := _wait(answer, end):
            reasons.append(f"{mirror}: {reason}")
            continue
        say(f"downloading {len(todo)} files from {mirror}")
        try:
            while todo:
                file = f"{todo[0]}.gz"
                pooch.create(
                    path=work, base_url=mirror, registry={file: None}, retry_if_failed=_RETRIES
                ).fetch(file, downloader=downloader)
                read(work, todo[0], digests)
                todo.pop(0)
        except DataError as error:
            (work / file).unlink(missing_ok=True)
            reasons.append(f"{mirror}: {file}: {error.what}")
        except (OSError, ValueError) as error:
            reasons.append(f"{mirror}: {file}: {_plainly(error)}")
        if not todo:
            return work
    raise DataError("\n".join(reasons))


def _knock(mirror: str) -> "Queue[str]":
    """Ask a mirror whether it is there; the queue gets "" or why it is not.

    In a thread that nobody waits for: a name server or a firewall that swallows packets can hold a
    request for minutes, whatever its own time limit.
    """
    heard: Queue[str] = Queue()

    def ask() -> None:
        import requests

        try:
            requests.head(f"{mirror}{FILES[1]}.gz", timeout=_CONNECT, allow_redirects=True)
            heard.put("")  # whatever the status: the download says it better
        except (OSError, ValueError) as error:
            heard.put(_plainly(error))

    threading.Thread(target=ask, daemon=True).start()
    return heard


def _wait(answer: "Queue[str]", end: float) -> str:
    """Return a mirror's answer, given by the time `end` or taken for silence."""
    try:
        return answer.get(timeout=max(0.0, end - monotonic()))
    except Empty:
        return f"no answer within {_CONNECT:.0f} s"


def _plainly(error: Exception) -> str:
    """Say in a few words what the libraries below say in a paragraph."""
    import requests

    match error:
        case requests.HTTPError() if error.response is not None:
            return f"HTTP status {error.response.status_code}"
        case requests.exceptions.ProxyError():
            return "the proxy does not let us through"
        case requests.exceptions.SSLError():
            return "its certificate is not trusted"
        case requests.Timeout():
            return "it stopped answering"
        case requests.ConnectionError() if "resol" in str(error).lower():
            return "its name does not resolve: is there a network?"
        case requests.ConnectionError():
            return "no connection"
        case OSError() if error.strerror:
            return error.strerror
    return str(error)

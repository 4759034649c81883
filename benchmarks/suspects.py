"""Find the suspect images of Fashion-MNIST and write the list that comes with fmbench.

    python benchmarks/suspects.py [--write]

Takes the data set that `fmbench data` finds and the published records of lite-v1, and prints what
it finds. Ends with 1 when that is not what fmbench/data/suspects.json says, unless it writes it.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import script
from fmbench import data
from fmbench.contract import CLASSES
from fmbench.data import suspects
from fmbench.data.suspects import DoubtfulLabel, DoubtfulLabels, Suspects
from fmbench.data.twins import near_twins
from fmbench.leaderboard.stored_results import StoredResults, digest_of
from fmbench.store import Store

BOARD = "lite-v1"
PATH = Path(suspects.__file__).with_name(suspects.FILE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Find both kinds."""
    parser = script.bare_parser(__doc__)
    parser.add_argument("--write", action="store_true", help="write the list")
    options = parser.parse_args(arguments)
    found = suspects.sealed(
        Suspects(
            schema=suspects.SCHEMA,
            made_by="python benchmarks/suspects.py --write",
            data=data.FASHION_MNIST,
            near_twins=near_twins(data.load(data.find())),
            doubtful_labels=doubtful_labels(),
        )
    )
    text = suspects.encode(found)
    for count in found.near_twins.counts:
        script.say(str(count))
    doubts = found.doubtful_labels
    script.say(f"{len(found.near_twins.images)} near-twins, {found.near_twins.duplicates}")
    script.say(
        f"{len(doubts.images)} doubtful labels, {doubts.unanimous} by all {doubts.runs} runs"
    )
    if options.write:
        PATH.write_text(text, "utf-8")
        return 0
    return int(PATH.read_text("utf-8") != text)


def doubtful_labels() -> DoubtfulLabels:
    """What the published runs say against the labels."""
    stored = StoredResults(Store(script.PUBLISHED, BOARD))
    entries = [entry for entry in stored.entries if entry.ok]
    predictions = np.concatenate([stored.predictions(entry) for entry in entries])
    labels = stored.labels
    votes = np.stack([(predictions == label).sum(axis=0) for label in range(CLASSES)], axis=1)
    against = votes.copy()
    against[np.arange(len(labels)), labels] = 0
    most = against.max(axis=1)
    images = sorted(np.flatnonzero(most >= suspects.AT_LEAST), key=lambda one: (-most[one], one))
    return DoubtfulLabels(
        rule=suspects.DOUBT_RULE,
        protocol=stored.protocol.id,
        protocol_digest=stored.protocol.digest,
        records=digest_of([record for entry in entries for record in entry.ok]),
        runs=len(predictions),
        at_least=suspects.AT_LEAST,
        unanimous=int((most == len(predictions)).sum()),
        images=tuple(DoubtfulLabel(int(one), tuple(votes[one].tolist())) for one in images),
    )


if __name__ == "__main__":
    script.run(main)

"""How far apart runs of other seeds lie under a protocol that has one seed.

    python benchmarks/seed_spread.py quick-v1 RESULTS

writes fmbench/protocols/quick-v1.spread.json from the final runs in RESULTS, made under a copy of
the protocol's file in which `seeds` alone is longer:

    fmbench run --all --protocol my-copy.toml --results RESULTS

`fmbench reproduce` tells by that file whether another run is as near as another seed would be.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

import script
from fmbench import protocol
from fmbench.leaderboard.spread import Kept, KeptSpreads
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.store import Store

PROTOCOLS = Path(protocol.__file__).with_name("protocols")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file."""
    parser = script.bare_parser(__doc__)
    parser.add_argument("protocol", choices=protocol.names())
    parser.add_argument("results", type=Path)
    options = parser.parse_args(arguments)
    of = protocol.load(options.protocol)
    kept = spreads(of, options.results)
    path = PROTOCOLS / f"{of.id}.spread.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
    for name, one in kept.models.items():
        accuracies = [100 * right / one.images for right in one.correct]
        print(f"{name:<36} {min(accuracies):.2f} to {max(accuracies):.2f} %")
    return 0


def spreads(of: protocol.Protocol, results: Path) -> KeptSpreads:
    """What the runs of each model say; raises `SystemExit` when they were made by other rules."""
    stored = StoredResults(Store(results, of.id))
    if msgspec.structs.replace(stored.protocol, seeds=of.seeds).digest != of.digest:
        raise SystemExit(f"the runs in {results} differ from {of.id} in more than seeds")
    whole = [entry for entry in stored.entries if len(entry.ok) == len(stored.protocol.seeds)]
    run, where = whole[0].ok[0].run, whole[0].ok[0].environment
    return KeptSpreads(
        digest=of.digest,
        device=where.device.name,
        torch=run.torch,
        models={
            f"{entry.plugin.distribution}:{entry.model}": Kept(
                correct=tuple(one.result.correct or 0 for one in entry.ok),
                images=entry.ok[0].result.images,
                noise=stored.sample(entry).image_noise,
            )
            for entry in whole
        },
    )


if __name__ == "__main__":
    script.run(main)

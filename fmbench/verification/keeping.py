"""A verification left beside the board it is about."""

import secrets
from datetime import UTC, datetime
from pathlib import Path

from fmbench import files
from fmbench.environment import Environment
from fmbench.errors import StoreError
from fmbench.leaderboard.tiers import (
    VERIFICATIONS,
    Tier,
    Verification,
    VerifiedRun,
    height,
    runs_verified,
)
from fmbench.store import Store
from fmbench.verification.findings import Verdict


def keep(verdict: Verdict, environment: Environment, seed: int | None) -> Path | None:
    """Write what was found true, and return where; None when nothing is new since the last time.

    Raises `StoreError` when the folder cannot be written.
    """
    store = verdict.store
    runs = {
        run.stem: VerifiedRun(
            tier=run.tier, record=run.record, predictions=run.predictions, came_out=run.came_out
        )
        for run in verdict.runs
        if run.tier
    }
    known = _known(store)
    if all(height(run.tier) <= height(known.get((stem, run.record))) for stem, run in runs.items()):
        return None
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    name = f"{now.replace(':', '')}-{secrets.token_hex(4)}.json"
    folder = files.make_folder(store.folder / VERIFICATIONS)
    if folder.is_symlink():
        raise StoreError("the folder is a link", where=str(folder), hint="remove the link")
    kept = Verification(
        created=now,
        environment=environment,
        seed=seed,
        protocols=verdict.protocols,
        runs=runs,
    ).sealed()
    files.write_new(folder / name, kept.encoded())
    return folder / name


def _known(store: Store) -> dict[tuple[str, str], Tier]:
    """The highest tier that earlier verifications give each record, by stem and digest."""
    known: dict[tuple[str, str], Tier] = {}
    for stem, run in runs_verified(store):
        of = stem, run.record
        known[of] = max(run.tier, known.get(of, run.tier), key=height)
    return known

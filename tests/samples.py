"""Records made to order, for tests that need no training."""

from typing import Any

import msgspec

from fmbench.environment import Environment
from fmbench.hardware import Device
from fmbench.records import Cost, Plugin, Record, Result, Run

PLUGIN = Plugin(
    distribution="plugin-a", version="1.0", entry="a", source="0" * 64, dependencies={"torch": "2"}
)
RUN = Run(
    model="m",
    plugin=PLUGIN,
    protocol="tiny-v1",
    protocol_digest="d" * 64,
    stage="final",
    recipe="adamw",
    seed=1,
    device_kind="cpu",
    semantics=1,
    torch="2.0",
)
ENVIRONMENT = Environment(
    device=Device(kind="cpu", name="A CPU", memory=1, facts={"model": "1"}),
    cpu="A CPU",
    cores=2,
    threads=2,
    memory=1,
    os="Linux",
    python="3.11",
    libraries={},
    fmbench="0",
    commit="",
)


def run(**changes: Any) -> Run:
    """A run with some fields changed."""
    return msgspec.structs.replace(RUN, **changes)


def record(
    of: Run = RUN,
    *,
    status: Any = "ok",
    correct: int = 80,
    images: int = 100,
    log_loss: float = 0.5,
    created: str = "2026-01-01T00:00:00Z",
    id: str = "00000000",  # noqa: A002 - the record's own word
) -> Record:
    """A record of a run, scored when its status is ok."""
    ok = status == "ok"
    return Record(
        id=id,
        key=of.key,
        created=created,
        reproducibility="bitwise",
        run=of,
        result=Result(
            status=status,
            images=images if ok else 0,
            correct=correct if ok else None,
            log_loss=log_loss if ok else None,
            calibration_error=0.1 if ok else None,
            curve=(1.0, 0.5),
        ),
        cost=Cost(train_seconds=2.0, images_per_second=50.0, parameters=10, forward_flops=20),
        environment=ENVIRONMENT,
    )

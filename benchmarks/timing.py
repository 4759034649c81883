"""What one training of a contender took, and rounds of them in turn."""

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Seconds of training alone, images trained on, and their mean loss (the floor's: its last).

    Raises `ValueError` when the clock never ran.
    """

    seconds: float
    images: int
    loss: float

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise ValueError(f"training took {self.seconds} s: the clock never ran")


def take_turns(
    contenders: Mapping[str, Callable[[], Timing]],
    rounds: int,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, list[Timing]]:
    """Let each contender train once a round, all of them in turn: A B C, A B C and so on.

    What slows the machine for a while then slows neighbours in one round, and spares ratios taken
    within it. What a contender leaves behind is collected before the next one begins.
    """
    timings: dict[str, list[Timing]] = {name: [] for name in contenders}
    for number in range(1, rounds + 1):
        for name, train in contenders.items():
            gc.collect()
            timings[name].append(train())
            say(f"round {number} of {rounds}, {name}: {timings[name][-1].seconds:.2f} s")
    return timings

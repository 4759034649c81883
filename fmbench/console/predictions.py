"""Predictions for pictures on a terminal: a line each, and what was done to them as talk."""

from collections.abc import Sequence

from fmbench.console.stream import complain, print_table, say
from fmbench.execution.predicting import Prediction
from fmbench.wording import percent

ORDER = ("label", "second", "third")
"""What the columns of the most probable classes are called."""


def print_predictions(found: Sequence[Prediction], names: Sequence[str]) -> None:
    """The three best classes of each picture; what was done to it, and bad files, as talk.

    names: of the classes.
    """
    lines = []
    for one in found:
        for note in one.notes:
            say(f"{one.path}: {note}")
        if one.fault:
            complain(f"{one.path}: {one.fault}")
            continue
        line = {"file": str(one.path)}
        for place, (number, share) in enumerate(one.best(len(ORDER))):
            line |= {ORDER[place]: names[number], f"{ORDER[place]} %": percent(share, 1)}
        lines.append(line)
    print_table(lines, wrapping="file")

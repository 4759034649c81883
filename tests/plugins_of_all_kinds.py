"""Source code of plugins, good and bad, for tests to install."""

HEADER = """
import fmbench

def linear(spec):
    from torch import nn
    return nn.Sequential(nn.Flatten(), nn.Linear(spec.channels * spec.size**2, spec.classes))
"""


def offering(*models: str, extra: str = "") -> str:
    """A module that offers models by the expressions of their build functions."""
    listed = ", ".join(
        f"fmbench.Model({name!r}, {build})" for name, build in (one.split("=", 1) for one in models)
    )
    return f"{HEADER}\n{extra}\n@fmbench.hookimpl\ndef fmbench_models():\n    return [{listed}]\n"


GOOD = offering("good=linear")
CONVOLUTION = """
def convolution(spec):
    from torch import nn
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(),
                         nn.Flatten(), nn.Dropout(0.5), nn.Linear(4 * 13 * 13, spec.classes))
"""
UNPRINTABLE = """
class Unprintable(Exception):
    def __str__(self): raise RuntimeError("on purpose")
"""

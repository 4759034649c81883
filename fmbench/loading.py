"""Kept weights as a network in Python, where fmbench and the plugin are installed."""

from pathlib import Path
from typing import TYPE_CHECKING

from fmbench import weights
from fmbench.contract import InputSpec
from fmbench.discovery.child import load_model
from fmbench.discovery.entries import entry_of
from fmbench.errors import PluginError, UsageError

if TYPE_CHECKING:
    from torch import nn


def load_network(path: str | Path) -> "nn.Module":
    """The network of a file of kept weights, in evaluation mode, on the CPU.

    It maps float32 images (n, 1, size, size), prepared as the model card says, to logits (n, 10).
    The plugin's code runs in this process.

    Raises `UsageError` when the file holds no kept weights, and `PluginError` when the plugin is
    not installed or does not offer the model any more.
    """
    from fmbench.training import states

    try:
        run = weights.read(Path(path).resolve()).run
    except (OSError, ValueError) as error:
        raise UsageError(
            f"cannot be used: {error}",
            where=str(path),
            hint="name a file that `fmbench run --keep-weights` or `fmbench export` has written",
        ) from error
    entry = entry_of(run.plugin)
    if entry is None:
        raise PluginError(
            "it is not installed",
            where=f"{run.plugin.distribution} {run.plugin.version}",
            hint=f"install the plugin that offers {run.model}",
        )
    model = load_model(entry, run.model)
    network = model.build(InputSpec(size=model.size))
    states.load(network, Path(path))
    return network.eval()

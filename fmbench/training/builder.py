"""Networks as a model builds them, each with parameters of its own."""

import weakref

from torch import nn
from torch.nn.parameter import is_lazy

from fmbench.contract import InputSpec, Model
from fmbench.errors import PluginError


class Builder:
    """Builds networks of one model, one after another; it keeps none of them alive."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._parameters: list[weakref.ref[nn.Parameter]] = []

    def build(self) -> nn.Module:
        """A new network, drawn from the random streams as they stand.

        Raises `PluginError` when it is not an nn.Module, when a parameter or buffer has no shape or
        no values yet, and when a trainable parameter is that of an earlier network: it may have
        been trained.
        """
        network = self._model.build(InputSpec(size=self._model.size))
        if not isinstance(network, nn.Module):
            raise PluginError(
                f"build returned a {type(network).__name__}, not an nn.Module",
                hint="return the network itself",
            )
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            if is_lazy(tensor):
                raise PluginError(
                    f"build returned a network whose {name} has no shape yet",
                    hint="give lazy layers their sizes, or pass a batch of zeros through it once",
                )
            if tensor.is_meta:
                raise PluginError(
                    f"build returned a network whose {name} lies on the device meta",
                    hint="build it on the CPU; the worker moves it to the device of the run",
                )
        trainable = [one for one in network.parameters() if one.requires_grad]
        alive = {id(one) for known in self._parameters if (one := known()) is not None}
        if not alive.isdisjoint(map(id, trainable)):
            raise PluginError(
                "build returned parameters of an earlier network, which may be trained",
                hint="make every layer in build: keep none in a module or behind functools.cache",
            )
        self._parameters += map(weakref.ref, trainable)
        return network

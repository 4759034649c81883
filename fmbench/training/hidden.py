"""What a model keeps outside its state dict, and whether training changes it."""

import hashlib
import random
from collections import deque
from collections.abc import Iterator
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.device, torch.dtype, type)
_TORCHS_OWN = {*vars(nn.Module()), "training"}


def attributes(model: nn.Module) -> dict[str, dict[str, str]]:
    """The comparable attributes of each module, by its name: see `hidden_state`."""
    own = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    own |= {id(tensor) for tensor in _computed_anew(model)}
    kept = model.state_dict().keys()
    found = {}
    for name, module in model.named_modules():
        passing = {
            short: _told_or_not(buffer, set())
            for short, buffer in module.named_buffers(recurse=False)
            if f"{name}.{short}".lstrip(".") not in kept
        }
        mine = {
            short: _told_or_not(value, own)
            for short, value in vars(module).items()
            if short not in _TORCHS_OWN
        }
        found[name] = {short: said for short, said in {**mine, **passing}.items() if said}
    return found


def _computed_anew(model: nn.Module) -> Iterator[Tensor]:
    """Weights that torch's old weight and spectral norms and its pruning compute in each pass.

    They compute them from parameters and buffers, and keep them in attributes.
    """
    for module in model.modules():
        for hook in module._forward_pre_hooks.values():
            match hook:
                case WeightNorm() | SpectralNorm():
                    yield getattr(module, hook.name)
                case BasePruningMethod():
                    yield getattr(module, hook._tensor_name)


def hidden_state(fresh: dict[str, dict[str, str]], trained: nn.Module) -> str:
    """Name something training has changed that a state dict does not hold; "" when there is none.

    fresh: the `attributes` of the model before it was trained.

    A model with such state cannot be resumed to the bit: it has to start again. Buffers that are
    not persistent, and attributes of modules that are plain values, tensors, arrays, random
    generators or containers of them, are compared; what else an object may hide is not looked into.
    """
    for name, now in attributes(trained).items():
        for attribute, value in now.items():
            if fresh.get(name, {}).get(attribute) != value:
                return f"{attribute} of {name or 'the model'}"
    return ""


def _told_or_not(value: object, own: set[int]) -> str:
    """What `_as_text` says; nothing of what fails when it is looked at."""
    try:
        return _as_text(value, own)
    except Exception:  # a tensor without values, or a plugin's own __repr__ or __iter__
        return ""


def _as_text(value: object, own: set[int]) -> str:
    """What a value holds, as comparable text; "" for what cannot be read.

    own: the ids of what is read elsewhere. Such are the model's parameters and buffers, which are
         in the state dict, and what is computed from them; recurrent layers of torch keep a list.
    """
    if id(value) in own:
        return ""
    match value:
        case Tensor():
            return hashlib.sha256(bytes_of(value)).hexdigest()
        case np.ndarray():
            content = np.ascontiguousarray(value).tobytes()
            return f"{value.dtype} {value.shape} {hashlib.sha256(content).hexdigest()}"
        case torch.Generator():
            return _as_text(value.get_state(), own)
        case np.random.Generator():
            return _as_text(value.bit_generator.state, own)
        case np.random.RandomState():
            return _as_text(value.get_state(legacy=False), own)
        case random.Random():
            return repr(value.getstate())
        case dict() | list() | tuple() | deque() | set() | frozenset():
            items = chain.from_iterable(value.items()) if isinstance(value, dict) else value
            inside = own | {id(value)}  # it may hold itself
            said = [_as_text(one, inside) for one in items]
            if isinstance(value, set | frozenset):
                said.sort()
            return f"[{', '.join(said)}]"  # a repr would double what is in it at each depth
    return repr(value) if isinstance(value, _PLAIN) else ""


def bytes_of(value: Tensor) -> memoryview:
    """A tensor's values in C order, whatever its dtype and layout."""
    plain = value.detach().cpu().to_dense().resolve_conj().resolve_neg()
    flat = plain.contiguous().view(-1)
    return flat.view(torch.uint8).numpy().data

"""Names: a model and what was asked for come in, its layers under their names go out."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from sensor_ad.errors import UsageError

COMPILED = "_orig_mod"
"""Under this name torch.compile keeps the module that it wraps."""
MOST_NAMED = 30
"""A message lists so many layers at most; of a larger network it tells the nearest ones."""
NEAREST = 5


def network_of(model: nn.Module) -> nn.Module:
    """Look through torch.compile and (Distributed)DataParallel to the network itself."""
    while True:
        if isinstance(model, nn.DataParallel | DistributedDataParallel):
            model = model.module
        elif COMPILED in model._modules:
            model = model.get_submodule(COMPILED)
        else:
            return model


def names_of(network: nn.Module) -> dict[str, nn.Module]:
    """Give every layer by its dotted name, a module with several names under each of them.

    What torch.compile put between is left out, so names are those of the network before it.
    """
    found: dict[str, nn.Module] = {}
    for name, module in network.named_modules(remove_duplicate=False):
        plain = _plain(name)
        if plain:
            found[plain] = module
    return found


def can_run(module: nn.Module) -> bool:
    """Return whether the module can be called: a ModuleList, for one, only holds others."""
    return type(module).forward is not nn.Module.forward


def chosen_layers(model: nn.Module, asked: str | Sequence[str]) -> dict[str, nn.Module]:
    """Find the layers asked for.

    Parameters
    ----------
    model
        The network, or what torch.compile or DataParallel made of it.
    asked
        A dotted name, names, or patterns such as ``encoder.*`` (``*`` stands for dots too).

    Returns
    -------
    Name -> module, in the order asked for, then in the network's order.

    Raises
    ------
    UsageError
        A layer does not exist, nothing matches a pattern, or TorchScript runs a layer.
    """
    known = names_of(network_of(model))
    chosen: dict[str, nn.Module] = {}
    for name in [asked] if isinstance(asked, str) else asked:
        if is_pattern(name) and name not in known:
            fitting = [key for key in known if fnmatchcase(key, name) and can_run(known[key])]
            if not fitting:
                raise UsageError(_none("layer that matches", name, list(known)))
            chosen |= {key: known[key] for key in fitting}
        else:
            chosen[name] = _layer(model, name, known)
    if not chosen:
        raise UsageError("no layer was named; name one, several, or a pattern such as 'encoder.*'.")
    for name, module in chosen.items():
        if isinstance(module, torch.jit.ScriptModule):
            raise UsageError(
                f"the layer {name!r} is TorchScript, whose layers run where hooks are not called; "
                "take features from the network as it was before torch.jit."
            )
    return chosen


def is_pattern(name: str) -> bool:
    """Return whether a name stands for several."""
    return any(sign in name for sign in "*?[")


def _layer(model: nn.Module, name: str, known: dict[str, nn.Module]) -> nn.Module:
    """Find one layer, by the wrapped model's name for it too (`_orig_mod.0`, `module.0`)."""
    wrapped: dict[str, Any] = {} if name in known else dict(model.named_modules())
    if name and name in known | wrapped:
        module: nn.Module = (known | wrapped)[name]
        return module
    raise UsageError(_none("layer", name, list(known)))


def _plain(name: str) -> str:
    return ".".join(part for part in name.split(".") if part != COMPILED)


def _none(what: str, name: str, known: list[str]) -> str:
    if len(known) > MOST_NAMED:
        near = difflib.get_close_matches(name, known, NEAREST, 0.4)
        hint = f"the nearest names are {', '.join(near)}" if near else "no name is near"
        return (
            f"the network has no {what} {name!r} among its {len(known)}; {hint}; layers_of(model) "
            "lists all."
        )
    near = difflib.get_close_matches(name, known, 1, 0.4)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"the network has no {what} {name!r}; it has {', '.join(known) or 'no layers'}{hint}"

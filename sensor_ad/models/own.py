"""A network of the user's own: an import path comes in, their module behind our contract goes out.

Their class is made with `channels`, `window` and the config's `model.options`, as far as its
constructor takes them, and called with windows: ``forward(values)`` or ``forward(values, mask)``,
both (N, C, L), to give the reconstruction (N, C, L). A class that is a `Network` already is taken
as it is.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import torch
from torch import nn

from sensor_ad.errors import UsageError
from sensor_ad.models.network import Network, Output, WindowNetwork

SIZES = ("channels", "window", "latent", "width", "known")
USUAL_LAYERS = ("bottleneck", "encoder")
"""Layers that are taken for the latents when the config names none."""


class OwnNetwork(WindowNetwork):
    """The user's module, led over windows.

    Parameters
    ----------
    module
        Theirs.
    channels, window
        C and L.
    path
        Its import path, for messages.
    """

    bottleneck_name = ""

    def __init__(self, module: nn.Module, channels: int, window: int, path: str) -> None:
        super().__init__(channels, window)
        self.path = path
        self.module = module
        self.width = max((p.shape[0] for p in module.parameters() if p.ndim > 1), default=1)
        self._takes_mask = _takes_two(module)

    def take_layer(self, layer: str | None) -> None:
        """Take a layer by its name within the user's module; without one, a usual name."""
        names = [name for name, _ in self.module.named_modules() if name]
        if layer is None:
            layer = next((usual for usual in USUAL_LAYERS if usual in names), None)
        if layer not in names:
            what = f"no layer {layer!r}" if layer else f"none called {' or '.join(USUAL_LAYERS)}"
            raise UsageError(
                f"the network {self.path} has {what}; set model.layer to the one whose outputs are "
                f"the latents: {', '.join(names) or 'it has no layers'}."
            )
        self.bottleneck_name = f"module.{layer}"

    def forward_window(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor | Output:
        """Call the user's module, hidden cells being 0."""
        shown = values * mask
        result = self.module(shown, mask) if self._takes_mask else self.module(shown)
        if isinstance(result, tuple | list) and result:
            result = result[0]
        if isinstance(result, Output):
            return result
        if not isinstance(result, torch.Tensor) or result.shape != values.shape:
            tensor = isinstance(result, torch.Tensor)
            given = tuple(result.shape) if tensor else f"a {type(result).__name__}"
            raise UsageError(
                f"the network {self.path} gave {given}, a reconstruction of the shape "
                f"{tuple(values.shape)} was expected: (windows, tags, rows) as it was given."
            )
        return result


def own_network(
    path: str,
    channels: int,
    window: int,
    sizes: dict[str, Any],
    options: dict[str, Any],
) -> Network:
    """Import and make the user's network.

    Parameters
    ----------
    path
        ``package.module:Class``.
    sizes
        `latent`, `width` and `known`; handed over where the constructor takes them.
    options
        The config's `model.options`; the constructor must take them.
    """
    kind = _imported(path)
    given = {"channels": channels, "window": window, **sizes}
    parameters = inspect.signature(kind).parameters
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for option in options:
        if option not in parameters and not anything:
            raise UsageError(
                f"model.options: the network {path} has no option {option!r}; its constructor "
                f"takes {', '.join(parameters) or 'nothing'}."
            )
    arguments = {key: value for key, value in given.items() if key in parameters} | options
    try:
        module = kind(**arguments)
    except TypeError as error:
        raise UsageError(
            f"the network {path} cannot be made with {', '.join(arguments) or 'no arguments'} "
            f"({error}); its constructor may take channels, window and what model.options gives."
        ) from error
    if isinstance(module, Network):
        return module
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"model.name: {path} gives {type(module).__name__}, a torch.nn.Module was expected."
        )
    return OwnNetwork(module, channels, window, path)


def _imported(path: str) -> Any:
    """Import the class, with the folder of the command on the path as for ``python -m``."""
    name, _, kind = path.partition(":")
    try:
        found = getattr(importlib.import_module(name), kind, None)
    except ImportError as error:
        raise UsageError(
            f"model.name: {name} cannot be imported ({error}); install it, or set PYTHONPATH to "
            "the folder that holds it."
        ) from error
    if not callable(found):
        raise UsageError(f"model.name: the module {name} has no class {kind!r}; correct the name.")
    return found


def _takes_two(module: nn.Module) -> bool:
    """Return whether the module's forward takes values and mask."""
    parameters = inspect.signature(module.forward).parameters.values()
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(places) >= 2 or any(p.kind is p.VAR_POSITIONAL for p in parameters)

"""Listing: a model comes in, a table of the layers that features can be taken from goes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sensor_ad.features.misfit import explaining
from sensor_ad.features.names import names_of, network_of
from sensor_ad.features.outputs import structure
from sensor_ad.features.taps import LayerOutputs


@dataclass(frozen=True)
class Layer:
    """One layer of a network, and what it did in one pass."""

    name: str
    """Dotted, as `tap` and `features` take it."""
    kind: str
    """Name of its class."""
    output: str | None = None
    """Structure of its (first) output with shapes; None where it did not run, or was not run."""
    shape: tuple[int, ...] | None = None
    """Shape of that output, where it is one tensor."""
    calls: int | None = None
    """How often it ran in the pass; None without a pass."""


def layers_of(model: nn.Module, *example: Any) -> list[Layer]:
    """List the layers of a network.

    Parameters
    ----------
    model
        Any network.
    example
        What the network is called with, for one dry pass in evaluation and inference mode; without
        it, names and kinds alone are told.

    Returns
    -------
    In the order of ``named_modules()``; a module with several names stands under each of them.

    Raises
    ------
    UsageError
        The network cannot take the example.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> print(layer_table(layers_of(network, torch.zeros(4, 2))))
    name  kind    output         calls
    0     Linear  tensor (4, 3)  1
    1     ReLU    tensor (4, 3)  1
    """
    known = names_of(network_of(model))
    open_to_hooks = [
        name for name, module in known.items() if not isinstance(module, torch.jit.ScriptModule)
    ]
    if not example or not open_to_hooks:
        return [Layer(name, type(module).__name__) for name, module in known.items()]
    with (
        LayerOutputs(model, open_to_hooks, call="first", keep=_seen) as outputs,
        explaining(outputs.network, example),
    ):
        _, heard = outputs.listen(*example)
    listed = []
    for name, module in known.items():
        output, shape = heard.kept.get(name, (None, None))
        listed.append(Layer(name, type(module).__name__, output, shape, heard.calls.get(name)))
    return listed


def layer_table(layers: Sequence[Layer]) -> str:
    """Lay out layers as lines of text under a head."""
    rows = [("name", "kind", "output", "calls")]
    for layer in layers:
        calls = "" if layer.calls is None else str(layer.calls)
        rows.append((layer.name, layer.kind, layer.output or "", calls))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _seen(
    name: str, module: nn.Module, output: Any, named: dict[str, Any]
) -> tuple[str, tuple[int, ...] | None]:
    return structure(output), tuple(output.shape) if isinstance(output, torch.Tensor) else None

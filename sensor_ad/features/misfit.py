"""Misfits: a network's own fault comes in, a sentence that says what it was given goes out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from sensor_ad.errors import UsageError, lack_of_memory
from sensor_ad.features.names import names_of
from sensor_ad.features.outputs import structure


@contextmanager
def explaining(network: nn.Module, arguments: tuple[Any, ...]) -> Iterator[None]:
    """Say what the network was given, and what its first layer takes, when it cannot take it.

    Raises
    ------
    UsageError
        For any RuntimeError or TypeError of the network's, which stays as its cause; a lack of
        memory is let through.
    """
    try:
        yield
    except (RuntimeError, TypeError) as error:
        if isinstance(error, torch.OutOfMemoryError) or lack_of_memory(error) is not None:
            raise
        given = ", ".join(structure(argument) for argument in arguments)
        words = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UsageError(
            f"the network failed on {given} ({words}); {_first_layer(network)}give it what it was "
            "made for, with inputs= where a batch holds more."
        ) from error


def _first_layer(network: nn.Module) -> str:
    for name, module in names_of(network).items():
        expected = _expected(module)
        if expected:
            return f"its first layer, {name!r}, takes {expected}; "
    return ""


def _expected(module: nn.Module) -> str:
    """Say what a layer takes, for kinds of layers that know."""
    for size, where in (
        ("in_features", "features in the last axis"),
        ("in_channels", "channels in axis 1"),
        ("input_size", "features in the last axis"),
        ("embed_dim", "features in the last axis"),
        ("num_features", "channels in axis 1"),
    ):
        count = getattr(module, size, None)
        if isinstance(count, int):
            return f"{count} {where}"
    return ""

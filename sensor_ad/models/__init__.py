"""The networks: a word of the config comes in, a network for so many tags and rows goes out."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Sequence
from typing import Any

from sensor_ad.config import ModelSettings
from sensor_ad.errors import UsageError
from sensor_ad.models.cnn import ConvForecaster
from sensor_ad.models.conv import ConvAutoencoder
from sensor_ad.models.conv2d import Conv2dAutoencoder
from sensor_ad.models.linear import LinearAutoencoder
from sensor_ad.models.lstm import LSTMAutoencoder
from sensor_ad.models.network import Network, Output, WindowNetwork, as_output, masked_loss
from sensor_ad.models.own import own_network
from sensor_ad.models.tft import FusionForecaster
from sensor_ad.models.vae import VariationalAutoencoder

__all__ = [
    "ConvAutoencoder",
    "Network",
    "Output",
    "WindowNetwork",
    "as_output",
    "make_network",
    "masked_loss",
]

NETWORKS: dict[str, type[Network]] = {
    "conv": ConvAutoencoder,
    "linear": LinearAutoencoder,
    "conv2d": Conv2dAutoencoder,
    "vae": VariationalAutoencoder,
    "lstm": LSTMAutoencoder,
    "cnn": ConvForecaster,
    "tft": FusionForecaster,
}
"""Word of the config -> network."""
GIVEN = ("self", "channels", "window", "latent", "width", "known")
"""Arguments of a network's constructor that are not its own options."""


def make_network(
    settings: ModelSettings, channels: int, window: int, known: Sequence[bool] | None = None
) -> Network:
    """Make an untrained network.

    Parameters
    ----------
    settings
        Its name, sizes where the config gives them, and options of its own.
    channels
        C, the number of tags.
    window
        L, rows of a window.
    known
        (C,) tags that people or logic set (set-points, commands, digital tags); none when None.

    Raises
    ------
    UsageError
        The network does not know an option or a layer.
    """
    given = tuple(known) if known is not None else (False,) * channels
    sizes = {"latent": settings.latent, "width": settings.width, "known": given}
    options: dict[str, Any] = dict(settings.options)
    if settings.name in NETWORKS:
        network = _our_network(settings.name, channels, window, sizes, options)
    else:
        network = own_network(settings.name, channels, window, sizes, options)
    network.take_layer(settings.layer)
    return network


def _our_network(
    name: str, channels: int, window: int, sizes: dict[str, Any], options: dict[str, Any]
) -> Network:
    kind: Any = NETWORKS[name]
    _check_options(name, kind, options)
    if not kind.knows_inputs:
        del sizes["known"]
    network: Network = kind(channels, window, **sizes, **options)
    return network


def _check_options(name: str, kind: Any, options: dict[str, Any]) -> None:
    """Refuse options that a network does not take."""
    taken = [key for key in inspect.signature(kind.__init__).parameters if key not in GIVEN]
    for option in options:
        if option in taken:
            continue
        near = difflib.get_close_matches(option, taken, 1, 0.4)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        has = f"it has {', '.join(taken)}" if taken else "it has none"
        raise UsageError(
            f"model.options: the network {name!r} has no option {option!r}; {has}{hint}"
        )

"""The networks: a word of the config comes in, a network for so many tags and rows goes out."""

from __future__ import annotations

from sensor_ad.config import ModelSettings
from sensor_ad.models.conv import ConvAutoencoder

__all__ = ["ConvAutoencoder", "make_network"]


def make_network(settings: ModelSettings, channels: int, window: int) -> ConvAutoencoder:
    """Make an untrained network.

    Parameters
    ----------
    settings
        Its name, and sizes where the config gives them.
    channels
        C, the number of tags.
    window
        L, rows of a window.
    """
    return {"conv": ConvAutoencoder}[settings.name](
        channels, window, latent=settings.latent, width=settings.width
    )

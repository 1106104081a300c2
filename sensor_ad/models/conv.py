"""The fully convolutional autoencoder: scaled readings and their mask in, reconstruction out.

Strided convolutions lead down to a narrow bottleneck of channels, transposed ones back. There is no
flatten, no linear layer and nothing that normalises over time, so the network is trained on windows
and applied to stretches of any length: a row's result depends on the rows within `reach` of it and
on nothing else.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from sensor_ad.models.network import Network, Output, seen_enough

KERNEL = 4
"""Kernel of the strided layers: twice the stride, so that every input counts equally often."""

BOTTLENECK_KERNEL = 3
SLOPE = 0.1
"""Of the leaky rectifiers, below 0; no unit can die in a small network."""
LATENTS_PER_WINDOW = 8
"""Latent steps that a window is reduced to; the depth follows from it."""


class StridedNetwork(Network):
    """Sizes, parts and reach of a network of strided convolutions down and transposed ones up.

    Parameters
    ----------
    channels
        C, number of tags.
    window
        L, rows; a power of two. Depth is log2(L / 8), at least 1: eight latent steps a window.
    latent
        D, channels of the bottleneck; half the tags when None (2 to 32).
    width
        Channels of the hidden layers; twice the tags when None (16 to 128, a power of two).
    """

    def __init__(
        self, channels: int, window: int, latent: int | None = None, width: int | None = None
    ) -> None:
        super().__init__(channels, window)
        self.depth = max(1, round(math.log2(window / LATENTS_PER_WINDOW)))
        self.stride = 1 << self.depth
        self.latent = latent or min(32, max(2, math.ceil(channels / 2)))
        self.width = width or min(128, max(16, 1 << math.ceil(math.log2(2 * channels))))

    def _encoder(self) -> nn.Sequential:
        """(N, 2C, T) readings and mask to (N, width, S)."""
        inputs = [2 * self.channels] + [self.width] * (self.depth - 1)
        return nn.Sequential(*[_down(count, self.width) for count in inputs])

    def _latents(self) -> nn.Conv1d:
        """(N, width, S) to (N, D, S)."""
        return nn.Conv1d(self.width, self.latent, BOTTLENECK_KERNEL, padding="same")

    def _widen(self) -> nn.Sequential:
        """(N, D, S) to (N, width, S)."""
        return nn.Sequential(
            nn.Conv1d(self.latent, self.width, BOTTLENECK_KERNEL, padding="same"),
            nn.LeakyReLU(SLOPE, inplace=True),
        )

    def _decoder(self) -> nn.Sequential:
        """(N, width, S) to (N, width, T / 2)."""
        return nn.Sequential(*[_up(self.width) for _ in range(self.depth - 1)])

    def _output(self, count: int) -> nn.ConvTranspose1d:
        """(N, width, T / 2) to (N, count, T)."""
        return nn.ConvTranspose1d(self.width, count, KERNEL, stride=2, padding=1)

    @property
    def encoder_reach(self) -> int:
        """Rows before or after its own `stride` rows that a latent step can see."""
        first, last = self._seen_by_latents(0, 0)
        return max(-first, last - (self.stride - 1))

    @property
    def reach(self) -> int:
        """Rows before or after itself that a reconstructed row can see."""
        reach = 0
        for row in range(self.stride):
            first, last = row, row
            for _ in range(self.depth):
                # Transposed: row o sees inputs ceil((o - 2) / 2) to floor((o + 1) / 2).
                first, last = -((2 - first) // 2), (last + 1) // 2
            side = BOTTLENECK_KERNEL // 2
            first, last = self._seen_by_latents(first - side, last + side)
            reach = max(reach, row - first, last - row)
        return reach

    def informed(self, mask: torch.Tensor) -> torch.Tensor:
        """(N, 1, T) 1 where a latent step saw enough rows with a reading."""
        reach = self.encoder_reach
        return seen_enough(mask, reach, self.stride, reach, self.hole)

    def _seen_by_latents(self, first: int, last: int) -> tuple[int, int]:
        """Give the first and last input row that latent steps `first` to `last` see."""
        side = BOTTLENECK_KERNEL // 2
        first, last = first - side, last + side
        for _ in range(self.depth):
            first, last = 2 * first - 1, 2 * last - 1 + KERNEL - 1
        return first, last


class ConvAutoencoder(StridedNetwork):
    """1-D fully convolutional autoencoder; centred and dense, its sizes as in `StridedNetwork`."""

    def __init__(
        self, channels: int, window: int, latent: int | None = None, width: int | None = None
    ) -> None:
        super().__init__(channels, window, latent, width)
        self.encoder = self._encoder()
        self.bottleneck = self._latents()
        self.widen = self._widen()
        self.decoder = self._decoder()
        self.output = self._output(channels)

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor | Output:
        """Reconstruct.

        Parameters
        ----------
        values
            (N, C, T) scaled readings, anything where the mask is 0; T a multiple of `stride`.
        mask
            (N, C, T) 1 where observed, 0 where not.

        Returns
        -------
        (N, C, T) scaled reconstruction, of hidden cells too.
        """
        latents = self.bottleneck(self.encoder(torch.cat([values * mask, mask], dim=1)))
        result: torch.Tensor = self.output(self.decoder(self.widen(latents)))
        return result


def _down(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, KERNEL, stride=2, padding=1), nn.LeakyReLU(SLOPE, inplace=True)
    )


def _up(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose1d(width, width, KERNEL, stride=2, padding=1),
        nn.LeakyReLU(SLOPE, inplace=True),
    )

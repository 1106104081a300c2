"""The convolutional forecaster: readings and their mask in, each row foretold from those before it.

Causal convolutions, dilated ever more widely, run over stretches of any length in one pass: row t
is foretold from the rows t - reach to t - 1 and from nothing else.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from sensor_ad.errors import UsageError
from sensor_ad.models.network import Network, Output

KERNEL = 3
SLOPE = 0.1
"""Of the leaky rectifiers, below 0; no unit can die in a small network."""
LEAST_HISTORY = 0.9
"""Share of a row's history that must be observed, in some tag, for its forecast to count."""
STEPS_PER_WINDOW = 8
MOST_STRIDE = 8
"""Latents are means over so many rows at most, and at least eight steps a window: at every single
row they would cost more to pool than the network itself."""


class ConvForecaster(Network):
    """1-D convolutional forecaster; causal and dense, reach at most a window.

    Munir et al., "DeepAnT: a deep learning approach for unsupervised anomaly detection in time
    series" (2018), with dilated convolutions (Bai et al., "An empirical evaluation of generic
    convolutional and recurrent networks for sequence modeling", 2018) in place of pooling and fully
    connected layers, so that it runs over whole segments. The error of the forecast is the
    evidence.

    Parameters
    ----------
    channels
        C, number of tags.
    window
        L, rows; a power of two. There are so many layers that the reach is just below L.
    latent
        D, channels of the last hidden layer; as many as tags when None (8 to 32).
    width
        Channels of the other hidden layers; twice the tags when None (16 to 64, a power of two).
    residual
        Whether a hidden layer adds to what it was given; it learns faster.

    Raises
    ------
    UsageError
        An option is of the wrong kind.
    """

    causal = True

    def __init__(
        self,
        channels: int,
        window: int,
        latent: int | None = None,
        width: int | None = None,
        residual: bool = True,
    ) -> None:
        super().__init__(channels, window)
        if not isinstance(residual, bool):
            raise UsageError(
                f"model.options: residual is {residual!r}, true or false was expected; correct it "
                "or leave it out."
            )
        self.latent = latent or min(32, max(8, channels))
        self.width = width or min(64, max(16, 1 << math.ceil(math.log2(2 * channels))))
        self.stride = max(1, min(MOST_STRIDE, window // STEPS_PER_WINDOW))
        # Dilations 1, 2, 4, … of kernels of 3: n layers reach 2^(n + 1) - 1 rows back.
        count = max(1, round(math.log2(window)) - 1)
        sizes = [2 * channels] + [self.width] * (count - 1) + [self.latent]
        self.layers = nn.Sequential(
            *[
                CausalConv(inputs, outputs, 1 << layer, residual and inputs == outputs)
                for layer, (inputs, outputs) in enumerate(pairwise(sizes))
            ]
        )
        self.output = nn.Conv1d(self.latent, channels, 1)
        self.bottleneck_name = f"layers.{count - 1}"

    @property
    def reach(self) -> int:
        """Rows before itself from which a row is foretold."""
        return 1 + (KERNEL - 1) * ((1 << len(self.layers)) - 1)

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor | Output:
        """Foretell each row from those before it.

        Parameters
        ----------
        values
            (N, C, T) scaled readings, anything where the mask is 0; T a multiple of `stride`.
        mask
            (N, C, T) 1 where observed, 0 where not.

        Returns
        -------
        (N, C, T) scaled readings as foretold.
        """
        # One row late: what is known of row t is what was read up to row t - 1.
        before = F.pad(torch.cat([values * mask, mask], dim=1), (1, -1))
        result: torch.Tensor = self.output(self.layers(before))
        return result

    def judged(self, mask: torch.Tensor) -> torch.Tensor:
        """(N, C, T) 1 where observed and enough of the history was, as in `Network.judged`."""
        return mask * (observed_before(mask, self.reach, self.hole) >= LEAST_HISTORY)

    def informed(self, mask: torch.Tensor) -> torch.Tensor:
        """(N, 1, T) 1 where enough of the history was observed, as in `Network.informed`."""
        return self.judged(mask).amax(dim=1, keepdim=True)

    def steps(self, outputs: Any, count: int) -> torch.Tensor:
        """Turn a hidden layer's (N, D, T) into (N, D, T / stride) latents, means over the rows."""
        return F.avg_pool1d(super().steps(outputs, count), self.stride)


class CausalConv(nn.Module):
    """A convolution that sees a row and those before it, with its rectifier.

    Parameters
    ----------
    inputs, outputs
        Channels.
    dilation
        Rows between those that the kernel takes.
    residual
        Whether what comes in is added to what goes out.
    """

    def __init__(self, inputs: int, outputs: int, dilation: int, residual: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, KERNEL, dilation=dilation)
        self.before = (KERNEL - 1) * dilation
        self.residual = residual

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """(N, inputs, T) to (N, outputs, T)."""
        hidden = F.leaky_relu(self.conv(F.pad(rows, (self.before, 0))), SLOPE, inplace=True)
        return rows + hidden if self.residual else hidden


def observed_before(mask: torch.Tensor, rows: int, hole: int = 0) -> torch.Tensor:
    """Tell how much of each row's history was observed.

    Parameters
    ----------
    mask
        (N, C, T) 1 where observed, 0 where not.
    rows
        Length of the history, which ends with the row before.
    hole
        Rows without a reading that count as observed behind one with: those that an export leaves
        out here and there. What comes after them is not looked at.

    Returns
    -------
    (N, 1, T) share of those rows in which any tag was observed; none was beyond the ends.
    """
    seen = F.max_pool1d(F.pad(mask.amax(dim=1, keepdim=True), (hole, 0)), hole + 1, 1)
    # Differences of running counts: whole numbers, so exact wherever a stretch was cut.
    count = F.pad(seen.cumsum(dim=2), (rows + 1, -1))
    return (count[..., rows:] - count[..., :-rows]) / rows

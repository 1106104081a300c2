"""Windows come in; pictures of their power by frequency and time go out, and what was seen of them.

A spectrogram looks at all frequencies for equally long, a scalogram at each for as many of its
periods. Both have 16 columns, one every L / 16 rows from the first on, and frequencies that rise
from one period in L / 4 rows to nearly one in 2. White noise of a tag's normal spread is 0 in both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

COLUMNS = 16
"""Of a picture: one every L / 16 rows."""
SHORTEST_PICTURED = 32
"""Rows of a window that gives frames of 8 rows, and so 4 frequencies, or 8 scales, all of which are
clear of the edges in the window's core: fewer tell nothing."""
QUIET = 1e-4
"""Power that is added to each: below a hundredth of a tag's normal spread, all is silence."""
WHOLE = 0.999
"""Share of the weight under a pixel that must be observed for the pixel to count."""
LEAST_COUNTED = 0.5
"""Share of a tag's pixels in a column that make a mean: with fewer, chance would speak for all."""
FRAME_COLUMNS = 4
"""Frames of a spectrogram are L / 4 rows long."""
OMEGA_0 = 6.0
"""Of the Morlet wavelet, radians: with less, its mean would not be 0 (Torrence and Compo 1998)."""
FOURIER_FACTOR = 4 * math.pi / (OMEGA_0 + math.sqrt(2 + OMEGA_0**2))
"""Period of the wave that answers most at a scale, in scales (1.033; their table 1)."""
E_FOLDING = math.sqrt(2)
"""Half of a wavelet's length, in scales: an edge so far away has lost all but 1 / e² of its power
(their table 1)."""
LONGEST_PERIODS = 4
"""The longest period of a scalogram is L / 4 rows: with a longer one, the edges would reach into
the middle of the window …"""
SHORTEST_PERIOD = 2
"""… and all are longer than these rows, the shortest period that sampling lets through."""
VOICES = 4
"""Scales an octave: a wave halfway between two gives each three quarters of its power."""


@dataclass(frozen=True)
class Picture:
    """Power of K tags at H frequencies, from low to high, in 16 columns."""

    power: torch.Tensor
    """(N, K, H, 16) log10 of the power, in squared normal spreads of the tag."""
    share: torch.Tensor
    """(N, K, H or 1, 16) the share of the weight under each pixel that was observed."""
    counted: torch.Tensor
    """(N, K, H or 1, 16) 1 where a pixel counts, else 0."""


class Spectrogram(nn.Module):
    """Power in frames of L / 4 rows with a Hann window, at L / 8 frequencies, evenly spaced.

    They reach from 0 (the level) to just below half the sampling rate. Frames stand around the rows
    of the columns, mirrored at the edges of the window; those not wholly observed do not count.

    Parameters
    ----------
    window
        L, rows; a power of two, at least 32.
    """

    hann: torch.Tensor

    def __init__(self, window: int) -> None:
        super().__init__()
        self.hop = window // COLUMNS
        self.height = self.hop * FRAME_COLUMNS // 2
        """H, frequencies."""
        hann = torch.hann_window(self.hop * FRAME_COLUMNS)
        self.register_buffer("hann", hann, persistent=False)

    def forward(self, readings: torch.Tensor, mask: torch.Tensor) -> Picture:
        """Draw windows.

        Parameters
        ----------
        readings, mask
            (N, K, L) scaled readings, 0 where the mask is 0.
        """
        waves = torch.fft.rfft(self._frames(readings) * self.hann)[..., : self.height]
        power = (waves.real.square() + waves.imag.square()) / self.hann.square().sum()
        share = (self._frames(mask) * self.hann).sum(dim=3, keepdim=True) / self.hann.sum()
        share = share.transpose(2, 3)
        return Picture(_decades(power).transpose(2, 3), share, (share >= WHOLE).to(power.dtype))

    def _frames(self, values: torch.Tensor) -> torch.Tensor:
        """(N, K, L) to (N, K, 16, L / 4): frame k around row k · hop, mirrored at the edges."""
        size = self.hop * FRAME_COLUMNS
        padded = F.pad(values, (size // 2, size // 2), mode="reflect")
        # The last frame would stand on the row behind the window.
        return padded.unfold(2, size, self.hop)[:, :, :COLUMNS]


class Scalogram(nn.Module):
    """Power of the continuous wavelet transform, at four scales an octave.

    The complex Morlet wavelet with ω₀ = 6 (Torrence and Compo 1998, "A practical guide to wavelet
    analysis", equations 1, 2 and 6): a wave under a bell that is as many periods long at each
    scale. So fast waves are told apart in time and slow ones by their period, each as well as the
    other in proportion. Periods reach from L / 4 down to just above 2 rows, 4 log₂(L / 8) of them.

    At the edges of a window the readings are mirrored, so that the picture does not go dark there.
    But what the mirror shows never was, so pixels in the cone of influence (columns that are less
    than √2 scales from an edge) do not count, neither as evidence nor in training. That costs
    nothing: the L / 4 rows in the middle, for which a window answers, are clear of it at all
    scales. Nor does a pixel count that was not wholly observed: a hole takes few columns from the
    fast waves, and more from the slow ones.

    Each coefficient is a weighted sum over the window, edges included. So the transform at the
    16 columns is one product with a matrix, and what lies between them is never computed.

    Parameters
    ----------
    window
        L, rows; a power of two, at least 32.
    """

    bank: torch.Tensor
    clear: torch.Tensor

    def __init__(self, window: int) -> None:
        super().__init__()
        periods = scalogram_periods(window)
        self.height = len(periods)
        """H, scales."""
        scales = periods / FOURIER_FACTOR
        at = torch.arange(COLUMNS, dtype=torch.double) * (window // COLUMNS)
        clear = torch.minimum(at, window - 1 - at) >= E_FOLDING * scales[:, None]
        bank = _wavelets(window, scales, at).to(torch.get_default_dtype())
        self.register_buffer("bank", bank, persistent=False)
        self.register_buffer("clear", clear, persistent=False)

    def forward(self, readings: torch.Tensor, mask: torch.Tensor) -> Picture:
        """Draw windows.

        Parameters
        ----------
        readings, mask
            (N, K, L) scaled readings, 0 where the mask is 0.
        """
        real, imaginary, weight = self.bank
        shape = (*readings.shape[:2], self.height, COLUMNS)
        # In bfloat16, what is rounded off a loud wave would be louder than a quiet one.
        with torch.autocast(readings.device.type, enabled=False):
            power = (readings @ real).square() + (readings @ imaginary).square()
            share = (mask @ weight).reshape(shape)
        counted = (share >= WHOLE) & self.clear
        return Picture(_decades(power).reshape(shape), share, counted.to(power.dtype))


PICTURES: dict[str, type[Spectrogram] | type[Scalogram]] = {
    "spectrogram": Spectrogram,
    "scalogram": Scalogram,
}
"""Word of the config -> what draws windows."""


def scalogram_periods(window: int) -> torch.Tensor:
    """Give the periods of a scalogram's scales, in rows.

    Parameters
    ----------
    window
        L, rows.

    Returns
    -------
    (H,) float64, from long to short.

    Examples
    --------
    >>> [round(period, 2) for period in scalogram_periods(32).tolist()]
    [8.0, 6.73, 5.66, 4.76, 4.0, 3.36, 2.83, 2.38]
    """
    longest = window / LONGEST_PERIODS
    count = round(VOICES * math.log2(longest / SHORTEST_PERIOD))
    steps: torch.Tensor = torch.arange(count, dtype=torch.double) / VOICES
    return longest * 2**-steps


def column_errors(told: torch.Tensor, picture: Picture) -> torch.Tensor:
    """Give the mean squared error of each column, over tags and frequencies that count.

    Where fewer count than half the frequencies of a tag, the others of that half count as 0.

    Parameters
    ----------
    told
        (N, K, H, 16) power as it should be.

    Returns
    -------
    (N, 16) squared decades, 0 where nothing counts.
    """
    counted = picture.counted.expand_as(picture.power)
    error = (told.to(counted.dtype) - picture.power).square() * counted
    least = LEAST_COUNTED * counted.shape[2]
    return error.sum(dim=(1, 2)) / counted.sum(dim=(1, 2)).clamp(min=least)


def along_rows(columns: torch.Tensor, window: int) -> torch.Tensor:
    """(N, 16) to (N, L), linearly between the rows on which columns stand, level at the end."""
    ends = torch.cat([columns, columns[:, -1:]], dim=1)[:, None]
    rows = F.interpolate(ends, window + 1, mode="linear", align_corners=True)
    return rows[:, 0, :window]


def _decades(power: torch.Tensor) -> torch.Tensor:
    return torch.log10(power + QUIET)


def _wavelets(window: int, scales: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """(3, L, H * 16) real and imaginary part, and weight, of each row in each coefficient."""
    rows = torch.arange(window, dtype=torch.double)
    # A reading stands at its own row, and mirrored at the first and last row, which stand once.
    places = torch.stack([rows, -rows, 2 * (window - 1) - rows])
    stands = torch.ones_like(places)
    stands[1, 0] = stands[2, -1] = 0
    distance = places[:, None, None] - at[:, None]  # (3, 1, 16, L)
    phase = distance / scales[:, None, None]  # (3, H, 16, L)
    bell = torch.exp(-phase.square() / 2) * stands[:, None, None]
    bell = bell / (math.pi**0.25 * scales.sqrt()[:, None, None])
    wave = OMEGA_0 * phase
    # The complex conjugate, equation 2; only its power is looked at.
    parts = [bell * wave.cos(), -bell * wave.sin(), bell]
    real, imaginary, weight = (part.sum(dim=0) for part in parts)
    weight = weight / weight.sum(dim=2, keepdim=True)
    return torch.stack([real, imaginary, weight]).flatten(1, 2).transpose(1, 2).contiguous()

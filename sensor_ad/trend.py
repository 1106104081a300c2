"""Values in time come in; their robust slope goes out, and whether there is one at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensor_ad.records import Floats

MOST_POINTS = 200
"""Points that are compared with one another; more are thinned out evenly."""
FEWEST = 5
"""Points from which a slope can be certain."""
NORMAL_99 = 2.576
"""99 % of a normal distribution lie within so many standard deviations."""


@dataclass(frozen=True)
class Trend:
    """How values change in time."""

    slope: float
    """Median of the slopes between all pairs of values (Theil, 1950; Sen, 1968)."""
    certain: bool
    """Whether its 99 % interval (Sen, 1968, by Kendall's variance) leaves out zero."""


def trend(times: Floats, values: Floats) -> Trend:
    """Find the robust slope of values.

    Parameters
    ----------
    times
        (K,) increasing.
    values
        (K,) finite.

    Examples
    --------
    >>> times = np.arange(12.0)
    >>> trend(times, np.where(times == 2, 90, 2 * times))
    Trend(slope=2.0, certain=True)
    """
    keep = np.unique(np.linspace(0, len(times) - 1, min(len(times), MOST_POINTS)).astype(int))
    times, values = times[keep], values[keep]
    if len(times) < 2:
        return Trend(0.0, False)
    one, other = np.triu_indices(len(times), k=1)
    slopes = np.sort((values[other] - values[one]) / (times[other] - times[one]))
    n, N = len(times), len(slopes)
    half = NORMAL_99 * np.sqrt(n * (n - 1) * (2 * n + 5) / 18) / 2
    low, high = int(np.floor(N / 2 - half)), int(np.ceil(N / 2 + half))
    inside = n >= FEWEST and low >= 0 and high < N
    certain = inside and bool(slopes[low] > 0 or slopes[high] < 0)
    return Trend(float(np.median(slopes)), certain)

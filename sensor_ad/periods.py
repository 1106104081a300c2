"""The periods that instruments are set to, and a step of time snapped to the nearest of them."""

from __future__ import annotations

import math

NICE_PERIODS_S = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 3, 4, 5, 6, 10, 12, 15, 20,
    30, 60, 120, 180, 240, 300, 360, 600, 720, 900, 1200, 1800, 3600, 7200, 10800, 14400,
    21600, 28800, 43200, 86400,
)  # fmt: skip
"""Periods that instruments are set to; a period found within half a percent of one of them is taken
as it."""
NEAR_SHARE = 0.005
"""Half a percent: how far a measured period may lie from the one that was set."""


def snapped_us(step_us: float, finest_us: float) -> int:
    """Return the nice period nearest to a step (by their ratio), microseconds.

    Parameters
    ----------
    step_us
        Microseconds, above 0.
    finest_us
        What comes out is not finer than this, but for the half percent by which clocks differ.

    Examples
    --------
    >>> snapped_us(7_300_000, 0), snapped_us(7_300_000, 7_000_000)
    (6000000, 10000000)
    """
    allowed = [s for s in NICE_PERIODS_S if s * 1e6 >= finest_us * (1 - NEAR_SHARE)]
    if not allowed:
        return round(NICE_PERIODS_S[-1] * 1e6)
    nearest = min(allowed, key=lambda s: abs(math.log(s * 1e6 / step_us)))
    return round(nearest * 1e6)

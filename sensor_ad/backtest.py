"""Scores of normal rows come in; how often limits chosen on other time are passed goes out.

The limit of a model is chosen on the same rows that its events are counted on. Here each block of
time is judged by a limit that never saw it. What the score is made of was calibrated on all these
rows: the back-test judges the limit alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sensor_ad.config import LimitSettings
from sensor_ad.limits import DAY_S, choose_limit, cluster_peaks, poisson_interval
from sensor_ad.records import BackTest, Floats, Ints

MOST_BLOCKS = 4
BLOCK_WINDOWS = 10
"""Shortest block, in windows of scorable rows: a shorter one is little more than one state."""


def back_test(
    score: Floats, index: Ints, settings: LimitSettings, pause: int, period_s: float, window: int
) -> BackTest:
    """Judge each block of time by the limit that the others give.

    Parameters
    ----------
    score, index, settings, pause, period_s, window
        As for `choose_limit`.
    """
    nothing = BackTest(settings.events, settings.days)
    windows = len(score) // window
    count = min(MOST_BLOCKS, windows // BLOCK_WINDOWS)
    if count < 2:
        needed = 2 * BLOCK_WINDOWS
        return replace(nothing, lacking=f"{windows} windows, and {needed} are needed")
    blocks = np.array_split(np.arange(len(score)), count)
    # Rows nearer than this share readings, or an event, with the block.
    gap = max(pause, window)
    limits, alarm = [], np.zeros(len(score), dtype=bool)
    for block in blocks:
        first, last = int(index[block[0]]), int(index[block[-1]])
        others = (index < first - gap) | (index > last + gap)
        if others.sum() < window:
            return replace(nothing, lacking="its blocks of time lie within one pause of alarms")
        rest = choose_limit(score[others], index[others], settings, pause, period_s, window)
        limits.append(rest.value)
        alarm[block] = score[block] > rest.value
    events = len(cluster_peaks(alarm.astype(np.float64), index, pause, 0.5))
    days = len(score) * period_s / DAY_S
    low, high = poisson_interval(events)
    return replace(
        nothing,
        limits=tuple(limits),
        events=events,
        hours=days * 24,
        rate=events / days * settings.days,
        rate_low=low / days * settings.days,
        rate_high=high / days * settings.days,
    )

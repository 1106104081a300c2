"""NAB as SKAB's leaderboard computes it: alarms and change-points come in, a score goes out.

A. Lavin and S. Ahmad, *Evaluating real-time anomaly detection algorithms*, ICMLA 2015, in the form
of SKAB's own evaluation (`core/metrics.py`, `chp_score`): windows of 60 s behind each change-point,
every edge of the alarms, up or down, is a change that was said.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sensor_ad.records import Bools, Floats

WINDOW_S = 60.0
"""Behind each change-point."""
HIT, FALSE, MISS = 1.0, -0.11, -1.0
"""Standard profile: an immediate hit, a false alarm, a miss."""
STEPS = 1000
"""Steps in which a hit loses worth over its window (SKAB's `detalization`)."""


@dataclass(frozen=True)
class Nab:
    """What the changes that were said of one experiment, or of several, are worth."""

    worth: float
    """Sum of hits, misses and false alarms."""
    windows: int
    missed: int
    false: int

    @property
    def score(self) -> float:
        """100 for a perfect detector, 0 for one that never says anything; NaN without windows."""
        if not self.windows:
            return float("nan")
        silent = MISS * self.windows
        return 100 * (self.worth - silent) / (HIT * self.windows - silent)


def nab(alarm: Bools, changepoint: Bools, time_s: Floats) -> Nab:
    """Judge the alarms of one experiment.

    Parameters
    ----------
    alarm
        (T,) rows with an alarm.
    changepoint
        (T,) rows at which the plant's state changed.
    time_s
        (T,) increasing, seconds.

    Notes
    -----
    The first change said in a window counts (A_tp − A_fp) / 2 · (1 − tanh x / tanh(π / 2)) + A_fp
    with x from −π / 2 at the change-point to π / 2 at the window's end; further ones in the window
    count nothing. Where two windows overlap, the later one begins at the earlier one's end.

    Examples
    --------
    >>> time_s, change = np.arange(300.0), np.arange(300) == 100
    >>> nab(np.arange(300) >= 100, change, time_s).score
    100.0
    >>> nab(np.zeros(300, dtype=bool), change, time_s).score
    0.0
    """
    said = time_s[edges(alarm)]
    windows = _windows(time_s[np.asarray(changepoint, dtype=bool)])
    inside = np.zeros(len(said), dtype=bool)
    worth, missed = 0.0, 0
    for start, end in windows:
        within = (said >= start) & (said <= end)
        inside |= within
        if within.any():
            worth += _hit((said[within][0] - start) / (end - start))
        else:
            missed += 1
    false = int((~inside).sum())
    return Nab(worth + MISS * missed + FALSE * false, len(windows), missed, false)


def pooled_nab(parts: Iterable[Nab]) -> Nab:
    """Add up several experiments."""
    found = list(parts)
    return Nab(
        sum(part.worth for part in found),
        sum(part.windows for part in found),
        sum(part.missed for part in found),
        sum(part.false for part in found),
    )


def edges(alarm: Bools) -> Bools:
    """(T,) rows at which an alarm begins, or is over.

    Examples
    --------
    >>> edges(np.array([True, True, False, True])).tolist()
    [True, False, True, True]
    """
    alarm = np.asarray(alarm, dtype=bool)
    changed: Bools = np.diff(alarm.astype(np.int8), prepend=0) != 0
    return changed


def _windows(changes_s: Floats) -> list[tuple[float, float]]:
    windows: list[tuple[float, float]] = []
    for change in changes_s:
        start = max(change, windows[-1][1]) if windows else change
        windows.append((float(start), float(change) + WINDOW_S))
    return windows


def _hit(share: float) -> float:
    """Worth of a hit after this share of its window."""
    step = min(int(share * STEPS), STEPS - 1)
    x = np.pi * (step / (STEPS - 1) - 0.5)
    half = (HIT - FALSE) / 2
    return float(half * (1 - np.tanh(x) / np.tanh(np.pi / 2)) + FALSE)

"""Sensors that stand still: readings come in, how unusually long each tag held its value goes out.

What is usual is learnt per tag. A value at which a tag rested for long in training (a stopped
pump's current of 0) may be held for long again; any other value may not. A tag that is read in
coarse steps (a temperature to the degree, at night) holds many values for long: it rests at those
to which it came back, and for the others its longest hold is what is usual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sensor_ad.records import Bools, Floats, Ints

RESTING_SHARE = 2
"""A stretch of equal values longer than a window divided by this is a rest."""
LONG_REST = 4
"""A rest longer than so many windows is the machine's, whatever steps its tag is read in."""
MOST_RESTING = 16
"""A tag that rested at more values is stored by exception, or rarely moves: not judged. One of
coarse steps is, unless one of its rests is the machine's: it has no values to rest at, then."""
COARSE = 0.05
"""A tag that repeats its last value in more of its rows reads in coarse steps: standing at one is
no sign of a fault."""
COARSE_RESTS = 3
"""Such a tag rests at a value at which it stood for long so many times, or once as a machine does:
once or twice, it just did not move."""
LEAST_HOLD = 4
"""Standing still for so many rows is usual for every tag."""


@dataclass(frozen=True)
class StandStill:
    """What is usual for each tag."""

    usual: Floats
    """(C,) longest stretch of equal values outside rests, rows; infinite for tags not judged."""
    resting: Floats
    """(C, R) values at which a tag rested, plant units; NaN fills up."""
    cap: int
    """Rows beyond which a stretch is not counted on (a tile's halo is longer)."""
    lost: Floats
    """(C,) longest stretch without a value, rows."""
    repeats: Floats
    """(C,) share of the rows outside long rests that repeat the one before: high for tags that are
    read in coarse steps."""

    @property
    def judges(self) -> bool:
        """Whether any tag is judged."""
        return bool(np.isfinite(self.usual).any())

    def ratio(self, values: Floats) -> Floats:
        """Relate the stretch of equal values that each row ends to the longest usual one.

        Parameters
        ----------
        values
            (P, C) plant units, NaN where missing.

        Returns
        -------
        (P, C) float32; above 1 where a tag stands still for longer than it ever did.
        """
        columns = np.ascontiguousarray(values.T)
        ratio = np.zeros(columns.shape, dtype=np.float32)
        for c in np.flatnonzero(np.isfinite(self.usual)):
            column, usual = columns[c], self.usual[c]
            ratio[c] = 1 / usual
            still = np.flatnonzero(column[1:] == column[:-1]) + 1
            if len(still):
                # Rows that repeat the one before are few: only their stretches are counted.
                begins = np.flatnonzero(np.diff(still, prepend=-1) > 1)
                before = np.repeat(still[begins], np.diff(begins, append=len(still))) - 1
                ratio[c, still] = np.minimum(still - before + 1, self.cap) / usual
            at_rest = np.isnan(column)
            resting = self.resting[c][np.isfinite(self.resting[c])]
            if len(resting):
                at_rest |= np.isin(column, resting)
            ratio[c][at_rest] = 0.0
        return ratio.T


def fit_stand_still(values: Floats, kinds: Sequence[str], window: int) -> StandStill:
    """Learn how long tags usually stand still.

    Parameters
    ----------
    values
        (T, C) rows of history, plant units, NaN where missing or not used.
    kinds
        (C,) only continuous tags are judged.
    window
        L, rows.
    """
    C = values.shape[1]
    usual, repeats = np.full(C, np.inf), np.zeros(C)
    resting = np.full((C, MOST_RESTING), np.nan)
    longest = window // RESTING_SHARE
    for c in range(C):
        if kinds[c] != "continuous":
            continue
        column = values[:, c]
        ends = np.flatnonzero(np.append(column[1:] != column[:-1], True) & np.isfinite(column))
        held, holds = column[ends], _holds(column)[ends]
        long, machine = holds > longest, holds > LONG_REST * window
        repeats[c] = _repeats(holds[~machine])
        rests, times = np.unique(held[long], return_counts=True)
        if _repeats(holds[~long]) > COARSE:
            rests = rests[(times >= COARSE_RESTS) | np.isin(rests, held[machine])]
            if len(rests) > MOST_RESTING and not machine.any():
                rests = rests[:0]
        if len(rests) > MOST_RESTING:
            continue
        resting[c, : len(rests)] = rests
        moving = holds[~np.isin(held, rests)]
        if len(moving):
            usual[c] = max(LEAST_HOLD, int(moving.max()))
    lost = _longest_missing(values)
    return StandStill(usual, resting, cap=window, lost=lost, repeats=repeats)


def _repeats(holds: Ints) -> float:
    """Share of the rows of some stretches of equal values that repeat the row before."""
    return 1 - len(holds) / int(holds.sum()) if len(holds) else 0.0


def _longest_missing(values: Floats) -> Floats:
    """(C,) longest stretch of rows without a value; rows without any tag's are not counted."""
    missing = np.isnan(values[np.isfinite(values).any(axis=1)])
    longest = np.zeros(values.shape[1])
    for c in range(values.shape[1]):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], missing[:, c], [False]])))
        longest[c] = (edges[1::2] - edges[::2]).max(initial=0)
    return longest


def _holds(column: Floats) -> Ints:
    """(T,) length of the stretch of equal values that ends in each row; 1 where it begins."""
    row = np.arange(len(column))
    changes: Bools = np.append(True, column[1:] != column[:-1])
    starts: Ints = np.maximum.accumulate(np.where(changes, row, 0))
    return row - starts + 1

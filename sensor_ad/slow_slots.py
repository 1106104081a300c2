"""Rows with what was expected of them come in; slots of time with their means go out.

Slots begin at multiples of their width on the absolute grid, so they are the same however an export
was cut into tiles. There are few of them however long it is: their width doubles when they are too
many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sensor_ad.grid import Grid
from sensor_ad.records import Bools, Floats, Ints

MOST_SLOTS = 2048
"""Slots with rows in them at most; when a run needs more, neighbours are joined."""
FEWEST_SLOTS = 256
SLOT_CELLS = 2**17
"""Slots times tags at most, above `FEWEST_SLOTS`: memory stays bounded for thousands of tags."""
REMEMBERED = 720
"""Slots that are handed on to the export that follows: thirty days."""
LEAST_SHARE = 0.25
"""Share of a slot's rows that must be known of a tag for its mean to count."""


@dataclass(frozen=True)
class SlowSlots:
    """A run in a bounded number of slots of equal time; those without a row are left out."""

    start_us: Ints
    """(B,) UTC microseconds, increasing."""
    width_us: int
    width_rows: int
    """The same in grid rows."""
    reading: Floats
    """(B, C) mean of the readings, plant units; NaN where too few are known."""
    expected: Floats
    """(B, C) mean of what the network expects in the same rows, plant units."""

    @property
    def residual(self) -> Floats:
        """(B, C) mean of reading − expected, plant units."""
        difference: Floats = self.reading - self.expected
        return difference


class SlowCount:
    """Slots while rows pass.

    Parameters
    ----------
    grid
        The time axis.
    channels
        C.
    width_rows
        Rows of a slot, as long as they are few enough.
    bounded
        False for a history, which lies in memory as a whole anyway.
    """

    def __init__(self, grid: Grid, channels: int, width_rows: int, bounded: bool = True) -> None:
        self._grid, self._width = grid, width_rows
        few = int(np.clip(SLOT_CELLS // max(channels, 1), FEWEST_SLOTS, MOST_SLOTS))
        self._most = few if bounded else np.iinfo(np.int64).max
        self._key: Ints = np.empty(0, np.int64)
        self._sums: Floats = np.empty((0, 3, channels))
        """(B, 3, C) rows, sum of readings, sum of what was expected."""
        self._last = np.iinfo(np.int64).min
        """Last row that was counted."""

    def state(self) -> dict[str, Any]:
        """Give the last slots as arrays, for the export that follows."""
        return {
            "key": self._key[-REMEMBERED:],
            "sums": self._sums[-REMEMBERED:],
            "sizes": np.array([self._width, self._last]),
        }

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Go on from the slots of the export before; rows that it counted are not counted again."""
        self._key, self._sums = np.array(state["key"]), np.array(state["sums"])
        self._width, self._last = (int(size) for size in state["sizes"])

    def add(self, index: Ints, actual: Floats, expected: Floats, known: Bools) -> None:
        """Take the next rows.

        Parameters
        ----------
        index
            (T,) grid rows, increasing from call to call.
        actual, expected
            (T, C) plant units; a reading is NaN where missing.
        known
            (T,) rows that could be scored; the others are left out.
        """
        known = known & (index > self._last)
        if not known.all():
            index, actual, expected = index[known], actual[known], expected[known]
        if not len(index):
            return
        self._last = int(index[-1])
        while self._slots(index // self._width) > self._most:
            self._width *= 2
            self._key, starts = _groups(self._key // 2)
            self._sums = np.add.reduceat(self._sums, starts, axis=0) if len(starts) else self._sums
        key, starts = _groups(index // self._width)
        sums = np.stack(_sums(actual, expected, starts), axis=1)
        if len(self._key) and key[0] == self._key[-1]:
            self._sums[-1] += sums[0]
            key, sums = key[1:], sums[1:]
        self._key = np.concatenate([self._key, key])
        self._sums = np.concatenate([self._sums, sums])

    def slots(self) -> SlowSlots:
        """Give what came in."""
        rows, reading, expected = (self._sums[:, k] for k in range(3))
        enough = rows >= np.maximum(1, LEAST_SHARE * self._width)
        count = np.where(enough, rows, np.nan)
        return SlowSlots(
            start_us=self._grid.time_us(self._key * self._width),
            width_us=self._width * self._grid.period_us,
            width_rows=self._width,
            reading=reading / count,
            expected=expected / count,
        )

    def _slots(self, key: Ints) -> int:
        """Count the slots that there would be."""
        joined = bool(len(self._key)) and self._key[-1] == key[0]
        return len(self._key) + int(np.count_nonzero(np.diff(key))) + 1 - joined


def _groups(key: Ints) -> tuple[Ints, Ints]:
    """Different keys of a sorted array, and where each begins."""
    starts = np.flatnonzero(np.diff(key, prepend=key[:1] - 1))
    return key[starts], starts


def _sums(actual: Floats, expected: Floats, starts: Ints) -> tuple[Floats, Floats, Floats]:
    """(B, C) known readings, their sum and the sum of what was expected of them, slot by slot."""
    there = np.isfinite(actual)
    if there.all():
        rows = np.diff(starts, append=len(actual)).astype(np.float64)
        known = np.repeat(rows[:, None], actual.shape[1], axis=1)
    else:
        actual, expected = np.where(there, actual, 0.0), np.where(there, expected, 0.0)
        known = np.add.reduceat(there, starts, axis=0, dtype=np.float64)
    readings = np.add.reduceat(actual, starts, axis=0)
    return known, readings, np.add.reduceat(expected, starts, axis=0, dtype=np.float64)


def slow_level(values: Floats, span: int, of: Callable[..., Floats] = np.median) -> Floats:
    """Take the median, or another figure, over spans that slide from slot to slot, tag by tag.

    Only slots that are known count, so a span covers a day of operation rather than a day of the
    calendar. A median over a span does not see what fills less than half of it.

    Parameters
    ----------
    values
        (B, C) means of slots, NaN where not known.
    span
        Slots of a span.

    Returns
    -------
    (B, C) at the middle slot of each whole span, else NaN.

    Examples
    --------
    >>> slow_level(np.array([[1.0], [2.0], [90.0], [np.nan], [3.0]]), 3).ravel()
    array([nan,  2.,  3., nan, nan])
    """
    levels = np.full(values.shape, np.nan)
    for c in range(values.shape[1]):
        at = np.flatnonzero(np.isfinite(values[:, c]))
        if len(at) < span:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(values[at, c], span)
        levels[at[span // 2 : span // 2 + len(windows)], c] = of(windows, axis=1)
    return levels

"""Readings of all tags come in chunk by chunk; slots of time with counts and a sample go out.

A slot's borders are fixed multiples since 1970, and its sample is its first row: so the slots are
the same however an export was cut, and few however long it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensor_ad.records import Bools, Floats, Ints

MOST_SLOTS = 2048
"""Slots of time at most; when there are more, neighbours are joined."""
FEWEST_SLOTS = 256
SLOT_CELLS = 2**17
"""Slots times tags at most, above `FEWEST_SLOTS`: memory stays bounded for thousands of tags."""


@dataclass(frozen=True)
class Slots:
    """An export in a bounded number of slots of equal time; those without a row are left out."""

    start_us: Ints
    """(B,) UTC microseconds, increasing."""
    width_us: int
    rows: Ints
    """(B,)"""
    missing: Ints
    """(B, C) cells without a value."""
    bad: Ints
    """(B, C) cells that the historian calls bad, and values outside the physical range."""
    uncertain: Ints
    """(B, C) values that the historian calls uncertain or substituted."""
    first: Floats
    """(B, C) the slot's first row: an even sample in time, plant units."""
    step: Floats
    """(B, C) its change from the row before."""


class SlotCount:
    """Slots while rows pass; their width doubles as the export gets longer."""

    def __init__(self, channels: int) -> None:
        self._most = int(np.clip(SLOT_CELLS // max(channels, 1), FEWEST_SLOTS, MOST_SLOTS))
        self._shift = 0
        self._key: Ints = np.empty(0, np.int64)
        self._rows: Ints = np.empty(0, np.int64)
        self._counts: Ints = np.empty((0, 3, channels), np.int32)
        self._sample: Floats = np.empty((0, 2, channels))

    def add(
        self, time_us: Ints, values: Floats, before: Floats, flags: tuple[Bools | None, ...]
    ) -> None:
        """Take the next rows.

        Parameters
        ----------
        time_us
            (T,) UTC microseconds.
        values
            (T, C) plant units, NaN where there is no good value.
        before
            (C,) the row before the first one; NaN where there was none.
        flags
            (T, C) missing, bad, uncertain; None where there is none of a kind.
        """
        key: Ints = time_us >> self._shift
        while self._slots(key) > self._most:
            self._shift += 1
            key = key >> 1
            self._key, starts = _groups(self._key >> 1)
            self._rows = np.add.reduceat(self._rows, starts) if len(starts) else self._rows
            if len(starts):
                self._counts = np.add.reduceat(self._counts, starts, axis=0)
                self._sample = self._sample[starts]
        key, starts = _groups(key)
        rows = np.diff(starts, append=len(time_us))
        position = (
            np.repeat(np.arange(len(starts)), rows) if any(f is not None for f in flags) else starts
        )
        counts = np.stack(
            [_counted(flag, position, len(starts), values.shape[1]) for flag in flags], 1
        )
        first = values[starts]
        previous = np.where((starts > 0)[:, None], values[starts - 1], before)
        sample = np.stack([first, first - previous], axis=1)
        if len(self._key) and key[0] == self._key[-1]:
            self._rows[-1] += rows[0]
            self._counts[-1] += counts[0]
            key, rows, counts, sample = key[1:], rows[1:], counts[1:], sample[1:]
        self._key = np.concatenate([self._key, key])
        self._rows = np.concatenate([self._rows, rows])
        self._counts = np.concatenate([self._counts, counts])
        self._sample = np.concatenate([self._sample, sample])

    def slots(self) -> Slots:
        """Give what came in."""
        missing, bad, uncertain = (self._counts[:, k] for k in range(3))
        first, step = self._sample[:, 0], self._sample[:, 1]
        start_us = self._key << self._shift
        return Slots(start_us, 1 << self._shift, self._rows, missing, bad, uncertain, first, step)

    def _slots(self, key: Ints) -> int:
        """Count the slots that there would be."""
        joined = bool(len(self._key)) and self._key[-1] == key[0]
        return len(self._key) + int(np.count_nonzero(np.diff(key))) + 1 - joined


def _groups(key: Ints) -> tuple[Ints, Ints]:
    """Different keys of a sorted array, and where each begins."""
    if not len(key):
        return key, np.empty(0, np.int64)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(key)) + 1])
    return key[starts], starts


def _counted(flag: Bools | None, position: Ints, slots: int, channels: int) -> Ints:
    """(slots, C) flags of each slot; `position` is the slot of each row."""
    if flag is None:
        return np.zeros((slots, channels), np.int32)
    row, column = np.nonzero(flag)
    cells = np.bincount(position[row] * channels + column, minlength=slots * channels)
    return cells.reshape(slots, channels).astype(np.int32)

"""Readings of all tags come in block by block; what is remarkable in each tag's past goes out.

Everything here has a fixed size whatever the length of an export, and is the same however the
export was cut: it is kept by the value and the time of readings, never by the place in a chunk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensor_ad.records import Bools, Floats, Ints, Tag

MOST_SLOTS = 2048
"""Slots of time at most; when there are more, neighbours are joined."""
FEWEST_SLOTS = 256
SLOT_CELLS = 2**17
"""Slots times tags at most, above `FEWEST_SLOTS`: memory stays bounded for thousands of tags."""
KEPT_HOLDS = 8
"""Longest stretches of one value that are kept for each tag."""
KEPT_JUMPS = 32
"""Highest spikes that are kept for each tag."""
KEPT_EXTREMES = 6
"""Different values that are kept at each end of a tag."""
PROBED_ROWS = 2048
"""First rows from which each tag's period is found."""
NEVER = np.iinfo(np.int64).min
"""Time of what never happened."""


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
        key = time_us >> self._shift
        while self._slots(key) > self._most:
            self._shift += 1
            key >>= 1
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


@dataclass(frozen=True)
class Hold:
    """A stretch of rows with one and the same value."""

    rows: int
    start_us: int
    end_us: int
    """Its last row."""
    value: float


class HoldCount:
    """The longest stretches of one value, per tag; a missing value ends one."""

    def __init__(self, channels: int) -> None:
        self.repeated = np.zeros(channels, np.int64)
        """(C,) rows that repeat the value before them."""
        self._kept: list[list[Hold]] = [[] for _ in range(channels)]
        """Longest first; of two alike the earlier one."""
        self._least = np.full(channels, 1)
        """(C,) only longer stretches are taken up."""
        self._rows = np.zeros(channels, np.int64)
        self._start = np.full(channels, NEVER)
        self._value = np.full(channels, np.nan)
        self._last_us = NEVER

    def add(self, time_us: Ints, values: Floats, same: Bools) -> None:
        """Take the next block.

        Parameters
        ----------
        values
            (C, R), a tag in a row.
        same
            (C, R) whether a value equals the one before it.
        """
        R = len(time_us)
        repeats = np.array([np.count_nonzero(row) for row in same])
        self.repeated += repeats
        still = np.flatnonzero(repeats)
        for c in np.flatnonzero((self._rows > self._least) & ~same[:, 0]):
            self._keep(c, self._open(c))
        opened = np.where(same[:, 0], self._rows, 0), self._start.copy(), self._value.copy()
        self._rows[:], self._start[:], self._value = 1, time_us[-1], values[:, -1].copy()
        for c in still:
            at = np.flatnonzero(same[c])
            group = np.flatnonzero(np.diff(at, prepend=-2) > 1)
            begins = at[group] - 1
            lengths = np.diff(group, append=len(at)) + 1
            if begins[0] < 0:
                lengths[0] += opened[0][c] - 1
            for k in np.flatnonzero(lengths > self._least[c]):
                begin = int(begins[k])
                stop = int(at[group[k + 1] - 1]) if k + 1 < len(group) else int(at[-1])
                if stop < R - 1:
                    start = int(time_us[begin]) if begin >= 0 else int(opened[1][c])
                    value = float(values[c, stop])
                    self._keep(c, Hold(int(lengths[k]), start, int(time_us[stop]), value))
            if at[-1] == R - 1:
                begin = int(begins[-1])
                self._rows[c] = lengths[-1]
                self._start[c] = time_us[begin] if begin >= 0 else opened[1][c]
        self._last_us = int(time_us[-1])

    def holds(self, c: int) -> tuple[Hold, ...]:
        """Give the longest stretches of a tag, longest first; single rows are none."""
        found = list(self._kept[c])
        if self._rows[c] > 1:
            found.append(self._open(c))
        return tuple(sorted(found, key=lambda hold: (-hold.rows, hold.start_us))[:KEPT_HOLDS])

    def _open(self, c: int) -> Hold:
        return Hold(int(self._rows[c]), int(self._start[c]), self._last_us, float(self._value[c]))

    def _keep(self, c: int, hold: Hold) -> None:
        kept = self._kept[c]
        kept.append(hold)
        kept.sort(key=lambda one: (-one.rows, one.start_us))
        del kept[KEPT_HOLDS:]
        if len(kept) == KEPT_HOLDS:
            self._least[c] = kept[-1].rows


class JumpCount:
    """The rows that stand out most from both their neighbours, on the same side of both."""

    def __init__(self, channels: int) -> None:
        self.height = np.zeros((channels, KEPT_JUMPS))
        """(C, K) by how much, highest first; 0 fills up."""
        self.value = np.full((channels, KEPT_JUMPS), np.nan)
        self.time_us = np.full((channels, KEPT_JUMPS), NEVER)

    def add(self, time_us: Ints, values: Floats, steps: Floats) -> None:
        """Take rows.

        Parameters
        ----------
        time_us
            (R,)
        values
            (C, R)
        steps
            (C, R + 1) changes into each row and into the one after the last.
        """
        size = np.abs(steps)
        smaller = np.minimum(size[:, :-1], size[:, 1:])
        high = smaller > self.height[:, -1:]
        if not high.any():
            return
        column, row = np.nonzero(high)
        turned = steps[column, row] * steps[column, row + 1] < 0
        column, row = column[turned], row[turned]
        edges = np.searchsorted(column, np.arange(len(values) + 1))
        for c in np.unique(column):
            at = row[edges[c] : edges[c + 1]]
            height = np.concatenate([self.height[c], smaller[c, at]])
            best = np.argsort(-height, kind="stable")[:KEPT_JUMPS]
            self.height[c] = height[best]
            self.value[c] = np.concatenate([self.value[c], values[c, at]])[best]
            self.time_us[c] = np.concatenate([self.time_us[c], time_us[at]])[best]


@dataclass
class Extreme:
    """A value at one end of a tag's values."""

    value: float
    rows: int
    first_us: int
    last_us: int


class ExtremeCount:
    """The highest (or lowest) different values of each tag, and how often they stood."""

    def __init__(self, channels: int, highest: bool) -> None:
        self._sign = 1.0 if highest else -1.0
        self._kept: list[list[Extreme]] = [[] for _ in range(channels)]
        self._edge = np.full(channels, -np.inf)
        """(C,) least value of interest, times the sign."""

    def add(self, time_us: Ints, values: Floats, ends: Floats) -> None:
        """Take (C, R) values, whose highest (or lowest) are the (C,) `ends`."""
        for c in np.flatnonzero(self._sign * ends >= self._edge):
            self._add(c, time_us, values[c])

    def extremes(self, c: int) -> tuple[Extreme, ...]:
        """Give a tag's values at this end, the outermost first."""
        return tuple(self._kept[c])

    def _add(self, c: int, time_us: Ints, column: Floats) -> None:
        kept, sign = self._kept[c], self._sign
        beyond = np.flatnonzero(sign * column >= self._edge[c])
        found, when = column[beyond], time_us[beyond]
        for one in kept:
            at = np.flatnonzero(found == one.value)
            if len(at):
                one.rows += len(at)
                one.last_us = int(when[at[-1]])
                if len(at) == len(found):
                    return
                other = found != one.value
                found, when = found[other], when[other]
        for value in np.sort(_outermost(found, sign))[:: -int(sign)]:
            at = np.flatnonzero(found == value)
            kept.append(Extreme(float(value), len(at), int(when[at[0]]), int(when[at[-1]])))
        kept.sort(key=lambda one: -sign * one.value)
        del kept[KEPT_EXTREMES:]
        if len(kept) == KEPT_EXTREMES:
            self._edge[c] = sign * kept[-1].value


def _outermost(values: Floats, sign: float) -> Floats:
    """Few different values that are the highest (or the lowest)."""
    different = np.unique(values)
    return different[-KEPT_EXTREMES:] if sign > 0 else different[:KEPT_EXTREMES]


class GapCount:
    """The longest time from one good value of a tag to its next."""

    def __init__(self, channels: int) -> None:
        self.longest = np.zeros((channels, 2), np.int64)
        """(C, 2) from and to, UTC microseconds; the earliest of those alike."""
        self._last = np.full(channels, NEVER)
        self._first_us = NEVER
        self._end_us = NEVER

    def add(self, time_us: Ints, good: Bools | None) -> None:
        """Take the next rows; `good` is (C, R), None when all are."""
        if self._first_us == NEVER:
            self._first_us = int(time_us[0])
            self._last[:] = time_us[0]
        self._end_us = int(time_us[-1])
        whole = np.ones(len(self._last), bool) if good is None else good.all(axis=1)
        if whole.any():
            self._longer(whole, self._last, np.full(len(whole), time_us[0]))
            steps = np.diff(time_us)
            if len(steps):
                at = int(steps.argmax())
                edges = (np.full(len(whole), time_us[at + k]) for k in (0, 1))
                self._longer(whole, *edges)
            self._last[whole] = time_us[-1]
        if good is None:
            return
        for c in np.flatnonzero(~whole):
            times = np.concatenate([self._last[c : c + 1], time_us[good[c]]])
            if len(times) > 1:
                at = int(np.diff(times).argmax())
                if times[at + 1] - times[at] > self.longest[c, 1] - self.longest[c, 0]:
                    self.longest[c] = times[at], times[at + 1]
                self._last[c] = times[-1]

    def gap(self, c: int) -> tuple[int, int]:
        """From and to of a tag's longest gap, one that begins or ends the export included."""
        if self._end_us - self._last[c] > self.longest[c, 1] - self.longest[c, 0]:
            return int(self._last[c]), self._end_us
        return int(self.longest[c, 0]), int(self.longest[c, 1])

    def _longer(self, which: Bools, start: Ints, stop: Ints) -> None:
        longer = which & (stop - start > self.longest[:, 1] - self.longest[:, 0])
        self.longest[longer, 0], self.longest[longer, 1] = start[longer], stop[longer]


class PeriodProbe:
    """The first rows of an export: from them each tag's period."""

    def __init__(self) -> None:
        self._times: list[Ints] = []
        self._good: list[Bools] = []
        self._room = PROBED_ROWS

    def add(self, time_us: Ints, values: Floats) -> None:
        """Take the next (T,) times and (T, C) values."""
        if self._room and len(time_us):
            self._times.append(time_us[: self._room])
            self._good.append(np.isfinite(values[: self._room]))
            self._room -= len(self._times[-1])

    def periods(self) -> Floats:
        """(C, 2) usual time from value to value of each tag, and how far 9 in 10 are from it, s."""
        if not self._times:
            return np.empty((0, 2))
        time_us, good = np.concatenate(self._times), np.concatenate(self._good)
        found: Floats = np.full((good.shape[1], 2), np.nan)
        known: dict[bytes, Floats] = {}
        for c in range(len(found)):
            pattern = good[:, c].tobytes()
            if pattern not in known:
                known[pattern] = _period(time_us[good[:, c]])
            found[c] = known[pattern]
        return found


def _period(time_us: Ints) -> Floats:
    """Period and jitter of one tag's times, s."""
    steps = np.diff(time_us) / 1e6
    steps = steps[steps > 0]
    if len(steps) < 2:
        return np.full(2, np.nan)
    typical = float(np.median(steps))
    return np.array([typical, np.quantile(np.abs(steps - typical), 0.9)])


@dataclass(frozen=True)
class TagHistory:
    """What is known of one tag's past when an export has passed by."""

    tag: Tag
    kind: str
    """continuous, few-state, constant, counter or empty."""
    rows: int
    good: int
    """Usable values; the others are missing, bad or out of range."""
    missing: int
    bad: int
    uncertain: int
    out_of_range: int
    longest_hold: int
    """Rows."""
    holds: tuple[Hold, ...]
    """Longest stretches of one value, longest first."""
    lowest: tuple[Extreme, ...]
    highest: tuple[Extreme, ...]
    """Its outermost different values at either end, the outermost first."""
    jump_height: Floats
    """(K,) how far the rows that stand out most do so, highest first; 0 fills up."""
    jump_value: Floats
    """(K,)"""
    jump_us: Ints
    """(K,) UTC microseconds."""
    gap: tuple[int, int]
    """From and to of the longest time without a good value, UTC microseconds."""
    period_s: float | None
    jitter_s: float | None

    @property
    def low(self) -> float:
        """Lowest good value."""
        return self.lowest[0].value if self.lowest else float("nan")

    @property
    def high(self) -> float:
        """Highest good value."""
        return self.highest[0].value if self.highest else float("nan")


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a tag, or that an engineer should know of it."""

    kind: str
    """In a word or two."""
    sentence: str

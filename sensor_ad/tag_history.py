"""Readings of all tags come in block by block; what is remarkable in each tag's past goes out.

Everything here has a fixed size whatever the length of an export, and is the same however the
export was cut: it is kept by the value and the time of readings, never by the place in a chunk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensor_ad.records import Bools, Floats, Ints, Tag

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
        repeats = np.array([np.count_nonzero(row) for row in same])
        self.repeated += repeats
        # Most blocks hold no stretch that is worth keeping: nowhere two repeats on end.
        pairs = same[:, 1:] & same[:, :-1]
        calm = np.array([not row.any() for row in pairs]) & (self._least >= 2) & (len(time_us) > 2)
        opened = self._rows.copy(), self._start.copy()
        longer = self._rows + same[:, 0]
        for c in np.flatnonzero((longer > self._least) & (calm | ~same[:, 0])):
            end_us = int(time_us[0]) if same[c, 0] else self._last_us
            value = float(self._value[c])
            self._keep(int(c), Hold(int(longer[c]), int(self._start[c]), end_us, value))
        self._rows = 1 + same[:, -1]
        self._start = time_us[len(time_us) - np.minimum(self._rows, len(time_us))]
        self._value, self._last_us = values[:, -1].copy(), int(time_us[-1])
        for c in np.flatnonzero(~calm & (repeats > 0)):
            self._add(
                int(c), time_us, values[c], np.flatnonzero(same[c]), (opened[0][c], opened[1][c])
            )

    def _add(
        self, c: int, time_us: Ints, column: Floats, same: Ints, opened: tuple[int, int]
    ) -> None:
        """Take a tag's block by the places of its repeats; `opened` is what came before it."""
        group = np.flatnonzero(np.concatenate([[True], same[1:] - same[:-1] > 1]))
        edges = np.append(group, len(same))
        begins, ends = same[group] - 1, same[edges[1:] - 1]
        lengths = edges[1:] - group + 1
        starts = time_us[np.maximum(begins, 0)]
        if begins[0] < 0:
            lengths[0] += opened[0] - 1
            starts[0] = opened[1]
        for k in np.flatnonzero((lengths > self._least[c]) & (ends < len(column) - 1)):
            end = int(ends[k])
            self._keep(
                c, Hold(int(lengths[k]), int(starts[k]), int(time_us[end]), float(column[end]))
            )
        if ends[-1] == len(column) - 1:
            self._rows[c], self._start[c] = lengths[-1], starts[-1]

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
        found = np.flatnonzero(np.fmax.reduce(smaller, axis=1) > self.height[:, -1])
        if not len(found):
            return
        column, row = np.nonzero(smaller[found] > self.height[found, -1:])
        column = found[column]
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

    def add(self, time_us: Ints, values: Floats, ends: Floats, same: Bools) -> None:
        """Take a block.

        Parameters
        ----------
        values
            (C, R)
        ends
            (C,) the highest (or lowest) of them.
        same
            (C, R) whether a value equals the one before it.
        """
        for c in np.flatnonzero(self._sign * ends >= self._edge):
            column, repeats = values[c], same[c]
            if np.count_nonzero(repeats) > len(column) / 2:
                # Stretches of one value are counted as one.
                fresh = ~repeats
                fresh[0] = True
                at = np.flatnonzero(fresh)
                rows = np.append(at[1:], len(column)) - at
                inside = self._sign * column[at] >= self._edge[c]
                at, rows = at[inside], rows[inside]
            else:
                at = np.flatnonzero(self._sign * column >= self._edge[c])
                rows = np.ones(len(at), np.int64)
            self._add(self._kept[c], column[at], at, rows, time_us)
            if len(self._kept[c]) == KEPT_EXTREMES:
                self._edge[c] = self._sign * self._kept[c][-1].value

    def extremes(self, c: int) -> tuple[Extreme, ...]:
        """Give a tag's values at this end, the outermost first."""
        return tuple(self._kept[c])

    def _add(self, kept: list[Extreme], found: Floats, at: Ints, rows: Ints, time_us: Ints) -> None:
        """Take values that stand from row `at` on for so many `rows`."""
        sign = self._sign
        other = np.ones(len(found), bool)
        for one in kept:
            other &= found != one.value
        if other.any():
            different = np.unique(found[other])
            few = different[-KEPT_EXTREMES:] if sign > 0 else different[:KEPT_EXTREMES]
            kept += [Extreme(float(value), 0, NEVER, NEVER) for value in few]
            kept.sort(key=lambda one: -sign * one.value)
            del kept[KEPT_EXTREMES:]
        for one in kept:
            here = np.flatnonzero(found == one.value)
            if len(here):
                last = here[-1]
                one.first_us = one.first_us if one.rows else int(time_us[at[here[0]]])
                one.last_us = int(time_us[at[last] + rows[last] - 1])
                one.rows += int(rows[here].sum())


class GapCount:
    """The longest time from one good value of a tag to its next."""

    def __init__(self, channels: int) -> None:
        self.longest = np.zeros((channels, 2), np.int64)
        """(C, 2) from and to, UTC microseconds; the earliest of those alike."""
        self._last = np.full(channels, NEVER)
        self._first_us = NEVER
        self._end_us = NEVER

    def add(self, time_us: Ints, good: Bools | None) -> None:
        """Take the next rows; `good` is (T, C), None when all are."""
        if self._first_us == NEVER:
            self._first_us = int(time_us[0])
            self._last[:] = time_us[0]
        self._end_us = int(time_us[-1])
        whole: Bools = np.ones(len(self._last), bool)
        if good is not None:
            whole = np.asarray(good.all(axis=0))
        if whole.any():
            self._longer(whole, self._last, np.full(len(whole), time_us[0]))
            if len(time_us) > 1:
                at = int((time_us[1:] - time_us[:-1]).argmax())
                edges = (np.full(len(whole), time_us[at + k]) for k in (0, 1))
                self._longer(whole, *edges)
            self._last[whole] = time_us[-1]
        if good is None:
            return
        for c in np.flatnonzero(~whole):
            times = np.concatenate([self._last[c : c + 1], time_us[good[:, c]]])
            if len(times) > 1:
                at = int((times[1:] - times[:-1]).argmax())
                if times[at + 1] - times[at] > self.longest[c, 1] - self.longest[c, 0]:
                    self.longest[c] = times[at], times[at + 1]
                self._last[c] = times[-1]

    def gap(self, c: int) -> tuple[int, int] | None:
        """From and to of a tag's longest gap, one that begins or ends the export included."""
        start, stop = int(self.longest[c, 0]), int(self.longest[c, 1])
        if self._end_us - self._last[c] > stop - start:
            start, stop = int(self._last[c]), self._end_us
        return (start, stop) if stop > start else None

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
    gap: tuple[int, int] | None
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

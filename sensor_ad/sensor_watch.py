"""Grid rows of a run come in; the same with faulty sensors masked go out, and what was masked when.

A sensor is taken for faulty only when that is certain: it repeats one value for far longer than it
ever did in training while other tags move, it has no usable value for long, or it stands at a value
far outside everything it ever showed. From that row on its readings are hidden from the network,
until it has moved as usual for a while. So it neither raises events of the machine nor hides them.

What a row's fate depends on lies before it: the state that is carried from chunk to chunk is
carried from export to export, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sensor_ad.grid import Rows
from sensor_ad.prepare import Preparation
from sensor_ad.records import Bools, Floats, Ints
from sensor_ad.standstill import COARSE, StandStill

STUCK_TIMES = 10
"""A tag is stuck when it holds a value so many times as long as ever while it moved before …"""
STUCK_WINDOWS = 1
"""… and for so many windows."""
TOGETHER = 1 / 3
"""When more than this share of the tags stands still at once, it is no fault of one sensor."""
LOST_TIMES, LOST_WINDOWS = 10, 2
"""The same for a tag without a usable value."""
RAIL_TIMES, RAIL_ROWS = 2, 8
"""The same for a value outside the training range, and rows at least."""
RAIL_BEYOND = 0.5
"""It lies by so many training ranges outside."""
IMPOSSIBLE = 50.0
"""A value so many times as large as anything in training is none."""
SOUND_SHARE, SOUND_ROWS = 4, 8
"""A sensor has recovered when it moved as usual for a window divided by this, and so many rows."""
SOUND, STUCK, LOST, RAIL = 0, 1, 2, 3
"""What is wrong with a tag, as numbers of the state."""
NEVER = -1
"""Row of what is not."""
CHANGED = ("cause", "start", "confirmed", "held", "sound")
"""Arrays of the state that are changed in place."""


@dataclass(frozen=True)
class MaskedStretch:
    """One sensor's fault, in grid rows."""

    column: int
    cause: int
    """STUCK, LOST or RAIL."""
    start: int
    """First row at fault."""
    confirmed: int
    """First masked row."""
    end: int
    """Last masked row so far."""
    open: bool
    """Whether it goes on at the end of what came in."""
    value: float
    """The value that it held; NaN when there was none."""


@dataclass(frozen=True)
class WatchState:
    """What is known of the sensors at the end of some rows, for the rows that follow."""

    last: int
    """Last grid row; `NEVER` when there was none."""
    value: Floats
    """(C,) last reading."""
    since: Ints
    """(C,) grid row from which on it stood."""
    rows: Ints
    """(C,) rows for which it stood."""
    cause: Ints
    """(C,) what is wrong."""
    start: Ints
    """(C,) first row at fault."""
    confirmed: Ints
    """(C,) first masked row."""
    held: Floats
    """(C,) value that a faulty sensor held."""
    sound: Ints
    """(C,) rows for which a faulty sensor has moved as usual."""


def sound_state(channels: int) -> WatchState:
    """Give the state before anything came."""
    never = np.full(channels, NEVER, np.int64)
    zero, nothing = np.zeros(channels, np.int64), np.full(channels, np.nan)
    return WatchState(NEVER, nothing, never, zero, zero, never, never, nothing, zero)


def state_from(arrays: Mapping[str, Any]) -> WatchState:
    """Rebuild a state from its arrays."""
    return WatchState(**{**arrays, "last": int(arrays["last"])})


@dataclass(frozen=True)
class WatchLimits:
    """From when on a tag is at fault; infinite where it is not judged."""

    stuck: Floats
    """(C,) rows with one value."""
    lost: Floats
    """(C,) rows without a usable value."""
    rail: Floats
    """(C,) rows with one value outside `low` … `high`."""
    low: Floats
    high: Floats
    """(C,) training range with a margin, plant units."""
    most: Floats
    """(C,) largest possible magnitude, plant units."""
    together: float
    """More tags than this that stand still at once are not stuck."""
    sound: int
    """Rows for which a sensor must move as usual to have recovered."""


def watch_limits(
    preparation: Preparation, usual: StandStill, window: int, absent: Collection[str] = ()
) -> WatchLimits:
    """Work out the limits from what is usual for each tag.

    Parameters
    ----------
    window
        L, rows.
    absent
        Tags that the export lacks, which is told elsewhere.
    """
    tags = preparation.tags
    measured = np.array([t.role == "measurement" and t.name not in absent for t in tags], bool)
    # Counters are increases of rows; few-state tags may rest for any time.
    moving = measured & np.array([kind == "continuous" for kind in preparation.kinds], bool)
    stuck = np.maximum(STUCK_TIMES * usual.usual, STUCK_WINDOWS * window)
    rail = np.maximum(RAIL_TIMES * usual.usual, RAIL_ROWS)
    # Standing at a coarse step outside the training range takes as long as inside.
    rail = np.where(usual.repeats > COARSE, stuck, rail)
    lost = np.maximum(LOST_TIMES * usual.lost, LOST_WINDOWS * window)
    low, high = preparation.low, preparation.high
    margin = RAIL_BEYOND * (high - low)
    most = IMPOSSIBLE * np.maximum(np.abs(low), np.abs(high))
    return WatchLimits(
        stuck=np.where(moving, stuck, np.inf),
        lost=np.where(measured, lost, np.inf),
        rail=np.where(moving, rail, np.inf),
        low=low - margin,
        high=high + margin,
        most=np.where(moving & (most > 0), most, np.inf),
        together=max(1.0, TOGETHER * np.isfinite(np.where(moving, stuck, np.inf)).sum()),
        sound=max(window // SOUND_SHARE, SOUND_ROWS),
    )


class SensorWatch:
    """Masks faulty sensors while the rows of a run pass."""

    def __init__(self, limits: WatchLimits, usual: StandStill, max_hole: int) -> None:
        self.limits = limits
        self._usual = usual
        self._max_hole = max_hole
        """A stretch goes on over so many rows that are not there."""
        self.state = sound_state(len(limits.stuck))
        self._ended: list[MaskedStretch] = []
        self.confirmed: list[int] = []
        """Grid rows at which faults were found, as they come."""
        # Any stretch that matters, but one at a rail, is as long as this.
        self._shortest = np.minimum(limits.stuck, limits.lost)
        known = self._shortest[np.isfinite(self._shortest)]
        self._least = int(known.min()) if len(known) else 0
        self._stride = max(1, self._least // 8)
        self._near = 7 * self._stride
        """Rows from which a stretch is looked at: when the first sensor is taken for stuck, those
        that stood still with it are known."""

    def go_on(self, state: WatchState) -> None:
        """Take over what the export before knew of the sensors."""
        self.state = state

    def passing(self, pieces: Iterable[Rows]) -> Iterator[Rows]:
        """Hand rows through with faulty sensors masked; rows that do not count are left alone."""
        for rows in pieces:
            if not self._least or not rows.used.any():
                yield rows
                continue
            used = rows.used
            part = rows
            if not used.all():
                part = Rows(rows.index[used], rows.values[used], used[used])
            # Arrays of the state are changed by what follows, and others may hold them.
            self.state = replace(self.state, **{k: getattr(self.state, k).copy() for k in CHANGED})
            hidden = self._hidden(part.index, part.values)
            if not hidden:
                yield rows
                continue
            values = rows.values.copy()
            where = np.flatnonzero(used)
            for c, which in hidden.items():
                values[where[which], c] = np.nan
            yield Rows(rows.index, values, used & np.isfinite(values).any(axis=1))

    def stretches(self) -> tuple[MaskedStretch, ...]:
        """Give what was masked so far, by its first row at fault."""
        state = self.state
        faulty = np.flatnonzero(state.cause != SOUND)
        still = [self._stretch(int(c), state.last, True) for c in faulty]
        return tuple(sorted([*self._ended, *still], key=lambda one: (one.start, one.column)))

    def _stretch(self, c: int, end: int, still: bool) -> MaskedStretch:
        state = self.state
        start, confirmed = int(state.start[c]), int(state.confirmed[c])
        cause, value = int(state.cause[c]), float(state.held[c])
        return MaskedStretch(c, cause, start, confirmed, end, still, value)

    def _hidden(self, index: Ints, values: Floats) -> dict[int, Bools]:
        """Find the (T,) rows in which tags are masked, by the tag's column."""
        limits = self.limits
        lowest, highest = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
        outside = np.isfinite(limits.rail) & ((lowest < limits.low) | (highest > limits.high))
        if ((highest > limits.most) | (lowest < -limits.most)).any():
            values = np.where(np.abs(values) > limits.most, np.nan, values)
        columns = np.flatnonzero(outside | self._long(index, values) | (self.state.cause != SOUND))
        runs = {int(c): self._run(int(c), index, values[:, c]) for c in columns}
        rest = {c: self._at_rest(c, values[:, c]) for c in runs}
        still = np.zeros(len(index), np.int64)
        for c, (_, run) in runs.items():
            if np.isfinite(limits.stuck[c]):
                still += (run >= self._near) & ~rest[c] & np.isfinite(values[:, c])
        hidden = {}
        for c, (since, run) in runs.items():
            column = values[:, c]
            beyond = (column < limits.low[c]) | (column > limits.high[c])
            rail = beyond & (run >= limits.rail[c])
            lost = np.isnan(column) & (run >= limits.lost[c])
            held = np.isfinite(column) & (run >= limits.stuck[c]) & ~rest[c]
            cause = np.select(
                [lost, rail, held & (still <= limits.together)], [LOST, RAIL, STUCK], SOUND
            )
            usual = np.isfinite(column) & ~rail & ((run <= self._usual.usual[c]) | rest[c])
            hidden[c] = self._judge(c, index, since, column, cause, usual)
        self._remember(index, values, runs)
        return {c: which for c, which in hidden.items() if which.any()}

    def _goes_on(self, index: Ints) -> bool:
        """Whether no gap lies between the rows before and these."""
        return self.state.last != NEVER and int(index[0]) - self.state.last <= self._max_hole + 1

    def _long(self, index: Ints, values: Floats) -> Bools:
        """(C,) tags that may have a long stretch of one value (or of none) that ends in here.

        Such a stretch holds eight rows of the thinned columns; or it goes on from before.
        """
        thin = values[:: self._stride]
        equal = _same(thin[1:], thin[:-1])
        two = equal[1:] & equal[:-1]
        four = two[2:] & two[:-2]
        some: Bools = np.asarray((four[2:] & two[: len(four[2:])]).any(axis=0))
        if self._goes_on(index):
            head = _same(values[: self._near], self.state.value)
            lead = np.where(head.all(axis=0), len(head), (~head).argmax(axis=0))
            some |= self.state.rows + lead >= self._near
        return np.asarray(some & np.isfinite(self._shortest))

    def _run(self, c: int, index: Ints, column: Floats) -> tuple[Ints, Ints]:
        """(T,) row from which on each value stood, and for how many rows; none counts as one."""
        same = _same(column[1:], column[:-1]) & (index[1:] - index[:-1] <= self._max_hole + 1)
        place = np.arange(len(index))
        start = np.maximum.accumulate(np.where(np.append(False, same), 0, place))
        since, rows = index[start], place - start + 1
        if self._goes_on(index) and _same(column[:1], self.state.value[c])[0]:
            rows[start == 0] += self.state.rows[c]
            since[start == 0] = self.state.since[c]
        return since, rows

    def _at_rest(self, c: int, column: Floats) -> Bools:
        """(T,) whether a value is one at which the tag rested in training."""
        resting = self._usual.resting[c]
        at_rest = np.zeros(len(column), bool)
        for value in resting[np.isfinite(resting)]:
            at_rest |= column == value
        return at_rest

    def _judge(
        self, c: int, index: Ints, since: Ints, column: Floats, cause: Ints, usual: Bools
    ) -> Bools:
        """(T,) rows in which a tag is masked; keeps its state."""
        state = self.state
        before = int(state.sound[c]) if self._goes_on(index) else 0
        gaps = np.append(False, index[1:] - index[:-1] > self._max_hole + 1)
        sound = _lengths(usual, gaps, before)
        recovered = np.flatnonzero(sound >= self.limits.sound)
        confirmed = np.flatnonzero(cause != SOUND)
        hidden = np.zeros(len(index), bool)
        at, faulty = 0, bool(state.cause[c] != SOUND)
        while at < len(index):
            ahead = recovered if faulty else confirmed
            place = int(np.searchsorted(ahead, at))
            stop = int(ahead[place]) if place < len(ahead) else len(index)
            if faulty:
                hidden[at:stop] = True
            if stop < len(index):
                if faulty:
                    end = int(index[stop - 1]) if stop else state.last
                    self._ended.append(self._stretch(c, end, False))
                    self._set(c, SOUND, NEVER, NEVER, np.nan)
                else:
                    start, value = int(since[stop]), float(column[stop])
                    self._set(c, int(cause[stop]), start, int(index[stop]), value)
                    self.confirmed.append(int(index[stop]))
                faulty = not faulty
            at = stop
        state.sound[c] = sound[-1] if faulty else 0
        return hidden

    def _set(self, c: int, cause: int, start: int, confirmed: int, value: float) -> None:
        state = self.state
        state.cause[c], state.start[c], state.confirmed[c] = cause, start, confirmed
        state.held[c] = value

    def _remember(self, index: Ints, values: Floats, runs: dict[int, tuple[Ints, Ints]]) -> None:
        """Keep what the next rows need: the last value of each tag and for how long it stood."""
        T, last = len(index), values[-1].copy()
        tail = values[-self._least :]
        same = _same(tail, last)
        # Rows before a gap are another stretch.
        after = np.flatnonzero(index[1:] - index[:-1] > self._max_hole + 1)
        if len(after):
            same[: max(0, len(tail) - (T - 1 - int(after[-1])))] = False
        rows = np.where(same.all(axis=0), len(tail), (~same[::-1]).argmax(axis=0)).astype(np.int64)
        since = index[T - rows]
        if self._goes_on(index):
            joined = (rows == T) & _same(values[0], self.state.value)
            since = np.where(joined, self.state.since, since)
            rows = rows + np.where(joined, self.state.rows, 0)
        for c, (start, run) in runs.items():
            since[c], rows[c] = start[-1], run[-1]
        self.state = replace(self.state, last=int(index[-1]), value=last, since=since, rows=rows)


def _same(one: Floats, other: Floats) -> Bools:
    """Whether values are equal; nothing equals nothing."""
    same: Bools = (one == other) | (np.isnan(one) & np.isnan(other))
    return same


def _lengths(flags: Bools, breaks: Bools, before: int) -> Ints:
    """(T,) length of the stretch of True that ends in each row, 0 where it is False.

    Parameters
    ----------
    breaks
        (T,) rows with which a stretch begins anew.
    before
        Length of the stretch that the first row may go on from.
    """
    place = np.arange(len(flags))
    starts = np.where(~flags, place + 1, np.where(breaks, place, 0))
    length: Ints = place - np.maximum.accumulate(starts) + 1
    head = np.cumsum(~flags | breaks) == 0
    length[head] += before
    return length

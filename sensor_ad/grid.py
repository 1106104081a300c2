"""Readings to tiles: times come in, rows on a regular grid go out, laid side by side.

The grid is absolute: a reading's row number is ``round((time - phase) / period)`` since 1970,
whatever file or chunk it came in. Rows are then *placed* on a packed axis on which a gap takes only
as many (hidden) rows as the network and the smoothing can see, so that nothing is ever computed
over a gap; a row's place has the same remainder as its row number, so that strides fall alike
however an export was cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from sensor_ad.errors import DataError
from sensor_ad.periods import NEAR_SHARE, NICE_PERIODS_S
from sensor_ad.records import Bools, Floats, Ints

REGULAR_SHARE = 0.5
"""Share of steps that must agree with the typical one for the times to count as regular."""


@dataclass(frozen=True)
class Grid:
    """The regular time axis of a model."""

    period_us: int
    phase_us: int
    """Offset of the rows from multiples of the period since 1970, microseconds."""

    def row(self, time_us: Ints) -> Ints:
        """(T,) number of the nearest grid row."""
        return (time_us - self.phase_us + self.period_us // 2) // self.period_us

    def time_us(self, row: Ints) -> Ints:
        """(T,) time of grid rows, UTC microseconds."""
        return row * self.period_us + self.phase_us


@dataclass(frozen=True)
class Rows:
    """Grid rows that had a reading, in order; one chunk of an export."""

    index: Ints
    """(T,) int64 grid row numbers, strictly increasing."""
    values: Floats
    """(T, C) float64 plant units (counters: increase since the row before), NaN where missing."""
    used: Bools
    """(T,) False where the row does not count (`use_when`, nothing observed)."""


@dataclass(frozen=True)
class Tile:
    """A stretch of the packed axis: `core` rows to be reported, with a halo on both sides."""

    values: Floats
    """(P, C) float64 plant units, NaN where nothing was observed."""
    index: Ints
    """(P,) grid row number, -1 for filler."""
    core: slice
    """Rows of this tile that belong to no other tile."""


@dataclass(frozen=True)
class Layout:
    """Sizes of the packed axis, all in rows."""

    align: int
    """Places and tiles start at multiples of this (the stride of the pooled latents)."""
    halo: int
    """How far a row can see, one-sided; a multiple of `align`."""
    max_hole: int
    """Longer runs without a used row split segments."""
    tile: int = 16_384
    """Core rows of a tile; a multiple of `align`."""


def find_period_us(time_us: Ints) -> int | None:
    """Find the sampling period of an export from its first times.

    Returns
    -------
    Microseconds, or None when fewer than three different times are there.

    Raises
    ------
    DataError
        The steps from row to row do not agree on a period.
    """
    steps = np.diff(time_us)
    steps = steps[steps > 0]
    if len(steps) < 2:
        return None
    typical = float(np.median(steps))
    near = np.abs(steps - typical) <= 0.1 * typical
    # A hole lengthens a step to a multiple of the period; that does not make the times irregular.
    multiple = np.abs(steps / typical - np.round(steps / typical)) <= 0.1
    if near.mean() < REGULAR_SHARE and (near | multiple).mean() < 1 - REGULAR_SHARE / 2:
        low, high = np.percentile(steps, [10, 90]) / 1e6
        raise DataError(
            f"the times of the export are irregular (most steps lie between {low:g} s and "
            f"{high:g} s), "
            "a steady sampling period was expected; set prepare.period_s to the period wanted."
        )
    period = float(np.mean(steps[near])) if near.any() else typical
    for nice in NICE_PERIODS_S:
        if abs(period - nice * 1e6) <= NEAR_SHARE * nice * 1e6:
            return round(nice * 1e6)
    return round(period)


def find_phase_us(time_us: Ints, period_us: int) -> int:
    """Find where in the period the rows of an export lie (circular median, microseconds)."""
    offset = time_us % period_us
    reference = int(offset[0])
    turned = (offset - reference + period_us // 2) % period_us - period_us // 2
    return int((reference + int(np.median(turned))) % period_us)


class Gridder:
    """Readings in, `Rows` out; keeps the last grid row back, as the next chunk may add to it."""

    def __init__(self, grid: Grid, counters: Bools) -> None:
        self.grid = grid
        self.counters = counters
        self.merged = 0
        """Readings that shared a grid row with a later one."""
        self._kept: tuple[Ints, Floats, Bools] | None = None
        self.last: tuple[int, Floats] | None = None
        """Grid row and (K,) counter readings of the last row handed out."""

    def add(self, time_us: Ints, values: Floats, used: Bools) -> Rows:
        """Put a chunk on the grid.

        Parameters
        ----------
        time_us
            (T,) not decreasing, UTC microseconds.
        values
            (T, C) plant units.
        used
            (T,) whether the row counts.
        """
        index = self.grid.row(time_us)
        if self._kept is not None:
            index = np.concatenate([self._kept[0], index])
            values = np.concatenate([self._kept[1], values])
            used = np.concatenate([self._kept[2], used])
        if not len(index):
            return Rows(index, values, used)
        cut = int(np.searchsorted(index, index[-1]))
        self._kept = index[cut:], values[cut:], used[cut:]
        return self._finish(index[:cut], values[:cut], used[:cut])

    def close(self) -> Rows:
        """Hand out the row that was kept back."""
        if self._kept is None:
            return Rows(np.empty(0, np.int64), np.empty((0, len(self.counters))), np.empty(0, bool))
        index, values, used = self._kept
        self._kept = None
        return self._finish(index, values, used)

    def _finish(self, index: Ints, values: Floats, used: Bools) -> Rows:
        if len(index) and (
            first := np.flatnonzero(np.diff(index, prepend=index[0] - 1))
        ).size < len(index):
            self.merged += len(index) - len(first)
            values, used = _merge(values, used, first)
            index = index[first]
        if self.counters.any() and len(index):
            values = self._increase(index, values)
        used = used & np.isfinite(values).any(axis=1)
        return Rows(index, values, used)

    def _increase(self, index: Ints, values: Floats) -> Floats:
        """Replace counter readings by their increase since the row before; a reset is unknown."""
        level = values[:, self.counters]
        before = self.last or (int(index[0]) - 2, np.full(level.shape[1], np.nan))
        self.last = int(index[-1]), level[-1].copy()
        rise = np.diff(level, axis=0, prepend=before[1][None])
        adjacent = np.diff(index, prepend=before[0]) == 1
        rise[~adjacent] = np.nan
        rise[rise < 0] = np.nan
        values = values.copy()
        values[:, self.counters] = rise
        return values


def _merge(values: Floats, used: Bools, first: Ints) -> tuple[Floats, Bools]:
    """Mean of the good values of readings that fall on one grid row; (T', C), (T',)."""
    any_used = np.logical_or.reduceat(used, first)
    # Readings that do not count leave the mean, unless the row has no others: then it does not
    # count either, but a counter goes on from it.
    counted = used | np.repeat(~any_used, np.diff(first, append=len(used)))
    good = np.isfinite(values) & counted[:, None]
    total = np.add.reduceat(np.where(good, values, 0.0), first, axis=0)
    count = np.add.reduceat(good, first, axis=0, dtype=np.int64)
    mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return mean, any_used


class Placer:
    """Gives each grid row its place on the packed axis."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._place = -1
        self._used_place = -1
        self._index: int | None = None
        self._used_index: int | None = None

    def place(self, index: Ints, used: Bools) -> Ints:
        """Place the next rows.

        Parameters
        ----------
        index
            (T,) strictly increasing grid rows, following those of the call before.
        used
            (T,) whether the row counts.

        Returns
        -------
        (T,) places, strictly increasing; within a segment they differ as the row
        numbers do, between segments by at least the halo, and always ``place % align == index %
        align`` for used rows.
        """
        if not len(index):
            return index
        limit = self.layout.max_hole + 1
        before = index[0] - 1 if self._index is None else self._index
        steps = np.minimum(np.diff(index, prepend=before), limit)
        places = self._place + np.cumsum(steps)
        for start, stop in self._runs(index, used, limit):
            used_in_run = np.flatnonzero(used[start:stop])
            if self._breaks(index, start, used, limit):
                last = int(places[start - 1]) if start else self._place
                target = max(last + 1, self._used_place + 1 + self.layout.halo, 0)
                target += (int(index[start]) - target) % self.layout.align
                places[start:] += target - places[start]
            if used_in_run.size:
                position = start + int(used_in_run[-1])
                self._used_place, self._used_index = int(places[position]), int(index[position])
        self._place, self._index = int(places[-1]), int(index[-1])
        return places

    def _breaks(self, index: Ints, start: int, used: Bools, limit: int) -> bool:
        if not used[start]:
            return False
        return self._used_index is None or int(index[start]) - self._used_index > limit

    @staticmethod
    def _runs(index: Ints, used: Bools, limit: int) -> list[tuple[int, int]]:
        """Cut at each used row that lies further than `limit` from the used row before."""
        at = np.flatnonzero(used)
        breaks = at[1:][np.diff(index[at]) > limit] if len(at) else at
        starts = np.unique(np.concatenate([[0], at[:1], breaks])).astype(np.int64)
        return list(zip(starts.tolist(), [*starts[1:].tolist(), len(index)], strict=True))


def tiles(chunks: Iterable[Rows], layout: Layout) -> Iterator[Tile]:
    """Lay rows side by side and cut the packed axis into tiles.

    A tile's core starts at a multiple of ``layout.tile``; what it holds does not depend on the
    chunks.
    """
    placer = Placer(layout)
    size, halo = layout.tile, layout.halo
    values = np.empty((0, 0))
    buffer: _Buffer | None = None
    for rows in chunks:
        if not len(rows.index):
            continue
        if buffer is None:
            buffer = _Buffer(rows.values.shape[1], start=-halo)
        places = placer.place(rows.index, rows.used)
        values = np.where(rows.used[:, None], rows.values, np.nan)
        done = 0
        while done < len(places):
            # A place may lie many tiles ahead only by the halo of a gap, so this loop runs once a
            # tile.
            stop = int(np.searchsorted(places, buffer.start + size + 2 * halo))
            buffer.put(places[done:stop], values[done:stop], rows.index[done:stop], size + 2 * halo)
            done = stop
            if done < len(places):
                yield buffer.cut(size, halo)
    while buffer is not None and buffer.filled > halo:
        yield buffer.cut(size, halo, last=layout.align)


class _Buffer:
    """The stretch of the packed axis that is being filled."""

    def __init__(self, channels: int, start: int) -> None:
        self.start = start
        self.filled = 0
        self.values = np.full((0, channels), np.nan)
        self.index = np.full(0, -1, dtype=np.int64)

    def put(self, places: Ints, values: Floats, index: Ints, room: int) -> None:
        self._lengthen(room)
        if len(places):
            self.values[places - self.start] = values
            self.index[places - self.start] = index
            self.filled = int(places[-1]) - self.start + 1

    def cut(self, size: int, halo: int, last: int = 0) -> Tile:
        """Hand out one tile and move on; the last one (aligned to `last` rows) may be shorter."""
        self._lengthen(size + 2 * halo)
        core = size
        if last:
            core = min(size, -(-(self.filled - halo) // last) * last)
        end = core + 2 * halo
        tile = Tile(self.values[:end].copy(), self.index[:end].copy(), slice(halo, halo + core))
        self.values, self.index = self.values[size:], self.index[size:]
        self.start += size
        self.filled -= size
        return tile

    def _lengthen(self, room: int) -> None:
        extra = room - len(self.index)
        if extra > 0:
            nothing = np.full((extra, self.values.shape[1]), np.nan)
            self.values = np.concatenate([self.values, nothing])
            self.index = np.concatenate([self.index, np.full(extra, -1, dtype=np.int64)])

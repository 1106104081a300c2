"""Blocks of rows in any order in, rows in time order out, within a look-back."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from sensor_ad.errors import DataError
from sensor_ad.exports.blocks import Block, quality_of
from sensor_ad.exports.times import show_time
from sensor_ad.records import Bools, Floats, Ints

MOST_ROWS_PER_CHUNK = 1 << 17
"""Rows handed out at a time, so that who reads them needs bounded memory."""
MOST_ROWS_AT_ONE_TIME = 100_000
"""More rows of one time, beyond the look-back, are no time series; they would have to be kept."""

Rows = tuple[Ints, Floats, Ints | None]
"""Times (T,), values (T, C) and their quality (T, C) uint8; None: good where there is a value."""


class OutOfOrderError(DataError):
    """A row stands further behind than the look-back."""


class Sorter:
    """Puts rows in time order, exactly, whatever the blocks they come in.

    A row may stand at most `lookback` rows behind a row of a later time. So once `lookback` + 1
    rows have come since the running maximum of the time was M, no row before M can come any more:
    the rows before that watermark are handed out. Rows of equal time always come out together.
    """

    def __init__(self, lookback: int):
        self.lookback = lookback
        self.late = 0
        """Rows that stood behind a row of a later time."""
        self.pending: deque[Rows] = deque()
        """Sorted, and no time in two of them."""
        self.reached: deque[Ints] = deque()
        """The running maximum at each of the last `lookback` + 1 rows."""
        self.reached_rows = 0
        self.latest = np.iinfo(np.int64).min
        self.stalled = 0
        """Rows since the running maximum last rose."""

    def push(self, block: Block) -> Iterator[Rows]:
        """Take a block; yield what nothing can come before any more."""
        if len(block.time_us) == 0:
            return
        running = np.maximum(np.maximum.accumulate(block.time_us), self.latest)
        late = block.time_us < running
        self._check_stall(block, running)
        if late.any():
            self.late += int(late.sum())
            self._check_reach(block, running, late)
        self._insert((block.time_us, block.values, block.quality))
        self._remember(running)
        if self.reached_rows > self.lookback:
            yield from self._take(int(self.reached[0][0]))

    def rest(self) -> Iterator[Rows]:
        """Yield what is left when no more blocks come."""
        while self.pending:
            yield from _pieces(self.pending.popleft())

    def _insert(self, rows: Rows) -> None:
        """Merge rows into what is pending; in the usual case they are appended as they are."""
        tails: list[Rows] = []
        first = int(rows[0].min())
        while self.pending and self.pending[-1][0][-1] >= first:
            known = self.pending.pop()
            cut = int(np.searchsorted(known[0], first, side="left"))
            tails.insert(0, _part(known, slice(cut, None)))
            if cut:
                self.pending.append(_part(known, slice(None, cut)))
        if tails:
            rows = _joined([*tails, rows])
        if (rows[0][1:] < rows[0][:-1]).any():
            rows = _part(rows, np.argsort(rows[0], kind="stable"))
        self.pending.append(rows)

    def _remember(self, running: Ints) -> None:
        self.reached.append(running)
        self.reached_rows += len(running)
        self.latest = int(running[-1])
        while self.reached_rows > self.lookback + 1:
            first = self.reached.popleft()
            spare = self.reached_rows - self.lookback - 1
            self.reached_rows -= min(spare, len(first))
            if spare < len(first):
                self.reached.appendleft(first[spare:])

    def _take(self, watermark: int) -> Iterator[Rows]:
        """Yield the pending rows before the watermark."""
        while self.pending and self.pending[0][0][0] < watermark:
            rows = self.pending.popleft()
            cut = int(np.searchsorted(rows[0], watermark, side="left"))
            if cut < len(rows[0]):
                self.pending.appendleft(_part(rows, slice(cut, None)))
            yield from _pieces(_part(rows, slice(None, cut)))

    def _check_reach(self, block: Block, running: Ints, late: Bools) -> None:
        """Refuse a row that stands further behind than the look-back."""
        before = np.concatenate([*self.reached, running])
        k = np.flatnonzero(late)
        back = self.reached_rows + k - self.lookback - 1
        k, back = k[back >= 0], back[back >= 0]
        beyond = k[before[back] > block.time_us[k]]
        if len(beyond) == 0:
            return
        row = int(beyond[0])
        raise OutOfOrderError(
            f"{block.file}, row {block.rows[row]}: its time {show_time(block.time_us[row])} lies "
            f"more than {self.lookback} rows behind rows of a later time (up to "
            f"{show_time(running[row])}), expected rows in time order within that look-back: "
            f"{_remedy(block)}."
        )

    def _check_stall(self, block: Block, running: Ints) -> None:
        """Refuse very many rows of one time, which would have to be kept in memory."""
        before = np.concatenate([[self.latest], running[:-1]])
        rises = np.flatnonzero(running > before)
        ends = np.append(rises, len(running))
        stretches = np.diff(ends, prepend=-self.stalled)
        if stretches.max() > self.lookback + MOST_ROWS_AT_ONE_TIME:
            raise DataError(
                f"{block.file}: more than {MOST_ROWS_AT_ONE_TIME} rows have the same time "
                f"{show_time(running[-1])}, expected a time for each row: export the times with "
                "seconds, or name the right column by data.time_column."
            )
        self.stalled = int(stretches[-1])


def _remedy(block: Block) -> str:
    steps = np.diff(block.time_us)
    if len(steps) and (steps < 0).mean() > 0.9:
        return "the file runs backwards, export it with the oldest row first, or import it before"
    return "import it before (sensor-ad import), sort it by time, or raise data.lookback_rows"


def _part(rows: Rows, which: slice | Ints) -> Rows:
    time_us, values, quality = rows
    return time_us[which], values[which], None if quality is None else quality[which]


def _joined(parts: list[Rows]) -> Rows:
    quality = None
    if any(part[2] is not None for part in parts):
        quality = np.concatenate([quality_of(values, some) for _, values, some in parts])
    times, values = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    return times, values, quality


def _pieces(rows: Rows) -> Iterator[Rows]:
    """Cut rows into chunks, never within rows of one time."""
    time_us, start = rows[0], 0
    while start < len(time_us):
        end = min(start + MOST_ROWS_PER_CHUNK, len(time_us))
        if end < len(time_us):
            end = int(np.searchsorted(time_us, time_us[end - 1], side="right"))
        yield _part(rows, slice(start, end))
        start = end

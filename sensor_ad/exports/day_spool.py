"""Batches of rows in any order in, tables in time order out, by way of the disk.

Rows are gathered up to some 50 MB, sorted and written as one *run*, which is cut into small pieces
whose first and last times are kept in memory. Reading takes one stretch of time after the other
(whole days while they are small, parts of a giant day) and puts together what the runs hold of it.
So the number of files depends on the bytes alone, not on the days: a wrong year costs nothing, and
two files are open at most. Many runs over the same time (one file for each tag) are merged to
fewer, or every stretch would read a little of all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sensor_ad.errors import DataError
from sensor_ad.exports.pieces import LaidAside, PieceFile
from sensor_ad.exports.times import show_time
from sensor_ad.records import Ints

DAY_US = 86_400_000_000
TIME = "time_us"
"""The column by which rows are sorted: int64 microseconds since 1970 in UTC."""
BUFFER_BYTES = 32 << 20
"""Bytes gathered before a run is written; sorting takes about three times as many."""
PIECE_BYTES = 1 << 20
"""A piece of a run is read as a whole."""
TABLE_BYTES = 16 << 20
"""Bytes of a table that is handed out, or little more."""
MOST_BYTES_AT_ONE_TIME = 512 << 20
"""Rows of one time come out together; more than so many bytes of them are no time series."""
FAN_IN = 16
"""So many runs over about the same time are merged into one."""
OVERLAP = 4
"""Runs count as over the same time when their spans add up to so many times what they cover."""
FEW_BREAKS = 64
"""A sequence with fewer descents than one in so many is sorted faster by merging."""


@dataclass(frozen=True)
class _Run:
    file: PieceFile
    first: Ints
    """(pieces,) time of the first row of each piece, not decreasing."""
    last: Ints
    """(pieces,) time of its last row."""
    rows: Ints
    """(pieces,) rows of each."""
    level: int
    """How often its rows were merged."""


class DaySpool(LaidAside):
    """Rows laid aside on disk; a context manager, which removes its folder whatever happens.

    Parameters
    ----------
    folder
        Where the spool makes a folder of its own.
    buffer_bytes
        Bytes gathered in memory before they are written; never changes what comes out.
    """

    def __init__(self, folder: Path, buffer_bytes: int = BUFFER_BYTES):
        super().__init__(folder)
        self.rows = 0
        """Rows added."""
        self._buffer_bytes = buffer_bytes
        self._pending: list[Any] = []
        self._pending_bytes = 0
        self._runs: list[_Run] = []
        """In the order in which their rows came."""
        self._files = 0
        self._schema: Any = None
        self._row_bytes = 1.0

    def close(self) -> None:
        """Let all rows go and remove the folder."""
        self._pending.clear()
        self._runs.clear()
        super().close()

    def add(self, batch: Any) -> None:
        """Take a batch of rows.

        Parameters
        ----------
        batch
            pyarrow RecordBatch with an int64 column `time_us` without nulls; all batches of a spool
            have the same schema.
        """
        if self._schema is None:
            self._schema = batch.schema
        if batch.schema != self._schema:
            raise ValueError(f"a batch has columns {batch.schema.names}, not {self._schema.names}")
        if len(batch) == 0:
            return
        self.rows += len(batch)
        self._pending.append(batch)
        self._pending_bytes += batch.nbytes
        if self._pending_bytes >= self._buffer_bytes:
            self._flush()

    def tables(self, table_bytes: int = TABLE_BYTES) -> Iterator[Any]:
        """Yield all rows, sorted by time and, at one time, as they came.

        Each table ends with a day, or within one that holds more than `table_bytes`; rows of one
        time are always in one table. Rows may be added again afterwards.

        Raises
        ------
        DataError
            Far too many rows have one and the same time.
        """
        self._flush()
        yield from self._in_order(self._runs, table_bytes)

    def _flush(self) -> None:
        """Sort what was gathered and write it as a run."""
        if not self._pending:
            return
        table = pa.Table.from_batches(self._pending, self._schema)
        self._row_bytes = max(1.0, table.nbytes / len(table))
        self._pending, self._pending_bytes = [], 0
        self._runs.append(self._write([_sorted(table.combine_chunks())], level=0))
        while len(group := self._runs[-FAN_IN:]) == FAN_IN and _overlap(group):
            merged = self._write(self._in_order(group, TABLE_BYTES), group[0].level + 1)
            self._runs[-FAN_IN:] = [merged]
            for run in group:
                run.file.path.unlink()

    def _write(self, tables: Iterable[Any], level: int) -> _Run:
        """Write sorted tables, one after the other, as a run."""
        step = max(1, int(PIECE_BYTES / self._row_bytes))
        self._files += 1
        file = PieceFile(self.folder / f"run-{self._files}.parquet", self._schema)
        first, last, rows = [], [], []
        try:
            for table in tables:
                time_us = _times(table)
                for start in range(0, len(table), step):
                    piece = table.slice(start, step)
                    file.append(piece)
                    first.append(time_us[start])
                    last.append(time_us[start + len(piece) - 1])
                    rows.append(len(piece))
        finally:
            file.close()
        return _Run(file, np.array(first), np.array(last), np.array(rows), level)

    def _in_order(self, runs: Sequence[_Run], table_bytes: int) -> Iterator[Any]:
        """Yield the rows of some runs, sorted, in tables of about so many bytes."""
        if not runs:
            return
        starts = self._starts(runs, max(1, int(table_bytes / self._row_bytes)))
        for start, stop in zip(starts, [*starts[1:], None], strict=True):
            parts = [part for run in runs for part in _rows_between(run, start, stop)]
            if parts:
                yield _sorted(pa.concat_tables(parts).combine_chunks())

    def _starts(self, runs: Sequence[_Run], most_rows: int) -> list[int]:
        """Return the times at which tables begin: of days where that suffices."""
        first = np.concatenate([run.first for run in runs])
        rows = np.concatenate([run.rows for run in runs])
        order = np.argsort(first, kind="stable")
        most_at_once = int(MOST_BYTES_AT_ONE_TIME / self._row_bytes) + most_rows
        starts, held = [int(first[order[0]])], 0
        for at, count in zip(first[order].tolist(), rows[order].tolist(), strict=True):
            if held >= most_rows and at > starts[-1]:
                day = at - at % DAY_US
                starts.append(day if day > starts[-1] else at)
                held = 0
            held += count
            if held > most_at_once:
                raise DataError(
                    f"about {held} rows have the same time {show_time(at)}, expected a time for "
                    "each row: export the times with seconds, or name the right column by "
                    "data.time_column."
                )
        return starts


def stable_order(keys: Ints) -> Ints | None:
    """Return the order that sorts whole numbers stably; None where they are sorted.

    Sequences made of long sorted stretches are merged; others go through a radix sort by 16 bits at
    a time, which takes half the time of merging.
    """
    breaks = int((keys[1:] < keys[:-1]).sum())
    if breaks == 0:
        return None
    if breaks * FEW_BREAKS < len(keys):
        return np.argsort(keys, kind="stable")
    # Differences from the lowest, as unsigned numbers, cannot overflow.
    low = keys.astype(np.uint64) - np.uint64(int(keys.min()) % (1 << 64))
    order: Ints = np.argsort((low & np.uint64(0xFFFF)).astype(np.uint16), kind="stable")
    for shift in range(16, int(low.max()).bit_length(), 16):
        digit = ((low[order] >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.uint16)
        order = order[np.argsort(digit, kind="stable")]
    return order


def _sorted(table: Any) -> Any:
    order = stable_order(_times(table))
    return table if order is None else table.take(pa.array(order)).combine_chunks()


def _times(table: Any) -> Ints:
    times: Ints = table.column(TIME).combine_chunks().to_numpy()
    return times


def _rows_between(run: _Run, start: int, stop: int | None) -> Iterator[Any]:
    """Yield the run's rows from one time to another (not included)."""
    low = int(np.searchsorted(run.last, start, side="left"))
    high = len(run.first) if stop is None else int(np.searchsorted(run.first, stop, side="left"))
    if low >= high:
        return
    table = run.file.read(range(low, high))
    time_us = _times(table)
    begin = int(np.searchsorted(time_us, start, side="left"))
    end = len(time_us) if stop is None else int(np.searchsorted(time_us, stop, side="left"))
    if end - begin == len(table):
        yield table
    elif end > begin:
        # A copy: a slice would keep all of the pieces in memory, of every run.
        yield table.take(pa.array(np.arange(begin, end)))


def _overlap(runs: Sequence[_Run]) -> bool:
    """Say whether runs of one level lie over about the same time."""
    if len({run.level for run in runs}) > 1:
        return False
    first = [int(run.first[0]) for run in runs]
    last = [int(run.last[-1]) for run in runs]
    covered = max(last) - min(first)
    return sum(last) - sum(first) >= OVERLAP * covered

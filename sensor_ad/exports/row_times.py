"""Columns of a file in, the times of its rows out: in UTC, with rows without a time dropped."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sensor_ad.errors import DataError
from sensor_ad.exports.blocks import EMPTY, Columns, Plan, bad_time, row_times
from sensor_ad.exports.cells import NULLS
from sensor_ad.exports.clocks import Clock
from sensor_ad.exports.tally import Tally, quoted
from sensor_ad.exports.time_cells import DAY_US, MAX_OFFSET_MIN, MINUTE_US
from sensor_ad.exports.times import (
    IN_FUTURE,
    ODD_YEAR,
    BadTimeError,
    implausible,
    join_date_time,
    show_time,
    stamps_us,
)
from sensor_ad.records import Bools, Ints

UNREADABLE = "time that cannot be read"
"""Reason for dropping a row, beside those of `times`."""
MOST_DROPPED = {UNREADABLE: 1e-3, ODD_YEAR: 1e-2, IN_FUTURE: 1e-2}
"""Reason -> share of rows that are dropped and counted; with more, the file is refused."""


class RowTimes:
    """Tells the times of one file's rows, block after block, in file order."""

    def __init__(self, file: str, plan: Plan, first_row: int, tally: Tally) -> None:
        self.file, self.plan, self.tally = file, plan, tally
        self.first_row = first_row
        """Rows in the files before this one, for times made from row numbers."""
        self.clock = Clock(plan.zone, standard_time=plan.standard_time)
        self.rows = 0
        self.now_us = time.time_ns() // 1_000
        self.dropped = dict.fromkeys(MOST_DROPPED, 0)
        self.firsts: dict[str, DataError] = {}

    def of(self, columns: Columns) -> tuple[Columns, Ints]:
        """Return the rows that have a time, and their times (T,) in UTC microseconds."""
        self.rows += len(columns.ordinals)
        parts = self.plan.time
        if parts is None:
            return columns, row_times(columns.ordinals + self.first_row, self.plan)
        columns = self._without_empty(columns)
        time_us, bad = self._stamps(columns)
        if bad.any():
            self._check_header(columns, bad)
            columns, time_us = self._drop(columns, time_us, bad, UNREADABLE)
        time_us = self._utc(columns, time_us)
        for reason in (ODD_YEAR, IN_FUTURE):
            strange = implausible(time_us, self.now_us)[reason]
            if strange.any():
                columns, time_us = self._drop(columns, time_us, strange, reason)
        return columns, time_us

    def finish(self) -> None:
        """Refuse the file when too many of its rows had no time that counts."""
        if not self.plan.in_utc:
            self._finish_clock()
        for reason, share in MOST_DROPPED.items():
            if self.dropped[reason] > share * self.rows:
                raise self.firsts[reason]

    def _finish_clock(self) -> None:
        try:
            self.clock.finish()
        except BadTimeError as fault:
            raise DataError(f"{self.file}: {fault.reason}.") from None

    def _stamps(self, columns: Columns) -> tuple[Ints, Bools]:
        """Return (T,) microseconds as the file writes them, and (T,) where that cannot be read."""
        parts = self.plan.time
        assert parts is not None
        stamps, bad = self._read(columns, parts.stamp)
        if parts.clock is not None:
            of_day, also = self._read(columns, parts.clock)
            bad = bad | also | (stamps % DAY_US != 0)  # a date that has a time of day itself
            stamps = join_date_time(np.where(bad, 0, stamps), of_day)
        for name, unit_us, (low, high) in (
            (parts.milliseconds, 1_000, (0, 999.999_999)),
            (parts.bias, MINUTE_US, (-MAX_OFFSET_MIN, MAX_OFFSET_MIN)),
        ):
            if name is not None:
                numbers = pc.fill_null(_as_numbers(columns.table[name]), np.nan).to_numpy()
                within = (numbers >= low) & (numbers <= high)  # NaN is not
                bad = bad | ~within
                added = np.rint(np.where(within, numbers, 0) * unit_us)
                stamps = stamps + added.astype(np.int64)
        return stamps, bad

    def _read(self, columns: Columns, name: str) -> tuple[Ints, Bools]:
        cells = columns.table[name].combine_chunks()
        if pa.types.is_timestamp(cells.type):
            return stamps_us(cells), np.zeros(len(cells), dtype=bool)
        time_us, read = self.plan.time_formats[name].read(cells)
        return time_us, ~read

    def _utc(self, columns: Columns, time_us: Ints) -> Ints:
        """Turn the plant's times into UTC; those that carry a zone are so already."""
        plan = self.plan
        if plan.in_utc:
            return time_us
        why = "as data.timezone says" if plan.zone_said else "set data.timezone if that is wrong"
        sign = "," if plan.zone_said else ";"
        self.tally.note(f"times carry no zone: read as {plan.zone}{sign} {why}")
        try:
            return self.clock.to_utc(time_us)
        except BadTimeError as fault:
            raise DataError(f"{self.file}, {columns.where(fault.index)}: {fault.reason}.") from None

    def _without_empty(self, columns: Columns) -> Columns:
        """Drop rows without time when nothing stands in them, refuse them otherwise."""
        parts = self.plan.time
        assert parts is not None
        empty = _empty(columns.table[parts.stamp])
        if not empty.any():
            return columns
        rest = columns.table.drop_columns([*parts.columns]).filter(pa.array(empty))
        lost = np.zeros(int(empty.sum()), dtype=bool)
        for column in rest.columns:
            lost |= ~_empty(column)
        if lost.any():
            row = int(np.flatnonzero(empty)[int(np.flatnonzero(lost)[0])])
            name = self.plan.time_formats[parts.stamp].name
            raise bad_time(self.file, columns.where(row), "", name)
        self.tally.dropped[EMPTY] += int(empty.sum())
        return columns.filtered(~empty)

    def _check_header(self, columns: Columns, bad: Bools) -> None:
        """Refuse a second header: had it been the first one again, it would be dropped by now."""
        assert self.plan.time is not None
        name = self.plan.time.stamp
        cells = columns.table[name]
        if not pa.types.is_string(cells.type):
            return
        again = np.asarray(pc.equal(pc.utf8_trim(cells, ' "'), name)) & bad
        if again.any():
            row = int(np.flatnonzero(again)[0])
            others = [c for c in columns.table.column_names if c not in self.plan.time.columns]
            texts = [str(columns.table[c][row].as_py()) for c in others[:3]]
            raise DataError(
                f"{self.file}, {columns.where(row)}: the header comes again with other columns "
                f"({', '.join(map(quoted, texts))}), expected {', '.join(map(quoted, others[:3]))} "
                "to the end: make two files of it, or export it again."
            )

    def _drop(
        self, columns: Columns, time_us: Ints, bad: Bools, reason: str
    ) -> tuple[Columns, Ints]:
        """Leave rows out and count them; the first is kept for the refusal."""
        parts = self.plan.time
        assert parts is not None
        self.dropped[reason] += int(bad.sum())
        self.tally.dropped[reason] += int(bad.sum())
        if reason not in self.firsts:
            row = int(np.flatnonzero(bad)[0])
            name = self.plan.time_formats[parts.stamp].name
            if reason == UNREADABLE:
                texts = [str(columns.table[part][row].as_py()) for part in parts.columns]
                fault = bad_time(self.file, columns.where(row), " ".join(texts), name)
            else:
                fault = DataError(
                    f"{self.file}, {columns.where(row)}: the time {show_time(int(time_us[row]))}, "
                    "expected times from 1980 to today: correct the clock, or data.time_format."
                )
            self.firsts[reason] = fault
            self.tally.first_dropped.setdefault(reason, f"{self.file}, {columns.where(row)}")
        return columns.filtered(~bad), time_us[~bad]


def _as_numbers(column: Any) -> Any:
    if pa.types.is_string(column.type):
        texts = pc.utf8_trim_whitespace(column)
        fits = pc.match_substring_regex(texts, r"^[+-]?\d+(\.\d*)?$")
        column = pc.if_else(fits, texts, None)
    return column.cast(pa.float64()).combine_chunks()


def _empty(cells: Any) -> Bools:
    """(T,) where nothing stands."""
    missing = pc.is_null(cells, nan_is_null=True)
    if pa.types.is_string(cells.type):
        texts = pc.utf8_trim_whitespace(cells)
        missing = pc.or_(missing, pc.is_in(texts, value_set=pa.array(NULLS)))
    flags: Bools = np.asarray(missing)
    return flags

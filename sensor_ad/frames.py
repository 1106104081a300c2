"""A pandas frame as an export: the same interface as files have, so the same code runs beneath."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sensor_ad.config import Config
from sensor_ad.errors import DataError, UsageError
from sensor_ad.exports.duplicates import one_row_per_time
from sensor_ad.exports.tally import Tally
from sensor_ad.records import Floats, Readings, RowAccount


class FrameExport:
    """Readings of a frame: times in a DatetimeIndex or a time column, one column per tag."""

    def __init__(self, frame: pd.DataFrame, config: Config) -> None:
        named = Counter(map(str, frame.columns))
        if twice := [name for name, count in named.items() if count > 1]:
            raise DataError(
                f"the frame has {named[twice[0]]} columns named {twice[0]!r}, one of each name was "
                "expected; rename them."
            )
        column, time = _times(frame, config)
        skipped = {*config.data.label_columns, column}
        columns = [name for name in frame.columns if str(name) not in skipped]
        numbers = frame[columns].select_dtypes(["number", "bool"])
        self.tags = tuple(str(name) for name in numbers.columns)
        self.files: tuple[Path, ...] = ()
        self.total_bytes = 8 * numbers.size
        self.units: dict[str, str] = {}
        self.states: dict[str, tuple[str, ...]] = {}
        self.profile: dict[str, object] = {"kind": "frame", "rows": len(frame)}
        if not self.tags:
            raise DataError(
                "the frame has no column of numbers, at least one tag was expected; convert its "
                "columns (pandas.to_numeric)."
            )
        time_us = _utc_us(time, config)
        values: Floats = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
        values = np.where(np.isfinite(values), values, np.nan)
        order = np.argsort(time_us, kind="stable")
        self._tally = Tally(rows_in=len(frame), sorted=int((np.diff(time_us) < 0).sum()))
        for name in columns:
            if name not in set(numbers.columns):
                self._tally.note(f"the column {str(name)!r} holds no numbers: left out")
        rows = time_us[order], values[order], None
        self._time_us, self._values, _ = one_row_per_time(
            rows, self.tags, config.data.duplicates, self._tally
        )
        self._tally.kept = len(self._time_us)

    def chunks(self, progress: Callable[[int], None] | None = None) -> Iterator[Readings]:
        """Yield the whole frame, sorted by time."""
        yield Readings(self._time_us, self._values, self.tags)
        if progress is not None:
            progress(self.total_bytes)

    def account(self) -> RowAccount:
        """Return where the rows went."""
        return self._tally.account(self.tags)


def _times(
    frame: pd.DataFrame, config: Config
) -> tuple[str | None, pd.Series[Any] | pd.DatetimeIndex]:
    """Find the times: the named column, a DatetimeIndex, or the only column of times."""
    name = config.data.time_column
    if isinstance(name, tuple):
        raise UsageError(
            f"data.time_column names {len(name)} columns, one was expected for a frame; join date "
            "and time of day before (pandas.to_datetime)."
        )
    if name is not None:
        if name not in frame.columns:
            raise DataError(
                f"the frame has no column {name!r} (data.time_column); it has "
                f"{', '.join(map(repr, list(frame.columns)[:10]))}: correct the name."
            )
        return name, _parsed(frame[name], name)
    if isinstance(frame.index, pd.DatetimeIndex):
        return None, frame.index
    if config.data.start is not None and config.data.period_s is not None:
        step = pd.to_timedelta(np.arange(len(frame)) * config.data.period_s, unit="s")
        return None, pd.DatetimeIndex(pd.Timestamp(config.data.start) + step)
    columns = [column for column in frame.columns if frame[column].dtype.kind == "M"]
    if len(columns) == 1:
        return str(columns[0]), frame[columns[0]]
    raise DataError(
        f"the frame has {len(columns)} columns of times and no DatetimeIndex, exactly one was "
        "expected; set the index, or name the column in data.time_column."
    )


def _parsed(column: pd.Series[Any], name: str) -> pd.Series[Any]:
    """Give the times of a column; texts must be ISO: the day of 01.02.2026 is anybody's guess."""
    if column.dtype.kind == "M":
        return column
    try:
        if column.dtype.kind in "iufcbm":
            raise ValueError("numbers are no times")
        return pd.to_datetime(column, format="ISO8601")
    except (ValueError, TypeError):
        raise DataError(
            f"the column {name!r} (data.time_column) does not hold times throughout; convert it "
            "(pandas.to_datetime)."
        ) from None


def _utc_us(time: pd.Series[Any] | pd.DatetimeIndex, config: Config) -> np.ndarray:
    index = pd.DatetimeIndex(time)
    if index.hasnans:
        raise DataError(
            f"the frame has {int(np.asarray(index.isna()).sum())} rows without a time, none were "
            "expected; drop those rows."
        )
    if index.tz is None:
        try:
            index = index.tz_localize(config.data.timezone)
        except ValueError as error:
            raise DataError(
                f"a time of the frame does not exist or exists twice in {config.data.timezone} "
                f"({error}); give times in UTC."
            ) from None
    return index.tz_convert("UTC").as_unit("us").asi8

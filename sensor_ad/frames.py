"""A pandas frame as an export: the same interface as files have, so the same code runs beneath."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from sensor_ad.config import Config
from sensor_ad.errors import DataError
from sensor_ad.records import Floats, Readings, RowAccount


class FrameExport:
    """Readings of a frame: times in a DatetimeIndex or a time column, one column per tag."""

    def __init__(self, frame: pd.DataFrame, config: Config) -> None:
        time = _times(frame, config)
        skipped = {*config.data.label_columns, config.data.time_column}
        columns = [name for name in frame.columns if str(name) not in skipped]
        columns = [name for name in columns if frame[name] is not time]
        numbers = frame[columns].select_dtypes(["number", "bool"])
        self.tags = tuple(str(name) for name in numbers.columns)
        self.files: tuple[Path, ...] = ()
        self.total_bytes = 8 * numbers.size
        self.profile: dict[str, object] = {"kind": "frame", "rows": len(frame)}
        left_out = [str(name) for name in columns if name not in set(numbers.columns)]
        self._notes = tuple(f"the column {name!r} holds no numbers: left out" for name in left_out)
        if not self.tags:
            raise DataError(
                "the frame has no column of numbers, at least one tag was expected; convert its "
                "columns (pandas.to_numeric)."
            )
        time_us = _utc_us(time, config)
        values: Floats = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
        order = np.argsort(time_us, kind="stable")
        self._sorted = int((np.diff(time_us) < 0).sum())
        self._time_us, self._values = time_us[order], values[order]
        self._duplicates = self._settle(config.data.duplicates)

    def chunks(self, progress: Callable[[int], None] | None = None) -> Iterator[Readings]:
        """Yield the whole frame, sorted by time."""
        yield Readings(self._time_us, self._values, self.tags)
        if progress is not None:
            progress(self.total_bytes)

    def account(self) -> RowAccount:
        """Return where the rows went."""
        kept = len(self._time_us)
        dropped = {"duplicate time": self._duplicates} if self._duplicates else {}
        return RowAccount(kept + self._duplicates, kept, dropped, self._sorted, self._notes)

    def _settle(self, policy: str) -> int:
        """Leave one row for each time; returns how many were dropped."""
        again = np.flatnonzero(np.diff(self._time_us) == 0)
        if not len(again):
            return 0
        before, after = self._values[again], self._values[again + 1]
        same = (before == after) | (np.isnan(before) & np.isnan(after))
        if policy == "refuse" and not same.all():
            row = int(again[np.flatnonzero(~same.all(axis=1))[0]])
            stamp = pd.Timestamp(int(self._time_us[row]), unit="us", tz="UTC")
            raise DataError(
                f"the frame has two rows with different values at {stamp}, one row for each "
                f"time was "
                "expected; drop one, or set data.duplicates to 'last' or 'mean'."
            )
        frame = pd.DataFrame(self._values).groupby(self._time_us, sort=True)
        joined = frame.mean() if policy == "mean" else frame.last()
        dropped = len(self._time_us) - len(joined)
        self._time_us = joined.index.to_numpy(dtype=np.int64)
        self._values = joined.to_numpy()
        return dropped


def _times(frame: pd.DataFrame, config: Config) -> pd.Series | pd.DatetimeIndex:
    """Find the times: the named column, a DatetimeIndex, or the only column of times."""
    name = config.data.time_column
    if name is not None:
        if name not in frame.columns:
            raise DataError(
                f"the frame has no column {name!r} (data.time_column); it has "
                f"{', '.join(map(repr, list(frame.columns)[:10]))}: correct the name."
            )
        return pd.to_datetime(frame[name])
    if isinstance(frame.index, pd.DatetimeIndex):
        return frame.index
    if config.data.start is not None and config.data.period_s is not None:
        step = pd.to_timedelta(np.arange(len(frame)) * config.data.period_s, unit="s")
        return pd.DatetimeIndex(pd.Timestamp(config.data.start) + step)
    columns = [column for column in frame.columns if frame[column].dtype.kind == "M"]
    if len(columns) == 1:
        return frame[columns[0]]
    raise DataError(
        f"the frame has {len(columns)} columns of times and no DatetimeIndex, exactly one was "
        "expected; set the index, or name the column in data.time_column."
    )


def _utc_us(time: pd.Series | pd.DatetimeIndex, config: Config) -> np.ndarray:
    index = pd.DatetimeIndex(time)
    if index.hasnans:
        raise DataError(
            f"the frame has {int(np.asarray(index.isna()).sum())} rows without a time, none "
            f"were expected; drop "
            "those rows."
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

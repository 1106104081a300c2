"""What the readers of one file are told and what they give: a plan in, blocks of rows out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sensor_ad.errors import DataError
from sensor_ad.exports.cells import ABSURD
from sensor_ad.exports.tally import Tally, quoted
from sensor_ad.exports.times import ZONED, BadTimeError, to_utc
from sensor_ad.records import Floats, Ints

EMPTY = "empty row"
"""Reason for dropping a row in which neither time nor any value stands."""
CACHED_ROWS = 2_048
"""Rows turned from columns at a time: they fit in the processor's cache."""


@dataclass(frozen=True)
class Plan:
    """What is to be read from every file of an export."""

    tags: dict[str, bool]
    """Tag -> whether its values are true and false."""
    time_column: str | None
    zone: str
    """IANA zone of times that carry none."""
    zone_said: bool
    """Whether the user named it."""
    start_us: int | None
    """Time of the first row, when there is no time column; then `period_us` is given too."""
    period_us: float
    block_bytes: int


@dataclass(frozen=True)
class Block:
    """Some rows of a file, as they stand there."""

    file: str
    time_us: Ints
    """(T,) int64 UTC microseconds, in any order."""
    values: Floats
    """(T, C) float64."""
    rows: Ints
    """(T,) number of each row in its file, counted from 1 without header and blank lines."""
    bytes_read: int
    quality: Ints | None = None
    """(T, C) uint8 `Quality`; None: good where there is a value, no data where there is none."""


@dataclass(frozen=True)
class Events:
    """Some archived values of a file, as they stand there: a row is one value of one tag."""

    file: str
    time_us: Ints
    """(K,) int64 UTC microseconds, in any order."""
    tag: Ints
    """(K,) int32 number of the tag among those of the export."""
    values: Floats
    """(K,) float64 in plant units; NaN where the quality is bad or no data."""
    quality: Ints
    """(K,) uint8 `Quality`."""
    rows: Ints
    """(K,) number of each row in its file, counted from 1 without header and blank lines."""
    bytes_read: int


Where = Callable[[int], str]
"""Says where row `k` of a block stands: line 7, row 7."""


def matrix(columns: Sequence[Floats], rows: int) -> Floats:
    """Return columns of `rows` values as one (T, C) float64 array."""
    across = np.empty((len(columns), rows))
    for k, column in enumerate(columns):
        across[k] = column
    values = np.empty((rows, len(columns)))
    for start in range(0, rows, CACHED_ROWS):
        part = slice(start, start + CACHED_ROWS)
        values[part] = across[:, part].T
    return values


def without_absurd(
    values: Floats, tags: Sequence[str], file: str, where: Where, tally: Tally
) -> Floats:
    """Return values without those beyond every plant unit, which are counted."""
    absurd = np.abs(values) > ABSURD
    if not absurd.any():
        return values
    for k in map(int, np.flatnonzero(absurd.any(axis=0))):
        row = int(np.flatnonzero(absurd[:, k])[0])
        tally.absurd[tags[k]] += int(absurd[:, k].sum())
        if ("absurd", tags[k]) not in tally.firsts:
            said = f"{values[row, k]:g} in {file}, {where(row)}"
            tally.firsts["absurd", tags[k]] = said
    return np.where(absurd, np.nan, values)


def row_times(ordinals: Ints, plan: Plan) -> Ints:
    """Return the times of rows that carry none, from their numbers (0 is the first row)."""
    steps: Ints = np.rint(ordinals * plan.period_us).astype(np.int64)
    return steps + (plan.start_us or 0)


def utc_times(
    time_us: Ints, time_format: str, plan: Plan, file: str, where: Where, tally: Tally
) -> Ints:
    """Return times in UTC; those that carry no zone are the plant's."""
    if time_format == ZONED:
        return time_us
    why = "as data.timezone says" if plan.zone_said else "set data.timezone if that is wrong"
    tally.note(f"times carry no zone: read as {plan.zone}{',' if plan.zone_said else ';'} {why}")
    try:
        return to_utc(time_us, plan.zone)
    except BadTimeError as fault:
        local = np.datetime64(int(time_us[fault.index]), "us").item().isoformat(" ")
        raise DataError(
            f"{file}, {where(fault.index)}: the local time {local} {fault.reason} in {plan.zone} "
            "(the clocks change), expected times that name one instant: export in UTC, or with "
            "the offset from it."
        ) from None


def bad_time(file: str, where: str, text: str, time_format: str) -> DataError:
    """Return the refusal of a cell that is no time."""
    found = f"{quoted(text)} cannot be read as a time" if text else "a row with values has no time"
    example = "2026-01-31 23:59:00" + ("Z" if time_format == ZONED else "")
    return DataError(
        f"{file}, {where}: {found}, expected {time_format} as in the first rows, such as "
        f"{example}: mend or remove this row."
    )

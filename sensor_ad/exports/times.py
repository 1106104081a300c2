"""Texts and stamps of a time column in, UTC microseconds out.

Formats are in `time_formats.py`, the choice among them over a whole column in `time_evidence.py`,
zones and daylight saving in `clocks.py`; here are times in several columns, and which times can
be true.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from sensor_ad.exports.time_cells import (
    DAY_US,
    BadTimeError,
)
from sensor_ad.exports.time_evidence import PLAUSIBLE_FROM_US, PLAUSIBLE_TO_US
from sensor_ad.records import Bools, Ints

__all__ = [
    "ARROW_TYPES",
    "IN_FUTURE",
    "NAIVE",
    "ODD_YEAR",
    "ZONED",
    "BadTimeError",
    "implausible",
    "join_date_time",
    "show_time",
    "sounds_like_time",
    "stamps_us",
]

ODD_YEAR = "year before 1980 or after 2100"
"""Reason for dropping a row: a clock without battery, or a stamp that means none."""
IN_FUTURE = "more than a day in the future"
"""Reason for dropping a row; a day, because a plant's clock may be in any zone."""

NAIVE, ZONED = "ISO 8601", "ISO 8601 with zone"

_TIME_NAMES = re.compile(
    r"time|date|stamp|zeit|datum|uhr|tijd|heure|fecha|hora|\bts\b|\but[cz]?\b", re.IGNORECASE
)


def sounds_like_time(name: str) -> bool:
    """Say whether a column's name is one that time columns have."""
    return _TIME_NAMES.search(name) is not None


def stamps_us(stamps: Any) -> Ints:
    """Return (T,) microseconds since 1970 of an Arrow array of timestamps of any unit, no nulls."""
    per_us = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1}[stamps.type.unit]
    ticks: Ints = stamps.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return ticks // 1_000 if stamps.type.unit == "ns" else ticks * per_us


def join_date_time(date_us: Ints, time_of_day_us: Ints) -> Ints:
    """Put together a column of dates and one of times of day.

    Parameters
    ----------
    date_us
        (T,) int64 microseconds since 1970 of midnights.
    time_of_day_us
        (T,) int64 microseconds since midnight, as `time_formats.TIME_OF_DAY` reads them.

    Raises
    ------
    BadTimeError
        For the first date that has a time of day itself.
    """
    own = date_us % DAY_US != 0
    if own.any():
        raise BadTimeError(int(np.argmax(own)), "has a time of day itself")
    return date_us + time_of_day_us


def implausible(time_us: Ints, now_us: int) -> dict[str, Bools]:
    """Return, by reason, which of (T,) UTC times cannot be true: (T,) bool, no row in two."""
    odd = (time_us < PLAUSIBLE_FROM_US) | (time_us >= PLAUSIBLE_TO_US)
    return {ODD_YEAR: odd, IN_FUTURE: ~odd & (time_us > now_us + DAY_US)}


def show_time(time_us: int) -> str:
    """Write a UTC time for a message."""
    try:
        stamp = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(time_us))
    except OverflowError:  # beyond the year 9999: whoever reads a number so wrongly should see it
        return f"in the year {np.datetime64(int(time_us), 'us').astype('datetime64[Y]')}"
    return stamp.replace(tzinfo=None).isoformat(" ") + " UTC"


ARROW_TYPES = {NAIVE: pa.timestamp("ns"), ZONED: pa.timestamp("ns", "UTC")}
"""Formats that Arrow itself parses, if the cells are written plainly."""

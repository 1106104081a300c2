"""Texts and stamps of a time column in, UTC microseconds out.

Formats are in `time_formats.py`, the choice among them over a whole column in `time_evidence.py`,
zones and daylight saving in `clocks.py`; here are times in several columns, and which times can
be true.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sensor_ad.exports.time_cells import (
    DAY_US,
    MAX_OFFSET_MIN,
    MINUTE_US,
    SECOND_US,
    BadTimeError,
)
from sensor_ad.exports.time_evidence import PLAUSIBLE_FROM_US, PLAUSIBLE_TO_US
from sensor_ad.exports.time_formats import by_name
from sensor_ad.records import Bools, Floats, Ints

__all__ = [
    "ARROW_TYPES",
    "FORMATS",
    "IN_FUTURE",
    "MILLISECONDS",
    "NAIVE",
    "NOT_READ_YET",
    "NOT_READ_YET_BY_NAME",
    "ODD_YEAR",
    "ZONED",
    "BadTimeError",
    "add_bias",
    "add_milliseconds",
    "find_format",
    "implausible",
    "join_date_time",
    "parse_times",
    "show_time",
    "sounds_like_time",
    "stamps_us",
    "to_utc",
]

MILLISECONDS = 1_000
"""In a second."""
ODD_YEAR = "year before 1980 or after 2100"
"""Reason for dropping a row: a clock without battery, or a stamp that means none."""
IN_FUTURE = "more than a day in the future"
"""Reason for dropping a row; a day, because a plant's clock may be in any zone."""

_SPELLINGS = {"/": "-", ",": ".", " +": "+", " -": "-", " Z": "Z"}
"""How plants write ISO times -> how Arrow reads them."""
_CLOCK = r"\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?"
_DATE = r"(\d{4}-\d{2}-\d{2}|\d{4}/\d{2}/\d{2})"

MOSTLY = 0.9
"""Share of the first cells of a column that tells its time format."""

SAMPLE = 20
"""Cells from either end that rule out most formats at little cost."""

NAIVE, ZONED = "ISO 8601", "ISO 8601 with zone"

FORMATS = {
    NAIVE: re.compile(rf"{_DATE}([T ]{_CLOCK})?"),
    ZONED: re.compile(rf"{_DATE}[T ]{_CLOCK} ?(Z|[+-]\d{{2}}(:?\d{{2}})?)"),
}
"""Name of a time format -> what a cell of it looks like."""

NOT_READ_YET = {
    "dd.mm.yyyy": re.compile(r"\d{1,2}\.\d{1,2}\.\d{2,4}\b.*"),
    "a time with AM or PM": re.compile(r"\d.*\d ?[AaPp]\.?[Mm]\.?"),
    "mm/dd/yyyy or dd/mm/yyyy": re.compile(r"\d{1,2}/\d{1,2}/\d{2,4}\b.*"),
    "a date with the name of a month": re.compile(r"\d{1,2}[- .]*[A-Za-zäé]{3,9}[- .]*\d{2,4}\b.*"),
}
"""Time formats that are recognised by their look, to say so."""

NOT_READ_YET_BY_NAME = {
    "seconds since 1970": re.compile(r"\d{10}([.,]\d+)?"),
    "milliseconds since 1970": re.compile(r"\d{13}([.,]\d+)?"),
    "microseconds since 1970": re.compile(r"\d{16}"),
    "nanoseconds since 1970": re.compile(r"\d{19}"),
    "Excel's day numbers": re.compile(r"[2-6]\d{4}([.,]\d+)?"),
    "yyyymmdd": re.compile(r"(19|20)\d{6}([T ]?\d{4,6})?"),
    "a time of day without a date": re.compile(r"\d{1,2}:\d{2}(:\d{2})?([.,]\d+)?"),
}
"""Those that only the column's name tells from ordinary values."""

_TIME_NAMES = re.compile(
    r"time|date|stamp|zeit|datum|uhr|tijd|heure|fecha|hora|\bts\b|\but[cz]?\b", re.IGNORECASE
)


def sounds_like_time(name: str) -> bool:
    """Say whether a column's name is one that time columns have."""
    return _TIME_NAMES.search(name) is not None


def find_format(cells: Sequence[str], formats: Mapping[str, re.Pattern[str]]) -> str | None:
    """Return the format that most cells have, None when there is none.

    Not all: the reading refuses the others, and names the line.
    """
    few = [*cells[:SAMPLE], *cells[-SAMPLE:]]
    for name, pattern in formats.items():
        if not any(map(pattern.fullmatch, few)):
            continue
        if sum(pattern.fullmatch(cell) is not None for cell in cells) > MOSTLY * len(cells):
            return name
    return None


def parse_times(cells: Any, time_format: str) -> Ints:
    """Read texts of a known format.

    Parameters
    ----------
    cells
        (T,) Arrow array of strings, none of them null.
    time_format
        Name of a time format.

    Returns
    -------
    (T,) int64 microseconds since 1970, in UTC or, for a format without zone, on the plant's clock.

    Raises
    ------
    BadTimeError
        For the first cell that is not of that format.
    """
    if time_format in PARSERS:
        return PARSERS[time_format](cells)
    return by_name(time_format).parse(cells)


def stamps_us(stamps: Any) -> Ints:
    """Return (T,) microseconds since 1970 of an Arrow array of timestamps of any unit, no nulls."""
    per_us = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1}[stamps.type.unit]
    ticks: Ints = stamps.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return ticks // 1_000 if stamps.type.unit == "ns" else ticks * per_us


def to_utc(time_us: Ints, zone: str) -> Ints:
    """Turn times on the plant's clock into UTC.

    Parameters
    ----------
    time_us
        (T,) int64 microseconds since 1970 as the clock on the wall shows them.
    zone
        IANA name of the clock's zone.

    Raises
    ------
    BadTimeError
        For the first time that the clock shows twice or never (daylight saving).
    """
    if zone == "UTC":
        return time_us
    import pandas as pd  # half a second, and only for plants that do not export in UTC

    local = pd.DatetimeIndex(time_us.view("datetime64[us]"))
    utc = local.tz_localize(zone, ambiguous="NaT", nonexistent="NaT").tz_convert("UTC")
    lost = np.flatnonzero(np.asarray(utc.isna()))
    if len(lost):
        index = int(lost[0])
        raise BadTimeError(index, _clock_change(int(time_us[index]), zone))
    naive: Ints = utc.tz_localize(None).to_numpy().astype("datetime64[us]").view(np.int64)
    return naive


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


def add_milliseconds(time_us: Ints, milliseconds: Floats | Ints) -> Ints:
    """Add a column of milliseconds beside one of whole seconds (Citect).

    Parameters
    ----------
    time_us
        (T,) int64 microseconds since 1970.
    milliseconds
        (T,) from 0 to below 1000.

    Raises
    ------
    BadTimeError
        For the first row in which they are outside that range, or the time has a fraction already.
    """
    within = (milliseconds >= 0) & (milliseconds < MILLISECONDS)  # NaN is not
    bad = ~within | (time_us % SECOND_US != 0)
    if bad.any():
        index = int(np.argmax(bad))
        why = "has a fraction of a second itself" if within[index] else "has none to add"
        raise BadTimeError(index, f"{why}, expected whole seconds and milliseconds from 0 to 999")
    added: Ints = np.rint(milliseconds * 1_000).astype(np.int64)
    return time_us + added


def add_bias(time_us: Ints, bias_min: Floats | Ints, east_positive: bool = False) -> Ints:
    """Turn local times with a column of biases into UTC (FactoryTalk's `Time Bias`).

    Windows, on which these systems run, defines: UTC = local time + bias, so that a bias is
    negative east of Greenwich: -60 in Berlin's winter, 480 in Seattle's (TIME_ZONE_INFORMATION).

    Parameters
    ----------
    time_us
        (T,) int64 microseconds since 1970 on the local clock.
    bias_min
        (T,) minutes.
    east_positive
        The biases are offsets from UTC instead: UTC = local time - bias.

    Raises
    ------
    BadTimeError
        For the first bias that no place has.
    """
    whole = np.isfinite(bias_min) & (np.abs(bias_min) <= MAX_OFFSET_MIN)
    whole &= np.where(whole, bias_min, 0.5) % 1 == 0
    if not whole.all():
        raise BadTimeError(
            int(np.argmin(whole)), f"has no bias of whole minutes within ±{MAX_OFFSET_MIN}"
        )
    bias_us = bias_min.astype(np.int64) * MINUTE_US
    return time_us - bias_us if east_positive else time_us + bias_us


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


def _clock_change(time_us: int, zone: str) -> str:
    """Say why a clock in `zone` cannot be read at this time."""
    local = datetime(1970, 1, 1) + timedelta(microseconds=time_us)
    offsets = [local.replace(tzinfo=ZoneInfo(zone), fold=fold).utcoffset() for fold in (0, 1)]
    twice = (offsets[0] or timedelta()) > (offsets[1] or timedelta())
    return "comes twice" if twice else "does not exist"


def _parse_iso(stamp_type: Any) -> Callable[[Any], Ints]:
    def parse(cells: Any) -> Ints:
        plain = pc.utf8_trim_whitespace(cells)
        for spelling, arrows in _SPELLINGS.items():
            plain = pc.replace_substring(plain, spelling, arrows)
        try:
            return stamps_us(plain.cast(stamp_type))
        except pa.ArrowInvalid:
            raise BadTimeError(_first_bad(plain, stamp_type), "does not read") from None

    return parse


def _first_bad(cells: Any, stamp_type: Any) -> int:
    """Return the first cell that cannot be cast, by halving."""
    low, high = 0, len(cells)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            cells.slice(low, middle - low).cast(stamp_type)
        except pa.ArrowInvalid:
            high = middle
        else:
            low = middle
    return low


ARROW_TYPES = {NAIVE: pa.timestamp("ns"), ZONED: pa.timestamp("ns", "UTC")}
"""Formats that Arrow itself parses, if the cells are written plainly."""

PARSERS: dict[str, Callable[[Any], Ints]] = {
    name: _parse_iso(stamp_type) for name, stamp_type in ARROW_TYPES.items()
}
"""Name of a time format -> texts (Arrow strings) to (T,) int64 microseconds; BadTimeError else."""

"""Texts of one time format in, microseconds out: strictly, by whole columns.

A further format is one line in `_formats`: a pattern whose named groups are the fields.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from sensor_ad.errors import UsageError
from sensor_ad.exports.time_cells import (
    DAY_US,
    LARGEST_NUMBER,
    SECOND_US,
    BadTimeError,
    Fields,
    Scale,
    count_numbers,
    looks,
    plain,
    read_look,
)
from sensor_ad.records import Bools, Floats, Ints

_NAMES = "january february march april may june july august september october november december"
MONTHS = _NAMES.split()
_MONTH = (
    "(?P<mon>" + "|".join([*MONTHS, "sept", *(name[:3] for name in MONTHS if name != "may")]) + ")"
)
_CLOCK = (
    r"(?P<h>\d{1,2})(?P<colon>[:.])(?P<mi>\d{1,2})"
    r"(?:(?P=colon)(?P<s>\d{1,2})(?:(?P<point>[.,:])(?P<f>\d{1,9}))?)?"
    r"(?: ?(?P<half>[ap])\.? ?m\.?)?"
)
_COMPACT = (
    r"(?P<h>\d{2})(?P<mi>\d{2})(?:(?P<s>\d{2})(?:[.,](?P<f>\d{1,9})|(?P<thousandths>\d{3}))?)?"
)
_ZONE = r" ?(?:z|(?P<utc>utc|gmt)?(?P<sign>[+-])(?P<zh>\d{1,2})(?::?(?P<zm>\d{2}))?|utc|gmt)"
_GAP = "(?:[t_]|,? {1,3})"
_NUMBER = r"(?P<n>\d{{{}}})(?:[.,](?P<f>\d{{0,17}}))?"


@dataclass(frozen=True)
class TimeFormat:
    """One way to write a time."""

    name: str
    """As people see it and as profiles keep it."""
    pattern: re.Pattern[str]
    """What the look of a cell is like."""
    zoned: bool = False
    """Its cells say their offset from UTC."""
    scale: Scale | None = None
    """Of numbers; None: a date of the calendar."""

    def parse(self, cells: Any) -> Ints:
        """Read texts.

        Parameters
        ----------
        cells
            (T,) Arrow array of strings.

        Returns
        -------
        (T,) int64 microseconds since 1970: in UTC when `zoned` or counted from an instant (epochs,
        FILETIME), else on the plant's clock.

        Raises
        ------
        BadTimeError
            For the first cell that is not of this format.
        """
        time_us, ok = self.read(cells)
        if not ok.all():
            raise BadTimeError(int(np.argmin(ok)), "does not read")
        return time_us

    def read(self, cells: Any) -> tuple[Ints, Bools]:
        """Return (T,) int64 microseconds as `parse` does, 0 where (T,) bool says: not a time."""
        time_us = np.zeros(len(cells), np.int64)
        ok = np.zeros(len(cells), bool)
        for rows, columns, look in looks(plain(cells), known):
            fields = fields_of(self, look)
            if fields is not None:
                time_us[rows], ok[rows] = read_look(self.scale, fields, columns)
        return np.where(ok, time_us, 0), ok

    def count(self, numbers: Floats | Ints) -> tuple[Ints, Bools]:
        """Return what `read` does, of (T,) numbers as workbooks and Parquet hold them."""
        if self.scale is None:  # 20260131 as a number
            return self.read(whole_texts(numbers))
        time_us, ok = count_numbers(self.scale, numbers)
        return np.where(ok, time_us, 0), ok

    @property
    def in_utc(self) -> bool:
        """Whether what `parse` returns needs no clock."""
        return self.zoned or (self.scale is not None and not self.scale.on_clock)


def by_name(name: str) -> TimeFormat:
    """Return the format that a profile names.

    Raises
    ------
    UsageError
        When there is none of that name.
    """
    if name not in FORMATS:
        near = get_close_matches(name, FORMATS, 1, 0.0)[0]
        raise UsageError(
            f"time format {name!r} is not known, expected one of {', '.join(FORMATS)}; the nearest "
            f"is {near!r}: correct it."
        )
    return FORMATS[name]


def whole_texts(numbers: Floats | Ints) -> Any:
    """Return (T,) numbers as texts without their fractions, null where there is none."""
    ok = np.isfinite(numbers) & (np.abs(numbers) < LARGEST_NUMBER)
    return pa.array(np.where(ok, numbers, 0).astype(np.int64), mask=~ok).cast(pa.string())


def known(look: str) -> bool:
    """Say whether a look may be that of a time."""
    return bool(formats_of(look)) or TIME_OF_DAY.pattern.fullmatch(look) is not None


@lru_cache(maxsize=4096)
def formats_of(look: str) -> tuple[TimeFormat, ...]:
    """Return all formats that a look may be of."""
    return tuple(f for f in FORMATS.values() if fields_of(f, look) is not None)


@lru_cache(maxsize=65536)
def fields_of(time_format: TimeFormat, look: str) -> Fields | None:
    """Return where the fields of a format stand in a look, None when it is not of that format."""
    match = time_format.pattern.fullmatch(look)
    if match is None:
        return None
    texts = {name: text for name, text in match.groupdict().items() if text}
    if texts.get("colon") == "." and len(texts["mi"]) != 2:
        return None  # 12.5 is no time of day
    if texts.get("point") == ":" and len(texts["f"]) != 3:
        return None
    if len(texts.get("zh", "00")) == 1 and "utc" not in texts:
        return None  # +1 alone is no offset, UTC+1 is
    fields: dict[str, slice | int] = {
        {"thousandths": "f"}.get(name, name): slice(*match.span(name))
        for name, text in texts.items()
        if text.isdigit()
    }
    if "mon" in texts:
        fields["mo"] = 1 + next(k for k, m in enumerate(MONTHS) if m[:3] == texts["mon"][:3])
    if "half" in texts:
        fields["afternoon"] = int(texts["half"] == "p")
    if "sign" in texts:
        fields["east"] = 1 if texts["sign"] == "+" else -1
    return fields


def _calendar(name: str, date: str) -> list[TimeFormat]:
    """Return a format of dates, with and without zone; a time of day may be missing without."""
    alone, zoned = f"{date}(?:{_GAP}{_CLOCK})?", f"{date}{_GAP}{_CLOCK}{_ZONE}"
    return [
        TimeFormat(name, re.compile(alone)),
        TimeFormat(f"{name} with zone", re.compile(zoned), zoned=True),
    ]


def _formats() -> dict[str, TimeFormat]:
    day, month = r"(?P<d>\d{1,2})", r"(?P<mo>\d{1,2})"
    year, short = r"(?P<y>\d{4})", r"(?P<y>\d{2})"
    found = _calendar("ISO 8601", rf"{year}(?P<dash>[-/.]){month}(?P=dash){day}")
    for sign in "./-":
        dash = re.escape(sign)
        for order, parts in {
            "dd mm yyyy": (day, month, year),
            "mm dd yyyy": (month, day, year),
            "dd mm yy": (day, month, short),
            "mm dd yy": (month, day, short),
            "yy mm dd": (short, month, day),
        }.items():
            found += _calendar(order.replace(" ", sign), dash.join(parts))
    either = r"(?P<y>\d{4}|\d{2})"
    found += _calendar("dd-Mon-yyyy", rf"{day}[-/. ]?{_MONTH}[-/. ,]{{0,2}}{either}")
    found += _calendar("Mon dd, yyyy", rf"{_MONTH}\.? {{1,2}}{day},? {year}")
    solid = rf"{year}(?P<mo>\d{{2}})(?P<d>\d{{2}})"
    found += _calendar("yyyymmdd", solid)
    compact = rf"{solid}[t _-]?{_COMPACT}"
    found += [
        TimeFormat("yyyymmddHHMMSS", re.compile(compact)),
        TimeFormat("yyyymmddHHMMSS with zone", re.compile(compact + _ZONE), zoned=True),
    ]
    found += [
        TimeFormat(name, re.compile(_NUMBER.format(digits)), scale=scale)
        for name, (digits, scale) in _SCALES.items()
    ]
    return {time_format.name: time_format for time_format in found}


_EXCEL_ZERO_US = -25_569 * DAY_US  # 1899-12-30, so that days after February 1900 come out right
_SCALES = {
    "epoch s": ("1,11", Scale(SECOND_US, 1, 0)),
    "epoch ms": ("1,14", Scale(1_000, 1, 0)),
    "epoch us": ("1,17", Scale(1, 1, 0)),
    "epoch ns": ("1,19", Scale(1, 1_000, 0)),
    # Excel's own times are of milliseconds; 15 digits, as Excel writes, leave ten decimals of a
    # day: 8.6 us. A serial is therefore rounded to the millisecond that it stands for.
    "Excel serial": ("1,7", Scale(86_400_000, 1, _EXCEL_ZERO_US, 1_000, 11, on_clock=True)),
    # WinCC's Time_ms: days since 1899-12-30, times a million; one is 86.4 ms.
    "Excel serial x 1e6": ("1,13", Scale(864, 10, _EXCEL_ZERO_US, 1_000, 11, on_clock=True)),
    "FILETIME": ("1,19", Scale(1, 10, -11_644_473_600 * SECOND_US)),  # 100 ns since 1601
    ".NET ticks": ("1,19", Scale(1, 10, -62_135_596_800 * SECOND_US)),  # 100 ns since 0001
}

FORMATS = _formats()
"""Name of a time format -> the format."""

TIME_OF_DAY = TimeFormat("time of day", re.compile(_CLOCK))
"""For a column beside that of the date: `parse` returns microseconds since midnight."""

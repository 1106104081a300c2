"""Cells of times as texts in, their looks and the microseconds they mean out; by whole columns.

All cells that have digits at the same places and the same signs between them have one *look*
(`00.00.0000 00:00` is that of 01.02.2026 23:59), and are read at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sensor_ad.records import Bools, Floats, Ints

Bytes = npt.NDArray[np.uint8]

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US

CENTURY_TURN = 69
"""Two-digit years below it are of this century, the others of the last: the rule of POSIX C."""
LONGEST = 64
"""Bytes of a cell; longer ones are no times."""
MAX_OFFSET_MIN = 15 * 60 + 59
"""No place's clock was ever further from UTC (Manila, until 1844)."""
PIECE_ROWS = 1 << 15
"""Rows looked at together: their bytes fit in the processor's cache."""
LARGEST_NUMBER = 2**62
"""Numbers below it can be counted in 64 bits."""
STRANGE_LOOKS = 64
"""Looks of one length in a piece that are no times, after which the rest of it is none either."""


class BadTimeError(Exception):
    """The time in row `index` of what was parsed cannot be understood."""

    def __init__(self, index: int, reason: str):
        super().__init__(reason)
        self.index = index
        self.reason = reason


@dataclass(frozen=True)
class Scale:
    """How a number counts time: `value` is `value * grains / per` grains after `zero_us`."""

    grains: int
    per: int
    zero_us: int
    grain_us: int = 1
    """The result is a multiple of it: cut off at a microsecond, rounded at anything larger."""
    fraction_digits: int = 9
    """That are read; more would not fit into 64 bits and tell nothing."""
    on_clock: bool = False
    """Counts on the plant's clock, not from an instant."""


Fields = Mapping[str, slice | int]
"""Field of a format -> the digits of a look that hold it, or its value."""


def looks(cells: Any, known: Callable[[str], bool]) -> Iterator[tuple[Ints, Bytes, str]]:
    """Yield the rows of each look of plain cells: numbers (n,), bytes (width, n), the look.

    `known` says whether a look may be that of a time. Rows that are too long to be a time, and
    those after too many strange looks, are left out.
    """
    data, starts, lengths = _buffer(cells)
    for start in range(0, len(cells), PIECE_ROWS):
        piece = slice(start, start + PIECE_ROWS)
        for width in map(int, np.unique(lengths[piece])):
            if not 0 < width <= LONGEST:
                continue
            rows = start + np.flatnonzero(lengths[piece] == width)
            first = int(starts[rows[0]])
            if int(starts[rows[-1]]) - first == width * (len(rows) - 1):
                table = data[first : first + width * len(rows)].reshape(-1, width)
            else:
                table = data[starts[rows][:, None] + np.arange(width)]
            yield from _looks_of_width(rows, np.ascontiguousarray(table.T), known)


def _looks_of_width(
    rows: Ints, columns: Bytes, known: Callable[[str], bool]
) -> Iterator[tuple[Ints, Bytes, str]]:
    strange = 0
    while len(rows) and strange < STRANGE_LOOKS:
        first = columns[:, 0]
        digits = first - 48 <= 9  # unsigned: what is below "0" wraps round to above 9
        lowest, span = np.where(digits, 48, first), np.where(digits, 9, 0)
        same = (columns - lowest[:, None].astype(np.uint8) <= span[:, None]).all(axis=0)
        look = np.where(digits, 48, first).astype(np.uint8).tobytes().decode("latin-1").lower()
        strange += not known(look)
        if same.all():
            yield rows, columns, look
            return
        yield rows[same], columns[:, same], look
        rows, columns = rows[~same], columns[:, ~same]


def plain(cells: Any) -> Any:
    """Return cells as one array of strings, without blanks around and with plain blanks inside."""
    if isinstance(cells, pa.ChunkedArray):
        cells = cells.combine_chunks()
    cells = cells.cast(pa.string())
    if cells.null_count:
        cells = cells.fill_null("")
    data, starts, lengths = _buffer(cells)
    if not len(data):
        return cells
    if data.max() > 127:  # no-break blanks: Windows puts one between time and AM
        for blank in ("\u00a0", "\u202f", "\u2009"):
            cells = pc.replace_substring(cells, blank, " ")
        data, starts, lengths = _buffer(cells)
    given = lengths > 0
    starts, ends = starts[given], starts[given] + lengths[given] - 1
    if (data[starts] <= 32).any() or (data[ends] <= 32).any():
        cells = pc.ascii_trim_whitespace(cells)  # bytes that are no UTF-8 do not matter
    return cells


def _buffer(cells: Any) -> tuple[Bytes, Ints, Ints]:
    """Return the bytes of an array of strings, and where each begins and how long it is."""
    _, offsets, data = cells.buffers()
    ends = np.frombuffer(offsets, np.int32)[cells.offset : cells.offset + len(cells) + 1]
    content = np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)
    last = int(ends[-1]) if len(ends) else 0
    return content[:last], ends[:-1].astype(np.int64), np.diff(ends)


def read_look(scale: Scale | None, fields: Fields, columns: Bytes) -> tuple[Ints, Bools]:
    """Read cells of one look: (width, n) bytes -> (n,) int64 microseconds and (n,) bool."""
    if scale is not None:
        return _counted(scale, fields, columns)
    clock_us, ok = _time_of_day(fields, columns)
    if "d" not in fields:
        return clock_us, ok
    midnight_us, exists = _midnight(fields, columns)
    return midnight_us + clock_us, ok & exists


def _digits(columns: Bytes, where: slice, at_most: int = 19) -> Ints:
    """Return the number that some digits spell; it fits in 64 bits up to 18 of them."""
    stop = min(where.stop, where.start + at_most)
    kind: type[np.integer[Any]] = np.int32 if stop - where.start < 10 else np.uint64
    number: Ints = np.zeros(columns.shape[1], kind)
    for digit in columns[where.start : stop]:
        number = number * kind(10) + (digit - np.uint8(48)).astype(kind)
    return number


def _field(fields: Fields, name: str, columns: Bytes) -> Ints:
    where = fields.get(name, 0)
    if isinstance(where, slice):
        return _digits(columns, where)
    return np.full(columns.shape[1], where, np.int32)


def _fraction_us(fields: Fields, columns: Bytes) -> Ints:
    """Return the fraction of a second, cut off at the microsecond."""
    where = fields.get("f")
    if not isinstance(where, slice):
        return np.zeros(columns.shape[1], np.int32)
    digits = min(where.stop - where.start, 6)
    return _digits(columns, where, 6) * np.int32(10 ** (6 - digits))


def _time_of_day(fields: Fields, columns: Bytes) -> tuple[Ints, Bools]:
    """Return the time of day, less its offset from UTC where it has one."""
    if "h" not in fields:
        n = columns.shape[1]
        return np.zeros(n, np.int64), np.ones(n, bool)
    hour, minute = (_field(fields, name, columns) for name in ("h", "mi"))
    second, fraction_us = _field(fields, "s", columns), _fraction_us(fields, columns)
    ok = (minute < 60) & (second <= 60)  # :60 is a leap second, counted into the next one
    if "afternoon" in fields:
        ok &= (hour >= 1) & (hour <= 12)
        hour = hour % 12 + 12 * int(fields["afternoon"] == 1)
    else:
        midnight = (hour == 24) & (minute == 0) & (second == 0) & (fraction_us == 0)
        ok &= (hour < 24) | midnight
    minutes = hour * 60 + minute
    if "east" in fields:
        past, over = _field(fields, "zh", columns), _field(fields, "zm", columns)
        offset = past * 60 + over
        ok &= (over < 60) & (offset <= MAX_OFFSET_MIN)
        minutes = minutes - offset * _field(fields, "east", columns)
    return (minutes * np.int64(60) + second) * SECOND_US + fraction_us, ok


@lru_cache(maxsize=1)
def _month_starts() -> Ints:
    """Return the first days of all months of the years 0 to 9999, and the one after."""
    months = np.arange(-1970 * 12, (10_000 - 1970) * 12 + 1).astype("datetime64[M]")
    return months.astype("datetime64[D]").astype(np.int32)


def _midnight(fields: Fields, columns: Bytes) -> tuple[Ints, Bools]:
    """Return when a date begins, and whether there is such a date."""
    year, month, day = (_field(fields, name, columns) for name in ("y", "mo", "d"))
    years = fields["y"]
    if isinstance(years, slice) and years.stop - years.start == 2:
        year = year + np.where(year < CENTURY_TURN, 2000, 1900).astype(np.int32)
    ok = (year > 0) & (month >= 1) & (month <= 12) & (day >= 1)
    starts = _month_starts()
    at = year * 12 + np.clip(month, 1, 12) - 1
    first = starts[at]
    ok &= first + day <= starts[at + 1]  # 31 February is no time
    return (first + day - 1) * np.int64(DAY_US), ok


def _counted(scale: Scale, fields: Fields, columns: Bytes) -> tuple[Ints, Bools]:
    """Return the times that numbers count; integers throughout, so that nothing is rounded off."""
    number = _field(fields, "n", columns).astype(np.uint64)
    ok = number <= np.uint64(np.iinfo(np.int64).max)
    whole, rest = np.divmod(np.where(ok, number, 0).astype(np.int64) * scale.grains, scale.per)
    where = fields.get("f")
    digits, fraction = 0, np.zeros(len(number), np.int64)
    if isinstance(where, slice):
        digits = min(where.stop - where.start, scale.fraction_digits)
        fraction = _digits(columns, where, digits).astype(np.int64)
    per = scale.per * 10**digits
    part = rest * 10**digits + fraction * scale.grains
    part = part // per if scale.grain_us == 1 else (part + per // 2) // per
    return (whole + part) * scale.grain_us + scale.zero_us, ok


def count_numbers(scale: Scale, numbers: Floats | Ints) -> tuple[Ints, Bools]:
    """Return the times that (T,) numbers count, (T,) int64 microseconds, and whether they do.

    A float64 has 53 bits: epochs in seconds are exact to a microsecond, those in nanoseconds not.
    """
    ok = np.isfinite(numbers) & (numbers >= 0) & (numbers < LARGEST_NUMBER)
    given = np.where(ok, numbers, 0)
    floor = given if given.dtype.kind in "iu" else np.floor(given)
    whole, rest = np.divmod(floor.astype(np.int64), scale.per)
    ok &= whole < np.iinfo(np.int64).max // (scale.grains * scale.grain_us * 2)
    whole = np.where(ok, whole, 0)
    part = (rest + (given - floor)) * scale.grains / scale.per
    parts = (np.floor(part) if scale.grain_us == 1 and scale.per > 1 else np.rint(part)).astype(
        np.int64
    )
    return (whole * scale.grains + parts) * scale.grain_us + scale.zero_us, ok

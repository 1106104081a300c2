"""What the readers of one file are told and what they give: a plan in, blocks of rows out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from sensor_ad.errors import DataError
from sensor_ad.exports.cells import ABSURD
from sensor_ad.exports.layouts import TimeColumns
from sensor_ad.exports.numbers import Signs
from sensor_ad.exports.tally import Tally, quoted
from sensor_ad.exports.time_formats import TimeFormat
from sensor_ad.exports.times import ARROW_TYPES
from sensor_ad.records import Bools, Floats, Ints, Quality

EMPTY = "empty row"
"""Reason for dropping a row in which neither time nor any value stands."""
ISO_EXAMPLES = {
    "ISO 8601": "2026-01-31 23:59:00",
    "ISO 8601 with zone": "2026-01-31 23:59:00Z",
}
"""Time format whose name does not show it -> a time."""
CACHED_ROWS = 2_048
"""Rows turned from columns at a time: they fit in the processor's cache."""


@dataclass(frozen=True)
class Plan:
    """What is to be read from every file of a wide export."""

    tags: dict[str, tuple[str, ...]]
    """Tag -> its states in the order of their numbers; none for a tag of numbers."""
    time: TimeColumns | None
    """None where times come from row numbers."""
    time_formats: dict[str, TimeFormat]
    """Column of the time -> its format."""
    zone: str
    """IANA zone of times that carry none."""
    zone_said: bool
    """Whether the user named it."""
    standard_time: bool
    """Whether the plant's clock never changes to summer time."""
    start_us: int | None
    """Time of the first row, when there is no time column; then `period_us` is given too."""
    period_us: float
    block_bytes: int
    texts: Mapping[str, Quality] = field(default_factory=dict)
    """Folded text -> what it means, beside the vocabulary."""

    @property
    def stamp(self) -> tuple[str, str] | None:
        """The column of the time and the name of its format."""
        if self.time is None:
            return None
        return self.time.stamp, self.time_formats[self.time.stamp].name

    @property
    def in_utc(self) -> bool:
        """Whether the times need no clock of the plant."""
        if self.time is None or self.time.bias is not None:
            return True
        return self.time_formats[self.time.stamp].in_utc

    def wanted(self) -> Wanted:
        """Return the columns that are read, with the types they should have."""
        kinds = {tag: pa.string() if states else pa.float64() for tag, states in self.tags.items()}
        return {**time_wanted(self.time, self.time_formats), **kinds}


def time_wanted(time: TimeColumns | None, formats: Mapping[str, TimeFormat]) -> Wanted:
    """Return the columns of the time with the types in which Arrow may read them."""
    if time is None:
        return {}
    plain = ARROW_TYPES.get(formats[time.stamp].name, pa.string())
    wanted = {name: pa.string() for name in time.columns}
    return {**wanted, time.stamp: plain if time.clock is None else pa.string()}


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


def quality_of(values: Floats, quality: Ints | None) -> Ints:
    """(T, C) uint8 `Quality`; where nobody said, good where there is a value."""
    if quality is not None:
        return quality
    missing: Bools = np.isnan(values)
    return np.where(missing, np.uint8(Quality.NO_DATA), np.uint8(Quality.GOOD))


Where = Callable[[int], str]
"""Says where row `k` of a block stands: line 7, row 7."""
Wanted = Mapping[str, Any]
"""Column -> Arrow type in which it is asked for; it comes as text where that cannot be."""


@dataclass(frozen=True)
class Columns:
    """Some rows of a file as Arrow columns, as every reader of tables gives them."""

    file: str
    table: Any
    """pyarrow.Table of the columns wanted, T rows."""
    ordinals: Ints
    """(T,) number of each row in its file, counted from 0 without header and blank lines."""
    where: Where
    bytes_read: int
    typed: bool = False
    """Whether the file says what a column holds, so that numbers need not be texts."""

    def filtered(self, kept: Bools) -> Columns:
        """Return the rows marked in (T,) `kept`."""
        places, where = np.flatnonzero(kept), self.where
        return Columns(
            self.file,
            self.table.filter(pa.array(kept)),
            self.ordinals[places],
            lambda k: where(int(places[k])),
            self.bytes_read,
            self.typed,
        )


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
) -> tuple[Floats, Bools | None]:
    """Return (T, C) values without those beyond every plant unit, which are counted.

    And (T, C) where these stood; None: nowhere.
    """
    absurd = np.abs(values) > ABSURD
    if not absurd.any():
        return values, None
    for k in map(int, np.flatnonzero(absurd.any(axis=0))):
        row = int(np.flatnonzero(absurd[:, k])[0])
        tally.absurd[tags[k]] += int(absurd[:, k].sum())
        if ("absurd", tags[k]) not in tally.firsts:
            said = f"{values[row, k]:g} in {file}, {where(row)}"
            tally.firsts["absurd", tags[k]] = said
    return np.where(absurd, np.nan, values), absurd


def row_times(ordinals: Ints, plan: Plan) -> Ints:
    """Return the times of rows that carry none, from their numbers (0 is the first row)."""
    steps: Ints = np.rint(ordinals * plan.period_us).astype(np.int64)
    return steps + (plan.start_us or 0)


def bad_time(file: str, where: str, text: str, time_format: str) -> DataError:
    """Return the refusal of a cell that is no time."""
    found = f"{quoted(text)} cannot be read as a time" if text else "a row with values has no time"
    example = f", such as {ISO_EXAMPLES[time_format]}" if time_format in ISO_EXAMPLES else ""
    return DataError(
        f"{file}, {where}: {found}, expected {time_format} as in the first rows{example}: mend or "
        "remove this row."
    )


def wrong_signs(where: str, text: str, signs: Signs, typed: bool) -> DataError:
    """Return the refusal of a number that is written otherwise than those of the file.

    `typed` says that the file has types, so that its numbers need not be texts.
    """
    expected = f"numbers with {signs.told()}"
    remedy = "say the right signs by data.decimal and data.thousands, or export anew"
    if typed:
        expected = f"a number or a text with {signs.told()}"
        remedy = "write the column as numbers"
    return DataError(f"{where}: {quoted(text)}, expected {expected}: {remedy}.")


def is_other_number(text: str) -> bool:
    """Say whether a text that is no number of its file is one with another decimal sign."""
    return any(signs.pattern.fullmatch(text) for signs in (Signs(","), Signs(".")))

"""How exports are to be read: what the engineer says, where None means that it is to be found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sensor_ad.errors import UsageError
from sensor_ad.exports.encodings import ENCODINGS

if TYPE_CHECKING:
    from sensor_ad.exports.profile import Profile

DUPLICATES = ("refuse", "last", "mean")
SEPARATORS = (",", ";", "\t", "|")
BLANK = " "
"""Separator that stands for any number of blanks; taken only when somebody says so."""
LAYOUTS = ("wide", "long", "paired", "tag files")
CLOCKS = ("local", "standard time")


@dataclass(frozen=True)
class ReadSettings:
    """How exports are to be read."""

    timezone: str | None = None
    """IANA zone of times that carry none; None: nobody said, and UTC is assumed."""
    clock: str = "local"
    """local: it follows daylight saving; standard time: it never does."""
    time_column: str | tuple[str, ...] | None = None
    """One column, or those of date and time of day; None: found by content and name."""
    time_format: str | None = None
    """Name of a format of `times`; None: decided over the whole column."""
    separator: str | None = None
    """None: found from the first lines."""
    decimal: str | None = None
    """None: found from the first lines."""
    thousands: str | None = None
    """None: found from the first lines; empty: there is none."""
    header: bool = True
    """Whether a line names the columns; without, they are x1, x2 … or `names`."""
    names: tuple[str, ...] = ()
    """Names of the columns in place of those that the header gives."""
    transposed: bool = False
    """Whether tags are lines and times columns."""
    layout: str | None = None
    """One of `LAYOUTS`; None: found from the columns."""
    tag_column: str | None = None
    value_column: str | None = None
    quality_column: str | None = None
    """Columns of a long table; None: found by their names."""
    quality_codes: str | None = None
    """Whose codes the quality column holds; None: found by the codes."""
    treat_uncertain_as_bad: bool = False
    texts: Mapping[str, str] = field(default_factory=dict)
    """Text of a cell -> quality, beside the vocabulary that is known."""
    states: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Tag -> its states, numbered from 0; of other tags they are learnt."""
    stepped: tuple[str, ...] = ()
    """Tags that hold a value until the next one; others are found, or lie on lines between."""
    sheet: str | None = None
    """Of a workbook; None: the only one with a table."""
    encoding: str | None = None
    """One of `encodings.ENCODINGS`; None: found from the content."""
    compressed: bool = False
    """Whether a gzip is unpacked while it is read (`data.allow_compressed`)."""
    label_columns: tuple[str, ...] = ()
    """Columns that tell the truth about faults: never read, never handed out."""
    ignore_columns: tuple[str, ...] = ()
    """Columns that are read from nowhere."""
    start: str | None = None
    """ISO time of the first row, for exports without a time column."""
    period_s: float | None = None
    """With `start`: seconds from row to row."""
    grid_s: float | None = None
    """Period onto which single values are brought; None: found from their steps."""
    max_hold_s: float | None = None
    """How long a single value may stand for what comes after it; None: learnt for each tag."""
    lookback_rows: int = 1_000_000
    """How many rows back a row may stand out of time order and still be put in its place."""
    duplicates: str = "refuse"
    """Rows of equal time but different values: refuse, last or mean."""
    profile: Profile | None = None
    """What was found of such exports before: it settles what is open, and nothing may deviate."""
    block_bytes: int = 8 << 20
    """Bytes read at a time; never changes what comes out."""


UNSAID_ZONE = "UTC"
"""Zone of times that carry none when nobody said which."""


def check_settings(settings: ReadSettings) -> None:
    """Refuse settings that no export can be read with."""
    _zone(settings.timezone or UNSAID_ZONE)
    if settings.separator not in (None, BLANK, *SEPARATORS):
        raise UsageError(
            f"separator is {settings.separator!r}, expected one of , ; tab | or a blank: correct "
            "it, or leave it out and it is found."
        )
    if settings.decimal not in (None, ".", ","):
        raise UsageError(
            f"decimal is {settings.decimal!r}, expected '.' or ',': correct it, or leave it out "
            "and it is found."
        )
    if settings.decimal == "," and settings.separator == ",":
        raise UsageError(
            "separator and decimal are both ',', expected different signs: correct one of them."
        )
    if settings.encoding not in (None, *ENCODINGS):
        raise UsageError(
            f"encoding is {settings.encoding!r}, expected one of {', '.join(ENCODINGS)}: correct "
            "it, or leave it out and it is found."
        )
    if settings.duplicates not in DUPLICATES:
        raise UsageError(
            f"duplicates is {settings.duplicates!r}, expected one of {', '.join(DUPLICATES)}: "
            "correct it."
        )
    if settings.lookback_rows < 0:
        raise UsageError(
            f"lookback_rows is {settings.lookback_rows}, expected 0 or more: correct it."
        )
    if (settings.start is None) != (settings.period_s is None):
        raise UsageError(
            "only one of start and period_s is given, expected both or none: give the time of the "
            "first row and the seconds from row to row."
        )
    if settings.period_s is not None and not 1e-6 <= settings.period_s < math.inf:
        raise UsageError(
            f"period_s is {settings.period_s}, expected seconds above 0 (a microsecond or more): "
            "correct it."
        )


def start_us(settings: ReadSettings) -> int | None:
    """Return the time of the first row in UTC microseconds, None where the export has times."""
    if settings.start is None:
        return None
    try:
        start = datetime.fromisoformat(settings.start)
    except ValueError:
        raise UsageError(
            f"start is {settings.start!r}, expected an ISO time such as 2026-01-31 00:00:00: "
            "correct it."
        ) from None
    if start.tzinfo is None:
        start = start.replace(tzinfo=_zone(settings.timezone or UNSAID_ZONE))
    since = start.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"timezone is {name!r}, expected an IANA name such as UTC or Europe/Berlin: correct it."
        ) from None

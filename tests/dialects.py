"""Tables of known readings in, files in any dialect out: what whole plants may have written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np

from sensor_ad.exports.quality_systems import SYSTEMS, code_of
from sensor_ad.exports.time_formats import FORMATS, MONTHS
from sensor_ad.records import Quality

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXCEL_ZERO_DAYS = 25_569
"""Days from Excel's zero to 1970."""
FILETIME_ZERO_S, NET_ZERO_S = 11_644_473_600, 62_135_596_800
SCALES: dict[str, Callable[[Decimal], Decimal]] = {
    "epoch s": lambda s: s,
    "epoch ms": lambda s: s * 1_000,
    "epoch us": lambda s: s * 1_000_000,
    "epoch ns": lambda s: s * 1_000_000_000,
    "Excel serial": lambda s: s / 86_400 + EXCEL_ZERO_DAYS,
    "Excel serial x 1e6": lambda s: (s / 86_400 + EXCEL_ZERO_DAYS) * 1_000_000,
    "FILETIME": lambda s: (s + FILETIME_ZERO_S) * 10_000_000,
    ".NET ticks": lambda s: (s + NET_ZERO_S) * 10_000_000,
}
"""Name of a format of numbers -> seconds since 1970 to that number, exactly."""
SCALE_DECIMALS = {"Excel serial": 11, "Excel serial x 1e6": 6}
BAD_TEXTS = {
    "Bad": Quality.BAD,
    "I/O Timeout": Quality.BAD,
    "#VALUE!": Quality.BAD,
    "1.#INF": Quality.BAD,
    "[-11059] No Good Data For Calculation": Quality.NO_DATA,
    "No Data": Quality.NO_DATA,
    "-": Quality.NO_DATA,
    "NaN": Quality.NO_DATA,
    "": Quality.NO_DATA,
}
STATES = (("off", "on"), ("Closed", "Open"), ("false", "true"), ("low", "medium", "high"))
CODES = {
    "opc da": {0: ("192", "195"), 1: ("64", "84"), 2: ("216",), 3: ("0", "24")},
    "opc ua": {0: ("0", "Good"), 1: ("1083179008", "Uncertain"), 3: ("2147483648", "0x80000000")},
    "ip.21": {0: ("0", "4"), 1: ("1",), 3: ("2", "6")},
    "pi": {0: ("Good", "IsGood"), 1: ("Questionable",), 2: ("Substituted",), 3: ("Bad",)},
    "pi questionable": {0: ("false",), 1: ("true",)},
    "pi substituted": {0: ("false",), 2: ("true",)},
    "pi annotated": {0: ("false", "true")},
    "aveva": {0: ("0", "133"), 1: ("16",), 3: ("1",)},
    "aveva detail": {0: ("192", "44"), 3: ("0", "249"), 4: ("1",)},
    "wincc": {0: ("1",), 3: ("0", "2")},
    "ignition": {0: ("192", "Good"), 1: ("64", "Uncertain_LastKnown"), 3: ("0", "Bad_Stale")},
    "ge": {0: ("100", "Good"), 1: ("50",), 3: ("0", "Bad")},
}
"""System -> quality -> codes that it writes for it."""


@dataclass(frozen=True)
class TimeStyle:
    """How times are written."""

    format: str = "ISO 8601"
    digits: int = 0
    """Of the fraction of a second: 0, 3 or 6."""
    letter: str = " "
    """Between date and time of day."""
    half: bool = False
    """With AM and PM."""
    pad: bool = True
    """Whether day, month and hour have two digits always."""
    seconds: bool = True
    mon: str = "Jan"
    """How long a month's name is: Jan, January, JAN."""
    offset_min: int = 0
    decimal: str = "."
    """Of numbers that count time, and before fractions of a second."""
    iso_sign: str = "-"
    """Between year, month and day of ISO dates: - / or a point."""
    zone: str = "+00:00"
    """How an offset is written: +00:00, +0000, +00, UTC+0 or Z."""

    @property
    def unit_us(self) -> int:
        """What the times are multiples of, microseconds."""
        if self.format in SCALES:
            return {"epoch s": 1_000_000, "epoch ms": 1_000}.get(self.format, 1_000)
        if not self.seconds and not self.format.startswith("yyyymmddHH"):
            return 60_000_000
        return 10 ** (6 - self.digits)


@dataclass(frozen=True)
class Dialect:
    """How a file is written."""

    separator: str = ","
    decimal: str = "."
    thousands: str = ""
    encoding: str = "utf-8"
    end: str = "\n"
    quote_all: bool = False
    sep_line: bool = False
    preamble: tuple[str, ...] = ()
    units: bool = False
    descriptions: bool = False
    """A line of descriptions below the units."""
    split: bool = False
    """Date and time of day in columns of their own; in wide tables."""
    number: str = "plain"
    """How numbers are written: plain, exponent, plus, bare (.5 and 5.) or zeros (007.5)."""
    trailing: bool = False
    last_end: bool = True
    """Whether the last line ends."""
    time: TimeStyle = field(default_factory=TimeStyle)
    time_name: str = "time"
    time_place: int = 0
    layout: str = "wide"
    codes: str | None = None
    """Whose quality codes stand beside the values; none in wide tables."""
    code_name: str = "Quality"
    by_tag: bool = False
    """Whether a long table goes tag by tag."""
    column_order: tuple[int, ...] = (0, 1, 2, 3)
    """Of a long table."""
    zone: str | None = None
    """Of the clock, which has no summer time; None: UTC, and nobody says so."""
    zone_min: int = 0


@dataclass(frozen=True)
class Table:
    """Readings as they are meant."""

    tags: tuple[str, ...]
    time_us: tuple[int, ...]
    """(T,) UTC, in the order in which they are written."""
    cells: tuple[tuple[Decimal | str, ...], ...]
    """(T, C): a number, or the text that stands in its place."""
    codes: tuple[tuple[int, ...], ...]
    """(T, C) `Quality` that the historian gave, where there are codes."""
    states: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Digital tag -> its states in the order of their numbers."""


def expected(
    table: Table, dialect: Dialect
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Return times, values, qualities and tags as they must be read."""
    values = np.full((len(table.time_us), len(table.tags)), np.nan)
    quality = np.full(values.shape, Quality.GOOD, np.uint8)
    for row, cells in enumerate(table.cells):
        for k, (tag, cell) in enumerate(zip(table.tags, cells, strict=True)):
            states = table.states.get(tag, ())
            if isinstance(cell, Decimal):
                values[row, k] = float(cell)
            elif cell in states:
                values[row, k] = states.index(cell)
            else:
                quality[row, k] = BAD_TEXTS[cell]
            if dialect.codes is not None:
                code = table.codes[row][k]
                bad = code == Quality.BAD  # without a value, too
                quality[row, k] = Quality.BAD if bad else max(quality[row, k], code)
    values[quality >= Quality.BAD] = np.nan
    order = np.argsort(table.time_us)
    columns = np.arange(len(table.tags))
    if dialect.layout != "wide":  # what is imported comes in the order of the alphabet
        columns = np.argsort(np.array(table.tags))
    names = [table.tags[k] for k in columns]
    return (
        np.array(table.time_us)[order],
        values[order][:, columns],
        quality[order][:, columns],
        names,
    )


def write(folder: Path, table: Table, dialect: Dialect) -> list[Path]:
    """Write a table; returns its files."""
    style = {"wide": _wide, "long": _long, "paired": _paired}
    if dialect.layout != "tag files":
        path = folder / "plant.csv"
        path.write_bytes(_text(*style[dialect.layout](table, dialect), dialect))
        return [path]
    paths = []
    for k, tag in enumerate(table.tags):
        path = folder / f"{tag}.csv"
        path.write_bytes(_text(*_one_tag(table, dialect, k), dialect))
        paths.append(path)
    return paths


def number(value: Decimal, dialect: Dialect) -> str:
    """Write a number."""
    sign = "-" if value < 0 else "+" if dialect.number == "plus" else ""
    if dialect.number == "exponent":
        return f"{value:.12E}".replace(".", dialect.decimal)
    whole, _, part = f"{abs(value):f}".partition(".")
    if dialect.number == "zeros":
        whole = whole.zfill(4)
    elif dialect.thousands:
        whole = f"{int(whole):,}".replace(",", dialect.thousands)
    if dialect.number == "bare" and part:
        whole, part = whole.lstrip("0"), part.rstrip("0")
        if not (whole or part):
            whole = "0"
        return sign + whole + dialect.decimal + part
    return sign + whole + (dialect.decimal + part if part else "")


def time_text(time_us: int, style: TimeStyle, zone_min: int = 0) -> str:
    """Write a UTC time; without a zone of its own, on a clock that is `zone_min` ahead."""
    name = style.format.removesuffix(" with zone")
    zoned = style.format != name
    on_clock = name.startswith("Excel")
    ahead = style.offset_min if zoned else zone_min if name not in SCALES or on_clock else 0
    if name in SCALES:
        return _scaled(time_us + ahead * 60_000_000, style)
    at = EPOCH + timedelta(microseconds=time_us, minutes=ahead)
    text = _date(at, name, style)
    if name == "yyyymmddHHMMSS":
        text += f"{at:%H%M%S}"
        text += f".{at.microsecond:06d}"[: 1 + style.digits] if style.digits else ""
    else:
        text += style.letter + _clock(at, style)
    return text + (_offset(ahead, style.zone) if zoned else "")


def _scaled(time_us: int, style: TimeStyle) -> str:
    value = SCALES[style.format](Decimal(time_us) / 1_000_000)
    places = SCALE_DECIMALS.get(style.format, 0)
    return f"{value:.{places}f}".replace(".", style.decimal)


def _date(at: datetime, name: str, style: TimeStyle) -> str:
    pad = 2 if style.pad else 1
    month = MONTHS[at.month - 1]
    spelled = {"Jan": month[:3].title(), "January": month.title(), "JAN": month[:3].upper()}
    parts = {
        "yyyy": f"{at.year:04d}",
        "yy": f"{at.year % 100:02d}",
        "mm": f"{at.month:0{pad}d}",
        "dd": f"{at.day:0{pad}d}",
        "Mon": spelled[style.mon],
    }
    if name == "ISO 8601":
        return f"{at:%Y-%m-%d}".replace("-", style.iso_sign)
    if name.startswith("yyyymmdd"):
        return f"{at:%Y%m%d}"
    if name == "Mon dd, yyyy":
        return f"{parts['Mon']} {parts['dd']}, {parts['yyyy']}"
    sign = next(sign for sign in "./-" if sign in name)
    return sign.join(parts[part] for part in name.split(sign))


def _clock(at: datetime, style: TimeStyle) -> str:
    pad = 2 if style.pad else 1
    hour = (at.hour % 12 or 12) if style.half else at.hour
    text = f"{hour:0{pad}d}:{at.minute:02d}"
    if style.seconds:
        text += f":{at.second:02d}"
        fraction = f"{style.decimal}{at.microsecond:06d}"[: 1 + style.digits]
        text += fraction if style.digits else ""
    return text + (f" {'AM' if at.hour < 12 else 'PM'}" if style.half else "")


def _offset(minutes: int, style: str) -> str:
    if style == "Z":
        return "Z"
    sign, size = "+" if minutes >= 0 else "-", abs(minutes)
    hours, rest = divmod(size, 60)
    return {
        "+00:00": f"{sign}{hours:02d}:{rest:02d}",
        "+0000": f"{sign}{hours:02d}{rest:02d}",
        "+00": f"{sign}{hours:02d}",
        "UTC+0": f" UTC{sign}{hours}",
    }[style]


Lines = tuple[list[str], list[str], list[list[str]]]
"""Names, units and rows."""


def _cell(cell: Decimal | str, dialect: Dialect) -> str:
    return number(cell, dialect) if isinstance(cell, Decimal) else cell


def _wide(table: Table, dialect: Dialect) -> Lines:
    names, units = list(table.tags), [["bar", "m³/h", "%"][k % 3] for k in range(len(table.tags))]
    place = dialect.time_place % (len(names) + 1)
    parts = ["Date", "Time"] if dialect.split else [dialect.time_name]
    names[place:place] = parts
    units[place:place] = ["" for _ in parts]
    rows = []
    for time_us, cells in zip(table.time_us, table.cells, strict=True):
        row = [_cell(cell, dialect) for cell in cells]
        stamp = time_text(time_us, dialect.time, dialect.zone_min)
        row[place:place] = _split(time_us, dialect) if dialect.split else [stamp]
        rows.append(row)
    return names, units, rows


def _split(time_us: int, dialect: Dialect) -> list[str]:
    at = EPOCH + timedelta(microseconds=time_us, minutes=dialect.zone_min)
    return [_date(at, dialect.time.format, dialect.time), _clock(at, dialect.time)]


def _code(table: Table, dialect: Dialect, row: int, k: int) -> list[str]:
    if dialect.codes is None:
        return []
    codes = CODES[dialect.codes][table.codes[row][k]]
    return [codes[row % len(codes)]]


def _long(table: Table, dialect: Dialect) -> Lines:
    names = ["Tagname", dialect.time_name, "Value", *([dialect.code_name] if dialect.codes else [])]
    order = [k for k in dialect.column_order if k < len(names)]
    pairs = [(row, k) for row in range(len(table.time_us)) for k in range(len(table.tags))]
    if dialect.by_tag:
        pairs.sort(key=lambda pair: pair[1])
    rows = []
    for row, k in pairs:
        stamp = time_text(table.time_us[row], dialect.time, dialect.zone_min)
        whole = [table.tags[k], stamp, _cell(table.cells[row][k], dialect)]
        whole += _code(table, dialect, row, k)
        rows.append([whole[place] for place in order])
    return [names[k] for k in order], [], rows


def _paired(table: Table, dialect: Dialect) -> Lines:
    names = [name for tag in table.tags for name in (f"{tag} {dialect.time_name}", tag)]
    rows = []
    for time_us, cells in zip(table.time_us, table.cells, strict=True):
        stamp = time_text(time_us, dialect.time, dialect.zone_min)
        rows.append([text for cell in cells for text in (stamp, _cell(cell, dialect))])
    return names, [], rows


def _one_tag(table: Table, dialect: Dialect, k: int) -> Lines:
    names = [dialect.time_name, "Value", *([dialect.code_name] if dialect.codes else [])]
    rows = [
        [
            time_text(time_us, dialect.time, dialect.zone_min),
            _cell(cells[k], dialect),
            *_code(table, dialect, row, k),
        ]
        for row, (time_us, cells) in enumerate(zip(table.time_us, table.cells, strict=True))
    ]
    return names, [], rows


def _text(names: list[str], units: list[str], rows: list[list[str]], dialect: Dialect) -> bytes:
    lines = [f"sep={dialect.separator}"] if dialect.sep_line else []
    lines += dialect.preamble
    lines += [_line(names, dialect)]
    if dialect.units and units:
        lines.append(_line(units, dialect))
        if dialect.descriptions:
            told = [f"Signal no. {k} of line 4" if unit else "" for k, unit in enumerate(units)]
            lines.append(_line(told, dialect))
    lines += [_line(row, dialect) for row in rows]
    text = dialect.end.join(lines) + (dialect.end if dialect.last_end else "")
    return text.encode(dialect.encoding)


def _line(cells: Sequence[str], dialect: Dialect) -> str:
    needed = (dialect.separator, '"', "\n")
    shown = [
        '"' + cell.replace('"', '""') + '"'
        if dialect.quote_all or any(sign in cell for sign in needed)
        else cell
        for cell in cells
    ]
    return dialect.separator.join([*shown, ""] if dialect.trailing else shown)


def check_codes() -> None:
    """Hold the table of codes against the systems that read them."""
    for system, qualities in CODES.items():
        for quality, codes in qualities.items():
            for text in codes:
                code = code_of(text)
                assert code is not None
                assert SYSTEMS[system].read(code) == quality, (system, text)


CALENDAR = [name for name in FORMATS if name.removesuffix(" with zone") not in SCALES]

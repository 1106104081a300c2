"""The first lines of a CSV file in, its dialect and its columns out: found, never assumed."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sensor_ad.errors import DataError
from sensor_ad.exports.cells import NULLS, NUMBERS
from sensor_ad.exports.columns import Column, NoRowsError, describe
from sensor_ad.exports.settings import SEPARATORS, ReadSettings
from sensor_ad.exports.tally import quoted
from sensor_ad.exports.text import find_encoding, lines_further_down, text_blocks
from sensor_ad.exports.times import (
    FORMATS,
    NOT_READ_YET,
    find_format,
)

PROBE_BYTES = 256 << 10
"""Looked at to find the dialect; fixed, so that the reading block has no say in it."""
PROBE_LINES = 1_000
"""At most; ten seconds of Python would be too long for a look."""
MOSTLY = 0.9
"""Share of lines that must have as many fields as the header."""

_DECIMALS = {sign: re.compile(rf"[+-]?\d+{re.escape(sign)}\d+([eE][+-]?\d+)?") for sign in ".,"}
_ANNOUNCED = re.compile(r'"?sep=([,;\t|])"?')
_GROUPS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+,\d+|[+-]?\d{1,3}(,\d{3})+\.\d+")


@dataclass(frozen=True)
class Dialect:
    """How one CSV file is written."""

    encoding: str
    separator: str
    decimal: str
    names: tuple[str, ...]
    """Column names as the header gives them, stripped; trailing ones may be empty."""
    header_line: int
    """Number of the header's line, counted from 1."""


Probe = list[tuple[int, str]]
"""The first lines that are not blank: (number, text)."""


def sniff(path: Path, settings: ReadSettings) -> tuple[Dialect, dict[str, Column]]:
    """Find the dialect of a CSV file and what its columns hold in the first lines.

    Raises
    ------
    DataError
        When the file has no table, or its dialect cannot be told for certain.
    """
    encoding, probe = _first_lines(path)
    if not probe:
        raise DataError(
            f"{path.name}: only blank lines, expected a header and rows: check the export."
        )
    announced = _ANNOUNCED.fullmatch(probe[0][1].strip())  # Excel's own first line
    probe = probe[1:] if announced else probe
    if len(probe) <= 1:
        raise NoRowsError(
            f"{path.name}: only one line with text, expected a header and rows: "
            "export a stretch of time that has data."
        )
    if probe[0][1].count('"') % 2:
        raise DataError(
            f"{path.name}, line {probe[0][0]}: a quote is opened and not closed in the header, "
            "expected the header in one line: export without line breaks in names."
        )
    given = settings.separator or (announced and announced[1])
    separator = given or _find_separator(path.name, probe)
    rows = [split_line(text, separator) for _, text in probe]
    names, rows = _header(path.name, probe, rows)
    decimal = settings.decimal or _find_decimal(path.name, probe, names, rows, separator)
    dialect = Dialect(encoding, separator, decimal, names, probe[0][0])
    lines = [number for (number, _), row in zip(probe[1:], rows, strict=True) if row]
    full = [row for row in rows if row]
    columns = [
        describe(
            name or _unnamed(position),
            position,
            [(line, row[position]) for line, row in zip(lines, full, strict=True)],
            decimal,
            unnamed=not name,
        )
        for position, name in enumerate(names)
    ]
    columns = _look_further(path, dialect, columns)
    return dialect, {c.name: c for c in columns if not (c.unnamed and c.first_line == 0)}


def _look_further(path: Path, dialect: Dialect, columns: list[Column]) -> list[Column]:
    """Look for numbers further down in columns that have none: a plant may have been shut down."""
    if not any(_without_values(column) for column in columns):
        return columns
    lines = lines_further_down(path, dialect.encoding)
    rows = [split_line(text, dialect.separator) for text in lines]
    rows = [row for row in rows if len(row) == len(dialect.names)]
    numbers = NUMBERS[dialect.decimal]
    return [
        replace(
            column,
            numbers=sum(
                row[column.position] not in NULLS
                and numbers.fullmatch(row[column.position]) is not None
                for row in rows
            ),
        )
        if _without_values(column)
        else column
        for column in columns
    ]


def _without_values(column: Column) -> bool:
    return column.texts > 0 and not (column.numbers or column.truths or column.time_format)


def split_line(text: str, separator: str) -> list[str]:
    """Split one line into its fields, stripped of blanks and quotes."""
    try:
        return [cell.strip() for cell in next(csv.reader([text], delimiter=separator), [])]
    except csv.Error:
        return []


def _first_lines(path: Path) -> tuple[str, Probe]:
    with path.open("rb") as file:
        encoding = find_encoding(file.read(PROBE_BYTES))
    lines: Probe = []
    taken = 0
    for block in text_blocks(path, encoding, PROBE_BYTES):
        if block.unfinished and len(lines) > 1:
            break  # it may be cut off: no witness
        texts = block.data.decode("utf-8", "replace").split("\n")
        lines += [(block.first_line + k, text) for k, text in enumerate(texts) if text.strip()]
        taken += len(block.data)
        if taken >= PROBE_BYTES:
            break
    return encoding, lines[: PROBE_LINES + 1]


def _find_separator(name: str, probe: Probe) -> str:
    """Return the separator under which most lines have as many fields as the header."""
    votes = []
    for separator in SEPARATORS:
        counts = [len(split_line(text, separator)) for _, text in probe]
        if counts[0] > 1:
            fits = np.mean([abs(count - counts[0]) <= 1 for count in counts[1:]])
            exact = np.mean([count == counts[0] for count in counts[1:]])
            votes.append(
                (bool(fits >= MOSTLY), _readable(probe, separator), exact, counts, separator)
            )
    if not votes:
        return _single_column(name, probe)
    most_fit, _, _, counts, separator = max(votes, key=lambda vote: vote[:3])
    if most_fit:
        return separator
    usual, _ = Counter(counts[1:]).most_common(1)[0]
    if usual == counts[0]:
        k = next(k for k, count in enumerate(counts) if count != usual)
        raise DataError(
            f"{name}, line {probe[k][0]}: {counts[k]} field{'s' * (counts[k] != 1)}, expected "
            f"{usual} as in the header: mend these lines or export again."
        )
    if separator == "," and usual > counts[0]:
        raise DataError(
            f"{name}: the header names {counts[0]} columns, but most lines hold {usual} fields, "
            "as if the comma were separator and decimal sign in one: export with another "
            "separator, with decimal points, or with quotes around the values."
        )
    raise DataError(
        f"{name}: the header (line {probe[0][0]}) has {counts[0]} fields, most lines have {usual}, "
        "expected as many as the header: remove lines above the header, or export a plain table."
    )


def _single_column(name: str, probe: Probe) -> str:
    """Return a sign that does not stand in a file of one column; refuse a title above a table."""
    for separator in SEPARATORS:
        counts = Counter(len(split_line(text, separator)) for _, text in probe[1:])
        usual, _ = counts.most_common(1)[0]
        if usual > 2 or (usual == 2 and separator != ","):  # 1,5 may be one value
            raise DataError(
                f"{name}, line {probe[0][0]}: {quoted(probe[0][1])} where the header was expected, "
                f"for most lines have {usual} fields: remove the lines above the header."
            )
    return next((sign for sign in SEPARATORS if not any(sign in t for _, t in probe)), ",")


def _readable(probe: Probe, separator: str) -> float:
    """Return the share of cells that are empty, numbers or times under a separator."""
    cells = [c for _, text in probe[1:200] for c in split_line(text, separator)]
    good = sum(_is_value(cell) for cell in cells)
    return good / max(len(cells), 1)


def _is_value(cell: str) -> bool:
    patterns = (*NUMBERS.values(), *FORMATS.values(), *NOT_READ_YET.values())
    return cell in NULLS or any(pattern.fullmatch(cell) for pattern in patterns)


def _header(
    name: str, probe: Probe, rows: list[list[str]]
) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return the column names and the rows; one empty field too many at the end is tolerated.

    A row with another number of fields comes back empty: no witness for what columns hold.
    """
    names, body = rows[0], rows[1:]
    widths = Counter(len(row) for row in body)
    usual, _ = widths.most_common(1)[0]
    ends_empty = all(row[-1] == "" for row in body if len(row) == usual)
    if usual == len(names) + 1 and ends_empty:
        names = [*names, ""]
    elif usual == len(names) - 1 and names[-1] == "":
        names = names[:-1]
    if usual != len(names):
        line = probe[1 + [len(row) for row in body].index(usual)][0]
        raise DataError(
            f"{name}, line {line}: {usual} field{'s' * (usual != 1)}, expected {len(names)} as in "
            "the header: mend the header, or export a plain table."
        )
    if all(map(_is_value, names)) or find_format(names[:1], FORMATS):
        raise DataError(
            f"{name}, line {probe[0][0]}: values where names were expected "
            f"({quoted(probe[0][1])}): add a header line with the names of the columns."
        )
    called = Counter(column or _unnamed(position) for position, column in enumerate(names))
    twice = [column for column, count in called.items() if count > 1]
    if twice:
        raise DataError(
            f"{name}: the header names {quoted(twice[0])} more than once, expected each column "
            "once: rename or remove the other."
        )
    return tuple(names), [row if len(row) == usual else [] for row in body]


def _unnamed(position: int) -> str:
    return f"column {position + 1}"


def _find_decimal(
    name: str, probe: Probe, names: tuple[str, ...], rows: list[list[str]], separator: str
) -> str:
    """Return the decimal sign of the first lines; the point where there is none to be seen."""
    seen: dict[str, str] = {}
    thousands_only = True
    for (number, _), row in zip(probe[1:], rows, strict=True):
        for column, cell in zip(names, row, strict=False):
            if "," not in cell and ("." not in cell or "." in seen):
                continue
            if _THOUSANDS.fullmatch(cell):
                raise DataError(
                    f"{name}, line {number}, column {quoted(column)}: {quoted(cell)} has a "
                    "thousands separator, expected plain numbers: export without thousands "
                    "separators."
                )
            for sign, pattern in _DECIMALS.items():
                if sign not in seen and pattern.fullmatch(cell):
                    seen[sign] = f"line {number}, column {quoted(column)}: {quoted(cell)}"
            if _DECIMALS[","].fullmatch(cell) and not _GROUPS.fullmatch(cell):
                thousands_only = False
    if len(seen) == 2:
        raise DataError(
            f"{name}: decimal point and decimal comma in one file ({seen['.']}; {seen[',']}), "
            "expected one of them: say which by data.decimal, or export anew."
        )
    if "," in seen and thousands_only:
        raise DataError(
            f"{name}, {seen[',']} may be a decimal comma or a thousands separator, and no other "
            "number here tells, expected numbers that can be read in one way: say by data.decimal."
        )
    return next(iter(seen), ".")

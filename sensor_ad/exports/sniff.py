"""The first lines of a table in, its dialect and its columns out: found, never assumed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sensor_ad.errors import DataError
from sensor_ad.exports.cells import NULLS
from sensor_ad.exports.columns import Column, NoRowsError, describe, time_formats_of
from sensor_ad.exports.header import Header, find_header, is_time, is_value
from sensor_ad.exports.layouts import QUALITY
from sensor_ad.exports.numbers import (
    MixedNumbersError,
    NumberEvidence,
    Signs,
    UndecidedNumbersError,
)
from sensor_ad.exports.preamble import MOST_PREAMBLE, header_place, width_above
from sensor_ad.exports.probe import Probe, check_cells, first_lines, split_line
from sensor_ad.exports.separators import (
    changed_width,
    find_separator,
    refuse_width,
    separator_across,
    usual_width,
)
from sensor_ad.exports.settings import SEPARATORS, ReadSettings
from sensor_ad.exports.tally import quoted
from sensor_ad.exports.text import lines_further_down
from sensor_ad.exports.times import sounds_like_time

_WHOLE = re.compile(r"^\d+(?=[.,]|$)")
"""The digits before the fraction."""
_ANNOUNCED = re.compile(r'"?sep=([,;\t|])"?')


@dataclass(frozen=True)
class Dialect:
    """How one text file is written."""

    encoding: str
    separator: str
    decimal: str
    names: tuple[str, ...]
    """Column names, stripped; those that the header leaves out are made."""
    header_line: int
    """Number of the header's line, counted from 1; 0 without a header."""
    skip_lines: int
    """Lines above the first row of data."""
    units: dict[str, str] = field(default_factory=dict)
    """Column -> unit, where the file gives them."""
    descriptions: dict[str, str] = field(default_factory=dict)
    """Column -> description, where the file gives them."""
    preamble: tuple[str, ...] = ()
    """The lines above the header."""
    thousands: str = ""
    spare: bool = False
    """Whether the last column has no name and is empty: lines end in a separator."""
    transposed: bool = False
    """Whether tags are lines and times columns."""
    looked_at: int = 0
    """Lines of the table that were looked at …"""
    fitting: int = 0
    """… and how many of them have as many fields as the header."""


def sniff(path: Path, settings: ReadSettings) -> tuple[Dialect, dict[str, Column]]:
    """Find the dialect of a text file and what its columns hold in the first lines.

    Raises
    ------
    DataError
        When the file has no table, or its dialect cannot be told for certain.
    """
    encoding, probe = first_lines(path, settings)
    if settings.transposed and settings.separator is None:
        settings = replace(settings, separator=separator_across(path, encoding, settings))
        encoding, probe = first_lines(path, settings)
    if not probe:
        raise DataError(
            f"{path.name}: only blank lines, expected a header and rows: check the export."
        )
    announced = _ANNOUNCED.fullmatch(probe[0][1].strip(" \r"))  # Excel's own first line
    probe = probe[1:] if announced else probe
    given = settings.separator or (announced and announced[1])
    check_cells(path.name, probe, [given] if given else SEPARATORS)
    if len(probe) <= settings.header:
        raise NoRowsError(
            f"{path.name}: only one line with text, expected a header and rows: "
            "export a stretch of time that has data."
        )
    separator = given or find_separator(path.name, probe)
    rows = [(number, split_line(text, separator)) for number, text in probe]
    start, width = _table_start(path.name, probe, rows, separator, settings.header)
    if settings.header and probe[start][1].count('"') % 2:
        raise DataError(
            f"{path.name}, line {probe[start][0]}: a quote is opened and not closed in the header, "
            "expected the header in one line: export without line breaks in names."
        )
    header = find_header(path.name, rows[start:], width, settings)
    _check_rows(path.name, header)
    above = [row for number, row in rows[start:] if number < header.rows[0][0]]
    header = replace(header, rows=[pair for pair in header.rows if pair[1] not in above])
    _check_rows(path.name, header)
    dialect = Dialect(
        encoding=encoding,
        separator=separator,
        decimal=settings.decimal or ".",
        names=header.names,
        header_line=header.line,
        skip_lines=header.rows[0][0] - 1,
        units=header.units,
        descriptions=header.descriptions,
        preamble=tuple(text for _, text in probe[:start]),
        spare=header.spare,
        transposed=settings.transposed,
        looked_at=len(header.rows),
        fitting=sum(len(row) == len(header.names) for _, row in header.rows),
    )
    signs = find_signs(path, header, dialect, settings)
    dialect = replace(dialect, decimal=signs.decimal, thousands=signs.thousands)
    columns = describe_all(header, signs)
    columns = _look_further(path, dialect, columns)
    return dialect, {c.name: c for c in columns if not (c.unnamed and c.first_line == 0)}


def _check_rows(name: str, header: Header) -> None:
    if not header.rows:
        raise NoRowsError(
            f"{name}: no row below the header in line {header.line}, expected rows: export a "
            "stretch of time that has data."
        )


def describe_all(header: Header, signs: Signs) -> list[Column]:
    """Say what each column holds in the first rows."""
    full = [(line, row) for line, row in header.rows if len(row) == len(header.names)]
    return [
        describe(
            name,
            position,
            [(line, row[position]) for line, row in full],
            signs,
            unnamed=position in header.unnamed,
        )
        for position, name in enumerate(header.names)
    ]


def _look_further(path: Path, dialect: Dialect, columns: list[Column]) -> list[Column]:
    """Look for numbers further down in columns that have none: a plant may have been shut down."""
    if not any(_without_values(column) for column in columns):
        return columns
    lines = lines_further_down(path, dialect.encoding)
    rows = [split_line(text, dialect.separator) for text in lines]
    rows = [row for row in rows if len(row) == len(dialect.names)]
    numbers = Signs(dialect.decimal, dialect.thousands).pattern
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
    return column.texts > 0 and not (column.numbers or column.truths or column.times)


def _first_line(rows: Sequence[tuple[int, list[str]]], counts: Sequence[int], usual: int) -> int:
    """Return the place of a table's first line, whether or not lines end in a separator.

    Above the first line of the usual width may stand rows, and above them a header, that have one
    field more or less; a line above a header is none of the table.
    """
    exact = start = counts.index(usual)
    while (
        start
        and _is_row(rows[start][1])
        and abs(counts[start - 1] - usual) <= 1 < counts[start - 1]
    ):
        start -= 1
    return start if start == 0 or not _is_row(rows[start][1]) else exact


def _is_row(cells: Sequence[str]) -> bool:
    """Say whether a line holds data and no names."""
    return any(map(is_time, cells)) or all(map(is_value, cells))


def _table_start(
    name: str,
    probe: Probe,
    rows: Sequence[tuple[int, list[str]]],
    separator: str,
    has_header: bool,
) -> tuple[int, int]:
    """Return the place of the table's first line, and its width; refuse what has no header."""
    counts = [len(row) for _, row in rows]
    usual = usual_width(counts)
    start = 0 if usual == 1 else _first_line(rows, counts, usual)
    if has_header and usual > 1:
        start = header_place(rows, start, usual)
    first = rows[start][1]
    above = start > 0 and counts[start - 1] > 1
    values = has_header and (all(map(is_value, first)) or (above and any(map(is_time, first))))
    if start > MOST_PREAMBLE:
        raise DataError(
            f"{name}, line {probe[start][0]}: the table begins below {start} lines of another "
            f"shape, expected at most {MOST_PREAMBLE}: remove them, or export a plain table."
        )
    if values and above:
        refuse_width(name, probe, counts, start, usual, separator)
    other = width_above(rows[:start])
    if other:
        raise changed_width(name, probe[start][0], usual, other)
    return start, usual


def find_signs(path: Path, header: Header, dialect: Dialect, settings: ReadSettings) -> Signs:
    """Find how numbers are written, from the first lines and from lines all over the file.

    Raises
    ------
    DataError
        They can be read in two ways, or are written in two.
    """
    evidence = NumberEvidence()
    if settings.decimal is not None:
        evidence.left = [signs for signs in evidence.left if signs.decimal == settings.decimal]
        if settings.thousands is None and settings.decimal is not None:
            evidence.left.sort(key=lambda signs: bool(signs.thousands))
    if settings.thousands is not None:
        evidence.left = [signs for signs in evidence.left if signs.thousands == settings.thousands]
    only = len(evidence.left) == 1
    width = len(header.names)
    full = [(number, row) for number, row in header.rows if len(row) == width]
    counted = set()
    for place, name in enumerate(header.names):
        first: dict[str, int] = {}
        for number, row in full:
            first.setdefault(row[place], number)
        if _counts_otherwise(name, [*first]):
            counted.add(place)
        for cell, number in first.items():
            if name.casefold() == "time_ms":
                break  # WinCC's day numbers have a comma of their own
            shown = _witness(cell, place in counted)
            evidence.add(shown, f", line {number}, column {quoted(name)}")
    try:
        return evidence.decide()
    except UndecidedNumbersError:
        for text in lines_further_down(path, dialect.encoding):
            row = split_line(text, dialect.separator)
            for place, cell in enumerate(row if len(row) == width else ()):
                evidence.add(_witness(cell, place in counted), "")
    except MixedNumbersError as fault:
        if settings.decimal is not None or only:
            return Signs(settings.decimal or ".", settings.thousands or "")  # reading refuses it
        raise _mixed(path.name, fault) from None
    try:
        return evidence.decide()
    except MixedNumbersError as fault:
        raise _mixed(path.name, fault) from None
    except UndecidedNumbersError as fault:
        if settings.decimal is not None:
            return Signs(settings.decimal)
        one, other = fault.readings
        ways = [f"{float(way.plain(fault.example)):g} with {way.told()}" for way in (one, other)]
        raise DataError(
            f"{path.name}{fault.where}: {quoted(fault.example)} is {ways[0]}, {ways[1]}, and no "
            "other number here tells, expected numbers that can be read in one way: say by "
            f'data.decimal = "{one.decimal}" or "{other.decimal}".'
        ) from None


def _counts_otherwise(name: str, cells: Sequence[str]) -> bool:
    """Say whether a column holds epochs, Excel's days or quality codes.

    These have no signs between thousands, whatever the values beside them.
    """
    numeric_time = sounds_like_time(name) and time_formats_of(cells, True, 0)
    return bool(numeric_time) or QUALITY.fullmatch(name.strip()) is not None


def _witness(cell: str, counts_otherwise: bool) -> list[str]:
    """Return what a cell says of how numbers are written: nothing, itself, or its fraction."""
    if is_time(cell):
        return []
    return [_WHOLE.sub("0", cell) if counts_otherwise else cell]


def _mixed(name: str, fault: MixedNumbersError) -> DataError:
    ways = [f"{quoted(cell)}{where}" for cell, where in (fault.one, fault.other)]
    return DataError(
        f"{name}: numbers are written in two ways ({'; '.join(ways)}), expected one decimal sign: "
        "say which by data.decimal, or export anew."
    )


__all__ = ["Dialect", "describe_all", "find_signs", "sniff"]

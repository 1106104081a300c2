"""The first rows of a table in, what its columns are called out: names, units, descriptions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from sensor_ad.errors import DataError
from sensor_ad.exports.cells import NULLS, NUMBERS
from sensor_ad.exports.columns import NAMED
from sensor_ad.exports.numbers import is_number
from sensor_ad.exports.settings import ReadSettings
from sensor_ad.exports.tally import quoted
from sensor_ad.exports.time_cells import LONGEST
from sensor_ad.exports.time_formats import TIME_OF_DAY, fields_of, formats_of

MOST_HEADER_ROWS = 3
"""Rows below the names that may tell units and descriptions."""
BODY_ROWS = 20
"""Rows that show what columns hold."""
UNIT = re.compile(r"[\[(]?\s*[^\s\d]\S{0,9}\s*[\])]?|-|1")
"""Most units are one short word."""
IN_NAME = re.compile(r"\[\s*([^\[\]]{1,12}?)\s*\]$")
"""A unit in brackets at the end of a name."""

Rows = Sequence[tuple[int, list[str]]]
"""Rows with the numbers of their lines."""


@dataclass(frozen=True)
class Header:
    """What the lines above the data say, and the rows below them."""

    names: tuple[str, ...]
    unnamed: frozenset[int]
    """Positions of columns that had no name and were given one."""
    line: int
    """Of the names; 0 where no line gives them."""
    units: dict[str, str]
    descriptions: dict[str, str]
    spare: bool
    """Whether the last column has no name and is empty: lines end in a separator."""
    rows: Rows
    """The first rows of data; those of another width than the table are no witness."""


def find_header(file: str, rows: Rows, width: int, settings: ReadSettings) -> Header:
    """Tell names, units and descriptions from data.

    Parameters
    ----------
    rows
        From the first line of the table on.
    width
        Fields of most rows.

    Raises
    ------
    DataError
        Names are missing, stand twice, or are as many as no row has fields.
    """
    line, first = rows[0]
    body = [row for _, row in rows[settings.header :] if len(row) == width]
    ends_empty = bool(body) and all(row[-1] == "" for row in body)
    if not settings.header:
        count = width - ends_empty
        names = list(settings.names) or [f"x{k + 1}" for k in range(count)]
        _check_count(file, names, count, line, settings)
        if ends_empty:
            names.append("")
        return _named(file, names, 0, {}, {}, rows, settings)
    names = list(first)
    if width == len(names) + 1 and ends_empty:
        names.append("")
    elif width == len(names) - 1 and names[-1] == "":
        names.pop()
    if width != len(names):
        line = next(number for number, row in rows[1:] if len(row) == width)
        raise DataError(
            f"{file}, line {line}: {width} field{'s' * (width != 1)}, expected {len(names)} as in "
            "the header: mend the header, or export a plain table."
        )
    if all(map(is_value, names)) or is_time(names[0]):
        raise DataError(
            f"{file}, line {line}: values where names were expected "
            f"({quoted(','.join(first))}): add a header line with the names of the columns, or "
            "set data.header = false."
        )
    if settings.names:
        _check_count(file, settings.names, len([n for n in names if n]), line, settings)
        names[: len(settings.names)] = settings.names
    below = _header_rows(rows[1:], width)
    units, descriptions = _units(names, [row for _, row in rows[1 : 1 + below]])
    return _named(file, names, line, units, descriptions, rows[1 + below :], settings)


def is_value(cell: str) -> bool:
    """Say whether a cell is empty, a number or a time."""
    return cell in NULLS or is_number(cell) or _is_number_word(cell) or is_time(cell)


def _is_number_word(cell: str) -> bool:
    return len(cell) <= LONGEST and any(p.fullmatch(cell) for p in NUMBERS.values())


def is_time(cell: str) -> bool:
    """Say whether a cell looks like a time of any format, or like a time of day."""
    return len(cell) <= LONGEST and _is_time_look(cell.translate(_LOOK))


@lru_cache(maxsize=65_536)
def _is_time_look(look: str) -> bool:
    look = look.strip().lower()
    if _PLAIN_NUMBER.fullmatch(look):
        return False  # a number, unless the column's name says otherwise: 12.30 is no time of day
    dated = any(found.scale is None for found in formats_of(look))
    return dated or fields_of(TIME_OF_DAY, look) is not None


_PLAIN_NUMBER = re.compile(r"0+(?:[.,]0*)?")
_BRACKETS = re.compile(r"\[[^\[\]]*\]|\([^()]*\)")
_LOOK = str.maketrans("123456789", "0" * 9)


def _named(
    file: str,
    names: list[str],
    line: int,
    units: dict[str, str],
    descriptions: dict[str, str],
    rows: Rows,
    settings: ReadSettings,
) -> Header:
    """Give names to columns without, and refuse names that stand twice."""
    unnamed = frozenset(k for k, name in enumerate(names) if not name)
    called = [name or f"{NAMED}{k + 1}" for k, name in enumerate(names)]
    count, folded = Counter(called), Counter(name.casefold() for name in called)
    twice = [name for name in called if count[name] > 1]
    if twice:
        raise DataError(
            f"{file}: the header names {quoted(twice[0])} more than once, expected each column "
            "once: rename or remove the other, or name all columns by data.names."
        )
    alike = [name for name in called if folded[name.casefold()] > 1]
    if alike and not settings.names:
        raise DataError(
            f"{file}: the header names {quoted(alike[0])} and {quoted(alike[1])}, which differ by "
            "case only, expected names that historians tell apart: rename or remove one, or name "
            "all columns by data.names."
        )
    for name in called:
        found = IN_NAME.search(name)
        if found and name not in units:
            units[name] = found[1]
    full = [row for _, row in rows if len(row) == len(names)]
    spare = not names[-1] and not any(row[-1] for row in full)
    return Header(tuple(called), unnamed, line, units, descriptions, spare, rows)


def _check_count(
    file: str, names: Sequence[str], count: int, line: int, settings: ReadSettings
) -> None:
    if len(names) != count:
        raise DataError(
            f"{file}, line {line}: {count} columns, but data.names gives {len(names)} names, "
            "expected one for each column: correct data.names."
        )


def _header_rows(rows: Rows, width: int) -> int:
    """Return how many rows below the names hold units or descriptions.

    Such a row has texts over columns of numbers or times, and neither number nor time itself; or
    all its texts are in brackets, and none below: units of digital tags.
    """
    body = [row for _, row in rows if len(row) == width]
    count = 0
    while count < min(MOST_HEADER_ROWS, len(body) - 1):
        row, rest = body[count], body[count + 1 : count + 1 + BODY_ROWS]
        texts = [k for k, cell in enumerate(row) if cell not in NULLS]
        over = [k for k in texts if any(_is_datum(other[k]) for other in rest)]
        if not texts or any(_is_datum(row[k]) for k in texts):
            break
        if len(over) < len(texts) / 2 and not _in_brackets(row, rest):
            break
        if rows[count][1] is not row:  # a line of another width between them
            break
        count += 1
    return count


def _in_brackets(row: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Say whether all texts of a row are in brackets, and none of the rows below it."""
    texts = [cell for cell in row if cell not in NULLS]
    below = any(_BRACKETS.fullmatch(cell) for other in rest for cell in other)
    return bool(rest) and not below and all(map(_BRACKETS.fullmatch, texts))


def _is_datum(cell: str) -> bool:
    return cell not in NULLS and is_value(cell)


def _units(
    names: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[dict[str, str], dict[str, str]]:
    """Tell units, which are short words, from descriptions."""
    units: dict[str, str] = {}
    descriptions: dict[str, str] = {}
    for row in rows:
        given = {
            name: cell for name, cell in zip(names, row, strict=True) if name and cell not in NULLS
        }
        short = sum(UNIT.fullmatch(cell) is not None for cell in given.values())
        into = units if not units and short >= 0.6 * len(given) else descriptions
        into.update(
            {name: cell.strip("[]() ") if into is units else cell for name, cell in given.items()}
        )
    return units, descriptions

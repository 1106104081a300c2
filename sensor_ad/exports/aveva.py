"""A file that AVEVA (Wonderware) Historian imports in, its one section out.

Above the rows stand the encoding, the separator, and a line such as `User,1,Server Local,10,0`.
A row is tag, operation, date, time, value type, value and quality. Only what is certain is read:
local times, rows that insert one value. Files whose lines begin with `:(Entity)` describe tags and
hold no values. Sources: AVEVA Historian, "Format the CSV file for a normal import" and "… for a
fast load import"; what public programs write for it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from sensor_ad.errors import DataError
from sensor_ad.exports.columns import NoRowsError
from sensor_ad.exports.header import Header
from sensor_ad.exports.layouts import Layout, TimeColumns
from sensor_ad.exports.probe import Probe, split_line
from sensor_ad.exports.sectioned import TO_THE_END, Constant, Section
from sensor_ad.exports.settings import SEPARATORS, ReadSettings
from sensor_ad.exports.sniff import Dialect, describe_all, find_signs
from sensor_ad.exports.tables import Table
from sensor_ad.exports.tally import Tally, quoted

WHAT = "import file of AVEVA Historian"
ENCODINGS = ("ASCII", "UNICODE", "UTF-8")
NAMES = ("tag", "operation", "date", "time", "value type", "value", "quality")
LOCAL = ["1", "Server Local"]
"""Second and third field of the third line: times are local ones of the server."""
TAB = "\t"

_ENTITY = re.compile(r'"?:(\(\w+\)|mode\s*=)', re.IGNORECASE)
_PLAIN = (
    "remove the first three lines and read it as a plain table (data.header = false, data.names, "
    "data.time_column)"
)


def find(
    path: Path, encoding: str, probe: Probe, settings: ReadSettings, tally: Tally
) -> list[Section] | None:
    """Return the section of an import file of AVEVA Historian, None when it is none."""
    if not probe:
        return None
    name = path.name
    if _ENTITY.match(probe[0][1]):
        raise DataError(
            f"{name}, line {probe[0][0]}: {quoted(probe[0][1])} begins a configuration of AVEVA "
            "Historian, which describes tags and holds no values, expected an export of data: "
            "export the history of the tags."
        )
    lines, first = dict(probe), probe[0][0]
    separator = lines.get(first + 1, TAB).strip(" ")  # a tab alone is a blank line of the probe
    third = lines.get(first + 2, "")
    if probe[0][1].strip().upper() not in ENCODINGS or separator not in SEPARATORS:
        return None
    if first + 1 not in lines and TAB not in third:
        return None
    _check_head(f"{name}, line {first + 2}", third, separator)
    rows = [(line, split_line(text, separator)) for line, text in probe if line > first + 2]
    if not rows:
        raise NoRowsError(
            f"{name}: an import file of AVEVA Historian without rows, expected rows: export a "
            "stretch of time that has data."
        )
    number, row = rows[0]
    if len(row) != len(NAMES):
        raise DataError(
            f"{name}, line {number}: {len(row)} fields, expected {len(NAMES)} "
            f"({', '.join(NAMES)}): write one inserted value a line; updates of periods and "
            "several values a line are not read."
        )
    header = Header(NAMES, frozenset(), 0, {}, {}, False, rows)
    dialect = Dialect(encoding, separator, ".", NAMES, 0, first + 2)
    signs = find_signs(path, header, dialect, settings)
    dialect = replace(dialect, decimal=signs.decimal, thousands=signs.thousands)
    columns = {column.name: column for column in describe_all(header, signs)}
    said = settings.encoding is not None
    zero = Constant(("0",), "0", f"other rows are not certain to be values as they were; {_PLAIN}")
    return [
        Section(
            what=WHAT,
            table=Table(path, path.stat().st_size, dialect, columns, said, headers=()),
            first_line=dialect.skip_lines + 1,
            last_line=TO_THE_END,
            layout=Layout(
                "long", TimeColumns("date", "time"), "tag", "value", "quality", evidence=WHAT
            ),
            constants={"operation": zero, "value type": zero},
        )
    ]


def _check_head(where: str, text: str, separator: str) -> None:
    """Refuse a third line that does not say for certain which times the rows have."""
    cells = split_line(text, separator)
    if len(cells) != 5 or cells[1:3] != LOCAL:
        raise DataError(
            f"{where}: {quoted(text)}, expected user, 1, Server Local and two numbers as in an "
            "import file of AVEVA Historian with local times: write it like that, or "
            f"{_PLAIN}."
        )

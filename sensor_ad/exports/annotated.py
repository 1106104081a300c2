"""An annotated CSV file of InfluxDB in, its tables out: one section for each run of equal columns.

A table has annotations (`#datatype`, `#group`, `#default`), a header and rows, all with an empty
first field where no annotation stands. Tables that follow one another with the same annotations and
header are one section, in which these lines count for nothing. Source: InfluxDB, "Annotated CSV",
docs.influxdata.com/influxdb/v2/reference/syntax/annotated-csv.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sensor_ad.errors import DataError
from sensor_ad.exports.columns import NAMED, Column, NoRowsError
from sensor_ad.exports.layouts import Layout, TimeColumns
from sensor_ad.exports.probe import Probe, split_line
from sensor_ad.exports.sectioned import Lines, Section, check_count, scan
from sensor_ad.exports.settings import ReadSettings
from sensor_ad.exports.sniff import Dialect
from sensor_ad.exports.tables import Table
from sensor_ad.exports.tally import Tally, quoted
from sensor_ad.records import Ints

WHAT = "annotated CSV of InfluxDB"
TIME, VALUE = "_time", "_value"
TIME_FORMATS = {
    "dateTime:RFC3339": "ISO 8601 with zone",
    "dateTime:RFC3339Nano": "ISO 8601 with zone",
    "dateTime:number": "epoch ns",
}
NUMBERS = ("double", "long", "unsignedLong")
DATATYPES = (*TIME_FORMATS, *NUMBERS, "boolean", "string", "duration", "base64Binary")
ANNOTATIONS = ("#datatype", "#group", "#default")
NO_PART = ("result", "table", VALUE)
"""Columns that hold no part of a series' name."""
ERROR_LENGTH = 200
"""Characters of an error's text that are shown."""

_BEGIN = re.compile(r"#(datatype|group|default)(,|$)|,?error,reference\s*$")
_NO_BYTES = (ord("#"), ord(","), ord("\n"))


def find(
    path: Path, encoding: str, probe: Probe, settings: ReadSettings, tally: Tally
) -> list[Section] | None:
    """Return the sections of an annotated CSV file, None when it is none."""
    if not probe or not _BEGIN.match(probe[0][1]):
        return None
    said = settings.encoding is not None
    tables = _Tables(Table(path, path.stat().st_size, _dialect(encoding, (), 0), {}, said))
    for lines in scan(path, encoding, said):
        tables.look(lines)
    return tables.finish(tally)


@dataclass(frozen=True)
class _Schema:
    """What the annotations and the header of a table say."""

    key: tuple[bytes, ...]
    """Their lines, as they stand."""
    section: Section
    """Without place and rows."""


class _Tables:
    """Finds the tables of one file, block by block."""

    def __init__(self, table: Table):
        self.table, self.name = table, table.path.name
        self.sections: list[Section] = []
        self.rows: list[int] = []
        self.last_lines: list[int] = []
        self.schema: _Schema | None = None
        """Of the table that is open."""
        self.pending: dict[str, tuple[int, bytes]] = {}
        """Annotations whose header was not met: their lines, with numbers."""
        self.after_blank, self.after_mark = True, False
        self.error: int | None = None
        """Line of the header of an error table whose text stands in the next block."""

    def look(self, lines: Lines) -> None:
        """Look at the next block."""
        if self.error is not None:
            raise self._error(self.error, lines.read(0))
        marks, blank = lines.firsts == ord("#"), lines.firsts == ord("\n")
        others = ~np.isin(lines.firsts, _NO_BYTES)
        after_mark = np.concatenate([[self.after_mark], marks[:-1]])
        after_blank = np.concatenate([[self.after_blank], blank[:-1]])
        self.after_mark, self.after_blank = bool(marks[-1]), bool(blank[-1])
        special = np.flatnonzero(marks | others | after_mark | (after_blank & ~blank))
        rows = np.flatnonzero(lines.firsts == ord(","))
        begin = 0
        for k in map(int, special):
            self._take_rows(lines, rows[begin : np.searchsorted(rows, k)])
            begin = int(np.searchsorted(rows, k, side="right"))
            self._line(lines, k)
        self._take_rows(lines, rows[begin:])

    def finish(self, tally: Tally) -> list[Section]:
        """Return the sections that hold rows."""
        if self.error is not None:
            raise self._error(self.error, "")
        if self.pending:
            raise self._unclosed(min(line for line, _ in self.pending.values()), "the file ends")
        sections = [
            replace(section, last_line=last_line)
            for section, last_line, rows in zip(
                self.sections, self.last_lines, self.rows, strict=True
            )
            if rows
        ]
        if not sections:
            raise NoRowsError(
                f"{self.name}: {WHAT} without a row, expected tables with rows: export a stretch "
                "of time that has data."
            )
        empty = len(self.sections) - len(sections)
        if empty:
            tally.note(f"{self.name}: {empty} table{'s' * (empty > 1)} without rows skipped")
        return sections

    def _take_rows(self, lines: Lines, rows: Ints | list[int]) -> None:
        """Add rows to the table that is open."""
        if self.schema is not None and len(rows):
            self.rows[-1] += len(rows)
            self.last_lines[-1] = lines.number(int(rows[-1]))

    def _line(self, lines: Lines, k: int) -> None:
        """Take a line that may be something other than a row."""
        line = lines.text.data[lines.starts[k] : lines.ends[k]]
        number = lines.number(k)
        if line.startswith(b"#"):
            self._annotation(line, number)
        elif not line.strip():
            if self.pending:
                raise self._unclosed(number, "a blank line follows")
        elif _is_error(line):
            if k + 1 == len(lines.starts):
                self.error = number
            else:
                raise self._error(number, lines.read(k + 1))
        elif self.pending:
            self._header(line, number)
        elif not line.startswith(b","):
            raise DataError(
                f"{self.name}, line {number}: {quoted(lines.read(k))}, expected a row, which "
                "begins with a comma, or an annotation: mend this line; texts must not hold line "
                "breaks."
            )
        elif line.startswith(b",result,table,") and not self._is_header(line):
            raise DataError(
                f"{self.name}, line {number}: a header without annotations, expected #datatype "
                "above it as in the other tables: export with annotations, or as plain CSV."
            )
        elif not self._is_header(line):
            self._take_rows(lines, [k])

    def _is_header(self, line: bytes) -> bool:
        return self.schema is not None and line == self.schema.key[-1]

    def _annotation(self, line: bytes, number: int) -> None:
        kind = line.split(b",", 1)[0].decode("utf-8", "replace").strip()
        if kind not in ANNOTATIONS:
            raise DataError(
                f"{self.name}, line {number}: annotation {quoted(kind)}, expected "
                f"{', '.join(ANNOTATIONS)} as InfluxDB writes: export by a query, not as a file "
                "for 'influx write'."
            )
        if kind in self.pending:
            raise self._unclosed(self.pending[kind][0], f"{kind} follows again")
        self.pending[kind] = (number, line)

    def _header(self, line: bytes, number: int) -> None:
        """Open a table, or go on with the last one when it has the same columns."""
        key = (*(text for _, text in self.pending.values()), line)
        if self.schema is None or self.schema.key != key:
            texts = {kind: text.decode("utf-8", "replace") for kind, (_, text) in
                     self.pending.items()}  # fmt: skip
            cells = {kind: split_line(text, ",") for kind, text in texts.items()}
            header = split_line(line.decode("utf-8", "replace"), ",")
            self.schema = _Schema(key, self._section(header, cells, line, number))
            self.sections.append(self.schema.section)
            self.rows.append(0)
            self.last_lines.append(number)
            check_count(self.name, len(self.sections))
        self.pending = {}

    def _section(
        self, header: list[str], cells: dict[str, list[str]], line: bytes, number: int
    ) -> Section:
        where = f"{self.name}, line {number}"
        if "#datatype" not in cells:
            raise DataError(
                f"{where}: a table without #datatype, expected the types of its columns: export "
                "with all annotations."
            )
        for kind, given in cells.items():
            if len(given) != len(header):
                raise DataError(
                    f"{where}: {len(header)} fields in the header, {len(given)} in {kind}, "
                    "expected as many: export the file again."
                )
        if header[0] or len({*header}) < len(header):
            raise DataError(
                f"{where}: header {quoted(','.join(header))}, expected an empty first field and "
                "each column once: export the file again."
            )
        types = dict(zip(header[1:], cells["#datatype"][1:], strict=True))
        self._check_types(where, types)
        parts = tuple(n for n, kind in types.items() if kind == "string" and n not in NO_PART)
        if not parts:
            raise DataError(
                f"{where}: no column names the series (none of texts), expected _measurement, "
                "_field or a tag: keep one of them in the query."
            )
        names = (f"{NAMED}1", *header[1:])
        defaults = cells.get("#default", [""] * len(header))
        return Section(
            what=WHAT,
            table=replace(
                self.table,
                dialect=_dialect(self.table.dialect.encoding, names, number),
                columns=_columns(types, number + 1),
                headers=(line,),
            ),
            first_line=number + 1,
            last_line=number,
            layout=Layout(
                "long", TimeColumns(TIME), value=VALUE, evidence=WHAT, tag_parts=parts
            ),
            time_format=TIME_FORMATS[types[TIME]],
            marks=b"#",
            header_below_marks=True,
            defaults={n: text for n, text in zip(header, defaults, strict=True) if n and text},
        )  # fmt: skip

    def _check_types(self, where: str, types: dict[str, str]) -> None:
        """Refuse columns that cannot be read as one value a row."""
        for name, kind in types.items():
            if kind not in DATATYPES:
                raise DataError(
                    f"{where}: column {quoted(name)} is of type {quoted(kind)}, expected one of "
                    f"{', '.join(DATATYPES)}: export by a query, not as a file for 'influx write'."
                )
        for name, remedy in {
            TIME: "keep the times (window aggregates with createEmpty do, mean() alone does not)",
            VALUE: "query without pivot(), or export as plain CSV",
        }.items():
            if name not in types:
                raise DataError(
                    f"{where}: no column {name} among {', '.join(map(quoted, types))}, expected a "
                    f"time and a value in each row: {remedy}."
                )
        if types[TIME] not in TIME_FORMATS:
            raise DataError(
                f"{where}: column {TIME} is of type {quoted(types[TIME])}, expected one of "
                f"{', '.join(TIME_FORMATS)}: keep the times in the query."
            )
        if types[VALUE] not in (*NUMBERS, "boolean", "string"):
            raise DataError(
                f"{where}: column {VALUE} is of type {quoted(types[VALUE])}, expected numbers, "
                "truths or texts: leave these series out of the query, or turn them into numbers."
            )

    def _error(self, number: int, line: str) -> DataError:
        texts = [cell for cell in split_line(line, ",") if cell]
        shown = (texts[0] if texts else "no text")[:ERROR_LENGTH]
        return DataError(
            f"{self.name}, line {number}: an error that InfluxDB wrote in place of a table "
            f"({shown!r}), expected rows: mend the query and export again."
        )

    def _unclosed(self, number: int, why: str) -> DataError:
        return DataError(
            f"{self.name}, line {number}: annotations without a header below them ({why}), "
            "expected a header and rows: the file is cut off or damaged; export it again."
        )


def _is_error(line: bytes) -> bool:
    return line.strip().removeprefix(b",") == b"error,reference"


def _dialect(encoding: str, names: tuple[str, ...], header_line: int) -> Dialect:
    return Dialect(encoding, ",", ".", names, header_line, header_line)


def _columns(types: dict[str, str], first_line: int) -> dict[str, Column]:
    """Return the columns as their types describe them; nothing of the rows is looked at."""
    return {
        name: Column(
            name=name,
            position=position,
            numbers=int(kind in NUMBERS),
            truths=int(kind == "boolean"),
            texts=int(kind not in (*NUMBERS, "boolean")),
            first_cell="",
            first_line=first_line,
            times=(TIME_FORMATS[kind],) if kind in TIME_FORMATS else (),
        )
        for position, (name, kind) in enumerate(types.items(), start=1)
    }

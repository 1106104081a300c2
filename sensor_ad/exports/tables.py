"""A CSV file in, blocks of times and values out.

Each block of whole lines is parsed by itself (Arrow, several threads). A block that is not plain
numbers is parsed again as text, so that one bad cell costs one block and not the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from sensor_ad.errors import DataError
from sensor_ad.exports.blocks import (
    EMPTY,
    Block,
    Plan,
    Where,
    bad_time,
    matrix,
    row_times,
    utc_times,
    without_absurd,
)
from sensor_ad.exports.cells import NULLS, read_cells
from sensor_ad.exports.columns import Column
from sensor_ad.exports.sniff import Dialect, split_line
from sensor_ad.exports.tally import Tally, quoted
from sensor_ad.exports.text import TextBlock, open_quote_line, text_blocks
from sensor_ad.exports.times import ARROW_TYPES, BadTimeError, parse_times, stamps_us
from sensor_ad.records import Bools, Floats, Ints

RAGGED_SHARE = 1e-3
"""Share of rows with a wrong number of fields that is dropped and counted, not refused."""
ARROW_BLOCK_BYTES = 1 << 20
"""Pieces of a block that Arrow's threads parse; half and twice as much were no faster."""
RAGGED, CUT_OFF = "wrong number of fields", "cut off at the end of the file"


@dataclass(frozen=True)
class Table:
    """One CSV file that was looked at."""

    path: Path
    size: int
    """Bytes."""
    dialect: Dialect
    columns: dict[str, Column]


@dataclass(frozen=True)
class _Parsed:
    """One block after Arrow: its columns by name, and where its rows stand."""

    table: Any
    """None when no row is left."""
    rows: int
    """In the block, dropped ones included."""
    ordinals: Ints
    """(T,) which of these rows are in the table."""


class TableReader:
    """Reads one CSV file once; remembers which columns need to be read as text."""

    def __init__(self, source: Table, plan: Plan, tally: Tally, first_row: int):
        self.source, self.plan, self.tally = source, plan, tally
        self.name = source.path.name
        self.first_row = first_row
        """Rows in the files before this one, for times made from row numbers."""
        self.rows = 0
        """Rows met so far, dropped ones included."""
        self.ragged = 0
        self.first_ragged = ""
        self.as_text = {tag for tag, truths in plan.tags.items() if truths}
        self.time_format = ""
        if plan.time_column is not None:
            self.time_format = source.columns[plan.time_column].time_format or ""

    def blocks(self) -> Iterator[Block]:
        """Yield the rows of the file, in file order."""
        dialect = self.source.dialect
        texts = text_blocks(
            self.source.path, dialect.encoding, self.plan.block_bytes, dialect.header_line
        )
        for text in texts:
            yield self._block(text)
        if self.ragged > RAGGED_SHARE * self.rows:
            raise DataError(
                f"{self.first_ragged}, expected {len(dialect.names)} as in the header "
                f"({self.ragged} of {self.rows} rows are like that): mend these lines or export "
                "again."
            )

    def _block(self, text: TextBlock) -> Block:
        self._check(text)
        if text.unfinished and self._is_cut_off(text):
            self.rows += 1
            self.tally.rows_in += 1
            self.tally.dropped[CUT_OFF] += 1
            return self._no_rows(text)
        try:
            table = self._arrow(text.data, self.as_text, ARROW_BLOCK_BYTES)
            parsed = _Parsed(table, len(table), np.arange(len(table)))
        except pa.ArrowInvalid:
            parsed = self._parse_slowly(text)
        self.tally.rows_in += parsed.rows
        block = self._convert(text, parsed) if len(parsed.ordinals) else self._no_rows(text)
        self.rows += parsed.rows
        return block

    def _check(self, text: TextBlock) -> None:
        line = open_quote_line(text)
        if line is not None and not text.unfinished:
            raise DataError(
                f"{self.name}, line {line}: a quote is opened and not closed, expected both in "
                "one line: remove it, or export without line breaks in texts."
            )
        if b"\0" in text.data:
            line = text.first_line + text.data[: text.data.index(b"\0")].count(b"\n")
            raise DataError(
                f"{self.name}, line {line}: NUL bytes, expected text: the file is damaged or "
                "binary; copy or export it again."
            )

    def _no_rows(self, text: TextBlock) -> Block:
        nothing = np.empty(0, dtype=np.int64)
        return Block(
            self.name, nothing, np.empty((0, len(self.plan.tags))), nothing, text.bytes_read
        )

    def _is_cut_off(self, text: TextBlock) -> bool:
        """Say whether the file ends within a row."""
        dialect = self.source.dialect
        fields = [len(split_line(line, dialect.separator)) for _, line in _numbered(text, 1)]
        return open_quote_line(text) is not None or fields[-1] < len(dialect.names)

    def _arrow(self, data: bytes, as_text: set[str], piece_bytes: int) -> Any:
        """Parse whole lines in pieces; columns come by name."""
        dialect, time = self.source.dialect, self.plan.time_column
        wanted = [*self.plan.tags] + ([] if time is None else [time])
        positions = {name: str(self.source.columns[name].position) for name in wanted}
        types = {positions[name]: pa.float64() for name in self.plan.tags}
        if time is not None:
            types[positions[time]] = ARROW_TYPES.get(self.time_format, pa.string())
        types |= {positions[name]: pa.string() for name in as_text}
        table = pacsv.read_csv(
            pa.py_buffer(data),
            read_options=pacsv.ReadOptions(
                column_names=[str(k) for k in range(len(dialect.names))],
                block_size=piece_bytes,
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=dialect.separator, ignore_empty_lines=len(dialect.names) > 1
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=types,
                include_columns=list(positions.values()),
                null_values=list(NULLS),
                decimal_point=dialect.decimal,
            ),
        )
        return table.rename_columns(wanted)

    def _parse_slowly(self, text: TextBlock) -> _Parsed:
        """Parse a block that is not plain: without its ragged lines, and as text if need be."""
        data, rows, ordinals = self._without_ragged(text)
        if not data:
            return _Parsed(None, rows, ordinals)
        try:
            table = self._arrow(data, self.as_text, ARROW_BLOCK_BYTES)
            return _Parsed(table, rows, ordinals)
        except pa.ArrowInvalid:
            everything = {*self.plan.tags, self.plan.time_column or ""} - {""}
            table = self._arrow(data, everything, max(len(data), 1))  # a line may be long
        for name in table.column_names:
            is_time = name == self.plan.time_column
            if not _casts(table[name], ARROW_TYPES.get(self.time_format) if is_time else None):
                self.as_text.add(name)
        return _Parsed(table, rows, ordinals)

    def _without_ragged(self, text: TextBlock) -> tuple[bytes, int, Ints]:
        """Return the lines with the right number of fields, how many rows there were, and which."""
        separator, width = self.source.dialect.separator, len(self.source.dialect.names)
        kept, ordinals, rows = [], [], 0
        for number, line in _numbered(text, width):
            plain = '"' not in line
            fields = line.count(separator) + 1 if plain else len(split_line(line, separator))
            if fields == width:
                kept.append(line)
                ordinals.append(rows)
            else:
                self.tally.dropped[RAGGED] += 1
                self.ragged += 1
                said = f"{self.name}, line {number}: {fields} field{'s' * (fields != 1)}"
                self.first_ragged = self.first_ragged or said
            rows += 1
        return "".join(f"{line}\n" for line in kept).encode(), rows, np.array(ordinals, np.int64)

    def _convert(self, text: TextBlock, parsed: _Parsed) -> Block:
        """Turn the columns of a block into times and values."""
        table, where = parsed.table, self._where(text, parsed.ordinals)
        columns = [self._numbers(tag, table[tag], where) for tag in self.plan.tags]
        values = matrix(columns, len(table))
        values = without_absurd(values, [*self.plan.tags], self.name, where, self.tally)
        ordinals = parsed.ordinals + self.rows
        if self.plan.time_column is None:
            time_us = row_times(ordinals + self.first_row, self.plan)
            return Block(self.name, time_us, values, ordinals + 1, text.bytes_read)
        stamps = table[self.plan.time_column].combine_chunks()
        empty = _empty(stamps)
        if empty.any():
            self._check_empty(empty, values, where)
            kept = np.flatnonzero(~empty)
            stamps, values, ordinals = stamps.filter(~empty), values[kept], ordinals[kept]
            where = self._where(text, parsed.ordinals[kept])
        time_us = self._times(stamps, where)
        return Block(self.name, time_us, values, ordinals + 1, text.bytes_read)

    def _where(self, text: TextBlock, ordinals: Ints) -> Where:
        """Return what says the line of a row; lines are only counted when one is asked for."""

        def where(k: int) -> str:
            lines = _numbered(text, len(self.source.dialect.names))
            return f"line {next(islice(lines, int(ordinals[k]), None))[0]}"

        return where

    def _check_empty(self, empty: Bools, values: Floats, where: Where) -> None:
        """Drop rows without time when nothing stands in them, refuse them otherwise."""
        lost = np.flatnonzero(empty & np.isfinite(values).any(axis=1))
        if len(lost):
            raise bad_time(self.name, where(int(lost[0])), "", self.time_format)
        self.tally.dropped[EMPTY] += int(empty.sum())

    def _times(self, stamps: Any, where: Where) -> Ints:
        if pa.types.is_timestamp(stamps.type):
            time_us = stamps_us(stamps)
        else:
            try:
                time_us = parse_times(stamps, self.time_format)
            except BadTimeError as fault:
                text = stamps[fault.index].as_py()
                raise bad_time(self.name, where(fault.index), text, self.time_format) from None
        return utc_times(time_us, self.time_format, self.plan, self.name, where, self.tally)

    def _numbers(self, tag: str, column: Any, where: Where) -> Floats:
        """Return a tag's column as numbers; what is none is counted."""
        if pa.types.is_floating(column.type):
            return column.to_numpy()  # type: ignore[no-any-return]
        decimal = self.source.dialect.decimal
        cells = read_cells(column.combine_chunks(), decimal, self.plan.tags[tag])
        if cells.other_sign is not None:
            raise DataError(
                f"{self.name}, {where(cells.other_sign)}, column {quoted(tag)}: "
                f"{quoted(column[cells.other_sign].as_py())}, expected '{decimal}' as the decimal "
                "sign: say the right one by data.decimal, or export anew."
            )
        if cells.bad.any():
            first = int(np.flatnonzero(cells.bad)[0])
            self.tally.not_numbers[tag] += int(cells.bad.sum())
            key = ("not a number", tag)
            if key not in self.tally.firsts:
                shown = quoted(column[first].as_py().strip())
                self.tally.firsts[key] = f"{shown} in {self.name}, {where(first)}"
        return cells.values


def _numbered(text: TextBlock, width: int) -> Iterator[tuple[int, str]]:
    """Yield the lines that are rows, with their numbers."""
    lines = text.data.decode("utf-8", "replace").split("\n")
    if not text.unfinished:
        lines.pop()
    for number, line in enumerate(lines, text.first_line):
        if line.strip() or width == 1:  # in a single column, a blank line is a missing value
            yield number, line


def _empty(stamps: Any) -> Bools:
    """Return where no time stands."""
    if pa.types.is_timestamp(stamps.type):
        missing = pc.is_null(stamps)
    else:
        missing = pc.is_in(pc.utf8_trim_whitespace(stamps), value_set=pa.array(NULLS))
    flags: Bools = missing.to_numpy(zero_copy_only=False)
    return flags


def _casts(column: Any, stamp_type: Any) -> bool:
    """Say whether Arrow's own reader would take these texts."""
    given = pc.if_else(pc.is_in(column, value_set=pa.array(NULLS)), None, column)
    try:
        given.cast(stamp_type or pa.float64())
    except pa.ArrowInvalid:
        return False
    return True

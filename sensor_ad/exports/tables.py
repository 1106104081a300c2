"""A text file in, blocks of its columns out.

Each block of whole lines is parsed by itself (Arrow, several threads). A block that is not plain
numbers is parsed again as text, so that one bad cell costs one block and not the file.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from sensor_ad.errors import DataError
from sensor_ad.exports.blocks import Columns, Wanted, Where
from sensor_ad.exports.cells import NULLS, NUMBERS
from sensor_ad.exports.columns import Column
from sensor_ad.exports.encodings import FALLBACK, FALLBACK_NOTE
from sensor_ad.exports.fields import row_lines
from sensor_ad.exports.reshape import real_separator, table_blocks
from sensor_ad.exports.sieve import Shape, Sieve
from sensor_ad.exports.sniff import Dialect
from sensor_ad.exports.tally import Tally
from sensor_ad.exports.text import TextBlock, count_lines, text_blocks
from sensor_ad.records import Ints

PLAIN_BLOCKS = 4
"""A column without a bad cell in so many blocks is read as numbers again."""
HEAD_BYTES = 1 << 16
"""Read at a time to find the header's line again."""
ARROW_BLOCK_BYTES = 1 << 20
"""Pieces of a block that Arrow's threads parse; half and twice as much were no faster."""


@dataclass(frozen=True)
class Table:
    """One text file that was looked at."""

    path: Path
    size: int
    """Bytes."""
    dialect: Dialect
    columns: dict[str, Column]
    encoding_said: bool = False
    """Whether the user said the encoding."""
    headers: tuple[bytes, ...] | None = None
    """Lines above the rows (UTF-8, no line end) where they are known; None: looked for again."""


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
    """Reads one text file once; remembers which columns need to be read as text.

    `time` is the column of the time and the name of its format.
    """

    def __init__(
        self,
        source: Table,
        wanted: Wanted,
        time: tuple[str, str] | None,
        block_bytes: int,
        tally: Tally,
    ):
        self.source, self.wanted, self.block_bytes, self.tally = source, wanted, block_bytes, tally
        self.name = source.path.name
        self.rows = 0
        """Rows met so far, dropped ones included."""
        self.plain_blocks: Counter[str] = Counter()
        """Column read as text -> blocks on end in which it was what was wanted."""
        self.as_text = {name for name, kind in wanted.items() if kind == pa.string()}
        self.time = None if time is None else time[0]
        dialect = source.dialect
        self.sieve = Sieve(
            Shape(
                name=self.name,
                separator=real_separator(dialect.separator),
                width=len(dialect.names),
                spare=dialect.spare,
                time_position=None if time is None else source.columns[time[0]].position,
                time_format="" if time is None else time[1],
                headers=_header(source) if source.headers is None else source.headers,
            ),
            tally,
        )

    def blocks(self, texts: Iterable[TextBlock] | None = None) -> Iterator[Columns]:
        """Yield the columns wanted, block by block, in file order.

        `texts` are the lines of the table where it is one of several in its file.
        """
        source, dialect = self.source, self.source.dialect
        if texts is None:
            texts = table_blocks(
                source.path,
                dialect.encoding,
                dialect.separator,
                dialect.transposed,
                self.block_bytes,
                dialect.skip_lines,
                source.encoding_said,
            )
        encoding = dialect.encoding
        for text in texts:
            encoding = text.encoding
            yield self._block(text)
        if encoding == FALLBACK and not source.encoding_said:
            self.tally.note(FALLBACK_NOTE)
        self.sieve.finish()
        size = source.path.stat().st_size
        if size != source.size:
            raise DataError(
                f"{self.name}: {source.size} bytes when it was opened, {size} when it was read, "
                "expected a file that is finished: wait until it is written, then start again."
            )

    def _block(self, text: TextBlock) -> Columns:
        parsed = self._parse(text)
        self.tally.rows_in += parsed.rows
        table = parsed.table
        if table is None:
            kinds = self.wanted.items()
            table = pa.table({name: pa.array([], kind) for name, kind in kinds})
        elif self.as_text:
            table = self._as_wanted(table)
        where = self._where(text, parsed.ordinals)
        block = Columns(self.name, table, parsed.ordinals + self.rows, where, text.bytes_read)
        self.rows += parsed.rows
        return block

    def _parse(self, text: TextBlock) -> _Parsed:
        """Parse a block: at once when it is plain, else without what is no row."""
        if not self.sieve.suspects(text, self._is_guarded(), self.time in self.as_text):
            try:
                table = self._arrow(text.data, self.as_text, ARROW_BLOCK_BYTES)
                if self._is_one_row_a_line(text.data, len(table)):
                    self.sieve.passed(len(table))
                    return _Parsed(table, len(table), np.arange(len(table)))
            except pa.ArrowInvalid:
                pass
        sifted = self.sieve.sift(text)
        table = self._arrow_or_text(sifted.data) if sifted.data else None
        return _Parsed(table, sifted.rows, sifted.ordinals)

    @staticmethod
    def _is_one_row_a_line(data: bytes, rows: int) -> bool:
        """Say whether no quote stays open: it would swallow the lines that follow it."""
        quotes = data.count(b'"')
        lines = count_lines(data) + (not data.endswith(b"\n")) if quotes else rows
        return quotes % 2 == 0 and rows == lines

    def _arrow_or_text(self, data: bytes) -> Any:
        """Parse rows; a column that is not plain is read as text from now on."""
        try:
            return self._arrow(data, self.as_text, ARROW_BLOCK_BYTES)
        except pa.ArrowInvalid:
            table = self._arrow(data, {*self.wanted}, max(len(data), 1))  # a line may be long
        for name, kind in self.wanted.items():
            if _cast(table[name], kind) is None:
                self.as_text.add(name)
        return table

    def _as_wanted(self, table: Any) -> Any:
        """Give columns that were read as text the type wanted where this block allows it.

        After some such blocks a column is read at once in that type again: that is faster.
        """
        for place, (name, kind) in enumerate(self.wanted.items()):
            own = pa.types.is_string(kind) or not pa.types.is_string(table[name].type)
            if own or (pa.types.is_floating(kind) and self.source.dialect.decimal != "."):
                continue
            column = _cast(table[name], kind)
            if column is None:
                self.plain_blocks[name] = 0
                continue
            table = table.set_column(place, name, column)
            self.plain_blocks[name] += 1
            if self.plain_blocks[name] >= PLAIN_BLOCKS:
                self.as_text.discard(name)
                self.plain_blocks[name] = 0
        return table

    def _is_guarded(self) -> bool:
        """Say whether a column is read as numbers or times, so that other lines stand out."""
        numbers = NUMBERS[self.source.dialect.decimal]
        return any(
            name not in self.as_text and name not in NULLS and not numbers.fullmatch(name)
            for name in self.wanted
        )

    def _arrow(self, data: bytes, as_text: set[str], piece_bytes: int) -> Any:
        """Parse whole lines in pieces; columns come by name."""
        dialect = self.source.dialect
        positions = {name: str(self.source.columns[name].position) for name in self.wanted}
        types = {positions[name]: kind for name, kind in self.wanted.items()}
        types |= {positions[name]: pa.string() for name in as_text}
        if data.startswith(codecs.BOM_UTF8):
            data = codecs.BOM_UTF8 + data  # Arrow takes one away; the file's own is gone by now
        table = pacsv.read_csv(
            pa.py_buffer(data),
            read_options=pacsv.ReadOptions(
                column_names=[str(k) for k in range(len(dialect.names))],
                block_size=piece_bytes,
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=real_separator(dialect.separator),
                ignore_empty_lines=len(dialect.names) > 1,
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=types,
                include_columns=list(positions.values()),
                null_values=list(NULLS),
                decimal_point=dialect.decimal,
            ),
        )
        return table.rename_columns([*self.wanted])

    def _where(self, text: TextBlock, ordinals: Ints) -> Where:
        """Return what says the line of a row; lines are only counted when one is asked for."""
        dialect = self.source.dialect

        def where(k: int) -> str:
            lines = row_lines(text, real_separator(dialect.separator), len(dialect.names))
            return f"line {lines[ordinals[k]]}"

        return where


def _header(source: Table) -> tuple[bytes, ...]:
    """Return the lines of names, units and descriptions as they stand in the file, in UTF-8."""
    dialect = source.dialect
    named = dialect.header_line and not dialect.transposed
    wanted = range(dialect.header_line, dialect.skip_lines + 1) if named else ()
    found: list[bytes] = []
    blocks = text_blocks(source.path, dialect.encoding, HEAD_BYTES, said=source.encoding_said)
    for text in blocks:
        lines = text.lines()
        found += [line for k, line in enumerate(lines, text.first_line) if k in wanted]
        if text.first_line + len(lines) > dialect.skip_lines:
            break
    return tuple(line for line in found if line.strip())


def _cast(column: Any, kind: Any) -> Any:
    """Return a column of texts in another type; None where Arrow's own reader would not take it."""
    given = pc.if_else(pc.is_in(column, value_set=pa.array(NULLS)), None, column)
    try:
        return given.cast(kind)
    except pa.ArrowInvalid:
        return None

"""A sheet of a workbook in, what its columns hold and blocks of them out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from sensor_ad.errors import DataError
from sensor_ad.exports.blocks import Columns, Wanted, Where
from sensor_ad.exports.columns import Column, NoRowsError
from sensor_ad.exports.excel import excel_table, find_sheet, first_rows
from sensor_ad.exports.header import Header, find_header
from sensor_ad.exports.numbers import Signs
from sensor_ad.exports.probe import PROBE_LINES
from sensor_ad.exports.settings import ReadSettings
from sensor_ad.exports.sniff import describe_all
from sensor_ad.exports.tally import Tally

LEAST_SHARE = 0.5
"""Share of a table's columns that the line of names has at least."""


@dataclass(frozen=True)
class Book:
    """One sheet that was looked at."""

    path: Path
    size: int
    """Bytes."""
    sheet: str
    header: Header
    skip_rows: int
    """Rows of the sheet above the first row of data."""
    columns: dict[str, Column]


def sniff_book(path: Path, settings: ReadSettings, tally: Tally) -> Book:
    """Find the table of a workbook, and what its columns hold in the first rows.

    Raises
    ------
    DataError
        There is no table, or several.
    """
    sheet = find_sheet(path, settings.sheet, tally)
    rows = first_rows(path, sheet, PROBE_LINES)
    width = max((len(row) for row in rows), default=0)
    numbered = [(k, row + [""] * (width - len(row))) for k, row in enumerate(rows, 1) if any(row)]
    start = next(
        (k for k, (_, row) in enumerate(numbered) if _filled(row) >= max(2, LEAST_SHARE * width)), 0
    )
    if len(numbered) - start <= settings.header:
        raise NoRowsError(
            f"{path.name}: sheet {sheet!r} has no rows below its header, expected a table: export "
            "a stretch of time that has data."
        )
    try:
        header = find_header(f"{path.name}, sheet {sheet!r}", numbered[start:], width, settings)
    except IndexError:
        raise DataError(
            f"{path.name}: sheet {sheet!r} has no table, expected a header and rows: name the "
            "sheet by data.sheet."
        ) from None
    columns = {c.name: c for c in describe_all(header, Signs())}
    kept = {name: c for name, c in columns.items() if not (c.unnamed and c.first_line == 0)}
    return Book(path, path.stat().st_size, sheet, header, header.rows[0][0] - 1, kept)


def book_columns(book: Book, wanted: Wanted, tally: Tally) -> Iterator[Columns]:
    """Yield the columns wanted as texts, in pieces, in the order of the sheet."""
    table = excel_table(book.path, book.sheet, book.skip_rows, tally)
    batches = table.to_batches()
    done = 0
    for number, batch in enumerate(batches):
        size = len(batch)
        arrays = []
        for name in wanted:
            place = str(book.columns[name].position)
            there = place in batch.schema.names
            arrays.append(batch.column(place) if there else pa.array([""] * size, pa.string()))
        read = book.size * (number + 1) // len(batches) - book.size * number // len(batches)
        tally.rows_in += size
        ordinals = np.arange(done, done + size)
        where = _row_number(book.skip_rows + done)
        yield Columns(book.path.name, pa.table(arrays, [*wanted]), ordinals, where, read)
        done += size


def _filled(row: list[str]) -> int:
    return sum(bool(cell) for cell in row)


def _row_number(above: int) -> Where:
    return lambda k: f"row {above + k + 1}"

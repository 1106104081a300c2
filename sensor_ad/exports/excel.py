"""An Excel workbook in, the cells of one sheet as texts out, as a text file would have them.

Formulas give the values that Excel stored with them; nothing is calculated. Read by openpyxl: of
100,000 x 20 cells it takes 7.3 s and 33 MiB, python-calamine 1.4 s and 148 MiB. But calamine gives
an error (#REF!) and a formula without a stored value as an empty text, and a plant must be told of
both; openpyxl keeps errors, streams, and needs no compiled wheel.
"""

from __future__ import annotations

import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree.ElementTree import ParseError

import pyarrow as pa

from sensor_ad.errors import DataError, UsageError
from sensor_ad.exports.columns import NoRowsError
from sensor_ad.exports.tally import Tally, quoted
from sensor_ad.exports.workbooks import Remarks, check_workbook, remarks

FULL_SHEET = 1_048_576
"""Rows of a sheet; an export that has exactly as many had more."""
MOST_CELLS = 100_000_000
"""Rows times columns of a sheet, blank cells too: a full sheet of about 100 columns."""
BLOCK_ROWS = 10_000
PROBE_ROWS = 200
"""Rows that are looked at to tell a table from notes."""
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    ParseError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What openpyxl raises for files that are damaged, or that other programs write in their own way:
it does not check, but goes on until something breaks. Only its own calls stand under this."""

Rows = list[list[str]]


def find_sheet(path: Path, sheet: str | None, tally: Tally | None = None) -> str:
    """Return the name of the sheet that is to be read.

    Parameters
    ----------
    path
        A workbook (.xlsx, .xlsm).
    sheet
        Its name, if the user said it; None: the only visible sheet with a table.
    tally
        Takes notes: hidden sheets, merged cells, formulas without a stored value.

    Raises
    ------
    DataError
        When the workbook cannot be read, has no table, or several and nobody said which.
    UsageError
        When what Excel needs is not installed.
    """
    check_workbook(path)
    with _opened(path) as book:
        visible = [found.title for found in book.worksheets if found.sheet_state == "visible"]
        hidden = [found.title for found in book.worksheets if found.sheet_state != "visible"]
        if sheet is None:
            name = _only_table(path, book, visible, tally)
            if hidden and tally is not None:
                tally.note(
                    f"{path.name}: hidden sheet{'s' * (len(hidden) > 1)} "
                    f"{', '.join(map(quoted, hidden))} not read"
                )
        elif sheet in (*visible, *hidden):
            name = sheet
        else:
            raise DataError(
                f"{path.name}: no sheet {quoted(sheet)}, which data.sheet names, among "
                f"{', '.join(map(quoted, (*visible, *hidden)))}: correct data.sheet."
            )
        part = book[name]._worksheet_path
    if tally is not None:
        _tell(path.name, name, remarks(path, part), tally)
    return name


def first_rows(path: Path, sheet: str, n: int) -> Rows:
    """Return the first rows of a sheet, blank ones too, as texts (`workbook_rows`)."""
    rows: Rows = []
    for block in workbook_rows(path, sheet, min(n, BLOCK_ROWS)):
        rows += block
        if len(rows) >= n:
            break
    return rows[:n]


def excel_table(path: Path, sheet: str, skip_rows: int, tally: Tally | None = None) -> pa.Table:
    """Read a sheet below its first rows.

    Parameters
    ----------
    path
        A workbook that `find_sheet` accepted.
    sheet
        Name of the sheet.
    skip_rows
        Rows above the first row that is wanted: title, header, units.
    tally
        Takes a note when the sheet is full to its last row.

    Returns
    -------
    (T, columns) texts as of `workbook_rows`, in chunks; columns are named by their positions from
    "0" on. Row k stands in row `skip_rows + k + 1` of the sheet; blank rows within are rows, those
    at the end are not.
    """
    tables: list[pa.Table] = []
    done, width = 0, 0
    for block in workbook_rows(path, sheet):
        wanted = block[max(0, skip_rows - done) :]
        done += len(block)
        width = max([width, *map(len, wanted)])
        tables.append(_table(wanted, max([0, *map(len, wanted)])))
    if done >= FULL_SHEET and tally is not None:
        tally.note(
            f"{path.name}: sheet {quoted(sheet)} is full to its last row ({FULL_SHEET}), so that "
            "the export is probably cut off: export less at once"
        )
    whole = [_widened(table, width) for table in tables if table.num_rows]
    return pa.concat_tables(whole) if whole else _table([], 0)


def workbook_rows(path: Path, sheet: str, block_rows: int = BLOCK_ROWS) -> Iterator[Rows]:
    """Yield the rows of a sheet in blocks, each row as texts up to its last cell that holds one.

    Numbers come in the shortest form that gives the same number again (Python's repr), dates as
    2026-01-31 23:59:00 or with milliseconds, times of day as 23:59:00, spans as hours 36:00:00,
    truths as true and false, errors as Excel's own words, blank cells as empty texts. Rows that
    are blank to the end of the sheet are left out.

    Raises
    ------
    DataError
        When the workbook is damaged or the sheet is larger than a sheet can be.
    """
    blank = 0  # rows of which nobody knows yet whether something follows
    done, width = 0, 0
    with _opened(path) as book:
        found = book[sheet]
        found.reset_dimensions()  # some programs write wrong ones, and rows beyond would be lost
        rows = found.iter_rows(values_only=True)
        while cells := _next_rows(path.name, rows, block_rows):
            block = [_texts(row) if row else [] for row in cells]
            done, width = done + len(block), max(width, *map(len, block))
            if done > FULL_SHEET or done * width > MOST_CELLS:
                raise DataError(
                    f"{path.name}: sheet {quoted(sheet)} has {done} rows of {width} columns or "
                    f"more, expected at most {FULL_SHEET} rows and {MOST_CELLS} cells: export it "
                    "as CSV or Parquet."
                )
            last = next((k for k in range(len(block), 0, -1) if block[k - 1]), 0)
            if last:
                yield [[] for _ in range(blank)] + block[:last]
                blank = 0
            blank += len(block) - last


def _openpyxl() -> ModuleType:
    try:
        import openpyxl
    except ImportError:
        raise UsageError(
            "Excel workbooks need a package that is not installed, expected openpyxl: "
            "pip install 'sensor-ad[excel]', or export as CSV or Parquet."
        ) from None
    module: ModuleType = openpyxl
    return module


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    openpyxl = _openpyxl()
    with path.open("rb") as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of styles and forms that we have no use for
                book = openpyxl.load_workbook(
                    file, read_only=True, data_only=True, keep_links=False
                )
        except _DAMAGE as fault:
            raise _damaged(path.name, fault) from None
        yield book


def _next_rows(name: str, rows: Iterator[tuple[Any, ...]], count: int) -> list[tuple[Any, ...]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # dates beyond the calendar, which come as #VALUE!
            return list(islice(rows, count))
    except _DAMAGE as fault:
        raise _damaged(name, fault) from None


def _only_table(path: Path, book: Any, visible: Sequence[str], tally: Tally | None) -> str:
    """Return the only sheet with a table; where there are several, the only one with numbers."""
    tables, numeric = [], []
    for name in visible:
        found = book[name]
        found.reset_dimensions()
        rows = _next_rows(path.name, found.iter_rows(values_only=True), PROBE_ROWS)
        full = [row for row in rows if sum(cell is not None for cell in row) > 1]
        if len(full) > 1:
            tables.append(name)
            if any(isinstance(cell, int | float | date) for row in full for cell in row):
                numeric.append(name)
    if len(tables) > 1 and len(numeric) == 1:
        others = [name for name in tables if name not in numeric]
        if tally is not None:
            tally.note(
                f"{path.name}: read sheet {quoted(numeric[0])}; no numbers in "
                f"{', '.join(map(quoted, others))}"
            )
        return numeric[0]
    if len(tables) == 1:
        return tables[0]
    if not tables:
        raise NoRowsError(
            f"{path.name}: no visible sheet with a table ({', '.join(map(quoted, visible))}), "
            "expected a header and rows: export a stretch of time that has data, or name a hidden "
            "sheet by data.sheet."
        )
    raise DataError(
        f"{path.name}: {len(tables)} sheets hold tables ({', '.join(map(quoted, tables))}), "
        f'expected one: say which by data.sheet = "{tables[0]}".'
    )


def _tell(name: str, sheet: str, seen: Remarks, tally: Tally) -> None:
    if seen.merged:
        cells = f"{seen.merged} merged cell{'s' * (seen.merged > 1)}"
        tally.note(
            f"{name}: sheet {quoted(sheet)} has {cells} (first: {seen.first_merged}); the value of "
            "each counts for its first cell only"
        )
    if seen.without_value:
        formulas = f"{seen.without_value} formula{'s' * (seen.without_value > 1)}"
        tally.note(
            f"{name}: sheet {quoted(sheet)} has {formulas} without a stored value "
            f"(first: {seen.first_without_value}), treated as missing: open it in Excel, let it "
            "calculate, and save it"
        )


def _texts(row: tuple[Any, ...]) -> list[str]:
    """Return the cells of a row as texts, without blank ones at its end."""
    texts = [_text(cell) for cell in row]
    while texts and not texts[-1]:
        texts.pop()
    return texts


def _text(cell: Any) -> str:
    kind = type(cell)
    if kind is float or kind is int:
        return repr(cell)
    if cell is None:
        return ""
    if kind is str:
        return cell  # type: ignore[no-any-return]
    if kind is bool:
        return "true" if cell else "false"
    if isinstance(cell, datetime):
        return cell.isoformat(" ", "milliseconds" if cell.microsecond else "seconds")
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return _span(cell)
    return str(cell)


def _span(span: timedelta) -> str:
    """Write a span as Excel shows it: hours beyond 24, minutes, seconds."""
    seconds, sign = abs(span).total_seconds(), "-" if span < timedelta() else ""
    whole = int(seconds)
    part = f"{seconds - whole:.3f}"[1:] if seconds != whole else ""
    return f"{sign}{whole // 3_600}:{whole // 60 % 60:02d}:{whole % 60:02d}{part}"


def _table(rows: Rows, width: int) -> pa.Table:
    columns = [[row[k] if k < len(row) else "" for row in rows] for k in range(width)]
    names = [str(k) for k in range(width)]
    return pa.table([pa.array(column, pa.string()) for column in columns], names)


def _widened(table: pa.Table, width: int) -> pa.Table:
    blank = pa.repeat(pa.scalar("", pa.string()), table.num_rows)
    for k in range(table.num_columns, width):
        table = table.append_column(str(k), blank)
    return table


def _damaged(name: str, fault: Exception) -> DataError:
    said = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
    return DataError(
        f"{name}: the workbook cannot be read ({quoted(said)}), expected one as Excel saves it: "
        "open it in Excel and save it again, or export as CSV or Parquet."
    )

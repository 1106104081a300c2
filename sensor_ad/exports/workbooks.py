"""A file that looks like a workbook in; refused, or known to be one of bearable size.

Works on the bytes of the archive, before anything that parses is let at them, and finds what
openpyxl does not tell: merged cells, and formulas that no program has calculated yet.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sensor_ad.errors import DataError
from sensor_ad.exports.containers import is_complete

MOST_BYTES = 4 << 30
"""Of all parts, unpacked; a full sheet of 100 columns takes about 3 GiB."""
MOST_TEXT_BYTES = 256 << 20
"""Of each part but the sheets (texts, styles), unpacked: they are held in memory."""
MOST_RATIO, RATIO_BYTES = 200, 64 << 20
"""Unpacked bytes for each packed one, and from which size on that counts; sheets reach 5 to 30."""
MOST_PARTS = 10_000
CHUNK_BYTES = 1 << 20
LONGEST_ROW = 64 << 20

_OLE = b"\xd0\xcf\x11\xe0"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, ValueError)

_NO_VALUE = re.compile(
    rb"[<:]f(?:\s[^>]*)?(?:/>|(?<!/)>[^<]*</(?:\w+:)?f>)\s*"
    rb"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)
"""A formula and the end of its cell, with nothing in between."""
_MERGED = re.compile(rb'[<:]mergeCell\s[^>]*?ref="([A-Z]{1,3}\d{1,7}:[A-Z]{1,3}\d{1,7})"')
_NAME = re.compile(rb'\sr="([A-Z]{1,3}\d{1,7})"')
_CELL = re.compile(rb"[<:]c[\s>]")


@dataclass(frozen=True)
class Remarks:
    """What is to be told of a sheet."""

    merged: int
    first_merged: str
    """As A1:C1."""
    without_value: int
    """Formulas whose value no program has stored."""
    first_without_value: str
    """As D3."""


def check_workbook(path: Path) -> None:
    """Refuse what is no workbook of Excel 2007 or later, and what would unpack without end.

    Raises
    ------
    DataError
        Saying what the file is, and what to do.
    """
    with path.open("rb") as file:
        head = file.read(4)
    if head == _OLE:
        raise _ole(path)
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            if not is_complete(path, len(parts)):
                raise zipfile.BadZipFile("its directory is not whole")
            _check_kind(path.name, {part.filename for part in parts})
            _check_sizes(path.name, parts)
            for part in parts:
                # Opening compares the names that the directory and the part itself give: a part
                # under a damaged name would be taken for one that is not there.
                with archive.open(part) as opened:
                    if part.filename.endswith((".xml", ".rels")):
                        _check_doctype(path.name, part.filename, opened.read(1_024))
    except _DAMAGE as fault:
        said = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        raise DataError(
            f"{path.name}: a damaged workbook ({said}), expected one that can be unpacked: copy or "
            "export it again."
        ) from None


def remarks(path: Path, part: str) -> Remarks:
    """Look through the bytes of a sheet for what its values do not show.

    Parameters
    ----------
    path
        The workbook.
    part
        The sheet's name in the archive: xl/worksheets/sheet1.xml.
    """
    merged: list[str] = []
    empty: list[str] = []
    merged_count = empty_count = 0
    try:
        with zipfile.ZipFile(path) as archive:
            for rows in _whole_rows(path.name, archive, part.lstrip("/")):
                for match in _NO_VALUE.finditer(rows):
                    cell = _cell(rows, match.start())
                    if b't="str"' not in cell:  # an empty text is a value
                        empty_count += 1
                        name = _NAME.search(cell)
                        empty = empty or [name[1].decode() if name else "?"]
                for match in _MERGED.finditer(rows):
                    merged_count += 1
                    merged = merged or [match[1].decode()]
    except (*_DAMAGE, KeyError) as fault:
        raise DataError(
            f"{path.name}: a damaged workbook ({fault}), expected one that can be unpacked: copy "
            "or export it again."
        ) from None
    return Remarks(merged_count, "".join(merged), empty_count, "".join(empty))


def _whole_rows(name: str, archive: zipfile.ZipFile, part: str) -> Iterator[bytes]:
    """Yield the text of a sheet in pieces that end where a row or a merged cell ends."""
    rest = b""
    with archive.open(part) as opened:
        while chunk := opened.read(CHUNK_BYTES):
            rest += chunk
            end = max(rest.rfind(b"row>"), rest.rfind(b"<mergeCell ")) + 4
            if end >= 4:
                yield rest[: end - 4] + (b"row>" if rest[end - 4 : end] == b"row>" else b"")
                rest = rest[end - 4 :]
            if len(rest) > LONGEST_ROW:
                raise DataError(
                    f"{name}: a row of more than {LONGEST_ROW >> 20} MiB, expected less: export "
                    "it as CSV or Parquet."
                )
    yield rest


def _cell(rows: bytes, formula: int) -> bytes:
    """Return the opening tag of the cell in which a formula stands."""
    before = rows[max(0, formula - 500) : formula]
    starts = [match.start() for match in _CELL.finditer(before)]
    return before[starts[-1] :].split(b">")[0] if starts else b""


def _ole(path: Path) -> DataError:
    """Tell a workbook with a password from an old one; both are of the same container."""
    before = b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            before += chunk
            if _ENCRYPTED in before:
                return DataError(
                    f"{path.name}: a workbook with a password, expected one without: open it in "
                    "Excel, remove the password (File, Info, Protect Workbook), and save it."
                )
            before = before[-len(_ENCRYPTED) :]
    return DataError(
        f"{path.name}: a workbook of Excel 97 to 2003 (.xls), expected .xlsx, CSV or Parquet: open "
        "it in Excel and save it as .xlsx."
    )


def _check_kind(name: str, parts: set[str]) -> None:
    if "xl/workbook.xml" in parts or any(part.startswith("xl/worksheets/") for part in parts):
        return
    what, remedy = "a ZIP archive without a workbook", "unpack it"
    if "xl/workbook.bin" in parts:
        what, remedy = "a binary workbook (.xlsb)", "save it as .xlsx"
    elif "content.xml" in parts:
        what, remedy = "an OpenDocument file", "save it as .xlsx"
    raise DataError(f"{name}: {what}, expected .xlsx, CSV or Parquet: {remedy}.")


def _check_sizes(name: str, parts: list[zipfile.ZipInfo]) -> None:
    total = sum(part.file_size for part in parts)
    if len(parts) > MOST_PARTS or total > MOST_BYTES:
        raise DataError(
            f"{name}: a workbook of {len(parts)} parts and {total >> 20} MiB unpacked, expected at "
            f"most {MOST_PARTS} parts and {MOST_BYTES >> 20} MiB: export less at once, or as CSV "
            "or Parquet."
        )
    seen: set[str] = set()
    for part in parts:
        if part.filename in seen:
            raise DataError(
                f"{name}: the workbook holds {part.filename} twice, expected each part once: open "
                "it in Excel and save it again."
            )
        seen.add(part.filename)
        if part.flag_bits & 1:
            raise DataError(
                f"{name}: the workbook's archive is encrypted, expected one without a password: "
                "save it without."
            )
        blown_up = part.file_size > MOST_RATIO * max(part.compress_size, 1)
        if blown_up and part.file_size > RATIO_BYTES:
            raise DataError(
                f"{name}: {part.filename} unpacks from {part.compress_size} bytes to "
                f"{part.file_size >> 20} MiB, as if made to fill the memory; expected at most "
                f"{MOST_RATIO} times: export it as CSV or Parquet."
            )
        is_sheet = part.filename.startswith("xl/worksheets/")
        if part.file_size > MOST_TEXT_BYTES and not is_sheet:
            raise DataError(
                f"{name}: {part.filename} takes {part.file_size >> 20} MiB unpacked, expected at "
                f"most {MOST_TEXT_BYTES >> 20} MiB: export it as CSV or Parquet."
            )


def _check_doctype(name: str, part: str, head: bytes) -> None:
    """Refuse a part that defines entities, which no spreadsheet program writes."""
    if b"<!DOCTYPE" in head or b"<!ENTITY" in head:
        raise DataError(
            f"{name}: {part} begins with a DOCTYPE, as if made to do harm; expected one as Excel "
            "saves it: open it in Excel and save it again."
        )

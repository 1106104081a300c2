"""Paths that the user gives in, files that can be read out."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from sensor_ad.errors import DataError
from sensor_ad.exports.tally import Tally, quoted

SUFFIXES = (".csv", ".txt", ".tsv", ".parquet")
TEMPORARY = (".tmp", ".part", ".partial", ".crdownload", ".swp", "~")

MAGIC = {
    b"PK\x03\x04": ("an Excel workbook or a ZIP archive", "save it as CSV or unpack it"),
    b"\x1f\x8b": ("a gzip archive", "unpack it"),
    b"BZh": ("a bzip2 archive", "unpack it"),
    b"\xfd7zXZ": ("an xz archive", "unpack it"),
    b"7z\xbc\xaf": ("a 7-Zip archive", "unpack it"),
    b"Rar!": ("a RAR archive", "unpack it"),
    b"\x28\xb5\x2f\xfd": ("a zstd archive", "unpack it"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save it as CSV"),
    b"%PDF": ("a PDF document", "export the data as CSV"),
    b"\x89PNG": ("a PNG picture", "export the data as CSV"),
    b"\xff\xd8\xff": ("a JPEG picture", "export the data as CSV"),
    b"SQLite format 3": ("an SQLite database", "export the data as CSV"),
    b"\x89HDF": ("an HDF5 file", "export the data as CSV or Parquet"),
}
"""First bytes of a file -> what it is, and what to do with it."""
PARQUET = b"PAR1"
HEAD_BYTES = 4_096


def find_files(paths: Sequence[Path], tally: Tally) -> list[Path]:
    """Return the files behind paths and folders; a folder's in the order of their names.

    Raises
    ------
    DataError
        When a path does not exist, or a folder holds no export.
    """
    files: list[Path] = []
    for path in paths:
        try:
            files += _in_folder(path, tally) if path.is_dir() else [path]
        except PermissionError:
            raise _no_permission(path) from None
    if not files:
        raise DataError("no export given, expected files or a folder: name at least one.")
    return files


def file_kind(path: Path) -> str:
    """Return csv or parquet, by what the file holds and not by its name.

    Raises
    ------
    DataError
        When the file is not there, cannot be opened, or is something else.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise DataError(
                f"{path.name}: not a regular file (a pipe, socket or device), expected an export: "
                "save it as a file first."
            )
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError:
        raise _missing(path) from None
    except PermissionError:
        raise _no_permission(path) from None
    except OSError as fault:
        raise DataError(
            f"{path.name}: cannot be opened ({fault.strerror}), expected an export: check the "
            "path and the disk."
        ) from None
    return _kind(path, head)


def _kind(path: Path, head: bytes) -> str:
    if not head:
        raise DataError(
            f"{path.name}: the file is empty (0 bytes), expected a table: export it again."
        )
    if head.startswith(PARQUET):
        return "parquet"
    if path.suffix.lower() == ".parquet":
        raise DataError(
            f"{path.name}: begins with {quoted(head[:4].decode('latin-1'))}, expected a Parquet "
            "file (PAR1): export it again, or rename it if it is CSV."
        )
    for magic, (what, remedy) in MAGIC.items():
        if head.startswith(magic):
            raise DataError(f"{path.name}: {what}, expected CSV or Parquet: {remedy}.")
    _refuse_other_text(path.name, head)
    return "csv"


def _refuse_other_text(name: str, head: bytes) -> None:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        raise DataError(
            f"{name}: a web page, expected CSV or Parquet: the log-in to the historian may have "
            "expired; log in and export again."
        )
    if start.startswith(b"<"):
        raise DataError(f"{name}: XML, expected CSV or Parquet: export the data as CSV.")
    if start.startswith((b"{", b"[{", b"[[", b"[\n", b"[\r", b"[ ")):
        raise DataError(f"{name}: JSON, expected CSV or Parquet: export the data as CSV.")
    if b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(
            f"{name}: binary data (NUL bytes), expected CSV or Parquet: export it again; UTF-16 "
            "text needs a byte-order mark."
        )


def _in_folder(folder: Path, tally: Tally) -> list[Path]:
    if (folder / "_delta_log").exists():
        raise DataError(
            f"{folder.name}: a Delta table, whose files are not all valid, expected plain files: "
            "export the table as Parquet or CSV."
        )
    entries = sorted(entry for entry in folder.iterdir() if entry.is_file())
    found = [entry for entry in entries if _is_export(entry.name)]
    if not found:
        raise DataError(
            f"{folder.name}: no export in this folder ({len(entries)} files), expected "
            f"{', '.join('*' + suffix for suffix in SUFFIXES)}: name the folder that holds them."
        )
    skipped = [entry.name for entry in entries if entry not in found]
    if skipped:
        more = f" and {len(skipped) - 5} more" if len(skipped) > 5 else ""
        tally.note(
            f"folder {folder.name}: {len(skipped)} file{'s' * (len(skipped) > 1)} skipped (hidden, "
            f"temporary or of another kind): {', '.join(map(quoted, skipped[:5]))}{more}"
        )
    return found


def _is_export(name: str) -> bool:
    lower = name.lower()
    hidden = lower.startswith((".", "~", "_"))
    return not hidden and not lower.endswith(TEMPORARY) and lower.endswith(SUFFIXES)


def _missing(path: Path) -> DataError:
    try:
        there = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return DataError(
            f"{path}: no such file, and no such folder, expected an export: correct the path."
        )
    near = get_close_matches(path.name, there, 1, 0.5)
    hint = f"; the nearest is {quoted(near[0])}" if near else ""
    return DataError(f"{path}: no such file{hint}, expected an export: correct the path.")


def _no_permission(path: Path) -> DataError:
    return DataError(
        f"{path.name}: may not be read by this user, expected a readable file: change its "
        "permissions."
    )

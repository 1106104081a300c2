"""Paths that the user gives in, files that can be read out."""

from __future__ import annotations

import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from sensor_ad.errors import DataError
from sensor_ad.exports.containers import OLE, ZIP, is_workbook, what_ole, what_zip, zip_members
from sensor_ad.exports.encodings import is_control
from sensor_ad.exports.packed import GZIP, open_bytes
from sensor_ad.exports.settings import ReadSettings
from sensor_ad.exports.tally import Tally, quoted

SUFFIXES = (".csv", ".txt", ".tsv", ".parquet", ".xlsx", ".xlsm")
PACKED_SUFFIX = ".gz"
TEMPORARY = (".tmp", ".part", ".partial", ".crdownload", ".filepart", ".swp", "~")

MAGIC = {
    b"BZh": ("a bzip2 archive", "unpack it"),
    b"\xfd7zXZ": ("an xz archive", "unpack it"),
    b"7z\xbc\xaf": ("a 7-Zip archive", "unpack it"),
    b"Rar!": ("a RAR archive", "unpack it"),
    b"\x28\xb5\x2f\xfd": ("a zstd archive", "unpack it"),
    b"%PDF": ("a PDF document", "export the data as CSV"),
    b"\x89PNG": ("a PNG picture", "export the data as CSV"),
    b"\xff\xd8\xff": ("a JPEG picture", "export the data as CSV"),
    b"SQLite format 3": ("an SQLite database", "export the data as CSV"),
    b"\x89HDF": ("an HDF5 file", "export the data as CSV or Parquet"),
    b"\xff\xfe\0\0": ("UTF-32 text", "save it as UTF-8"),
    b"\0\0\xfe\xff": ("UTF-32 text", "save it as UTF-8"),
    b"{\\rtf": ("a rich text document", "export the data as CSV"),
}
"""First bytes of a file -> what it is, and what to do with it."""
PARQUET = b"PAR1"
HEAD_BYTES = 4_096
MOST_NUL = 0.01
"""Share of NUL bytes in the first bytes of a text; more is binary."""
MOST_CONTROL = 0.08
"""Share of control characters there; random bytes have 0.11, a text with one damaged line less."""
UTF16_NUL = 0.5
"""Share of characters whose one byte is NUL, the other not: a text in UTF-16 has more."""
FRESH_S, SETTLE_S = 2.0, 0.1
"""A file changed within so many seconds is looked at again, so much later."""


@dataclass(frozen=True)
class FileKind:
    """What a file is, by its content."""

    kind: str
    """csv (a text of any kind), parquet or excel."""
    packed: bool = False
    """Whether a gzip is around it; `packed.open_bytes` takes it off."""


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


def file_kind(path: Path, settings: ReadSettings | None = None) -> FileKind:
    """Return what a file is, by what it holds and not by its name.

    Parameters
    ----------
    path
        Of the file.
    settings
        Says whether gzip is allowed, and whether an encoding is given; None: neither.

    Raises
    ------
    DataError
        When the file is not there, cannot be opened, or is something else.
    """
    settings = settings or ReadSettings()
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(
                f"{path.name}: not a regular file (a pipe, socket or device), expected an export: "
                "save it as a file first."
            )
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        return _kind(path, head, settings)
    except FileNotFoundError:
        raise _missing(path) from None
    except PermissionError:
        raise _no_permission(path) from None
    except OSError as fault:
        raise DataError(
            f"{path.name}: cannot be opened ({fault.strerror}), expected an export: check the "
            "path and the disk."
        ) from None


def _kind(path: Path, head: bytes, settings: ReadSettings) -> FileKind:
    if not head:
        raise DataError(
            f"{path.name}: the file is empty (0 bytes), expected a table: export it again."
        )
    if head.startswith(PARQUET):
        return FileKind("parquet")
    if path.suffix.lower() == ".parquet":
        raise DataError(
            f"{path.name}: begins with {quoted(head[:4].decode('latin-1'))}, expected a Parquet "
            "file (PAR1): export it again, or rename it if it is CSV."
        )
    if head.startswith(GZIP):
        return _packed_kind(path, settings)
    if head.startswith(ZIP):
        members = zip_members(path)
        if members is not None and is_workbook(members):
            return FileKind("excel")
        raise _refused(path.name, *what_zip(members))
    if head.startswith(OLE[:4]):
        raise _refused(path.name, *what_ole(path))
    _refuse_other(path.name, head, settings)
    return FileKind("csv")


def _packed_kind(path: Path, settings: ReadSettings) -> FileKind:
    """Look into a gzip, if it is allowed; only text can be read while it is unpacked."""
    if not settings.compressed:
        raise DataError(
            f"{path.name}: a gzip archive, expected CSV or Parquet: unpack it, or let it be "
            "unpacked by data.allow_compressed = true."
        )
    with open_bytes(path) as file:
        head = file.read(HEAD_BYTES)
    name = f"{path.name} (unpacked)"
    if not head:
        raise DataError(f"{name}: the file is empty (0 bytes), expected a table: export it again.")
    for magic, what in ((PARQUET, "Parquet"), (ZIP, "ZIP"), (GZIP, "gzip"), (OLE[:4], "xls")):
        if head.startswith(magic):
            raise DataError(
                f"{path.name}: a gzip around a {what} file, expected one around a text: unpack it."
            )
    _refuse_other(name, head, settings)
    return FileKind("csv", packed=True)


def _refuse_other(name: str, head: bytes, settings: ReadSettings) -> None:
    """Refuse what begins like no text of a table."""
    for magic, (what, remedy) in MAGIC.items():
        if head.startswith(magic):
            raise _refused(name, what, remedy)
    start = head.removeprefix(b"\xef\xbb\xbf")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        big = start.startswith(b"\xfe")
        start = start[2:].decode("utf-16-be" if big else "utf-16-le", "ignore").encode()
    start = start.lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        raise _refused(
            name, "a web page", "the log-in to the historian may have expired; log in and export "
            "again",
        )  # fmt: skip
    if start.startswith(b"<"):
        raise _refused(name, "XML", "export the data as CSV")
    if start.startswith((b"{", b"[{", b"[[", b"[\n", b"[\r", b"[ ", b"[]")):
        raise _refused(name, "JSON", "export the data as CSV")
    if settings.encoding is None and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        _refuse_binary(name, head)


def _refuse_binary(name: str, head: bytes) -> None:
    """Refuse binary data, and UTF-16 that does not say so."""
    signs = np.frombuffer(head.replace(b"\r", b"\n"), dtype=np.uint8)
    control = int(is_control(signs).sum())
    if control == 0:
        return
    pairs = max(len(head) // 2, 1)
    even = sum(a == 0 and b != 0 for a, b in zip(head[::2], head[1::2], strict=False)) / pairs
    odd = sum(a != 0 and b == 0 for a, b in zip(head[::2], head[1::2], strict=False)) / pairs
    if abs(odd - even) > UTF16_NUL and min(odd, even) < MOST_NUL:
        end = "le" if odd > even else "be"
        raise DataError(
            f"{name}: UTF-16 text without a byte-order mark, expected one: say so by "
            f'data.encoding = "utf-16-{end}", or export as UTF-8.'
        )
    if head.count(0) > MOST_NUL * len(head) or control > MOST_CONTROL * len(head):
        what = "NUL bytes" if b"\0" in head else "control characters"
        raise DataError(
            f"{name}: binary data ({what}), expected CSV or Parquet: export it again; UTF-16 "
            "text needs a byte-order mark."
        )


def _refused(name: str, what: str, remedy: str) -> DataError:
    return DataError(f"{name}: {what}, expected CSV or Parquet: {remedy}.")


def _in_folder(folder: Path, tally: Tally) -> list[Path]:
    entries = sorted(entry for entry in folder.iterdir() if not entry.is_dir())
    found = [entry for entry in entries if _is_export(entry.name) and entry.is_file()]
    if not found:
        raise DataError(
            f"{folder.name}: no export in this folder ({len(entries)} files), expected "
            f"{', '.join('*' + suffix for suffix in SUFFIXES)}: name the folder that holds them."
        )
    skipped = [entry.name for entry in entries if entry not in found]
    if skipped:
        tally.note(
            f"folder {folder.name}: {_count(skipped)} skipped (hidden, "
            f"temporary or of another kind): {_named(skipped)}"
        )
    growing = _still_written(found)
    if growing:
        names = [entry.name for entry in growing]
        tally.note(
            f"folder {folder.name}: {_count(names)} skipped (still being written): {_named(names)}"
        )
    return [entry for entry in found if entry not in growing]


def _still_written(files: Sequence[Path]) -> list[Path]:
    """Return the files that change while one looks; only fresh ones are waited for."""
    before = {path: _state(path) for path in files}
    now = time.time_ns()
    fresh = [path for path, (_, changed) in before.items() if now - changed < FRESH_S * 1e9]
    if fresh:
        time.sleep(SETTLE_S)
    return [path for path in fresh if _state(path) != before[path]]


def _state(path: Path) -> tuple[int, int]:
    """Return size and time of the last change; zeros when the file has just gone."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return 0, 0
    return state.st_size, state.st_mtime_ns


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} file{'s' * (len(names) > 1)}"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(quoted, names[:5])) + more


def _is_export(name: str) -> bool:
    lower = name.lower()
    hidden = lower.startswith((".", "~", "_"))
    plain = lower.removesuffix(PACKED_SUFFIX)
    return not hidden and not lower.endswith(TEMPORARY) and plain.endswith(SUFFIXES)


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

"""A ZIP archive or an old Office container in, what it is out: read from its directory alone."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from sensor_ad.exports.tally import quoted

ZIP = b"PK\x03\x04"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""Microsoft's compound file: old workbooks, and new ones under a password ([MS-CFB])."""

_END = b"PK\x05\x06"
_END_BYTES = 22
_LONGEST_COMMENT = 0xFFFF
_MOST_COUNTED = 0xFFFF
"""Members that the end record can count; a larger archive has this number there."""
_ENTRY = struct.Struct("<4s6H3I5H2I")
"""One member in the directory of a ZIP (APPNOTE 4.3.12)."""
MOST_DIRECTORY_BYTES = 1 << 20
"""Read of the directory; a workbook has some dozens of members of 80 bytes."""
MOST_NAMED = 3
"""Members that a message names."""


@dataclass(frozen=True)
class Member:
    """One file in a ZIP archive."""

    name: str
    encrypted: bool


def zip_members(path: Path) -> list[Member] | None:
    """Return the members of a ZIP archive, at most a megabyte of them; None: it is damaged."""
    end = _end(path)
    if end is None:
        return None
    at, record = end
    length, start = struct.unpack_from("<2I", record, 12)
    with path.open("rb") as file:
        start = min(start, at - min(length, at))  # or a ZIP64's
        file.seek(max(start, 0))
        directory = file.read(min(length, MOST_DIRECTORY_BYTES))
    members = []
    at = 0
    while at + _ENTRY.size <= len(directory) and directory.startswith(b"PK\x01\x02", at):
        fields = _ENTRY.unpack_from(directory, at)
        flags, lengths = fields[3], fields[10:13]
        at += _ENTRY.size
        name = directory[at : at + lengths[0]].decode("utf-8", "replace")
        members.append(Member(name, bool(flags & 1)))
        at += sum(lengths)
    return members or None


def is_complete(path: Path, members: int) -> bool:
    """Say whether a ZIP archive's end counts as many members as were found in its directory.

    Python's zipfile does not compare: damaged lengths let it skip the rest of a directory.
    """
    end = _end(path)
    counted = None if end is None else struct.unpack_from("<H", end[1], 10)[0]
    return counted == min(members, _MOST_COUNTED)


def _end(path: Path) -> tuple[int, bytes] | None:
    """Return where the end record of a ZIP archive stands, and its bytes."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        tail_bytes = min(size, _END_BYTES + _LONGEST_COMMENT)
        file.seek(size - tail_bytes)
        tail = file.read()
    end = tail.rfind(_END)
    if end < 0 or end + _END_BYTES > len(tail):
        return None
    return size - tail_bytes + end, tail[end : end + _END_BYTES]


def is_workbook(members: list[Member]) -> bool:
    """Say whether a ZIP archive is an Excel workbook (.xlsx, .xlsm)."""
    return any(member.name.lower() == "xl/workbook.xml" for member in members)


def what_zip(members: list[Member] | None) -> tuple[str, str]:
    """Return what a ZIP archive is that is no workbook, and what to do with it."""
    if members is None:
        return "a damaged ZIP archive or Excel workbook (its end is missing)", "copy it again"
    names = {member.name.lower() for member in members}
    if "xl/workbook.bin" in names:
        return "a binary Excel workbook (.xlsb)", "save it as .xlsx or CSV"
    if "content.xml" in names and "mimetype" in names:
        return "an OpenDocument file (.ods)", "save it as .xlsx or CSV"
    if any(name.startswith(("word/", "ppt/")) for name in names):
        return "an Office document", "export the data as CSV"
    listed = ", ".join(quoted(member.name) for member in members[:MOST_NAMED])
    more = f" and {len(members) - MOST_NAMED} more" if len(members) > MOST_NAMED else ""
    locked = "password-protected " if any(member.encrypted for member in members) else ""
    what = f"a {locked}ZIP archive with {len(members)} file{'s' * (len(members) != 1)} "
    return what + f"({listed}{more})", "unpack it and give the files, or their folder"


def what_ole(path: Path) -> tuple[str, str]:
    """Return what an old Office container is, and what to do with it."""
    with path.open("rb") as file:
        head = file.read(512)
        shift = struct.unpack_from("<H", head.ljust(64, b"\0"), 30)[0]
        sector = struct.unpack_from("<I", head.ljust(64, b"\0"), 48)[0]
        file.seek((sector + 1) << min(shift, 12))
        directory = file.read(4_096)
    if "EncryptedPackage".encode("utf-16-le") in directory:
        return "a password-protected Excel workbook", "save it without a password, or as CSV"
    return "an old Excel workbook or Office document (.xls)", "save it as .xlsx or CSV"

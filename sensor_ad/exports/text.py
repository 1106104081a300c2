"""A text file of any common encoding in, blocks of whole UTF-8 lines out."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sensor_ad.errors import DataError

LONGEST_LINE = 16 << 20
"""Bytes; a longer line is no line of a table."""
SMALLEST_READ = 16
"""Bytes; a byte-order mark lies within the first read."""


SAMPLES, SAMPLE_BYTES = 16, 16 << 10
"""Places all over a file, and how much is read there."""


@dataclass(frozen=True)
class TextBlock:
    """Some whole lines of a file."""

    data: bytes
    """UTF-8 (or nearly so: a damaged file), lines end in a line feed."""
    first_line: int
    """Number of the first line in the file, counted from 1."""
    bytes_read: int
    """Bytes of the file that were read for it."""
    unfinished: bool = False
    """The file's last line, alone, when no line end follows it."""

    def lines(self) -> list[bytes]:
        """Return the lines without their ends."""
        lines = self.data.split(b"\n")
        return lines if self.unfinished else lines[:-1]


def find_encoding(head: bytes) -> str:
    """Return the encoding of a file that begins with `head`: utf-8, utf-8-sig, utf-16 or cp1252."""
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def text_blocks(
    path: Path, encoding: str, block_bytes: int, skip_lines: int = 0
) -> Iterator[TextBlock]:
    """Yield the lines of a file in blocks of about `block_bytes`, without the first `skip_lines`.

    Blank lines at the end of a file never come; the last line comes alone when it is unfinished.
    """
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    rest, line, bytes_read, begun = b"", 1, 0, False
    with path.open("rb") as file:
        while True:
            raw = file.read(max(block_bytes, SMALLEST_READ))
            bytes_read += len(raw)
            if encoding == "utf-8-sig" and not begun:
                raw = raw.removeprefix(codecs.BOM_UTF8)
            begun = True
            body, held = _line_feeds(rest + _utf8(raw, encoding, decoder), at_end=not raw)
            cut = _end_of_last_line(body) if raw else len(body.rstrip(b"\n"))
            if not raw and 0 < cut < len(body):
                cut += 1
            data, rest = body[:cut], body[cut:] + held
            if len(rest) > LONGEST_LINE:
                raise DataError(
                    f"{path.name}, line {line + count_lines(data)}: longer than "
                    f"{LONGEST_LINE >> 20} MB, expected lines of a table: check what the file "
                    "holds and export it again."
                )
            lines = count_lines(data)
            while skip_lines and data:
                data = data[data.index(b"\n") + 1 :] if b"\n" in data else b""
                line, lines, skip_lines = line + 1, lines - 1, skip_lines - 1
            if data:
                yield TextBlock(data, line, bytes_read, unfinished=not data.endswith(b"\n"))
                bytes_read = 0
            line += lines
            if not raw:
                return


def lines_further_down(path: Path, encoding: str) -> list[str]:
    """Return some whole lines from places all over a file."""
    lines: list[str] = []
    size = path.stat().st_size
    with path.open("rb") as file:
        if encoding == "utf-16":
            encoding = "utf-16-le" if file.read(2) == codecs.BOM_UTF16_LE else "utf-16-be"
        for k in range(1, SAMPLES + 1):
            file.seek(size * k // (SAMPLES + 1) // 2 * 2)  # UTF-16 has two bytes a character
            lines += file.read(SAMPLE_BYTES).decode(encoding, "replace").splitlines()[1:-1]
    return lines


def count_lines(text: bytes) -> int:
    """Return the number of line ends; numpy counts them several times faster than bytes do."""
    return int(np.count_nonzero(np.frombuffer(text, dtype=np.uint8) == ord("\n")))


def open_quote_line(block: TextBlock) -> int | None:
    """Return the number of the first line in which a quote is opened and not closed."""
    if b'"' not in block.data:
        return None
    signs = np.frombuffer(block.data, dtype=np.uint8)
    quotes = np.flatnonzero(signs == ord('"'))
    ends = np.append(np.flatnonzero(signs == ord("\n")), len(signs))
    odd = np.flatnonzero(np.searchsorted(quotes, ends) % 2)
    return None if len(odd) == 0 else block.first_line + int(odd[0])


def _utf8(raw: bytes, encoding: str, decoder: codecs.IncrementalDecoder) -> bytes:
    """Transcode; plain bytes pass untouched, for decoding costs more than parsing."""
    if encoding.startswith("utf-8") or (encoding == "cp1252" and raw.isascii()):
        return raw
    return decoder.decode(raw, final=not raw).encode()


def _line_feeds(text: bytes, at_end: bool) -> tuple[bytes, bytes]:
    """Turn every kind of line end into a line feed; a carriage return at the end is held back."""
    held = b""
    if text.endswith(b"\r") and not at_end:
        text, held = text[:-1], b"\r"
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return text, held


def _end_of_last_line(text: bytes) -> int:
    """Return where the last whole line that is not blank ends."""
    end = len(text.rstrip(b"\n"))
    return end + 1 if end < len(text) and end else text.rfind(b"\n", 0, end) + 1

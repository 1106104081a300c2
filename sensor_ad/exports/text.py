"""A text file of any common encoding in, blocks of whole UTF-8 lines out."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sensor_ad.errors import DataError
from sensor_ad.exports.encodings import BYTEWISE, EncodingCheck, find_encoding
from sensor_ad.exports.packed import GZIP, open_bytes
from sensor_ad.exports.settings import SEPARATORS
from sensor_ad.records import Ints

__all__ = [
    "TextBlock",
    "count_lines",
    "find_encoding",
    "line_bounds",
    "lines_further_down",
    "text_blocks",
]

LONGEST_LINE = 16 << 20
"""Bytes; a longer line is no line of a table."""
MOST_COLUMNS = 20_000
"""Fields in the first lines; a wide export of a whole plant has some thousands."""
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
    encoding: str = "utf-8"
    """How these lines were read; a file that was ASCII so far may turn out to be cp1252."""

    def lines(self) -> list[bytes]:
        """Return the lines without their ends."""
        lines = self.data.split(b"\n")
        return lines if self.unfinished else lines[:-1]


def text_blocks(
    path: Path, encoding: str, block_bytes: int, skip_lines: int = 0, said: bool = False
) -> Iterator[TextBlock]:
    """Yield the lines of a file in blocks of about `block_bytes`, without the first `skip_lines`.

    Blank lines at the end of a file never come; the last line comes alone when it is unfinished.

    Parameters
    ----------
    path
        A text file, or a gzip of one.
    encoding
        As `find_encoding` found it, or the user said.
    block_bytes
        Bytes read at a time; the lines that come do not depend on it.
    skip_lines
        How many lines are left out at the start.
    said
        Whether the user said the encoding: then bytes that do not fit are replaced, not refused.

    Raises
    ------
    DataError
        For lines that are too long or too wide, for two encodings in one file, for a gzip that is
        damaged or unpacks to too much.
    """
    check = EncodingCheck(path.name, encoding, said)
    line, at_start = 1, True
    for body, bytes_read in _whole_lines(path, encoding, block_bytes):
        data = check.utf8(body, line)
        if at_start:
            _check_columns(path.name, data)
        at_start = False
        lines = count_lines(data)
        next_line = line + lines
        while skip_lines and data:
            data = data[data.index(b"\n") + 1 :] if b"\n" in data else b""
            line, skip_lines = line + 1, skip_lines - 1
        if data:
            unfinished = not data.endswith(b"\n")
            yield TextBlock(data, line, bytes_read, unfinished, check.encoding)
        line = next_line


def lines_further_down(path: Path, encoding: str) -> list[str]:
    """Return some whole lines from places all over a file."""
    with path.open("rb") as file:
        packed = file.read(len(GZIP)) == GZIP
    samples = _packed_samples(path) if packed else _samples(path)
    if encoding == "utf-16":
        with open_bytes(path) as stream:
            little = stream.read(2) == codecs.BOM_UTF16_LE
        encoding = "utf-16-le" if little else "utf-16-be"
    lines: list[str] = []
    for sample in samples:
        text = sample.decode(encoding, "replace").replace("\r\n", "\n").replace("\r", "\n")
        lines += text.split("\n")[1:-1]
    return lines


def count_lines(text: bytes) -> int:
    """Return the number of line ends; numpy counts them several times faster than bytes do."""
    return int(np.count_nonzero(np.frombuffer(text, dtype=np.uint8) == ord("\n")))


def line_bounds(signs: Ints) -> tuple[Ints, Ints]:
    """Return where the lines of a block begin and where they end, their line feeds left out.

    Parameters
    ----------
    signs
        (bytes,) uint8, not empty.
    """
    ends = np.flatnonzero(signs == ord("\n"))
    if len(ends) == 0 or ends[-1] != len(signs) - 1:
        ends = np.append(ends, len(signs))
    starts = np.concatenate([[0], ends[:-1] + 1])
    return starts, ends


def _whole_lines(path: Path, encoding: str, block_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Yield (whole lines with line feeds, bytes of the file), the unfinished last line alone.

    One byte a character: as in the file. Otherwise: decoded, and encoded as UTF-8.
    """
    decoder = None
    if encoding not in BYTEWISE:
        decoder = codecs.getincrementaldecoder(encoding)("replace")
    rest: list[bytes] = []
    waiting = 0
    held, line, bytes_read, begun = b"", 1, 0, False
    with open_bytes(path) as file:
        while True:
            raw = file.read(max(block_bytes, SMALLEST_READ))
            bytes_read += file.packed_bytes()
            text = raw if decoder is None else decoder.decode(raw, final=not raw).encode()
            text = text if begun else text.removeprefix(codecs.BOM_UTF8)
            begun = True
            text, held = _line_feeds(held + text, at_end=not raw)
            if raw and b"\n" not in text:  # joined once, not at every read
                rest.append(text)
                waiting += len(text)  # counted, not added up at every read
                if waiting > LONGEST_LINE:
                    raise _too_long(path.name, line)
                continue
            body = b"".join([*rest, text])
            cut = _end_of_last_line(body) if raw else len(body.rstrip(b"\n"))
            if not raw and 0 < cut < len(body):
                cut += 1
            last = body.rfind(b"\n", 0, cut) + 1  # an unfinished last line comes alone
            parts = [body[:cut]] if raw or last in (0, cut) else [body[:last], body[last:cut]]
            rest = [body[cut:]] if cut < len(body) else []
            waiting = len(body) - cut if rest else 0
            for part in filter(None, parts):
                _check_length(path.name, part, line)
                yield part, bytes_read
                bytes_read = 0
                line += count_lines(part)
            if waiting > LONGEST_LINE:
                raise _too_long(path.name, line)
            if not raw:
                return


def _check_length(name: str, body: bytes, line: int) -> None:
    if len(body) > LONGEST_LINE:
        starts, ends = line_bounds(np.frombuffer(body, dtype=np.uint8))
        longer = np.flatnonzero(ends - starts > LONGEST_LINE)
        if len(longer):
            raise _too_long(name, line + int(longer[0]))


def _too_long(name: str, line: int) -> DataError:
    return DataError(
        f"{name}, line {line}: longer than {LONGEST_LINE >> 20} MB, expected lines of a table: "
        "check what the file holds and export it again."
    )


def _check_columns(name: str, data: bytes) -> None:
    """Refuse a header of absurdly many columns before anybody splits it."""
    if len(data) <= MOST_COLUMNS:
        return
    signs = np.frombuffer(data, dtype=np.uint8)
    starts, ends = line_bounds(signs)
    for separator in SEPARATORS:
        places = np.flatnonzero(signs == ord(separator))
        fields = np.searchsorted(places, ends) - np.searchsorted(places, starts) + 1
        wide = np.flatnonzero(fields > MOST_COLUMNS)
        if len(wide):
            raise DataError(
                f"{name}, line {1 + int(wide[0])}: {fields[wide[0]]} fields, expected at most "
                f"{MOST_COLUMNS} columns: export fewer tags to a file."
            )


def _samples(path: Path) -> list[bytes]:
    size = path.stat().st_size
    samples = []
    with path.open("rb") as file:
        for k in range(1, SAMPLES + 1):
            file.seek(size * k // (SAMPLES + 1) // 2 * 2)  # UTF-16 has two bytes a character
            samples.append(file.read(SAMPLE_BYTES))
    return samples


def _packed_samples(path: Path) -> list[bytes]:
    """Take samples in one passage: twice as far apart whenever there are twice too many."""
    samples: list[bytes] = []
    number, apart = 0, 1
    with open_bytes(path) as file:
        while data := file.read(1 << 20):
            if number % apart == 0:
                samples.append(data[len(data) // 4 * 2 :][:SAMPLE_BYTES])
            number += 1
            if len(samples) >= 2 * SAMPLES:
                samples, apart = samples[::2], 2 * apart
    return samples


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

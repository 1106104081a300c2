"""The lines of a block in, how many fields each has out: by positions of bytes, no loop over rows.

Python's own reader is asked only about lines whose quotes do not enclose whole cells.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass

import numpy as np

from sensor_ad.exports.text import TextBlock, line_bounds
from sensor_ad.records import Bools, Ints


@dataclass(frozen=True)
class Lines:
    """The lines of a block: where they stand, and what stands in them."""

    text: TextBlock
    starts: Ints
    ends: Ints
    fields: Ints
    """(lines,) number of fields; 0 when the quotes of a line cannot be understood."""
    separators: Ints
    """Positions of the signs that end a field."""
    unclosed: Bools
    """(lines,) whether a quote is opened and not closed."""

    def read(self, k: int) -> str:
        """Return line `k`."""
        return self.text.data[self.starts[k] : self.ends[k]].decode("utf-8", "replace")


def row_lines(text: TextBlock, separator: str, width: int) -> Ints:
    """Return the numbers of the lines of a block that are rows, damaged ones included."""
    lines = look(text, separator)
    numbers: Ints = np.flatnonzero(~blank_lines(lines, width)) + text.first_line
    return numbers


def look(text: TextBlock, separator: str) -> Lines:
    """Count the fields of every line."""
    signs = np.frombuffer(text.data, dtype=np.uint8)
    starts, ends = line_bounds(signs)
    separators = np.flatnonzero(signs == ord(separator))
    unclosed = np.zeros(len(starts), dtype=bool)
    strange = unclosed
    if b'"' in text.data:
        strange = strange_quotes(text.data, separator)
        so_far = np.cumsum(signs == ord('"'), dtype=np.uint8)  # only odd or even matters
        before = np.concatenate([[0], so_far])[starts]
        count = np.searchsorted(separators, ends) - np.searchsorted(separators, starts)
        within = (so_far[separators] - np.repeat(before, count)) % 2 == 1
        separators = separators[~within | np.repeat(strange, count)]
    fields = np.searchsorted(separators, ends) - np.searchsorted(separators, starts) + 1
    for k in map(int, np.flatnonzero(strange)):
        line_text = text.data[starts[k] : ends[k]].decode("utf-8", "replace")
        fields[k] = _count_fields(line_text, separator)
        unclosed[k] = fields[k] < 0
    return Lines(text, starts, ends, np.maximum(fields, 0), separators, unclosed)


def strange_quotes(data: bytes, separator: str) -> Bools:
    """Say which lines have quotes that enclose no whole cell."""
    signs = np.frombuffer(data, dtype=np.uint8)
    starts, ends = line_bounds(signs)
    quotes = np.flatnonzero(signs == ord('"'))
    first = np.searchsorted(quotes, starts)
    count = np.searchsorted(quotes, ends) - first
    odd: Bools = count % 2 == 1
    if odd.any():
        opens = (np.arange(len(quotes)) - np.repeat(first, count)) % 2 == 0
        opening, closing = quotes[opens], quotes[~opens]
    else:
        opening, closing = quotes[::2], quotes[1::2]
    padded = np.pad(signs, (0, 1), constant_values=ord("\n"))  # also what stands before the first
    for places, beside in ((opening, padded[opening - 1]), (closing, padded[closing + 1])):
        sound = (beside == ord(separator)) | (beside == ord("\n")) | (beside == ord('"'))
        if not sound.all():
            odd[np.searchsorted(ends, places[~sound])] = True
    return odd


def _count_fields(line: str, separator: str) -> int:
    """Return the number of fields by Python's reader: -1 for an open quote, 0 for a stray one."""
    try:
        return len(next(csv.reader([line], delimiter=separator, strict=True), []))
    except csv.Error as fault:
        return -1 if "unexpected end" in str(fault) else 0


def blank_lines(lines: Lines, width: int) -> Bools:
    """Say which lines hold nothing; in a single column, a blank line is a missing value."""
    blank = np.zeros(len(lines.starts), dtype=bool)
    if width > 1:
        for k in np.flatnonzero(lines.fields == 1):
            blank[k] = not lines.read(int(k)).strip()
    return blank


def mended_rows(lines: Lines, kept: Bools, more: Bools, less: Bools, separator: str) -> bytes:
    """Return the lines that are kept, all with the same number of fields, in valid UTF-8."""
    data = lines.text.data
    if not kept.all():
        edges = np.diff(np.concatenate([[False], kept, [False]]).astype(np.int8))
        runs = zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)
        data = b"".join(data[lines.starts[a] : lines.ends[b - 1]] + b"\n" for a, b in runs)
        more, less = more[kept], less[kept]
    if more.any() or less.any():
        signs = np.frombuffer(data, dtype=np.uint8)
        ends = line_bounds(signs)[1]
        signs = np.insert(signs, ends[more], ord(separator))
        ends = line_bounds(signs)[1]
        data = np.delete(signs, ends[less] - 1).tobytes()
    return data if data.isascii() else data.decode("utf-8", "replace").encode()

"""What one section of a file is, and lines of a file with what they begin with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sensor_ad.errors import DataError
from sensor_ad.exports.layouts import Layout
from sensor_ad.exports.tables import Table
from sensor_ad.exports.text import TextBlock, line_bounds, text_blocks
from sensor_ad.records import Ints

SCAN_BYTES = 1 << 20
"""Read at a time to find sections; fixed, so that the reading block has no say in it."""
MOST_SECTIONS = 100_000
"""A file of more holds hardly a row in each."""
TO_THE_END = 1 << 62
"""Last line of a section that goes on to the end of the file."""


@dataclass(frozen=True)
class Constant:
    """What every cell of a column must hold for its rows to be understood."""

    texts: tuple[str, ...]
    expected: str
    """In words, for the message."""
    remedy: str


@dataclass(frozen=True)
class Section:
    """One table among several in a file."""

    what: str
    """Whose format it is."""
    table: Table
    """As `tables.TableReader` takes it."""
    first_line: int
    """Below the header; counted from 1, as in the file."""
    last_line: int
    layout: Layout
    """A long one."""
    time_format: str | None = None
    """Name of the format of the time where the file says it; None: decided over the column."""
    marks: bytes = b""
    """Lines that begin with one of these signs are no rows (comments, annotations)."""
    header_below_marks: bool = False
    """Whether the line below such lines repeats the header."""
    defaults: Mapping[str, str] = field(default_factory=dict)
    """Column -> what an empty cell of it means."""
    constants: Mapping[str, Constant] = field(default_factory=dict)
    """Column -> what must stand in it."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Tag -> unit, where another section gives them."""
    descriptions: Mapping[str, str] = field(default_factory=dict)
    """Tag -> description, where another section gives them."""


@dataclass(frozen=True)
class Lines:
    """The lines of a block: where they stand and how they begin."""

    text: TextBlock
    starts: Ints
    ends: Ints
    firsts: Ints
    """(lines,) uint8 first byte of each; that of a blank line is its line feed."""

    def read(self, k: int) -> str:
        """Return line `k` of the block."""
        return self.text.data[self.starts[k] : self.ends[k]].decode("utf-8", "replace")

    def number(self, k: int) -> int:
        """Return the number of line `k` in the file."""
        return self.text.first_line + k


def scan(path: Path, encoding: str, said: bool) -> Iterator[Lines]:
    """Yield all lines of a file in blocks."""
    for text in text_blocks(path, encoding, SCAN_BYTES, said=said):
        yield look_at_lines(text)


def look_at_lines(text: TextBlock) -> Lines:
    """Return where the lines of a block stand and how they begin."""
    signs = np.frombuffer(text.data, dtype=np.uint8)
    starts, ends = line_bounds(signs)
    return Lines(text, starts, ends, signs[starts])


def check_count(name: str, sections: int) -> None:
    """Refuse a file of absurdly many sections."""
    if sections > MOST_SECTIONS:
        raise DataError(
            f"{name}: more than {MOST_SECTIONS} tables of different columns in one file, expected "
            "an export of some tables: export fewer series to a file."
        )

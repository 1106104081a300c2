"""A text file in, its first lines out, and a line split into its fields."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from sensor_ad.errors import DataError
from sensor_ad.exports.packed import open_bytes
from sensor_ad.exports.reshape import table_blocks
from sensor_ad.exports.settings import BLANK, ReadSettings
from sensor_ad.exports.text import find_encoding

PROBE_BYTES = 256 << 10
"""Looked at to find the dialect; fixed, so that the reading block has no say in it."""
PROBE_LINES = 1_000
"""At most; ten seconds of Python would be too long for a look."""

MOST_UNREADABLE = 0.1
"""Share of the first lines with a cell too long to be split; fewer are dropped and counted."""

Probe = list[tuple[int, str]]
"""The first lines that are not blank: (number, text)."""


def first_lines(path: Path, settings: ReadSettings) -> tuple[str, Probe]:
    """Return the encoding of a file, and its first lines that are not blank."""
    with open_bytes(path) as file:
        encoding = settings.encoding or find_encoding(file.read(PROBE_BYTES))
    lines: Probe = []
    taken = 0
    said = settings.encoding is not None
    shape = settings.separator, settings.transposed
    for block in table_blocks(path, encoding, *shape, PROBE_BYTES, said=said):
        if block.unfinished and len(lines) > 1:
            break  # it may be cut off: no witness
        texts = block.data.decode("utf-8", "replace").split("\n")
        lines += [(block.first_line + k, text) for k, text in enumerate(texts) if text.strip()]
        taken += len(block.data)
        if taken >= PROBE_BYTES:
            break
    return encoding, lines[: PROBE_LINES + 1]


def check_cells(name: str, probe: Probe, separators: Sequence[str]) -> None:
    """Refuse a text of which too many lines have no fields whatever the separator.

    Raises
    ------
    DataError
        Cells are longer than Python's reader takes them.
    """
    longest = csv.field_size_limit()
    lines = [
        number
        for number, text in probe
        if len(text) > longest and not any(split_line(text, sign) for sign in separators)
    ]
    if len(lines) > MOST_UNREADABLE * len(probe):
        raise DataError(
            f"{name}, line {lines[0]}: a cell of more than {longest:,} characters, expected "
            "lines of a table: check what the file holds and export it again."
        )


def split_line(text: str, separator: str) -> list[str]:
    """Split one line into its fields, stripped of blanks and quotes."""
    if separator == BLANK:
        return text.split()
    try:
        return [cell.strip() for cell in next(csv.reader([text], delimiter=separator), [])]
    except csv.Error:
        return []

"""Lines of unusual tables in, lines of usual ones out: blanks as separators, tags as lines.

Only files of which somebody says so come here; others pass untouched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from sensor_ad.errors import DataError
from sensor_ad.exports.packed import open_bytes
from sensor_ad.exports.settings import BLANK
from sensor_ad.exports.text import TextBlock, text_blocks

TAB = "\t"
MOST_TRANSPOSED = 256 << 20
"""Bytes of a table whose lines are tags: it has to be read as a whole."""
_BLANKS = re.compile(rb"[ \t]+")
_MARGINS = re.compile(rb"^[ \t]+|[ \t]+$", re.MULTILINE)


def real_separator(separator: str) -> str:
    """Return the sign that stands between fields when lines come from here."""
    return TAB if separator == BLANK else separator


def table_blocks(
    path: Path,
    encoding: str,
    separator: str | None,
    transposed: bool,
    block_bytes: int,
    skip_lines: int = 0,
    said: bool = False,
) -> Iterator[TextBlock]:
    """Yield the lines of a table as `text_blocks` does, without the first `skip_lines`.

    Parameters
    ----------
    separator
        A blank stands for any number of blanks and tabs; they come as one tab.
    transposed
        Whether lines are columns; then all comes in one block.
    """
    plain = separator != BLANK
    if not transposed:
        for block in text_blocks(path, encoding, block_bytes, skip_lines, said):
            yield block if plain else replace(block, data=_tabbed(block.data))
        return
    with open_bytes(path) as file:
        size = len(file.read(MOST_TRANSPOSED + 1))
    if size > MOST_TRANSPOSED:
        raise DataError(
            f"{path.name}: a table with tags as lines of more than {MOST_TRANSPOSED >> 20} MB, "
            "expected at most that much: export it with a row for each time."
        )
    blocks = list(text_blocks(path, encoding, size + 1, 0, said))
    lines = [line for block in blocks for line in block.lines() if line.strip()]
    sign = real_separator(separator or TAB).encode()
    rows = [(line if plain else _tabbed(line)).split(sign) for line in lines]
    columns = [sign.join(cells) for cells in zip_longest(*rows, fillvalue=b"")]
    data = b"".join(column + b"\n" for column in columns[skip_lines:])
    read = sum(block.bytes_read for block in blocks)
    yield TextBlock(data, 1 + skip_lines, read, False, blocks[-1].encoding)


def _tabbed(data: bytes) -> bytes:
    return _BLANKS.sub(TAB.encode(), _MARGINS.sub(b"", data))

"""The first lines of a text in, how many of them belong to no table out.

Reports begin with names and values (server, from, to) that may have as many fields as the table.
The table is told by its rows: they are alike. Names, units and descriptions stand right above them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sensor_ad.exports.cells import NULLS
from sensor_ad.exports.header import MOST_HEADER_ROWS, is_time, is_value
from sensor_ad.exports.times import sounds_like_time

MOST_PREAMBLE = 100
"""Lines above a table; more are no preamble."""
ROWS = 50
"""Rows that show what those of the table are like."""
FEWEST = 2
"""Rows that are alike."""

Rows = Sequence[tuple[int, list[str]]]
"""Rows with the numbers of their lines."""


def header_place(rows: Rows, start: int, width: int) -> int:
    """Return the place of the line with the names.

    Parameters
    ----------
    rows
        The first lines of a text.
    start
        Where the table seems to begin, by the numbers of fields.
    width
        Fields of most rows.

    Returns
    -------
    `start`, or a later place when the lines from there on are like no row and no header.
    """
    kinds = [_kinds(row) if len(row) == width else "" for _, row in rows[: start + ROWS]]
    common = Counter(filter(_is_row, kinds[start:])).most_common(1)
    usual, count = common[0] if common else ("", 0)
    if count < FEWEST:
        return start
    first = kinds.index(usual, start)
    top = first
    while top > start and first - top <= MOST_HEADER_ROWS and _may_be_names(kinds[top - 1]):
        top -= 1
    if top == first:
        return start  # rows without a header
    if any(_is_like(other, usual) for other in kinds[start:top]):
        return start  # a second header below rows
    place = usual.find("t")
    named = [k for k in range(top, first) if place >= 0 and sounds_like_time(rows[k][1][place])]
    return named[0] if named and named[0] > top and _all_named(rows[named[0]][1]) else top


def width_above(rows: Rows) -> int:
    """Return the number of fields of rows of another table among these lines; 0: there is none.

    Such rows begin with a time, or hold times and numbers. One alone is a row when the line above
    names its time; two are in any case.
    """
    kinds = [_kinds(row) for _, row in rows]
    found = [k for k, kind in enumerate(kinds) if kind[:1] == "t" or {*"tn"} <= {*kind}]
    found = [k for k in found if len(kinds[k]) > 1]
    widths = Counter(len(kinds[k]) for k in found)
    for k in found:
        width, above = len(kinds[k]), rows[k - 1][1] if k else []
        named = len(above) == width and sounds_like_time(above[kinds[k].index("t")])
        if named or widths[width] >= FEWEST:
            return width
    return 0


def _kinds(row: Sequence[str]) -> str:
    """Return a letter for each cell: time, number, text or nothing."""
    return "".join(
        "-" if cell in NULLS else "t" if is_time(cell) else "n" if is_value(cell) else "x"
        for cell in row
    )


def _is_row(kinds: str) -> bool:
    return "t" in kinds or "n" in kinds


def _is_like(kinds: str, usual: str) -> bool:
    """Say whether a line is a row after all, with an empty or a bad cell."""
    if len(kinds) != len(usual):
        return False
    place = usual.find("t")
    alike = [a == b for a, b in zip(kinds, usual, strict=True) if b in "tn"]
    return (place >= 0 and kinds[place] == "t") or 2 * sum(alike) > len(alike)


def _may_be_names(kinds: str) -> bool:
    return "x" in kinds and not _is_row(kinds)


def _all_named(row: Sequence[str]) -> bool:
    return all(row) and len({*row}) == len(row)

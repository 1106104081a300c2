"""First lines of a text file in, the separator of their fields out, and how many most have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sensor_ad.errors import DataError
from sensor_ad.exports.cells import NULLS
from sensor_ad.exports.header import is_value
from sensor_ad.exports.preamble import MOST_PREAMBLE
from sensor_ad.exports.probe import PROBE_BYTES, Probe, split_line
from sensor_ad.exports.settings import SEPARATORS, ReadSettings
from sensor_ad.exports.sieve import MOST_TRAILERS
from sensor_ad.exports.text import text_blocks

MOSTLY = 0.9
"""Share of lines that must have as many fields as the table."""
FEW_LINES = 2
"""With fewer lines below a header of another width, the header is at fault."""

_COMMA = re.compile(r"[+-]?\d+(,\d+)?([eE][+-]?\d+)?")


def find_separator(name: str, probe: Probe) -> str:
    """Return the separator under which most lines have as many fields as one another."""
    votes = []
    for separator in SEPARATORS:
        counts = [len(split_line(text, separator)) for _, text in probe]
        usual = usual_width(counts)
        if usual == 1 or (separator == "," and _is_one_number(probe, counts, usual)):
            continue
        start = _first_of(counts, usual)
        body = _without_end(counts[start:], usual)
        fits = float(np.mean([abs(count - usual) <= 1 for count in body]))
        exact = float(np.mean([count == usual for count in body]))
        enough = fits >= MOSTLY and (len(body) > 1 or len(counts) == 1)
        cells = split_line(probe[start][1], separator)  # none where a cell is far too long
        first = cells[0] if cells else ""  # 31.01.2026 of 31.01.2026, 12:00;1
        named = first in NULLS or not is_value(first)
        readable = _readable(probe[start:], separator)
        votes.append(((enough, named, readable, exact), counts, separator))
    if not votes:
        return next((sign for sign in SEPARATORS if not any(sign in t for _, t in probe)), ",")
    (enough, *_), counts, separator = max(votes, key=lambda vote: vote[0])
    if enough:
        return separator
    usual = usual_width(counts)
    start = _first_of(counts, usual)
    if start and counts[start - 1] > 1 and len(counts) - start < FEW_LINES:
        refuse_width(name, probe, counts, start, usual, separator)
    k = next((k for k in range(start + 1, len(counts)) if counts[k] != usual), start)
    raise DataError(
        f"{name}, line {probe[k][0]}: {counts[k]} field{'s' * (counts[k] != 1)}, expected "
        f"{usual} as in most lines: mend these lines or export again."
    )


def separator_across(path: Path, encoding: str, settings: ReadSettings) -> str:
    """Return the separator of a table with tags as lines: all lines have as many fields with it.

    Raises
    ------
    DataError
        No separator fits, or several do.
    """
    lines: list[bytes] = []
    taken = 0
    for block in text_blocks(path, encoding, PROBE_BYTES, said=settings.encoding is not None):
        lines += [line for line in block.lines() if line.strip()]
        taken += len(block.data)
        if taken >= PROBE_BYTES and len(lines) > 1:
            break
    counts = {sign: {line.count(sign.encode()) for line in lines} for sign in SEPARATORS}
    fitting = [sign for sign, found in counts.items() if len(found) == 1 and found != {0}]
    if len(fitting) == 1:
        return fitting[0]
    found = f"{' and '.join(map(repr, fitting))} give" if fitting else "no separator gives"
    raise DataError(
        f"{path.name}: {found} all lines as many fields, expected one separator of tags as lines "
        "(data.transposed): say which by data.separator."
    )


def _is_one_number(probe: Probe, counts: Sequence[int], usual: int) -> bool:
    """Say whether what looks like two fields below a single name is one number with a comma."""
    numbers = (_COMMA.fullmatch(text.strip()) for _, text in probe[1:])
    return usual == 2 and counts[0] == 1 and all(numbers)


def _without_end(counts: Sequence[int], usual: int) -> Sequence[int]:
    """Leave out the last lines that have fewer fields: EOF and the like, judged while reading."""
    end = len(counts)
    while end > FEW_LINES and len(counts) - end < MOST_TRAILERS and counts[end - 1] < usual:
        end -= 1
    return counts[:end]


def usual_width(counts: Sequence[int]) -> int:
    """Return how many fields most lines have, the first one apart; more where two tie.

    Lines of a single field above a table, however many, say nothing about it.
    """
    above = next((k for k, count in enumerate(counts) if count > 1), 0)
    below = counts[above:]
    if 0 < above <= MOST_PREAMBLE and len(below) > 1:
        width = _most_common(below[1:])
        if np.mean([abs(count - width) <= 1 for count in below]) >= MOSTLY:
            return width
    return _most_common(counts[1:] or counts)


def _most_common(counts: Sequence[int]) -> int:
    common = Counter(counts)
    most = max(common.values())
    return max(width for width, count in common.items() if count == most)


def _first_of(counts: Sequence[int], usual: int) -> int:
    """Return the first line of the table: as wide as most, or one field more or less."""
    near = [k for k, count in enumerate(counts) if abs(count - usual) <= 1 and count > 1]
    exact = counts.index(usual)
    return min([k for k in near if k >= exact - 1] or [exact])


def refuse_width(
    name: str, probe: Probe, counts: Sequence[int], start: int, usual: int, separator: str
) -> None:
    """Say that the header has another number of fields than the rows."""
    found, line = counts[start - 1], probe[start - 1][0]
    wide = counts.index(usual)
    if counts[:wide].count(found) > FEW_LINES:
        raise changed_width(name, probe[wide][0], usual, found)
    if separator == "," and usual > found:
        raise DataError(
            f"{name}: the header names {found} columns, but most lines hold {usual} fields, "
            "as if commas stood within values too (decimal signs, dates such as Sep 05, 2005): "
            "export with another separator, with decimal points, or with quotes around the values."
        )
    raise DataError(
        f"{name}: the header (line {line}) has {found} fields, most lines have {usual}, "
        "expected as many as the header: mend the header, or export a plain table."
    )


def changed_width(name: str, line: int, found: int, expected: int) -> DataError:
    """Return the fault of a file whose number of columns changes."""
    return DataError(
        f"{name}, line {line}: {found} fields, expected {expected} as in the lines above: if "
        "columns were added or left out there, make two files of it, or export it again."
    )


def _readable(probe: Probe, separator: str) -> float:
    """Say how well the cells under a separator can be read: their number times their share."""
    cells = [c for _, text in probe[1:200] for c in split_line(text, separator)]
    good = sum(is_value(cell) for cell in cells)
    return good * good / max(len(cells), 1)

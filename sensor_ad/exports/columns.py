"""What the columns of a table are, as their first cells show: numbers, times, truths or texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sensor_ad.errors import DataError
from sensor_ad.exports.cells import NULLS, TRUTHS
from sensor_ad.exports.numbers import Signs
from sensor_ad.exports.time_cells import DAY_US
from sensor_ad.exports.time_evidence import (
    MixedTimesError,
    NoTimesError,
    TimeEvidence,
    UndecidedTimesError,
    mostly,
)
from sensor_ad.exports.time_formats import FORMATS, TIME_OF_DAY
from sensor_ad.exports.times import sounds_like_time

MOSTLY = 0.9
"""Share of the first cells of a column that tells what it holds."""
NAMED = "col_"
"""How columns without a name in the header are called, with their number."""
FEW_CELLS = 40
"""Cells after which a column without a single time is none."""


class NoRowsError(DataError):
    """A table without rows: nothing to read alone, no matter among other files."""


@dataclass(frozen=True)
class Column:
    """One column of a file, as its first rows show it."""

    name: str
    position: int
    numbers: int
    """Cells that are numbers."""
    truths: int
    """Cells that are true or false."""
    texts: int
    """Cells that are anything else."""
    first_cell: str
    """The first cell that is not empty; in a column of times the first that is one."""
    first_line: int
    times: tuple[str, ...] = ()
    """Names of the time formats that nearly all cells have; none: it holds no times."""
    bare_date: bool = False
    """Whether its times are dates without a time of day."""
    clock: bool = False
    """Whether it holds times of day without a date."""
    unnamed: bool = False
    """The header has no name for it; `name` says where it stands."""
    mixed: str = ""
    """Why it is no time column although its cells are times: they are of several formats."""


def describe(
    name: str,
    position: int,
    cells: Sequence[tuple[int, str]],
    signs: Signs,
    unnamed: bool = False,
) -> Column:
    """Count what the first cells of a column are; they come with the numbers of their lines."""
    given = [(line, cell) for line, cell in cells if cell not in NULLS]
    texts = [cell for _, cell in given]
    counts = Counter(texts)
    numbers = sum(n for cell, n in counts.items() if signs.pattern.fullmatch(cell))
    truths = sum(n for cell, n in counts.items() if cell.lower() in TRUTHS)
    others = len(texts) - numbers - truths
    named = sounds_like_time(name)
    times = time_formats_of(texts, named, others)
    dates = False
    if times:
        time_us, fits = FORMATS[times[0]].read(pa.array(texts))
        clocks = (time_us % DAY_US != 0) | np.array([":" in text for text in texts])
        dates = 2 * int(clocks.sum()) < len(texts)  # reading refuses the others
        given = [pair for pair, fit in zip(given, fits, strict=True) if fit]
    return Column(
        name=name,
        position=position,
        numbers=numbers,
        truths=truths,
        texts=others,
        first_cell=given[0][1] if given else "",
        first_line=given[0][0] if given else 0,
        times=times,
        bare_date=dates and FORMATS[times[0]].scale is None,
        clock=not times and others > 0 and _are_clock(texts),
        unnamed=unnamed,
        mixed=_mixed(texts) if named and others and not times else "",
    )


def time_formats_of(texts: Sequence[str], named: bool, others: int) -> tuple[str, ...]:
    """Return the formats that nearly all cells have; plain numbers need a name that says time."""
    if not texts or not (others or named):
        return ()
    few = texts[:FEW_CELLS]
    for part in (few, texts) if len(texts) > len(few) else (texts,):
        evidence = TimeEvidence(numeric_ok=named)
        evidence.add(pa.array(part))
        if not evidence.times:
            return ()
    enough = mostly(len(texts))
    found = [r for r in evidence.readings.values() if r.fits and r.fits >= enough]
    best = max((reading.fits for reading in found), default=0)
    return tuple(r.time_format.name for r in found if r.fits == best)


def _mixed(texts: Sequence[str]) -> str:
    """Say in which two formats the times of a column are written; empty when they are not."""
    evidence = TimeEvidence()
    evidence.add(pa.array(texts))
    try:
        evidence.decide()
    except MixedTimesError as fault:
        return fault.reason
    except (NoTimesError, UndecidedTimesError):
        pass
    return ""


def _are_clock(texts: Sequence[str]) -> bool:
    return int(TIME_OF_DAY.read(pa.array(texts))[1].sum()) >= MOSTLY * len(texts)

"""Cells of a tag's column as text in, numbers out; what is no number becomes NaN and is told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sensor_ad.records import Bools, Floats

NULLS = ("", "NaN", "nan", "NAN", "NA", "N/A", "n/a", "null", "NULL", "None", "-")
"""Texts that mean: no value here."""

ABSURD = 1e300
"""No plant unit gives such a magnitude; products of two still do not overflow below 1e150, but a
reading beyond 1e300 is a defect of the export for certain."""

_NUMBER = r"[+-]?(\d+({0}\d*)?|{0}\d+)([eE][+-]?\d+)?"
_WORDS = r"[+-]?([iI][nN][fF]([iI][nN][iI][tT][yY])?|[nN][aA][nN](\(\w*\))?)"
LONGEST_NUMBER = 400
"""Characters; what is longer is looked at by no pattern of ours, so that no file can stall them."""
NUMBERS = {
    sign: re.compile(f"{_NUMBER.format(re.escape(sign))}|{_WORDS}", re.ASCII) for sign in ".,"
}
"""Decimal sign -> what Arrow's own reader takes for a number."""
TRUTHS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class Cells:
    """One column of a block, read from its texts."""

    values: Floats
    """(T,) float64, NaN where there is no value or no number."""
    bad: Bools
    """(T,) where something stands that is no number."""
    other_sign: int | None
    """First row whose number has the other decimal sign."""


def read_cells(cells: Any, decimal: str, truths: bool) -> Cells:
    """Read the texts of a column.

    Parameters
    ----------
    cells
        (T,) Arrow array of strings.
    decimal
        The decimal sign of the file.
    truths
        Whether true and false stand for 1 and 0 in this column.
    """
    texts = pc.utf8_trim_whitespace(pc.fill_null(cells, ""))
    missing = pc.is_in(texts, value_set=pa.array(NULLS))
    if truths:
        texts = _truths(texts)
    number = pc.and_(pc.invert(missing), _matches(texts, decimal))
    bad = _bools(pc.invert(pc.or_(missing, number)))
    other = np.flatnonzero(bad & _bools(_matches(texts, "," if decimal == "." else ".")))
    plain = pc.if_else(number, texts, None)
    if decimal == ",":
        plain = pc.replace_substring(plain, ",", ".")
    values = pc.fill_null(plain.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False)
    return Cells(values, bad, int(other[0]) if len(other) else None)


def _truths(texts: Any) -> Any:
    lower = pc.utf8_lower(texts)
    for word, value in TRUTHS.items():
        texts = pc.if_else(pc.equal(lower, word), f"{value:.0f}", texts)
    return texts


def _matches(texts: Any, decimal: str) -> Any:
    return pc.match_substring_regex(texts, f"^({NUMBERS[decimal].pattern})$")


def _bools(mask: Any) -> Bools:
    flags: Bools = mask.to_numpy(zero_copy_only=False)
    return flags

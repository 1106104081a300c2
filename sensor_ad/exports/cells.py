"""Cells of a tag's column as text in, numbers out; what is no number becomes NaN and is told."""

from __future__ import annotations

import re

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

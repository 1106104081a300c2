"""Cells of a whole file in, its decimal sign and its sign between thousands out.

`1.234` alone may be one and a quarter or twelve hundred: then nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from sensor_ad.exports.cells import LONGEST_NUMBER

POINT, COMMA = ".", ","
BLANKS = {" ": "a blank", "\u00a0": "a no-break blank", "\u202f": "a narrow no-break blank"}
THOUSANDS = ("", ".", ",", "'", "\u2019", *BLANKS)
"""Signs between thousands; the empty one: there is none."""
_LIKE = re.compile("[+-]?[\\d.,'\u2019 \u00a0\u202f]+(?:[eE][+-]?\\d+)?")
_PLAIN = re.compile(r"[+-]?\d{1,3}|[+-]?0+")
"""Says nothing: every reading takes it."""


@dataclass(frozen=True)
class Signs:
    """How numbers are written."""

    decimal: str = POINT
    thousands: str = ""

    @property
    def pattern(self) -> re.Pattern[str]:
        """What a number looks like."""
        return _PATTERNS[self]

    def plain(self, cell: str) -> str:
        """Return a number that fits as other programs read it."""
        if self.thousands:
            cell = cell.replace(self.thousands, "")
        return cell.replace(self.decimal, POINT)

    def told(self) -> str:
        """Say it in words."""
        decimal = "a decimal point" if self.decimal == POINT else "a decimal comma"
        if not self.thousands:
            return decimal
        sign = BLANKS.get(self.thousands, f"{self.thousands!r}")
        return f"{decimal} and {sign} between thousands"


def _pattern(signs: Signs) -> re.Pattern[str]:
    decimal, group = re.escape(signs.decimal), re.escape(signs.thousands)
    whole = rf"[1-9]\d{{0,2}}(?:{group}\d{{3}})+|\d{{1,3}}" if group else r"\d+"
    end = r"(?:[eE][+-]?\d+)?"
    return re.compile(rf"[+-]?(?:(?:{whole})(?:{decimal}\d*)?|{decimal}\d+){end}", re.ASCII)


_PATTERNS = {
    Signs(decimal, thousands): _pattern(Signs(decimal, thousands))
    for decimal in (POINT, COMMA)
    for thousands in THOUSANDS
    if decimal != thousands
}


_SHAPE = str.maketrans("23456789", "1" * 8)
"""Numbers of one shape are written alike; a leading zero is no beginning of a thousand."""


@lru_cache(maxsize=65_536)
def _fitting(shape: str) -> frozenset[Signs] | None:
    """Return the ways in which a number of this shape may be written; None: it says nothing."""
    if _PLAIN.fullmatch(shape) or not _LIKE.fullmatch(shape):
        return None
    return frozenset(s for s, pattern in _PATTERNS.items() if pattern.fullmatch(shape)) or None


def is_number(cell: str) -> bool:
    """Say whether a cell is a number in some way of writing, or in all."""
    if len(cell) > LONGEST_NUMBER:
        return False
    shape = cell.translate(_SHAPE)
    return _PLAIN.fullmatch(shape) is not None or _fitting(shape) is not None


class UndecidedNumbersError(Exception):
    """Numbers can be read in two ways, and nothing in the file says which is meant."""

    def __init__(self, example: str, where: str, readings: tuple[Signs, Signs]):
        super().__init__(example)
        self.example, self.where, self.readings = example, where, readings


class MixedNumbersError(Exception):
    """No one way of writing fits all numbers."""

    def __init__(self, one: tuple[str, str], other: tuple[str, str]):
        super().__init__(one, other)
        self.one, self.other = one, other


@dataclass
class NumberEvidence:
    """Which ways of writing numbers still fit; files and columns are merged by adding to one."""

    left: list[Signs] = field(default_factory=lambda: [*_PATTERNS])
    examples: dict[Signs, tuple[str, str]] = field(default_factory=dict)
    """A way that no longer fits -> the cell that it does not fit, and where that stands."""
    contradiction: tuple[str, str] | None = None
    """The first cell with which no way is left, and where it stands."""
    doubtful: tuple[str, str] | None = None
    """The first cell that has a sign, and where it stands."""

    def add(self, cells: Iterable[str], where: str) -> None:
        """Take cells; those that are no numbers in any way, or in every way, say nothing."""
        for cell in cells:
            fitting = None
            if len(cell) <= LONGEST_NUMBER:
                fitting = _fitting(cell.translate(_SHAPE))
            if fitting is None:
                continue
            if self.doubtful is None and not cell.lstrip("+-").isdigit():
                self.doubtful = cell, where
            if all(signs in fitting for signs in self.left):
                continue
            for signs in self.left:
                if signs not in fitting:
                    self.examples.setdefault(signs, (cell, where))
            self.left = [signs for signs in self.left if signs in fitting]
            if not self.left and self.contradiction is None:
                self.contradiction = cell, where

    def decide(self) -> Signs:
        """Return how numbers are written; point and nothing where no number has a sign.

        Raises
        ------
        UndecidedNumbersError
            Two ways fit and give different numbers.
        MixedNumbersError
            No way fits all numbers.
        """
        if self.contradiction is not None:
            fitting = _fitting(self.contradiction[0].translate(_SHAPE)) or frozenset()
            ways = sorted(fitting, key=lambda signs: bool(signs.thousands))
            before = (self.examples[signs] for signs in ways if signs in self.examples)
            raise MixedNumbersError(next(before, self.contradiction), self.contradiction)
        if self.doubtful is None:
            return Signs()
        cell, where = self.doubtful
        numbers: dict[float, Signs] = {}
        for signs in self.left:
            numbers.setdefault(float(signs.plain(cell)), signs)
        if len(numbers) > 1:
            one, other = list(numbers.values())[:2]
            raise UndecidedNumbersError(cell, where, (one, other))
        return min(
            self.left, key=lambda signs: (bool(signs.thousands), THOUSANDS.index(signs.thousands))
        )

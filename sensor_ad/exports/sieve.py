"""Lines of a CSV file in, those that are rows out; every other line is counted by its reason.

What waits at the end of a block belongs to the end of the table, unless rows follow.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

import numpy as np

from sensor_ad.errors import DataError
from sensor_ad.exports.blocks import bad_time
from sensor_ad.exports.encodings import is_control
from sensor_ad.exports.fields import Lines, blank_lines, look, mended_rows, strange_quotes
from sensor_ad.exports.tally import Tally
from sensor_ad.exports.text import TextBlock
from sensor_ad.records import Bools, Ints

RAGGED_SHARE = 1e-3
"""Share of rows with a wrong number of fields that is dropped and counted, not refused."""
FEW_RAGGED, FEW_RAGGED_SHARE = 3, 5e-3
"""So few rows are dropped up to this share: a recorder's hiccup in one day's file of 1,440 rows."""
DAMAGED_SHARE = 1e-2
"""Share of lines with binary data that is dropped and counted; one line always is."""
MOST_TRAILERS = 10
"""Lines below the last row that are no rows."""

DELETE = 127
"""The control character that is not below a blank."""
RAGGED = "wrong number of fields"
CUT_OFF = "cut off at the end of the file"
DAMAGED = "damaged line"
REPEATED = "repeated header"
TRAILER = "line below the table"

_TRAILER_WORDS = re.compile(
    r"\W*(EOF|end( of (file|data|report|list|table))?|(grand )?totals?|sum(mary)?|average|mean"
    r"|Ende|Summen?|Gesamt\w*|Mittelwert|Mittel|\d+ rows?( selected| affected)?)\b",
    re.IGNORECASE,
)
_NO_CELL = re.compile(r"[^\W\d]|[\"'(#*=\[<\x1a-]+\D")
"""How a line begins that is neither a time nor a number."""


@dataclass(frozen=True)
class Shape:
    """What the lines of a file should look like."""

    name: str
    """Of the file."""
    separator: str
    width: int
    """Fields of a row."""
    spare: bool
    """Whether the last field has no name: what stands behind a separator at the end of a line."""
    time_position: int | None
    """Which field is the time."""
    time_format: str = ""
    headers: tuple[bytes, ...] = ()
    """Lines above the rows (UTF-8, no line end); what repeats one of them is no row."""


@dataclass(frozen=True)
class Sifted:
    """The rows of a block."""

    data: bytes
    """Whole lines of `width` fields each, in valid UTF-8."""
    rows: int
    """How many there were, dropped ones included."""
    ordinals: Ints
    """(T,) which of these rows are kept."""


@dataclass(frozen=True)
class _Waiting:
    """A line below the last row so far: part of the table's end, unless rows follow."""

    line: int
    fields: int
    cell: str
    """Its first cell."""


class Sieve:
    """Tells the rows of one file from its other lines, block by block."""

    def __init__(self, shape: Shape, tally: Tally):
        self.shape, self.tally = shape, tally
        self.rows = 0
        """Met so far."""
        self.ragged = self.damaged = self.with_nul = 0
        self.first_ragged = self.first_damaged = ""
        self.waiting: list[_Waiting] = []
        self.overrun = False
        """Whether too many lines on end were like no row."""

    def suspects(self, text: TextBlock, guarded: bool, text_time: bool) -> bool:
        """Say whether a block must be sifted even if every line has the right number of fields.

        `guarded` says that a column is read as numbers or times: then a header or the like does
        not pass unnoticed. `text_time`: the time is read as text, so that damage in it would.
        """
        data = text.data
        if text.unfinished or b"\0" in data:
            return True
        if not guarded:
            tail = data[-2_000:].split(b"\n")[-MOST_TRAILERS - 1 :]
            return (
                _has_control(data)
                or any(header in data for header in self.shape.headers)
                or any(_TRAILER_WORDS.match(line.decode("utf-8", "replace")) for line in tail)
            )
        if text_time and _has_control(data):
            return True
        return b'"' in data and bool(strange_quotes(data, self.shape.separator).any())

    def passed(self, rows: int) -> None:
        """Count the rows of a block that needed no sifting."""
        if rows:
            self._settle(end=False)
            self.overrun = False
        self.rows += rows

    def sift(self, text: TextBlock) -> Sifted:
        """Return the rows of a block; count what is none.

        Raises
        ------
        DataError
            When a quote is opened and not closed.
        """
        shape, width = self.shape, self.shape.width
        lines = look(text, shape.separator)
        is_row = ~blank_lines(lines, width)
        damaged = self._damaged(lines) & is_row
        self._check_quotes(lines, damaged)
        more, less = self._spared(lines, damaged)
        headers = self._repeated(lines)
        kept = is_row & ~damaged & ~headers & ((lines.fields == width) | more | less)
        if text.unfinished:
            kept &= ~more  # its last cell may be cut off
        solid = is_row & ~damaged & ~self._is_cut_off(lines, kept)
        trailers = self._trailers(lines, kept, headers, solid)
        kept &= ~trailers
        self._count(lines, is_row, damaged, headers, trailers | kept)
        ordinals = (np.cumsum(is_row) - 1)[kept]
        rows = int(is_row.sum())
        self.rows += rows
        return Sifted(mended_rows(lines, kept, more, less, shape.separator), rows, ordinals)

    def finish(self) -> None:
        """Judge the file at its end.

        Raises
        ------
        DataError
            When too many lines are no rows.
        """
        self._settle(end=True)
        share = FEW_RAGGED_SHARE if self.ragged <= FEW_RAGGED else RAGGED_SHARE
        if self.ragged > share * self.rows:
            raise DataError(
                f"{self.shape.name}, {self.first_ragged}, expected {self.shape.width} as in the "
                f"header ({self.ragged} of {self.rows} rows are like that): mend these lines or "
                "export again."
            )
        harmed = self.damaged + self.with_nul
        if harmed > 1 and harmed > DAMAGED_SHARE * self.rows:
            raise DataError(
                f"{self.shape.name}, {self.first_damaged}: binary data ({harmed} of {self.rows} "
                "rows are like that), expected text: the file is damaged or no table; copy or "
                "export it again."
            )

    def _damaged(self, lines: Lines) -> Bools:
        """Say which lines hold control characters and are no row, or have no time, for them."""
        damaged = np.zeros(len(lines.starts), dtype=bool)
        signs = np.frombuffer(lines.text.data, dtype=np.uint8)
        places = np.flatnonzero(is_control(signs))
        if len(places) == 0:
            return damaged
        at = np.searchsorted(lines.ends, places)
        wrong = (lines.fields != self.shape.width) | lines.unclosed
        before = np.searchsorted(lines.separators, lines.starts)
        field = np.searchsorted(lines.separators, places) - before[at]
        in_time = field == (-1 if self.shape.time_position is None else self.shape.time_position)
        damaged[at[wrong[at] | in_time]] = True
        nul = np.zeros(len(lines.starts), dtype=bool)
        nul[at[signs[places] == 0]] = True
        alive = nul & ~damaged
        self.with_nul += int(alive.sum())
        if (alive | damaged).any() and not self.first_damaged:
            first = int(np.argmax(alive | damaged))
            self.first_damaged = f"line {lines.text.first_line + first}"
        return damaged

    def _is_cut_off(self, lines: Lines, kept: Bools) -> Bools:
        """Say whether the file ends within a row: then nothing is said of the lines before."""
        cut = np.zeros(len(kept), dtype=bool)
        if lines.text.unfinished and not kept[-1]:
            cut[-1] = not self._ends_a_table(lines, len(kept) - 1, full=False)
        return cut

    def _check_quotes(self, lines: Lines, damaged: Bools) -> None:
        open_ = np.flatnonzero(lines.unclosed & ~damaged)
        if len(open_) and not lines.text.unfinished:
            raise DataError(
                f"{self.shape.name}, line {lines.text.first_line + open_[0]}: a quote is opened "
                "and not closed, expected both in one line: remove it, or export without line "
                "breaks in texts."
            )

    def _spared(self, lines: Lines, damaged: Bools) -> tuple[Bools, Bools]:
        """Say which lines lack the separator at their end, and which have one too many.

        With commas, one too many may as well be a decimal comma before an empty last cell.
        """
        none = np.zeros(len(lines.starts), dtype=bool)
        off = np.flatnonzero((lines.fields != self.shape.width) & ~damaged)
        if len(off) == 0 or self.shape.width < 2:
            return none, none
        signs = np.frombuffer(lines.text.data, dtype=np.uint8)
        sign = ord(self.shape.separator)
        filled = off[lines.ends[off] > lines.starts[off]]
        ends_so = np.zeros_like(none)
        ends_so[filled] = signs[lines.ends[filled] - 1] == sign
        more = none
        if self.shape.spare:
            more = (lines.fields == self.shape.width - 1) & ~ends_so & ~damaged
            more &= lines.ends > lines.starts
        less = (lines.fields == self.shape.width + 1) & ends_so & (self.shape.separator != ",")
        return more, less

    def _repeated(self, lines: Lines) -> Bools:
        """Say which lines are those above the rows once more: one file was put behind another."""
        repeated = np.zeros(len(lines.starts), dtype=bool)
        data = lines.text.data
        for header in self.shape.headers:
            for given in (header, b"\xef\xbb\xbf" + header):  # the other file's byte-order mark
                at = data.find(given)
                while at >= 0:
                    k = int(np.searchsorted(lines.ends, at))
                    if lines.starts[k] == at and lines.ends[k] == at + len(given):
                        repeated[k] = True
                    at = data.find(given, at + len(given))
        return repeated

    def _trailers(self, lines: Lines, kept: Bools, headers: Bools, solid: Bools) -> Bools:
        """Say which lines stand below a table's last row; those at the end of the block wait."""
        trailers = np.zeros(len(lines.starts), dtype=bool)
        places = np.flatnonzero(solid)
        start = 0
        for stop in [*np.searchsorted(places, np.flatnonzero(headers)), len(places)]:
            run = self._run(lines, places[start:stop], kept)
            if len(run) < stop - start:
                self._settle(end=False)
                self.overrun = False
            if len(self.waiting) + len(run) > MOST_TRAILERS:
                self._settle(end=False)
                self.overrun = True
            elif not self.overrun:
                trailers[run] = True
                self.waiting += [self._wait(lines, k) for k in run]
            if stop < len(places):
                self._settle(end=True)
                self.overrun = False
            start = stop + 1
        return trailers

    def _run(self, lines: Lines, places: Ints, kept: Bools) -> list[int]:
        """Return those of these lines, at their end, that are like no row."""
        run: list[int] = []
        for k in map(int, places[::-1]):
            if len(run) > MOST_TRAILERS or not self._ends_a_table(lines, k, bool(kept[k])):
                break
            run.insert(0, k)
        return run

    def _ends_a_table(self, lines: Lines, k: int, full: bool) -> bool:
        cells = self._cells(lines, k)
        time = self.shape.time_position
        if full:  # a row of sums: a word in the place of the time
            if time is None or time >= len(cells):
                return False
            word = cells[time] or cells[0]
            return _TRAILER_WORDS.match(word) is not None
        first = cells[0] if cells else ""
        few = sum(map(bool, cells)) <= max(self.shape.width // 2, 1)
        return _TRAILER_WORDS.match(first) is not None or (
            few and lines.fields[k] < self.shape.width and _NO_CELL.match(first) is not None
        )

    def _cells(self, lines: Lines, k: int) -> list[str]:
        try:
            row = next(csv.reader([lines.read(k)], delimiter=self.shape.separator), [])
        except csv.Error:  # longer than any cell
            return []
        return [cell.strip() for cell in row]

    def _wait(self, lines: Lines, k: int) -> _Waiting:
        cells, fields = self._cells(lines, k), int(lines.fields[k])
        time = self.shape.time_position or 0
        cell = cells[time] if time < len(cells) else ""
        return _Waiting(lines.text.first_line + k, fields, cell)

    def _settle(self, end: bool) -> None:
        """Count the lines that wait: below the table, or among its rows."""
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            if end:
                self.tally.drop(TRAILER, f"{self.shape.name}, line {one.line}")
            elif one.fields == self.shape.width:
                raise bad_time(
                    self.shape.name, f"line {one.line}", one.cell, self.shape.time_format
                )
            else:
                self._count_ragged(one.line, one.fields)

    def _count(
        self, lines: Lines, is_row: Bools, damaged: Bools, headers: Bools, others: Bools
    ) -> None:
        """Count the lines of a block that are dropped at once; `others` is kept or waits."""
        first_line, name = lines.text.first_line, self.shape.name
        ragged = is_row & ~damaged & ~headers & ~others
        if lines.text.unfinished:
            if (damaged | ragged).any():
                self.tally.drop(CUT_OFF, f"{name}, line {first_line}")
            return
        for reason, flags in ((DAMAGED, damaged), (REPEATED, headers)):
            if flags.any():
                where = f"{name}, line {first_line + np.argmax(flags)}"
                self.tally.drop(reason, where, int(flags.sum()))
        self.damaged += int(damaged.sum())
        places = np.flatnonzero(ragged)
        if len(places):
            k = int(places[0])
            self._count_ragged(first_line + k, int(lines.fields[k]), len(places))

    def _count_ragged(self, line: int, fields: int, rows: int = 1) -> None:
        self.ragged += rows
        self.tally.drop(RAGGED, f"{self.shape.name}, line {line}", rows)
        if not self.first_ragged:
            found = f"{fields} field{'s' * (fields != 1)}" if fields else "a quote within a cell"
            self.first_ragged = f"line {line}: {found}"


def _has_control(data: bytes) -> bool:
    """Say whether there are control characters; mostly counting what is below a blank will do."""
    signs = np.frombuffer(data, dtype=np.uint8)
    below, feeds = np.count_nonzero(signs < ord(" ")), np.count_nonzero(signs == ord("\n"))
    if below == feeds and not (signs == DELETE).any():
        return False
    return bool(is_control(signs).any())

"""All cells of a time column in, block by block; its one time format out, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sensor_ad.exports.tally import quoted
from sensor_ad.exports.time_cells import DAY_US, looks, plain, read_look
from sensor_ad.exports.time_formats import (
    MONTHS,
    TimeFormat,
    by_name,
    fields_of,
    formats_of,
    known,
    whole_texts,
)
from sensor_ad.records import Bools, Floats, Ints

MOSTLY = 0.9
"""Share of cells that must be times of some format; reading refuses or drops the others."""
OTHER_SHARE = 0.001
"""Share of cells of another format that is put up with: they are faults of single lines."""
FEW_CELLS = 4
"""Of so many cells and more, one may always be another thing: a sum at the end, a header."""
CERTAIN_AFTER = 100
"""Cells that rule a format out for good: later blocks need not be read in it."""
MAX_DATES = 100_000
"""Changes of date that are kept; more there are only in a column out of order."""
MONTH_US = 30.436875 * DAY_US
"""A month of the Gregorian calendar, on average."""
BACKWARDS = 0.1
"""Share of steps against the main direction (the next tag, a late row) that may be left out."""
LONGEST_MONTH_US = 31 * DAY_US
PLAUSIBLE_FROM_US = 315_532_800_000_000  # 1980-01-01
PLAUSIBLE_TO_US = 4_133_980_800_000_000  # 2101-01-01


class UndecidedTimesError(Exception):
    """A time column can be read in two ways, and nothing in it says which is meant."""

    def __init__(
        self, reason: str, readings: tuple[TimeFormat, TimeFormat], example: str, apart: bool
    ):
        super().__init__(reason)
        self.apart = apart
        """Whether any cell of this column means different times in any two readings."""
        self.reason = reason
        self.readings = readings
        self.example = example


class MixedTimesError(Exception):
    """A time column holds times of two formats."""

    def __init__(self, reason: str, samples: tuple[str, str]):
        super().__init__(reason)
        self.reason = reason
        self.samples = samples


class NoTimesError(Exception):
    """A column holds something else than times."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


def mostly(cells: int) -> float:
    """Return how many of some cells are enough: nine in ten, or all but one of a few."""
    return min(MOSTLY * cells, cells - 1) if cells >= FEW_CELLS else MOSTLY * cells


@dataclass
class Reading:
    """What a column is like when read in one format."""

    time_format: TimeFormat
    fits: int = 0
    sample: str = ""
    """The first cell that fits."""
    misfit: tuple[int, str] | None = None
    """The first time of another format: its row, counted from 0 over all cells added, its text."""
    up: int = 0
    """Steps to a later time."""
    down: int = 0
    within_us: int = 0
    """The largest step between rows of one date."""
    across_us: list[Ints] = field(default_factory=list)
    """Steps from one date to another, with their signs."""
    starts: set[int] = field(default_factory=set)
    """Times since the month began of the first rows of dates, up to two of them."""
    ends_us: list[tuple[int, int]] = field(default_factory=list)
    """First and last time of each file."""
    dates: int = 0
    """Changes of date."""

    @property
    def ordered(self) -> bool:
        """Whether no time is earlier than the one before it in its file."""
        return self.down == 0

    def steadiness(self) -> tuple[bool, bool]:
        """Return whether dates follow each other steadily, and whether two of them may do so.

        Steadily: the step from one date to the next is, mostly, none that is not usual within a
        date. Where each date has one time, all steps are equal, or are single months. Days that
        were left out may be meant all the same: 1, 2 and 4 January read as months are the first of
        January, February and April, which shows no more.
        """
        rising = self.up >= self.down
        if min(self.up, self.down) > BACKWARDS * (self.up + self.down) or self.dates > MAX_DATES:
            return False, False
        ends_us = np.array(sorted(self.ends_us), np.int64).reshape(-1, 2)
        between_us = ends_us[1:, 0] - ends_us[:-1, 1]
        steps_us = np.concatenate([*self.across_us, between_us if rising else -between_us])
        steps_us = steps_us[steps_us > 0] if rising else -steps_us[steps_us < 0]
        if not self.within_us:
            monthly = len(self.starts) == 1
            single = bool((steps_us <= LONGEST_MONTH_US).all())
            even = len(steps_us) > 1 and bool(
                (steps_us == steps_us[0]).all() or (monthly and single)
            )
            gaps = len(steps_us) > 1 and bool(monthly or (steps_us % DAY_US == 0).all())
            return even, even or gaps
        close = int((steps_us <= self.within_us).sum())
        return bool(close) and 2 * close >= len(steps_us), close > 0

    def go_on(self, time_us: Ints) -> None:
        """Take the next times, (n,) with n > 0."""
        first_us = self.ends_us[-1][0] if self.ends_us else int(time_us[0])
        day = time_us // DAY_US
        firsts = np.append(not self.ends_us, np.diff(day) != 0)
        if self.ends_us:
            last_us = self.ends_us[-1][1]
            firsts[0] = day[0] != last_us // DAY_US
            steps_us, across = np.diff(time_us, prepend=last_us), firsts
        else:
            steps_us, across = np.diff(time_us), firsts[1:]
        self.ends_us[-1:] = [(first_us, int(time_us[-1]))]
        self.up += int((steps_us > 0).sum())
        self.down += int((steps_us < 0).sum())
        self.within_us = max(self.within_us, int(np.abs(steps_us[~across]).max(initial=0)))
        self.dates += int(across.sum())
        if self.dates <= MAX_DATES and across.any():
            self.across_us.append(steps_us[across])
        if len(self.starts) < 2:
            months = day[firsts].astype("datetime64[D]").astype("datetime64[M]")
            begun = months.astype("datetime64[D]").astype(np.int64) * DAY_US
            self.starts |= set(map(int, np.unique(time_us[firsts] - begun)[:2]))

    def merge(self, other: Reading) -> None:
        """Take what another file showed."""
        self.fits += other.fits
        self.sample = self.sample or other.sample
        self.misfit = self.misfit or other.misfit
        self.up += other.up
        self.down += other.down
        self.within_us = max(self.within_us, other.within_us)
        self.across_us += other.across_us
        self.starts |= other.starts
        self.ends_us += other.ends_us
        self.dates += other.dates


@dataclass
class TimeEvidence:
    """What the cells of a time column show; one for each file, merged to decide over all."""

    numeric_ok: bool = False
    """The column is known to be the time: plain numbers may be epochs or Excel's days."""
    cells: int = 0
    """Cells that are not empty."""
    times: int = 0
    """Cells that are times of some format."""
    readings: dict[str, Reading] = field(default_factory=dict)
    """Name of a format -> what the column is like in it."""
    examples: dict[tuple[str, str], str] = field(default_factory=dict)
    """Names of two formats -> the first cell that means different times in them."""
    stranger: str = ""
    """The first cell that is no time of any format."""
    certain: str | None = None
    """The format that is beyond doubt: later cells are read in no other."""
    first: tuple[int, str] | None = None
    """The first cell that is a time: its row and its text."""
    _rows: int = 0

    def add(self, cells: Any) -> None:
        """Take the next cells, an Arrow array of strings; empty ones and nulls say nothing."""
        cells = plain(cells)
        given = np.asarray(pc.binary_length(cells)) > 0
        found = self._read(cells, np.arange(len(cells)), self.certain)
        if self.certain:
            rest = np.flatnonzero(given & ~_fits(found, len(cells)))
            found |= self._read(cells, rest, None)
        times = _fits(found, len(cells))
        self._note_texts(cells, given, times, found)
        for name, (time_us, ok) in found.items():
            if ok.any():
                self.readings[name].fits += int(ok.sum())
                self.readings[name].go_on(time_us[ok])
        self.cells += int(given.sum())
        self.times += int(times.sum())
        self._rows += len(cells)
        self._find_certain()

    def add_numbers(self, numbers: Floats | Ints) -> None:
        """Take the next cells, (T,) numbers of a workbook or a Parquet file; NaN says nothing."""
        self.add(whole_texts(numbers))  # what they count is told by their size

    def merge(self, other: TimeEvidence) -> None:
        """Take what the cells of another file showed; the order of the files does not matter."""
        for name, reading in other.readings.items():
            if name not in self.readings:
                self.readings[name] = Reading(reading.time_format, misfit=self.first)
            self.readings[name].merge(reading)
        for name, reading in self.readings.items():
            if name not in other.readings:
                reading.misfit = reading.misfit or other.first
        self.cells += other.cells
        self.times += other.times
        for pair, text in other.examples.items():
            if pair[::-1] not in self.examples:
                self.examples.setdefault(pair, text)
        self.stranger = self.stranger or other.stranger
        self.first = self.first or other.first
        self.certain = None

    def decide(self) -> TimeFormat:
        """Return the one format of the column.

        Raises
        ------
        UndecidedTimesError
            When two formats fit, and neither a number above 12 nor the steps from row to row tell.
        MixedTimesError
            When more than one cell in a thousand has another format than the others.
        NoTimesError
            When more than one cell in ten is no time at all.
        """
        if self.times < mostly(self.cells) or not self.times:
            raise NoTimesError(
                f"{self.cells - self.times} of {self.cells} cells are no times "
                f"(the first: {quoted(self.stranger)}), expected times"
            )
        best, *others = sorted(self.readings.values(), key=lambda r: r.fits, reverse=True)
        strange = self.times - best.fits
        if strange > OTHER_SHARE * self.times:
            raise self._mixed(best, strange)
        # A format that fewer cells fit is out, if these are not themselves such faults.
        faults = (CERTAIN_AFTER - 1) * strange
        rivals = [best, *(other for other in others if best.fits - other.fits <= faults)]
        if len(rivals) == 1:
            return best.time_format
        steady = [reading.steadiness() for reading in rivals]
        if sum(may for _, may in steady) == 1 and any(is_steady for is_steady, _ in steady):
            return next(
                r.time_format for r, (is_steady, _) in zip(rivals, steady, strict=True) if is_steady
            )
        raise self._undecided(rivals)

    def _read(self, cells: Any, rows: Ints, certain: str | None) -> dict[str, tuple[Ints, Bools]]:
        """Return, for each format that some of these rows fit, (T,) times and where they fit."""
        found: dict[str, tuple[Ints, Bools]] = {}
        some = cells if len(rows) == len(cells) else cells.take(pa.array(rows))
        for at, columns, look in looks(some, known):
            for time_format in formats_of(look):
                if certain not in (None, time_format.name) or not self._allowed(time_format, look):
                    continue
                fields = fields_of(time_format, look)
                assert fields is not None
                time_us, ok = read_look(time_format.scale, fields, columns)
                if time_format.scale is not None:
                    ok &= (time_us >= PLAUSIBLE_FROM_US) & (time_us < PLAUSIBLE_TO_US)
                if time_format.name not in found:
                    n = len(cells)
                    found[time_format.name] = np.zeros(n, np.int64), np.zeros(n, bool)
                times, fits = found[time_format.name]
                times[rows[at]], fits[rows[at]] = time_us, ok
        return found

    def _allowed(self, time_format: TimeFormat, look: str) -> bool:
        """Say whether a format may be meant: plain numbers are times only where that is known."""
        return self.numeric_ok or not (time_format.scale is not None or look.isdigit())

    def _note_texts(
        self, cells: Any, given: Bools, some_time: Bools, found: dict[str, tuple[Ints, Bools]]
    ) -> None:
        """Keep the first cells that show something."""

        def text(flags: Bools) -> str:
            return str(cells[int(np.argmax(flags))].as_py())

        if not self.stranger and (given & ~some_time).any():
            self.stranger = text(given & ~some_time)
        for name, (_, ok) in found.items():
            if ok.any() and name not in self.readings:
                self.readings[name] = Reading(by_name(name), sample=text(ok), misfit=self.first)
        if self.first is None and some_time.any():
            self.first = self._rows + int(np.argmax(some_time)), text(some_time)
        for name, reading in self.readings.items():
            others = some_time & ~found[name][1] if name in found else some_time
            if reading.misfit is None and others.any():
                reading.misfit = self._rows + int(np.argmax(others)), text(others)
        for (one, (times, fits)), (other, (other_times, other_fits)) in combinations(
            found.items(), 2
        ):
            if self._apart(one, other):
                continue
            differ = fits & other_fits & (times != other_times)
            if differ.any():
                self.examples[one, other] = text(differ)

    def _apart(self, one: str, other: str) -> str:
        """Return a cell that means different times in two formats; "" when there was none."""
        return self.examples.get((one, other)) or self.examples.get((other, one), "")

    def _find_certain(self) -> None:
        if self.certain or not self.readings:
            return
        best, *others = sorted(self.readings.values(), key=lambda r: r.fits, reverse=True)
        next_fits = others[0].fits if others else 0
        if best.fits == self.times and best.fits - next_fits >= CERTAIN_AFTER:
            self.certain = best.time_format.name

    def _mixed(self, best: Reading, strange: int) -> MixedTimesError:
        _, text = best.misfit or (0, "")
        name = next(
            (
                f"as {other}"
                for other, r in self.readings.items()
                if r.time_format.read(pa.array([text]))[1][0]
            ),
            "otherwise",
        )
        return MixedTimesError(
            f"{strange} of {self.times} times are written otherwise than most: "
            f"{quoted(best.sample)} as {best.time_format.name}, {quoted(text)} {name}, expected "
            "one format: export the column in one format",
            (best.sample, text),
        )

    def _undecided(self, rivals: Sequence[Reading]) -> UndecidedTimesError:
        pairs = [(a.time_format, b.time_format) for a, b in combinations(rivals, 2)]
        apart = next((pair for pair in pairs if self._apart(pair[0].name, pair[1].name)), None)
        one, two = apart or pairs[0]
        example = self._apart(one.name, two.name) or rivals[0].sample
        meant = [f"{_date(f, example)} as {f.name}" for f in (one, two)]
        return UndecidedTimesError(
            f"{quoted(example)} is {meant[0]}, {meant[1]}, and nothing else in the column tells, "
            "expected times that can be read in one way: say which by data.time_format = "
            f'"{one.name}" or "{two.name}"',
            (one, two),
            example,
            apart is not None,
        )


def _fits(found: dict[str, tuple[Ints, Bools]], rows: int) -> Bools:
    """Return (T,) where any format fits."""
    fits: Bools = np.any([np.zeros(rows, bool), *(ok for _, ok in found.values())], axis=0)
    return fits


def _date(time_format: TimeFormat, text: str) -> str:
    """Say which day a text means."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
        microseconds=int(time_format.parse(pa.array([text]))[0])
    )
    return f"{at.day} {MONTHS[at.month - 1].title()} {at.year}"

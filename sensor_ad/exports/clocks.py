"""Times on a plant's clock in, UTC out: with daylight saving, or with standard time all year.

Where the clock shows an hour twice, the rows of the file must show both passes in order; nothing
is guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from sensor_ad.errors import UsageError
from sensor_ad.exports.time_cells import DAY_US, BadTimeError
from sensor_ad.records import Ints

YEAR_US = 365_2425 * DAY_US // 10_000
"""A year of the Gregorian calendar, in the mean."""
LOOK_EVERY = timedelta(days=2)
"""No zone changes its offset twice within it (the least is a week: Boa Vista in October 2000)."""
FIRST_YEAR, LAST_YEAR = 1900, 2200
"""Of clock changes that are looked up: stamps outside are rubbish, dropped as implausible later."""
WINTER_ZONES = ("Europe/Dublin", "Eire")
"""Where the law calls summer time the standard: the clock that is never put forward shows GMT."""
SETTLES = (
    "export in UTC or with the offset from UTC in every time, or, if the plant's clock stays on "
    'standard time all year, set data.clock = "standard time"'
)
_FIXED = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?([0-5]\d))?", re.IGNORECASE)


@dataclass(frozen=True)
class Changes:
    """When the offset of a clock from UTC changes: N times, in order."""

    utc_us: Ints
    """(N,) int64."""
    offset_us: Ints
    """(N + 1,) int64 offset before the first change, and after each."""

    @property
    def unclear_from(self) -> Ints:
        """(N,) local time from which stamps come twice (clocks go back) or never (forward)."""
        return self.utc_us + np.minimum(self.offset_us[:-1], self.offset_us[1:])

    @property
    def unclear_to(self) -> Ints:
        """(N,) local time from which stamps are clear again."""
        return self.utc_us + np.maximum(self.offset_us[:-1], self.offset_us[1:])


@dataclass(frozen=True)
class _Visit:
    """Rows one after the other whose times come twice, so far."""

    change_us: int
    """UTC of the clock's change."""
    offsets_us: tuple[int, int]
    """Of the first pass and of the second, in the order of the rows."""
    sign: int
    """1 where times rise in the file, -1 where they fall."""
    first_us: int
    """Local time of the first row."""
    last_us: int
    """Local time of the last row."""
    passes: int = 1
    """Pass that the last row is in."""
    step_us: int = 0
    """Steady step of the rows before that held on in the visit; 0: none did."""
    proven: bool = False
    """Times stepped back by half of the hour or more: both passes are there."""
    entered: bool = False
    """The row before was near: the file did not begin here, nor the rows of another tag."""


@dataclass
class Clock:
    """A plant's clock, and where the rows of one file are on it: a new one for each file."""

    zone: str
    """IANA name, or a fixed offset such as +01:00 or UTC+1."""
    standard_time: bool = False
    """Never put forward: it shows the zone's standard time all year."""
    _last_us: int = field(default=0, init=False)
    """Local time of the last row."""
    _tail_us: tuple[int, ...] = field(default=(), init=False)
    """UTC of the last three rows."""
    _visit: _Visit | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        find_zone(self.zone)

    def to_utc(self, time_us: Ints) -> Ints:
        """Turn the next rows' times into UTC.

        Parameters
        ----------
        time_us
            (T,) int64 microseconds since 1970 as the clock shows them, in the order of the file.

        Raises
        ------
        BadTimeError
            For a time that the clock never shows, or that it shows twice when the rows do not say
            beyond doubt which of both it is. `index` is the row where that became certain.
        """
        if not len(time_us):
            return time_us
        changes = changes_around(self.zone, self.standard_time, time_us)
        after = np.searchsorted(changes.unclear_from, time_us, side="right")
        utc_us = time_us - changes.offset_us[after]
        unclear = time_us < np.append(np.iinfo(np.int64).min, changes.unclear_to)[after]
        if self._visit is None and not unclear.any():
            self._remember(time_us, utc_us)
            return utc_us
        return self._resolve(time_us, utc_us, np.where(unclear, after, 0), changes)

    def finish(self) -> None:
        """Say that the file ends here.

        Raises
        ------
        BadTimeError
            When its last rows have times that come twice, and show one pass only.
        """
        visit = self._visit
        if visit is not None and not (visit.step_us or (visit.proven and visit.entered)):
            raise BadTimeError(-1, self._twice(visit, "the rows show one pass"))

    def _remember(self, time_us: Ints, utc_us: Ints) -> None:
        self._last_us = int(time_us[-1])
        self._tail_us = (*self._tail_us, *map(int, utc_us[-3:]))[-3:]

    def _resolve(self, time_us: Ints, utc_us: Ints, which: Ints, changes: Changes) -> Ints:
        """Go through the stretches of rows inside an unclear hour (its number) and outside (0)."""
        utc_us = utc_us.copy()
        borders = [0, *(1 + np.flatnonzero(np.diff(which))), len(which)]
        for start, stop in pairwise(map(int, borders)):
            rows, k = slice(start, stop), int(which[start]) - 1
            change_us = int(changes.utc_us[k]) if k >= 0 else None
            if self._visit is not None and self._visit.change_us != change_us:
                self._leave(int(utc_us[start]), start)
            if change_us is not None:
                before_us, after_us = map(int, changes.offset_us[k : k + 2])
                if after_us > before_us:
                    reason = self._never(int(time_us[start]), change_us, before_us, after_us)
                    raise BadTimeError(start, reason)
                if self._visit is None:
                    self._enter(int(time_us[start]), change_us, before_us, after_us)
                utc_us[rows] = self._pass(time_us[rows], start)
            self._remember(time_us[rows], utc_us[rows])
        return utc_us

    def _enter(self, first_us: int, change_us: int, before_us: int, after_us: int) -> None:
        """Begin with the rows of an hour that comes twice."""
        falls = bool(self._tail_us) and self._last_us >= change_us + before_us
        offsets_us = (after_us, before_us) if falls else (before_us, after_us)
        steps = {b - a for a, b in pairwise(self._tail_us)}
        steady = len(self._tail_us) == 3 and len(steps) == 1
        self._visit = _Visit(
            change_us=change_us,
            offsets_us=offsets_us,
            sign=-1 if falls else 1,
            first_us=first_us,
            last_us=first_us,
            step_us=steps.pop() if steady else 0,
            entered=bool(self._tail_us)
            and abs(first_us - offsets_us[0] - self._tail_us[-1]) <= before_us - after_us,
        )

    def _pass(self, time_us: Ints, index: int) -> Ints:
        """Return the UTC of further rows of the hour; `index` is that of the first of them."""
        visit = self._visit
        assert visit is not None
        utc_us = time_us[:, None] - np.array(visit.offsets_us)  # (n, 2): as either pass
        steps_us = visit.sign * np.diff(time_us, prepend=visit.last_us)
        half_us = abs(visit.offsets_us[0] - visit.offsets_us[1]) // 2
        passes = np.full(len(time_us), visit.passes)
        held = 0
        if visit.step_us:
            expected = self._tail_us[-1] + visit.step_us * np.arange(1, len(time_us) + 1)
            fits = utc_us == expected[:, None]
            held = int(np.argmin(np.append(fits.any(axis=1), False)))
            passes = np.where(fits[:, 1], 2, 1)
            passes[held:] = passes[held - 1] if held else visit.passes
        backs = held + np.flatnonzero(steps_us[held:] < 0)
        leaps = held + np.flatnonzero(steps_us[held:] > half_us)
        turns = len(backs) > 0 and passes[backs[0]] == 1 and -steps_us[backs[0]] >= half_us
        faults = [*leaps[:1], *backs[int(turns) :][:1]]
        if faults:
            why = "the rows are out of order there or leave out much of it"
            raise BadTimeError(index + int(min(faults)), self._twice(visit, why))
        if turns:
            passes[backs[0] :] = 2
        self._visit = replace(
            visit,
            last_us=int(time_us[-1]),
            passes=int(passes[-1]),
            step_us=visit.step_us if held == len(time_us) else 0,
            proven=visit.proven or bool((steps_us <= -half_us).any()),
        )
        resolved: Ints = np.where(passes == 1, utc_us[:, 0], utc_us[:, 1])
        return resolved

    def _leave(self, next_utc_us: int, index: int) -> None:
        """Check, at the first row after an hour that comes twice, what was taken for granted."""
        visit = self._visit
        assert visit is not None
        step_us = next_utc_us - self._tail_us[-1]
        steady = visit.step_us and step_us == visit.step_us
        # A file of falling times that begins in the hour seems to rise until its times leave it.
        if not (steady or (visit.proven and visit.sign * step_us >= 0)):
            raise BadTimeError(index, self._twice(visit, "the rows show one pass"))
        self._visit = None

    def _twice(self, visit: _Visit, why: str) -> str:
        before_us, after_us = visit.offsets_us[:: visit.sign]
        turn = _turn(visit.change_us, before_us, after_us)
        return (
            f"the clock of {self.zone} goes back {turn}, so that {_show(visit.first_us)} comes "
            f"twice, and {why}, expected both passes of that hour in order: {SETTLES}"
        )

    def _never(self, time_us: int, change_us: int, before_us: int, after_us: int) -> str:
        turn = _turn(change_us, before_us, after_us)
        return (
            f"the clock of {self.zone} goes forward {turn}, so that {_show(time_us)} does not "
            f"exist, expected times that the clock shows: {SETTLES}"
        )


def find_zone(name: str) -> tzinfo:
    """Return a zone by its IANA name, or a fixed offset.

    Raises
    ------
    UsageError
        When it is neither.
    """
    fixed = _FIXED.fullmatch(name)
    try:
        if fixed:
            east = timedelta(hours=int(fixed[2]), minutes=int(fixed[3] or 0))
            return timezone(-east if fixed[1] == "-" else east)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"timezone is {name!r}, expected an IANA name such as UTC or Europe/Berlin, or an "
            "offset such as +01:00: correct it."
        ) from None


def changes_around(zone: str, standard_time: bool, time_us: Ints) -> Changes:
    """Return the changes of a clock in the years that (T,) local times, T > 0, lie in."""
    low, high = (
        min(max(int(at) // YEAR_US + 1970 + by, FIRST_YEAR), LAST_YEAR)
        for at, by in ((time_us.min(), -1), (time_us.max(), 1))
    )
    years = list(range(low, high + 1))
    if len(years) > 4:  # stray times: leave out the years between
        at = np.clip(time_us // YEAR_US + 1970, FIRST_YEAR, LAST_YEAR)
        seen = np.unique(at)
        years = sorted({int(year) + by for year in seen for by in (-1, 0, 1)})
    return _changes_in(zone, standard_time, tuple(years))


@lru_cache(maxsize=64)
def _changes_in(zone: str, standard_time: bool, years: tuple[int, ...]) -> Changes:
    utc_us: list[int] = []
    offset_us: list[int] = []
    for year in years:
        starts_with, changes = _changes_of_year(zone, standard_time, year)
        if not offset_us:
            offset_us.append(starts_with)
        elif offset_us[-1] != starts_with:  # in years left out, where no times are
            utc_us.append(_us(datetime(year - 1, 7, 1, tzinfo=UTC)))
            offset_us.append(starts_with)
        for at, offset in changes:
            utc_us.append(at)
            offset_us.append(offset)
    return Changes(np.array(utc_us, np.int64), np.array(offset_us, np.int64))


@lru_cache(maxsize=1024)
def _changes_of_year(
    zone: str, standard_time: bool, year: int
) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Return the offset at the beginning of a UTC year, and (UTC, offset from then on)."""
    place = find_zone(zone)
    at, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    offset = first = _offset(place, zone, standard_time, at)
    changes = []
    while at < end:
        later = min(at + LOOK_EVERY, end)
        new = _offset(place, zone, standard_time, later)
        if new != offset:
            before, after = at, later
            while after - before > timedelta(seconds=1):
                middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
                if _offset(place, zone, standard_time, middle) == offset:
                    before = middle
                else:
                    after = middle
            changes.append((_us(after), new // _MICROSECOND))
        at, offset = later, new
    return first // _MICROSECOND, tuple(changes)


def _offset(place: tzinfo, zone: str, standard_time: bool, at: datetime) -> timedelta:
    local = at.astimezone(place)
    offset, saving = local.utcoffset() or timedelta(), local.dst() or timedelta()
    if not standard_time:
        return offset
    if zone in WINTER_ZONES:
        return (
            offset - timedelta(hours=1) if not saving and offset else min(offset, offset - saving)
        )
    return offset - saving


_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _us(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def _show(time_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=time_us)).replace(tzinfo=None).isoformat(" ")


def _turn(change_us: int, before_us: int, after_us: int) -> str:
    """Say from and to which time the clock is put."""
    old, new = (_EPOCH + timedelta(microseconds=change_us + by) for by in (before_us, after_us))
    return f"from {old:%Y-%m-%d %H:%M} to {new:%Y-%m-%d %H:%M}"

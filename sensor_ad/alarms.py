"""Scores come in, tile after tile; which rows are alarms goes out, and what makes events of them.

An alarm begins when the score passes the limit. It is over when its excess over the limit has faded
to a share of the highest that it had since the score was last below the release: what a fault
leaves behind, a tenth of itself yet above all that is normal, is no alarm for ever. It goes on
should the excess come halfway back to its highest, so a score that hovers does not flicker.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensor_ad.config import EventSettings
from sensor_ad.grid import Grid
from sensor_ad.limits import pause_rows
from sensor_ad.records import Bools, Floats, Ints


@dataclass(frozen=True)
class EventRules:
    """How scores become alarms, and alarms events; in rows."""

    pause: int
    """Alarms at most so many rows apart are one event."""
    min_rows: int = 0
    """Events of fewer rows, from the first alarm to the last, are dropped."""
    release: float = 1.0
    """Share of the limit that the score must fall below for an alarm to end."""
    fade: float = 0.0
    """Share of an alarm's highest excess over the limit below which it ends, too."""


def event_rules(settings: EventSettings, window: int, grid: Grid) -> EventRules:
    """Give the rules of a config in rows of a grid."""
    shortest_us = round(settings.min_length_s * 1e6)
    min_rows = -(-shortest_us // grid.period_us)
    pause = pause_rows(settings, window, grid)
    return EventRules(pause, min_rows, settings.release, settings.fade)


@dataclass
class AlarmState:
    """Whether an alarm is on, from tile to tile."""

    limit: float
    rules: EventRules
    on: bool = False
    highest: float = 0.0
    """Highest excess over the limit since the score was last below the release."""
    last: int | None = None
    """Grid row of the scorable row before."""

    def add(self, score: Floats, scorable: Bools, index: Ints) -> tuple[Bools, Bools]:
        """Take the next rows.

        Parameters
        ----------
        score, scorable, index
            (T,) scores, whether they count, and grid rows, increasing.

        Returns
        -------
        (T,) which of them are alarms, and which are above the limit though the alarm has faded.

        Examples
        --------
        >>> state = AlarmState(limit=4.0, rules=EventRules(pause=2, release=0.5))
        >>> score, rows = np.array([3.0, 5, 3, 1, 3, 5, 3]), np.array([0, 1, 2, 3, 4, 5, 9])
        >>> state.add(score, score > 0, rows)[0].astype(int).tolist()
        [0, 1, 1, 0, 0, 1, 0]
        >>> state = AlarmState(limit=4.0, rules=EventRules(pause=2, fade=0.5))
        >>> alarm, faded = state.add(score := np.array([5.0, 24, 15, 13, 5, 3, 5]), score > 0, rows)
        >>> alarm.astype(int).tolist(), faded.astype(int).tolist()
        ([1, 1, 1, 0, 0, 0, 1], [0, 0, 0, 1, 1, 0, 0])
        """
        at = np.flatnonzero(scorable)
        alarm, faded = np.zeros(len(score), dtype=bool), np.zeros(len(score), dtype=bool)
        if not len(at):
            return alarm, faded
        rows, values = index[at], score[at].astype(np.float64)
        before = rows[0] if self.last is None else self.last
        excess = values - self.limit
        anew = (values <= self.rules.release * self.limit) | (
            np.diff(rows, prepend=before) > self.rules.pause
        )
        highest = self._highest(excess, anew)
        fade = self.rules.fade
        begins = (excess > 0) & (excess >= (1 + fade) / 2 * highest)
        ends = anew | ((excess < fade * highest) & (fade > 0))
        # Where it neither begins nor ends, an alarm is what it was when it last did.
        known = np.maximum.accumulate(np.where(begins | ends, np.arange(len(at)), -1))
        alarm[at] = np.where(known >= 0, begins[known], self.on)
        faded[at] = (excess > 0) & ~alarm[at]
        self.on, self.last = bool(alarm[at[-1]]), int(rows[-1])
        self.highest = float(highest[-1])
        return alarm, faded

    def _highest(self, excess: Floats, anew: Bools) -> Floats:
        """(T,) highest excess so far of each stretch; `anew` begins one."""
        above = excess.clip(min=0.0)
        if not anew[0]:
            above[0] = max(above[0], self.highest)
        # Later stretches are lifted above all before them, so that one running maximum does.
        lift = np.cumsum(anew) * (float(above.max()) + 1.0)
        highest: Floats = np.maximum.accumulate(above + lift) - lift
        return highest

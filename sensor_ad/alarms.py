"""Scores come in, tile after tile; which rows are alarms goes out, and what makes events of them.

An alarm begins when the score passes the limit, and lasts until it falls below the release: so a
score that hovers about its limit is one alarm and no flicker.
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


def event_rules(settings: EventSettings, window: int, grid: Grid) -> EventRules:
    """Give the rules of a config in rows of a grid."""
    shortest_us = round(settings.min_length_s * 1e6)
    min_rows = -(-shortest_us // grid.period_us)
    return EventRules(pause_rows(settings, window, grid), min_rows, settings.release)


@dataclass
class AlarmState:
    """Whether an alarm is on, from tile to tile."""

    limit: float
    rules: EventRules
    on: bool = False
    last: int | None = None
    """Grid row of the scorable row before."""

    def add(self, score: Floats, scorable: Bools, index: Ints) -> Bools:
        """Take the next rows; returns (T,) which of them are alarms.

        Parameters
        ----------
        score, scorable, index
            (T,) scores, whether they count, and grid rows, increasing.

        Examples
        --------
        >>> state = AlarmState(limit=4.0, rules=EventRules(pause=2, release=0.5))
        >>> score, rows = np.array([3.0, 5, 3, 1, 3, 5, 3]), np.array([0, 1, 2, 3, 4, 5, 9])
        >>> state.add(score, score > 0, rows).astype(int).tolist()
        [0, 1, 1, 0, 0, 1, 0]
        """
        at = np.flatnonzero(scorable)
        alarm = np.zeros(len(score), dtype=bool)
        if not len(at):
            return alarm
        rows, values = index[at], score[at]
        before = rows[0] if self.last is None else self.last
        begins = values > self.limit
        ends = (values <= self.rules.release * self.limit) | (
            np.diff(rows, prepend=before) > self.rules.pause
        )
        # Where it neither begins nor ends, an alarm is what it was when it last did.
        known = np.maximum.accumulate(np.where(begins | ends, np.arange(len(at)), -1))
        alarm[at] = np.where(known >= 0, begins[known], self.on)
        self.on, self.last = bool(alarm[at[-1]]), int(rows[-1])
        return alarm

"""Scores of normal rows come in; how many events each limit would have given goes out.

The events of a limit are the parts that its alarms fall into. Lowering a limit begins an event at
each top of the score, and makes two of them one at each join. Tops and joins are few, so a model
keeps them, and any limit can be counted again without the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensor_ad.records import Floats, Ints


@dataclass(frozen=True)
class EventCounts:
    """Events at every limit."""

    tops: Floats
    """(K,) scores at which an event begins as the limit is lowered, rising."""
    joins: Floats
    """(M,) scores at which two events become one, rising."""

    def at(self, limit: float) -> int:
        """Count the events of one limit; an alarm is a score above it."""
        begun = len(self.tops) - int(np.searchsorted(self.tops, limit, side="right"))
        joined = len(self.joins) - int(np.searchsorted(self.joins, limit, side="right"))
        return begun - joined


def count_events(score: Floats, index: Ints, pause: int) -> EventCounts:
    """Find where events begin and join.

    Parameters
    ----------
    score
        (T,) of scorable rows.
    index
        (T,) their grid rows, increasing.
    pause
        Alarms at most so many rows apart are one event.

    Notes
    -----
    A row is the first of an event at the limits from the highest score within the pause before it
    up to its own score. What neighbouring rows share of such stretches of limits cancels.

    Examples
    --------
    >>> counts = count_events(np.array([3.0, 1, 5, 0, 0, 4]), np.arange(6), pause=2)
    >>> [counts.at(limit) for limit in (0.5, 2, 4.5)]
    [2, 2, 1]
    """
    before = _highest_before(score, index, pause)
    first = score > before
    values, place = np.unique(
        np.concatenate([score[first], before[first]]).astype(np.float64), return_inverse=True
    )
    sign = np.repeat([1, -1], int(first.sum()))
    net = np.bincount(place, weights=sign, minlength=len(values)).astype(np.int64)
    tops = np.repeat(values, np.maximum(net, 0))
    joins = np.repeat(values, np.maximum(-net, 0))
    return EventCounts(tops, joins[np.isfinite(joins)])


def _highest_before(score: Floats, index: Ints, pause: int) -> Floats:
    """(T,) the highest score of the rows at most `pause` before each, −inf where there is none.

    The highest of 1, 2, 4 … rows is made by doubling; a stretch of any length is two of those.
    """
    rows = np.arange(len(score))
    start = np.searchsorted(index, index - pause)
    length = rows - start
    most = np.full(len(score), -np.inf)
    highest, size = score.astype(np.float64), 1
    while (length >= size).any():
        some = np.flatnonzero((length >= size) & (length < 2 * size))
        most[some] = np.maximum(highest[start[some]], highest[rows[some] - size])
        highest = np.concatenate(
            [np.maximum(highest[:-size], highest[size:]), np.full(size, -np.inf)]
        )
        size *= 2
    return most

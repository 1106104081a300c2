"""Slots of a history come in; what slow change is normal goes out.

The *slow level* of a tag is the median over a day of readings of its hourly means (`slow_slots.py`;
of a short history, over a quarter of what the network did not learn from, in 24 slots).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensor_ad.records import Floats
from sensor_ad.slow_slots import SlowSlots, slow_level

DAY_S = 86_400
"""A span at most, seconds: the cycle of shifts and of the sun is not called slow."""
SPAN_SLOTS = 24
"""Slots of a span: hours of a day."""
LEAST_SPANS = 4
"""Spans that the network did not learn from, from which can be told what is normal."""
LEAST_WINDOWS = 8
"""Windows of a span at least, when it is shorter than a day: the score itself looks at four."""
CONFIDENCE = 0.99
"""Of the interval in which a further span is expected."""
LEAST_BAND = 0.1
"""Least half width of the band, and leeway of the ranges, in spreads of the tag."""


@dataclass(frozen=True)
class SlowNormal:
    """What slow change is normal for each of C tags, plant units."""

    slot_rows: int
    """Grid rows of a slot."""
    spans: int
    """Spans from which the band was learnt."""
    usual: Floats
    """(C,) mean slow level of reading − expected in rows that the network did not learn from."""
    band: Floats
    """(C,) half width of the normal band around it; infinite where it cannot be told."""
    span_low: Floats
    span_high: Floats
    """(C,) lowest and highest slow level in the whole history; NaN where there is none."""
    slot_low: Floats
    slot_high: Floats
    """(C,) lowest and highest mean of a slot in the whole history."""
    answers: Floats
    """(C, C) by how much the residual of the row's tag changes when the column's is off by one."""

    @property
    def span_rows(self) -> int:
        """Grid rows of a span."""
        return SPAN_SLOTS * self.slot_rows


def slot_rows(held: int, period_us: int, window: int) -> int | None:
    """Choose the rows of a slot, 1/24 of a span.

    Parameters
    ----------
    held
        Rows that the network did not learn from.
    period_us
        Step of the grid, microseconds.
    window
        L, rows.

    Returns
    -------
    None when the history is too short to tell what slow change is normal.

    Examples
    --------
    >>> slot_rows(10_000, 60_000_000, 64), slot_rows(4_000, 60_000_000, 64)
    (60, 41)
    >>> slot_rows(1_000, 60_000_000, 64)
    """
    day = max(round(DAY_S * 1e6 / period_us), SPAN_SLOTS)
    span = min(day, held // LEAST_SPANS)
    least = max(SPAN_SLOTS, min(day, LEAST_WINDOWS * window))
    return span // SPAN_SLOTS if span >= least else None


def fit_slow_normal(
    held: SlowSlots, whole: SlowSlots, spread: Floats, answers: Floats
) -> SlowNormal:
    """Learn what slow change is normal.

    The band is Student's interval for one further span, given the spans seen: wide when they are
    few. It is never narrower than the farthest that was seen.

    Parameters
    ----------
    held
        Slots of the rows that the network did not learn from.
    whole
        Slots of the whole history; what is expected is not looked at.
    spread
        (C,) plant units that become 1 (`Preparation.scale`).
    answers
        (C, C) of the network (`slow_echo.py`).
    """
    from scipy import stats  # dear to import, and scoring needs none of it

    C = len(spread)
    residual, usual, band = held.residual, np.zeros(C), np.full(C, np.inf)
    strayed = slow_level(residual, SPAN_SLOTS)
    counts = np.isfinite(residual).sum(axis=0) // SPAN_SLOTS
    for c in np.flatnonzero(counts >= LEAST_SPANS):
        seen, n = strayed[np.isfinite(strayed[:, c]), c], int(counts[c])
        usual[c] = seen.mean()
        student = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.sqrt(1 + 1 / n)
        # Spans that overlap tell of their spread, but only those side by side count as seen.
        deviation = np.sqrt(np.square(seen - usual[c]).mean() * n / (n - 1))
        farthest = np.abs(seen - usual[c]).max()
        band[c] = max(student * deviation, farthest, LEAST_BAND * spread[c])
    spans_low, spans_high = _range(slow_level(whole.reading, SPAN_SLOTS))
    slots_low, slots_high = _range(whole.reading)
    return SlowNormal(
        slot_rows=whole.width_rows,
        spans=int(counts.max(initial=0)),
        usual=usual,
        band=band,
        span_low=spans_low - LEAST_BAND * spread,
        span_high=spans_high + LEAST_BAND * spread,
        slot_low=slots_low - LEAST_BAND * spread,
        slot_high=slots_high + LEAST_BAND * spread,
        answers=answers,
    )


def _range(values: Floats) -> tuple[Floats, Floats]:
    """Lowest and highest value of each column; NaN where there is none."""
    known = np.isfinite(values)
    low = np.where(known, values, np.inf).min(axis=0, initial=np.inf)
    high = np.where(known, values, -np.inf).max(axis=0, initial=-np.inf)
    some = known.any(axis=0)
    return np.where(some, low, np.nan), np.where(some, high, np.nan)

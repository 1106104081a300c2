"""What is wrong with each tag: readings come in chunk by chunk, one finding per tag goes out.

While rows pass, only sums of fixed size are kept (`tag_history.py`); what they mean is judged once,
at the end (`tag_faults.py`).
"""

from __future__ import annotations

from datetime import UTC, tzinfo

import numpy as np

from sensor_ad.records import Availability, Floats, Ints, Quality, Tag, TagQuality
from sensor_ad.tag_drift import judge_drift
from sensor_ad.tag_faults import find_codes, judge, judge_stuck
from sensor_ad.tag_history import (
    ExtremeCount,
    Fault,
    GapCount,
    HoldCount,
    JumpCount,
    PeriodProbe,
    TagHistory,
)
from sensor_ad.tag_levels import judge_levels, levels_of
from sensor_ad.tag_slots import SlotCount

BLOCK_CELLS = 2**16
"""Values that are looked at together, so that they stay in the processor's cache."""
LEAST_BLOCK, MOST_BLOCK = 1024, 8192
"""Rows of such a block."""


class QualityCount:
    """Running counts per tag, independent of how an export was cut into chunks."""

    def __init__(self, tags: tuple[Tag, ...]) -> None:
        self.tags = tags
        C = len(tags)
        self.rows = 0
        self.missing = np.zeros(C, dtype=np.int64)
        self.bad = np.zeros(C, dtype=np.int64)
        self.uncertain = np.zeros(C, dtype=np.int64)
        self.out_of_range = np.zeros(C, dtype=np.int64)
        self.low = np.full(C, np.inf)
        self.high = np.full(C, -np.inf)
        self.total = np.zeros(C)
        low = [np.nan if tag.low is None else tag.low for tag in tags]
        high = [np.nan if tag.high is None else tag.high for tag in tags]
        self._range = np.array(low, dtype=float), np.array(high, dtype=float)
        self._ranged = bool(np.isfinite(low).any() or np.isfinite(high).any())
        self._slots, self._holds, self._jumps = SlotCount(C), HoldCount(C), JumpCount(C)
        self._highest, self._lowest = ExtremeCount(C, highest=True), ExtremeCount(C, highest=False)
        self._gaps, self._probe = GapCount(C), PeriodProbe()
        self._before = np.full((C, 2), np.nan)
        """The last two rows, for what is seen from row to row."""
        self._last_us = 0

    @property
    def longest_hold(self) -> Ints:
        """(C,) longest stretch of equal values, rows."""
        holds = [self._holds.holds(c) for c in range(len(self.tags))]
        good = np.isfinite(self.low)
        return np.array([h[0].rows if h else int(g) for h, g in zip(holds, good, strict=True)])

    def add(self, time_us: Ints, values: Floats, quality: Ints | None = None) -> Floats:
        """Count a chunk, and hide what is physically impossible.

        Parameters
        ----------
        time_us
            (T,) UTC microseconds, going on from the chunk before.
        values
            (T, C) readings in plant units, NaN where missing.
        quality
            (T, C) `Quality`; None when the export has none.

        Returns
        -------
        (T, C) the same, with values outside the physical range as NaN.
        """
        if not len(values):
            return values
        self.rows += len(values)
        finite = np.isfinite(values)
        everything = bool(finite.all())
        missing = None if everything else ~finite
        bad = uncertain = None
        if quality is not None:
            bad = (quality == Quality.BAD) & ~finite
            missing = ~finite & ~bad
            uncertain = finite & ((quality == Quality.UNCERTAIN) | (quality == Quality.SUBSTITUTED))
            self.bad += bad.sum(axis=0)
            self.uncertain += uncertain.sum(axis=0)
        if missing is not None:
            self.missing += missing.sum(axis=0)
        if self._ranged:
            outside = (values < self._range[0]) | (values > self._range[1])
            if outside.any():
                self.out_of_range += outside.sum(axis=0)
                values = np.where(outside, np.nan, values)
                finite &= ~outside
                everything = False
                bad = outside if bad is None else bad | outside
                uncertain = None if uncertain is None else uncertain & ~outside
        good = values if everything else np.where(finite, values, np.nan)
        self.total += good.sum(axis=0) if everything else np.nansum(good, axis=0)
        self._probe.add(time_us, good)
        self._gaps.add(time_us, None if everything else finite)
        self._slots.add(time_us, good, self._before[:, 1], (missing, bad, uncertain))
        rows = int(np.clip(BLOCK_CELLS // max(len(self.tags), 1), LEAST_BLOCK, MOST_BLOCK))
        for start in range(0, len(good), rows):
            block = slice(start, start + rows)
            self._look(time_us[block], good[block], everything)
        return values

    def _look(self, time_us: Ints, good: Floats, whole: bool) -> None:
        """See what is remarkable in a block of (T, C) values."""
        values = np.empty((good.shape[1], len(good) + 2))
        values[:, :2], values[:, 2:] = self._before, good.T
        block = values[:, 2:]
        steps = values[:, 1:] - values[:, :-1]
        same = steps[:, 1:] == 0
        # The last row's neighbour is not here yet, so that spikes are looked for one row back.
        times = np.concatenate([[self._last_us], time_us[:-1]])
        self._jumps.add(times, values[:, 1:-1], steps)
        self._holds.add(time_us, block, same)
        if whole:
            low, high = block.min(axis=1), block.max(axis=1)
        else:
            low, high = np.fmin.reduce(block, axis=1), np.fmax.reduce(block, axis=1)
        self._lowest.add(time_us, block, low, same)
        self._highest.add(time_us, block, high, same)
        self.low, self.high = np.fmin(self.low, low), np.fmax(self.high, high)
        self._before = values[:, -2:].copy()
        self._last_us = int(time_us[-1])

    def findings(
        self, kinds: tuple[str, ...], usual_hold: Ints | None = None, zone: tzinfo = UTC
    ) -> list[TagQuality]:
        """Sum up, one finding per tag.

        Parameters
        ----------
        kinds
            (C,) kinds of the tags.
        usual_hold
            (C,) longest stretch of equal values in training, rows; None in training itself.
        zone
            The plant's clock, for times in sentences.
        """
        histories = self._histories(kinds)
        faults = self._faults(histories, usual_hold, zone)
        return [
            TagQuality(
                tag=self.tags[c].name,
                rows=self.rows,
                missing=int(self.missing[c]),
                out_of_range=int(self.out_of_range[c]),
                low=float(self.low[c]) if one.good else float("nan"),
                high=float(self.high[c]) if one.good else float("nan"),
                mean=float(self.total[c] / one.good) if one.good else float("nan"),
                longest_hold=one.longest_hold,
                kind=kinds[c],
                remarks=tuple(fault.sentence for fault in faults[c]),
                bad=int(self.bad[c]),
                uncertain=int(self.uncertain[c]),
                held=int(self._holds.repeated[c]),
                longest_gap=one.gap,
                period_s=one.period_s,
                jitter_s=one.jitter_s,
                faults=tuple(fault.kind for fault in faults[c]),
            )
            for c, one in enumerate(histories)
        ]

    def _faults(
        self, histories: list[TagHistory], usual_hold: Ints | None, zone: tzinfo
    ) -> list[list[Fault]]:
        """Judge every tag by itself, and all of them side by side."""
        slots = self._slots.slots()
        codes = [find_codes(one) for one in histories]
        sample = levels_of(slots, [[code.value for code in found] for found in codes])
        usual = [None if usual_hold is None else int(usual_hold[c]) for c in range(len(histories))]
        stuck = judge_stuck(histories, codes, usual, zone)
        levels = judge_levels(histories, slots, sample, zone)
        drifts = judge_drift(histories, slots, sample, zone)
        return [
            [
                *judge(one, codes[c], sample[:, c], slots.step[:, c], zone),
                *stuck[c],
                *levels[c],
                *drifts[c],
            ]
            for c, one in enumerate(histories)
        ]

    def availability(self) -> Availability:
        """Give the share of good, uncertain, bad and missing values over time."""
        slots = self._slots.slots()
        rows = np.maximum(slots.rows, 1)[:, None]
        parts = [part / rows for part in (slots.uncertain, slots.bad, slots.missing)]
        shares = np.stack([1.0 - sum(parts), *parts], axis=2)
        names = tuple(tag.name for tag in self.tags)
        return Availability(slots.start_us, slots.width_us, slots.rows, shares, names)

    def _histories(self, kinds: tuple[str, ...]) -> list[TagHistory]:
        periods = self._probe.periods()
        longest = self.longest_hold
        return [
            TagHistory(
                tag=tag,
                kind=kinds[c],
                rows=self.rows,
                good=self.rows - int(self.missing[c] + self.bad[c] + self.out_of_range[c]),
                missing=int(self.missing[c]),
                bad=int(self.bad[c]),
                uncertain=int(self.uncertain[c]),
                out_of_range=int(self.out_of_range[c]),
                longest_hold=int(longest[c]),
                holds=self._holds.holds(c),
                lowest=self._lowest.extremes(c),
                highest=self._highest.extremes(c),
                jump_height=self._jumps.height[c],
                jump_value=self._jumps.value[c],
                jump_us=self._jumps.time_us[c],
                gap=self._gaps.gap(c) if self.rows else None,
                period_s=_known(periods[c, 0]) if self.rows else None,
                jitter_s=_known(periods[c, 1]) if self.rows else None,
            )
            for c, tag in enumerate(self.tags)
        ]


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

"""The slow level and residual of one tag come in; its status and its drifts go out.

The rule stands in `slow_change.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sensor_ad.records import Bools, Floats, Ints, Tag
from sensor_ad.slow_slots import SlowSlots
from sensor_ad.trend import Trend, trend

LASTING = 1.5
"""Spans for which a change must last without a break: faults of a shift or a day are events."""
LEAST_ANSWER = 0.2
"""Part of an offset that a residual must show, for the offset to be told from it."""
MOVED = 0.25
"""Share of the band by which a tag must move to be called growing, or on its way to the edge."""

Status = Literal[
    "drift", "beyond training", "unclear", "normal change", "as in training", "not judged"
]
ORDER: tuple[Status, ...] = (
    "drift", "beyond training", "unclear", "normal change", "as in training", "not judged",
)  # fmt: skip
"""The worst first."""


@dataclass(frozen=True)
class Drift:
    """A stretch of time in which a tag's slow residual was outside its band, on one side."""

    start_us: int
    """First slot, UTC microseconds."""
    end_us: int
    """End of the last slot."""
    open: bool
    """Whether it lasted to the end of the export."""
    farthest: float
    """Slow residual farthest from usual, plant units, with its sign."""
    last: float
    """Slow residual at its end."""
    per_day: float
    """Robust slope, plant units a day; positive upwards."""
    course: Literal["growing", "steady", "going back"]
    alone: float
    """By how much the sensor is off, plant units, when it is the sensor alone: the network is given
    its reading, too, and follows it in part. NaN when it follows nearly all the way."""


@dataclass(frozen=True)
class TagChange:
    """How one tag has slowly changed."""

    tag: str
    unit: str
    status: Status
    level: float
    """Slow level at the end of the export, plant units; NaN when not known."""
    low: float
    high: float
    """Lowest and highest slow level in the export."""
    strayed: float
    """Slow residual farthest from usual; NaN when not known."""
    span: tuple[int, int] | None
    """From and to of the stretch with this status that lasts, else of the longest one, UTC
    microseconds; None when the status has none."""
    open: bool
    """Whether that stretch lasts to the end of the export."""
    drifts: tuple[Drift, ...] = ()
    others: tuple[str, ...] = ()
    """Other tags that were in new conditions or drifted meanwhile, when it is beyond training or
    unclear."""
    reaches_us: int | None = None
    """When it leaves its band if it goes on moving as it does; None when it does not move."""
    per_day: float = 0.0
    """How fast it moves, when it does."""
    brief: bool = False
    """Whether it left its ranges or its band, but for too short a time to count."""

    @property
    def drift(self) -> Drift | None:
        """The drift that lasts, else the farthest one."""
        return max(self.drifts, key=lambda one: (one.open, abs(one.farthest)), default=None)


def slots_of_lasting(size: int) -> int:
    """Slots for which a change must last, given those of a span."""
    return int(np.ceil(LASTING * size))


@dataclass(frozen=True)
class OneTag:
    """The slow level and residual of one tag."""

    slots: SlowSlots
    size: int
    """Slots of a span."""
    at: Ints
    """(K,) slots in which they are known."""
    level: Floats
    strayed: Floats
    """(B,)"""
    band: float
    width: Floats
    """(B,) times that it is as wide."""
    answer: float
    """Part of an offset of this tag alone that shows in its own residual."""
    since_us: int

    def judged(self, tag: Tag, beyond: Bools, changed: Bools, new: Bools) -> TagChange:
        """Tell the status.

        Parameters
        ----------
        beyond, changed
            (B,) whether its level is beyond training, or outside the slow levels of the history.
        new
            (B,) whether another tag is in new conditions, and this one is no cause by itself.
        """
        lasting, band = slots_of_lasting(self.size), self.band * self.width
        if len(self.at) < lasting:
            return self._change(tag, "not judged", [])
        certain = (np.abs(self.strayed) > band) & ~new
        drifts = [
            run
            for side in (self.strayed > self.band, self.strayed < -self.band)
            for run in self._joined(self._runs(side))
            if certain[self.at[run[0] : run[1] + 1]].sum() >= lasting
        ]
        if drifts:
            drifts.sort()
            made = tuple(self._drift(run) for run in drifts)
            return self._change(tag, "drift", drifts, drifts=made)
        unsure = np.abs(self.strayed) > band
        if runs := self._runs(beyond):
            return self._change(tag, "beyond training", runs)
        if runs := self._runs(unsure & new):
            return self._change(tag, "unclear", runs)
        if runs := self._runs(changed & ~unsure):
            return self._change(tag, "normal change", runs)
        if runs := self._runs(changed):
            return self._change(tag, "unclear", runs)
        strays = np.abs(self.strayed) > self.band
        some = (beyond | changed | strays)[self.at][self._own() :].any()
        return replace(self._change(tag, "as in training", []), brief=bool(some))

    def _runs(self, mask: Bools) -> list[tuple[int, int]]:
        """First and last known slot of the stretches that last."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], mask[self.at], [False]])))
        pairs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
        least, own = slots_of_lasting(self.size), self._own()
        return [(a, b - 1) for a, b in pairs if b - a >= least and b > own]

    def _own(self) -> int:
        """First known slot of the export itself; of a short one the last."""
        first = int(np.searchsorted(self.slots.start_us[self.at], self.since_us))
        return max(0, min(first, len(self.at) - 1))

    def _joined(self, runs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Join stretches with no more than a span between them."""
        whole: list[tuple[int, int]] = []
        for run in runs:
            if whole and run[0] - whole[-1][1] <= self.size:
                whole[-1] = (whole[-1][0], run[1])
            else:
                whole.append(run)
        return whole

    def _us(self, run: tuple[int, int]) -> tuple[int, int]:
        """Begin and end of a stretch, UTC microseconds."""
        first, last = (int(self.slots.start_us[self.at[k]]) for k in run)
        return first, last + self.slots.width_us

    def _days(self) -> Floats:
        """(K,) middle of the known slots, days."""
        days: Floats = (self.slots.start_us[self.at] + self.slots.width_us / 2) / 86_400e6
        return days

    def _drift(self, run: tuple[int, int]) -> Drift:
        lasts = run[1] == len(self.at) - 1
        # At the end of one that is over, the median is on its way back.
        part = slice(run[0], run[1] + 1 - (0 if lasts else self.size // 2))
        strayed, days = self.strayed[self.at][part], self._days()[part]
        slope, farthest = trend(days, strayed).slope, strayed[np.abs(strayed).argmax()]
        moved = slope * (days[-1] - days[0]) * np.sign(strayed[0])
        start_us, end_us = self._us(run)
        return Drift(
            start_us=start_us,
            end_us=end_us,
            open=lasts,
            farthest=float(farthest),
            last=float(strayed[-1]),
            per_day=slope,
            alone=float(strayed[-1] if lasts else farthest) / self.answer
            if self.answer >= LEAST_ANSWER
            else np.nan,
            course="growing"
            if moved >= MOVED * self.band
            else "going back"
            if moved <= -MOVED * self.band
            else "steady",
        )

    def _change(
        self,
        tag: Tag,
        status: Status,
        runs: Sequence[tuple[int, int]],
        drifts: tuple[Drift, ...] = (),
    ) -> TagChange:
        end = len(self.at) - 1
        run = max(runs, key=lambda one: (one[1] == end, one[1] - one[0]), default=None)
        own = self.at[self._own() :]
        level, strayed = self.level[own], self.strayed[own]
        known = len(own) > 0
        moving = self._moving() if status in ("normal change", "as in training") else None
        return TagChange(
            tag=tag.name,
            unit=tag.unit,
            status=status,
            level=float(level[-1]) if known else np.nan,
            low=float(level.min()) if known else np.nan,
            high=float(level.max()) if known else np.nan,
            strayed=float(strayed[np.abs(strayed).argmax()]) if known else np.nan,
            span=None if run is None else self._us(run),
            open=run is not None and run[1] == end,
            drifts=drifts,
            reaches_us=None if moving is None else moving[0],
            per_day=0.0 if moving is None else moving[1].slope,
        )

    def _moving(self) -> tuple[int, Trend] | None:
        """When the residual leaves its band if it goes on, and how fast; None when it does not.

        Spans side by side are looked at, as those that overlap go up and down together.
        """
        part = slice((len(self.at) - 1) % self.size, None, self.size)
        days, strayed = self._days()[part], self.strayed[self.at][part]
        if not np.isfinite(self.band) or len(days) < 2 or np.isnan(strayed).any():
            return None
        found = trend(days, strayed)
        length = days[-1] - days[0]
        if not found.certain or abs(found.slope) * length < MOVED * self.band:
            return None
        now = float(np.median(strayed + found.slope * (days[-1] - days)))
        left = (np.sign(found.slope) * self.band - now) / found.slope
        if not 0 < left <= length:  # no further ahead than what was seen
            return None
        return int((days[-1] + left) * 86_400e6), found

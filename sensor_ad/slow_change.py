"""Slots of a run and what is normal come in; how each tag has slowly changed goes out.

Each tag has a *slow level* (the median over a day of its hourly means, `slow_slots.py`) and a *slow
residual* (the same of reading − expected, less what is usual, and less what another tag alone makes
it stray by, `slow_cause.py`). The rule, from the worst:

- drift: the slow residual lies outside its band, on one side, for a day and a half without a break,
  and for as long no other tag is in new conditions, or this one alone explains all that stray;
- beyond training: for as long, the level lies outside every hourly mean of the history;
- unclear: for as long, the residual lies outside its band while another tag is in new conditions,
  or the level outside the slow levels of the history, explained only now and then;
- normal change: for as long, the level lies outside the slow levels of the history, and the
  residual within its band;
- as in training: none of these.

A tag is in new conditions when a quarter of a day's hourly means lie outside all of the history: of
a hot season, the hot hours are new before the day as a whole is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sensor_ad.records import Bools, Floats, Ints, Tag
from sensor_ad.slow_cause import without_echoes
from sensor_ad.slow_normal import SlowNormal
from sensor_ad.slow_slots import SlowSlots, slow_level
from sensor_ad.trend import Trend, trend

LASTING = 1.5
"""Spans for which a change must last without a break: faults of a shift or a day are events."""
NEW_SHARE = 0.25
"""Share of a span's slots whose means lie outside all of the history, in new conditions."""
LEAST_ANSWER = 0.2
"""Part of an offset that a residual must show, for the offset to be told from it."""
FEWEST_SPAN_SLOTS = 3
"""Slots of a span at least, when those of a very long run are nearly as wide as a span."""
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
    """Other tags that were in new conditions meanwhile, when it is beyond training or unclear."""
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


@dataclass(frozen=True)
class SlowChange:
    """How all tags have slowly changed in a run, the worst first in `tags`."""

    names: tuple[str, ...]
    """C tags, in the order of the columns below."""
    slots: SlowSlots
    normal: SlowNormal | None
    """None when the model does not know what is normal."""
    strayed: Floats
    """(B, C) slow residuals, plant units; NaN where not known, and of tags that cannot drift."""
    tags: tuple[TagChange, ...]
    span_us: int
    """Length of a span, microseconds."""
    least_us: int
    """Readings from which anything can be told, microseconds."""
    since_us: int = 0
    """First row of the export; earlier slots are of exports that were scored before it."""

    @property
    def told(self) -> bool:
        """Whether anything can be told of any tag."""
        return any(one.status != "not judged" for one in self.tags)

    def having(self, status: Status) -> tuple[TagChange, ...]:
        """Give the tags with a status."""
        return tuple(one for one in self.tags if one.status == status)


def judge_slow_change(
    slots: SlowSlots,
    normal: SlowNormal | None,
    tags: Sequence[Tag],
    kinds: Sequence[str],
    since_us: int = 0,
) -> SlowChange:
    """Tell how each tag has slowly changed.

    Parameters
    ----------
    slots
        The run; B slots.
    normal
        What is normal; None when it is not known.
    tags, kinds
        C tags and their kinds. Only of measurements that are continuous or count can be told
        whether they drift: set-points are set, and few states do not wander.
    since_us
        First row of the export. Slots before it, of exports that were scored before, help to tell
        what goes on; what was over by then is not told again.
    """
    names = tuple(tag.name for tag in tags)
    if normal is None:
        return SlowChange(names, slots, None, np.full(slots.reading.shape, np.nan), (), 0, 0)
    size = max(FEWEST_SPAN_SLOTS, round(normal.span_rows / slots.width_rows))
    levels = slow_level(slots.reading, size)
    residual = _of_wandering(slow_level(slots.residual, size) - normal.usual, tags, kinds)
    strayed, cause = without_echoes(residual, normal.band, normal.answers)
    outside = (slots.reading < normal.slot_low) | (slots.reading > normal.slot_high)
    known = np.where(np.isnan(slots.reading), np.nan, outside.astype(np.float64))
    fresh: Bools = slow_level(known, size, np.mean) >= NEW_SHARE
    beyond: Bools = (levels < normal.slot_low) | (levels > normal.slot_high)
    found = []
    for c, (tag, kind) in enumerate(zip(tags, kinds, strict=True)):
        one = _OneTag(
            slots=slots,
            size=size,
            at=np.flatnonzero(np.isfinite(levels[:, c])),
            level=levels[:, c],
            strayed=strayed[:, c],
            band=float(normal.band[c]),
            answer=float(normal.answers[c, c]),
            since_us=since_us,
        )
        new: Bools = np.asarray(np.delete(fresh, c, axis=1).any(axis=1)) & (cause != c)
        change: Bools = (levels[:, c] < normal.span_low[c]) | (levels[:, c] > normal.span_high[c])
        made = one.judged(_per_row(tag) if kind == "counter" else tag, beyond[:, c], change, new)
        found.append(replace(made, others=_meanwhile(made, slots, fresh, names)))
    # The worst first, and of these the one that strays farthest from its band.
    far = [abs(one.strayed) / max(b, 1e-300) for one, b in zip(found, normal.band, strict=True)]
    order = sorted(range(len(found)), key=lambda c: (ORDER.index(found[c].status), -_known(far[c])))
    return SlowChange(
        names=names,
        slots=slots,
        normal=normal,
        strayed=strayed,
        tags=tuple(found[c] for c in order),
        span_us=size * slots.width_us,
        least_us=(size + _lasting(size) - 1) * slots.width_us,
        since_us=since_us,
    )


def _of_wandering(strayed: Floats, tags: Sequence[Tag], kinds: Sequence[str]) -> Floats:
    """(B, C) slow residuals of the tags that can drift, NaN of the others."""
    wanders = [
        tag.role == "measurement" and kind in ("continuous", "counter")
        for tag, kind in zip(tags, kinds, strict=True)
    ]
    return np.where(wanders, strayed, np.nan)


def _lasting(size: int) -> int:
    """Slots for which a change must last, given those of a span."""
    return int(np.ceil(LASTING * size))


def _meanwhile(
    one: TagChange, slots: SlowSlots, fresh: Bools, names: tuple[str, ...]
) -> tuple[str, ...]:
    """Other tags that were in new conditions while one was beyond training, or unclear."""
    if one.status not in ("beyond training", "unclear") or one.span is None:
        return ()
    inside = (slots.start_us >= one.span[0]) & (slots.start_us < one.span[1])
    there = [bool(fresh[inside, c].any()) for c in range(len(names))]
    return tuple(name for name, so in zip(names, there, strict=True) if so and name != one.tag)


@dataclass(frozen=True)
class _OneTag:
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
        lasting = _lasting(self.size)
        if len(self.at) < lasting:
            return self._change(tag, "not judged", [])
        drifts = [
            run
            for side in (self.strayed > self.band, self.strayed < -self.band)
            for run in self._joined(self._runs(side))
            if (~new[self.at[run[0] : run[1] + 1]]).sum() >= lasting
        ]
        if drifts:
            drifts.sort()
            made = tuple(self._drift(run) for run in drifts)
            return self._change(tag, "drift", drifts, drifts=made)
        unsure = np.abs(self.strayed) > self.band
        if runs := self._runs(beyond):
            return self._change(tag, "beyond training", runs)
        if runs := self._runs(unsure & new):
            return self._change(tag, "unclear", runs)
        if runs := self._runs(changed & ~unsure):
            return self._change(tag, "normal change", runs)
        if runs := self._runs(changed):
            return self._change(tag, "unclear", runs)
        some = (beyond | changed | unsure)[self.at][self._own() :].any()
        return replace(self._change(tag, "as in training", []), brief=bool(some))

    def _runs(self, mask: Bools) -> list[tuple[int, int]]:
        """First and last known slot of the stretches that last."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], mask[self.at], [False]])))
        pairs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
        least, own = _lasting(self.size), self._own()
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


def _known(value: float) -> float:
    """Zero for what is not known."""
    return value if np.isfinite(value) else 0.0


def _per_row(tag: Tag) -> Tag:
    """Say that a counter's increase from row to row is what is looked at."""
    return Tag(tag.name, f"{tag.unit} per row".lstrip())

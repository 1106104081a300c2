"""Slots of a run and what is normal come in; how each tag has slowly changed goes out.

Each tag has a *slow level* (the median over a day of its hourly means, `slow_slots.py`) and a *slow
residual* (the same of reading − expected, less what is usual, and less what another tag alone makes
it stray by, `slow_cause.py`). The rule, from the worst:

- drift: the slow residual lies outside its band, on one side, for a day and a half without a break;
  for as long, that is certain: no other tag is in new conditions, or this one alone explains all
  that stray, and it lies outside the wide band, too (see below);
- beyond training: for as long, the level lies outside every hourly mean of the history;
- unclear: for as long, the residual lies outside its band while another tag is in new conditions,
  or the level outside the slow levels of the history, explained only now and then;
- normal change: for as long, the level lies outside the slow levels of the history, and the
  residual within its band (within the narrow one, when another tag drifts meanwhile: else unclear);
- as in training: none of these.

The band is three times as wide while another tag's level is outside the history's: there, the
network expects at the edge of what it knows. A drift begins where the narrow one was left. A tag is
in new conditions when a quarter of a day's hourly means lie outside all of the history: of a hot
season, the hot hours are new before the day as a whole is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sensor_ad.records import Bools, Floats, Tag
from sensor_ad.slow_cause import without_echoes
from sensor_ad.slow_normal import SlowNormal
from sensor_ad.slow_slots import SlowSlots, slow_level
from sensor_ad.slow_tag import ORDER, OneTag, Status, TagChange, slots_of_lasting

WIDER = 3.0
"""Times that the band is as wide while another tag's level is one that the history did not have:
what is expected there is less certain."""
NEW_SHARE = 0.25
"""Share of a span's slots whose means lie outside all of the history, in new conditions."""
FEWEST_SPAN_SLOTS = 3
"""Slots of a span at least, when those of a very long run are nearly as wide as a span."""


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
    changed: Bools = (levels < normal.span_low) | (levels > normal.span_high)
    found = []
    for c, (tag, kind) in enumerate(zip(tags, kinds, strict=True)):
        one = OneTag(
            slots=slots,
            size=size,
            at=np.flatnonzero(np.isfinite(levels[:, c])),
            level=levels[:, c],
            strayed=strayed[:, c],
            band=float(normal.band[c]),
            width=np.where(np.delete(changed, c, axis=1).any(axis=1), WIDER, 1.0),
            answer=float(normal.answers[c, c]),
            since_us=since_us,
        )
        new: Bools = np.asarray(np.delete(fresh, c, axis=1).any(axis=1)) & (cause != c)
        shown = _per_row(tag) if kind == "counter" else tag
        made = one.judged(shown, beyond[:, c], changed[:, c], new)
        found.append(replace(made, others=_meanwhile(made, slots, fresh, names)))
    found = [_doubted(one, b, found) for one, b in zip(found, normal.band.tolist(), strict=True)]
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
        least_us=(size + slots_of_lasting(size) - 1) * slots.width_us,
        since_us=since_us,
    )


def _doubted(one: TagChange, band: float, all_tags: Sequence[TagChange]) -> TagChange:
    """Call a change unclear when it is explained only just, while another tag drifts."""
    if one.status != "normal change" or one.span is None or not abs(one.strayed) > band:
        return one
    start, end = one.span
    drifting = tuple(
        other.tag
        for other in all_tags
        if any(drift.start_us < end and start < drift.end_us for drift in other.drifts)
    )
    return replace(one, status="unclear", others=drifting) if drifting else one


def _of_wandering(strayed: Floats, tags: Sequence[Tag], kinds: Sequence[str]) -> Floats:
    """(B, C) slow residuals of the tags that can drift, NaN of the others."""
    wanders = [
        tag.role == "measurement" and kind in ("continuous", "counter")
        for tag, kind in zip(tags, kinds, strict=True)
    ]
    return np.where(wanders, strayed, np.nan)


def _meanwhile(
    one: TagChange, slots: SlowSlots, fresh: Bools, names: tuple[str, ...]
) -> tuple[str, ...]:
    """Other tags that were in new conditions while one was beyond training, or unclear."""
    if one.status not in ("beyond training", "unclear") or one.span is None:
        return ()
    inside = (slots.start_us >= one.span[0]) & (slots.start_us < one.span[1])
    there = [bool(fresh[inside, c].any()) for c in range(len(names))]
    return tuple(name for name, so in zip(names, there, strict=True) if so and name != one.tag)


def _known(value: float) -> float:
    """Zero for what is not known."""
    return value if np.isfinite(value) else 0.0


def _per_row(tag: Tag) -> Tag:
    """Say that a counter's increase from row to row is what is looked at."""
    return Tag(tag.name, f"{tag.unit} per row".lstrip())

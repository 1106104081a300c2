"""An even sample of all tags in time comes in; steps, changed units, drifts and copies go out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo

import numpy as np

from sensor_ad.records import Bools, Floats
from sensor_ad.tag_history import Fault, TagHistory
from sensor_ad.tag_slots import Slots
from sensor_ad.wording import clock, shorten

FEWEST = 40
"""Values of the sample from which anything is told."""
SMOOTHED = 5
"""Values whose median is taken, so that single odd ones make no level."""
LEAST_SIDE = 0.03
"""Share of the sample that a level holds for at least."""
LEVEL_GAP = 1.0
"""A step in level leaves a gap of so many times the wider range of the two levels."""
UNIT_GAP = 0.25
"""The same for a change of unit, which must fit a known ratio besides."""
UNIT_FIT = 0.35
"""How far quantiles of the two levels may differ after the conversion, as a share of the range."""
SPREAD = 1.5
"""How many times wider or narrower than after the conversion the new level's values may lie."""
UNITS: tuple[tuple[float, float, str], ...] = (
    (1.8, 32.0, "°C to °F"),
    (1.0, 273.15, "°C to K"),
    (100.0, 0.0, "×100, as bar to kPa"),
    (14.5038, 0.0, "×14.5, as bar to psi"),
    (6.894757, 0.0, "×6.89, as psi to kPa"),
    (1000.0, 0.0, "×1000, as bar to mbar or kW to W"),
    (10.0, 0.0, "×10, as bar to m of water, or a decimal place"),
    (3.6, 0.0, "×3.6, as l/s to m³/h"),
)
"""(factor, offset, words) of conversions that are mixed up; the way back is meant as well."""
COPY_DIFFERENT, COPY_EQUAL = 20, 0.98
"""A copy has so many different values, and this share of them equal."""
SCALED = 1e-3
"""A copy in another unit strays from the straight line by this share of its range at most."""
SIMILAR = 0.999
"""Correlation from which two tags are compared value by value."""


@dataclass(frozen=True)
class _Step:
    """A tag that changed to another level and stayed, or came back once."""

    tag: int
    at: tuple[int, ...]
    """Rows of the sample with the first values of the new level, and of the old one again."""
    before: Floats
    after: Floats
    """Values at the first level and at the other one."""


def judge_levels(
    histories: Sequence[TagHistory], slots: Slots, values: Floats, zone: tzinfo
) -> list[list[Fault]]:
    """Tell steps in level, changes of unit and copies.

    Parameters
    ----------
    slots
        Where in time the sample lies.
    values
        (B, C) the sample without codes, NaN where missing.
    zone
        The plant's clock.
    """
    faults: list[list[Fault]] = [[] for _ in histories]
    steps = [found for c, one in enumerate(histories) if (found := _step(c, one, values[:, c]))]
    for step in steps:
        one = histories[step.tag]
        others = [other for other in steps if other is not step and _near(step.at, other.at)]
        faults[step.tag] += _said_step(one, step, bool(others), slots, zone)
    for c, fault in _copies(histories, values):
        faults[c].append(fault)
    return faults


def _step(c: int, one: TagHistory, column: Floats) -> _Step | None:
    """Find two levels with nothing between them, changed over once or twice."""
    if one.kind != "continuous" or one.tag.role != "measurement":
        return None
    seen = np.flatnonzero(np.isfinite(column))
    if len(seen) < FEWEST:
        return None
    smooth = _running_median(column[seen])
    ordered = np.sort(smooth)
    widest = int(np.diff(ordered).argmax())
    gap = ordered[widest + 1] - ordered[widest]
    upper = smooth > ordered[widest] + gap / 2
    changes = np.flatnonzero(np.diff(upper)) + 1
    least = max(SMOOTHED, LEAST_SIDE * len(seen))
    if not 1 <= len(changes) <= 2 or min(upper.sum(), (~upper).sum()) < least:
        return None
    new = upper != upper[0]
    before, after = smooth[~new], smooth[new]
    ranges = np.ptp(before), np.ptp(after)
    if gap < UNIT_GAP * max(ranges) or 0 in (np.median(before), np.median(after)):
        return None
    return _Step(c, tuple(int(k) for k in seen[changes]), before, after)


def _said_step(
    one: TagHistory, step: _Step, others: bool, slots: Slots, zone: tzinfo
) -> list[Fault]:
    """Say what a step looks like; a step of several tags at once is the machine's."""
    old, new = float(np.median(step.before)), float(np.median(step.after))
    unit = shorten(one.tag.unit, 20)
    when = " to ".join(clock(int(slots.start_us[k]), zone) for k in step.at)
    text = f"its level went from {old:.4g} to {new:.4g} {unit}".rstrip()
    text += f" ({'from ' if len(step.at) == 1 else ''}{when}{' on' if len(step.at) == 1 else ''})"
    words = _conversion(step.before, step.after)
    if words:
        return [Fault("unit", f"{text}, as if its unit had changed ({words})")]
    gap = max(step.after.min() - step.before.max(), step.before.min() - step.after.max())
    if others or gap < LEVEL_GAP * max(np.ptp(step.before), np.ptp(step.after)):
        return []
    return [
        Fault("step", f"{text} while no other tag changed so: recalibrated, replaced or set anew?")
    ]


def _conversion(before: Floats, after: Floats) -> str:
    """Find the change of unit that turns one level into the other."""
    shares = [0.05, 0.25, 0.5, 0.75, 0.95]
    old, new = np.quantile(before, shares), np.quantile(after, shares)
    best, words = UNIT_FIT, ""
    for factor, offset, said in UNITS:
        there, _, back = said.partition(", as ")
        for way, expected in (
            (said, factor * old + offset),
            (_reverse(there, back), (old - offset) / factor),
        ):
            # Levels may wander with the machine; the spread must have changed by the factor too.
            ends = max(np.ptp(expected), np.ptp(new), 1e-12)
            stray = np.abs(expected - new).max() / ends
            alike = 1 / SPREAD <= (np.ptp(new) + 1e-12) / (np.ptp(expected) + 1e-12) <= SPREAD
            if stray < best and alike:
                best, words = float(stray), way
    return words


def _reverse(factor: str, units: str) -> str:
    """Say the way back of a conversion."""
    if " to " in factor:
        return " to ".join(reversed(factor.split(" to ")))
    first = units.split(" or ")[0].split(", or ")[0]
    return f"÷{factor[1:]}, as {' to '.join(reversed(first.split(' to ')))}"


def _running_median(values: Floats) -> Floats:
    """(T,) median of each value with its neighbours."""
    half = SMOOTHED // 2
    padded = np.pad(values, half, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, SMOOTHED)
    smooth: Floats = np.median(windows, axis=1)
    return smooth


def _near(these: Sequence[int], those: Sequence[int]) -> bool:
    """Whether one of the rows lies next to one of the others."""
    return any(abs(one - other) <= SMOOTHED for one in these for other in those)


def _copies(histories: Sequence[TagHistory], values: Floats) -> list[tuple[int, Fault]]:
    """Find tags that are another tag once more, as it is or in another unit."""
    chosen = [
        c
        for c, one in enumerate(histories)
        if one.kind in ("continuous", "counter")
        and len(np.unique(values[np.isfinite(values[:, c]), c])) >= COPY_DIFFERENT
    ]
    table = values[:, chosen]
    seen = np.isfinite(table)
    found = []
    alike = _similar(table, seen)
    for k, c in enumerate(chosen):
        for j in np.flatnonzero(alike[k, :k]):
            both = seen[:, k] & seen[:, j]
            words = _copy_words(table[both, k], table[both, j]) if both.sum() >= FEWEST else ""
            if words:
                name = shorten(histories[chosen[j]].tag.name, 60)
                found.append((c, Fault("copy", words.format(name))))
                break
    return found


def _similar(table: Floats, seen: Bools) -> Bools:
    """(C, C) which tags are correlated nearly by 1, where both are there."""
    if not table.size:
        return np.zeros((table.shape[1],) * 2, bool)
    number = np.maximum(seen.sum(axis=0), 1)
    middle = np.where(seen, table, 0.0).sum(axis=0) / number
    centred = np.where(seen, table - middle, 0.0)
    length = np.sqrt(np.square(centred).sum(axis=0))
    unit = centred / np.maximum(length, 1e-300)
    alike: Bools = np.abs(unit.T @ unit) > SIMILAR
    return alike


def _copy_words(one: Floats, other: Floats) -> str:
    """Say how two tags are the same; empty when they are not."""
    equal = float((one == other).mean())
    if equal >= COPY_EQUAL:
        return f"equals {{}} in {'all' if equal == 1 else f'{equal:.1%} of'} rows: a copy of it"
    centred = other - other.mean()
    factor = float(centred @ (one - one.mean()) / (centred @ centred))
    stray = np.abs(one - one.mean() - factor * centred).max()
    if stray > SCALED * np.ptp(one):
        return ""
    offset = float(one.mean() - factor * other.mean())
    shift = (
        f" {'+' if offset > 0 else '-'} {abs(offset):.4g}"
        if abs(offset) > np.ptp(one) / 500
        else ""
    )
    return f"follows {{}} exactly ({factor:.5g} times it{shift}): the same signal once more"


def levels_of(slots: Slots, codes: Sequence[Sequence[float]]) -> Floats:
    """(B, C) the sample without the codes of each tag."""
    values = slots.first.copy()
    for c, found in enumerate(codes):
        if len(found):
            values[np.isin(values[:, c], found), c] = np.nan
    return values

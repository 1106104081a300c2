"""One tag's archived events in, its value and quality at other times out.

Between the events of an archive that stores exceptions only, a *stepped* tag keeps its last state,
any other one lies on the line between its points. Three things are never done: a bad value does
not become a number, what lies before a bad event is not joined to what follows it, and nothing is
known beyond the longest hold. With the words of OPC UA Part 13 (OPC 10000-13) these are *simple
bounding values* (3.1.9); its Interpolative aggregate takes *interpolated bounding values* (3.1.8),
which look past bad events and call the result uncertain: `bounds="interpolated"`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sensor_ad.records import Bools, Floats, Ints, Quality

GOOD, UNCERTAIN = np.uint8(Quality.GOOD), np.uint8(Quality.UNCERTAIN)
BAD, NO_DATA = np.uint8(Quality.BAD), np.uint8(Quality.NO_DATA)


@dataclass(frozen=True)
class Between:
    """What is taken for known between the events of a tag."""

    stepped: bool
    """Hold the last state; else a line from point to point."""
    hold_us: int | None = None
    """Longest hold of a stepped tag, longest gap of another one, microseconds; None: no limit."""
    hold_after_last: bool = False
    """Whether the last point of a tag that is not stepped is held, as uncertain. By default nothing
    is known after it: the archive will have a line there, and its direction is not known yet."""
    uncertain_is_bad: bool = False
    """Treat uncertain events as bad ones (TreatUncertainAsBad of OPC UA)."""
    bounds: Literal["simple", "interpolated"] = "simple"
    """`interpolated` looks past bad events, as OPC UA's Interpolative aggregate does; what comes of
    it is uncertain."""


def states(
    values: Floats, quality: Ints, uncertain_is_bad: bool = False
) -> tuple[Floats, Ints, Bools]:
    """Return values without bad ones, quality, and which events carry a number; each (K,)."""
    state = quality.astype(np.uint8)
    if uncertain_is_bad:
        state = np.where(state == UNCERTAIN, BAD, state)
    state = np.where((state < BAD) & ~np.isfinite(values), BAD, state)
    usable = state < BAD
    return np.where(usable, values, np.nan), state, usable


def resample(
    time_us: Ints, values: Floats, quality: Ints, grid_us: Ints, between: Between
) -> tuple[Floats, Ints]:
    """Return a tag's values and quality at other times.

    Parameters
    ----------
    time_us
        (K,) times of its events, strictly increasing, UTC microseconds. For a stretch of a longer
        history the last event before it and the first one after it are among them.
    values
        (K,) plant units.
    quality
        (K,) uint8 `Quality`.
    grid_us
        (G,) times asked for, increasing.
    between
        What is taken for known between events.

    Returns
    -------
    (G,) float64, NaN where there is no number, and (G,) uint8 `Quality`. Before the first event
    there is no data; a bad event lasts until the next one, however long that takes. On a line,
    points of different quality make the value uncertain, and so does a bad event at its end: up to
    it the last point is held.
    """
    values, state, usable = states(values, quality, between.uncertain_is_bad)
    skipped = None
    if between.bounds == "interpolated":
        skipped = time_us[~usable]
        time_us, values, state = time_us[usable], values[usable], state[usable]
        usable = np.ones(len(time_us), bool)
    if len(time_us) == 0:
        return np.full(len(grid_us), np.nan), np.full(len(grid_us), NO_DATA)
    at = np.searchsorted(time_us, grid_us, side="right") - 1
    before = np.maximum(at, 0)
    after = np.minimum(at + 1, len(time_us) - 1)
    fill = _stepped if between.stepped else _sloped
    out, out_state = fill(time_us, values, state, usable, grid_us, before, after, between)
    if skipped is not None and len(skipped):
        # The state at a time follows from what lies before it, a line from both its ends.
        end = grid_us if between.stepped else np.where(after > before, time_us[after], grid_us)
        passed = np.searchsorted(skipped, end, "right") > np.searchsorted(skipped, time_us[before])
        passed &= (grid_us > time_us[before]) & (out_state == GOOD)
        out_state = np.where(passed, UNCERTAIN, out_state)
    if skipped is not None:
        beyond = (grid_us > time_us[-1]) & (out_state == GOOD)
        out_state = np.where(beyond, UNCERTAIN, out_state)
    early = at < 0
    return np.where(early, np.nan, out), np.where(early, NO_DATA, out_state)


def _stepped(
    time_us: Ints,
    values: Floats,
    state: Ints,
    usable: Bools,
    grid_us: Ints,
    before: Ints,
    after: Ints,
    between: Between,
) -> tuple[Floats, Ints]:
    """Hold the last state, the bad ones without limit."""
    out, out_state = values[before], state[before]
    if between.hold_us is not None:
        lost = usable[before] & (grid_us - time_us[before] > between.hold_us)
        out, out_state = np.where(lost, np.nan, out), np.where(lost, NO_DATA, out_state)
    return out, out_state


def _sloped(
    time_us: Ints,
    values: Floats,
    state: Ints,
    usable: Bools,
    grid_us: Ints,
    before: Ints,
    after: Ints,
    between: Between,
) -> tuple[Floats, Ints]:
    """Join points by lines; towards a bad event hold the last point."""
    since = grid_us - time_us[before]
    gap = time_us[after] - time_us[before]
    inside = usable[before] & (since > 0)
    near = (gap > 0) & (True if between.hold_us is None else gap <= between.hold_us)
    line = inside & near & usable[after]
    held = inside & near & ~usable[after]
    if between.hold_after_last:
        last = inside & (gap == 0)
        held |= last if between.hold_us is None else last & (since <= between.hold_us)
    out = values[before]
    rise = np.where(line, values[after] - out, 0.0)
    out = out + rise * (since / np.maximum(gap, 1))
    mixed = line & (state[after] != state[before])
    out_state = np.where(mixed | held, UNCERTAIN, state[before])
    lost = inside & ~line & ~held
    return np.where(lost, np.nan, out), np.where(lost, NO_DATA, out_state)

"""Sorted events in, one event for each tag and time out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from sensor_ad.errors import DataError
from sensor_ad.exports.duplicates import COMPLEMENTARY, CONFLICTING, IDENTICAL
from sensor_ad.exports.tally import Tally, quoted
from sensor_ad.exports.times import show_time
from sensor_ad.records import Bools, Floats, Ints, Quality


@dataclass(frozen=True)
class Archived:
    """Events of any tags, sorted by tag and time."""

    time_us: Ints
    """(K,) int64 UTC microseconds."""
    tag: Ints
    """(K,) int32 number of the tag."""
    values: Floats
    """(K,) float64 plant units; NaN where the quality is bad or no data, and nowhere else."""
    quality: Ints
    """(K,) uint8 `Quality`."""

    def take(self, at: Ints | Bools) -> Self:
        """Return some of the events."""
        return type(self)(self.time_us[at], self.tag[at], self.values[at], self.quality[at])


def one_event_per_time(
    events: Archived, tags: Sequence[str], policy: str, tally: Tally
) -> Archived:
    """Merge events of one tag at one time.

    The same value (or the same kind of badness) is one event told twice; of its qualities the worse
    one counts. An event without data adds nothing to another one. Two values are in conflict, and
    so are a value and a bad one: `policy` says what becomes of them.

    Parameters
    ----------
    events
        Sorted by tag and time; at one time as they came. All events of a time are among them.
    tags
        The names.
    policy
        refuse, last (the last one that has data) or mean (of a value and a bad one: bad).
    tally
        Counts the events that are dropped.
    """
    again = (events.time_us[1:] == events.time_us[:-1]) & (events.tag[1:] == events.tag[:-1])
    if not again.any():
        return events
    firsts = np.append(True, ~again)
    among = firsts & np.append(again, False) | np.append(False, again)
    group = events.take(among)
    starts = np.flatnonzero(firsts[among])
    values, quality = _merge(group, starts, tags, policy, tally)
    merged = events.take(firsts)
    at = among[firsts]
    kept_values, kept_quality = merged.values.copy(), merged.quality.copy()
    kept_values[at], kept_quality[at] = values, quality
    return Archived(merged.time_us, merged.tag, kept_values, kept_quality)


def _merge(
    events: Archived, starts: Ints, tags: Sequence[str], policy: str, tally: Tally
) -> tuple[Floats, Ints]:
    """Return one value and quality for each group of events, which begin at `starts`."""
    empty = events.quality == Quality.NO_DATA
    told = np.where(empty, np.uint8(0), events.quality)
    worst = np.maximum.reduceat(told, starts)
    bad = worst == Quality.BAD
    number = events.quality < Quality.BAD
    given = np.add.reduceat(number, starts, dtype=np.int64)
    low = np.fmin.reduceat(events.values, starts)
    high = np.fmax.reduceat(events.values, starts)
    conflict = (low < high) | (bad & (given > 0))
    all_empty = np.logical_and.reduceat(empty, starts)
    partly = np.logical_or.reduceat(empty, starts) & ~all_empty
    if policy == "refuse" and conflict.any():
        raise _refusal(events, starts, int(np.flatnonzero(conflict)[0]), tags)
    extra = np.diff(starts, append=len(empty)) - 1
    complementary = partly & ~conflict
    reasons = {
        IDENTICAL: ~conflict & ~complementary,
        COMPLEMENTARY: complementary,
        CONFLICTING: conflict,
    }
    for reason, groups in reasons.items():
        if groups.any():
            tally.dropped[reason] += int(extra[groups].sum())
    values, quality = low, np.where(all_empty, np.uint8(Quality.NO_DATA), worst)
    if policy == "mean":
        # Added in the order of their size, so that the order in which they came has no part in it.
        of_group = np.repeat(np.arange(len(starts)), extra + 1)
        sizes = np.lexsort((events.values, of_group))
        total = np.add.reduceat(np.where(number, events.values, 0.0)[sizes], starts)
        values = np.where(low < high, total / np.maximum(given, 1), values)
    if policy == "last":
        last = np.maximum.reduceat(np.where(empty, -1, np.arange(len(empty))), starts)
        values = np.where(conflict, events.values[last], values)
        quality = np.where(conflict, events.quality[last], quality)
    return np.where(quality >= Quality.BAD, np.nan, values), quality


def _refusal(events: Archived, starts: Ints, group: int, tags: Sequence[str]) -> DataError:
    start = int(starts[group])
    stop = int(np.append(starts, len(events.tag))[group + 1])
    told = [
        "bad" if quality == Quality.BAD else f"{value:g}"
        for value, quality in zip(
            events.values[start:stop], events.quality[start:stop], strict=True
        )
        if quality != Quality.NO_DATA
    ]
    other = next((text for text in told if text != told[0]), told[-1])
    return DataError(
        f"two rows at {show_time(events.time_us[start])} differ: tag "
        f"{quoted(tags[events.tag[start]])} is {told[0]} and {other}, expected one row for each "
        "tag and time: export again, or say by data.duplicates whether the last or the mean counts."
    )

"""Sorted rows in, one row for each time out."""

from __future__ import annotations

import numpy as np

from sensor_ad.errors import DataError
from sensor_ad.exports.order import Rows
from sensor_ad.exports.tally import Tally, quoted
from sensor_ad.exports.times import show_time
from sensor_ad.records import Floats, Ints, Quality

IDENTICAL = "identical duplicate"
COMPLEMENTARY = "merged with a row of the same time"
CONFLICTING = "other values at the same time"


def one_row_per_time(rows: Rows, tags: tuple[str, ...], policy: str, tally: Tally) -> Rows:
    """Merge rows of equal time.

    Equal values are the same row twice; where one row has a value and the other none, they complete
    each other; other rows are in conflict, and `policy` says what becomes of them.

    Parameters
    ----------
    rows
        Times (T,), sorted, and values (T, C); all rows of a time are among them.
    tags
        C names.
    policy
        refuse, last (the last value that is not missing) or mean, tag by tag.
    tally
        Counts the rows that are dropped.
    """
    time_us, values, quality = rows
    again = time_us[1:] == time_us[:-1]
    if not again.any():
        return rows
    among = np.append(again, False) | np.append(False, again)
    starts = np.flatnonzero(np.append(True, ~again) & among)
    starts = np.searchsorted(np.flatnonzero(among), starts)
    merged = _merge(time_us[among], values[among], starts, tags, policy, tally)
    firsts = np.append(True, ~again)
    kept = values[firsts]
    kept[among[firsts]] = merged
    if quality is not None:
        told = quality[firsts]
        bad = np.logical_or.reduceat(quality[among] == Quality.BAD, starts, axis=0)
        lost = np.where(bad, np.uint8(Quality.BAD), np.uint8(Quality.NO_DATA))
        told[among[firsts]] = np.where(np.isnan(merged), lost, np.uint8(Quality.GOOD))
        quality = told
    return time_us[firsts], kept, quality


def _merge(
    time_us: Ints,
    values: Floats,
    starts: Ints,
    tags: tuple[str, ...],
    policy: str,
    tally: Tally,
) -> Floats:
    """Return one row for each group of rows of equal time, which begin at `starts`."""
    low = np.fmin.reduceat(values, starts, axis=0)
    high = np.fmax.reduceat(values, starts, axis=0)
    missing = np.isnan(values)
    conflict = (low < high).any(axis=1)
    partly = np.logical_or.reduceat(missing, starts, axis=0) & ~np.isnan(low)
    complementary = ~conflict & partly.any(axis=1)
    extra = np.diff(starts, append=len(values)) - 1
    reasons = {
        IDENTICAL: ~conflict & ~complementary,
        COMPLEMENTARY: complementary,
        CONFLICTING: conflict,
    }
    if policy == "refuse" and conflict.any():
        raise _refusal(time_us[starts], low, high, tags)
    for reason, groups in reasons.items():
        if groups.any():
            tally.dropped[reason] += int(extra[groups].sum())
    if policy == "mean" and conflict.any():
        given = np.add.reduceat(~missing, starts, axis=0)
        total = np.add.reduceat(np.where(missing, 0.0, values), starts, axis=0)
        return np.where(low < high, total / np.maximum(given, 1), low)
    if policy == "last" and conflict.any():
        at = np.where(missing, -1, np.arange(len(values))[:, None])
        last = np.maximum.reduceat(at, starts, axis=0)
        return np.where(last < 0, np.nan, np.take_along_axis(values, np.maximum(last, 0), axis=0))
    return low


def _refusal(time_us: Ints, low: Floats, high: Floats, tags: tuple[str, ...]) -> DataError:
    group, tag = np.argwhere(low < high)[0]
    return DataError(
        f"two rows at {show_time(time_us[group])} differ: tag {quoted(tags[tag])} is "
        f"{low[group, tag]:g} and {high[group, tag]:g}, expected one row for each time: export "
        "again, or say by data.duplicates whether the last or the mean counts."
    )

"""An even sample of all tags in time comes in; tags that drift away from all others go out.

Each tag is foretold from the others (linear and quadratic, fitted to the nine tenths of the rows
that fit best). What is left over wanders about zero; a sensor that drifts leaves it slowly, all the
way in one direction, while the other tags still fit together.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

import numpy as np

from sensor_ad.records import Bools, Floats, Ints
from sensor_ad.tag_history import Fault, TagHistory
from sensor_ad.tag_slots import Slots
from sensor_ad.wording import clock, shorten

MOST_TAGS = 40
"""More are not compared: the sample is too small for them."""
BLOCKS, LEAST_ROWS = 120, 4
"""Stretches of time in which the median of what is left over is taken, and rows in each."""
ROWS_PER_TERM = 8
"""Rows of the sample for each coefficient."""
WELL_SEEN = 0.9
"""Share of its values that a tag must have to be compared."""
KEPT_SHARE, ROUNDS = 0.9, 4
"""Rows that fit best are kept and fitted again, so many times."""
DRIFTED = 10.0
"""A tag has drifted when it ends so many times its usual deviation away …"""
BEGINS = 4.0
"""… having begun within this many …"""
LEAST_BLOCKS = 10
"""… in so many stretches at least …"""
STEADY = 1.0
"""… going back by no more than this from one to the next …"""
ALONE = 1 / 3
"""… while no other tag strays by this share of it."""
RIDGE = 1e-6
"""Share of the diagonal that is added to it: tags may be copies of one another."""


def judge_drift(
    histories: Sequence[TagHistory], slots: Slots, values: Floats, zone: tzinfo
) -> list[list[Fault]]:
    """Tell drifts.

    Parameters
    ----------
    slots
        Where in time the sample lies.
    values
        (B, C) the sample, NaN where missing.
    zone
        The plant's clock.
    """
    faults: list[list[Fault]] = [[] for _ in histories]
    chosen, rows = _comparable(histories, values)
    size = len(rows) // BLOCKS
    if len(chosen) < 2 or size < LEAST_ROWS:
        return faults
    moving = [k for k, c in enumerate(chosen) if histories[c].kind == "continuous"]
    table = values[rows][:, chosen]
    left = {k: _left_over(table, k) for k in moving}
    strayed = {k: _blocks(rest, size) / max(_deviation(rest), 1e-300) for k, rest in left.items()}
    for k in moving:
        if histories[chosen[k]].tag.role != "measurement" or _deviation(left[k]) == 0:
            continue
        found = _drift(strayed[k], [strayed[j] for j in moving if j != k])
        if found is not None:
            first, last = found
            times = slots.start_us[rows[[first * size, (last + 1) * size - 1]]]
            by = strayed[k][last] * _deviation(left[k])
            faults[chosen[k]].append(_said(histories[chosen[k]], by, times, zone))
    return faults


def _comparable(histories: Sequence[TagHistory], values: Floats) -> tuple[list[int], Ints]:
    """Tags and rows that can be compared: hardly anything is missing there."""
    seen = np.isfinite(values)
    chosen = [
        c
        for c, one in enumerate(histories)
        if one.kind in ("continuous", "few-state")
        and seen[:, c].mean() >= WELL_SEEN
        and np.ptp(values[seen[:, c], c]) > 0
    ]
    if not 2 <= len(chosen) <= MOST_TAGS:
        return [], np.empty(0, np.int64)
    rows = np.flatnonzero(seen[:, chosen].all(axis=1))
    return (chosen, rows) if len(rows) >= ROWS_PER_TERM * 2 * len(chosen) else ([], rows)


def _left_over(table: Floats, k: int) -> Floats:
    """(T,) what the other tags do not explain of tag `k`."""
    others = np.delete(table, k, axis=1)
    others = (others - others.mean(axis=0)) / np.maximum(others.std(axis=0), 1e-300)
    terms = np.concatenate([np.ones((len(table), 1)), others, others**2], axis=1)
    target, kept = table[:, k], np.ones(len(table), bool)
    rest = target
    for _ in range(ROUNDS):
        some = terms[kept]
        square = some.T @ some
        square[np.diag_indices_from(square)] *= 1 + RIDGE
        square[np.diag_indices_from(square)] += RIDGE
        rest = target - terms @ np.linalg.solve(square, some.T @ target[kept])
        kept = np.abs(rest) <= np.quantile(np.abs(rest), KEPT_SHARE)
    return rest


def _deviation(rest: Floats) -> float:
    """Median absolute deviation from zero."""
    return float(np.median(np.abs(rest)))


def _blocks(rest: Floats, size: int) -> Floats:
    """(BLOCKS,) median of each stretch."""
    medians: Floats = np.median(rest[: BLOCKS * size].reshape(BLOCKS, size), axis=1)
    return medians


def _drift(strayed: Floats, others: Sequence[Floats]) -> tuple[int, int] | None:
    """First and last stretch of a drift, if there is one."""
    for sign in (1.0, -1.0):
        away = sign * strayed
        last = int(away.argmax())
        if away[last] < DRIFTED:
            continue
        first = last
        rising: Bools = away[1:] >= away[:-1] - STEADY
        while first and away[first] > 1.0 and rising[first - 1]:
            first -= 1
        if away[first] > BEGINS or last - first + 1 < LEAST_BLOCKS:
            continue
        most = max((np.abs(other[first : last + 1]).max() for other in others), default=0.0)
        middle = away[(first + last) // 2]
        if most <= ALONE * away[last] and BEGINS / 2 <= middle <= 0.8 * away[last]:
            return first, last
    return None


def _said(one: TagHistory, by: float, times: Ints, zone: tzinfo) -> Fault:
    start, stop = (clock(int(time), zone) for time in times)
    amount = f"{by:+.3g} {shorten(one.tag.unit, 20)}".rstrip()
    return Fault(
        "drift",
        f"drifted by {amount} against what the other tags say, from {start} to {stop}",
    )

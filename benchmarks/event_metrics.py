"""How well a score finds labelled events: scores and labels of one series come in, figures go out.

Never point-adjusted: an alarm inside an event counts for the event, not for all its rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.vus import check_score, event_bounds, vus_pr
from sensor_ad.records import Bools, Floats

APART = 64
"""Rows around a peak that belong to it: as far as the widest smoothing can smear a score."""


@dataclass(frozen=True)
class SeriesFigures:
    """How good a score of one series is, whatever the limit."""

    vus_pr: float
    auc_pr: float
    """Average precision over rows."""
    auc_roc: float
    top_hit: bool
    """Every row with the highest score lies in a labelled event."""
    before_first: int
    before_third: int
    """Events found before the first and before the third false one."""
    events: int


@dataclass(frozen=True)
class AlarmFigures:
    """How good the alarms of one series are."""

    events: int
    found: int
    """Events with an alarm inside."""
    delays: tuple[int, ...]
    """Rows from the start of each event that was found to the first alarm in it."""
    false_events: int
    """Runs of alarms, at most APART rows apart being one, without a labelled row."""
    false_share: float
    """Share of the normal rows with an alarm: one endless run is one event at most."""

    @property
    def recall(self) -> float:
        """Share of the events that were found."""
        return self.found / self.events


def series_figures(score: Floats, label: Bools, window: int) -> SeriesFigures:
    """Judge the score of a series.

    Parameters
    ----------
    score
        (T,) all finite.
    label
        (T,) True where an anomaly is labelled.
    window
        Of VUS-PR, rows.

    Raises
    ------
    ValueError
        As `vus_pr`.
    """
    volume = vus_pr(score, label, window)
    return SeriesFigures(
        vus_pr=volume,
        auc_pr=float(average_precision_score(label, score)),
        auc_roc=float(roc_auc_score(label, score)),
        top_hit=top_hit(score, label),
        before_first=found_before_false(score, label, 1),
        before_third=found_before_false(score, label, 3),
        events=len(event_bounds(label)[0]),
    )


def top_hit(score: Floats, label: Bools) -> bool:
    """Say whether every row with the highest score lies in a labelled event."""
    score = check_score(score)
    return bool(np.asarray(label, dtype=bool)[score == score.max()].all())


def found_before_false(score: Floats, label: Bools, false: int, apart: int = APART) -> int:
    """Count the events found before so many false ones, peak after peak from the highest down.

    Parameters
    ----------
    score
        (T,) all finite.
    label
        (T,) True where an anomaly is labelled.
    false
        k: the count ends at the k-th false peak.
    apart
        Rows around a false peak, and around an event that was found, which are not looked at again.

    Examples
    --------
    >>> score = np.array([9.0, 0, 0, 0, 8, 0, 0, 0, 7])
    >>> label = np.array([True, False, False, False, False, False, False, False, True])
    >>> [found_before_false(score, label, k, apart=1) for k in (1, 2)]
    [1, 2]
    """
    score, label = check_score(score), np.asarray(label, dtype=bool)
    starts, ends = event_bounds(label)
    open_rows = np.ones(len(score), dtype=bool)
    left, found = false, 0
    for row in np.argsort(-score, kind="stable"):
        if not open_rows[row]:
            continue
        first = last = int(row)
        if label[row]:
            event = int(np.searchsorted(starts, row, side="right")) - 1
            first, last = int(starts[event]), int(ends[event])
            found += 1
        else:
            left -= 1
        if left == 0 or found == len(starts):
            break
        around = slice(max(first - apart, 0), last + apart + 1)
        # Rows of other events stay open: each event has its own chance.
        open_rows[around] &= label[around]
        open_rows[first : last + 1] = False
    return found


def alarm_figures(alarm: Bools, label: Bools, apart: int = APART) -> AlarmFigures:
    """Judge alarms event by event.

    Parameters
    ----------
    alarm, label
        (T,) rows with an alarm, and rows labelled as abnormal.
    apart
        Alarms at most so many rows apart are one event.

    Examples
    --------
    >>> alarm = np.array([True, False, False, False, False, True])
    >>> label = np.array([False, False, False, True, True, True])
    >>> alarm_figures(alarm, label, apart=1)  # doctest: +ELLIPSIS
    AlarmFigures(events=1, found=1, delays=(2,), false_events=1, false_share=0.333...)
    """
    alarm, label = np.asarray(alarm, dtype=bool), np.asarray(label, dtype=bool)
    starts, ends = event_bounds(label)
    delays = [
        int(np.argmax(alarm[start : end + 1]))
        for start, end in zip(starts, ends, strict=True)
        if alarm[start : end + 1].any()
    ]
    rows = np.flatnonzero(alarm)
    false = 0
    if len(rows):
        runs = np.split(rows, np.flatnonzero(np.diff(rows) > apart) + 1)
        false = sum(not label[run[0] : run[-1] + 1].any() for run in runs)
    share = float(alarm[~label].mean()) if not label.all() else 0.0
    return AlarmFigures(len(starts), len(delays), tuple(delays), false, share)

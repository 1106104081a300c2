"""VUS-PR: the scores and labels of one series come in, one figure between 0 and 1 goes out.

The volume under the surface of precision over recall, labels blurred by every window from 0 to the
series' own: J. Paparrizos et al., *Volume Under the Surface*, PVLDB 15 (2022), as TSB-AD computes
it (`basic_metrics.RangeAUC_volume_opt`, 250 thresholds), so that it compares with TSB-AD's tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensor_ad.records import Bools, Floats, Ints

THRESHOLDS = 250
"""Thresholds, evenly spaced in the rank of the scores (TSB-AD's `thre`)."""
ROUNDING = 1e-9
"""By so much a sum of shares may pass 0 or 1."""


def vus_pr(score: Floats, label: Bools, window: int) -> float:
    """Compute VUS-PR.

    Parameters
    ----------
    score
        (T,) higher is more abnormal, all finite.
    label
        (T,) True where an anomaly is labelled; both kinds of rows must occur.
    window
        Widest blur of the labels, rows (TSB-AD gives one a series).

    Raises
    ------
    ValueError
        Scores that are not finite, labels of one kind, or lengths that differ.

    Notes
    -----
    For a window w, a row at a distance d ≤ w // 2 from an event counts √(1 − d / w) as abnormal
    (sums held at 1). At each threshold, with TP the blurred labels above it, P the labelled
    rows and N the rows above it: precision is TP / N, recall is TP / ((P + P + TP outside events) /
    2), held at 1, times the share of blurred events with a row above the threshold. The area under
    precision over recall is summed in steps, and averaged over w = 0 … window.

    Examples
    --------
    >>> label = np.array([False, False, True, True, False])
    >>> vus_pr(np.array([0.1, 0.0, 0.8, 0.9, 0.2]), label, window=0)
    1.0
    """
    score, label = _checked(score, label)
    starts, ends = event_bounds(label)
    thresholds = -np.sort(-score)[np.linspace(0, len(score) - 1, THRESHOLDS).astype(int)]
    # (T,) number of the first (highest) threshold that a row reaches, THRESHOLDS for none.
    first = np.searchsorted(-thresholds, -score, side="left")
    above = _cumulated(first, None)
    inside = _cumulated(first[label], None)
    near = _near(label, starts, ends, window // 2)
    areas = np.zeros(window + 1)
    for w in range(window + 1):
        blurred = _cumulated(first[near.rows], near.weights(w))
        reached = _reached(first, starts, ends, w // 2)
        recall = np.minimum((inside + blurred) / (label.sum() + blurred / 2), 1.0) * reached
        areas[w] = np.diff(recall, prepend=0.0) @ ((inside + blurred) / above)
    value = float(areas.mean())
    assert -ROUNDING <= value <= 1 + ROUNDING, f"VUS-PR is {value}, outside of 0 to 1"
    return min(max(value, 0.0), 1.0)


def event_bounds(label: Bools) -> tuple[Ints, Ints]:
    """Find the first and the last row of each labelled event.

    Examples
    --------
    >>> starts, ends = event_bounds(np.array([True, False, True, True]))
    >>> starts.tolist(), ends.tolist()
    ([0, 2], [0, 3])
    """
    edges = np.diff(np.concatenate([[0], np.asarray(label, dtype=np.int8), [0]]))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1


def check_score(score: Floats) -> Floats:
    """Refuse scores that are not finite: a mean over NaN is no figure.

    Raises
    ------
    ValueError
        Naming the first such row.
    """
    score = np.asarray(score, dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(score))
    if len(wrong):
        raise ValueError(
            f"{len(wrong)} of {len(score)} scores are not finite, the first is {score[wrong[0]]} "
            f"at row {wrong[0]}; all must be finite: give rows without a score the lowest one."
        )
    return score


def _checked(score: Floats, label: Bools) -> tuple[Floats, Bools]:
    score, label = check_score(score), np.asarray(label, dtype=bool)
    if score.shape != label.shape or score.ndim != 1:
        raise ValueError(
            f"scores have the shape {score.shape} and labels {label.shape}; expected one of each "
            "for every row."
        )
    if label.all() or not label.any():
        raise ValueError(
            f"{int(label.sum())} of {len(label)} rows are labelled; some must be, and some not."
        )
    return score, label


def _cumulated(first: Ints, weights: Floats | None) -> Floats:
    """(K,) sum of the weights (1 if None) of the rows at or above each threshold."""
    counts = np.bincount(first, weights, minlength=THRESHOLDS)[:THRESHOLDS]
    return np.cumsum(counts.astype(np.float64))


@dataclass(frozen=True)
class _Near:
    """Rows outside of events that lie near some."""

    rows: Ints
    """(R,)"""
    of: Ints
    """(K,) for each pair of such a row and an event, the number of its row in `rows`."""
    distance: Floats
    """(K,) rows from that row to that event."""

    def weights(self, w: int) -> Floats:
        """(R,) how abnormal each row counts for a window w; sums over events are held at 1."""
        share = np.where(self.distance <= w // 2, 1 - self.distance / max(w, 1), 0.0)
        return np.minimum(np.bincount(self.of, np.sqrt(share), minlength=len(self.rows)), 1.0)


def _near(label: Bools, starts: Ints, ends: Ints, reach: int) -> _Near:
    """Find the rows outside of events that lie at most `reach` rows from one."""
    away = np.arange(1, reach + 1)
    rows = np.concatenate([(starts[:, None] - away).ravel(), (ends[:, None] + away).ravel()])
    distance = np.tile(away, 2 * len(starts))
    kept = (rows >= 0) & (rows < len(label))
    kept[kept] = ~label[rows[kept]]
    found, of = np.unique(rows[kept], return_inverse=True)
    return _Near(found, of, distance[kept].astype(np.float64))


def _reached(first: Ints, starts: Ints, ends: Ints, reach: int) -> Floats:
    """(K,) share of the blurred events with a row at or above each threshold."""
    T = len(first)
    apart = ends[:-1] + reach < starts[1:] - reach
    begin = np.maximum(starts[np.concatenate([[True], apart])] - reach, 0)
    stop = np.minimum(ends[np.concatenate([apart, [True]])] + reach, T - 1) + 1
    bounds = np.column_stack([begin, stop]).ravel()
    best = np.minimum.reduceat(np.append(first, THRESHOLDS), bounds)[::2]
    return _cumulated(best, None) / len(begin)

"""How good row-wise alarms and scores are: labels and results of a test come in, figures go out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

from sensor_ad.records import Bools, Floats


@dataclass(frozen=True)
class Judged:
    """What was said of the rows of a test, and what is true of them."""

    score: Floats
    """(T,) higher is more abnormal, NaN where a row could not be scored."""
    alarm: Bools
    """(T,) False where a row could not be scored: it counts as said to be normal."""
    label: Bools
    """(T,) True where an expert marked an anomaly."""


@dataclass(frozen=True)
class Figures:
    """How good the alarms and scores of some rows are."""

    f1: float
    far: float
    """False alarm rate: share of the normal rows with an alarm, percent."""
    mar: float
    """Missed alarm rate: share of the abnormal rows without an alarm, percent."""
    auc: float
    """Area under the receiver operating characteristic; NaN when all labels are equal."""
    ap: float
    """Average precision; NaN when all labels are equal."""


def figures(judged: Judged) -> Figures:
    """Compare alarms and scores with the labels, row by row."""
    alarm, label = judged.alarm, judged.label
    hits = int((alarm & label).sum())
    false, missed = int((alarm & ~label).sum()), int((~alarm & label).sum())
    f1 = _share(2 * hits, 2 * hits + false + missed)
    far, mar = 100 * _share(false, int((~label).sum())), 100 * _share(missed, int(label.sum()))
    auc = ap = float("nan")
    if label.any() and not label.all():
        score = lowest_where_unknown(judged.score)
        auc, ap = roc_auc_score(label, score), average_precision_score(label, score)
    return Figures(f1, far, mar, float(auc), float(ap))


def pooled(tests: Sequence[Judged]) -> Judged:
    """Lay the rows of several tests behind one another."""
    return Judged(
        np.concatenate([test.score for test in tests]),
        np.concatenate([test.alarm for test in tests]),
        np.concatenate([test.label for test in tests]),
    )


def lowest_where_unknown(score: Floats) -> Floats:
    """Give rows that could not be scored a score below all others."""
    known = np.isfinite(score)
    lowest = float(score[known].min()) if known.any() else 0.0
    return np.where(known, score, lowest - 1.0)


def at_rows(scores: pd.DataFrame, times: pd.DatetimeIndex, period_s: float) -> pd.DataFrame:
    """Map scored grid rows back to the rows of an export.

    Parameters
    ----------
    scores
        Indexed by the grid's times, with ``score``, ``causal_score`` and ``alarm``.
    times
        (T,) the export's times.
    period_s
        Of the grid; a row belongs to the nearest grid row, at most half a period away.

    Returns
    -------
    (T,) both scores, NaN where there is none, and alarm, False where there is none.
    """
    at = scores.index.get_indexer(
        times, method="nearest", tolerance=pd.Timedelta(seconds=period_s / 2)
    )
    found = at >= 0
    columns = {
        name: np.where(found, scores[name].to_numpy(dtype=float)[at], np.nan)
        for name in ("score", "causal_score")
    }
    alarm = scores["alarm"].to_numpy(dtype=bool)
    return pd.DataFrame({**columns, "alarm": found & alarm[at]}, index=times)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0

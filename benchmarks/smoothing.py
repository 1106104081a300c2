"""The smoothing that a benchmark allows: a score comes in, its mean over at most 64 rows goes out.

A filter that holds peaks is not allowed: spread over ±256 rows, the mere position of the highest
score reaches a VUS-PR of 0.72 on the series of `benchmarks.tsbad`, most of which hold one event.
`argmax_only` is the control that shows what position alone is worth under the same smoothing.
"""

from __future__ import annotations

import numpy as np

from benchmarks.vus import check_score
from sensor_ad.records import Floats

MOST_ROWS = 64
"""Longest filter."""


def centred(score: Floats, rows: int = MOST_ROWS) -> Floats:
    """Average over the rows around each row: for the offline score.

    Parameters
    ----------
    score
        (T,) all finite.
    rows
        Length of the box, at most 64; with an even one it holds a row more before than after. At
        the ends it averages over the rows that there are.

    Raises
    ------
    ValueError
        A longer box, or scores that are not finite.

    Examples
    --------
    >>> centred(np.array([0.0, 3, 0, 0]), rows=3).tolist()
    [1.5, 1.0, 1.0, 0.0]
    """
    return _box(score, rows, before=rows // 2)


def trailing(score: Floats, rows: int = MOST_ROWS) -> Floats:
    """Average over each row and those before it: for the causal score that raises alarms.

    Examples
    --------
    >>> trailing(np.array([0.0, 3, 0, 0]), rows=2).tolist()
    [0.0, 1.5, 1.5, 0.0]
    """
    return _box(score, rows, before=rows - 1)


def argmax_only(score: Floats, rows: int = MOST_ROWS) -> Floats:
    """Forget all of a score but where it is highest: 1 in a box around there, 0 elsewhere.

    Examples
    --------
    >>> argmax_only(np.array([0.0, 1, 5, 2, 1]), rows=3).tolist()
    [0.0, 1.0, 1.0, 1.0, 0.0]
    """
    score = check_score(score)
    _check_length(rows)
    at = int(np.argmax(score))
    kept = np.zeros(len(score))
    kept[max(at - (rows - 1) // 2, 0) : at + rows // 2 + 1] = 1.0
    return kept


def _box(score: Floats, rows: int, before: int) -> Floats:
    """(T,) mean over `rows` rows of which `before` lie before the row itself."""
    score = check_score(score)
    _check_length(rows)
    T, kernel = len(score), np.ones(rows)
    kept = slice(rows - 1 - before, rows - 1 - before + T)
    counts = np.convolve(np.ones(T), kernel)[kept]
    smoothed: Floats = np.convolve(score, kernel)[kept] / counts
    return smoothed


def _check_length(rows: int) -> None:
    if not 1 <= rows <= MOST_ROWS:
        raise ValueError(f"a box of {rows} rows; benchmarks allow 1 to {MOST_ROWS}.")

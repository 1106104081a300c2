"""What all tags stray by comes in; the one that alone explains it goes out, and what is left."""

from __future__ import annotations

import numpy as np

from sensor_ad.records import Floats, Ints

EXPLAINED = 0.5
"""Share of all straying, squared, that one tag's offset must explain to count as its cause."""


def without_echoes(strayed: Floats, band: Floats, answers: Floats) -> tuple[Floats, Ints]:
    """Take away what tags stray by only because one other tag is off.

    In each slot that tag is looked for whose offset alone explains best how far all tags stray, in
    multiples of their bands. When it is outside its own band, and explains more than half of it, it
    is the cause, and what the network makes of its offset is taken away from the others: never more
    than they stray by, as far offsets are answered by less.

    Parameters
    ----------
    strayed
        (B, C) slow residuals, plant units; NaN where not known.
    band
        (C,) half width of the normal band.
    answers
        (C, C) change of the residual of the tag of the row for one unit of the tag of the column.

    Returns
    -------
    (B, C) what is left, and (B,) the column of the cause, -1 where no tag alone is one.
    """
    ratio = np.nan_to_num(strayed / band)  # nothing where not known, or where there is no band
    known = np.isfinite(strayed) & np.isfinite(band)
    with np.errstate(invalid="ignore"):
        scaled = np.where(np.isfinite(band)[:, None], answers / band[:, None], 0.0)
    total = np.square(ratio).sum(axis=1)
    least, cause, offset = (1 - EXPLAINED) * total, np.full(len(ratio), -1), np.zeros(len(ratio))
    for k in np.flatnonzero(np.isfinite(band)):
        told = np.where(known, scaled[:, k], 0.0)
        size = np.square(told).sum(axis=1)
        amount = (ratio * told).sum(axis=1) / np.maximum(size, 1e-300)
        left = total - amount**2 * size
        better = (np.abs(ratio[:, k]) > 1) & (left < least)
        cause[better], offset[better], least[better] = k, amount[better], left[better]
    rows = np.flatnonzero(cause >= 0)
    echo = np.zeros_like(strayed)
    echo[rows] = answers[:, cause[rows]].T * offset[rows, None]
    echo[rows, cause[rows]] = 0.0
    echo = np.clip(echo, np.fmin(strayed, 0.0), np.fmax(strayed, 0.0))
    cleared: Floats = strayed - echo
    return cleared, cause

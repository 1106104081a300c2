"""A network and normal rows come in; how it answers when one sensor alone is off goes out.

The network is given the reading that drifts, too. So it follows it in part, and expects something
else of the other tags: these stray although nothing is wrong with them. Both are measured by giving
every tag of some normal stretches an offset, one after the other (`slow_change.py` uses it).
"""

from __future__ import annotations

import numpy as np
import torch

from sensor_ad.features import LayerOutputs
from sensor_ad.grid import Rows
from sensor_ad.models import Network, as_output
from sensor_ad.prepare import Preparation
from sensor_ad.records import Bools, Floats, Ints

OFFSET = 1.0
"""Offset that is tried, upwards and downwards, in spreads of the tag."""
STRETCHES = 8
"""Stretches that are tried, spread evenly over the rows that the network did not learn from …"""
STRETCH_WINDOWS = 4
"""… of so many windows, …"""
WHOLE = 0.9
"""… observed to this share at least."""
MOST_TAGS = 150
"""With more tags nothing is measured: the cost grows with their square."""


def measure_answers(network: Network, preparation: Preparation, rows: Rows, held: Bools) -> Floats:
    """Measure by how much residuals change when one tag is off.

    Parameters
    ----------
    rows
        The history, T rows.
    held
        (T,) rows that the network did not learn from.

    Returns
    -------
    (C, C) change of the mean of reading − expected of the tag of the row, for an offset of one
    unit of the tag of the column, plant units. The unit matrix (each tag by itself) when nothing
    can be measured.
    """
    C, length = rows.values.shape[1], _length(network)
    starts = _starts(rows.index, held & rows.used, length)
    if C > MOST_TAGS or not len(starts):
        return np.eye(C)
    device = next(network.parameters()).device
    chosen = starts[:, None] + np.arange(length)
    counted = np.where(rows.used[chosen][..., None], rows.values[chosen], np.nan)
    values, seen = (
        torch.from_numpy(part.transpose(0, 2, 1).copy()).to(device)
        for part in preparation.scaled(counted)
    )
    # The ends of a stretch see too little of what lies around them.
    middle = slice(length // 4, length - length // 4)
    weight = seen[..., middle]
    answers = np.eye(C)
    with LayerOutputs(network, [network.bottleneck_name]) as outputs:
        for k in range(C):
            moved = []
            for offset in (OFFSET, -OFFSET):
                shifted = values.clone()
                shifted[:, k] += offset * seen[:, k]
                moved.append(as_output(outputs(shifted, seen)[0]).expected[..., middle])
            followed = (moved[0] - moved[1]) / (2 * OFFSET) * weight
            total = weight.sum(dim=(0, 2)).clamp(min=1.0)
            answers[:, k] -= (followed.sum(dim=(0, 2)) / total).double().cpu().numpy()
    in_units: Floats = answers * preparation.scale[:, None] / preparation.scale
    return in_units


def _length(network: Network) -> int:
    """Rows of a stretch: a multiple of what the network strides over."""
    rows = max(STRETCH_WINDOWS * network.window, network.sample_rows)
    return -(-rows // network.stride) * network.stride


def _starts(index: Ints, usable: Bools, length: int) -> Ints:
    """Where stretches of usable rows without a gap begin, some of them, spread evenly."""
    if len(index) < length:
        return np.empty(0, np.int64)
    count = np.concatenate([[0], np.cumsum(usable)])
    whole = count[length:] - count[:-length] >= WHOLE * length
    whole &= index[length - 1 :] - index[: len(index) - length + 1] == length - 1
    starts = np.flatnonzero(whole)
    if not len(starts):
        return starts
    some: Ints = starts[np.unique(np.linspace(0, len(starts) - 1, STRETCHES).astype(np.int64))]
    return some

"""Raw evidence of every kind in, one value for each row out.

Each kind is set in relation to the most that is normal for it. Beyond the edge of normal the
logarithm counts, so that no kind decides alone, however far it runs away; below it, nearly the
ratio itself, so that it matters little how calm a calm row is. Kinds that see the same thing share
one voice. What tells of a single sensor, a spike or a standstill, is added where it goes beyond all
that was ever normal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from sensor_ad.dense import means, steps_to_rows, weighted
from sensor_ad.patterns import PATTERN, PATTERN_CHANGE, PATTERN_REST
from sensor_ad.records import Bools, Floats

RECONSTRUCTION, LEVEL_SHIFT = "reconstruction", "level_shift"
SPIKE, STAND_STILL = "spike", "stand_still"
SENSOR_KINDS = (SPIKE, STAND_STILL)
"""Kinds that tell of a sensor, and are nothing until they go beyond all that was ever normal."""
VOICES = (RECONSTRUCTION, LEVEL_SHIFT, PATTERN, PATTERN_CHANGE, PATTERN_REST)
"""Kinds with a voice of their own; all others (whatever detectors on the latents, and what the
network brings itself) have one together."""
NORMAL_QUANTILE = 0.999
"""“The most that is normal” of a kind of evidence: this quantile of normal rows."""
SMOOTHED_SHARE = 2
"""The score is smoothed over a window divided by this."""
MOST_SMOOTHED = 64
"""Rows, at most."""
SMALLEST = 1e-12


@dataclass(frozen=True)
class Ratio:
    """One kind of evidence in relation to the most that is normal for it."""

    lowest: float
    """What counts as nothing: 0, or the lowest normal value if that is below."""
    most: float
    """The most that is normal, above the lowest."""
    usual: float
    """Median of the mapped normal values, for what is not known."""

    @classmethod
    def fitted(cls, name: str, normal: Floats) -> Ratio:
        """Fit to (N,) raw values of normal rows."""
        lowest = min(0.0, float(normal.min()))
        share = 1.0 if name in SENSOR_KINDS else NORMAL_QUANTILE
        above = normal.astype(np.float64) - lowest
        # Standing still is a ratio already: to the longest that ever was.
        least = 1.0 if name == STAND_STILL else SMALLEST
        most = max(float(np.quantile(above, share)), least)
        return cls(lowest, most, float(np.log2(1.0 + np.median(above) / most)))

    def __call__(self, raw: Floats) -> Floats:
        """Map (N,) raw values to log2(1 + ratio): 0 is nothing, 1 the edge of normal.

        NaN, not known, is taken as usual: left out, a mean over fewer kinds would scatter more.
        """
        above = np.maximum(raw.astype(np.float64) - self.lowest, 0.0)
        doublings: Floats = np.log2(1.0 + above / self.most)
        return np.where(np.isnan(doublings), self.usual, doublings)


def fuse(
    ratios: Mapping[str, Ratio],
    rows: Mapping[str, Floats],
    steps: Mapping[str, Floats],
    scorable: Bools,
    window: int,
    align: int,
) -> Floats:
    """Join all kinds of evidence.

    Parameters
    ----------
    ratios
        Name -> the scale of a kind.
    rows, steps
        Name -> (P,) raw evidence of rows, and (P / align,) of pooled steps, NaN where nothing is
        known.
    scorable
        (P,) rows that count; smoothing takes no other.
    window
        L, rows.

    Returns
    -------
    (P,) smoothed mean of the voices: 0 is nothing, 1 the edge of normal.
    """
    voices: dict[str, list[Floats]] = {}
    for name, values in rows.items():
        if name not in SENSOR_KINDS:
            voices.setdefault(_voice(name), []).append(ratios[name](values))
    if steps:
        found = np.stack([ratios[name](values) for name, values in steps.items()], axis=1)
        for name, values in zip(steps, steps_to_rows(found, align).T, strict=True):
            voices.setdefault(_voice(name), []).append(values)
    joined: Floats = np.mean([np.mean(parts, axis=0) for parts in voices.values()], axis=0)
    joined = smoothed(joined, scorable, smoothed_rows(window))
    for name in SENSOR_KINDS:
        if name in rows:
            joined += np.maximum(ratios[name](rows[name]) - 1.0, 0.0)
    return joined


def smoothed_rows(window: int) -> int:
    """Rows over which the score is smoothed."""
    return min(window // SMOOTHED_SHARE, MOST_SMOOTHED)


def smoothed(values: Floats, counted: Bools, size: int) -> Floats:
    """(P,) means of the rows that count among the `size` rows around each row."""
    known = torch.from_numpy(counted.astype(np.float64))[None, None]
    kept = torch.from_numpy(np.where(counted, values, 0.0))[None, None]
    mean: Floats = weighted(means(kept, size), means(known, size))[0, 0].numpy()
    return mean


def _voice(name: str) -> str:
    return name if name in VOICES else "latents"

"""Raw evidence of every kind in, one value for each row out.

Each kind is set in relation to the most that is normal for it. Beyond the edge of normal the
logarithm counts, so that no kind decides alone, however far it runs away; below it, nearly the
ratio itself, so that it matters little how calm a calm row is. Kinds that see the same thing share
one voice. What tells of a single sensor, a spike or a standstill, counts for itself where it goes
far beyond all that was ever normal.

Two scores are made of the same evidence. The offline score takes it where it stands, in the middle
of the rows that it looks at, and shows when a fault began and ended. The causal score takes each
kind only when all rows that it looks at have passed: what it says of a row, it said when the row
came in. It raises the alarms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from sensor_ad.dense import (
    LEVEL_WINDOWS,
    SPREAD_WINDOWS,
    means,
    short_rows,
    steps_to_rows,
    weighted,
)
from sensor_ad.patterns import CHANGE, CHANGE_REST, PATTERN, PATTERN_REST
from sensor_ad.records import Bools, Floats

RECONSTRUCTION = "reconstruction"
PROMPT = "reconstruction_prompt"
"""What the causal score takes of the reconstruction: the scales of time up to a window. What lasts
for four comes two windows late, and the levels tell the same before. It is no column of its own."""
LEVEL_SHIFT, SLOW_SHIFT, SPREAD_SHIFT = "level_shift", "slow_shift", "spread_shift"
SHIFTS = {LEVEL_SHIFT: 0.1, SLOW_SHIFT: 0.1, SPREAD_SHIFT: 0.25}
"""Of levels over two and over four windows, and of how much tags move, over one; with the least
deviation that is normal: scaled units, and the logarithm of a variance. The causal score does
without slow shifts: what they say comes two windows late, and stays as long."""
SPIKE, STAND_STILL = "spike", "stand_still"
SENSOR_KINDS = (SPIKE, STAND_STILL)
"""Kinds that tell of a sensor, and are nothing until they go beyond all that was ever normal."""
VOICES = (
    (LEVEL_SHIFT,),
    (SLOW_SHIFT,),
    (PATTERN, SPREAD_SHIFT),
    (PATTERN_REST,),
    (CHANGE,),
    (CHANGE_REST,),
)
"""Kinds with a voice of their own, or that share one: `pattern` holds `pattern_rest` already. All
others are the network's and have one together: half of it is the reconstruction, half are whatever
detectors on the latents, and what the network brings itself."""
READINGS_KINDS = tuple(name for voice in VOICES for name in voice)
"""What looks at the readings themselves, not at the network."""
BEYOND = {SPIKE: float(np.log2(3 / 2)), STAND_STILL: float(np.log2(5 / 4))}
"""Off their doublings. Twice the highest spike that was ever normal is the edge of normal: what was
passed once in N normal rows is passed twofold, if its tail is exponential, once in N². So is
standing still for half as long again as ever."""
NORMAL_QUANTILE, STRETCHES = 0.999, 4
"""“The most that is normal” of a kind of evidence: this quantile of each of so many stretches of
normal rows, the geometric mean of all: that of one stretch alone hangs on chance."""
SMOOTHED_SHARE = 2
"""The offline score is smoothed over a window divided by this."""
MOST_SMOOTHED = 64
"""Rows, at most."""
USUAL_EXCESS = 0.05
"""Mean excess over a high quantile, in doublings, where there is too little data to tell."""
CAUSAL_SHARE = 4
"""The causal score is smoothed over a window divided by this, of rows that have passed."""
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
        """Fit to (N,) raw values of normal rows, in time order."""
        lowest = min(0.0, float(normal.min()))
        above = normal.astype(np.float64) - lowest
        # Standing still is a ratio already: to the longest that ever was.
        least = 1.0 if name == STAND_STILL else SMALLEST
        if name in SENSOR_KINDS:
            most = max(float(above.max()), least)
        else:
            parts = np.array_split(above, STRETCHES) if len(above) >= STRETCHES else [above]
            highest = [float(np.quantile(part, NORMAL_QUANTILE)) for part in parts]
            most = float(np.exp(np.mean(np.log(np.maximum(highest, least)))))
        return cls(lowest, most, float(np.log2(1.0 + np.median(above) / most)))

    def __call__(self, raw: Floats) -> Floats:
        """Map (N,) raw values to log2(1 + ratio): 0 is nothing, 1 the edge of normal.

        NaN, not known, is taken as usual: left out, a mean over fewer kinds would scatter more.
        """
        above = np.maximum(raw.astype(np.float64) - self.lowest, 0.0)
        doublings: Floats = np.log2(1.0 + above / self.most)
        return np.where(np.isnan(doublings), self.usual, doublings)


@dataclass(frozen=True)
class Reach:
    """How far ahead of a row each kind of evidence looks that the causal score takes."""

    window: int
    """L, rows."""
    align: int
    """Rows of a pooled step."""
    network: int
    """Rows after itself on which what the network says of a row depends."""

    def rows(self, name: str) -> int:
        """Rows after which nothing that comes changes what a kind said of a row.

        Any kind that the causal score takes; one that is not of this module looks at latents.
        """
        middle = self.align // 2
        if name == PROMPT:
            # Means over a window, interpolated between steps.
            return self.network + self.window // 2 + self.align
        if name in (LEVEL_SHIFT, SLOW_SHIFT):
            windows = LEVEL_WINDOWS[(LEVEL_SHIFT, SLOW_SHIFT).index(name)]
            return windows * self.window // 2 + middle
        if name == SPREAD_SHIFT:
            rows = SPREAD_WINDOWS * self.window + short_rows(self.window)
            return rows // 2 + middle
        if name in READINGS_KINDS:
            return self.window // 2 + middle
        if name == SPIKE:
            return self.network + 1
        if name == STAND_STILL:
            return 0
        return self.network + self.window // 2 + middle

    @property
    def most(self) -> int:
        """The farthest of all that the causal score takes."""
        on_latents = "mahalanobis"
        return max(map(self.rows, (LEVEL_SHIFT, SPREAD_SHIFT, PROMPT, on_latents)))


def fuse(
    ratios: Mapping[str, Ratio],
    rows: Mapping[str, Floats],
    steps: Mapping[str, Floats],
    scorable: Bools,
    window: int,
    align: int,
) -> Floats:
    """Join all kinds of evidence for the offline score.

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
    mapped = {name: ratios[name](rows[name]) for name in rows if name != PROMPT}
    if steps:
        found = np.stack([ratios[name](values) for name, values in steps.items()], axis=1)
        mapped |= dict(zip(steps, steps_to_rows(found, align).T, strict=True))
    sensors = [mapped.pop(name) - BEYOND[name] for name in SENSOR_KINDS if name in mapped]
    joined = smoothed(_mean_of_voices(mapped), scorable, smoothed_rows(window))
    for values in sensors:
        joined = np.maximum(joined, values)
    return joined


def fuse_causal(
    ratios: Mapping[str, Ratio],
    rows: Mapping[str, Floats],
    steps: Mapping[str, Floats],
    scorable: Bools,
    reach: Reach,
) -> Floats:
    """Join all kinds of evidence for the causal score: each when all that it looks at has passed.

    Parameters
    ----------
    ratios, rows, steps
        As for `fuse`.
    scorable
        (P,) rows of which anything is known. Others count as the last of these, if that is within
        a window, else each kind counts as usual.

    Returns
    -------
    (P,) mean of the voices, hardly smoothed: what is pooled over a window comes smooth.
    """
    place = np.arange(len(scorable))
    last = np.maximum.accumulate(np.where(scorable, place, -1))
    held = (last >= 0) & (place - last < reach.window)
    repeated = {name: np.repeat(values, reach.align) for name, values in steps.items()}
    late = {}
    for name, values in (*rows.items(), *repeated.items()):
        if name not in (RECONSTRUCTION, SLOW_SHIFT):
            usual = ratios[name].usual
            known = np.where(held, ratios[name](values)[last], usual)
            late[name] = _later(known, reach.rows(name), usual)
    late[RECONSTRUCTION] = late.pop(PROMPT)
    sensors = [late.pop(name) - BEYOND[name] for name in SENSOR_KINDS if name in late]
    joined = _trailing(_mean_of_voices(late), max(1, reach.window // CAUSAL_SHARE))
    for values in sensors:
        joined = np.maximum(joined, values)
    return joined


def _mean_of_voices(mapped: Mapping[str, Floats]) -> Floats:
    """(P,) mean of the voices."""
    there = [[mapped[name] for name in voice if name in mapped] for voice in VOICES]
    voices = [np.mean(voice, axis=0) for voice in there if voice]
    network = [mapped[RECONSTRUCTION]]
    latents = [v for name, v in mapped.items() if name not in (*READINGS_KINDS, RECONSTRUCTION)]
    if latents:
        network.append(np.mean(latents, axis=0))
    mean: Floats = np.mean([np.mean(network, axis=0), *voices], axis=0)
    return mean


def _later(values: Floats, rows: int, before: float) -> Floats:
    """(P,) values so many rows later; `before` stands where there were none."""
    rows = min(rows, len(values))
    moved: Floats = np.concatenate([np.full(rows, before), values[: len(values) - rows]])
    return moved


def _trailing(values: Floats, size: int) -> Floats:
    """(P,) means over the `size` rows that end in each row; the first row stands before it too."""
    padded = np.concatenate([np.full(size - 1, values[0]), values])[None, None]
    mean: Floats = means(torch.from_numpy(padded), size)[0, 0].numpy()
    at = size - 1 - (size - 1 - size // 2)
    return mean[at : at + len(values)]


def smoothed_rows(window: int) -> int:
    """Rows over which the score is smoothed."""
    return min(window // SMOOTHED_SHARE, MOST_SMOOTHED)


def smoothed(values: Floats, counted: Bools, size: int) -> Floats:
    """(P,) means of the rows that count among the `size` rows around each row."""
    known = torch.from_numpy(counted.astype(np.float64))[None, None]
    kept = torch.from_numpy(np.where(counted, values, 0.0))[None, None]
    mean: Floats = weighted(means(kept, size), means(known, size))[0, 0].numpy()
    return mean

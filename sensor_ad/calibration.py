"""Evidence on one scale: normal values come in, −log10 of a value's tail probability goes out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensor_ad.records import Floats

KNOTS = 512
"""Quantiles that a calibration keeps, denser towards the tail."""
LEAST_GAP = 1 / 1000
"""Least distance of neighbouring knots, as a share of the normal range: nearly equal values would
make the map so steep that rounding showed in the score."""
TAIL_SHARE = 0.05
"""Share of the highest normal values whose mean excess gives the slope beyond the highest."""
FEWEST_IN_TAIL = 8
LEAST_SLOPE_RANGE = 20.0
"""Beyond the highest value the scale needs at least 1/20 of the normal range for one e-fold."""
PRIOR_WINDOWS = 100.0
"""A usual mean excess counts as much as so many independent windows: with fewer, next to none of
them lie in the tail."""
LOG10_E = float(np.log10(np.e))


@dataclass(frozen=True)
class Calibration:
    """A strictly increasing, finite map from raw evidence to −log10 of its tail probability.

    Between the knots it is linear; beyond the highest normal value it goes on as an exponential
    tail, below the lowest one it falls on gently.
    """

    values: Floats
    """(K,) strictly increasing knots, in the unit of the raw evidence."""
    levels: Floats
    """(K,) −log10 of the share of normal rows above each knot, strictly increasing."""
    slope: float
    """−log10 per unit of raw evidence beyond the last knot."""

    @classmethod
    def fitted(cls, normal: Floats, usual: float = 0.0, windows: float = np.inf) -> Calibration:
        """Fit to (N,) raw values of normal rows, N ≥ 1.

        Parameters
        ----------
        usual
            Mean excess of the tail that is to be expected, in the unit of the values.
        windows
            Independent windows behind the values: with few, the mean excess seen is drawn to that.

        Notes
        -----
        The tail's rate is the reciprocal of the mean excess over its threshold: the
        maximum-likelihood fit of an exponential distribution, which is the generalised Pareto
        distribution with shape 0 (Pickands, Ann. Statist. 3, 1975).
        """
        ordered = np.sort(normal.astype(np.float64))
        N = len(ordered)
        # Ranks spaced evenly in the logarithm of the share above, so that the tail is well
        # described.
        above = np.unique(np.round(np.geomspace(1, N, min(KNOTS, N))).astype(np.int64))
        values, levels = ordered[N - above][::-1], -np.log10(above / (N + 1))[::-1]
        values, first = np.unique(values, return_index=True)
        # Of equal values the last, highest level would overstate ties; the first is the share ≥
        # value.
        levels = levels[first]
        kept = _spaced(values, LEAST_GAP * float(values[-1] - values[0]))
        values, levels = values[kept], levels[kept]
        count = max(FEWEST_IN_TAIL, int(TAIL_SHARE * N))
        tail = ordered[-min(count, N) :]
        excess = float((tail - tail[0]).mean())
        seen = 1.0 if np.isinf(windows) else windows / (windows + PRIOR_WINDOWS)
        excess = seen * excess + (1 - seen) * usual
        span = float(ordered[-1] - ordered[0])
        least = max(span / LEAST_SLOPE_RANGE, 1e-6 * max(1.0, abs(float(ordered[-1]))))
        return cls(values, levels, LOG10_E / max(excess, least))

    def __call__(self, raw: Floats) -> Floats:
        """Map (N,) raw values to −log10 of their tail probability."""
        level = np.interp(raw, self.values, self.levels)
        level += np.maximum(raw - self.values[-1], 0.0) * self.slope
        below = self.values[0] - raw
        # Strictly increasing below the lowest knot too, and never below 0.
        falls = self.levels[0] / (1 + np.maximum(below, 0.0) * self.slope)
        result: Floats = np.where(below > 0, falls, level)
        return result


def _spaced(values: Floats, gap: float) -> list[int]:
    """Positions of values at least `gap` apart, the highest one among them."""
    kept = [len(values) - 1]
    for position in range(len(values) - 2, -1, -1):
        if values[kept[-1]] - values[position] >= gap:
            kept.append(position)
    return kept[::-1]

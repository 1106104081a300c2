"""Raw evidence of calibration rows comes in, tile after tile; calibrations go out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sensor_ad.calibration import Calibration
from sensor_ad.errors import DataError
from sensor_ad.fusion import PROMPT, USUAL_EXCESS, Ratio, Reach, fuse, fuse_causal
from sensor_ad.records import Bools, Floats, Ints
from sensor_ad.scoring import RawEvidence, told

BLOCK_WINDOWS = 4
"""Alternate blocks of so many windows calibrate the evidence and the fused score."""


@dataclass(frozen=True)
class Calibrated:
    """What calibration rows give."""

    ratios: dict[str, Ratio]
    """Evidence name -> its relation to the most that is normal."""
    calibrations: dict[str, Calibration]
    """Evidence name -> calibration."""
    fusion: Calibration
    """Of the offline score."""
    causal: Calibration
    """Of the causal score."""
    score: Floats
    """(T,) causal score of all scorable calibration rows."""
    index: Ints
    """(T,) their grid rows."""


class CalibrationRows:
    """Raw evidence of calibration rows, gathered tile after tile (and fold after fold)."""

    def __init__(self, rows: Bools, align: int, min_observed: float) -> None:
        self.align, self.min_observed = align, min_observed
        self.rows = rows
        P = len(rows)
        self.index = np.full(P, -1, dtype=np.int64)
        self.values: dict[str, Floats] = {}
        """Name -> (P,) evidence of rows."""
        self.scorable = np.zeros(P, dtype=bool)
        self.steps: dict[str, Floats] = {}
        """Name -> (J,) evidence of pooled steps."""
        self.usable = np.zeros(P // align, dtype=bool)
        self._latents: Floats | None = None
        self._place = 0

    def add(self, raw: RawEvidence, rows: Bools | None = None) -> None:
        """Take one tile's core rows, those of `rows` (P,) only if given."""
        core = raw.tile.core
        size = core.stop - core.start
        if self._place >= len(self.rows):
            self._place = 0
        at = slice(self._place, self._place + size)
        wanted = self.rows[at] if rows is None else self.rows[at] & rows[at]
        seen = np.isfinite(raw.tile.values[core]).any(axis=1)
        self.index[at][wanted] = raw.tile.index[core][wanted]
        for name, values in raw.rows.items():
            kept = self.values.setdefault(name, np.zeros(len(self.rows)))
            kept[at][wanted] = values[core][wanted]
        fine = seen & (raw.observed[core] >= self.min_observed)
        self.scorable[at][wanted] = fine[wanted]
        steps = slice(at.start // self.align, at.stop // self.align)
        inner = slice(core.start // self.align, core.stop // self.align)
        step_wanted = by_step(wanted, self.align).mean(axis=1) >= 0.5
        for name, values in raw.steps.items():
            kept = self.steps.setdefault(name, np.full(len(self.usable), np.nan))
            kept[steps][step_wanted] = values[inner][step_wanted]
        if self._latents is None:
            self._latents = np.zeros((len(self.usable), raw.latents.shape[1]), np.float32)
        self._latents[steps][step_wanted] = raw.latents[inner][step_wanted]
        self.usable[steps][step_wanted] = raw.weight[inner][step_wanted] >= self.min_observed
        self._place += size

    def latents(self) -> Floats:
        """(K, 2D) pooled latents of the usable calibration steps."""
        assert self._latents is not None
        return self._latents[self.usable]

    def calibrate(self, reach: Reach) -> Calibrated:
        """Calibrate each kind of evidence on every other block, the fused scores on the rest."""
        window = reach.window
        rows = np.flatnonzero(self.scorable)
        if not len(rows) or not self.usable.any():
            raise DataError(
                "no row of the history can be scored to calibrate on; check it for missing values "
                "(sensor-ad inspect), or lower prepare.min_observed."
            )
        block = max(
            self.align, min(BLOCK_WINDOWS * window, len(rows) // 8 // self.align * self.align)
        )
        first = (np.arange(len(self.rows)) // block) % 2 == 0
        first_steps = by_step(first, self.align)[:, 0] & self.usable
        if not first_steps.any() or not first[rows].any() or first[rows].all():
            first = np.ones(len(self.rows), dtype=bool)
            first_steps = self.usable
        fitting = rows[first[rows]]
        normal = {name: values[fitting] for name, values in self.values.items()}
        steps = told(self.steps, self.usable)
        normal |= {name: self._known(values, first_steps) for name, values in steps.items()}
        ratios = {name: Ratio.fitted(name, values) for name, values in normal.items()}
        shown = {name: values for name, values in normal.items() if name != PROMPT}
        calibrations = {name: Calibration.fitted(values) for name, values in shown.items()}
        fused = fuse(ratios, self.values, steps, self.scorable, window, self.align)[rows]
        known = fuse_causal(ratios, self.values, steps, self.scorable, reach)[rows]
        rest = ~first[rows]
        chosen = rest if rest.any() else np.ones(len(rows), dtype=bool)
        windows = chosen.sum() / window
        fusion, causal = (
            Calibration.fitted(values[chosen], USUAL_EXCESS, windows) for values in (fused, known)
        )
        return Calibrated(ratios, calibrations, fusion, causal, causal(known), self.index[rows])

    def _known(self, values: Floats, steps: Bools) -> Floats:
        """Values at these steps that are known; at any usable step when none is."""
        for chosen in (values[steps], values[self.usable], np.zeros(1)):
            known = chosen[np.isfinite(chosen)]
            if len(known):
                return known
        raise AssertionError("a zero is known")


def by_step(rows: Any, align: int) -> Any:
    """(P,) to (P / align, align)."""
    return rows.reshape(-1, align)


def latent_plane(latents: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Find the two directions along which calibration latents vary most (PCA).

    Parameters
    ----------
    latents
        (K, 2D) pooled latents.

    Returns
    -------
    (2D,) center, (2D, 2) axes, (2,) share of the variance along each, (K, 2) points in the plane.
    """
    center = latents.mean(axis=0)
    deviation = np.maximum(latents.std(axis=0), 1e-6)
    _, strength, directions = np.linalg.svd((latents - center) / deviation, full_matrices=False)
    axes = np.zeros((latents.shape[1], 2))
    found = directions[:2].T
    # A direction's sign is arbitrary: the largest entry is made positive, so that maps look alike.
    found = found * np.sign(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])])
    axes[:, : found.shape[1]] = found / deviation[:, None]
    variance = np.zeros(2)
    share = strength**2 / max(float((strength**2).sum()), 1e-12)
    variance[: min(2, len(share))] = share[:2]
    return center, axes, variance, (latents - center) @ axes

"""Tiles to scores: every kind of evidence, put on one scale, fused and calibrated once more.

`Scorer` is the fitted whole; `score` never changes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from sensor_ad.calibration import Calibration
from sensor_ad.config import ScoringSettings
from sensor_ad.dense import SPIKE as SPIKE_SCALE
from sensor_ad.dense import Dense, run_tile, steps_to_rows
from sensor_ad.detectors import Detector, Shift, Standardiser, column_name, make_detector
from sensor_ad.features import LayerOutputs
from sensor_ad.fusion import (
    PROMPT,
    READINGS_KINDS,
    RECONSTRUCTION,
    SHIFTS,
    SPIKE,
    STAND_STILL,
    Ratio,
    Reach,
    fuse,
    fuse_causal,
)
from sensor_ad.grid import Layout, Tile
from sensor_ad.models import Network
from sensor_ad.patterns import Patterns
from sensor_ad.prepare import Preparation
from sensor_ad.records import Bools, Floats, Ints
from sensor_ad.standstill import StandStill

POWER = 4.0
"""Tags' contributions are joined by their mean of this power: one bad tag among many must show."""
NORMAL_QUANTILE = 0.999
"""“The most that is normal” of a residual: this quantile of validation rows."""
RESIDUAL_FLOOR = (0.25, 0.25, 0.15, 0.1, 0.1)
"""Least such value on each scale of time, in scaled units: what never moved may move a little."""


@dataclass(frozen=True)
class LatentDetectors:
    """Detectors fitted on pooled latents, and those on the readings' levels and spreads."""

    standardiser: Standardiser
    detectors: dict[str, Detector]
    """Column name -> fitted detector, on standardised latents (J, 2D)."""
    shifts: dict[str, Shift]
    """Column name -> fitted detector, on levels or spreads of the readings (J, C)."""

    def score(self, latents: Floats, level: Floats, seen: Floats) -> dict[str, Floats]:
        """Give each detector's (J,) raw evidence, by the name of its column."""
        features = self.standardiser(latents)
        steps = {name: detector.score(features) for name, detector in self.detectors.items()}
        for one, values, known in zip(self.shifts, level, seen, strict=False):
            steps[one] = self.shifts[one].score(values.astype(np.float64), known)
        return steps


def fit_detectors(
    latents: Floats, level: Floats, seen: Floats, settings: ScoringSettings, seed: int
) -> LatentDetectors:
    """Fit every detector of the config.

    Parameters
    ----------
    latents, level, seen
        (J, 2D) pooled latents, (3, J, C) levels and spreads of normal rows, and the (3, J, C) share
        of their rows that was observed.
    """
    standardiser = Standardiser.fitted(latents)
    features = standardiser(latents)
    detectors = {}
    for name in settings.detectors:
        detector = make_detector(name, settings, seed)
        detector.fit(features)
        detectors[column_name(name)] = detector
    shifts = make_shifts(settings)
    for one, values, known in zip(shifts.values(), level, seen, strict=False):
        one.fit(values.astype(np.float64), known)
    return LatentDetectors(standardiser, detectors, shifts)


def make_shifts(settings: ScoringSettings) -> dict[str, Shift]:
    """Give the detectors of shifts that the config wants, not fitted yet."""
    return {name: Shift(floor) for name, floor in SHIFTS.items() if settings.level_shift}


@dataclass(frozen=True)
class RawEvidence:
    """Evidence of one tile before calibration, halo included."""

    tile: Tile
    expected: Floats
    """(P, C) float32 scaled reconstruction."""
    observed: Floats
    """(P,) share of the window observed."""
    contribution: Floats
    """(P, C) float32 residual over the most that is normal for the tag."""
    rows: dict[str, Floats]
    """Name -> (P,) raw evidence of rows."""
    steps: dict[str, Floats]
    """Name -> (J,) raw evidence at pooled steps."""
    weight: Floats
    """(J,) share of the step's window observed."""
    latents: Floats
    """(J, 2D) pooled latents."""


@dataclass(frozen=True)
class ScoredTile:
    """The result for the core rows of one tile that an export had."""

    index: Ints
    """(T,) grid rows, increasing."""
    score: Floats
    """(T,) float32 offline score, NaN where not scorable."""
    causal: Floats
    """(T,) float32 causal score, which raises alarms; NaN where not scorable."""
    scorable: Bools
    used: Bools
    """(T,) False where the row did not count."""
    evidence: Floats
    """(T, E) float32 calibrated evidence."""
    contribution: Floats
    """(T, C) float32."""
    actual: Floats
    """(T, C) plant units."""
    expected: Floats
    """(T, C) float32 plant units."""
    steps: Ints
    """(J',) grid rows at which the latents below stand (only steps with a row)."""
    latents: Floats
    """(J', 2D) pooled latents."""


@dataclass(frozen=True)
class Scorer:
    """A fitted model: everything that turns tiles into scores.

    Without calibrations, as in fitting, it gives raw evidence only.
    """

    preparation: Preparation
    layout: Layout
    window: int
    min_observed: float
    network: Network
    residual_scale: Floats
    """(5, C) the most that is normal, scaled units, on each scale of time."""
    detectors: LatentDetectors
    stand_still: StandStill
    patterns: Patterns | None
    ratios: dict[str, Ratio] = field(default_factory=dict)
    """Evidence name -> its relation to the most that is normal, from which the score is made."""
    calibrations: dict[str, Calibration] = field(default_factory=dict)
    """Evidence name -> calibration, in the order of the columns that are shown."""
    fusion: Calibration | None = None
    """Calibration of the fused evidence for the offline score …"""
    causal: Calibration | None = None
    """… and for the causal one."""

    @property
    def evidence_names(self) -> tuple[str, ...]:
        """Names of the kinds of evidence, in the order of the columns."""
        return tuple(self.calibrations)

    @property
    def reach(self) -> Reach:
        """How far ahead of a row its evidence looks."""
        return reach_of(self.network, self.window, self.layout.align)

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return next(self.network.parameters()).device

    def score(self, tiles: Iterable[Tile]) -> Iterator[ScoredTile]:
        """Score tile after tile."""
        for raw in self.raw(tiles):
            yield self.finish(raw)

    def raw(self, tiles: Iterable[Tile]) -> Iterator[RawEvidence]:
        """Run the one pass and the detectors over tile after tile."""
        made = dense_pass(tiles, self.network, self.preparation, self.layout, self.window)
        for tile, dense in made:
            contribution, *found = contributions(dense, self.residual_scale)
            rows = dict(zip((RECONSTRUCTION, PROMPT, SPIKE), found, strict=True))
            for name, part in dense.rows.items():
                rows[name] = part.cpu().numpy().astype(np.float64)
            if self.stand_still.judges:
                ratio = self.stand_still.ratio(tile.values)
                rows[STAND_STILL] = ratio.max(axis=1).astype(np.float64)
                contribution = np.maximum(contribution, ratio)
            latents, seen = dense.latents.cpu().numpy(), dense.seen.cpu().numpy()
            steps = self.detectors.score(latents, dense.level.cpu().numpy(), seen)
            if self.patterns is not None:
                cover = dense.cover.cpu().numpy()
                steps |= self.patterns.score(dense.x, dense.given, cover, self.layout.align)
            yield RawEvidence(
                tile=tile,
                expected=dense.expected.T.cpu().numpy(),
                observed=dense.observed.cpu().numpy(),
                contribution=contribution,
                rows=rows,
                steps=steps,
                weight=dense.weight.cpu().numpy(),
                latents=latents,
            )

    def finish(self, raw: RawEvidence) -> ScoredTile:
        """Calibrate and fuse one tile's evidence, and keep its core rows."""
        assert self.fusion is not None and self.causal is not None, "not calibrated yet"
        steps = told(raw.steps, raw.weight >= self.min_observed)
        evidence = calibrated(self.calibrations, raw.rows, steps, self.layout.align)
        core = np.zeros(len(raw.tile.index), dtype=bool)
        core[raw.tile.core] = True
        keep = core & (raw.tile.index >= 0)
        index, actual = raw.tile.index[keep], raw.tile.values[keep]
        evidence = evidence[keep].astype(np.float32)
        used: Bools = np.asarray(np.isfinite(actual).any(axis=1))
        fine = np.isfinite(raw.tile.values).any(axis=1) & (raw.observed >= self.min_observed)
        fused = fuse(self.ratios, raw.rows, steps, fine, self.window, self.layout.align)
        scorable: Bools = fine[keep]
        score = self.fusion(fused[keep]).astype(np.float32)
        known = fuse_causal(self.ratios, raw.rows, steps, fine, self.reach)
        causal = self.causal(known[keep]).astype(np.float32)
        score[~scorable] = causal[~scorable] = np.nan
        align = self.layout.align
        middle = np.arange(align // 2, len(keep), align)
        at = middle[keep[middle] & (raw.weight >= self.min_observed)]
        return ScoredTile(
            index=index,
            score=score,
            causal=causal,
            scorable=scorable,
            used=used,
            evidence=evidence,
            contribution=raw.contribution[keep],
            actual=actual,
            expected=self.preparation.plant_units(raw.expected[keep]),
            steps=raw.tile.index[at],
            latents=raw.latents[at // align],
        )


def reach_of(network: Network, window: int, align: int) -> Reach:
    """Say how far ahead evidence looks; a network also over the holes that it may bridge."""
    return Reach(window, align, network.reach + network.hole)


def calibrated(
    calibrations: dict[str, Calibration],
    rows: dict[str, Floats],
    steps: dict[str, Floats],
    align: int,
) -> Floats:
    """Put evidence of rows and of pooled steps on one scale.

    Parameters
    ----------
    rows, steps
        Name -> (P,) raw evidence of rows, and (P / align,) of pooled steps.

    Returns
    -------
    (P, E) −log10 of the tail probability, in the order of `calibrations`; what is not known is no
    reason for an alarm.
    """
    columns = {name: calibrations[name](rows[name]) for name in rows if name != PROMPT}
    if steps:
        known = {k: np.where(np.isnan(values), -np.inf, values) for k, values in steps.items()}
        found = np.stack([calibrations[name](values) for name, values in known.items()], axis=1)
        columns |= dict(zip(steps, steps_to_rows(found, align).T, strict=True))
    return np.stack([columns[name] for name in calibrations], axis=1)


def told(steps: dict[str, Floats], usable: Bools) -> dict[str, Floats]:
    """Take back what detectors say of latents (J,) that tell nothing."""
    return {
        name: values if name in READINGS_KINDS else np.where(usable, values, np.nan)
        for name, values in steps.items()
    }


def dense_pass(
    tiles: Iterable[Tile],
    network: Network,
    preparation: Preparation,
    layout: Layout,
    window: int,
) -> Iterator[tuple[Tile, Dense]]:
    """Run the network over tile after tile, with a hook on its bottleneck."""
    device = next(network.parameters()).device
    with LayerOutputs(network, [network.bottleneck_name]) as outputs:
        for tile in tiles:
            yield tile, run_tile(outputs, preparation, tile.values, window, layout, device)


def contributions(dense: Dense, residual_scale: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Relate residuals to the most that is normal for each tag.

    Parameters
    ----------
    residual_scale
        (5, C).

    Returns
    -------
    (P, C) float32 contributions, 1 = edge of normal; (P,) all tags joined by their power mean; (P,)
    the same of the scales of time up to a window; and (P,) the highest spike of any tag.
    """
    with torch.inference_mode():
        scale = torch.from_numpy(residual_scale.astype(np.float32)).to(dense.brief.device)
        parts, prompt = dense.contributions(scale)
        joined, at_once = (
            part.square().square_().mean(dim=0) ** (1 / POWER) for part in (parts, prompt)
        )
        found = (joined, at_once, dense.spikes(scale))
        one, other, spikes = (part.cpu().numpy().astype(np.float64) for part in found)
        return parts.T.contiguous().cpu().numpy(), one, other, spikes


def normal_residual(residuals: Floats) -> Floats:
    """Find the most that is normal for each tag on each scale of time.

    Parameters
    ----------
    residuals
        (5, C, T) absolute scaled residuals of rows that the network was not fitted to; NaN where
        unobserved.

    Returns
    -------
    (5, C) the 99.9 % quantile, of spikes the highest; floored.
    """
    known = np.isfinite(residuals).any(axis=2, keepdims=True)
    residuals = np.where(known, residuals, 0.0)
    most = np.nanquantile(residuals, NORMAL_QUANTILE, axis=2)
    # Whatever jumps when the machine starts jumps seldom.
    most[SPIKE_SCALE] = np.nanmax(residuals[SPIKE_SCALE], axis=1)
    floored: Floats = np.maximum(most, np.array(RESIDUAL_FLOOR)[:, None])
    return floored

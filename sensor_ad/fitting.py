"""Which rows fit what: grid rows of normal history come in, a fitted scorer and its limit go out.

Long series are cut into parts that follow one another: train, validate, calibrate. Short ones go
through blocked cross-fitting: every row is scored by a model that was fitted to the other blocks of
time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sensor_ad.calibration import Calibration
from sensor_ad.config import Config
from sensor_ad.errors import DataError
from sensor_ad.grid import Grid, Rows, Tile, tiles
from sensor_ad.limits import Limit, choose_limit
from sensor_ad.models import ConvAutoencoder, make_network
from sensor_ad.prepare import (
    CALIBRATE,
    FOLDS,
    TRAIN,
    UNUSED,
    VALIDATE,
    History,
    Preparation,
    fit_preparation,
    make_layout,
    split_blocks,
    split_parts,
    usable_window,
)
from sensor_ad.records import Bools, Floats, Ints
from sensor_ad.scoring import (
    RECONSTRUCTION,
    LatentDetectors,
    RawEvidence,
    Scorer,
    dense_pass,
    fit_detectors,
    normal_residual,
    raw_evidence,
)
from sensor_ad.training import Trained, make_series, train_network

RESIDUAL_ROWS = 200_000
"""Validation rows, spread evenly, whose residuals tell what is normal."""
KEPT_LATENTS = 2000
"""Calibration latents kept for the report's map."""
KEPT_SCORES = 4000
"""Calibration scores kept for the report."""
BLOCK_WINDOWS = 4
"""Alternate blocks of calibration rows, of so many windows, calibrate the evidence and the fused
score."""
SERIES_IN_TIME, CROSS_FITTED = "parts in time", "blocked cross-fitting"

Announce = Callable[[str, int, int], None]
"""Called with what is being done, steps done, steps in all."""


@dataclass(frozen=True)
class Fitted:
    """A fitted model with what the report shows of its making."""

    scorer: Scorer
    limit: Limit
    scheme: str
    """Parts in time, or blocked cross-fitting."""
    parts: dict[str, int]
    """Part -> rows."""
    history: tuple[dict[str, float], ...]
    """One entry an epoch (with the fold, 1 to 4, in cross-fitting; 0 is the final training)."""
    best_epoch: int
    calibration_scores: Floats
    """(K,) thinned."""
    latent_center: Floats
    latent_axes: Floats
    """(2D,) and (2D, 2): the plane of the report's latent map."""
    latent_variance: Floats
    """(2,) share of the variance along each axis."""
    calibration_latents: Floats
    """(K, 2) in that plane."""
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class _Packed:
    """The fitting rows on the packed axis, in memory."""

    tile: Tile
    x: Floats
    mask: Floats
    place: Ints
    """(P,) number of the fitting row at each place, -1 for filler."""


@dataclass(frozen=True)
class _Pooled:
    """What one network gives on the fitting rows."""

    latents: Floats
    level: Floats
    usable: Bools
    """(J,) steps that were observed well enough."""
    label: Ints
    """(J,) part or block of the step, UNUSED where it is mixed."""
    residuals: Floats
    """(3, C, T) residuals of the rows asked for, NaN where unobserved."""


def fit(
    history: History,
    config: Config,
    device: torch.device,
    checkpoints: Path | None = None,
    announce: Announce = lambda what, done, total: None,
) -> Fitted:
    """Fit network, detectors, calibration and limit to normal history.

    Parameters
    ----------
    history
        Normal rows; rows that must not be learnt are marked as not used.
    config
        Settings of every stage.
    device
        Where the network is trained and run.
    checkpoints
        Folder for the training's state; an interrupted training found there goes on.
    announce
        Told about progress.

    Raises
    ------
    DataError
        There is too little to fit anything.
    """
    used = history.rows.used
    window = usable_window(config.prepare.window, int(used.sum()))
    parts = split_parts(used, config.prepare.parts, window)
    job = _Job(history, config, device, window, checkpoints, announce, crossed=parts is None)
    notes = []
    if window != config.prepare.window:
        notes.append(
            f"the window was shortened from {config.prepare.window} to {window} rows, a twelfth of "
            "the rows at most"
        )
    if parts is None:
        return job.fit_crossed(tuple(notes))
    return job.fit_in_time(parts, tuple(notes))


class _Job:
    """One fitting: what its steps share."""

    def __init__(
        self,
        history: History,
        config: Config,
        device: torch.device,
        window: int,
        checkpoints: Path | None,
        announce: Announce,
        crossed: bool,
    ) -> None:
        self.history, self.config, self.device = history, config, device
        self.window, self.checkpoints, self.announce = window, checkpoints, announce
        network = self._network()
        C = len(history.tags)
        self.layout = make_layout(
            config, window, network.stride, network.reach, history.grid, C, fine=crossed
        )
        self.gap = max(window, network.reach)
        self.pause = pause_rows(config, window, history.grid)

    def fit_in_time(self, parts: Ints, notes: tuple[str, ...]) -> Fitted:
        """Fit a long series: parts follow one another in time."""
        preparation = self._preparation((parts == TRAIN) | (parts == VALIDATE))
        packed = self._packed(preparation)
        at = np.where(packed.place >= 0, parts[packed.place], UNUSED)
        network = self._network()
        trained = self._train(network, packed, at == TRAIN, at == VALIDATE, "network")
        pooled = self._pool(network, preparation, packed, at, at == VALIDATE)
        scale = normal_residual(pooled.residuals)
        learnt = pooled.usable & ((pooled.label == TRAIN) | (pooled.label == VALIDATE))
        detectors = self._detectors(pooled, learnt)
        evidence = _Evidence(at == CALIBRATE, self.layout.align, self.config.prepare.min_observed)
        for raw in self._raw(network, preparation, packed, scale, detectors):
            evidence.add(raw)
        counts = {"train": TRAIN, "validate": VALIDATE, "calibrate": CALIBRATE, "gaps": UNUSED}
        rows = {
            name: int((parts[self.history.rows.used] == part).sum())
            for name, part in counts.items()
        }
        return self._finish(
            evidence, network, preparation, scale, detectors, SERIES_IN_TIME, rows, trained, notes
        )

    def fit_crossed(self, notes: tuple[str, ...]) -> Fitted:
        """Fit a short series: score each of four blocks by a model of the other three."""
        used = self.history.rows.used
        preparation = self._preparation(used)
        packed = self._packed(preparation)
        blocks = split_blocks(used)
        at = np.where(packed.place >= 0, blocks[packed.place], UNUSED)
        folds, residuals, history, epochs = [], [], [], []
        for fold in range(FOLDS):
            network = self._network()
            others = _away_from(at, fold, self.gap)
            trained = self._train(network, packed, others, at == fold, f"fold {fold + 1}")
            history += [{**entry, "fold": fold + 1} for entry in trained.history]
            epochs.append(trained.best_epoch)
            pooled = self._pool(network, preparation, packed, at, at == fold)
            residuals.append(pooled.residuals)
            away = _steps(others, self.layout.align).all(axis=1)
            folds.append((network, self._detectors(pooled, pooled.usable & away)))
        scale = normal_residual(np.concatenate(residuals, axis=2))
        evidence = _Evidence(at >= 0, self.layout.align, self.config.prepare.min_observed)
        for fold, (network, detectors) in enumerate(folds):
            for raw in self._raw(network, preparation, packed, scale, detectors):
                evidence.add(raw, at == fold)
        network = self._network()
        count = max(1, round(float(np.mean(epochs))))
        trained = self._train(network, packed, at >= 0, None, "final network", epochs=count)
        history += [{**entry, "fold": 0} for entry in trained.history]
        pooled = self._pool(network, preparation, packed, at, np.zeros(len(at), dtype=bool))
        detectors = self._detectors(pooled, pooled.usable)
        trained = Trained(trained.weights, count, tuple(history))
        rows = {f"block {fold + 1}": int((blocks[used] == fold).sum()) for fold in range(FOLDS)}
        return self._finish(
            evidence, network, preparation, scale, detectors, CROSS_FITTED, rows, trained, notes
        )

    def _network(self) -> ConvAutoencoder:
        torch.manual_seed(self.config.seed)
        network = make_network(self.config.model, len(self.history.tags), self.window)
        return network.to(self.device)

    def _preparation(self, seen: Bools) -> Preparation:
        rows = self.history.rows
        visible = Rows(rows.index[seen], rows.values[seen], rows.used[seen])
        h = self.history
        return fit_preparation(
            h.tags, h.kinds, visible, h.grid, h.longest_hold, self.config.data.use_when
        )

    def _packed(self, preparation: Preparation) -> _Packed:
        rows = self.history.rows
        pieces = list(tiles([rows], self.layout))
        values = np.concatenate([tile.values[tile.core] for tile in pieces])
        index = np.concatenate([tile.index[tile.core] for tile in pieces])
        x, mask = preparation.scaled(values)
        place = np.where(index >= 0, np.searchsorted(rows.index, index), -1)
        whole = Tile(values, index, slice(0, len(index)))
        return _Packed(whole, x, mask, place)

    def _train(
        self,
        network: ConvAutoencoder,
        packed: _Packed,
        train: Bools,
        validate: Bools | None,
        what: str,
        epochs: int | None = None,
    ) -> Trained:
        sizes = self.window, network.stride, self.device
        series = make_series(packed.x, packed.mask, train, *sizes)
        check = None if validate is None else make_series(packed.x, packed.mask, validate, *sizes)
        total = epochs or self.config.training.max_epochs
        folder = None if self.checkpoints is None else self.checkpoints / what.replace(" ", "-")
        self.announce(f"training {what}", 0, total)
        trained = train_network(
            network,
            series,
            check,
            self.config.training,
            self.config.seed,
            folder,
            epochs,
            lambda entry: self.announce(f"training {what}", int(entry["epoch"]), total),
        )
        self.announce(f"training {what}", total, total)
        return trained

    def _tiles(self, packed: _Packed) -> Iterator[Tile]:
        """Cut the packed axis into tiles with halo once more (they were joined for training)."""
        size, halo = self.layout.tile, self.layout.halo
        values = np.pad(packed.tile.values, ((halo, halo), (0, 0)), constant_values=np.nan)
        index = np.pad(packed.tile.index, halo, constant_values=-1)
        for start in range(0, len(packed.tile.index), size):
            stop = min(start + size, len(packed.tile.index))
            part = slice(start, stop + 2 * halo)
            yield Tile(values[part], index[part], slice(halo, halo + stop - start))

    def _pool(
        self,
        network: ConvAutoencoder,
        preparation: Preparation,
        packed: _Packed,
        labels: Ints,
        checked: Bools,
    ) -> _Pooled:
        """Run the pass over the fitting rows; keep pooled steps, and residuals of the rows
        checked."""
        align = self.layout.align
        every = max(1, int(checked.sum()) // RESIDUAL_ROWS)
        latents, level, weight, residuals, start = [], [], [], [], 0
        made = dense_pass(self._tiles(packed), network, preparation, self.layout, self.window)
        for tile, dense in made:
            core = tile.core
            steps = slice(core.start // align, core.stop // align)
            latents.append(dense.latents[steps].cpu().numpy())
            level.append(dense.level[steps].cpu().numpy())
            weight.append(dense.weight[steps].cpu().numpy())
            size = core.stop - core.start
            at = np.flatnonzero(checked[start : start + size])[::every]
            chosen = dense.residuals[:, :, core][:, :, torch.from_numpy(at)].cpu().numpy()
            seen = packed.mask[start : start + size][at].T > 0
            residuals.append(np.where(seen, chosen, np.nan))
            start += size
        usable = np.concatenate(weight) >= self.config.prepare.min_observed
        by_step = _steps(labels, align)
        label = np.where((by_step == by_step[:, :1]).all(axis=1), by_step[:, 0], UNUSED)
        return _Pooled(
            np.concatenate(latents),
            np.concatenate(level),
            usable,
            label,
            np.concatenate(residuals, axis=2),
        )

    def _detectors(self, pooled: _Pooled, rows: Bools) -> LatentDetectors:
        if rows.sum() < 2:
            raise DataError(
                "no stretch of the history is observed well enough to fit detectors; check it for "
                "missing values (sensor-ad inspect), or lower prepare.min_observed."
            )
        scoring = self.config.scoring
        return fit_detectors(pooled.latents[rows], pooled.level[rows], scoring, self.config.seed)

    def _raw(
        self,
        network: ConvAutoencoder,
        preparation: Preparation,
        packed: _Packed,
        scale: Floats,
        detectors: LatentDetectors,
    ) -> Iterator[RawEvidence]:
        parts = (network, preparation, self.layout, self.window)
        return raw_evidence(self._tiles(packed), *parts, scale, detectors)

    def _finish(
        self,
        evidence: _Evidence,
        network: ConvAutoencoder,
        preparation: Preparation,
        scale: Floats,
        detectors: LatentDetectors,
        scheme: str,
        parts: dict[str, int],
        trained: Trained,
        notes: tuple[str, ...],
    ) -> Fitted:
        calibrations, fusion, score, index = evidence.calibrate(self.window)
        period_s = self.history.grid.period_us / 1e6
        limit = choose_limit(score, index, self.config.limit, self.pause, period_s, self.window)
        network.eval()
        scorer = Scorer(
            preparation,
            self.layout,
            self.window,
            self.config.prepare.min_observed,
            network,
            scale,
            detectors,
            calibrations,
            fusion,
        )
        center, axes, variance, flat = _plane(evidence.latents())
        return Fitted(
            scorer=scorer,
            limit=limit,
            scheme=scheme,
            parts=parts,
            history=trained.history,
            best_epoch=trained.best_epoch,
            calibration_scores=score[_spread_evenly(len(score), KEPT_SCORES)].astype(np.float32),
            latent_center=center,
            latent_axes=axes,
            latent_variance=variance,
            calibration_latents=flat[_spread_evenly(len(flat), KEPT_LATENTS)].astype(np.float32),
            notes=notes,
        )


class _Evidence:
    """Raw evidence of calibration rows, gathered tile after tile (and fold after fold)."""

    def __init__(self, rows: Bools, align: int, min_observed: float) -> None:
        self.align, self.min_observed = align, min_observed
        self.rows = rows
        P = len(rows)
        self.index = np.full(P, -1, dtype=np.int64)
        self.reconstruction = np.zeros(P)
        self.scorable = np.zeros(P, dtype=bool)
        self.steps: dict[str, Floats] = {}
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
        self.reconstruction[at][wanted] = raw.reconstruction[core][wanted]
        fine = seen & (raw.observed[core] >= self.min_observed)
        self.scorable[at][wanted] = fine[wanted]
        steps = slice(at.start // self.align, at.stop // self.align)
        inner = slice(core.start // self.align, core.stop // self.align)
        step_wanted = _steps(wanted, self.align).mean(axis=1) >= 0.5
        for name, values in raw.steps.items():
            kept = self.steps.setdefault(name, np.zeros(len(self.usable)))
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

    def calibrate(self, window: int) -> tuple[dict[str, Calibration], Calibration, Floats, Ints]:
        """Calibrate each kind of evidence on every other block, the fused score on the rest.

        Returns ------- Calibrations by name, that of the fused score, the scores (T,) and grid rows
        (T,) of all scorable calibration rows.
        """
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
        first_steps = _steps(first, self.align)[:, 0] & self.usable
        if not first_steps.any() or not first[rows].any() or first[rows].all():
            first = np.ones(len(self.rows), dtype=bool)
            first_steps = self.usable
        calibrations = {RECONSTRUCTION: Calibration.fitted(self.reconstruction[rows[first[rows]]])}
        columns = [calibrations[RECONSTRUCTION](self.reconstruction)]
        for name, values in self.steps.items():
            calibrations[name] = Calibration.fitted(values[first_steps])
            columns.append(self._rows(calibrations[name](values)))
        fused = np.mean(columns, axis=0)[rows]
        rest = ~first[rows]
        fusion = Calibration.fitted(fused[rest] if rest.any() else fused)
        return calibrations, fusion, fusion(fused), self.index[rows]

    def _rows(self, steps: Floats) -> Floats:
        from sensor_ad.dense import steps_to_rows

        rows: Floats = steps_to_rows(steps[:, None], self.align)[:, 0]
        return rows


def pause_rows(config: Config, window: int, grid: Grid) -> int:
    """Rows that may lie between two alarms of one event."""
    if config.events.pause_s is None:
        return window
    return max(1, int(config.events.pause_s * 1e6 / grid.period_us))


def _steps(rows: Any, align: int) -> Any:
    """(P,) to (P / align, align)."""
    return rows.reshape(-1, align)


def _away_from(at: Ints, fold: int, gap: int) -> Bools:
    """(P,) rows of the other blocks that lie further than `gap` rows from block `fold`."""
    inside = np.flatnonzero(at == fold)
    others: Bools = np.asarray((at >= 0) & (at != fold))
    if len(inside):
        others[max(0, inside[0] - gap) : inside[-1] + gap + 1] = False
    return others


def _plane(latents: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Find the two directions along which calibration latents vary most (PCA)."""
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


def _spread_evenly(count: int, most: int) -> Ints:
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))

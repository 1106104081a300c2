"""Which rows fit what: grid rows of normal history come in, a fitted scorer and its limit go out.

Long series are cut into parts that follow one another: train, validate, calibrate. Short ones go
through blocked cross-fitting: every row is scored by a model that was fitted to the other blocks of
time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from sensor_ad.backtest import back_test
from sensor_ad.config import Config
from sensor_ad.devices import threads_for
from sensor_ad.errors import DataError
from sensor_ad.evidence import CalibrationRows, by_step, latent_plane
from sensor_ad.grid import Rows, Tile, tiles
from sensor_ad.limits import Limit, choose_limit, pause_rows
from sensor_ad.models import Network, make_network
from sensor_ad.patterns import Patterns, fit_patterns, tag_weights, whole_windows
from sensor_ad.prepare import (
    CALIBRATE,
    FARTHEST,
    FOLDS,
    TRAIN,
    UNUSED,
    VALIDATE,
    History,
    Preparation,
    fit_preparation,
    known_inputs,
    make_layout,
    split_blocks,
    split_parts,
    usable_window,
)
from sensor_ad.records import Bools, Floats, Ints
from sensor_ad.scoring import (
    LatentDetectors,
    Scorer,
    dense_pass,
    fit_detectors,
    normal_residual,
)
from sensor_ad.slow_history import SlowHistory
from sensor_ad.slow_normal import SlowNormal
from sensor_ad.standstill import fit_stand_still
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
    slow: SlowNormal | None = None
    """What slow change is normal; None when the history is too short to tell."""


@dataclass(frozen=True)
class _Packed:
    """The fitting rows on the packed axis, in memory."""

    preparation: Preparation
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
    seen: Floats
    usable: Bools
    """(J,) steps that were observed well enough."""
    label: Ints
    """(J,) part or block of the step, UNUSED where it is mixed."""
    residuals: Floats
    """(5, C, T) residuals of the rows asked for, NaN where unobserved."""
    cover: Floats
    """(J,) share of the cells of each step's window that was observed."""


@dataclass(frozen=True)
class _Judges:
    """What judges what one network gives."""

    detectors: LatentDetectors
    patterns: Patterns | None


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
        self.layout = make_layout(config, window, network, history.grid, C, fine=crossed)
        self.gap = max(window, network.reach)
        rows = history.rows
        counted = np.where(rows.used[:, None], rows.values, np.nan)
        self.stand_still = fit_stand_still(counted, history.kinds, window)
        self.pause = pause_rows(config.events, window, history.grid)

    def fit_in_time(self, parts: Ints, notes: tuple[str, ...]) -> Fitted:
        """Fit a long series: parts follow one another in time."""
        packed = self._packed(self._preparation((parts == TRAIN) | (parts == VALIDATE)))
        at = np.where(packed.place >= 0, parts[packed.place], UNUSED)
        network = self._network()
        trained = self._train(network, packed, at == TRAIN, at == VALIDATE, "network")
        pooled = self._pool(network, packed, at, at == VALIDATE)
        scale = normal_residual(pooled.residuals)
        learnt = pooled.usable & ((pooled.label == TRAIN) | (pooled.label == VALIDATE))
        judges = self._judges(packed, pooled, learnt)
        scorer = self._scorer(network, packed, scale, judges)
        evidence = CalibrationRows(
            at == CALIBRATE, self.layout.align, self.config.prepare.min_observed
        )
        slow = self._slow(parts, (VALIDATE, CALIBRATE))
        for raw in scorer.raw(self._tiles(packed)):
            evidence.add(raw)
            slow.add(raw, scorer)
        counts = {"train": TRAIN, "validate": VALIDATE, "calibrate": CALIBRATE, "gaps": UNUSED}
        rows = {
            name: int((parts[self.history.rows.used] == part).sum())
            for name, part in counts.items()
        }
        fitted = self._finish(evidence, scorer, trained, SERIES_IN_TIME, rows, notes)
        return replace(fitted, slow=slow.normal(scorer))

    def fit_crossed(self, notes: tuple[str, ...]) -> Fitted:
        """Fit a short series: score each of four blocks by a model of the other three."""
        used = self.history.rows.used
        packed = self._packed(self._preparation(used))
        blocks = split_blocks(used)
        at = np.where(packed.place >= 0, blocks[packed.place], UNUSED)
        folds, residuals, history, epochs = [], [], [], []
        for fold in range(FOLDS):
            network = self._network()
            near = _near(at, fold, self.gap)
            others = (at >= 0) & ~near
            trained = self._train(network, packed, others, at == fold, f"fold {fold + 1}")
            history += [{**entry, "fold": fold + 1} for entry in trained.history]
            epochs.append(trained.best_epoch)
            pooled = self._pool(network, packed, at, at == fold)
            residuals.append(pooled.residuals)
            away = _away(others, near, packed.place >= 0, self.layout.align)
            folds.append((network, self._judges(packed, pooled, pooled.usable & away)))
        scale = normal_residual(np.concatenate(residuals, axis=2))
        evidence = CalibrationRows(at >= 0, self.layout.align, self.config.prepare.min_observed)
        slow = self._slow(blocks, tuple(range(FOLDS)))
        for fold, (network, judges) in enumerate(folds):
            scorer = self._scorer(network, packed, scale, judges)
            for raw in scorer.raw(self._tiles(packed)):
                evidence.add(raw, at == fold)
                slow.add(raw, scorer, fold)
        network = self._network()
        count = max(1, round(float(np.mean(epochs))))
        trained = self._train(network, packed, at >= 0, None, "final network", epochs=count)
        history += [{**entry, "fold": 0} for entry in trained.history]
        pooled = self._pool(network, packed, at, np.zeros(len(at), dtype=bool))
        judges = self._judges(packed, pooled, pooled.usable)
        scorer = self._scorer(network, packed, scale, judges)
        trained = Trained(trained.weights, count, tuple(history))
        rows = {f"block {fold + 1}": int((blocks[used] == fold).sum()) for fold in range(FOLDS)}
        fitted = self._finish(evidence, scorer, trained, CROSS_FITTED, rows, notes)
        return replace(fitted, slow=slow.normal(scorer))

    def _network(self) -> Network:
        torch.manual_seed(self.config.seed)
        known = known_inputs(self.history.tags, self.history.kinds)
        network = make_network(self.config.model, len(self.history.tags), self.window, known)
        return network.to(self.device)

    def _slow(self, labels: Ints, held: tuple[int, ...]) -> SlowHistory:
        """Make what learns from the parts `held` which slow change is normal."""
        return SlowHistory(self.history.rows, labels, held, self.history.grid, self.window)

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
        return _Packed(preparation, whole, x, mask, place)

    def _train(
        self,
        network: Network,
        packed: _Packed,
        train: Bools,
        validate: Bools | None,
        what: str,
        epochs: int | None = None,
    ) -> Trained:
        data, ways = (packed.x, packed.mask), (network, self.device)
        series = make_series(*data, train, *ways)
        check = None if validate is None else make_series(*data, validate, *ways)
        total = epochs or self.config.training.max_epochs
        folder = None if self.checkpoints is None else self.checkpoints / what.replace(" ", "-")
        self.announce(f"training {what}", 0, total)
        values = self.config.training.batch * series.crop * network.width
        with threads_for(values, self.config.threads):
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
        network: Network,
        packed: _Packed,
        labels: Ints,
        checked: Bools,
    ) -> _Pooled:
        """Run the pass; keep pooled steps, and residuals of the rows checked."""
        align = self.layout.align
        every = max(1, int(checked.sum()) // RESIDUAL_ROWS)
        latents, level, seen, weight, residuals = [], [], [], [], []
        cover, start = [], 0
        made = dense_pass(
            self._tiles(packed), network, packed.preparation, self.layout, self.window
        )
        for tile, dense in made:
            core = tile.core
            steps = slice(core.start // align, core.stop // align)
            latents.append(dense.latents[steps].cpu().numpy())
            level.append(dense.level[:, steps].cpu().numpy())
            seen.append(dense.seen[:, steps].cpu().numpy())
            weight.append(dense.weight[steps].cpu().numpy())
            cover.append(dense.cover[steps].cpu().numpy())
            size = core.stop - core.start
            at = np.flatnonzero(checked[start : start + size])[::every]
            chosen = dense.residuals()[:, :, core][:, :, torch.from_numpy(at)].cpu().numpy()
            shown = packed.mask[start : start + size][at].T > 0
            residuals.append(np.where(shown, chosen, np.nan))
            start += size
        usable = np.concatenate(weight) >= self.config.prepare.min_observed
        label = label_of_steps(by_step(labels, align), by_step(packed.place >= 0, align))
        return _Pooled(
            np.concatenate(latents),
            np.concatenate(level, axis=1),
            np.concatenate(seen, axis=1),
            usable,
            label,
            np.concatenate(residuals, axis=2),
            np.concatenate(cover),
        )

    def _detectors(self, pooled: _Pooled, rows: Bools) -> LatentDetectors:
        if rows.sum() < 2:
            raise DataError(
                "no stretch of the history is observed well enough to fit detectors; check it for "
                "missing values (sensor-ad inspect), or lower prepare.min_observed."
            )
        scoring = self.config.scoring
        chosen = (pooled.latents[rows], pooled.level[:, rows], pooled.seen[:, rows])
        return fit_detectors(*chosen, scoring, self.config.seed)

    def _judges(self, packed: _Packed, pooled: _Pooled, steps: Bools) -> _Judges:
        return _Judges(self._detectors(pooled, steps), self._patterns(packed, pooled, steps))

    def _patterns(self, packed: _Packed, pooled: _Pooled, steps: Bools) -> Patterns | None:
        """Keep the windows of these steps."""
        if not self.config.scoring.patterns:
            return None
        align, size = self.layout.align, self.config.scoring.bank_size
        usual = float(np.median(pooled.cover[steps]))
        rows = np.repeat(steps & whole_windows(pooled.cover, usual), align)
        known = known_inputs(self.history.tags, self.history.kinds)
        weight = tag_weights(packed.preparation, packed.x[rows], packed.mask[rows], known)
        centres = np.flatnonzero(rows)
        x, mask = packed.preparation.scaled(packed.tile.values, FARTHEST)
        return fit_patterns(x, mask, weight, self.window, centres, usual, size, self.config.seed)

    def _scorer(
        self,
        network: Network,
        packed: _Packed,
        scale: Floats,
        judges: _Judges,
    ) -> Scorer:
        """Put the parts together; the calibrations are still to come."""
        return Scorer(
            preparation=packed.preparation,
            layout=self.layout,
            window=self.window,
            min_observed=self.config.prepare.min_observed,
            network=network.eval(),
            residual_scale=scale,
            detectors=judges.detectors,
            stand_still=self.stand_still,
            patterns=judges.patterns,
        )

    def _finish(
        self,
        evidence: CalibrationRows,
        scorer: Scorer,
        trained: Trained,
        scheme: str,
        parts: dict[str, int],
        notes: tuple[str, ...],
    ) -> Fitted:
        """Calibrate, choose the limit, and keep what the report shows."""
        found = evidence.calibrate(scorer.reach)
        score, index = found.score, found.index
        period_s = self.history.grid.period_us / 1e6
        normal = (score, index, self.config.limit, self.pause, period_s, self.window)
        limit = replace(choose_limit(*normal), back_test=back_test(*normal))
        center, axes, variance, flat = latent_plane(evidence.latents())
        return Fitted(
            scorer=replace(
                scorer,
                ratios=found.ratios,
                calibrations=found.calibrations,
                fusion=found.fusion,
                causal=found.causal,
            ),
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


def label_of_steps(labels: Ints, there: Bools) -> Ints:
    """(J,) the label that all rows of a step share, UNUSED where they differ.

    Parameters
    ----------
    labels, there
        (J, align) label of each row, and whether the export had it: a row left out here and there
        has no say.
    """
    low = np.where(there, labels, np.iinfo(np.int64).max).min(axis=1)
    high = np.where(there, labels, np.iinfo(np.int64).min).max(axis=1)
    return np.where(low == high, low, UNUSED)


def _near(at: Ints, fold: int, gap: int) -> Bools:
    """(P,) places of block `fold`, and those no further than `gap` rows from it."""
    inside = np.flatnonzero(at == fold)
    near = np.zeros(len(at), dtype=bool)
    if len(inside):
        near[max(0, inside[0] - gap) : inside[-1] + gap + 1] = True
    return near


def _away(others: Bools, near: Bools, there: Bools, align: int) -> Bools:
    """(J,) steps of the other blocks alone; rows that the export left out have no say."""
    only = by_step(others | ~there, align).all(axis=1) & by_step(others, align).any(axis=1)
    away: Bools = only & ~by_step(near, align).any(axis=1)
    return away


def _spread_evenly(count: int, most: int) -> Ints:
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))

"""Windows of readings in, how unlike every normal window they are out.

The network says what it expects of each row; here whole windows are compared with windows of the
history. They are looked at in two views: the readings as they are, and what is left of them when
their own moving mean is taken away, in which a change of shape shows whatever the level. A window
knows nothing of the rows behind it, so what it says holds as soon as it is over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from sensor_ad.dense import means
from sensor_ad.prepare import Preparation
from sensor_ad.records import Bools, Floats, Ints

PATTERN, PATTERN_REST = "pattern", "pattern_rest"
CHANGE, CHANGE_REST = "pattern_change", "pattern_change_rest"
KINDS = (PATTERN, PATTERN_REST, CHANGE, CHANGE_REST)
COMPONENTS = 64
"""Directions of a window's space that are kept, at most …"""
EXPLAINED = 0.95
"""… and no more than explain so much of the normal windows' variance."""
SPREAD_SHARE = 1 / 4
"""Least spread of a tag as a share of its training range: what hardly moves may move a little."""
CONTEXT_WEIGHT = 0.1
"""Of tags with two states, and of set-points and commands: they say what the machine is told to
do, and a rare command is no fault."""
KNOWN_SHARE = 0.9
"""A window is compared when so much of what is usual was observed of it."""
BLOCK = 1024
"""Windows compared at a time."""


@dataclass(frozen=True)
class View:
    """Normal windows (of C tags times L rows, laid flat) seen in one way."""

    mean: Floats
    """(C L,)"""
    basis: Floats
    """(K, C L) orthonormal directions of most variance."""
    bank: Floats
    """(M, K) normal windows along them."""

    @classmethod
    def fitted(cls, windows: Floats, seed: int) -> View:
        """Fit to (N, C L) normal windows, all of which are kept."""
        from sklearn.utils.extmath import randomized_svd

        # In float64: in float32 the number of threads would show in where the directions lie.
        mean = windows.mean(axis=0, dtype=np.float64)
        centred = windows - mean
        most = min(COMPONENTS, *centred.shape)
        _, strength, basis = randomized_svd(centred, most, random_state=seed)
        wanted = EXPLAINED * float(np.square(centred).sum())
        basis = basis[: int(np.searchsorted(np.cumsum(strength**2), wanted)) + 1]
        # Kept as a bundle keeps them, so that a model gives the same scores when it is read back.
        kept = (
            part.astype(np.float32).astype(np.float64) for part in (mean, basis, centred @ basis.T)
        )
        return cls(*kept)

    def compare(self, series: torch.Tensor, window: int, step: int) -> tuple[Floats, Floats]:
        """Compare the window around each step with the normal ones.

        Parameters
        ----------
        series
            (C, P) float64, P a multiple of `step`.

        Returns
        -------
        (J,) squared distance to the nearest normal window, and (J,) the part of it that lies
        outside the directions kept (the squared prediction error of a principal component
        analysis, Q); both for each row of the window.
        """
        C = len(series)
        filters = torch.from_numpy(np.vstack([self.basis, self.mean])).to(series.device)
        before = window // 2 - step // 2
        padded = F.pad(series, (before, window - step - before))
        found = F.conv1d(padded[None], filters.reshape(-1, C, window), stride=step)[0]
        energy = F.avg_pool1d(padded.square().sum(dim=0)[None], window, stride=step)[0] * window
        along = (found[:-1] - (filters[:-1] @ filters[-1])[:, None]).T
        energy = energy - 2 * found[-1] + filters[-1].square().sum()
        rest = (energy - along.square().sum(dim=1)).clamp(min=0.0)
        bank = torch.from_numpy(self.bank).to(series.device)
        norms = bank.square().sum(dim=1)
        near = torch.cat(
            [
                (norms - 2 * part @ bank.T).amin(dim=1) + part.square().sum(dim=1)
                for part in torch.split(along, BLOCK)
            ]
        ).clamp(min=0.0)
        return (near + rest).cpu().numpy() / window, rest.cpu().numpy() / window


@dataclass(frozen=True)
class Patterns:
    """Normal windows of L rows, and what unlike is."""

    weight: Floats
    """(C,) of each tag's scaled readings."""
    window: int
    usual: float
    """Usual share of a window's cells that is observed."""
    level: View
    change: View

    def score(
        self, x: torch.Tensor, mask: torch.Tensor, cover: Floats, step: int
    ) -> dict[str, Floats]:
        """Give (J,) evidence by the name of its column, NaN where too little was observed.

        Parameters
        ----------
        x, mask
            (C, P) scaled readings, 0 where unobserved, and which were observed.
        cover
            (J,) share of the cells of each step's window that was observed.
        """
        with torch.inference_mode():
            scale = torch.from_numpy(self.weight).to(x.device)
            series, change = views(x.double() * scale[:, None], mask.double(), self.window)
            near, rest = self.level.compare(series, self.window, step)
            shape, shape_rest = self.change.compare(change, self.window, step)
        known = whole_windows(cover, self.usual)
        found = zip(KINDS, (near, rest, shape, shape_rest), strict=True)
        return {name: np.where(known, values, np.nan) for name, values in found}


def views(
    series: torch.Tensor, mask: torch.Tensor, window: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(C, P) a series without holes, and what is left when its mean over the last window goes.

    A hole is filled with the last reading, for a window at most, then with 0, the usual reading:
    by what came before alone.
    """
    total = moving_means(series * mask, window)
    if bool((mask > 0).all()):  # the usual case, at a third of the cost
        place = torch.arange(1, series.shape[1] + 1, device=series.device, dtype=series.dtype)
        return series, series - total / (place / window).clamp(max=1.0)
    place = torch.arange(series.shape[1], device=series.device).expand_as(series)
    last = torch.where(mask > 0, place, -1).cummax(dim=1).values
    held = series.gather(1, last.clamp(min=0))
    filled = torch.where((last >= 0) & (place - last < window), held, 0.0)
    count = moving_means(mask, window)
    mean = torch.where(count > 0, total / count.clamp(min=1 / window), filled)
    return filled, filled - mean


def moving_means(series: torch.Tensor, window: int) -> torch.Tensor:
    """(C, P) means over the `window` rows that end in each row, 0 before the first."""
    behind = F.pad(series, (window - 1 - window // 2, 0))
    return means(behind[None], window)[0, :, : series.shape[1]]


def tag_weights(
    preparation: Preparation, x: Floats, mask: Floats, known: tuple[bool, ...]
) -> Floats:
    """(C,) what a window's tags count: alike, as far as they move, commands a tenth.

    Parameters
    ----------
    x, mask
        (T, C) scaled normal readings and which of them were observed.
    known
        (C,) which tags people or logic set.
    """
    count = np.maximum(mask.sum(axis=0, dtype=np.float64), 1.0)
    mean = (x * mask).sum(axis=0, dtype=np.float64) / count
    square = (np.square(x, dtype=np.float64) * mask).sum(axis=0) / count
    spread = np.sqrt(np.maximum(square - mean**2, 0.0))
    span = (preparation.high - preparation.low) / preparation.scale
    # A tag that never moved: once its own value, or one plant unit, is one.
    once = np.where(preparation.center == 0, 1.0, np.abs(preparation.center)) / preparation.scale
    weight = 1 / np.where(span > 0, np.maximum(spread, SPREAD_SHARE * span), once)
    context = np.array(
        [
            (span[c] > 0 and (known[c] and len(np.unique(x[:, c][mask[:, c] > 0])) <= 2))
            or preparation.tags[c].role != "measurement"
            for c in range(x.shape[1])
        ]
    )
    return np.where(context, CONTEXT_WEIGHT * weight, weight)


def fit_patterns(
    x: Floats,
    mask: Floats,
    weight: Floats,
    window: int,
    centres: Ints,
    usual: float,
    size: int,
    seed: int,
) -> Patterns:
    """Keep normal windows.

    Parameters
    ----------
    x, mask
        (P, C) scaled readings on the packed axis, 0 where unobserved, and which were observed.
    weight
        (C,) of `tag_weights`.
    centres
        (N,) places whose windows are normal, increasing; at most `size` are taken, spread evenly.
    usual
        Share of their cells that is observed.
    """
    known = torch.from_numpy(mask.T.astype(np.float64))
    both = views(torch.from_numpy((x * weight).T.astype(np.float64)), known, window)
    inside = (centres >= window // 2) & (centres + window - window // 2 <= len(x))
    centres = centres[inside]
    chosen = np.unique(np.linspace(0, len(centres) - 1, min(size, len(centres))).round())
    starts = centres[chosen.astype(np.int64)] - window // 2
    level, change = (View.fitted(_windows(part, starts, window), seed) for part in both)
    return Patterns(weight, window, usual, level, change)


def whole_windows(cover: Floats, usual: float) -> Bools:
    """(J,) steps of whose windows nearly all of what is usual was observed."""
    return cover >= KNOWN_SHARE * usual


def _windows(series: torch.Tensor, starts: Ints, window: int) -> Floats:
    """(N, C L) float32 windows that begin at these places."""
    found = series.float().unfold(1, window, 1)[:, torch.from_numpy(starts)]
    flat: Floats = found.permute(1, 0, 2).reshape(len(starts), -1).numpy()
    return flat

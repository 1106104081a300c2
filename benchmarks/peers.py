"""Other methods on the same series: rows come in, scores of all rows go out, higher is worse.

Each is fitted to the first rows only. Those of PyOD run with their default settings on windows of
z-scored rows. None of them sees a label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sensor_ad.config import PrepareSettings
from sensor_ad.grid import Grid, Rows
from sensor_ad.prepare import NORMAL_SPREAD, Preparation, find_kinds, fit_preparation
from sensor_ad.records import Floats, Tag

WINDOW = 32
"""L, rows of a window."""
EXPLAINED = 0.95
"""Share of the training variance that the components of a PCA keep."""
LIMIT_QUANTILE = 0.99
"""Row-wise T² and Q are joined in units of this quantile on training rows."""
SCALE_FLOOR = 1 / 4
"""Of the fixed scaling: a tag's spread is at least this share of its training range."""
NOISE_DRAWS = 20
"""Random tables that a parallel analysis averages over."""
BLOCK = 4096
"""Windows laid flat at a time."""


@dataclass(frozen=True)
class PeerScore:
    """What a peer says of the rows of a series."""

    centred: Floats
    """(T,) a window's score stands at its middle."""
    causal: Floats
    """(T,) a window's score stands at its last row; rows before the first one take its score."""


@dataclass(frozen=True)
class Pca:
    """Principal components of training rows (Jackson and Mudholkar, Technometrics 21, 1979)."""

    mean: Floats
    """(D,)"""
    axes: Floats
    """(D, K) orthonormal."""
    variance: Floats
    """(K,) of the training rows along each axis, above 0."""

    def squared_error(self, x: Floats) -> Floats:
        """Q, the squared prediction error: (N,) squared distance of (N, D) rows from the plane."""
        away = x - self.mean
        error = np.square(away).sum(axis=1) - np.square(away @ self.axes).sum(axis=1)
        return np.asarray(np.maximum(error, 0.0), dtype=np.float64)

    def t2(self, x: Floats) -> Floats:
        """Give Hotelling's T² of (N, D) rows: (N,) squared distance within the plane."""
        inside = np.square((x - self.mean) @ self.axes)
        return np.asarray((inside / self.variance).sum(axis=1), dtype=np.float64)


def fit_pca(x: Floats, kept: float = EXPLAINED) -> Pca:
    """Fit principal components to (N, D) rows: a number of them, or a share of the variance."""
    from sklearn.decomposition import PCA

    N, D = x.shape
    found = PCA(kept, svd_solver="covariance_eigh" if N > D else "full").fit(x)
    variance = np.maximum(found.explained_variance_, np.finfo(np.float32).eps)
    return Pca(found.mean_, found.components_.T, variance)


def parallel_analysis(x: Floats, seed: int = 0) -> int:
    """Count the components that tell more than noise would (Horn, Psychometrika 30, 1965).

    Parameters
    ----------
    x
        (N, D) rows, each column of standard deviation 1.
    """
    rng = np.random.default_rng(seed)
    noise = [_eigenvalues(rng.standard_normal(x.shape)) for _ in range(NOISE_DRAWS)]
    above = _eigenvalues(x) > np.mean(noise, axis=0)
    return max(1, int(np.argmin(above)) if not above.all() else len(above))


def _eigenvalues(x: Floats) -> Floats:
    """(D,) of the covariance, from the highest down."""
    return np.linalg.eigvalsh(np.cov(x, rowvar=False))[::-1]


def z_scores(values: Floats, train_rows: int) -> Floats:
    """Scale (T, C) rows by mean and standard deviation of the first; constant tags by 1."""
    train = values[:train_rows]
    spread = train.std(axis=0)
    return np.asarray((values - train.mean(axis=0)) / np.where(spread > 0, spread, 1.0))


def program_preparation(values: Floats, train_rows: int) -> Preparation:
    """Fit the program's own scaling to the first rows of (T, C); counters stay levels here."""
    train = values[:train_rows]
    tags = tuple(Tag(f"x{c}", "") for c in range(values.shape[1]))
    rows = Rows(np.arange(train_rows), train, np.ones(train_rows, dtype=bool))
    kinds = tuple(
        "constant" if kind == "empty" else kind
        for kind in find_kinds(train, PrepareSettings().few_states)
    )
    holds = np.zeros(len(tags), dtype=np.int64)
    return fit_preparation(tags, kinds, rows, Grid(1_000_000, 0), holds, "")


def plain_preparation(values: Floats, train_rows: int) -> Preparation:
    """Scale by one fixed rule for all tags, which stays when the program's scaling changes.

    The spread is the robust one, at least a quarter of the training range; tags that are constant
    in training keep their raw unit.
    """
    fitted = program_preparation(values, train_rows)
    q25, q75 = np.percentile(values[:train_rows], [25, 75], axis=0)
    span = fitted.high - fitted.low
    spread = np.maximum((q75 - q25) / NORMAL_SPREAD, SCALE_FLOOR * span)
    return replace(fitted, scale=np.where(span > 0, spread, 1.0))


def flat_windows(x: Floats, length: int = WINDOW) -> Floats:
    """Lay each window of (T, C) rows flat: a view of (T − L + 1, C, L), as (N, C·L) once copied."""
    return np.lib.stride_tricks.sliding_window_view(x, length, axis=0)


def on_rows(score: Floats, T: int, length: int = WINDOW) -> PeerScore:
    """Give the scores (N,) of windows to rows (T,).

    Examples
    --------
    >>> found = on_rows(np.array([1.0, 2.0, 3.0]), T=5, length=3)
    >>> found.centred.tolist(), found.causal.tolist()
    ([1.0, 1.0, 2.0, 3.0, 3.0], [1.0, 1.0, 1.0, 2.0, 3.0])
    """
    at = np.arange(T)
    last = len(score) - 1
    return PeerScore(
        score[np.clip(at - length // 2, 0, last)], score[np.clip(at - length + 1, 0, last)]
    )


def pca_windows(values: Floats, train_rows: int, seed: int) -> PeerScore:
    """PCA's squared prediction error on windows of rows scaled as the program scales them."""
    x, _ = program_preparation(values, train_rows).scaled(values)
    return _on_windows(x, train_rows, lambda train: fit_pca(train).squared_error)


def pca_windows_plain(values: Floats, train_rows: int, seed: int) -> PeerScore:
    """Do the same with the fixed scaling of `plain_preparation`."""
    x, _ = plain_preparation(values, train_rows).scaled(values)
    return _on_windows(x, train_rows, lambda train: fit_pca(train).squared_error)


def t2_and_q(values: Floats, train_rows: int, seed: int) -> PeerScore:
    """Join T² and Q of single rows, each in units of its limit, by the larger one."""
    x = z_scores(values, train_rows)
    pca = fit_pca(x[:train_rows])
    parts = np.stack([pca.t2(x), pca.squared_error(x)])
    limits = np.quantile(parts[:, :train_rows], LIMIT_QUANTILE, axis=1, keepdims=True)
    score = (parts / np.maximum(limits, np.finfo(np.float32).eps)).max(axis=0)
    return PeerScore(score, score)


def iforest(values: Floats, train_rows: int, seed: int) -> PeerScore:
    """Run PyOD's isolation forest on windows."""
    from pyod.models.iforest import IForest

    return _pyod(IForest(random_state=seed), values, train_rows)


def pyod_pca(values: Floats, train_rows: int, seed: int) -> PeerScore:
    """Run PyOD's PCA on windows."""
    from pyod.models.pca import PCA

    return _pyod(PCA(), values, train_rows)


def knn(values: Floats, train_rows: int, seed: int) -> PeerScore:
    """Run PyOD's distance to the fifth nearest neighbour on windows."""
    from pyod.models.knn import KNN

    return _pyod(KNN(), values, train_rows)


def autoencoder(values: Floats, train_rows: int, seed: int) -> PeerScore:
    """Run PyOD's fully connected autoencoder on windows; PyOD needs `tqdm` for it."""
    from pyod.models.auto_encoder import AutoEncoder

    return _pyod(AutoEncoder(random_state=seed, verbose=0), values, train_rows)


PEERS: dict[str, Callable[[Floats, int, int], PeerScore]] = {
    "pca-spe": pca_windows,
    "pca-spe-plain": pca_windows_plain,
    "t2-q": t2_and_q,
    "iforest": iforest,
    "pca": pyod_pca,
    "knn": knn,
    "autoencoder": autoencoder,
}
"""Word of `--peers` -> method: (T, C) values, number of training rows and seed to scores."""
RANDOM = ("iforest", "autoencoder")
"""Peers that a seed changes."""
TITLES = {
    "pca-spe": "PCA-SPE, windows, our scaling",
    "pca-spe-plain": "PCA-SPE, windows, fixed scaling",
    "t2-q": "PCA T²+Q, rows",
    "iforest": "PyOD IForest, windows",
    "pca": "PyOD PCA, windows",
    "knn": "PyOD KNN, windows",
    "autoencoder": "PyOD AutoEncoder, windows",
}


def _pyod(detector: Any, values: Floats, train_rows: int) -> PeerScore:
    def fitted(train: Floats) -> Callable[[Floats], Floats]:
        detector.fit(train)
        scored: Callable[[Floats], Floats] = detector.decision_function
        return scored

    return _on_windows(z_scores(values, train_rows).astype(np.float32), train_rows, fitted)


def _on_windows(
    x: Floats, train_rows: int, fit: Callable[[Floats], Callable[[Floats], Floats]]
) -> PeerScore:
    """Fit to the windows of the training rows and score those of all rows, block by block."""
    windows = flat_windows(x)
    N = len(windows)
    train = windows[: train_rows - WINDOW + 1]
    scored = fit(train.reshape(len(train), -1))
    parts = [
        scored(windows[start : start + BLOCK].reshape(min(BLOCK, N - start), -1))
        for start in range(0, N, BLOCK)
    ]
    return on_rows(np.concatenate(parts).astype(np.float64), len(x))

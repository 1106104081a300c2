"""Detectors on features: rows of features come in, how unlike the normal ones each is goes out.

A detector is fitted to normal rows, `score` is higher when more abnormal, and its state is plain
arrays or, for PyOD's detectors, an estimator that a bundle keeps with skops.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sensor_ad.config import ScoringSettings
from sensor_ad.detector_names import PYOD_TESTED
from sensor_ad.errors import ModelError
from sensor_ad.forest import Forest, forest_of
from sensor_ad.records import Bools, Floats

KNOWN_SHARE = 0.7
"""A level is known when so much of the usual part of its window was observed. No fraction that a
window of a power of two rows can have, so that rounding decides nothing."""
SPREAD_FLOOR = 1e-3
"""Least standard deviation of a feature, as a share of the largest one."""
FOREST_ARRAYS = ("feature", "threshold", "left", "right", "path")
FOREST_SAMPLES = 256
"""Rows per tree, as in Liu, Ting and Zhou, "Isolation Forest", ICDM 2008."""
PYOD_ROWS = 4096
"""PyOD's detectors are fitted to at most so many rows, spread evenly over time."""
CANDIDATES = 4
"""The bank is chosen among so many times its size, spread evenly over time."""
NEIGHBOURS = 3
"""`nearest` takes the mean distance to so many latents of the bank."""
BLOCK = 4096
"""Rows scored at a time, so that memory stays bounded."""


class Detector(Protocol):
    """What every detector offers."""

    def fit(self, features: Floats) -> None:
        """Learn what is normal from (N, D) features."""

    def score(self, features: Floats) -> Floats:
        """Give (N,) float64, higher when more abnormal."""

    def state(self) -> tuple[dict[str, Floats], Any]:
        """Give the fitted state: arrays by name, and an estimator for skops or None."""

    def restore(self, arrays: dict[str, Floats], estimator: Any) -> None:
        """Take a state back."""


@dataclass
class Standardiser:
    """Features to mean 0 and standard deviation 1, with a floor on the deviation."""

    mean: Floats
    deviation: Floats

    @classmethod
    def fitted(cls, features: Floats) -> Standardiser:
        """Fit to (N, D) features."""
        deviation = features.std(axis=0)
        floor = max(SPREAD_FLOOR * float(deviation.max()), 1e-9)
        return cls(features.mean(axis=0), np.maximum(deviation, floor))

    def __call__(self, features: Floats) -> Floats:
        """Standardise (N, D) features."""
        return (features - self.mean) / self.deviation


class Mahalanobis:
    """Squared Mahalanobis distance with the covariance of Ledoit and Wolf (JMVA 88, 2004)."""

    def __init__(self) -> None:
        self._mean: Floats = np.empty(0)
        self._whiten: Floats = np.empty((0, 0))

    def fit(self, features: Floats) -> None:
        """Learn mean and covariance from (N, D) features."""
        from sklearn.covariance import ledoit_wolf

        features = _checked(features, None)
        covariance, _ = ledoit_wolf(features)
        values, vectors = np.linalg.eigh(covariance)
        # A direction without any spread must not become infinitely telling.
        values = np.maximum(values, SPREAD_FLOOR**2 * max(values.max(), 1e-12))
        self._mean = features.mean(axis=0)
        self._whiten = vectors / np.sqrt(values)

    def score(self, features: Floats) -> Floats:
        """Give (N,) squared distances."""
        whitened = (_checked(features, len(self._mean)) - self._mean) @ self._whiten
        distance: Floats = np.einsum("nd,nd->n", whitened, whitened)
        return distance

    def distance_of(self, features: Floats, known: Bools) -> Floats:
        """Give (N,) squared distances by the features that are known (D,) alone.

        Of a normal distribution with precision P, those known have the precision
        P_kk − P_ku P_uu⁻¹ P_uk: the features that are not known are as the others foretell them.
        """
        precision = self._whiten @ self._whiten.T
        some, other = precision[np.ix_(known, known)], precision[np.ix_(~known, known)]
        rest = precision[np.ix_(~known, ~known)]
        some = some - other.T @ np.linalg.solve(rest, other)
        centred = (features - self._mean)[:, known]
        distance: Floats = np.maximum(np.einsum("nd,de,ne->n", centred, some, centred), 0.0)
        return distance

    def state(self) -> tuple[dict[str, Floats], Any]:
        """Give mean (D,) and whitening matrix (D, D)."""
        return {"mean": self._mean, "whiten": self._whiten}, None

    def restore(self, arrays: dict[str, Floats], estimator: Any) -> None:
        """Take them back."""
        self._mean, self._whiten = arrays["mean"], arrays["whiten"]


class Shift:
    """Squared Mahalanobis distance of what is known of the tags: their levels, or their spreads.

    A level is not known when less of its window was observed than usual, next to the other tags: a
    mean over the rest would be at odds with the tags that went on, and no mean at all even more.

    Parameters
    ----------
    floor
        Least deviation of a level that is normal: what never moved, a command that was never given,
        may move once without drowning everything else.
    """

    def __init__(self, floor: float) -> None:
        self._floor = floor
        self._scale = Standardiser(np.empty(0), np.empty(0))
        self._whole = Mahalanobis()
        self._usual: Floats = np.empty(0)
        """(C,) usual share of a window that is observed, over that of the tag seen best."""

    def fit(self, level: Floats, seen: Floats) -> None:
        """Learn from (N, C) levels and the (N, C) share of the window behind each."""
        share = _beside_best(seen)
        self._usual = np.median(share, axis=0)
        whole = (share >= KNOWN_SHARE * self._usual).all(axis=1)
        chosen = level[whole] if 2 * whole.sum() >= len(level) else level
        # Shrinking the covariance towards a ball would hide tags that move less than others.
        fitted = Standardiser.fitted(chosen)
        self._scale = Standardiser(fitted.mean, np.maximum(fitted.deviation, self._floor))
        self._whole.fit(self._scale(chosen))

    def score(self, level: Floats, seen: Floats) -> Floats:
        """Give (N,) squared distances."""
        level = self._scale(level)
        distance = self._whole.score(level)
        known = _beside_best(seen) >= KNOWN_SHARE * self._usual
        rows = np.flatnonzero(~known.all(axis=1))
        if len(rows):
            patterns, which = np.unique(known[rows], axis=0, return_inverse=True)
            for k, pattern in enumerate(patterns):
                at = rows[which.reshape(-1) == k]
                distance[at] = self._whole.distance_of(level[at], pattern)
        return distance

    def state(self) -> tuple[dict[str, Floats], Any]:
        """Give scale (C,), mean (C,), whitening matrix (C, C) and usual shares (C,)."""
        arrays, _ = self._whole.state()
        scale = {"scale_mean": self._scale.mean, "scale_deviation": self._scale.deviation}
        return {**arrays, **scale, "seen": self._usual}, None

    def restore(self, arrays: dict[str, Floats], estimator: Any) -> None:
        """Take them back."""
        self._whole.restore(arrays, estimator)
        self._scale = Standardiser(arrays["scale_mean"], arrays["scale_deviation"])
        self._usual = arrays["seen"]


def _beside_best(seen: Floats) -> Floats:
    """(N, C) shares over that of the tag that was seen best; where none was seen, all are alike."""
    best = seen.max(axis=1, keepdims=True)
    share: Floats = np.divide(seen, best, out=np.ones_like(seen), where=best > 0)
    return share


class Nearest:
    """Mean Euclidean distance to the nearest normal latents, kept in a bank of bounded size.

    The bank is thinned greedily: each latent kept is the one farthest from those kept before (the
    core-set of PatchCore, Roth et al., CVPR 2022), so rare modes stay in it.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._seed = seed
        self._bank: Floats = np.empty((0, 0))

    def fit(self, features: Floats) -> None:
        """Keep at most `size` of (N, D) features."""
        features = _checked(features, None)
        if len(features) > self._size:
            features = features[_thinned(features, CANDIDATES * self._size)]
        if len(features) > self._size:
            features = features[_core_set(features, self._size, self._seed)]
        self._bank = features

    def score(self, features: Floats) -> Floats:
        """Give (N,) distances in the features' unit."""
        features = _checked(features, self._bank.shape[1])
        k = min(NEIGHBOURS, len(self._bank))
        bank = self._bank.astype(np.float64)  # in float32 the differences of squares lose digits
        norms = (bank * bank).sum(axis=1)
        parts = [np.empty(0)]
        for start in range(0, len(features), BLOCK):
            block = features[start : start + BLOCK].astype(np.float64)
            square = norms - 2 * (block @ bank.T) + (block * block).sum(axis=1)[:, None]
            near = np.partition(square, k - 1, axis=1)[:, :k]
            parts.append(np.sqrt(np.maximum(near, 0.0)).mean(axis=1))
        return np.concatenate(parts)

    def state(self) -> tuple[dict[str, Floats], Any]:
        """Give the bank (M, D)."""
        return {"bank": self._bank}, None

    def restore(self, arrays: dict[str, Floats], estimator: Any) -> None:
        """Take it back."""
        self._bank = arrays["bank"]


class IsolationForest:
    """Isolation forest, grown by scikit-learn and walked as plain arrays."""

    def __init__(self, trees: int, seed: int) -> None:
        self._trees = trees
        self._seed = seed
        self._forest: Forest | None = None
        self._width = 0

    def fit(self, features: Floats) -> None:
        """Grow the trees on (N, D) features."""
        from sklearn.ensemble import IsolationForest as Grown

        features = _checked(features, None).astype(np.float32)
        samples = min(FOREST_SAMPLES, len(features))
        grown = Grown(n_estimators=self._trees, max_samples=samples, random_state=self._seed)
        self._forest, self._width = forest_of(grown.fit(features)), features.shape[1]

    def score(self, features: Floats) -> Floats:
        """Give (N,) anomaly scores between 0 and 1."""
        assert self._forest is not None
        return self._forest.score(_checked(features, self._width))

    def state(self) -> tuple[dict[str, Floats], Any]:
        """Give the arrays of the forest."""
        assert self._forest is not None
        sizes = np.array([self._width, self._forest.depth, self._forest.samples])
        arrays = {name: getattr(self._forest, name) for name in FOREST_ARRAYS}
        return {"sizes": sizes, **arrays}, None

    def restore(self, arrays: dict[str, Floats], estimator: Any) -> None:
        """Take them back, after checking that no index leads out of them."""
        width, depth, samples = (int(size) for size in arrays["sizes"])
        trees: dict[str, Any] = {name: arrays[name] for name in FOREST_ARRAYS}
        forest = Forest(**trees, depth=depth, samples=samples)
        if not forest.sound(width):
            raise ModelError(
                "the isolation forest of the model is not sound: an index leads out of its arrays; "
                "take another model (sensor-ad models list), or train again."
            )
        self._forest, self._width = forest, width


class PyOD:
    """A detector of PyOD by its name, from the tested list."""

    def __init__(self, name: str, seed: int) -> None:
        self._name = name
        self._seed = seed
        self._model: Any = None
        self._width = 0

    def fit(self, features: Floats) -> None:
        """Fit to (N, D) features."""
        import importlib
        import inspect

        features = _checked(features, None)
        features = features[_thinned(features, PYOD_ROWS)]
        module = importlib.import_module(f"pyod.models.{self._name.lower()}")
        make = getattr(module, self._name)
        seeded = "random_state" in inspect.signature(make).parameters
        self._model = make(random_state=self._seed) if seeded else make()
        with warnings.catch_warnings():
            # What its authors must mend for later versions of scikit-learn is no user's concern.
            warnings.simplefilter("ignore", FutureWarning)
            self._model.fit(features)
        self._width = features.shape[1]

    def score(self, features: Floats) -> Floats:
        """Give (N,) PyOD's outlier scores."""
        features = _checked(features, self._width)
        if not len(features):
            return np.empty(0)
        return np.asarray(self._model.decision_function(features), dtype=np.float64)

    def state(self) -> tuple[dict[str, Floats], Any]:
        """Give the estimator, for skops."""
        return {"width": np.array([self._width])}, self._model

    def restore(self, arrays: dict[str, Floats], estimator: Any) -> None:
        """Take it back."""
        self._model, self._width = estimator, int(arrays["width"][0])


def make_detector(name: str, settings: ScoringSettings, seed: int) -> Detector:
    """Make an unfitted detector from its word in the config."""
    if name == "mahalanobis":
        return Mahalanobis()
    if name == "nearest":
        return Nearest(settings.bank_size, seed)
    if name == "isolation_forest":
        return IsolationForest(settings.trees, seed)
    word = name.removeprefix("pyod:")
    assert word in PYOD_TESTED, name
    return PyOD(word, seed)


def column_name(detector: str) -> str:
    """Name the column of a detector in scores.parquet."""
    return detector.replace(":", "_")


def _checked(features: Floats, width: int | None) -> Floats:
    if features.ndim != 2 or (width is not None and features.shape[1] != width):
        raise ModelError(
            f"features of shape {features.shape} were given to a detector that was fitted to "
            f"{width} features a row; give it rows of that width."
        )
    if not np.isfinite(features).all():
        raise ModelError("a feature is not a finite number; detectors take finite features only.")
    return features


def _thinned(features: Floats, most: int) -> Any:
    """Row numbers of at most `most` rows, spread evenly."""
    if len(features) <= most:
        return np.arange(len(features))
    return np.linspace(0, len(features) - 1, most).round().astype(np.int64)


def _core_set(features: Floats, size: int, seed: int) -> Any:
    """Row numbers of `size` rows, each the farthest from those chosen before it."""
    features = features.astype(np.float32)
    norms = (features * features).sum(axis=1)
    chosen = np.empty(size, dtype=np.int64)
    pick = int(np.random.default_rng(seed).integers(len(features)))
    square = np.full(len(features), np.inf, dtype=np.float32)
    for number in range(size):
        chosen[number] = pick
        np.minimum(square, norms - 2 * (features @ features[pick]) + norms[pick], out=square)
        square[pick] = -1.0
        pick = int(square.argmax())
    return np.sort(chosen)

"""An isolation forest as plain arrays: a fitted forest comes in, scores of rows go out.

scikit-learn grows the trees; their arrays are kept and walked here. So a model with a forest needs
neither scikit-learn nor skops to be loaded and scored, and its file holds nothing but numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sensor_ad.records import Floats, Ints

EULER_GAMMA = 0.5772156649015329
BLOCK = 1024
"""Rows walked at a time: what they touch stays in the processor's cache."""


@dataclass(frozen=True)
class Forest:
    """Trees of equal room; a leaf is its own child, so that every walk has the same length."""

    feature: Ints
    """(K, M) int32 feature that a node asks for."""
    threshold: Floats
    """(K, M) float64 value up to which a row goes left; infinite at leaves."""
    left: Ints
    right: Ints
    """(K, M) int32 children; the node itself at leaves."""
    path: Floats
    """(K, M) float64 length of the path that ends in a leaf, as if it had been grown out."""
    depth: int
    """Steps from a root to its farthest leaf."""
    samples: int
    """Rows that each tree was grown on."""

    def score(self, features: Floats) -> Floats:
        """Score rows as Liu, Ting and Zhou do ("Isolation Forest", ICDM 2008, equation 2).

        Parameters
        ----------
        features
            (N, D); compared in float32, as they were when the trees were grown.

        Returns
        -------
        (N,) between 0 and 1, higher when more abnormal.
        """
        X = np.ascontiguousarray(features, dtype=np.float32)
        K, M = self.feature.shape
        root = np.arange(K, dtype=np.int64) * M
        feature, threshold = self.feature.ravel(), self.threshold.ravel()
        left = (self.left + root[:, None]).ravel()
        right = (self.right + root[:, None]).ravel()
        path = self.path.ravel()
        paths = np.empty(len(X))
        for start in range(0, len(X), BLOCK):
            block = X[start : start + BLOCK]
            row = np.arange(len(block))[:, None] * X.shape[1]
            node = np.broadcast_to(root, (len(block), K))
            for _ in range(self.depth):
                value = block.ravel().take(row + feature.take(node))
                node = np.where(value <= threshold.take(node), left.take(node), right.take(node))
            paths[start : start + BLOCK] = path.take(node).mean(axis=1)
        scores: Floats = 2.0 ** (-paths / average_path(np.array([self.samples]))[0])
        return scores

    def sound(self, width: int) -> bool:
        """Say whether every index stays within its array and every walk comes to an end.

        Parameters
        ----------
        width
            D, features a row that it will be given.
        """
        shapes = {array.shape for array in (self.feature, self.threshold, self.path)}
        shapes |= {self.left.shape, self.right.shape}
        if len(shapes) != 1 or self.feature.ndim != 2 or not self.feature.size:
            return False
        M = self.feature.shape[1]
        fine = [(children >= 0) & (children < M) for children in (self.left, self.right)]
        fine += [(self.feature >= 0) & (self.feature < width), np.isfinite(self.path)]
        return all(bool(one.all()) for one in fine) and 0 <= self.depth <= M and self.samples >= 1


def forest_of(fitted: Any) -> Forest:
    """Take the trees out of a fitted `sklearn.ensemble.IsolationForest`."""
    trees = [estimator.tree_ for estimator in fitted.estimators_]
    K, M = len(trees), max(tree.node_count for tree in trees)
    itself = np.tile(np.arange(M, dtype=np.int32), (K, 1))
    feature, left, right = np.zeros((K, M), np.int32), itself.copy(), itself.copy()
    threshold, path = np.full((K, M), np.inf), np.zeros((K, M))
    deepest = 0
    for k, tree in enumerate(trees):
        inner = np.flatnonzero(tree.children_left >= 0)
        feature[k, inner] = tree.feature[inner]
        threshold[k, inner] = tree.threshold[inner]
        left[k, inner] = tree.children_left[inner]
        right[k, inner] = tree.children_right[inner]
        depth = np.zeros(tree.node_count, dtype=np.int64)
        for node in inner:  # a child's number is above its parent's
            depth[[tree.children_left[node], tree.children_right[node]]] = depth[node] + 1
        path[k, : tree.node_count] = depth + average_path(tree.n_node_samples)
        deepest = max(deepest, int(depth.max()))
    return Forest(feature, threshold, left, right, path, deepest, int(fitted.max_samples_))


def average_path(samples: Ints) -> Floats:
    """Average path length of an unsuccessful search among so many rows (Liu et al., equation 1)."""
    n = np.asarray(samples, dtype=np.float64)
    many = np.maximum(n, 3.0)
    length = 2.0 * (np.log(many - 1.0) + EULER_GAMMA) - 2.0 * (many - 1.0) / many
    result: Floats = np.where(n <= 1, 0.0, np.where(n == 2, 1.0, length))
    return result

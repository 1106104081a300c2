"""Fitted trees read from a file come in; whether their indices stay within their arrays goes out.

Compiled code follows these indices without checks, so a forged tree would read foreign memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def sound_trees(estimator: Any, width: int) -> bool:
    """Say whether every tree within an estimator keeps to its arrays.

    Parameters
    ----------
    estimator
        Of scikit-learn or PyOD.
    width
        D, features a row that it will be given.
    """
    return all(
        _sound_kd_tree(part, width) if type(part).__name__ == "KDTree" else _sound_tree(part, width)
        for part in _parts(estimator)
        if type(part).__name__ in ("Tree", "KDTree")
    )


def _parts(root: Any) -> Iterator[Any]:
    """Yield an object and all that hangs on it by attributes and in sequences."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        if isinstance(part, list | tuple):
            waiting += part
        elif isinstance(part, dict):
            waiting += part.values()
        elif hasattr(part, "__dict__") and not isinstance(part, type):
            waiting += vars(part).values()


def _sound_tree(tree: Any, width: int) -> bool:
    """Check a decision tree of scikit-learn."""
    state = tree.__getstate__()
    nodes, count = state["nodes"], state["node_count"]
    number = np.arange(count)
    left, right, feature = (nodes[key][:count] for key in ("left_child", "right_child", "feature"))
    leaf = left == -1
    inner = ~leaf
    return (
        len(nodes) >= count >= 1
        and tree.n_features == width
        and bool((right[leaf] == -1).all())
        # Children come after their parent: so every index is in range and no walk can go round.
        and bool(((left > number) & (left < count))[inner].all())
        and bool(((right > number) & (right < count))[inner].all())
        and bool(((feature >= 0) & (feature < width))[inner].all())
    )


def _sound_kd_tree(tree: Any, width: int) -> bool:
    """Check a KD tree of scikit-learn; node i has the children 2i + 1 and 2i + 2."""
    points, order, nodes, bounds, _, levels, count, *_ = tree.__getstate__()
    n = len(points)
    start, end, leaf = nodes["idx_start"], nodes["idx_end"], nodes["is_leaf"]
    below = 2 * np.arange(len(nodes)) + 2
    return (
        points.ndim == 2
        and points.shape[1] == width
        and len(nodes) == count == 2**levels - 1
        and bounds.shape == (2, count, width)
        and order.shape == (n,)
        and bool(((order >= 0) & (order < n)).all())
        and bool(((start >= 0) & (start <= end) & (end <= n)).all())
        and bool((below[leaf == 0] < count).all())
    )

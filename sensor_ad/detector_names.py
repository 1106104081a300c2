"""Names of detectors in a config: which are ours, which of PyOD's are tested, which are refused."""

from __future__ import annotations

import difflib

PYOD_TESTED = (
    "ABOD", "GMM", "HBOS", "HDBSCAN", "IForest", "INNE", "KDE", "KNN", "KPCA", "LODA", "LOF",
    "MCD", "OCSVM", "PCA", "Sampling",
)  # fmt: skip
"""PyOD detectors that score row by row and survive skops bit for bit."""

PYOD_REFUSED = {
    "ECOD": "HBOS", "COPOD": "HBOS", "CD": "PCA", "COF": "LOF", "SOD": "KNN", "SOS": "KNN",
    "ROD": "MCD", "ALAD": "KPCA", "DIF": "IForest",
}  # fmt: skip
"""PyOD detectors whose score depends on the rows beside it, with the nearest one that is
supported."""

PYOD_MISLEADING = {"QMCD": "KDE"}
"""PyOD detectors that take values far outside the training range for the most normal of all, with
the nearest one that is supported."""

OWN_DETECTORS = ("mahalanobis", "isolation_forest", "nearest")


def check_detector(name: str) -> None:
    """Refuse a detector that is not supported.

    Raises
    ------
    ValueError
        Why, and the nearest that is supported.
    """
    if name in OWN_DETECTORS:
        return
    kind, _, word = name.partition(":")
    if kind == "pyod" and word in PYOD_TESTED:
        return
    if kind == "pyod" and word in PYOD_REFUSED:
        raise ValueError(
            f"'pyod:{word}' scores a row differently with other rows beside it and is not "
            f"supported; the nearest that is: 'pyod:{PYOD_REFUSED[word]}'"
        )
    if kind == "pyod" and word in PYOD_MISLEADING:
        raise ValueError(
            f"'pyod:{word}' takes values far outside the normal range for the most normal of "
            f"all and is not supported; the nearest that is: 'pyod:{PYOD_MISLEADING[word]}'"
        )
    known = [*OWN_DETECTORS, *(f"pyod:{tested}" for tested in PYOD_TESTED)]
    folded = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), folded, 1, 0.4)
    hint = f"; did you mean {folded[near[0]]!r}?" if near else ""
    raise ValueError(f"{name!r} is not a supported detector ({', '.join(known)}){hint}")

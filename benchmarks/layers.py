"""Which hidden layer tells faults best: detectors on features of shallow, middle and last layers.

SKAB: each experiment's first 400 rows are for fitting, the rest is the test. Tennessee Eastman: the
fault-free run is for fitting, the 21 faulty test runs are the test. One network a fit, trained with
the program's defaults; detectors of other libraries on its features. Labels are read afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from sensor_ad.records import Bools, Floats

SKAB_ROWS = 400
TEP_FAULT_FROM = 160
"""Row of a faulty test run at which its fault begins."""
TEP_PERIOD = "3min"
LAYERS = {"shallow": "encoder.0", "middle": "encoder.1", "bottleneck": "bottleneck"}
"""Of the default network with a window of 32 rows; the data sets are too short for more."""
DETECTORS = ("Ledoit-Wolf Mahalanobis", "isolation forest", "nearest neighbours")


def skab(root: Path, only: int | None) -> Iterator[tuple[str, pd.DataFrame, list[Any]]]:
    """Yield name, frame to fit to, and (test frame, labels) of each experiment."""
    paths = [path for folder in ("valve1", "valve2", "other") for path in (root / folder).glob("*")]
    paths = sorted(path for path in paths if path.suffix == ".csv")
    for path in paths[:only]:
        frame = pd.read_csv(path, sep=";", parse_dates=["datetime"], index_col="datetime")
        label = frame["anomaly"] > 0
        frame = frame.drop(columns=["anomaly", "changepoint"])
        test = (frame.iloc[SKAB_ROWS:], label.iloc[SKAB_ROWS:])
        yield f"{path.parent.name}/{path.stem}", frame.iloc[:SKAB_ROWS], [test]


def tennessee_eastman(root: Path) -> tuple[str, pd.DataFrame, list[Any]]:
    """Give the fault-free run, and the 21 faulty test runs with their labels."""
    tests = []
    for fault in range(1, 22):
        frame = tep_frame(root / f"d{fault:02d}_te.dat")
        label = pd.Series(np.arange(len(frame)) >= TEP_FAULT_FROM, index=frame.index)
        tests.append((frame, label))
    return "Tennessee Eastman", tep_frame(root / "d00.dat"), tests


def tep_frame(path: Path) -> pd.DataFrame:
    """Read one run; the fault-free one lies transposed."""
    values = np.loadtxt(path)
    values = values.T if values.shape[0] == 52 else values
    times = pd.date_range("2026-01-01", periods=len(values), freq=TEP_PERIOD, name="time")
    return pd.DataFrame(values, columns=[f"x{k + 1}" for k in range(52)], index=times)


def scores(name: str, normal: Floats, test: Floats) -> Floats:
    """Fit a detector to (N, D) features of normal rows and score others, higher is worse."""
    from sklearn.covariance import LedoitWolf
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(normal)
    normal, test = scaler.transform(normal), scaler.transform(test)
    if name == "isolation forest":
        found = -IsolationForest(random_state=0).fit(normal).score_samples(test)
    elif name == "nearest neighbours":
        found = NearestNeighbors(n_neighbors=3).fit(normal).kneighbors(test)[0].mean(axis=1)
    else:
        found = LedoitWolf().fit(normal).mahalanobis(test)
    result: Floats = np.asarray(found)
    return result


def judge(fitted: pd.DataFrame, tests: list[Any]) -> dict[tuple[str, str], list[float]]:
    """Train on a frame; ROC-AUC of each layer and detector on each test that has both labels."""
    from sensor_ad.detector import Detector

    detector = Detector({"device": "cpu", "prepare": {"window": 32}}).fit(fitted)
    found: dict[tuple[str, str], list[float]] = {}
    for where, layer in LAYERS.items():
        normal = detector.features(fitted, layer).to_numpy()
        for frame, label in tests:
            features = detector.features(frame, layer)
            truth: Bools = label.reindex(
                features.index.tz_localize(None), method="nearest"
            ).to_numpy()
            for name in DETECTORS:
                if truth.any() and not truth.all():
                    score = scores(name, normal, features.to_numpy())
                    found.setdefault((where, name), []).append(float(roc_auc_score(truth, score)))
    return found


def table(title: str, found: dict[tuple[str, str], list[float]]) -> dict[str, Any]:
    """Print mean ROC-AUC by layer and detector; returns the figures."""
    count = len(next(iter(found.values())))
    print(f"\n{title}: mean ROC-AUC of {count} tests\n{'':<26}", end="")
    print("".join(f"{where:>12}" for where in LAYERS))
    figures: dict[str, Any] = {"tests": count}
    for name in DETECTORS:
        means = {where: float(np.mean(found[where, name])) for where in LAYERS}
        print(f"{name:<26}" + "".join(f"{mean:>12.3f}" for mean in means.values()), flush=True)
        figures[name] = means
    return figures


def main() -> None:
    """Run both data sets."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layers", description=__doc__)
    parser.add_argument("--experiments", type=int, help="of SKAB; all 34 if left out")
    parser.add_argument("--json", type=Path, help="write all figures into this file")
    arguments = parser.parse_args()
    folder = Path(os.environ.get("SENSOR_AD_REAL_DATA", ""))
    if not (folder / "skab").is_dir() or not (folder / "tep").is_dir():
        sys.exit(
            "SENSOR_AD_REAL_DATA does not name a folder that holds skab/ and tep/; "
            "benchmarks/README.md says where to get them."
        )
    began = time.monotonic()
    gathered: dict[tuple[str, str], list[float]] = {}
    for _, fitted, tests in skab(folder / "skab", arguments.experiments):
        for key, values in judge(fitted, tests).items():
            gathered.setdefault(key, []).extend(values)
    figures = {"SKAB": table("SKAB", gathered)}
    _, fitted, tests = tennessee_eastman(folder / "tep")
    figures["Tennessee Eastman"] = table("Tennessee Eastman", judge(fitted, tests))
    print(f"\n{time.monotonic() - began:.0f} s in all.")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()

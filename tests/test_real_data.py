"""Recordings of real machines, where they are at hand: SENSOR_AD_REAL_DATA names their folder."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from sensor_ad.config import load_config
from sensor_ad.detector import Detector
from sensor_ad.pipeline import score, train

ROOT = Path(__file__).parent.parent
FOLDER = os.environ.get("SENSOR_AD_REAL_DATA", "")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="SENSOR_AD_REAL_DATA names no folder with recordings (see README.md)"
)
SKAB_TAGS = (
    "Accelerometer1RMS",
    "Accelerometer2RMS",
    "Current",
    "Pressure",
    "Temperature",
    "Thermocouple",
    "Voltage",
    "Volume Flow RateRMS",
)
QUICK = {"max_epochs": 2}


def check(scores):
    """Check that what can be scored has finite scores, and that this is most of it."""
    fine = scores["scorable"]
    numbers = scores.columns.difference(["alarm", "scorable"])
    assert fine.mean() > 0.9
    assert np.isfinite(scores.loc[fine, numbers].to_numpy(np.float64)).all()
    assert scores.loc[fine, "score"].nunique() > 100
    assert (scores.index == scores.index.sort_values()).all()


def test_skab_by_frames():
    """Train on the first 400 rows of one experiment, score the rest."""
    path = Path(FOLDER) / "skab" / "valve1" / "0.csv"
    frame = pd.read_csv(path, sep=";", parse_dates=["datetime"], index_col="datetime")
    detector = Detector(
        {"data": {"label_columns": ["anomaly", "changepoint"]}, "training": QUICK, "device": "cpu"}
    )
    detector.fit(frame.iloc[:400])
    scores = detector.score(frame.iloc[400:])

    assert detector.fitted.scorer.preparation.names == SKAB_TAGS
    assert detector.fitted.scheme == "blocked cross-fitting"
    assert detector.fitted.scorer.preparation.grid.period_us == 1_000_000
    check(scores)
    labels = frame["anomaly"].reindex(scores.index.tz_localize(None), method="nearest")
    inside, outside = (
        scores.loc[(labels == label).to_numpy(), "score"].mean() for label in (1.0, 0.0)
    )
    assert inside > outside, "a closing valve scores higher than before"


def test_skab_by_its_config(tmp_path):
    config = load_config(ROOT / "configs" / "skab.toml")
    config = config.model_copy(
        update={
            "workspace": str(tmp_path / "workspace"),
            "reports": str(tmp_path / "reports"),
            "training": config.training.model_copy(update=QUICK),
        }
    )
    trained = train(config)
    assert trained.fitted.scorer.preparation.names == SKAB_TAGS
    assert sum(trained.fitted.parts.values()) == 400
    run = score(config, [Path(FOLDER) / "skab" / "valve1" / "0.csv"])

    scores = pd.read_parquet(run.folder / "scores.parquet").set_index("time")
    assert len(scores) > 1000
    check(scores)
    assert not {"anomaly", "changepoint"} & set(
        pq.read_schema(run.folder / "contributions.parquet").names
    )
    page = (run.folder / "index.html").read_text(encoding="utf-8")
    assert "Volume Flow RateRMS" in page


def series():
    """Return the smallest series of TSB-AD-M."""
    paths = sorted((Path(FOLDER) / "tsbad_m").rglob("*.parquet"), key=lambda p: p.stat().st_size)
    if not paths:
        pytest.skip("no series of TSB-AD-M in the folder of recordings")
    return paths[0]


def test_series_without_times(tmp_path):
    """TSB-AD-M has no time column: start and period are given; its labels are never read."""
    path = series()
    names = pq.read_schema(path).names
    labels = [name for name in names if name.lower() in ("label", "labels", "anomaly")]
    assert labels
    config_file = tmp_path / "series.toml"
    config_file.write_text(
        'asset = "series"\ndevice = "cpu"\n'
        f'[data]\ntrain = ["{path}"]\nlabel_columns = {labels}\n'
        "start = 2026-01-01T00:00:00\nperiod_s = 1.0\n"
        '[[data.exclude]]\nfrom = 2026-01-01T00:33:20\nto = 2030-01-01T00:00:00\nreason = "test"\n'
        "[training]\nmax_epochs = 2\n"
        '[scoring]\ndetectors = ["mahalanobis", "nearest"]\n'
    )
    config = load_config(config_file)
    trained = train(config)
    run = score(config, [path])

    tags = trained.fitted.scorer.preparation.names
    assert not set(labels) & set(tags)
    assert set(tags) <= set(names)
    assert sum(trained.fitted.parts.values()) <= 2000
    scores = pd.read_parquet(run.folder / "scores.parquet").set_index("time")
    assert len(scores) == pq.read_metadata(path).num_rows
    check(scores)

"""A small plant for tests: three tags that move together and a counter, and its commands."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import tomli_w

from sensor_ad.config import Config, load_config
from sensor_ad.store import Context

BEGIN = pd.Timestamp("2026-01-05T00:00:00")
"""Time of row 0; a row each minute."""
TRAIN_ROWS, SCORE_ROWS = 4000, 3000
FAULT, OPEN_FAULT = (4700, 4900), (5450, 5650)
"""Rows at which the pressure is too high: a fault of the first half of what is scored, and one
over its middle."""
HALF = TRAIN_ROWS + SCORE_ROWS // 2
SETTINGS: dict[str, Any] = {
    "asset": "plant",
    "device": "cpu",
    "data": {"train": ["normal.csv"]},
    "prepare": {"window": 16},
    "training": {"max_epochs": 5},
    "scoring": {
        "trees": 20,
        "bank_size": 256,
        "detectors": ["mahalanobis", "isolation_forest", "nearest", "pyod:IForest"],
    },
    "tags": {"pressure": {"unit": "bar"}},
}


def plant(first: int, last: int, faults: Sequence[tuple[int, int]] = (), seed: int = 0) -> Any:
    """Return rows `first` to `last` (exclusive) as a frame; a row is the same however it is cut."""
    noise = np.random.default_rng(seed).normal(size=(10_000, 4))[first:last]
    k = np.arange(first, last)
    load = 1.0 + 0.3 * np.sin(2 * np.pi * k / 120) + 0.1 * np.sin(2 * np.pi * k / 37)
    pressure = 2.0 + 3.0 * load**2 + 0.05 * noise[:, 1]
    for start, stop in faults:
        pressure[(k >= start) & (k < stop)] += 3.0
    power = 50.0 * (1.0 + 0.3 * np.sin(2 * np.pi * np.arange(last) / 120))
    frame = pd.DataFrame(
        {
            "flow": 40.0 * load + 0.4 * noise[:, 0],
            "pressure": pressure,
            "temperature": 60.0 + 8.0 * np.cos(2 * np.pi * k / 120) + 0.1 * noise[:, 2],
            "energy": np.cumsum(power)[first:] / 60.0,
        },
        index=pd.DatetimeIndex(BEGIN + pd.to_timedelta(k, unit="min"), name="time"),
    )
    return frame.round(3)


def time_of(row: int) -> pd.Timestamp:
    """Return the time of a row, in UTC."""
    return (BEGIN + pd.Timedelta(minutes=row)).tz_localize("UTC")


def write_csv(frame: Any, path: Path, **options: Any) -> Path:
    """Write a frame as plants do."""
    frame.to_csv(path, date_format="%Y-%m-%d %H:%M:%S", **options)
    return path


def merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return settings with changes, section by section."""
    result = dict(settings)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def write_config(path: Path, **changes: Any) -> Path:
    """Write the plant's config with changes."""
    path.write_text(tomli_w.dumps(merged(SETTINGS, changes)), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Site:
    """A folder with config, exports, and a workspace in which a model is in service."""

    folder: Path

    @property
    def config_file(self) -> Path:
        """The config."""
        return self.folder / "plant.toml"

    @property
    def config(self) -> Config:
        """The config, read."""
        return load_config(self.config_file)

    @property
    def normal(self) -> Path:
        """The export that was trained on."""
        return self.folder / "normal.csv"

    @property
    def later(self) -> Path:
        """The export to be scored."""
        return self.folder / "later.csv"

    @property
    def models(self) -> Path:
        """Folder of the bundles."""
        return self.folder / "workspace" / "plant" / "models"

    @property
    def bundle(self) -> Path:
        """Folder of the first model."""
        return min(path for path in self.models.iterdir() if not path.name.startswith("."))

    @property
    def reports(self) -> Path:
        """Folder of the runs."""
        return self.folder / "reports" / "plant"

    def runs(self) -> list[Path]:
        """Return the folders of the runs, oldest first; temporary ones too."""
        return sorted(self.reports.iterdir()) if self.reports.is_dir() else []

    def change(self, **changes: Any) -> Config:
        """Write the config anew with changes."""
        return load_config(write_config(self.config_file, **changes))


def make_site(folder: Path) -> Site:
    """Write config and exports into a folder; trains nothing."""
    write_config(folder / "plant.toml")
    write_csv(plant(0, TRAIN_ROWS), folder / "normal.csv")
    write_csv(later(), folder / "later.csv")
    return Site(folder)


def later(first: int = TRAIN_ROWS, last: int = TRAIN_ROWS + SCORE_ROWS) -> Any:
    """Return what is scored: the rows after those trained on, with two faults."""
    return plant(first, last, (FAULT, OPEN_FAULT))


def bundle_of(site: Site) -> Any:
    """Load the site's model."""
    from sensor_ad.bundle import load_bundle

    return load_bundle(site.bundle)


@dataclass(frozen=True)
class ScoredExport:
    """What one scoring gave, without its report."""

    scores: pd.DataFrame
    """By time: score, evidence, alarm, scorable."""
    contributions: pd.DataFrame
    result: Any
    context: Context
    run: Any


def score_export(
    config: Config,
    bundle: Any,
    exports: Sequence[Path],
    before: Context | None = None,
    **reading: Any,
) -> ScoredExport:
    """Score as the command does, but write no report.

    Parameters
    ----------
    reading
        Changes of how the files are read.
    """
    from sensor_ad.exports import open_export
    from sensor_ad.reading import read_settings, silent
    from sensor_ad.run import ScoringRun

    export = open_export(exports, replace(read_settings(config), **reading))
    run = ScoringRun(config, bundle, export, before)
    with tempfile.TemporaryDirectory() as folder:
        result = run.run(Path(folder), silent)
        scores, contributions = (
            pd.read_parquet(Path(folder) / name).set_index("time")
            for name in ("scores.parquet", "contributions.parquet")
        )
    return ScoredExport(scores, contributions, result, run.context(result), run)


def farthest(one: pd.DataFrame, other: pd.DataFrame) -> float:
    """Return the largest difference of the scores of the same rows, relative to scores above 1.

    What they are made of must agree to a digit less: a calibration may be steep.
    """
    pd.testing.assert_index_equal(one.index, other.index)
    assert list(one.columns) == list(other.columns)
    assert (one["scorable"] == other["scorable"]).all()
    assert one["scorable"].any()
    numbers = ["score", *one.columns.difference(["score", "alarm", "scorable"])]
    this, that = (
        frame.loc[one["scorable"], numbers].to_numpy(np.float64) for frame in (one, other)
    )
    difference = np.abs(this - that) / np.maximum(1.0, np.abs(that))
    assert np.isfinite(difference).all()
    assert difference.max() <= 1e-4, dict(zip(numbers, difference.max(axis=0), strict=True))
    return float(difference[:, 0].max())


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def command(*words: object) -> Ended:
    """Run `sensor-ad` with these words in this process, from its own entry point."""
    from sensor_ad.cli import main

    out, err = io.StringIO(), io.StringIO()
    before = signal.getsignal(signal.SIGTERM)
    code: Any = 0
    try:
        with (
            patch.object(sys, "argv", ["sensor-ad", *map(str, words)]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            main()
    except SystemExit as end:
        code = end.code or 0
    finally:
        signal.signal(signal.SIGTERM, before)
    return Ended(code, out.getvalue(), err.getvalue())

"""A cooler whose tags follow the ambient temperature: seasons that move several tags together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

BEGIN = pd.Timestamp("2026-03-01T00:00:00")
"""Time of row 0; a row every ten minutes."""
DAY = 144
"""Rows of a day."""
TRAIN_DAYS, SCORE_DAYS = 40, 20
SETTINGS: dict[str, Any] = {
    "asset": "cooler",
    "device": "cpu",
    "data": {"timezone": "UTC"},
    "prepare": {"window": 32},
    "training": {"max_epochs": 100},
    "scoring": {"trees": 20, "bank_size": 256},
}


def cooler(first: int, days: int, season: float = 0.0, seed: int = 0) -> Any:
    """Return some days of the cooler from a day on, as a frame.

    Parameters
    ----------
    season
        By how much the mean ambient temperature has risen by the last day, °C.
    """
    rows = slice(first * DAY, (first + days) * DAY)
    random = np.random.default_rng(seed)
    k = np.arange(200 * DAY)
    noise = random.standard_normal((len(k), 5))
    load = np.where((k // DAY) % 7 < 5, 100.0, 70.0) + 8.0 * np.sin(2 * np.pi * k / 50)
    load = load + 10.0 * np.sin(2 * np.pi * k / (9.3 * DAY))
    weather = 2.0 * np.sin(2 * np.pi * k / (5.3 * DAY)) + 1.5 * np.sin(2 * np.pi * k / (2.7 * DAY))
    rise = np.zeros(len(k))
    rise[rows] = season * np.minimum(np.arange(days * DAY) / (days * DAY / 2), 1.0)
    ambient = 15.0 + 6.0 * np.cos(2 * np.pi * (k / DAY - 15 / 24)) + weather + rise
    cooling = 0.8 * ambient + 0.06 * load
    frame = pd.DataFrame(
        {
            "load": load + 0.5 * noise[:, 0],
            "ambient": ambient + 0.2 * noise[:, 1],
            "coolant": 8.0 + cooling + 0.2 * noise[:, 2],
            "oil": 25.0 + 0.9 * cooling + 0.1 * load + 0.2 * noise[:, 3],
            "fan_current": 5.0 + 0.12 * ambient + 0.02 * load + 0.05 * noise[:, 4],
        },
        index=pd.DatetimeIndex(BEGIN + pd.to_timedelta(k * 10, unit="min"), name="time"),
    )
    return frame.iloc[rows].round(3)

"""Which rows fit what, where an export leaves rows out."""

import numpy as np
import plant
import pytest

from sensor_ad.detector import Detector
from sensor_ad.fitting import CROSS_FITTED, _away, _near, label_of_steps
from sensor_ad.prepare import UNUSED


def test_label_of_steps_by_hand():
    labels = np.array([[0, 0, 0], [0, UNUSED, 0], [0, 1, 1], [UNUSED] * 3, [UNUSED, 1, 0], [2] * 3])
    there = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]], dtype=bool)
    found = label_of_steps(labels, there)
    assert found.tolist() == [0, 0, UNUSED, UNUSED, 1, 2]
    there[1, 1] = True  # a row that must not be learnt, not one that is missing
    assert label_of_steps(labels, there)[1] == UNUSED


def test_history_that_leaves_a_row_out_every_now_and_then():
    """As historians do: no window is without a hole, and there is still much to learn from."""
    frame = plant.plant(0, plant.TRAIN_ROWS)
    kept = np.random.default_rng(3).random(len(frame)) > 0.08
    detector = Detector(plant.merged(plant.SETTINGS, {"training": {"max_epochs": 5}}))
    scores = detector.fit(frame[kept]).score(plant.later())
    for start, stop in (plant.FAULT, plant.OPEN_FAULT):
        inside = scores.loc[plant.time_of(start) : plant.time_of(stop - 1)]
        assert inside["alarm"].mean() > 0.9
    assert scores["alarm"].mean() < 0.3


def test_steps_away_from_a_block_by_hand():
    #      block 0 ──────── gap of 2 ─┐   a row left out ─┐     not to be learnt ─┐
    at = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, -1, 1, 1, 1, 1, 1, 1, UNUSED, 1, -1, -1, -1, -1])
    there = np.ones(len(at), dtype=bool)
    there[[9, 18, 19, 20, 21]] = False
    at[~there] = UNUSED
    near = _near(at, 0, 2)
    assert np.flatnonzero(near).tolist() == [0, 1, 2, 3, 4, 5]
    others = (at >= 0) & ~near
    assert _away(others, near, there, 2).tolist() == [False] * 3 + [True] * 5 + [False] * 3
    assert not _near(at, 3, 2).any()


@pytest.mark.parametrize("network", ["conv", "cnn", "tft"])
def test_short_history_that_leaves_rows_out(network):
    """Cross-fitted, also by forecasters that want their history: every sixth row is missing."""
    if network == "tft":
        pytest.importorskip("pytorch_forecasting")
    frame = plant.plant(0, 600)
    kept = np.arange(len(frame)) % 6 != 5
    settings = {"training": {"max_epochs": 2}, "model": {"name": network}}
    detector = Detector(plant.merged(plant.SETTINGS, settings)).fit(frame[kept])
    assert detector.fitted.scheme == CROSS_FITTED
    scored = detector.score(plant.plant(600, 900)[kept[:300]])
    assert scored["scorable"].mean() > 0.8

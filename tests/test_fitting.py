"""Which rows fit what, where an export leaves rows out."""

import numpy as np
import plant

from sensor_ad.detector import Detector
from sensor_ad.fitting import label_of_steps
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

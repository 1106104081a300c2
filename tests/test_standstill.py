"""Sensors that stand still: what is usual per tag, and what is longer than that."""

import numpy as np
import pytest

from sensor_ad.standstill import LEAST_HOLD, MOST_RESTING, StandStill, fit_stand_still

NAN = float("nan")
WINDOW = 16
MOVING = np.arange(400) % 97 / 10.0


def fitted(*columns, kinds=None):
    kinds = kinds or ("continuous",) * len(columns)
    return fit_stand_still(np.stack(columns, axis=1), kinds, WINDOW)


def held(start, rows, column=MOVING):
    """Hold a column's value at `start` for some rows."""
    result = column.copy()
    result[start : start + rows] = result[start]
    return result


def test_usual_is_the_longest_hold_of_a_moving_tag():
    learnt = fitted(MOVING, held(50, 7), np.repeat(MOVING[:80], 5))
    assert learnt.usual.tolist() == [LEAST_HOLD, 7, 5]
    assert np.isnan(learnt.resting).all()
    assert learnt.judges


def test_rest_is_no_usual_hold():
    resting = MOVING.copy()
    resting[100:180] = 0.05
    learnt = fitted(resting)
    assert learnt.usual.tolist() == [LEAST_HOLD]
    assert learnt.resting[0, 0] == 0.05
    assert learnt.ratio(np.full((40, 1), 0.05)).max() == 0
    assert learnt.ratio(np.full((40, 1), 0.06)).max() > 1


@pytest.mark.parametrize("kind", ["few-state", "constant", "counter"])
def test_only_continuous_tags_are_judged(kind):
    learnt = fitted(MOVING, kinds=(kind,))
    assert not learnt.judges
    assert learnt.ratio(np.full((40, 1), 3.0)).max() == 0


def test_tag_that_rests_anywhere_is_not_judged():
    column = np.repeat(np.arange(MOST_RESTING + 1.0), 20)
    assert not fitted(column).judges


def coarse(*rests):
    """Make a tag of coarse steps, half of its rows repeats, that holds values for long."""
    moving = np.repeat(np.arange(200.0) % 89, 2)
    return np.concatenate([moving, *(np.full(int(rows), value) for value, rows in rests), moving])


def test_coarse_steps_held_for_long_now_and_then_are_no_rests():
    learnt = fitted(coarse((100.5, 12), (101.5, 11), (100.5, 10)))
    assert np.isnan(learnt.resting).all()
    assert learnt.usual.tolist() == [12]
    assert learnt.ratio(np.full((40, 1), 100.5)).max() == pytest.approx(16 / 12)


def test_coarse_tag_rests_where_it_came_back_to():
    learnt = fitted(coarse((100.5, 12), (101.5, 11), (100.5, 10), (102.5, 9), (100.5, 14)))
    assert learnt.resting[0, 0] == 100.5
    assert learnt.usual.tolist() == [11]


def test_coarse_tag_rests_where_the_machine_stood_once():
    learnt = fitted(coarse((100.5, 12), (0.5, 65)))
    assert learnt.resting[0, 0] == 0.5
    assert learnt.usual.tolist() == [12]


def test_coarse_tag_that_holds_any_value_is_judged_by_the_longest():
    rests = [(100.5 + value, 9 + time) for time in range(3) for value in range(MOST_RESTING + 1)]
    assert fitted(coarse(*rests)).usual.tolist() == [11]
    assert not fitted(coarse(*rests, (0.5, 65))).judges


def test_ratio_counts_up_and_starts_anew():
    learnt = StandStill(
        np.array([2.0]), np.full((1, 1), NAN), cap=4, lost=np.zeros(1), repeats=np.zeros(1)
    )
    column = np.array([1, 1, 1, 1, 1, 1, 2, 2, NAN, 2, 2.0])[:, None]
    ratio = learnt.ratio(column)[:, 0].tolist()
    assert ratio == [0.5, 1, 1.5, 2, 2, 2, 0.5, 1, 0, 0.5, 1]


def test_missing_values_never_stand_still():
    learnt = fitted(np.where(np.arange(400) % 3 == 0, MOVING, NAN))
    assert learnt.usual.tolist() == [LEAST_HOLD]
    assert learnt.ratio(np.full((40, 1), NAN)).max() == 0


def test_training_rows_stay_below_the_edge():
    columns = np.stack([held(50, 7), MOVING], axis=1)
    learnt = fit_stand_still(columns, ("continuous",) * 2, WINDOW)
    assert learnt.ratio(columns).max() <= 1


def test_longest_stretch_without_a_value():
    column = MOVING.copy()
    column[20:29] = column[60:64] = column[100] = NAN
    other = MOVING.copy()
    both = np.arange(400) % 50 >= 45
    learnt = fitted(np.where(both, NAN, column), np.where(both, NAN, other))
    assert learnt.lost.tolist() == [9, 0]


def test_share_of_repeats_tells_coarse_steps():
    """Long rests of the machine do not count: 30 of 90 rows repeat the one before them."""
    random = np.random.default_rng(0)
    fine, coarse = random.normal(size=90), np.repeat(random.normal(size=60), [2] * 30 + [1] * 30)
    stopped = np.zeros(500)
    values = np.stack([np.append(fine, stopped), np.append(coarse, stopped)], axis=1)
    learnt = fit_stand_still(values, ["continuous"] * 2, 64)
    assert learnt.repeats.tolist() == pytest.approx([0.0, 1 / 3])

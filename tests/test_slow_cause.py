"""Which tag alone makes the others stray: found from how the network answers, and taken away."""

import numpy as np

from sensor_ad.slow_cause import without_echoes

BAND = np.array([0.5, 1.0, 2.0])
ANSWERS = np.array([[0.8, 0.1, 0.0], [-0.6, 0.9, 0.1], [-1.0, 0.2, 0.7]])
"""Tag 0 alone, off by one, makes the others stray by −0.6 and −1."""


def test_echoes_of_one_tag_are_taken_away():
    strayed = ANSWERS[:, [0]].T * np.array([[3.0], [-5.0]])
    left, cause = without_echoes(strayed, BAND, ANSWERS)
    assert cause.tolist() == [0, 0]
    np.testing.assert_allclose(left[:, 0], strayed[:, 0])
    np.testing.assert_allclose(left[:, 1:], 0.0, atol=1e-12)


def test_what_strays_for_a_reason_of_its_own_stays():
    strayed = ANSWERS[:, [0]].T * 10.0
    strayed[0, 1] += 3.0
    left, cause = without_echoes(strayed, BAND, ANSWERS)
    assert cause.tolist() == [0]
    # Never more than it strays by, and never to the other side.
    assert -3.0 <= left[0, 1] <= 0.0
    assert abs(left[0, 2]) <= abs(strayed[0, 2])


def test_tags_that_move_together_have_no_cause():
    strayed = np.array([[-1.5, -3.0, -6.0]])
    left, cause = without_echoes(strayed, BAND, np.eye(3))
    assert cause.tolist() == [-1]
    np.testing.assert_array_equal(left, strayed)


def test_what_is_within_its_band_causes_nothing():
    strayed = ANSWERS[:, [0]].T * 0.5
    left, cause = without_echoes(strayed, BAND, ANSWERS)
    assert cause.tolist() == [-1]
    np.testing.assert_array_equal(left, strayed)


def test_tags_that_are_not_known_have_no_say():
    strayed = np.concatenate([ANSWERS[:, [0]].T * 3.0, np.full((1, 3), np.nan)])
    strayed[0, 1] = np.nan
    left, cause = without_echoes(strayed, np.array([0.5, 1.0, np.inf]), ANSWERS)
    assert cause.tolist() == [0, -1]
    assert np.isnan(left[0, 1])
    assert np.isnan(left[1]).all()
    assert left[0, 0] == strayed[0, 0]
    assert abs(left[0, 2]) <= abs(strayed[0, 2])

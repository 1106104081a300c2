"""A robust slope: right on lines, deaf to outliers, and none where there is only noise."""

import doctest

import numpy as np
import pytest

from sensor_ad import trend
from sensor_ad.trend import Trend


def test_slope_equals_naive():
    random = np.random.default_rng(2)
    times, values = np.sort(random.uniform(0, 9, 30)), random.standard_normal(30)
    slopes = [(values[k] - values[j]) / (times[k] - times[j]) for k in range(30) for j in range(k)]
    assert trend.trend(times, values).slope == pytest.approx(np.median(slopes))


def test_noise_seldom_has_a_slope():
    random = np.random.default_rng(3)
    found = [trend.trend(np.arange(12.0), random.standard_normal(12)) for _ in range(500)]
    assert np.mean([one.certain for one in found]) < 0.03


@pytest.mark.parametrize("count", [0, 1, 4])
def test_too_few_points_are_never_certain(count):
    assert not trend.trend(np.arange(float(count)), np.arange(float(count))).certain
    assert trend.trend(np.empty(0), np.empty(0)) == Trend(0.0, False)


def test_many_points_are_thinned():
    times = np.arange(50_000.0)
    assert trend.trend(times, -3 * times) == Trend(pytest.approx(-3.0), True)


def test_examples_in_docstrings():
    result = doctest.testmod(trend)
    assert result.attempted
    assert not result.failed

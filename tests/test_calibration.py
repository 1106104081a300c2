"""Evidence on one scale: increasing and finite everywhere, a tail probability where data was."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor_ad.calibration import PRIOR_WINDOWS, Calibration

RANDOM = np.random.default_rng(3)
LOG10_E = np.log10(np.e)
SAMPLES = {
    "normal": RANDOM.normal(size=5000),
    "exponential": RANDOM.exponential(size=5000),
    "heavy tail": RANDOM.pareto(1.1, size=5000),
    "steps": RANDOM.integers(0, 4, 5000).astype(float),
    "mostly zero": np.maximum(RANDOM.normal(size=5000) - 2, 0),
    "tiny": RANDOM.normal(size=300) * 1e-9,
    "large": 1e9 + RANDOM.normal(size=300),
    "constant": np.full(50, 7.0),
    "one": np.array([3.0]),
    "two": np.array([3.0, 4.0]),
    "zero": np.array([0.0]),
}
RAW = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80)


@pytest.mark.parametrize("normal", SAMPLES.values(), ids=SAMPLES.keys())
def test_map_is_strictly_increasing_and_finite(normal):
    calibration = Calibration.fitted(normal)
    span = max(float(np.ptp(normal)), 1e-3 * abs(float(normal[0])), 1e-6)
    far = span * np.geomspace(0.01, 1e6, 100)
    inner = np.linspace(normal.min(), normal.max(), 500) if np.ptp(normal) else normal[:1]
    raw = np.concatenate([normal.min() - far[::-1], inner, normal.max() + far])

    level = calibration(raw)

    assert np.isfinite(level).all()
    assert (level >= 0).all()
    assert (np.diff(level) > 0).all()


@given(RAW, RAW)
def test_map_never_falls_and_is_finite(normal, raw):
    level = Calibration.fitted(np.array(normal))(np.sort(np.array(raw)))
    assert np.isfinite(level).all()
    assert (np.diff(level) >= 0).all()


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_uniform_values_give_their_tail_probability(scale):
    share = np.array([0.05, 0.3, 0.5, 0.9, 0.99, 0.999])
    normal = scale * (np.arange(20_000) + 0.5) / 20_000

    level = Calibration.fitted(normal)(scale * share)

    np.testing.assert_allclose(level, -np.log10(1 - share), atol=0.02)


def test_exponential_tail_goes_on_beyond_the_highest_value():
    calibration = Calibration.fitted(RANDOM.exponential(2.0, 20_000))
    raw = np.array([30.0, 60.0, 120.0])
    np.testing.assert_allclose(calibration(raw), raw / 2 * LOG10_E, rtol=0.15)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_ties_count_as_the_share_at_least_as_high(share):
    normal = np.where(np.arange(1000) < 1000 * (1 - share), 0.0, 1.0)

    level = Calibration.fitted(normal)(np.array([0.0, 1.0]))

    np.testing.assert_allclose(level, [0, -np.log10(share)], atol=0.01)


def test_single_value_says_little_of_itself():
    calibration = Calibration.fitted(np.array([3.0]))
    at, above, below = calibration(np.array([3.0, 4.0, 2.0]))
    assert at == pytest.approx(-np.log10(1 / 2))
    assert below < at < above


def test_order_of_the_values_does_not_matter():
    normal = SAMPLES["normal"]
    raw = np.linspace(-9, 9, 50)
    turned = Calibration.fitted(normal[::-1])(raw)
    np.testing.assert_array_equal(Calibration.fitted(normal)(raw), turned)


def test_few_windows_draw_the_tail_to_what_is_usual():
    normal = np.random.default_rng(0).exponential(1.0, 2000)
    plain = Calibration.fitted(normal)
    many = Calibration.fitted(normal, usual=0.2, windows=1e9)
    some = Calibration.fitted(normal, usual=0.2, windows=PRIOR_WINDOWS)
    few = Calibration.fitted(normal, usual=0.9, windows=1e-9)
    assert many.slope == pytest.approx(plain.slope)
    assert LOG10_E / some.slope == pytest.approx((LOG10_E / plain.slope + 0.2) / 2)
    assert LOG10_E / few.slope == pytest.approx(0.9)
    np.testing.assert_array_equal(some.values, plain.values)

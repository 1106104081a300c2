"""Every detector keeps one contract; what is particular to some of them follows."""

import io

import naive
import numpy as np
import pytest
import skops.io
from sklearn.covariance import LedoitWolf

from sensor_ad import detectors
from sensor_ad.config import ScoringSettings
from sensor_ad.detector_names import OWN_DETECTORS, PYOD_TESTED
from sensor_ad.detectors import (
    NEIGHBOURS,
    Mahalanobis,
    Nearest,
    Shift,
    Standardiser,
    column_name,
    make_detector,
)
from sensor_ad.errors import ModelError

RANDOM = np.random.default_rng(4)
D = 4
MODES = np.repeat([[-3.0] * D, [3.0] * D], 120, axis=0)
NORMAL = MODES + RANDOM.normal(0, 0.5, (240, D))
FRESH = np.concatenate([MODES[::8], MODES[4::8]]) + RANDOM.normal(0, 0.5, (60, D))
SETTINGS = ScoringSettings(bank_size=64, trees=20)
NAMES = [*OWN_DETECTORS, *(f"pyod:{word}" for word in PYOD_TESTED)]


@pytest.fixture(scope="module")
def fitted():
    """Give each detector fitted once."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = make_detector(name, SETTINGS, seed=1)
            made[name].fit(NORMAL)
        return made[name]

    return get


@pytest.mark.parametrize("name", NAMES)
def test_contract_shape_and_finite(fitted, name):
    for features in (NORMAL, FRESH, FRESH[:1], FRESH[:0], 1e6 * FRESH, FRESH.astype(np.float32)):
        score = fitted(name).score(features)
        assert score.shape == (len(features),)
        assert score.dtype == np.float64
        assert np.isfinite(score).all()


@pytest.mark.parametrize("far", [-20.0, 30.0, 1000.0])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "pyod:LODA"])
def test_contract_higher_for_an_outlier(fitted, name, far):
    (outlier,) = fitted(name).score(np.full((1, D), far))
    assert outlier > np.quantile(fitted(name).score(FRESH), 0.9)


@pytest.mark.parametrize("far", [-20.0, 30.0, 1000.0])
def test_contract_higher_for_an_outlier_of_one_mode(far):
    """LODA counts what lies beyond its bins into the outermost ones: full ones, with two modes."""
    detector = make_detector("pyod:LODA", SETTINGS, seed=1)
    detector.fit(NORMAL[:120])
    (outlier,) = detector.score(np.full((1, D), far))
    assert outlier > np.quantile(detector.score(NORMAL[:120]), 0.9)


@pytest.mark.parametrize("name", NAMES)
def test_contract_rows_stand_for_themselves(fitted, name):
    whole = fitted(name).score(FRESH)
    np.testing.assert_allclose(fitted(name).score(FRESH[7:19]), whole[7:19], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(fitted(name).score(FRESH[::-1]), whole[::-1], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_contract_same_seed_same_scores(fitted, name):
    again = make_detector(name, SETTINGS, seed=1)
    again.fit(NORMAL)
    np.testing.assert_array_equal(again.score(FRESH), fitted(name).score(FRESH))


@pytest.mark.parametrize("name", NAMES)
def test_contract_state_comes_back_bit_for_bit(fitted, name):
    arrays, estimator = fitted(name).state()
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    stored = np.load(io.BytesIO(file.getvalue()), allow_pickle=False)
    if estimator is not None:
        data = skops.io.dumps(estimator)
        estimator = skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))

    again = make_detector(name, SETTINGS, seed=99)
    again.restore({key: stored[key] for key in stored.files}, estimator)

    np.testing.assert_array_equal(again.score(FRESH), fitted(name).score(FRESH))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", NAMES)
def test_contract_refuses_what_is_not_finite(fitted, name, bad):
    features = FRESH.copy()
    features[3, 1] = bad
    for use in (fitted(name).score, make_detector(name, SETTINGS, 0).fit):
        with pytest.raises(ModelError) as refused:
            use(features)
        assert str(refused.value) == (
            "a feature is not a finite number; detectors take finite features only."
        )


@pytest.mark.parametrize("shape", [(5, D + 1), (5, 1), (5,), (0, D + 1)])
@pytest.mark.parametrize("name", NAMES)
def test_contract_refuses_another_width(fitted, name, shape):
    with pytest.raises(ModelError) as refused:
        fitted(name).score(np.zeros(shape))
    assert str(refused.value) == (
        f"features of shape {shape} were given to a detector that was fitted to {D} features a "
        "row; give it rows of that width."
    )


@pytest.mark.parametrize("name", NAMES)
def test_contract_leaves_features_alone(fitted, name):
    features = FRESH.copy()
    fitted(name).score(features)
    np.testing.assert_array_equal(features, FRESH)


def test_mahalanobis_equals_naive():
    detector = Mahalanobis()
    mixed = RANDOM.normal(size=(200, 3)) @ np.array([[1, 0.5, 0], [0, 2, 0.3], [0.1, 0, 0.7]])
    detector.fit(mixed)

    reference = LedoitWolf().fit(mixed)
    expected = [naive.mahalanobis(row, mixed.mean(0), reference.covariance_) for row in mixed[:20]]
    np.testing.assert_allclose(detector.score(mixed[:20]), expected)


def test_mahalanobis_of_a_direction_without_spread_stays_bounded():
    flat = np.stack([RANDOM.normal(size=500), np.zeros(500)], axis=1)
    detector = Mahalanobis()
    detector.fit(flat)
    score = detector.score(np.array([[0.0, 0.1]]))[0]
    assert 1 < score < 1e6


def test_nearest_equals_naive():
    detector = Nearest(size=1000, seed=0)
    detector.fit(NORMAL)
    expected = [naive.nearest(row, NORMAL, NEIGHBOURS) for row in FRESH]
    np.testing.assert_allclose(detector.score(FRESH), expected, rtol=1e-4)


@pytest.mark.parametrize("N", [1, 2, 15, 16, 17, 64, 65, 1000])
def test_nearest_bank_is_bounded(N):
    detector = Nearest(size=16, seed=0)
    features = RANDOM.normal(size=(N, 3))
    detector.fit(features)

    bank = detector.state()[0]["bank"]

    assert len(bank) == min(N, 16)
    assert len(np.unique(bank, axis=0)) == len(bank)
    assert np.isfinite(detector.score(features)).all()


def test_nearest_bank_of_equal_rows():
    detector = Nearest(size=16, seed=0)
    detector.fit(np.ones((500, 3)))
    assert detector.score(np.array([[1.0, 1, 1], [1, 1, 3]])) == pytest.approx([0, 2])


def test_nearest_keeps_a_rare_mode():
    common = RANDOM.normal(0, 0.1, (2000, 3))
    rare = RANDOM.normal(50, 0.1, (20, 3))
    features = np.insert(common, np.repeat(1000, 20), rare, axis=0)
    detector = Nearest(size=512, seed=0)
    detector.fit(features)
    assert detector.score(np.full((1, 3), 50.0))[0] < 1.0


def test_nearest_knows_no_blocks(monkeypatch):
    detector = Nearest(size=64, seed=0)
    detector.fit(NORMAL)
    whole = detector.score(FRESH)
    monkeypatch.setattr(detectors, "BLOCK", 7)
    np.testing.assert_allclose(detector.score(FRESH), whole, rtol=1e-5)


def test_pyod_is_fitted_to_a_bounded_number_of_rows(monkeypatch):
    monkeypatch.setattr(detectors, "PYOD_ROWS", 50)
    detector = make_detector("pyod:KNN", SETTINGS, 0)
    detector.fit(NORMAL)
    assert len(detector.state()[1].decision_scores_) == 50


def test_standardiser():
    features = np.stack([RANDOM.normal(5, 2, 3000), np.full(3000, 7.0)], axis=1)
    standardised = Standardiser.fitted(features)(features)
    np.testing.assert_allclose(standardised.mean(axis=0), [0, 0], atol=1e-6)
    np.testing.assert_allclose(standardised.std(axis=0), [1, 0], atol=1e-6)


def test_standardiser_of_constants_stays_finite():
    features = np.full((10, 2), 3.0)
    assert np.isfinite(Standardiser.fitted(features)(features + 1)).all()


def test_column_names():
    assert [column_name(name) for name in ("nearest", "pyod:KNN")] == ["nearest", "pyod_KNN"]


# --- levels of which some are not known ---------------------------------------------------------

FLOOR = 0.1


def fitted_shift(seed=0, N=4000, sparse=1.0):
    """Fit it to three tags that go together; give it with the levels."""
    random = np.random.default_rng(seed)
    load = random.normal(size=N)
    level = np.stack([load, 2 * load + 0.1 * random.normal(size=N), random.normal(size=N)], axis=1)
    detector = Shift(FLOOR)
    detector.fit(level, np.tile([1.0, 1.0, sparse], (N, 1)))
    return detector, level


def test_level_shift_that_knows_all_is_mahalanobis():
    detector, level = fitted_shift()
    plain, scaled = Mahalanobis(), Standardiser.fitted(level)(level)
    plain.fit(scaled)
    for seen in (np.ones_like(level), np.full_like(level, 0.3), np.zeros_like(level)):
        np.testing.assert_array_equal(detector.score(level, seen), plain.score(scaled))


def test_level_of_what_hardly_moved_may_move_once():
    """A deviation of a thousandth counts as a tenth: scaled units have a size of their own."""
    random = np.random.default_rng(0)
    level = random.normal(size=(40, 2)) * [1.0, 1e-3]
    seen = np.ones_like(level)
    detector = Shift(FLOOR)
    detector.fit(level, seen)
    state, _ = detector.state()
    assert state["scale_deviation"][1] == FLOOR
    assert state["scale_deviation"][0] == pytest.approx(level[:, 0].std())


def test_level_shift_asks_no_tag_to_move_as_far_as_another():
    detector, level = fitted_shift()
    seen = np.ones_like(level)
    stretched = Shift(FLOOR / 100)
    stretched.fit(level * np.array([10.0, 1.0, 0.1]), seen)
    np.testing.assert_allclose(
        stretched.score(level * np.array([10.0, 1.0, 0.1]), seen),
        detector.score(level, seen),
        rtol=0.05,
    )


def test_level_that_is_not_known_is_taken_as_the_others_foretell_it():
    detector, level = fitted_shift()
    rows = np.array([[2.0, 0.0, 0.5], [2.0, 0.0, 0.5], [2.0, 4.0, 0.5], [0.0, 0.0, 9.0]])
    seen = np.array([[1.0, 1.0, 1.0], [1.0, 0.1, 1.0], [1.0, 1.0, 1.0], [1.0, 0.75, 1.0]])

    at_odds, hidden, fitting, shifted = detector.score(rows, seen)

    known = [0, 2]
    mean = level.mean(axis=0)
    precision = np.linalg.inv(np.cov(level.T))
    covariance = np.linalg.inv(precision)[np.ix_(known, known)]
    expected = naive.mahalanobis(rows[1, known], mean[known], covariance)
    assert hidden == pytest.approx(expected, rel=0.02)
    assert hidden < fitting < at_odds
    assert shifted > 50


def test_tag_that_is_always_sparse_is_known_all_the_same():
    detector, level = fitted_shift(sparse=0.2)
    seen = np.tile([1.0, 1.0, 0.2], (len(level), 1))
    plain, scaled = Mahalanobis(), Standardiser.fitted(level)(level)
    plain.fit(scaled)
    np.testing.assert_array_equal(detector.score(level, seen), plain.score(scaled))


def test_level_shift_is_restored():
    detector, level = fitted_shift()
    seen = np.random.default_rng(1).uniform(0, 1, level.shape)
    again = Shift(FLOOR)
    again.restore(*detector.state())
    np.testing.assert_array_equal(again.score(level, seen), detector.score(level, seen))

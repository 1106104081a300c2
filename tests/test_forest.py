"""The forest's own walk gives what scikit-learn's does."""

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest

from sensor_ad.forest import average_path, forest_of

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(("rows", "width", "samples"), [(2000, 6, 256), (50, 3, 50), (3, 1, 3)])
def test_scores_equal_those_of_scikit_learn(rows, width, samples):
    normal = RANDOM.normal(size=(rows, width)).astype(np.float32)
    grown = IsolationForest(n_estimators=30, max_samples=samples, random_state=1).fit(normal)
    new = np.concatenate([RANDOM.normal(size=(1500, width)) * 3, normal[:10]]).astype(np.float32)

    scores = forest_of(grown).score(new)

    np.testing.assert_allclose(scores, -grown.score_samples(new), rtol=1e-12)


def test_constant_features_give_one_leaf():
    normal = np.ones((40, 2), dtype=np.float32)
    grown = IsolationForest(n_estimators=5, max_samples=40, random_state=1).fit(normal)

    np.testing.assert_allclose(forest_of(grown).score(normal), -grown.score_samples(normal))


def test_average_path_of_few_rows():
    # 2 H(n - 1) - 2 (n - 1) / n with the harmonic number by Euler's constant, except for 1 and 2.
    np.testing.assert_allclose(average_path(np.array([1, 2])), [0.0, 1.0])
    harmonic = 2 * sum(1 / i for i in range(1, 256)) - 2 * 255 / 256
    np.testing.assert_allclose(average_path(np.array([256])), harmonic, rtol=1e-3)


def test_no_row_gives_no_score():
    grown = IsolationForest(n_estimators=5, random_state=1).fit(RANDOM.normal(size=(40, 2)))
    assert forest_of(grown).score(np.empty((0, 2))).shape == (0,)

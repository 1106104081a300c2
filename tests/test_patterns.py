"""Windows against those of the history: the same as plain loops, and blind to what is not known."""

import naive
import numpy as np
import pytest
import torch

from sensor_ad.grid import Grid, Rows
from sensor_ad.patterns import (
    CHANGE,
    CHANGE_REST,
    COMPONENTS,
    CONTEXT_WEIGHT,
    KINDS,
    KNOWN_SHARE,
    PATTERN,
    PATTERN_REST,
    fit_patterns,
    tag_weights,
    views,
)
from sensor_ad.prepare import fit_preparation
from sensor_ad.records import Tag

C, WINDOW, STEP = 2, 8, 4


def series(P, seed=0):
    """Two tags that swing together, and noise."""
    random = np.random.default_rng(seed)
    phase = np.arange(P) / 9
    return np.stack([np.sin(phase), np.cos(phase)], axis=1) + random.normal(0, 0.05, (P, C))


def fitted(x, size=64, weight=(1.0, 0.5), centres=None):
    if centres is None:
        centres = np.arange(len(x))
    mask = np.ones(x.shape)
    return fit_patterns(x, mask, np.array(weight), WINDOW, centres, 1.0, size, seed=0)


def score(patterns, x, cover=None, step=STEP):
    cover = np.ones(len(x) // step) if cover is None else cover
    values = torch.from_numpy(x.T.astype(np.float32).copy())
    return patterns.score(values, torch.ones_like(values), cover, step)


@pytest.mark.parametrize("step", [2, 4])
def test_score_equals_naive(step):
    patterns = fitted(series(200))
    x = series(64, seed=1).astype(np.float32)
    x[30:40] += 3
    weighted = x.astype(np.float64) * patterns.weight
    left = np.array([
        [weighted[row, c] - weighted[max(row - WINDOW + 1, 0) : row + 1, c].mean()
         for c in range(C)]
        for row in range(len(x))
    ])  # fmt: skip

    found = score(patterns, x, step=step)

    for j in range(len(x) // step):
        first = j * step + step // 2 - WINDOW // 2
        for rows, view, names in (
            (weighted, patterns.level, (PATTERN, PATTERN_REST)),
            (left, patterns.change, (CHANGE, CHANGE_REST)),
        ):
            window = [
                rows[first + k, c] if 0 <= first + k < len(x) else 0.0
                for c in range(C)
                for k in range(WINDOW)
            ]
            both = naive.pattern_distances(window, view.mean, view.basis, view.bank)
            for name, expected in zip(names, both, strict=False):
                assert found[name][j] == pytest.approx(expected / WINDOW, abs=1e-6), (name, j)


def test_windows_of_the_history_are_near():
    x = series(200)
    patterns = fitted(x, size=1000)
    assert len(patterns.level.bank) == 200 - WINDOW + 1  # all that lie inside

    found = score(patterns, x)

    inside = slice(2, -2)
    assert (found[PATTERN][inside] <= found[PATTERN_REST][inside] + 1e-9).all()


def test_planted_faults_are_far():
    patterns = fitted(series(400))
    normal = score(patterns, series(160, seed=2))
    x = series(160, seed=2)
    x[80:100, 0] = x[80, 0]  # the first tag stands still while the other goes on
    found = score(patterns, x)
    for name in KINDS:
        inner = slice(4, -4)
        assert found[name][inner].argmax() + 4 in range(19, 27), name
        assert found[name][inner].max() > 3 * normal[name][inner].max(), name


def test_a_level_never_seen_is_no_change():
    patterns = fitted(series(400))
    x = series(160, seed=2) + np.array([4.0, 0.0])
    found, usual = score(patterns, x), score(patterns, series(160, seed=2))
    inner = slice(4, -4)
    assert found[PATTERN][inner].min() > 10 * usual[PATTERN][inner].max()
    np.testing.assert_allclose(found[CHANGE][inner], usual[CHANGE][inner], atol=1e-5)


def test_windows_hardly_observed_say_nothing():
    patterns = fitted(series(200))
    cover = np.ones(16)
    cover[5], cover[6] = KNOWN_SHARE - 0.01, KNOWN_SHARE + 0.01
    found = score(patterns, series(64), cover)
    for name in KINDS:
        assert np.flatnonzero(np.isnan(found[name])).tolist() == [5]


def test_fewer_directions_where_few_explain_all():
    x = np.stack([np.sin(np.arange(300) / 9)] * C, axis=1)
    patterns = fitted(x)
    assert len(patterns.level.basis) <= 2 < COMPONENTS
    close = patterns.level.basis @ patterns.level.basis.T
    np.testing.assert_allclose(close, np.eye(len(close)), atol=1e-5)


def test_history_that_never_moves():
    x = np.zeros((100, C))
    patterns = fitted(x)
    still = score(patterns, np.zeros((40, C)))
    moved = score(patterns, np.full((40, C), 0.5))
    for name in (PATTERN, PATTERN_REST):
        assert np.isfinite(still[name]).all()
        assert moved[name][4] > still[name][4]


def test_only_windows_inside_and_at_the_places_given():
    x = series(100)
    x[50:] += 100
    patterns = fitted(x, centres=np.arange(40))
    assert len(patterns.level.bank) == 40 - WINDOW // 2
    assert np.abs(patterns.level.mean).max() < 1


def test_views_equal_naive():
    random = np.random.default_rng(5)
    mask = (random.random((60, C)) < 0.8).astype(float)
    mask[:5], mask[20:45, 1] = 0, 0  # nothing came yet; a tag is missing for three windows
    x = series(60) * mask
    filled, left = (part.numpy() for part in views(*map(torch.from_numpy, (x.T, mask.T)), WINDOW))
    for c in range(C):
        for row in range(60):
            known = [k for k in range(max(row - WINDOW + 1, 0), row + 1) if mask[k, c]]
            fill = x[known[-1], c] if known else 0.0
            mean = np.mean([x[k, c] for k in known]) if known else fill
            assert filled[c, row] == pytest.approx(fill, abs=1e-12)
            assert left[c, row] == pytest.approx(fill - mean, abs=1e-12)


def test_views_of_a_whole_series_are_those_of_one_with_a_hole_long_ago():
    x = torch.from_numpy(series(80).T.copy())
    mask = torch.ones_like(x)
    whole = views(x, mask, WINDOW)
    mask[:, 0] = 0
    holed = views(x * mask, mask, WINDOW)
    for one, other in zip(whole, holed, strict=True):
        np.testing.assert_array_equal(one[:, WINDOW:], other[:, WINDOW:])


def weights(values, kinds, known, roles=None):
    roles = roles or ["measurement"] * len(kinds)
    tags = tuple(Tag(f"t{c}", role=role) for c, role in enumerate(roles))
    rows = Rows(np.arange(len(values)), values, np.ones(len(values), bool))
    holds = np.ones(len(kinds), np.int64)
    made = fit_preparation(tags, tuple(kinds), rows, Grid(1_000_000, 0), holds, "")
    x, mask = made.scaled(values)
    return tag_weights(made, x, mask, tuple(known)), made


def test_tags_count_alike_as_far_as_they_move():
    random = np.random.default_rng(3)
    values = np.stack([random.normal(0, 1, 999), random.normal(50, 20, 999)], axis=1)
    found, made = weights(values, ["continuous"] * 2, [False] * 2)
    spread = (values * found / made.scale).std(axis=0)
    span = np.ptp(values * found / made.scale, axis=0)
    # What spreads by 1, or has a range of 4.
    np.testing.assert_allclose(np.maximum(spread, span / 4), 1.0, atol=1e-3)


def test_two_states_and_commands_count_a_tenth():
    states = np.repeat([0.0, 1.0, 0.0], 100)
    values = np.stack([states, states, np.repeat([0.0, 1.0, 2.0], 100), states * 30], axis=1)
    kinds = ["few-state"] * 3 + ["continuous"]
    found, made = weights(
        values, kinds, [True, True, True, True], ["measurement", "command", "measurement",
                                                  "set-point"]
    )  # fmt: skip
    whole = found * np.array([10, 10, 1, 10])
    moved = values * whole / made.scale
    np.testing.assert_allclose(np.maximum(moved.std(axis=0), np.ptp(moved, axis=0) / 4), 1.0,
                               atol=1e-3)  # fmt: skip
    assert CONTEXT_WEIGHT == 0.1


def test_a_constant_counts_by_its_own_value():
    values = np.stack([np.full(50, 300.0), np.zeros(50)], axis=1)
    found, made = weights(values, ["constant"] * 2, [False] * 2)
    assert (found / made.scale).tolist() == pytest.approx([1 / 300, 1.0])

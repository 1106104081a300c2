"""Kinds of evidence to one score: every kind has its say, and none decides alone."""

import naive
import numpy as np
import pytest

from sensor_ad.fusion import (
    BEYOND,
    CAUSAL_SHARE,
    LEVEL_SHIFT,
    MOST_SMOOTHED,
    NORMAL_QUANTILE,
    PROMPT,
    RECONSTRUCTION,
    SHIFTS,
    SLOW_SHIFT,
    SPIKE,
    SPREAD_SHIFT,
    STAND_STILL,
    STRETCHES,
    Ratio,
    Reach,
    fuse,
    fuse_causal,
    smoothed,
    smoothed_rows,
)
from sensor_ad.patterns import PATTERN

WINDOW, ALIGN = 8, 2
P = 40


def test_ratio_is_0_for_nothing_and_1_at_the_edge_of_normal():
    normal = np.tile(np.linspace(0, 5, 1001), STRETCHES)
    ratio = Ratio.fitted("x", normal)
    edge = np.quantile(normal[:1001], NORMAL_QUANTILE)
    assert ratio(np.array([0.0, edge, 3 * edge, 7 * edge])).tolist() == pytest.approx([0, 1, 2, 3])


def test_the_most_that_is_normal_does_not_hang_on_one_stretch():
    normal = np.ones(400)
    normal[300:] = 16.0
    assert Ratio.fitted("x", normal).most == pytest.approx(2.0)  # the fourth root of 16
    assert Ratio.fitted(SPIKE, normal).most == 16.0


def test_ratio_of_evidence_that_may_be_negative():
    normal = np.random.default_rng(0).permutation(np.linspace(-3.0, -1.0, 40_001))
    ratio = Ratio.fitted("pyod_LODA", normal)
    found = ratio(np.array([-10.0, -3.0, -1.0, 1.0]))
    assert found[0] == found[1] == 0
    assert found[2] == pytest.approx(1, abs=0.01)
    assert found[3] == pytest.approx(np.log2(3), abs=0.01)


def test_ratio_is_finite_and_increasing_whatever_was_normal():
    for normal in (np.zeros(10), np.ones(10), np.array([5.0]), np.array([0, 0, 0, 1e-30])):
        found = Ratio.fitted("x", normal)(np.array([0.0, 0.5, 1.0, 1e6, 1e30]))
        assert np.isfinite(found).all()
        assert (np.diff(found) > 0).all()


def test_unknown_is_taken_as_usual():
    ratio = Ratio.fitted("x", np.array([0.0, 1.0, 2.0, 3.0, 100.0]))
    found = ratio(np.array([np.nan, 2.0, 3.0]))
    assert found[0] == found[1] == ratio.usual < found[2]


def evidence(seed=0):
    random = np.random.default_rng(seed)
    rows = {name: random.exponential(1, P) for name in (RECONSTRUCTION, PROMPT, "own")}
    steps = {
        name: random.exponential(1, P // ALIGN)
        for name in ("mahalanobis", "nearest", *SHIFTS, PATTERN)
    }
    return rows, steps


def ratios(rows, steps):
    return {name: Ratio(0.0, 2.0, 0.3) for name in (*rows, *steps)}


def test_fused_equals_naive():
    rows, steps = evidence()
    steps["nearest"][3:6] = np.nan
    steps[PATTERN][:4] = np.nan
    scorable = np.random.default_rng(1).random(P) < 0.8
    scale = ratios(rows, steps)

    found = fuse(scale, rows, steps, scorable, WINDOW, ALIGN)

    def at_rows(name):
        at_steps = list(scale[name](steps[name]))
        return [naive.between_steps(at_steps, ALIGN, row) for row in range(P)]

    latents = [list(scale["own"](rows["own"])), at_rows("mahalanobis"), at_rows("nearest")]
    together = [sum(values) / 3 for values in zip(*latents, strict=True)]
    voices = [
        [list(scale[RECONSTRUCTION](rows[RECONSTRUCTION])), together],
        [at_rows(LEVEL_SHIFT)],
        [at_rows(SLOW_SHIFT)],
        [at_rows(PATTERN), at_rows(SPREAD_SHIFT)],
    ]
    expected = naive.fused(voices, scorable, smoothed_rows(WINDOW))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_detectors_on_the_same_latents_have_one_voice():
    rows, steps = evidence()
    scorable = np.ones(P, bool)
    before = fuse(ratios(rows, steps), rows, steps, scorable, WINDOW, ALIGN)
    steps["pyod_KNN"] = steps["mahalanobis"] * 0 + (steps["mahalanobis"] + steps["nearest"]) / 2
    more = fuse(ratios(rows, steps), rows, steps, scorable, WINDOW, ALIGN)
    assert np.abs(more - before).max() < 0.1


def test_what_is_not_known_moves_the_score_to_the_usual():
    steps = {PATTERN: np.full(P // ALIGN, np.nan)}
    rows = {RECONSTRUCTION: np.full(P, np.nan)}
    scale = {name: Ratio(0.0, 1.0, 0.4) for name in (PATTERN, RECONSTRUCTION)}
    found = fuse(scale, rows, steps, np.ones(P, bool), WINDOW, ALIGN)
    np.testing.assert_allclose(found, 0.4)


@pytest.mark.parametrize(("name", "times"), [(SPIKE, 2.0), (STAND_STILL, 1.5)])
def test_what_tells_of_a_sensor_counts_for_itself(name, times):
    """Twice the highest spike, or standing still for half as long again as ever: the edge, 1."""
    rows, steps = evidence()
    scorable = np.ones(P, bool)
    scale = {**ratios(rows, steps), name: Ratio.fitted(name, np.linspace(0.1, 4.0, P))}
    rows = {kind: np.zeros(P) for kind in rows}
    steps = {kind: np.zeros(P // ALIGN) for kind in steps}
    values = np.zeros(P)
    values[20], values[21] = 4.0 * times, 4.0 * (2 * times + 1)

    found = fuse(scale, {**rows, name: values}, steps, scorable, WINDOW, ALIGN)

    assert found[[20, 21]].tolist() == pytest.approx([1.0, 2.0])
    assert (np.delete(found, [20, 21]) == 0).all()


def test_standing_still_is_measured_by_the_longest_that_ever_was():
    assert Ratio.fitted(STAND_STILL, np.array([0.1, 0.3])).most == 1.0


def test_smoothing_takes_rows_that_count_only():
    values, counted = np.arange(10.0), np.ones(10, bool)
    values[4], counted[4] = 1e9, False
    found = smoothed(values, counted, 4)
    assert found[4] == pytest.approx((2 + 3 + 5) / 3)
    assert found[0] == pytest.approx((0 + 1) / 2)


def test_smoothing_is_half_a_window_and_never_long():
    assert smoothed_rows(64) == 32
    assert smoothed_rows(8) == 4
    assert smoothed_rows(4096) == MOST_SMOOTHED == 64


REACH = Reach(WINDOW, ALIGN, network=5)


def test_causal_equals_naive():
    rows, steps = evidence()
    rows[SPIKE] = np.random.default_rng(3).exponential(4, P)
    steps["nearest"][3:6] = np.nan
    scorable = np.random.default_rng(1).random(P) < 0.8
    scorable[20:32] = False  # longer than a window: nothing is known after it for a while
    scale = ratios(rows, steps)

    found = fuse_causal(scale, rows, steps, scorable, REACH)

    def late(name, row):
        # What a kind said of the row that lies as far back as it looks ahead.
        at = row - REACH.rows(name)
        back = next((k for k in range(at, max(at - WINDOW, -1), -1) if scorable[k]), None)
        if at < 0 or back is None:
            return scale[name].usual
        values = rows[name] if name in rows else np.repeat(steps[name], ALIGN)
        return float(scale[name](values[back : back + 1])[0])

    def joined(row):
        latents = [late(name, row) for name in ("own", "mahalanobis", "nearest")]
        network = (late(PROMPT, row) + sum(latents) / 3) / 2
        window = (late(PATTERN, row) + late(SPREAD_SHIFT, row)) / 2
        voices = [network, late(LEVEL_SHIFT, row), window]
        return sum(voices) / len(voices)

    size = WINDOW // CAUSAL_SHARE
    for row in range(P):
        near = [joined(max(row - k, 0)) for k in range(size)]
        expected = max(sum(near) / size, late(SPIKE, row) - BEYOND[SPIKE])
        assert found[row] == pytest.approx(expected), row


def test_causal_smoothing_takes_no_row_that_is_to_come():
    reach = Reach(32, ALIGN, network=0)
    rows = {PROMPT: np.zeros(400)}
    scale = {PROMPT: Ratio(0.0, 1.0, 0.0)}
    calm = fuse_causal(scale, rows, {}, np.ones(400, bool), reach)
    rows[PROMPT][100] = 7.0
    found = fuse_causal(scale, rows, {}, np.ones(400, bool), reach) - calm
    first = 100 + reach.rows(PROMPT)
    assert np.flatnonzero(found).tolist() == list(range(first, first + 32 // CAUSAL_SHARE))
    np.testing.assert_allclose(found[first], 3.0 / (32 // CAUSAL_SHARE))

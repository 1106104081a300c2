"""What the benchmarks judge scores by, against golden values, slow twins and cases by hand."""

import time

import naive
import numpy as np
import pytest

from benchmarks.event_metrics import alarm_figures, found_before_false, series_figures, top_hit
from benchmarks.smoothing import argmax_only, centred, trailing
from benchmarks.vus import event_bounds, vus_pr


def golden_series():
    t = np.arange(600)
    label = np.zeros(600, dtype=bool)
    for start, stop in ((100, 112), (125, 160), (420, 421), (590, 600)):
        label[start:stop] = True
    score = np.sin(t * 0.7) + 0.8 * np.cos(t * t / 97) + 1.2 * np.roll(label, 5)
    return score, label


# Computed by TSB-AD's own `generate_curve` (commit of 2025) on the series above.
@pytest.mark.parametrize(
    ("window", "digits", "value"),
    [
        (0, None, 0.25072496142212136),
        (1, None, 0.25072496142212136),
        (20, None, 0.3583581972248144),
        (75, None, 0.47351032872957144),
        (20, 0, 0.2673222207694021),
    ],
)
def test_vus_pr_equals_tsb_ad(window, digits, value):
    score, label = golden_series()
    if digits is not None:
        score = np.round(score, digits)

    assert vus_pr(score, label, window) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_vus_pr_equals_slow_twin(seed):
    rng = np.random.default_rng(seed)
    T = int(rng.integers(60, 140))
    label = np.zeros(T, dtype=bool)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(0, T))
        label[at : at + int(rng.integers(1, 12))] = True
    if seed == 0:
        label[0] = label[-1] = True
    score = rng.normal(size=T) + label
    if seed % 2:
        score = np.round(score)
    window = int(rng.integers(0, 25))

    expected = naive.vus_pr(score.tolist(), label.tolist(), window)

    assert vus_pr(score, label, window) == pytest.approx(expected, abs=1e-12)


def test_vus_pr_of_perfect_and_worst_scores():
    label = np.zeros(1000, dtype=bool)
    label[400:500] = True

    assert vus_pr(label.astype(float), label, 0) == pytest.approx(1.0)
    assert vus_pr(-label.astype(float), label, 0) < 0.11
    # Nothing is told apart: precision is the share of labelled rows.
    assert vus_pr(np.zeros(1000), label, 0) == pytest.approx(0.1)


def test_vus_pr_does_not_depend_on_the_scale_of_scores():
    score, label = golden_series()

    assert vus_pr(np.exp(3 * score), label, 30) == vus_pr(score, label, 30)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_vus_pr_refuses_scores_that_are_not_finite(wrong):
    score, label = golden_series()
    score[[7, 9]] = wrong

    with pytest.raises(ValueError, match="not finite") as error:
        vus_pr(score, label, 20)

    assert str(error.value) == (
        f"2 of 600 scores are not finite, the first is {wrong} at row 7; all must be finite: give "
        "rows without a score the lowest one."
    )


@pytest.mark.parametrize("label", [np.zeros(9, dtype=bool), np.ones(9, dtype=bool)])
def test_vus_pr_refuses_labels_of_one_kind(label):
    with pytest.raises(ValueError, match=f"^{label.sum()} of 9 rows are labelled; some must be"):
        vus_pr(np.arange(9.0), label, 2)


def test_vus_pr_refuses_other_lengths():
    with pytest.raises(ValueError, match=r"shape \(9,\) and labels \(8,\)"):
        vus_pr(np.arange(9.0), np.arange(8) > 4, 2)


def test_vus_pr_is_fast():
    rng = np.random.default_rng(0)
    label = np.arange(24_000) % 1000 < 60
    began = time.process_time()

    vus_pr(rng.normal(size=24_000) + label, label, 260)

    assert time.process_time() - began < 1.0


def test_event_bounds_at_both_ends():
    starts, ends = event_bounds(np.array([1, 1, 0, 1, 0, 0, 1], dtype=bool))

    assert (starts.tolist(), ends.tolist()) == ([0, 3, 6], [1, 3, 6])


def test_top_hit_needs_all_rows_of_the_highest_score():
    label = np.array([False, True, True, False])

    assert top_hit(np.array([0.0, 2, 2, 1]), label)
    assert not top_hit(np.array([0.0, 2, 1, 2]), label)


def test_found_before_false_by_hand():
    # Peaks from the highest: event at 10-12, false at 40, event at 70-71, false at 90, 95.
    score, label = np.zeros(100), np.zeros(100, dtype=bool)
    label[10:13] = label[70:72] = True
    score[[11, 40, 70, 90, 95]] = [9, 8, 7, 6, 5]
    score[[13, 41]] = [8.5, 7.5]  # smears of the first two peaks

    assert [found_before_false(score, label, k, apart=2) for k in (1, 2, 3)] == [1, 2, 2]
    # Wider apart, nothing changes: an event near a false peak keeps its chance.
    assert found_before_false(score, label, 2, apart=35) == 2


def test_series_figures_of_a_perfect_score():
    label = np.zeros(500, dtype=bool)
    label[100:120] = label[300:310] = True

    found = series_figures(label.astype(float), label, 0)

    assert (found.auc_pr, found.auc_roc, found.top_hit) == (1.0, 1.0, True)
    assert (found.before_first, found.before_third, found.events) == (2, 2, 2)


def test_alarm_figures_by_hand():
    label = np.zeros(300, dtype=bool)
    label[50:60] = label[200:220] = label[280:290] = True
    alarm = np.zeros(300, dtype=bool)
    alarm[[10, 14, 53, 55, 120, 199, 200]] = True

    found = alarm_figures(alarm, label, apart=5)

    assert (found.events, found.found, found.delays) == (3, 2, (3, 0))
    # 10 and 14 are one, 120 is one; 199 belongs to the event that begins at 200.
    assert found.false_events == 2
    assert found.false_share == pytest.approx(4 / 260)
    assert found.recall == pytest.approx(2 / 3)


def test_alarm_figures_without_alarms():
    label = np.arange(9) == 4

    assert alarm_figures(np.zeros(9, dtype=bool), label).found == 0


@pytest.mark.parametrize("rows", [1, 2, 7, 64])
@pytest.mark.parametrize("T", [5, 200])
def test_boxes_equal_a_slow_mean(rows, T):
    score = np.random.default_rng(1).normal(size=T)
    after = rows - 1 - rows // 2
    around = [score[max(t - rows // 2, 0) : t + after + 1].mean() for t in range(T)]
    past = [score[max(t - rows + 1, 0) : t + 1].mean() for t in range(T)]

    np.testing.assert_allclose(centred(score, rows), around, atol=1e-12)
    np.testing.assert_allclose(trailing(score, rows), past, atol=1e-12)


def test_trailing_sees_no_later_row():
    score = np.random.default_rng(2).normal(size=300)

    np.testing.assert_allclose(trailing(score)[:200], trailing(score[:200]), atol=1e-12)


def test_argmax_only_keeps_one_position():
    score = np.random.default_rng(3).normal(size=300)
    score[150] = 9.0

    kept = argmax_only(score)

    assert np.flatnonzero(kept).tolist() == list(range(119, 183))


@pytest.mark.parametrize("smooth", [centred, trailing, argmax_only])
def test_smoothing_refuses_longer_filters_and_unknown_scores(smooth):
    with pytest.raises(ValueError, match="a box of 65 rows; benchmarks allow 1 to 64"):
        smooth(np.zeros(100), 65)
    with pytest.raises(ValueError, match="not finite"):
        smooth(np.array([0.0, np.nan]), 2)

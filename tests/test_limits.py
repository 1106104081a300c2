"""Alarm budget to limit: clusters, tails, what the limit keeps on fresh data, what it says."""

import json

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor_ad.config import LimitSettings
from sensor_ad.limits import (
    ENOUGH_CLUSTERS,
    FEW_CLUSTERS,
    Limit,
    choose_limit,
    cluster_peaks,
    limit_arrays,
    limit_facts,
    limit_from,
    poisson_interval,
    with_budget,
    with_value,
)

MINUTE_S = 60.0
ROWS_A_DAY = 1440
BUDGET = LimitSettings(events=2, days=30)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.0, 3.5, 5.0]), st.integers(1, 6)), max_size=50),
    st.integers(0, 8),
    st.sampled_from([-1.0, 0.0, 1.0, 3.0, 9.0]),
)
def test_peaks_equal_naive(rows, pause, threshold):
    score = np.array([value for value, _ in rows])
    index = np.cumsum([step for _, step in rows]).astype(np.int64)
    found = cluster_peaks(score, index, pause, threshold).tolist()
    assert found == naive.cluster_peaks(score.tolist(), index.tolist(), pause, threshold)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [(0, 0, 3.6889), (1, 0.02532, 5.5716), (2, 0.2422, 7.2247), (5, 1.6235, 11.6683),
     (10, 4.7954, 18.3904), (100, 81.3640, 121.6268)],
)  # fmt: skip
def test_poisson_interval_equals_the_table(count, low, high):
    assert poisson_interval(count) == pytest.approx((low, high), abs=1e-4, rel=1e-4)


def smeared(random, days, rows):
    """Scores with an exponential tail that stay high for some rows, as smoothed scores do."""
    raw = random.exponential(1 / np.log(10), days * ROWS_A_DAY + rows)
    return np.lib.stride_tricks.sliding_window_view(raw, rows).max(axis=1)[: days * ROWS_A_DAY]


@pytest.mark.parametrize(("rows", "fewest"), [(1, 8), (20, 32), (60, 32)])
def test_limit_keeps_the_budget_on_fresh_data(rows, fewest):
    """Sixteen plants of 60 days: 64 false events are allowed, fewer where rows are independent."""
    random = np.random.default_rng(11)
    index = np.arange(60 * ROWS_A_DAY)
    counts = []
    for _ in range(16):
        known, fresh = smeared(random, 60, rows), smeared(random, 60, rows)
        limit = choose_limit(known, index, BUDGET, 30, MINUTE_S, 64)
        assert limit.method == "generalised Pareto"
        counts.append(len(cluster_peaks(fresh, index, 30, limit.value)))
    assert fewest <= sum(counts) <= 128


@pytest.mark.parametrize(("rows", "days"), [(5, 3), (20, 3)])
def test_limit_extrapolates_from_little_data(rows, days):
    random = np.random.default_rng(5)
    index = np.arange(days * ROWS_A_DAY)
    limits = [
        choose_limit(smeared(random, days, rows), index, BUDGET, 30, MINUTE_S, 64).value
        for _ in range(16)
    ]
    right = np.log10(15 * ROWS_A_DAY)  # a row's score has a tail of 10**-score
    assert abs(np.mean(limits) - right) < 0.5


def test_limit_of_a_large_budget_is_the_threshold():
    score = np.random.default_rng(0).exponential(size=20 * ROWS_A_DAY)
    index = np.arange(len(score))

    limit = choose_limit(score, index, LimitSettings(events=1e6, days=1), 5, MINUTE_S, 64)

    assert limit.value == limit.threshold
    assert limit.false_events == len(limit.peaks)


def test_limit_falls_as_the_budget_grows():
    score = np.random.default_rng(0).exponential(size=20 * ROWS_A_DAY)
    index = np.arange(len(score))
    values = [
        choose_limit(score, index, LimitSettings(events=n, days=30), 30, MINUTE_S, 64).value
        for n in (0.1, 1, 10, 100)
    ]
    assert (np.diff(values) < 0).all()


def test_limit_with_some_clusters_is_exponential():
    score = np.zeros(5000)
    peaks = np.array([3.0, 4, 5, 3.5, 4.5, 6, 3, 4])
    score[np.arange(8) * 600 + 50] = peaks

    limit = choose_limit(score, np.arange(5000), BUDGET, 30, MINUTE_S, 64)

    assert FEW_CLUSTERS <= 8 < ENOUGH_CLUSTERS
    wanted = 2 / 30 * 5000 / ROWS_A_DAY
    assert limit.method == "exponential"
    assert sorted(limit.peaks) == sorted(peaks)
    # As often as the budget wants by the predictive distribution, whose tail is heavier.
    passed = (1 + (limit.value - limit.threshold) / (peaks - limit.threshold).sum()) ** -8
    assert 8 * passed == pytest.approx(wanted)
    assert limit.value > limit.threshold + (peaks - limit.threshold).mean() * np.log(8 / wanted)


@pytest.mark.parametrize(
    "score",
    [np.linspace(0, 2, 300), np.full(300, 1.0), np.repeat([0.0, 3.0, 0.0], 100), np.array([0.5])],
    ids=["rising", "constant", "one cluster", "one row"],
)
def test_limit_with_few_clusters_has_a_margin(score):
    limit = choose_limit(score, np.arange(len(score)), BUDGET, 64, MINUTE_S, 64)

    assert len(limit.peaks) < FEW_CLUSTERS
    assert limit.value >= score.max() + 1  # a decade of probability
    assert np.isfinite(limit.value)
    assert limit.false_events == 0


def test_limit_counts_what_stands_behind_it():
    index = np.concatenate([np.arange(0, 640), np.arange(6400, 7040)])
    limit = choose_limit(np.zeros(1280), index, BUDGET, 64, 90.0, 64)

    assert limit.hours == pytest.approx(1280 * 90 / 3600)
    assert limit.blocks == 20
    assert (limit.rate, limit.rate_low) == (0, 0)
    assert limit.rate_high == pytest.approx(3.6889 * 30 * 24 / limit.hours, rel=1e-4)


def limit_numbers(limit):
    """Everything that a limit says of itself, without the arrays behind it."""
    arrays = ("peaks", "counts")
    return {name: value for name, value in vars(limit).items() if name not in arrays}


SHORT = np.concatenate([np.zeros(300), [3.0], np.zeros(300)])
TAILED = np.random.default_rng(2).exponential(size=9 * ROWS_A_DAY)


@pytest.mark.parametrize("score", [TAILED, TAILED[:3000], SHORT, np.ones(300)],
                         ids=["Pareto", "exponential", "one peak", "constant"])  # fmt: skip
@pytest.mark.parametrize(("events", "days"), [(0.1, 30), (2, 30), (30, 30), (500, 1)])
def test_limit_solved_again_is_that_of_the_rows(score, events, days):
    """The kept peaks give the same limit for another budget as all the rows do."""
    settings, rows = LimitSettings(events=events, days=days), (score, np.arange(len(score)))

    again = with_budget(choose_limit(*rows, BUDGET, 30, MINUTE_S, 64), settings)

    assert limit_numbers(again) == limit_numbers(choose_limit(*rows, settings, 30, MINUTE_S, 64))


@pytest.mark.parametrize("value", [0.01, 1.0, 4.0, 5.0, 99.0])
def test_events_of_any_value_are_counted(value):
    """One group of exceedances falls apart at a higher limit: its peak alone would not tell."""
    score = np.zeros(1000)
    score[100:200] = 4.5
    score[[100, 199]] = 6.0
    limit = choose_limit(score, np.arange(1000), BUDGET, 30, MINUTE_S, 64)
    assert len(limit.peaks) == 1

    changed = with_value(limit, value)

    count = len(cluster_peaks(score, np.arange(1000), 30, value))
    assert (changed.value, changed.false_events) == (value, count)
    assert changed.rate == pytest.approx(count * 30 * 24 / limit.hours)
    low, high = poisson_interval(count)
    assert (changed.rate_low, changed.rate_high) == pytest.approx(
        (low * 720 / limit.hours, high * 720 / limit.hours)
    )


def stated(**changes):
    """Make a limit to be put into words."""
    values = {
        "value": 4.0, "method": "generalised Pareto", "hours": 500.4, "blocks": 90,
        "peaks": np.ones(40), "threshold": 2.0, "false_events": 1, "rate": 1.44, "rate_low": 0.036,
        "rate_high": 8.01, "budget_events": 2.0, "budget_days": 30.0,
    }  # fmt: skip
    return Limit(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "statement"),
    [
        (
            {},
            "Budget: at most 2 false events per 30 days of scorable time. The limit was set on 500 "
            "h of normal data (generalised Pareto).",
        ),
        (
            {"hours": 359.96},
            "Budget: at most 2 false events per 30 days of scorable time. The budget cannot be "
            "verified with 360 hours of normal data; the limit was extrapolated from 40 peaks "
            "(generalised Pareto).",
        ),
        (
            {"method": "highest value with a margin", "peaks": np.ones(3)},
            "Budget: at most 2 false events per 30 days of scorable time. The budget cannot be "
            "verified with 500.4 hours of normal data; the limit was extrapolated from 3 peaks "
            "(highest value with a margin).",
        ),
        (
            {"budget_events": 1.0, "budget_days": 7.5},
            "Budget: at most 1 false event per 7.5 days of scorable time. The limit was set on 500 "
            "h of normal data (generalised Pareto).",
        ),
    ],
)
def test_statement(changes, statement):
    assert stated(**changes).statement == statement


def test_achieved():
    assert stated().achieved == (
        "1 in 500.4 h of normal calibration data: 1.44 per 30 days (95 % interval 0.036 to 8.01)."
    )


@pytest.mark.parametrize("score", [TAILED, SHORT], ids=["many peaks", "one peak"])
def test_limit_comes_back_from_its_facts_and_arrays(score):
    limit = choose_limit(score, np.arange(len(score)), BUDGET, 30, MINUTE_S, 64)

    facts, arrays = json.loads(json.dumps(limit_facts(limit))), limit_arrays(limit)
    again = limit_from(facts, arrays)

    assert limit_numbers(again) == limit_numbers(limit)
    np.testing.assert_array_equal(again.peaks, limit.peaks)
    for value in (0.0, 0.5, 2.0, 9.0):
        assert with_value(again, value).false_events == with_value(limit, value).false_events


def test_limit_of_a_model_of_before_counts_its_peaks():
    limit = choose_limit(SHORT, np.arange(len(SHORT)), BUDGET, 30, MINUTE_S, 64)
    old = limit_from(limit_facts(limit), {"peaks": limit.peaks})
    assert old.counts is None
    assert [with_value(old, value).false_events for value in (2.0, 4.0)] == [1, 0]

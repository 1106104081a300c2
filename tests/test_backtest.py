"""The back-test: a limit is judged on time that it was not chosen on."""

import json

import numpy as np
import pytest

from sensor_ad.backtest import BLOCK_WINDOWS, back_test
from sensor_ad.config import LimitSettings
from sensor_ad.limits import (
    choose_limit,
    cluster_peaks,
    limit_arrays,
    limit_facts,
    limit_from,
    poisson_interval,
)
from sensor_ad.records import BackTest

MINUTE_S, DAY, WINDOW, PAUSE = 60.0, 1440, 64, 30
BUDGET = LimitSettings(events=2, days=30)


def judged(score, index=None, settings=BUDGET, pause=PAUSE):
    index = np.arange(len(score)) if index is None else index
    return back_test(score, index, settings, pause, MINUTE_S, WINDOW)


def exponential(days, seed=0):
    return np.random.default_rng(seed).exponential(1 / np.log(10), days * DAY)


def test_limit_of_a_block_never_saw_the_block():
    """Three quiet blocks and a wild one: the wild one is judged by a limit of the quiet ones."""
    score = exponential(8)
    score[6 * DAY :] += 10

    found = judged(score)

    assert len(found.limits) == 4
    quiet = score[: 6 * DAY - WINDOW]
    assert found.limits[3] < 10 < found.limits[0]
    rough = choose_limit(quiet, np.arange(len(quiet)), BUDGET, PAUSE, MINUTE_S, WINDOW).value
    assert found.limits[3] == pytest.approx(rough, abs=1e-9)
    assert found.events == 1, "two days above the limit are one event"
    # What the limit that saw all of it says: nothing happened.
    whole = choose_limit(score, np.arange(len(score)), BUDGET, PAUSE, MINUTE_S, WINDOW)
    assert whole.false_events == 0


def test_rows_beside_a_block_do_not_choose_its_limit():
    """A burst over the edge of two blocks lifts neither of their limits, and is one event."""
    score = np.zeros(8 * DAY)
    edge = 4 * DAY
    score[edge - 20 : edge + 20] = 9.0

    found = judged(score)

    assert max(found.limits[1], found.limits[2]) < 9 < min(found.limits[0], found.limits[3])
    assert found.events == 1, "one event, though it lies in two blocks"


@pytest.mark.parametrize("events", [2, 30, 300])
def test_events_are_counted_with_the_rate_of_the_budget_period(events):
    score = exponential(60, seed=4)
    settings = LimitSettings(events=events, days=30)

    found = judged(score, settings=settings)

    count = 0
    for number, limit in enumerate(found.limits):
        block = score[15 * DAY * number : 15 * DAY * (number + 1)]
        count += len(cluster_peaks(block, np.arange(len(block)), PAUSE, limit))
    assert abs(found.events - count) <= 3, "but for events over the edges"
    assert found.hours == pytest.approx(60 * 24)
    assert found.rate == pytest.approx(found.events / 2)
    low, high = poisson_interval(found.events)
    assert (found.rate_low, found.rate_high) == pytest.approx((low / 2, high / 2))


def test_budget_is_kept_where_time_goes_on_as_it_was():
    """Sixteen plants of 60 days, budget 30 in 30 days: 960 false events are allowed."""
    settings = LimitSettings(events=30, days=30)
    found = [judged(exponential(60, seed), settings=settings).events for seed in range(16)]
    assert 700 < sum(found) < 1200


@pytest.mark.parametrize(
    ("windows", "blocks"), [(20, 2), (29, 2), (30, 3), (40, 4), (400, 4)]
)  # fmt: skip
def test_short_data_has_fewer_blocks(windows, blocks):
    assert BLOCK_WINDOWS == 10
    assert len(judged(exponential(30)[: windows * WINDOW]).limits) == blocks


def test_too_little_data_is_told():
    found = judged(exponential(1)[: 20 * WINDOW - 1])
    assert (found.events, found.rate, found.limits) == (None, None, ())
    assert found.statement == (
        "There is too little normal data for a back-test: 19 windows, and 20 are needed."
    )
    assert found.brief == "too little normal data for a back-test"


def test_pause_longer_than_the_data_is_told():
    found = judged(exponential(4), pause=10 * DAY)
    assert found.statement == (
        "There is too little normal data for a back-test: its blocks of time lie within one pause "
        "of alarms."
    )


def test_gaps_in_time_count_no_hours():
    score = exponential(8)
    index = np.arange(len(score)) + np.repeat([0, 10**6], 4 * DAY)
    assert judged(score, index).hours == judged(score).hours


@pytest.mark.parametrize(
    ("numbers", "statement"),
    [
        (
            {"events": 1, "rate": 1.5, "rate_low": 0.04, "rate_high": 8.4},
            "Back-test: 1 false event in 480 h of normal data, each of its 4 blocks of time judged "
            "by a limit chosen on the others: 1.5 per 30 days (95 % interval 0.04 to 8.4); so much "
            "time cannot show whether the budget is kept.",
        ),
        (
            {"events": 9, "rate": 13.5, "rate_low": 6.17, "rate_high": 25.6},
            "Back-test: 9 false events in 480 h of normal data, each of its 4 blocks of time "
            "judged by a limit chosen on the others: 13.5 per 30 days (95 % interval 6.17 to "
            "25.6); that is more than the budget allows.",
        ),
        (
            {"events": 0, "rate": 0.0, "rate_low": 0.0, "rate_high": 1.9},
            "Back-test: 0 false events in 480 h of normal data, each of its 4 blocks of time "
            "judged by a limit chosen on the others: 0 per 30 days (95 % interval 0 to 1.9); the "
            "budget was kept.",
        ),
    ],
    ids=["not known", "broken", "kept"],
)
def test_statement(numbers, statement):
    found = BackTest(2.0, 30.0, limits=(4.0, 4.1, 4.2, 4.3), hours=480.0, **numbers)
    assert found.statement == statement
    low, high = numbers["rate_low"], numbers["rate_high"]
    assert found.brief == (
        f"back-test: {numbers['rate']:g} per 30 days (95 % interval {low:g} to {high:g})"
    )


def test_back_test_of_a_model_is_kept(bundle, shared):
    kept = bundle.fitted.limit.back_test
    manifest = json.loads((shared.bundle / "manifest.json").read_text())

    assert manifest["limit"]["back_test"]["events"] == kept.events
    assert manifest["limit"]["back_test"]["limits"] == list(kept.limits)
    assert len(kept.limits) == 4
    assert kept.hours == pytest.approx(bundle.fitted.limit.hours)
    facts, arrays = limit_facts(bundle.fitted.limit), limit_arrays(bundle.fitted.limit)
    assert limit_from(json.loads(json.dumps(facts)), arrays).back_test == kept

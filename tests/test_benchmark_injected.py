"""Faults put into the simulated plant, and the account of what was found, by hand."""

import itertools
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from benchmarks.injected import Rate, outcomes, print_outcomes, print_rates, rates
from benchmarks.injection import (
    FAULT_ROWS,
    KINDS,
    MEASURED,
    SEVERITIES,
    SPIKES,
    Injected,
    inject,
    normal_spreads,
    plan,
)
from sensor_ad.limits import Limit
from sensor_ad.records import Event, TagPart
from sensor_ad.simulate import DAY, NAMES

FLOW = NAMES.index("flow")


def readings(T=1000):
    rng = np.random.default_rng(0)
    return np.round(50 + rng.normal(size=(T, len(NAMES))), 1)


def one(kind, severity=4.0, rows=FAULT_ROWS):
    return Injected(kind, "flow", severity, 400, 400 + rows)


def test_plan_holds_every_fault_equally_often_and_apart():
    faults = plan(200, seed=3)

    every = Counter((fault.kind, fault.tag, fault.severity) for fault in faults)
    assert len(every) == len(KINDS) * len(MEASURED) * len(SEVERITIES) == 192
    assert set(every.values()) == {2}
    gaps = [b.start - a.stop for a, b in itertools.pairwise(faults)]
    assert min(gaps) >= 120
    assert faults[-1].stop <= 200 * DAY
    assert plan(200, seed=3) == faults != plan(200, seed=4)


def test_plan_of_few_days_is_a_part_of_one_round():
    faults = plan(5, seed=0)

    assert len(faults) == 10
    assert len({(fault.kind, fault.tag, fault.severity) for fault in faults}) == 10


def test_stuck_lasts_as_many_hours_as_its_severity():
    rows = {f.severity: f.stop - f.start for f in plan(100, seed=0) if f.kind == "stuck"}

    assert rows == {0.25: 15, 0.5: 30, 1.0: 60, 2.0: 120, 4.0: 180, 8.0: 180}


@pytest.mark.parametrize("kind", KINDS)
def test_inject_touches_one_tag_for_the_time_of_the_fault(kind):
    values = readings()
    kept = values.copy()

    broken = inject(values, [one(kind)], np.full(len(NAMES), 2.0), seed=1)

    np.testing.assert_array_equal(values, kept)  # the argument stays as it is
    changed = np.argwhere(broken != values)
    assert set(changed[:, 1]) == {FLOW}
    assert 400 <= changed[:, 0].min() <= changed[:, 0].max() < 400 + FAULT_ROWS


def test_inject_by_hand():
    values, spreads = readings(), np.full(len(NAMES), 2.0)
    difference = {
        kind: (inject(values, [one(kind)], spreads, seed=1) - values)[400:580, FLOW]
        for kind in ("step", "drift", "spikes")
    }

    np.testing.assert_allclose(np.abs(difference["step"]), 8.0)
    ramp = np.abs(difference["drift"])
    np.testing.assert_allclose(ramp, 8 * np.arange(1, 181) / 180, atol=0.051)  # to its resolution
    assert np.count_nonzero(difference["spikes"]) == SPIKES
    assert np.abs(difference["spikes"]).max() == pytest.approx(8.0)


def test_inject_stuck_holds_the_last_reading_that_was_there():
    values = readings()
    values[399, FLOW] = np.nan

    broken = inject(values, [one("stuck", rows=60)], np.ones(len(NAMES)), seed=0)

    assert set(broken[400:460, FLOW]) == {values[398, FLOW]}
    assert broken[460, FLOW] == values[460, FLOW]


def test_inject_leaves_missing_readings_missing():
    values = readings()
    values[450, FLOW] = np.nan

    broken = inject(values, [one("step")], np.ones(len(NAMES)), seed=0)

    assert np.isnan(broken[450, FLOW])


def test_normal_spreads_look_at_running_rows_only():
    values = np.zeros((2000, 2))
    values[1000:, 0] = 100 + 3 * np.random.default_rng(0).normal(size=1000)

    spreads = normal_spreads(values, np.arange(2000) >= 1000)

    assert spreads[0] == pytest.approx(3.0, rel=0.1)
    assert spreads[1] == 0


def scores_of(values):
    times = pd.date_range("2026-01-01", periods=len(values), freq="1min", tz="UTC")
    return pd.DataFrame({"causal_score": np.array(values, dtype=float)}, index=times)


def limit(value, budget):
    numbers = dict.fromkeys(("hours", "threshold", "rate", "rate_low", "rate_high"), 0.0)
    return Limit(
        value=value,
        method="exponential",
        blocks=1,
        peaks=np.empty(0),
        false_events=0,
        budget_events=budget,
        budget_days=30.0,
        **numbers,
    )


def test_rates_count_merged_alarms_on_scorable_time(capsys):
    values = np.zeros(4 * DAY)
    values[[100, 105, 3000]] = 5.0
    values[4000] = 3.0
    values[4100 : 4100 + DAY] = np.nan

    found = rates(scores_of(values), [limit(4.0, 2.0), limit(2.0, 30.0)], pause=10)

    assert [one.events for one in found] == [2, 3]
    assert [one.days for one in found] == [3.0, 3.0]
    assert found[0].rate == pytest.approx(20.0)
    print_rates(found)
    out = capsys.readouterr().out
    # Two events in three days: 0.242 / 3 · 30 = 2.42 at least.
    assert "FAIL budget 2: 10.00 of it (asked: within a factor of 2); the budget lies out" in out
    assert "PASS budget 30: 1.00 of it" in out


def test_rate_interval_is_poisson():
    low, high = Rate(budget=2.0, limit=5.0, events=20, days=300.0).interval

    assert (low, high) == (pytest.approx(1.222, abs=1e-3), pytest.approx(3.089, abs=1e-3))


def event(start, stop, tag, sensor=None):
    at = pd.Timestamp("2026-01-01", tz="UTC")
    start_us, end_us = (
        int((at + pd.Timedelta(minutes=m)).timestamp() * 1e6) for m in (start, stop)
    )
    return Event(
        id="e",
        start_us=start_us,
        end_us=end_us,
        raised_us=start_us,
        faded_us=end_us,
        open=False,
        peak=6.0,
        peak_us=start_us,
        severity=1.2,
        level="low",
        alarm_rows=1,
        kind="machine",
        sensor=sensor,
        tags=(TagPart(tag, 1.0, None),),
        evidence={},
    )


def test_outcomes_by_hand(capsys):
    faults = [
        Injected("step", "flow", 1.0, 100, 280),
        Injected("drift", "flow", 1.0, 500, 680),
        Injected("spikes", "vibration", 8.0, 900, 1080),
    ]
    normal, broken = np.zeros(1500), np.zeros(1500)
    normal[150] = broken[150] = 3.0
    broken[300] = 7.0  # within half an hour behind the first fault
    broken[500] = np.nan
    broken[1200] = 9.0  # too late for the third
    events = [event(290, 310, "flow"), event(600, 610, "vibration", "flow"), event(1200, 1201, "x")]
    times = scores_of(normal).index

    found = outcomes(
        faults,
        times,
        scores_of(broken)["causal_score"],
        scores_of(normal)["causal_score"],
        events,
        [5.0, 2.0],
    )

    assert [one.by_budget for one in found] == [(True, True), (False, False), (False, False)]
    assert [one.by_chance for one in found] == [(False, True), (False, False), (False, False)]
    assert [one.event for one in found] == [True, True, False]
    assert [one.named for one in found] == [True, True, False]


def test_print_outcomes_shows_shares(capsys):
    fault = Injected("step", "flow", 1.0, 100, 280)
    flat = {value: scores_of([value] * 400)["causal_score"] for value in (0, 9)}
    found = [
        outcomes([fault], flat[0].index, flat[value], flat[value], [], [1.0, 1.0, 1.0])[0]
        for value in (9, 0)
    ]

    print_outcomes(found)

    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "Faults found, percent of 2, by the program's own events"
    assert "2 in 30 days                   –       –      50" in "\n".join(lines)

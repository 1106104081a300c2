"""What is wrong with each tag: counts that do not know how the export was cut."""

from dataclasses import replace
from zoneinfo import ZoneInfo

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor_ad.quality import QualityCount
from sensor_ad.records import Quality, Tag
from sensor_ad.tag_faults import looks_like_code
from sensor_ad.tag_history import KEPT_EXTREMES, KEPT_HOLDS, KEPT_JUMPS

NAN = float("nan")
LOW, HIGH = 0.0, 4.0
RANGED = (Tag("a", low=LOW, high=HIGH), Tag("b"), Tag("c", high=HIGH))
LIMITS = ((LOW, HIGH), (-np.inf, np.inf), (-np.inf, HIGH))
START_US = 1_767_225_600_000_000  # 2026-01-01 00:00:00 UTC
MINUTE_US = 60_000_000


@st.composite
def tables(draw):
    """Draw times, a table with missing, impossible and repeated values, and where to cut it."""
    T = draw(st.integers(1, 40))
    cell = st.sampled_from([NAN, -1.0, 0.0, 1.0, 1.0, 1.0, 4.0, 9.0, 2.5, 3.25, 0.5, 3.5, 3.75])
    values = draw(st.lists(st.lists(cell, min_size=3, max_size=3), min_size=T, max_size=T))
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 7, 400]), min_size=T, max_size=T))
    times = START_US + np.cumsum(steps) * MINUTE_US
    return times, np.array(values), draw(st.lists(st.integers(0, T), max_size=5))


def counted(tags, times, values, points=(), quality=None):
    """Count a table that is cut at some points; give the count and what it let through."""
    count = QualityCount(tags)
    kept = [
        count.add(times[cut], values[cut], None if quality is None else quality[cut])
        for cut in naive.cuts(len(values), points)
    ]
    return count, np.concatenate(kept)


@given(tables())
def test_counts_equal_naive_however_cut(case):
    times, values, points = case

    count, kept = counted(RANGED, times, values, points)

    outside = np.stack([(values[:, c] < low) | (values[:, c] > high)
                        for c, (low, high) in enumerate(LIMITS)], axis=1)  # fmt: skip
    good_values = np.where(outside, NAN, values)
    np.testing.assert_array_equal(kept, good_values)
    for c, finding in enumerate(count.findings(("continuous",) * 3)):
        missing, impossible, good, hold = naive.quality(values[:, c].tolist(), *LIMITS[c])
        assert (finding.rows, finding.missing) == (len(values), missing)
        assert (finding.out_of_range, finding.longest_hold) == (impossible, hold)
        assert finding.longest_gap == naive.longest_gap(times.tolist(), good_values[:, c].tolist())
        repeats = good_values[1:, c] == good_values[:-1, c]
        assert finding.held == repeats.sum()
        if good:
            assert (finding.low, finding.high) == (min(good), max(good))
            assert finding.mean == pytest.approx(sum(good) / len(good))
        else:
            assert np.isnan([finding.low, finding.high, finding.mean]).all()


@given(tables())
def test_what_is_remarkable_equals_naive_however_cut(case):
    times, values, points = case

    count, kept = counted(RANGED, times, values, points)

    for c in range(3):
        column, clock = kept[:, c].tolist(), times.tolist()
        holds = [(h.rows, h.start_us, h.end_us, h.value) for h in count._holds.holds(c)]
        assert holds == naive.holds(clock, column)[:KEPT_HOLDS]
        spikes = list(zip(count._jumps.height[c], count._jumps.time_us[c], count._jumps.value[c],
                          strict=True))  # fmt: skip
        expected = naive.spikes(clock, column)[:KEPT_JUMPS]
        assert spikes[: len(expected)] == expected
        assert not any(height for height, _, _ in spikes[len(expected) :])
        for side, highest in ((count._highest, True), (count._lowest, False)):
            found = [(e.value, e.rows, e.first_us, e.last_us) for e in side.extremes(c)]
            assert found == naive.extremes(clock, column, highest)[:KEPT_EXTREMES]


@given(tables(), st.integers(1, 9))
def test_slots_equal_naive_however_cut(case, most):
    times, values, points = case
    count = QualityCount(RANGED)
    count._slots._most = most
    for cut in naive.cuts(len(values), points):
        kept = count.add(times[cut], values[cut])
        assert kept.shape == values[cut].shape

    slots = count._slots.slots()

    shift, keys = naive.slots(times.tolist(), most)
    assert slots.width_us == 1 << shift
    assert slots.start_us.tolist() == [key << shift for key in keys]
    slot = (times >> shift).tolist()
    good = np.where(
        np.stack(
            [(values[:, c] < lo) | (values[:, c] > hi) for c, (lo, hi) in enumerate(LIMITS)], 1
        ),
        NAN,
        values,
    )
    for k, key in enumerate(keys):
        inside = [t for t, other in enumerate(slot) if other == key]
        assert slots.rows[k] == len(inside)
        assert slots.missing[k].tolist() == np.isnan(values[inside]).sum(axis=0).tolist()
        bad = np.isnan(good[inside]) & ~np.isnan(values[inside])
        assert slots.bad[k].tolist() == bad.sum(axis=0).tolist()
        first = inside[0]
        np.testing.assert_array_equal(slots.first[k], good[first])
        before = good[first - 1] if first else np.full(3, NAN)
        np.testing.assert_array_equal(slots.step[k], good[first] - before)


def test_input_stays_as_it_was():
    values = np.array([[-1.0, 2.0, 9.0]])
    QualityCount(RANGED).add(np.array([START_US]), values)
    assert values.tolist() == [[-1.0, 2.0, 9.0]]


def test_nothing_came():
    count = QualityCount(RANGED)
    count.add(np.empty(0, np.int64), np.empty((0, 3)))
    assert [finding.remarks for finding in count.findings(("empty",) * 3)] == [
        ("no usable value in this export",)
    ] * 3
    assert count.availability().shares.shape == (0, 3, 4)


def test_quality_of_the_historian_is_counted_apart():
    values = np.array([[1.0, NAN], [2.0, NAN], [NAN, 5.0], [4.0, 6.0]])
    quality = np.array([[0, 3], [1, 4], [3, 2], [0, 0]], np.uint8)
    tags = (Tag("a"), Tag("b"))
    assert Quality(3) is Quality.BAD
    times = START_US + np.arange(4) * MINUTE_US

    count, _ = counted(tags, times, values, (1, 2), quality)

    a, b = count.findings(("continuous",) * 2)
    assert (a.missing, a.bad, a.uncertain) == (0, 1, 1)
    assert (b.missing, b.bad, b.uncertain) == (1, 1, 1)
    assert a.remarks == ("25% of its values are marked as bad",)
    shares = (count.availability().shares * 4).sum(axis=0) / 4
    assert shares.tolist() == [[2, 1, 1, 0], [1, 1, 1, 1]]


def test_period_and_jitter_of_each_tag():
    times = START_US + np.arange(300) * MINUTE_US
    times[1::10] += 3_000_000
    values = np.stack([np.arange(300.0), np.where(np.arange(300) % 5 == 0, 1.0, NAN)], axis=1)

    count, _ = counted(
        (
            Tag("a"),
            Tag("b"),
        ),
        times,
        values,
        (7, 100),
    )

    a, b = count.findings(("continuous",) * 2)
    assert (a.period_s, a.jitter_s) == (60, pytest.approx(3))
    assert (b.period_s, b.jitter_s) == (300, 0)
    assert b.longest_gap == (START_US, START_US + 5 * MINUTE_US)


# --- findings: each is planted in a plant of four tags, and nothing else is found -----------------

T = 6000


def plant(seed=0):
    """Make minutes of a plant whose tags wander together, each with its own noise."""
    random = np.random.default_rng(seed)
    load = 1 + 0.3 * np.sin(2 * np.pi * np.arange(T) / 700) + 0.1 * np.sin(np.arange(T) / 90)
    own = np.sin(2 * np.pi * np.arange(T) / 1100)
    columns = [
        40 * load + random.normal(0, 0.3, T),
        3 + 2 * load + random.normal(0, 0.03, T),
        20 + 8 * own + random.normal(0, 0.1, T),
        60 + 10 * load + 3 * own + random.normal(0, 0.3, T),
    ]
    return np.round(np.stack(columns, axis=1), 3)


TAGS = (Tag("flow", "m3/h"), Tag("pressure", "bar"), Tag("ambient", "degC"), Tag("bearing", "degC"))
KINDS = ("continuous",) * 4


def stuck(values):
    values[2000:2500, 1] = values[2000, 1]


def stale(values):
    values[3000:3400] = values[3000]


def spiky(values):
    values[[1000, 1700, 2400], 2] += [15.0, -12.0, 18.0]


def one_spike(values):
    values[1000, 2] += 15.0


def railed(values):
    values[:, 0] *= 60
    np.minimum(values[:, 0], 4094.0, out=values[:, 0])
    values[500:530, 0] = 4095.0


def sentinel(values):
    values[400:440, 2] = 888.8
    values[[10, 4000], 2] = -999.9


def saturated(values):
    np.minimum(values[:, 0], 52.0, out=values[:, 0])


def fahrenheit(values):
    values[3500:, 2] = np.round(1.8 * values[3500:, 2] + 32, 3)


def kilopascal(values):
    values[2000:4500, 1] *= 100


def bar_again(values):
    values[:3000, 1] = np.round(14.5038 * values[:3000, 1], 3)


def recalibrated(values):
    values[2500:, 3] += 90


def drifting(values):
    values[3600:4500, 1] += np.linspace(0, 1.5, 900)


def copied(values):
    values[:, 3] = values[:, 0]


def rescaled(values):
    values[:, 3] = 3.6 * values[:, 0] + 5


FINDINGS = [
    (stuck, "pressure", "stuck",
     "stood still at {v} bar for 500 rows (2026-01-02 09:20 to 2026-01-02 17:39; else at most 2)"),
    (spiky, "ambient", "spikes",
     "3 spikes (2026-01-01 16:40 to 2026-01-02 16:00): single readings that jump by 11.9 to 18 "
     "degC and come back at once"),
    (one_spike, "ambient", "spikes",
     "1 spike: a single reading of {one_spike} degC at 2026-01-01 16:40, 15.1 off its neighbours"),
    (saturated, "flow", "cut off",
     "stands at its upper end, 52 m3/h, in 685 rows (2026-01-01 01:27 to 2026-01-05 01:37), up to "
     "151 on end: the reading is cut off there"),
    (railed, "flow", "cut off",
     "stands at its upper end, 4095 m3/h, in 30 rows (2026-01-01 08:20 to 2026-01-01 08:49), up to "
     "30 on end: the reading is cut off there (the end of a converter's range)"),
    (fahrenheit, "ambient", "unit",
     "its level went from 20.64 to 71.02 degC (from 2026-01-03 10:21 on), as if its unit had "
     "changed (°C to °F)"),
    (kilopascal, "pressure", "unit",
     "its level went from 5.034 to 507.4 bar (2026-01-02 09:22 to 2026-01-04 02:59), as if its "
     "unit had changed (×100, as bar to kPa)"),
    (bar_again, "pressure", "unit",
     "its level went from 73.39 to 5.035 bar (from 2026-01-03 02:00 on), as if its unit had "
     "changed (÷14.5, as psi to bar)"),
    (recalibrated, "bearing", "step",
     "its level went from 70.02 to 160.1 degC (from 2026-01-02 17:39 on) while no other tag "
     "changed so: recalibrated, replaced or set anew?"),
    (drifting, "pressure", "drift",
     "drifted by +1.39 bar against what the other tags say, from 2026-01-03 11:50 to 2026-01-04 "
     "02:32"),
    (copied, "bearing", "copy", "equals flow in all rows: a copy of it"),
    (rescaled, "bearing", "copy",
     "follows flow exactly (3.6 times it + 5): the same signal once more"),
]  # fmt: skip


def found(values, points=(), kinds=KINDS, tags=TAGS, usual=None, zone=None):
    """Give (tag, kind of fault, sentence) of everything that is found."""
    times = START_US + np.arange(len(values)) * MINUTE_US
    count, _ = counted(tags, times, values, points)
    findings = count.findings(kinds, usual, zone or ZoneInfo("UTC"))
    return [
        (one.tag, kind, remark)
        for one in findings
        for kind, remark in zip(one.faults, one.remarks, strict=True)
    ]


@pytest.mark.parametrize("seed", range(8))
def test_sound_tags_give_no_finding(seed):
    assert found(plant(seed)) == []


@pytest.mark.parametrize(
    ("fault", "tag", "kind", "sentence"), FINDINGS, ids=[fault.__name__ for fault, *_ in FINDINGS]
)
def test_planted_fault_is_found_alone(fault, tag, kind, sentence):
    values = plant()
    fault(values)
    known = {"v": f"{values[2000, 1]:.6g}", "one_spike": f"{values[1000, 2]:.6g}"}
    assert found(values) == [(tag, kind, sentence.format(**known))]


def test_codes_are_told_and_left_alone():
    values = plant()
    sentinel(values)
    low, high = np.sort(values[:, 2])[[2, -41]]
    rest = f"far outside all others ({low:.6g} to {high:.6g})"
    end = (
        "a code for “no value”? It was kept as a number; give the tag its physical range to have "
        "it hidden"
    )
    assert found(values) == [
        ("ambient", "code", "the value -999.9 degC stands in 2 rows (2026-01-01 00:10 to "
         f"2026-01-03 18:40), {rest}: {end}"),
        ("ambient", "code", "the value 888.8 degC stands in 40 rows (2026-01-01 06:40 to "
         f"2026-01-01 07:19), {rest}: {end}"),
    ]  # fmt: skip
    hidden = (*TAGS[:2], replace(TAGS[2], low=-40.0, high=80.0), TAGS[3])
    assert found(values, tags=hidden) == [
        ("ambient", "out of range", "42 values outside its physical range, treated as missing")
    ]


def test_tags_that_stand_still_together_are_not_stuck_sensors():
    values = plant()
    stale(values)
    faults = found(values)
    assert [(tag, kind) for tag, kind, _ in faults] == [(tag.name, "stood still") for tag in TAGS]
    assert faults[0][2] == (
        f"stood still at {values[3000, 0]:.6g} m3/h for 400 rows (2026-01-03 02:00 to 2026-01-03 "
        "08:39) together with 3 other tags: the machine rested, or the historian repeated its last "
        "values"
    )


def rests(values):
    for start in range(300, T, 1400):
        values[start : start + 200, :2] = 0.0


def one_long_rest(values):
    values[2000:3500, :2] = 0.0


def by_exception(values):
    values[:] = values[np.arange(T) // 40 * 40]


def rare_pauses(values):
    for start in (500, 1500, 4000):
        values[start : start + 60, 1] = values[start, 1]


def many_modes(values):
    values[:, 0] += np.repeat([0, 30, 60, 10, 50, 20], 1000)


def wild(values):
    values[:, 2] += np.random.default_rng(1).standard_t(2, T)


def noisy_twin(values):
    values[:, 3] = values[:, 0] + np.random.default_rng(1).normal(0, 0.3, T)


def season(values):
    values += np.linspace(0, 20, T)[:, None]


@pytest.mark.parametrize(
    "harmless",
    [rests, one_long_rest, by_exception, rare_pauses, many_modes, wild, noisy_twin, season],
)
def test_what_is_no_fault_gives_no_finding(harmless):
    values = plant()
    harmless(values)
    assert found(values) == []


@pytest.mark.parametrize("end", [0.0, 100.0])
def test_natural_ends_are_told_only_when_the_range_says_so(end):
    values = plant()
    values[:, 0] = np.clip((values[:, 0] - 25) * 4, 0, 100)
    values[:, 0] = np.maximum(values[:, 0], 3.0) if end else np.minimum(values[:, 0], 97.0)
    assert [kind for _, kind, s in found(values) if f" {end:g} " in s] == []
    ranged = (replace(TAGS[0], low=0.0, high=100.0), *TAGS[1:])
    assert [kind for _, kind, s in found(values, tags=ranged) if f" {end:g} " in s] == ["cut off"]


def test_roles_and_kinds_that_are_not_judged():
    values = plant()
    spiky(values)
    tags = (*TAGS[:2], replace(TAGS[2], role="set-point"), TAGS[3])
    assert found(values, tags=tags) == []
    assert found(values, kinds=("continuous", "continuous", "few-state", "continuous")) == []


def test_times_are_the_plants():
    values = plant()
    one_spike(values)
    (said,) = found(values, zone=ZoneInfo("Europe/Berlin"))
    assert "at 2026-01-01 17:40," in said[2]


@pytest.mark.parametrize(
    ("value", "code"),
    [(-9999.0, True), (999.9, True), (888.8, True), (32767.0, True), (-32768.0, True),
     (float(np.float32(-999.9)), True), (0.0, False), (100.0, False), (99.0, False),
     (1000.0, False), (55.5, False)],
)  # fmt: skip
def test_numbers_that_look_like_codes(value, code):
    assert looks_like_code(value) is code


@pytest.mark.parametrize(
    ("column", "kind", "usual", "remarks"),
    [
        ([1.0, 2, 3], "continuous", 1, ()),
        ([NAN, NAN], "empty", 1, ("no usable value in this export",)),
        ([1.0, NAN, 2, 3], "continuous", 1, ("25% of its values are missing",)),
        ([1.0, 9, 2], "continuous", 1,
         ("1 value outside its physical range, treated as missing",)),
        ([9.0, 9], "continuous", 1,
         ("no usable value in this export",
          "2 values outside its physical range, treated as missing")),
        ([1.0] * 40, "continuous", 3,
         ("stood still at 1 for 40 rows (2026-01-01 00:00 to 2026-01-01 00:39; at most 3 in "
          "training)",)),
        ([1.0] * 40, "continuous", 14, ()),
        ([1.0] * 10, "continuous", 1, ()),
        ([1.0] * 40, "few-state", 3, ()),
        ([0.0] * 40, "continuous", 3, ()),
        ([1.0] * 40, "constant", None, ("holds one value, 1, throughout",)),
        ([1.0, 2, 2, 4], "counter", None, ("counts up, from 1 to 4",)),
    ],
)  # fmt: skip
def test_remarks(column, kind, usual, remarks):
    count = QualityCount((Tag("a", low=LOW, high=HIGH),))
    times = START_US + np.arange(len(column)) * MINUTE_US
    count.add(times, np.array(column)[:, None])

    holds = None if usual is None else np.array([usual])

    assert count.findings((kind,), holds)[0].remarks == remarks


@pytest.mark.parametrize("fault", [stuck, stale, spiky, sentinel, saturated, fahrenheit, drifting])
@pytest.mark.parametrize("points", [range(0, T, 1000), (1, 2, 1999, 2001, 2400, 2499, 5999)])
def test_findings_know_no_chunks(fault, points):
    values = plant()
    fault(values)
    assert found(values, points) == found(values)
    assert found(values)


def test_findings_and_counts_know_no_chunks():
    values = plant()
    for fault in (stuck, spiky, sentinel):
        fault(values)
    values[700:720, 0] = NAN
    times = START_US + np.arange(T) * MINUTE_US
    whole, _ = counted(TAGS, times, values)
    cut, _ = counted(TAGS, times, values, (3, 700, 710, 2222, 4000))
    for one, other in zip(whole.findings(KINDS), cut.findings(KINDS), strict=True):
        assert replace(one, mean=0.0) == replace(other, mean=0.0)
    for name in ("start_us", "rows", "shares"):
        np.testing.assert_array_equal(
            getattr(whole.availability(), name), getattr(cut.availability(), name)
        )

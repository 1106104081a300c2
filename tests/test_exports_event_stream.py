"""Archived values to readings: against a slow, obvious twin, with accounts that balance."""

import math
from pathlib import Path
from tempfile import TemporaryDirectory

import naive
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from sensor_ad.errors import DataError
from sensor_ad.exports import day_spool, event_stream
from sensor_ad.exports.blocks import Events
from sensor_ad.exports.event_rules import EventSettings, TagRule
from sensor_ad.exports.event_stream import EventImport
from sensor_ad.exports.tally import Tally
from sensor_ad.records import Quality

NAN = float("nan")
SECOND = 1_000_000
START_US = 1_767_225_600_000_000  # 2026-01-01 00:00:00 UTC
GOOD, UNCERTAIN, SUBSTITUTED, BAD, NO_DATA = map(int, Quality)
MARK = 666.0
"""Value of every bad event: it must never be seen."""


def block(events):
    """Return events (second, tag, value, quality) as a block."""
    second, tag, value, quality = zip(*events, strict=True) if events else ((), (), (), ())
    return Events(
        "long.csv",
        START_US + np.rint(np.array(second, float) * SECOND).astype(np.int64),
        np.array(tag, np.int32),
        np.array(value, float),
        np.array(quality, np.uint8),
        np.arange(1, len(events) + 1),
        0,
    )


def read(blocks, rules, settings=None, buffer_bytes=1 << 20, table_bytes=1 << 20):
    """Return seconds (T,), values (T, C), quality (T, C), what was found and the account."""
    tally = Tally()
    with (
        TemporaryDirectory() as folder,
        EventImport(
            Path(folder), settings or EventSettings(), tally, buffer_bytes, table_bytes
        ) as events,
    ):
        for part in blocks:
            tally.rows_in += len(part)
            events.add(block(part))
        stream = events.finish(rules)
        chunks = list(stream.readings())
    C = len(rules)
    time_us = np.concatenate([np.empty(0, np.int64), *[chunk.time_us for chunk in chunks]])
    values = np.concatenate([np.empty((0, C)), *[chunk.values for chunk in chunks]])
    quality = np.concatenate([np.empty((0, C), np.uint8), *[chunk.quality for chunk in chunks]])
    assert all(chunk.tags == tuple(rule.name for rule in rules) for chunk in chunks)
    account = tally.account(stream.tags)
    assert account.rows_in == account.kept + sum(account.dropped.values())
    return (time_us - START_US) / SECOND, values, quality, stream.found, account


def same(first, second):
    for one, other in zip(first[:3], second[:3], strict=True):
        np.testing.assert_array_equal(one, other)


TAGS = 3
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 200).map(lambda quarter: quarter / 4),
        st.integers(0, TAGS - 1),
        st.sampled_from([0.1, 1.0, -2.5, 0.7]),
        st.sampled_from([GOOD, GOOD, GOOD, UNCERTAIN, SUBSTITUTED, BAD, NO_DATA]),
    ).map(lambda event: (*event[:2], MARK if event[3] >= BAD else event[2], event[3])),
    max_size=60,
)
RULES = st.lists(
    st.tuples(st.sampled_from([True, False, None]), st.sampled_from([None, 2.0, 10.0])),
    min_size=TAGS,
    max_size=TAGS,
).map(lambda rules: [TagRule(f"t{k}", *rule) for k, rule in enumerate(rules)])
SETTINGS = st.builds(
    EventSettings,
    period_s=st.sampled_from([1.0, 2.5, 4.0]),
    duplicates=st.sampled_from(["last", "mean", "refuse"]),
    hold_s=st.sampled_from([None, 6.0]),
    uncertain_is_bad=st.booleans(),
    hold_after_last=st.booleans(),
    way=st.sampled_from(["pivot", "resample"]),
)


@settings(max_examples=120, deadline=None)
@given(events=EVENTS, rules=RULES, wanted=SETTINGS)
@example([], [TagRule(f"t{k}") for k in range(TAGS)], EventSettings())
def test_readings_equal_their_slow_twin(events, rules, wanted):
    try:
        merged, dropped = naive.merged_events(events, wanted.duplicates)
    except ValueError:
        with pytest.raises(DataError, match="two rows at 2026-01-01"):
            read([events], rules, wanted)
        return
    second, values, quality, found, account = read([events], rules, wanted)
    assert account.dropped == dropped
    assert account.kept == len(merged)
    assert account.sorted == naive.late_events(events)
    expected = naive.event_rows(merged, TAGS, found, wanted)
    assert second.tolist() == [row[0] for row in expected]
    for t, (_, cells) in enumerate(expected):
        for c, (value, kind) in enumerate(cells):
            assert quality[t, c] == kind
            assert (math.isnan(value) and math.isnan(values[t, c])) or math.isclose(
                values[t, c], value
            )
    assert not (values == MARK).any()
    assert (np.isnan(values) == (quality >= BAD)).all()


@settings(max_examples=100, deadline=None)
@given(
    events=EVENTS,
    rules=RULES,
    wanted=SETTINGS,
    random=st.randoms(use_true_random=False),
    cut=st.integers(1, 20),
    buffer_rows=st.integers(1, 60),
    table_rows=st.integers(1, 30),
    cells=st.integers(1, 40),
)
def test_order_blocks_and_memory_change_nothing(
    events, rules, wanted, random, cut, buffer_rows, table_rows, cells
):
    assume(wanted.duplicates == "last" or naive.merges(events, wanted.duplicates))
    # Only which event came last depends on the order.
    shuffled = list(dict.fromkeys(events)) if wanted.duplicates == "last" else list(events)
    if len({event[:2] for event in shuffled}) < len(shuffled):
        assume(wanted.duplicates != "last")
    whole = read([shuffled], rules, wanted)
    random.shuffle(shuffled)
    blocks = [shuffled[k : k + cut] for k in range(0, len(shuffled), cut)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(day_spool, "PIECE_BYTES", 21 * 3)
        patch.setattr(event_stream, "MOST_CELLS_PER_CHUNK", cells)
        parts = read(blocks, rules, wanted, buffer_rows * 21, table_rows * 21)
    same(whole, parts)
    assert whole[3] == parts[3]
    assert whole[4].dropped == parts[4].dropped


def test_a_state_that_goes_bad_stays_bad_over_days():
    # The value before the fault must not come back, however the days are cut.
    day = 86_400
    events = [(0, 0, 5.0, GOOD), (10, 0, MARK, BAD), (3 * day, 0, 6.0, GOOD)]
    events += [(minute * 60, 1, float(minute % 9), GOOD) for minute in range(3 * 1440 + 1)]
    rules = [TagRule("valve", stepped=True), TagRule("flow")]
    second, values, quality, found, _ = read([events], rules, table_bytes=21 * 500)
    assert found.way == "resample"
    assert found.period_us == 60 * SECOND
    assert second.tolist() == [60.0 * k for k in range(3 * 1440 + 1)]
    assert quality[:, 0].tolist() == [GOOD] + [BAD] * (3 * 1440 - 1) + [GOOD]
    assert (values[[0, -1], 0] == [5.0, 6.0]).all()


def test_shared_times_are_pivoted():
    events = [(k * 1.5, c, float(k + c), GOOD) for k in range(20) for c in range(3)]
    events.remove((3.0, 1, 3.0, GOOD))
    second, values, quality, found, account = read([events], [TagRule(name) for name in "abc"])
    assert (found.way, found.period_us) == ("pivot", None)
    assert second.tolist() == [k * 1.5 for k in range(20)]
    assert quality[2].tolist() == [GOOD, NO_DATA, GOOD]
    assert values[1].tolist() == [1.0, 2.0, 3.0]
    assert account.notes == (
        "the tags share their times: each time is a row, and a tag without a value there has no "
        "data",
    )


def test_scans_at_shared_times_that_store_changes_only_are_resampled():
    # All times are those of the scan, but most tags stored few of them.
    events = [(k, 0, float(k % 50), GOOD) for k in range(100)]
    events += [(k, c, float(k % 33), GOOD) for c in (1, 2, 3) for k in range(0, 100, 5 * c)]
    found = read([events], [TagRule(name) for name in "abcd"])[3]
    assert found.way == "resample"


def test_what_was_found_is_noted_in_whole_sentences():
    generator = np.random.default_rng(0)
    events = [(k * 10 + generator.uniform(0, 2), 0, float(k), GOOD) for k in range(300)]
    events += [(k * 10 + 5, 1, float(k % 97), GOOD) for k in range(300)]
    events += [(k * 500 + 3, 2, float(k % 2), GOOD) for k in range(6)]
    events += [(1_000.5, 3, 3.0, GOOD)]
    rules = [TagRule("a"), TagRule("b", hold_s=33.0), TagRule("mode", stepped=True), TagRule("c")]
    found, account = read([events], rules)[3:]
    assert [tag.stepped for tag in found.tags] == [False, False, True, False]
    assert [tag.hold_why for tag in found.tags] == ["learnt", "said", "too few gaps", "learnt"]
    assert found.tags[0].hold_us == 50 * SECOND
    assert found.tags[1].typical_s == 10.0
    assert account.notes == (
        "the tags have times of their own: brought to one row each 10 s (the median step of the "
        "tags; set prepare.period_s to have another one); no rows where no tag has an event for "
        "more than 50 s",
        "tags 'a', 'c': lines between the points (no states were found) over at most 50 s (three "
        "times the 99 % quantile of its gaps, at least five periods)",
        "tag 'b': lines between the points (no states were found) over at most 33 s (as said)",
        "tag 'mode': stepped, the last state is held (as said) until the next event (too few gaps "
        "to learn a limit from)",
    )


def test_a_hold_is_learnt_from_the_gaps_and_one_stop_says_nothing():
    generator = np.random.default_rng(0)
    steps = np.append(generator.exponential(10.0, 2_000), 1e6)
    times = np.cumsum(np.append(steps, generator.exponential(10.0, 50)))
    events = [(second, 0, float(k), GOOD) for k, second in enumerate(times)]
    second, _, _, found, _ = read([events], [TagRule("a")], EventSettings(way="resample"))
    (tag,) = found.tags
    exact = 3 * np.quantile(np.diff(times), 0.99, method="lower") * SECOND
    assert 0.9 * exact < tag.hold_us <= exact
    assert found.quiet_us == tag.hold_us
    assert tag.hold_us < 1e6 * SECOND
    # The stop itself has no rows but those just after its last event.
    assert len(second) < (times[2_000] - times[0] + times[-1] - times[2_001]) / 5 + 100


def test_few_states_are_stepped():
    events = [(k * 7.0, 0, float(k % 3), GOOD) for k in range(60)]
    events += [(k * 7.0 + 3, 1, float(k), GOOD) for k in range(60)]
    found = read([events], [TagRule("mode"), TagRule("flow")])[3]
    assert [(tag.stepped, tag.why) for tag in found.tags] == [
        (True, "few states"),
        (False, "no states"),
    ]


def test_the_period_is_not_finer_than_the_fastest_tag():
    events = [(k * 7.3, 0, float(k), GOOD) for k in range(60)]
    found = read([events], [TagRule("a")], EventSettings(way="resample"))[3]
    assert found.period_us == 10 * SECOND
    finer = read([events], [TagRule("a")], EventSettings(way="resample", period_s=2))
    assert finer[3].period_us == 2 * SECOND
    assert finer[4].notes[1] == (
        "the period of 2 s is finer than the step of the fastest tag (7.3 s)"
    )


def test_a_wrong_year_makes_no_rows_between():
    events = [(k, 0, float(k), GOOD) for k in range(100)]
    events += [(73 * 365 * 86_400, 0, 1.0, GOOD)]
    second = read([events], [TagRule("a")], EventSettings(way="resample"))[0]
    assert second.tolist() == [*map(float, range(105)), 73 * 365 * 86_400.0]


@pytest.mark.parametrize(
    ("second", "differs"),
    [((1.0, 7.0, GOOD), "1 and 7"), ((MARK, MARK, BAD), "1 and bad")],
)
def test_conflicts_are_refused_with_both_values(second, differs):
    events = [(5, 0, 1.0, GOOD), (5, 0, 1.0, GOOD), (5, 0, *second[1:])]
    with pytest.raises(DataError) as fault:
        read([events], [TagRule("flow")])
    assert str(fault.value) == (
        f"two rows at 2026-01-01 00:00:05 UTC differ: tag 'flow' is {differs}, expected one row "
        "for each tag and time: export again, or say by data.duplicates whether the last or the "
        "mean counts."
    )


def test_a_number_that_is_none_is_bad():
    events = [(0, 0, NAN, GOOD), (1, 0, math.inf, UNCERTAIN), (2, 0, 1.0, GOOD)]
    _, values, quality, *_ = read([events], [TagRule("a")], EventSettings(way="pivot"))
    assert quality[:, 0].tolist() == [BAD, BAD, GOOD]
    assert np.isnan(values[:2]).all()


def test_more_tags_than_rules_is_a_defect(tmp_path):
    with EventImport(tmp_path, EventSettings(), Tally()) as events:
        events.add(block([(0, 4, 1.0, GOOD)]))
        with pytest.raises(ValueError, match="5 tags have events, 1 have rules"):
            events.finish([TagRule("a")])


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_on_disk(tmp_path, fault):
    with pytest.raises(fault), EventImport(tmp_path, EventSettings(), Tally()) as events:
        events.add(block([(k, 0, 1.0, GOOD) for k in range(9)]))
        next(events.finish([TagRule("a")]).readings())
        assert list(tmp_path.rglob("merged.parquet"))
        raise fault
    assert not list(tmp_path.iterdir())

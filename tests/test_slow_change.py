"""What is called drift, beyond training, unclear, normal change and as in training, and since when.

Hours of made-up slots: three tags with a level of 10 ± 1 in the history and a band of ± 0.5.
"""

import numpy as np
import pytest

from sensor_ad.records import Tag
from sensor_ad.slow_change import judge_slow_change
from sensor_ad.slow_normal import SPAN_SLOTS, SlowNormal
from sensor_ad.slow_slots import SlowSlots

HOUR_US = 3_600_000_000
TAGS = (Tag("a", "bar"), Tag("b", "bar"), Tag("c", "bar"))
KINDS = ("continuous",) * 3
DAYS = 20


def normal(**changes):
    """Say what is normal of three tags on a grid of minutes."""
    three = np.ones(3)
    values = {"usual": 0 * three, "band": 0.5 * three, "span_low": 9 * three}
    values |= {"span_high": 11 * three, "slot_low": 0 * three, "slot_high": 20 * three}
    values |= {"answers": np.eye(3)}
    return SlowNormal(slot_rows=60, spans=7, **{**values, **changes})


def slots(reading, strayed, width=1):
    """Make slots of `width` hours."""
    start_us = np.arange(len(reading)) * width * HOUR_US
    return SlowSlots(start_us, width * HOUR_US, width * 60, reading, reading - strayed)


def level(days=DAYS):
    """(B, 3) readings with a daily cycle about 10, and (B, 3) what they stray by: nothing."""
    cycle = np.sin(2 * np.pi * np.arange(days * 24) / 24)
    return np.tile(10 + 3 * cycle[:, None], 3), np.zeros((days * 24, 3))


def judged(reading, strayed, tags=TAGS, kinds=KINDS, **changes):
    """Judge; gives the tags by name."""
    change = judge_slow_change(slots(reading, strayed), normal(**changes), tags, kinds)
    return {one.tag: one for one in change.tags}


def test_as_in_training():
    found = judged(*level())
    assert {one.status for one in found.values()} == {"as in training"}
    assert found["a"].span is None
    assert not found["a"].brief
    assert found["a"].level == pytest.approx(10, abs=0.5)


@pytest.mark.parametrize("side", [1, -1])
def test_drift_that_grows(side):
    reading, strayed = level()
    strayed[:, 1] = side * np.clip(np.arange(len(strayed)) / 24 - 10, 0, None) * 0.2
    found = judged(reading, strayed)
    (drift,) = found["b"].drifts

    assert [one.status for one in found.values()] == ["drift", "as in training", "as in training"]
    assert drift.open
    assert drift.course == "growing"
    assert drift.per_day == pytest.approx(side * 0.2, rel=0.02)
    assert drift.last == pytest.approx(side * 2.0, abs=0.15)
    # It leaves ± 0.5 after 12.5 days.
    assert drift.start_us / HOUR_US / 24 == pytest.approx(12.5, abs=0.1)


def test_drift_that_was_mended():
    reading, strayed = level()
    strayed[100:180, 0] = 2.0
    (drift,) = judged(reading, strayed)["a"].drifts
    assert (drift.open, drift.course) == (False, "steady")
    assert drift.start_us / HOUR_US == pytest.approx(100, abs=1)
    assert drift.end_us / HOUR_US == pytest.approx(180, abs=1)
    assert drift.farthest == 2.0


def test_step_that_stays_is_a_drift_and_one_that_comes_back_goes_back():
    reading, strayed = level()
    strayed[240:, 0] = -3.0
    strayed[240:, 1] = np.linspace(4.0, 1.0, 240)
    found = judged(reading, strayed)
    assert (found["a"].drift.course, found["b"].drift.course) == ("steady", "going back")


@pytest.mark.parametrize("hours", [1, 11, 20, 30])
def test_fault_of_hours_is_no_drift(hours):
    reading, strayed = level()
    strayed[200 : 200 + hours, 0] = 1e4
    reading[200 : 200 + hours, 1] = 1e4
    found = judged(reading, strayed)
    assert found["a"].status == "as in training"
    assert found["a"].brief == (hours > 12)
    assert found["b"].status != "drift"
    # Besides its own hours, those before and after it count with the top of the daily cycle.
    assert found["b"].status == ("normal change" if hours == 30 else "as in training")


def test_new_level_that_is_explained_only_now_and_then_is_unclear():
    reading, strayed = level()
    reading[200:300] += 3.0
    strayed[200:220, 0] = strayed[240:262, 0] = 2.0
    strayed[280:300, 0] = 2.0
    found = judged(reading, strayed)
    assert (found["a"].status, found["a"].others) == ("unclear", ())
    assert found["b"].status == "normal change"


def test_both_sides_do_not_add_up_to_a_drift():
    reading, strayed = level()
    strayed[:, 0] = np.where(np.arange(len(strayed)) // 30 % 2, 2.0, -2.0)
    assert judged(reading, strayed)["a"].status == "as in training"


def test_drift_with_a_short_pause_is_one():
    reading, strayed = level()
    strayed[100:200, 0] = strayed[210:300, 0] = 2.0
    strayed[200:210, 0] = 0.45
    assert len(judged(reading, strayed)["a"].drifts) == 1


def test_season_that_the_other_tags_explain_is_normal_change():
    reading, strayed = level()
    reading += np.linspace(0, 4, len(reading))[:, None]
    found = judged(reading, strayed)
    assert {one.status for one in found.values()} == {"normal change"}
    assert found["a"].open
    assert not found["a"].drifts


@pytest.mark.parametrize(("strays", "status"), [(1.2, "normal change"), (2.5, "drift")])
def test_band_is_three_times_as_wide_beside_a_level_that_is_new(strays, status):
    """At the edge of what the network knows, what it expects is less certain."""
    reading, strayed = level()
    reading += np.linspace(0, 4, len(reading))[:, None]
    strayed[300:, 0] = strays
    assert judged(reading, strayed)["a"].status == status


def test_drift_begins_where_the_narrow_band_was_left():
    reading, strayed = level()
    reading[300:, 1] += 3.0
    strayed[:, 0] = np.clip(np.arange(len(strayed)) / 24 - 10, 0, None) * 0.5
    assert judged(reading, strayed)["a"].drift.start_us / HOUR_US / 24 == pytest.approx(11, abs=0.1)


def test_change_that_is_only_just_explained_beside_a_drift_is_unclear():
    reading, strayed = level()
    reading[200:, :2] += 3.0
    strayed[200:, 0], strayed[200:, 1] = 5.0, 1.2
    found = judged(reading, strayed)
    assert found["a"].status == "drift"
    assert (found["b"].status, found["b"].others) == ("unclear", ("a",))
    strayed[200:, 1] = 0.4
    assert judged(reading, strayed)["b"].status == "normal change"


def test_level_beyond_every_hour_of_the_history():
    reading, strayed = level()
    reading[200:, 0] += 15
    found = judged(reading, strayed)
    assert found["a"].status == "beyond training"
    assert found["a"].span[0] / HOUR_US == pytest.approx(200, abs=13)
    assert (found["a"].open, found["a"].others) == (True, ())
    assert found["b"].status == "as in training"


def test_what_strays_in_conditions_never_seen_is_unclear():
    """What is expected cannot be relied on while another tag is beyond training."""
    reading, strayed = level()
    reading[200:, 0] += 15
    strayed[200:, 0] = strayed[200:, 1] = 3.0
    found = judged(reading, strayed)
    # The tag itself: all others are where they were, so the network knows these conditions.
    assert found["a"].status == "drift"
    assert (found["b"].status, found["b"].others) == ("unclear", ("a",))
    assert found["c"].status == "as in training"

    reading[200:, 2] += 15
    found = judged(reading, strayed)
    assert {name: one.status for name, one in found.items()} == {
        "a": "beyond training",
        "b": "unclear",
        "c": "beyond training",
    }
    assert found["b"].others == ("a", "c")


def test_drift_goes_on_when_others_leave_training_later():
    reading, strayed = level()
    strayed[100:, 0] = 3.0
    reading[200:, 1] += 15
    assert judged(reading, strayed)["a"].drift.open


def test_set_points_and_states_do_not_drift():
    reading, strayed = level()
    strayed += 3.0
    reading += 4.0
    tags = (Tag("a", role="set-point"), TAGS[1], TAGS[2])
    found = judged(reading, strayed, tags, ("continuous", "few-state", "counter"))
    statuses = {name: one.status for name, one in found.items()}
    assert statuses == {"a": "normal change", "b": "normal change", "c": "drift"}
    assert found["c"].unit == "bar per row"
    assert np.isnan(found["a"].strayed)


def test_usual_difference_is_no_drift():
    reading, strayed = level()
    strayed[:, 0] = 3.0
    found = judged(reading, strayed, usual=np.array([3.0, 0.0, 0.0]))
    assert found["a"].status == "as in training"
    assert found["a"].strayed == 0.0


def test_tag_without_a_band_is_never_a_drift():
    reading, strayed = level()
    strayed[:, 0] = 1e6
    found = judged(reading, strayed, band=np.array([np.inf, 0.5, 0.5]))
    assert found["a"].status == "as in training"


def test_worst_come_first():
    reading, strayed = level()
    strayed[:, 1], strayed[:, 2] = 2.0, -4.0
    assert list(judged(reading, strayed)) == ["c", "b", "a"]


def test_way_to_the_edge_is_foretold():
    reading, strayed = level()
    strayed[:, 0] = np.linspace(0.0, 0.4, len(strayed))  # 0.02 a day: the edge after 25 days
    found = judged(reading, strayed)
    assert found["a"].status == "as in training"
    assert found["a"].reaches_us / HOUR_US / 24 == pytest.approx(25, abs=0.5)
    assert found["a"].per_day == pytest.approx(0.02, rel=0.01)
    assert found["b"].reaches_us is None


def test_no_edge_is_foretold_beyond_the_length_of_the_export():
    reading, strayed = level()
    strayed[:, 0] = np.linspace(0.0, 0.2, len(strayed))
    assert judged(reading, strayed)["a"].reaches_us is None


def test_what_was_over_before_the_export_is_not_told_again():
    reading, strayed = level()
    strayed[100:200, 0] = strayed[100:, 1] = 2.0
    part = slots(reading, strayed)
    whole = judge_slow_change(part, normal(), TAGS, KINDS)
    assert {one.tag for one in whole.having("drift")} == {"a", "b"}
    later = judge_slow_change(part, normal(), TAGS, KINDS, since_us=300 * HOUR_US)
    (drift,) = later.having("drift")
    assert drift.tag == "b"
    assert drift.drift.start_us == whole.having("drift")[0].drift.start_us
    # Of the others, only the export itself is described.
    (over,) = [one for one in later.tags if one.tag == "a"]
    assert (over.status, over.brief, over.strayed) == ("as in training", False, 0.0)


def test_export_of_a_day_goes_on_from_those_before():
    reading, strayed = level()
    strayed[300:, 0] = 2.0
    part = slots(reading, strayed)
    since_us = int(part.start_us[-24])
    found = judge_slow_change(part, normal(), TAGS, KINDS, since_us).tags[0]
    assert found.drift.open
    assert (found.low, found.high) == pytest.approx((10.0, 10.0), abs=0.5)


def test_missing_slots_are_passed_over():
    reading, strayed = level()
    strayed[150:, 0] = 2.0
    reading[::3, 0] = np.nan
    reading[200:260] = np.nan
    assert judged(reading, strayed)["a"].drift.open
    reading[:, 0] = np.nan
    found = judged(reading, strayed)["a"]
    assert found.status == "not judged"
    assert np.isnan([found.level, found.strayed]).all()


def test_export_that_is_too_short():
    least = SPAN_SLOTS + 36 - 1
    for hours, told in ((least, True), (least - 1, False), (0, False)):
        reading, strayed = level()
        part = slots(reading[:hours], strayed[:hours] + 3.0)
        change = judge_slow_change(part, normal(), TAGS, KINDS)
        assert change.told == told
        assert len(change.having("drift")) == 3 * told
    assert change.least_us == least * HOUR_US


def test_slots_that_had_to_be_joined_judge_alike():
    """A very long run has wider slots: eight hours here, three to a day."""
    reading, strayed = level(60)
    strayed[700:, 0] = 2.0
    by_eight = [values.reshape(-1, 8, 3).mean(axis=1) for values in (reading, strayed)]
    change = judge_slow_change(slots(*by_eight, width=8), normal(), TAGS, KINDS)
    (drift,) = change.tags[0].drifts
    assert drift.start_us / HOUR_US == pytest.approx(700, abs=16)
    assert change.span_us == 24 * HOUR_US
    assert [one.status for one in change.tags[1:]] == ["as in training"] * 2


def test_model_that_does_not_know():
    change = judge_slow_change(slots(*level()), None, TAGS, KINDS)
    assert not change.told
    assert change.tags == ()

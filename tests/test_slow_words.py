"""The sentences on slow change: every status in plain words with units, times and what to do."""

import doctest
from dataclasses import replace
from zoneinfo import ZoneInfo

import numpy as np
from fake_run import HOSTILE_TAGS, TAGS, make_events, make_slow

from sensor_ad import slow_words
from sensor_ad.slow_change import judge_slow_change
from sensor_ad.slow_tag import Drift, TagChange
from sensor_ad.slow_words import drift_records, notice, part_of, section, tag_words

ZONE = ZoneInfo("Europe/Berlin")


def sections(change, events=()):
    """Say what the report says."""
    return section(change, events, {event.id: event.id for event in events}, ZONE)


def test_each_tag_has_its_line_with_units():
    made = sections(make_slow(TAGS))
    assert [(line.tag, line.status) for line in made.lines] == [
        ("vibration_de", "drift"),
        ("bearing_temp", "beyond training"),
        ("flow", "normal change"),
        ("discharge_pressure", "as in training"),
        ("motor_current", "as in training"),
        ("tank_level", "as in training"),
        ("valve_open", "as in training"),
    ]
    drift, beyond, season, calm = made.lines[:4]
    assert drift.words == (
        "Left its band (±0.6 mm/s) about 2026-04-01 02:00 and is there still: +5.69 mm/s now, "
        "growing, +0.6 mm/s a day. If the sensor alone is at fault, it is off by +5.69 mm/s; else "
        "look for wear"
    )
    assert (drift.level, drift.history) == ("23.15 to 29.68 mm/s", "22.8 to 25.2 mm/s")
    assert drift.strayed == "+5.69 mm/s (±0.6)"
    assert beyond.words == (
        "2026-03-24 01:00 to 2026-03-27 00:00 outside 46 to 76 °C, all that the model learnt from. "
        "If the machine is well, train again with readings of these conditions: "
        "sensor-ad train CONFIG"
    )
    assert season.words == (
        "Since about 2026-04-02 02:00 outside 88 to 96 m³/h, and the other tags explain it"
    )
    assert calm.words == ""
    assert made.lines[-1].strayed == "–"


def test_rule_is_stated_with_its_lengths_of_time():
    made = sections(make_slow(TAGS))
    assert made.rule == (
        "A tag's slow level is the median over 1 d of readings of its means over 1 h: faults of "
        "less than half that do not move it. What is said below lasted 1 d 12 h without a break.",
    )
    assert [word for word, _ in made.meanings] == [
        "as in training",
        "normal change",
        "drift",
        "beyond training",
        "unclear",
    ]
    assert "learnt from 7 × 1 d of readings" in made.meanings[1][1]


def test_rule_says_how_far_it_looks_back():
    change = make_slow(TAGS)
    change = replace(change, since_us=int(change.slots.start_us[300]))
    assert (
        sections(change)
        .rule[0]
        .endswith(
            " It looks back to 2026-03-21 00:00, as the exports before this one were scored, too."
        )
    )


def test_notice_is_one_line():
    assert notice(make_slow(TAGS), ZONE) == (
        "1 tag drifts: vibration_de (+5.69 mm/s since 2026-04-01 02:00). "
        "1 tag beyond training: bearing_temp"
    )
    assert notice(None, ZONE) == ""
    assert notice(judge_slow_change(make_slow(TAGS).slots, None, TAGS, ()), ZONE) == ""


def test_notice_names_a_few_of_many():
    change = make_slow(TAGS)
    change = replace(change, tags=change.having("drift") * 9)
    told = notice(change, ZONE)
    assert told.startswith("9 tags drift: vibration_de (")
    assert told.endswith(" and 3 more")
    assert told.count("vibration_de") == slow_words.NAMED


def test_export_too_short_and_model_that_does_not_know():
    short = sections(make_slow(TAGS, days=2))
    assert short.rule[0] == (
        "There are too few readings to tell slow change: it takes 2 d 11 h of them, in this export "
        "and those scored before it in turn."
    )
    assert (short.lines, short.meanings) == ((), ())
    unknown = sections(judge_slow_change(make_slow(TAGS).slots, None, TAGS, ()))
    assert unknown.rule == (slow_words.UNKNOWN,)
    assert unknown.lines == ()


def one_tag(**changes):
    """Make a tag of the made-up run with a status of its own."""
    values = {"tag": "flow", "unit": "m³/h", "status": "as in training", "level": 92.0}
    values |= {"low": 90.0, "high": 95.0, "strayed": 1.0, "span": None, "open": False}
    return TagChange(**{**values, **changes})


def test_other_words():
    change = make_slow(TAGS)
    span = change.tags[1].span
    for one, words in (
        (one_tag(status="not judged"), "too few readings"),
        (one_tag(brief=True), "strayed for less than 1 d 12 h: left to the events"),
        (
            one_tag(status="unclear", span=span, others=("tank_level",)),
            "2026-03-24 01:00 to 2026-03-27 00:00 off what is expected, while tank_level is in new "
            "conditions",
        ),
        (
            one_tag(status="unclear", span=span, open=True),
            "since about 2026-03-24 01:00 outside 88 to 96 m³/h, only in part explained by others",
        ),
        (
            one_tag(reaches_us=span[0], per_day=0.02),
            "moves by +0.6 m³/h in 30 days against the others; leaves its band about 2026-03-24 if "
            "that goes on",
        ),
    ):
        assert tag_words(one, change, ZONE) == words


def test_drift_that_is_over_and_one_of_many_days():
    change, span = make_slow(TAGS), make_slow(TAGS).tags[1].span
    over = Drift(*span, False, -3.0, -2.0, -0.5, "steady", -4.0)
    long = Drift(span[0], span[0] + 40 * 86_400_000_000, True, 9.0, 8.0, 0.2, "growing", np.nan)
    assert tag_words(one_tag(status="drift", drifts=(over,)), change, ZONE) == (
        "outside its band (±2 m³/h) from about 2026-03-24 01:00 to 2026-03-27 00:00: -3 m³/h at "
        "most, steady; then it was back. If the sensor alone is at fault, it is off by -4 m³/h; "
        "else look for wear"
    )
    assert tag_words(one_tag(status="drift", drifts=(over, long)), change, ZONE) == (
        "left its band (±2 m³/h) about 2026-03-24 01:00 and is there still: +8 m³/h now, growing, "
        "+6 m³/h in 30 days; 1 more time in this export. Check the sensor, then the machine for "
        "wear"
    )


def test_conditions_that_come_with_a_drift_are_not_to_be_trained_on():
    change = make_slow(TAGS)
    drift, beyond = change.tags[:2]
    at_once = replace(drift, drifts=(replace(drift.drift, start_us=beyond.span[0]),))
    change = replace(change, tags=(at_once, *change.tags[1:]))
    assert tag_words(beyond, change, ZONE).endswith(
        "At the same time vibration_de drifted: look at the machine first"
    )
    unclear = replace(beyond, status="unclear", others=("vibration_de",))
    assert tag_words(unclear, change, ZONE) == (
        "2026-03-24 01:00 to 2026-03-27 00:00 off what is expected, while vibration_de drifted"
    )
    assert sections(change).together == 0
    both = replace(change, tags=(at_once, replace(at_once, tag="flow"), *change.tags[1:]))
    assert sections(both).together == 2


def test_events_led_by_a_drifting_tag_belong_to_it():
    change, events = make_slow(TAGS), make_events(TAGS)
    drift = change.tags[0]
    # Tag 0 leads one event, before its drift.
    assert part_of(events, drift) == []
    early = replace(drift, drifts=(replace(drift.drift, start_us=change.slots.start_us[0]),))
    own = part_of(events, early)
    assert own == [event for event in events if event.tags[0].tag == drift.tag]
    change = replace(change, tags=(early, *change.tags[1:]))
    assert sections(change, events).lines[0].words.endswith("1 event is part of it (E3)")


def test_records_for_run_json():
    (record,) = drift_records(make_slow(TAGS))
    assert {key: record[key] for key in ("tag", "unit", "from", "open", "course")} == {
        "tag": "vibration_de",
        "unit": "mm/s",
        "from": "2026-04-01T00:00:00+00:00",
        "open": True,
        "course": "growing",
    }
    assert record["per_day"] > 0
    assert record["band"] == 0.6
    assert record["farthest"] >= record["last"] > 5
    assert drift_records(None) == []
    assert drift_records(judge_slow_change(make_slow(TAGS).slots, None, TAGS, ())) == []


def test_names_that_try_to_break_out_stay_short():
    change = make_slow(HOSTILE_TAGS + TAGS)
    assert len(notice(change, ZONE)) < 300
    assert not set(notice(change, ZONE)) & set("\u202e\x07")


def test_examples_in_docstrings():
    result = doctest.testmod(slow_words)
    assert result.attempted
    assert not result.failed
    assert slow_words.amount(float("nan"), "bar") == "–"

"""A made-up run of a pump for tests of the report: several kinds of events, hostile tag names."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from sensor_ad.records import (
    Availability,
    Event,
    EventKind,
    RowAccount,
    Snippet,
    Tag,
    TagPart,
    TagQuality,
    Timeline,
)
from sensor_ad.report import RunReport, Scored
from sensor_ad.slow_change import SlowChange, judge_slow_change
from sensor_ad.slow_normal import SlowNormal
from sensor_ad.slow_slots import SlowSlots
from sensor_ad.states import States

SCRIPT_NAME = "<img src=x onerror=alert(1)>"
FORMULA_NAME = "=cmd|' /C calc'!A0"
MATH_NAME = r"$\frac{1}{2}$"
LONG_NAME = "SITE7.UNIT12." + "P101_" * 34 + "VIBRATION_DE.PV"
TURNED_NAME = "flow\u202egnp.exe\x07"

TAGS = (
    Tag("vibration_de", "mm/s", "Vibration, drive end", 0, 50),
    Tag("bearing_temp", "°C", "Bearing temperature, drive end", -20, 150),
    Tag("flow", "m³/h", "Flow behind the pump", 0, 200),
    Tag("discharge_pressure", "bar", "Pressure behind the pump", 0, 16),
    Tag("motor_current", "A", "Motor current"),
    Tag("tank_level", "%", "Level of the supply tank", 0, 100),
    Tag("valve_open", "", "Control valve, command", role="command"),
)
HOSTILE_TAGS = (
    Tag(SCRIPT_NAME, "<b>", "<script>alert(2)</script>"),
    Tag(FORMULA_NAME, "$x$"),
    Tag(MATH_NAME, "m³/h"),
    Tag(LONG_NAME, "°C"),
    Tag(TURNED_NAME, "温度"),
)
EVIDENCE = ("reconstruction", "mahalanobis", "isolation_forest", "nearest", "level_shift")
LEVELS = (24.0, 61.0, 92.0, 6.2, 31.0, 55.0, 1.0)
SPREADS = (1.2, 2.5, 4.0, 0.25, 1.1, 6.0, 0.01)
LIMIT = 3.4
PERIOD_S = 60.0
DAY_US = 86_400_000_000
START_US = int(datetime(2026, 3, 20, 23, tzinfo=UTC).timestamp() * 1e6)
"""Midnight of 21 March in Berlin, eight days before the clocks change."""


def make_event(
    number: int,
    start_h: float,
    hours: float,
    severity: float,
    tags: tuple[Tag, ...],
    leading: tuple[int, ...] = (0, 1, 4),
    kind: EventKind = "machine",
    still_open: bool = False,
) -> Event:
    """Return an event `start_h` hours after the start of the run, led by the tags in `leading`."""
    start = START_US + int(start_h * 3600e6)
    shares = np.full(len(tags), 0.01)
    shares[list(leading)] = np.array([0.6, 0.25, 0.1, 0.04, 0.03])[: len(leading)]
    shares /= shares.sum()
    parts = [
        TagPart(
            tag.name,
            float(share),
            start + leading.index(row) * 600_000_000 if row in leading else None,
        )
        for row, (tag, share) in enumerate(zip(tags, shares, strict=True))
    ]
    return Event(
        id=f"E{number}",
        start_us=start,
        end_us=start + int(hours * 3600e6) - 60_000_000,
        raised_us=start + int(hours * 900e6),
        faded_us=start + int(hours * 3600e6) - 60_000_000,
        open=still_open,
        peak=severity * LIMIT,
        peak_us=start + int(hours * 1800e6),
        severity=severity,
        level="high" if severity > 4 else "medium" if severity > 2 else "low",
        alarm_rows=max(1, int(hours * 60)),
        kind=kind,
        sensor=tags[leading[0]].name if kind != "machine" else None,
        tags=tuple(sorted(parts, key=lambda part: -part.share)),
        evidence={name: 1.5 + severity * rank for rank, name in enumerate(EVIDENCE)},
    )


def make_snippet(event: Event, tags: tuple[Tag, ...], seed: int = 0) -> Snippet:
    """Return the rows around an event, in which its three leading tags drift away from expected."""
    random = np.random.default_rng(seed)
    length = max(event.end_us - event.start_us, 3_600_000_000)
    T = 900
    time_us = np.linspace(event.start_us - length, event.end_us + length // 2, T).astype(np.int64)
    level = np.resize(LEVELS, len(tags))
    spread = np.resize(SPREADS, len(tags))
    slow = np.sin(np.linspace(0, 9, T))[:, None] * np.linspace(0.5, 1.5, len(tags))
    expected = level + spread * slow
    inside = (time_us >= event.start_us) & (time_us <= event.end_us)
    ramp = np.where(inside, np.cumsum(inside) / max(1, inside.sum()), 0.0)
    pull = np.zeros(len(tags))
    names = [tag.name for tag in tags]
    for part in event.tags[:3]:
        pull[names.index(part.tag)] = 9 * event.severity * part.share
    actual = expected + spread * (
        0.25 * random.standard_normal((T, len(tags))) + ramp[:, None] * pull
    )
    if event.kind == "stuck sensor" and event.sensor:
        column = names.index(event.sensor)
        actual[inside, column] = actual[np.argmax(inside), column]
    if event.kind == "spikes" and event.sensor:
        column = names.index(event.sensor)
        actual[:, column] = expected[:, column] + 0.2 * spread[column] * random.standard_normal(T)
        actual[np.flatnonzero(inside)[::17], column] += 12 * spread[column]
    actual[random.random(actual.shape) < 0.01] = np.nan
    contribution = np.abs(actual - expected) / (1.2 * spread)
    score = np.abs(0.9 + 0.5 * random.standard_normal(T)) + ramp * event.peak
    evidence = np.abs(0.6 + 0.4 * random.standard_normal((T, len(EVIDENCE))))
    evidence += ramp[:, None] * np.linspace(0.7, 1.4, len(EVIDENCE)) * event.peak
    keep = np.ones(T, dtype=bool)
    keep[120:160] = False
    return Snippet(
        time_us[keep],
        actual[keep],
        expected[keep],
        1.2 * spread,
        contribution[keep],
        score[keep],
        0.9 * score[keep],
        evidence[keep],
    )


def make_states():
    """Make states at times spread over the run, in three operating modes."""
    random = np.random.default_rng(6)
    time_us = START_US + np.arange(400) * (5 * DAY_US // 400)
    mode = np.repeat([80.0, 100.0, np.nan, 120.0], 100)
    return States(time_us, random.standard_normal((400, 6)).astype(np.float32), mode, "flow_sp")


def make_timeline(events: tuple[Event, ...], tags: tuple[Tag, ...], days: float = 20) -> Timeline:
    """Return buckets of 15 minutes with a gap, a stretch without score, and the events in them."""
    random = np.random.default_rng(3)
    width_us = 900_000_000
    B = int(days * DAY_US / width_us)
    start_us = START_US + np.arange(B, dtype=np.int64) * width_us
    score = np.abs(1.1 + 0.45 * random.standard_normal(B))
    contribution = np.abs(0.35 + 0.2 * random.standard_normal((B, len(tags))))
    names = [tag.name for tag in tags]
    for event in events:
        inside = (start_us + width_us > event.start_us) & (start_us <= event.end_us)
        ramp = np.linspace(0.4, 1.0, inside.sum()) ** 0.5
        score[inside] = ramp * event.peak
        for part in event.tags[:3]:
            contribution[inside, names.index(part.tag)] += 6 * part.share * ramp * event.severity
    scorable = np.full(B, 15)
    blind = (start_us > START_US + 15.5 * DAY_US) & (start_us < START_US + 16 * DAY_US)
    scorable[blind] = 0
    score[blind] = np.nan
    gap = (start_us > START_US + 6 * DAY_US) & (start_us < START_US + 6.6 * DAY_US)
    evidence = np.abs(0.5 + random.standard_normal((B, len(EVIDENCE))))
    return Timeline(
        start_us=start_us[~gap],
        width_us=width_us,
        score_max=score[~gap],
        score_mean=0.7 * score[~gap],
        rows=np.full(B, 15)[~gap],
        scorable=scorable[~gap],
        alarms=np.where(score > LIMIT, 15, 0)[~gap],
        contribution=contribution[~gap],
        evidence=evidence[~gap],
        evidence_names=EVIDENCE,
    )


def make_quality(tags: tuple[Tag, ...]) -> tuple[TagQuality, ...]:
    """Return what was found wrong with each tag: the last one never had a reading."""
    found = [
        TagQuality(
            tag.name,
            27_936,
            37 * row,
            row,
            0.5,
            99.1234,
            40.0,
            12 + row,
            "continuous",
            bad=5 * row,
            uncertain=2 * row,
            held=300,
            period_s=60.0,
            jitter_s=1.5 * row,
            longest_gap=(START_US, START_US + 3_600_000_000),
        )
        for row, tag in enumerate(tags)
    ]
    remark = "no good value at all in this export."
    found[-1] = replace(
        found[-1],
        missing=27_936,
        low=np.nan,
        high=np.nan,
        mean=np.nan,
        kind="empty",
        remarks=(remark,),
        longest_gap=None,
        period_s=None,
        faults=("no value",),
    )
    return tuple(found)


def make_availability(tags: tuple[Tag, ...]) -> Availability:
    """Return slots of an hour over 20 days; each tag is worse than the one before it."""
    B, C = 480, len(tags)
    bad = np.zeros((B, C, 4))
    bad[100:140, :, 3] = np.linspace(0, 1, C)
    bad[200:220, :, 2] = 0.25
    bad[300:310, :, 1] = 0.5
    bad[..., 0] = 1 - bad.sum(axis=2)
    start_us = START_US + np.arange(B) * 3_600_000_000
    gap = (np.arange(B) < 400) | (np.arange(B) > 420)
    names = tuple(tag.name for tag in tags)
    return Availability(start_us[gap], 3_600_000_000, np.full(B, 60)[gap], bad[gap], names)


def make_slow(tags: tuple[Tag, ...], days: int = 20) -> SlowChange:
    """Return slots of an hour: tag 0 drifts, tag 1 is beyond training, tag 2 is a season."""
    B, C, scale = 24 * days, len(tags), np.resize(SPREADS, len(tags))
    level = np.resize(LEVELS, C)
    hour = np.arange(B)[:, None]
    reading = level + scale * np.sin(2 * np.pi * hour / 24) * np.ones(C)
    strayed = np.zeros((B, C))
    strayed[:, 0] = scale[0] * np.clip(hour[:, 0] / 24 - 10, 0, None) / 2
    reading[:, 0] += strayed[:, 0]
    reading[24 * 3 : 24 * 6, 1] += 9 * scale[1]
    reading[24 * 12 :, 2] += 2 * scale[2]
    start_us = START_US + np.arange(B) * 3_600_000_000
    gap = (np.arange(B) < 200) | (np.arange(B) > 230)
    slots = SlowSlots(start_us[gap], 3_600_000_000, 60, reading[gap], (reading - strayed)[gap])
    normal = SlowNormal(
        slot_rows=60,
        spans=7,
        usual=np.zeros(C),
        band=0.5 * scale,
        span_low=level - scale,
        span_high=level + scale,
        slot_low=level - 6 * scale,
        slot_high=level + 6 * scale,
        answers=np.eye(C),
    )
    kinds = ["few-state" if tag.role == "command" else "continuous" for tag in tags]
    return judge_slow_change(slots, normal, tags, kinds)


def make_events(tags: tuple[Tag, ...]) -> tuple[Event, ...]:
    """Return seven events, one of each kind and more; the last one still open."""
    return (
        make_event(1, 30.0, 9, 2.6, tags, (2, 3, 4)),
        make_event(2, 77.5, 4, 1.4, tags, (5, 2), kind="stuck sensor"),
        make_event(3, 111.25, 62, 6.8, tags, (0, 1, 4)),
        make_event(4, 196.6, 3, 1.9, tags, (3,), kind="spikes"),
        make_event(5, 250.0, 20, 3.3, tags, (2, 4, 3)),
        make_event(6, 333.0, 0.5, 1.1, tags, (1,), kind="failed sensor"),
        make_event(7, 440.0, 40, 2.2, tags, (5, 6, 0), still_open=True),
    )


def make_provenance() -> dict[str, dict[str, str]]:
    """Return where the run came from."""
    return {
        "model": {"id": "pump-1/2026-03-20T11-40", "network": "conv, 4 levels, 18,436 weights"},
        "data": {"demo_score.csv": "sha256 9f2c… 27,936 rows, 2026-03-21 to 2026-04-10"},
        "program": {"sensor_ad": "0.1.0", "torch": "2.13.0", "device": "cpu, 2 threads"},
        "timings": {"read": "0.4 s", "score": "1.1 s", "report": "3.9 s"},
    }


def make_report(hostile: bool = False) -> RunReport:
    """Return the whole made-up run; with `hostile`, tags whose names try to break out."""
    tags = TAGS + HOSTILE_TAGS if hostile else TAGS
    events = make_events(tags)
    if hostile:
        last = len(TAGS)
        events += (make_event(8, 420, 5, 3.0, tags, tuple(range(last, last + 5))),)
        events += (make_event(9, 430, 5, 2.1, tags, (last + 1,), kind="stuck sensor"),)
    random = np.random.default_rng(5)
    latents = {
        event.id: random.standard_normal((80, 2)) * 0.5
        + 2.5 * event.severity * np.array([1.0, (-1) ** row])
        for row, event in enumerate(events)
    }
    epochs = range(1, 41)
    return RunReport(
        window_s=3840.0,
        fade=0.4,
        asset="Pump 1, cooling water",
        run="2026-04-10T06-00",
        model="2026-03-20T11-40",
        timezone="Europe/Berlin",
        period_s=PERIOD_S,
        tags=tags,
        kinds=tuple("few-state" if tag.role == "command" else "continuous" for tag in tags),
        scored=Scored(
            START_US,
            START_US + 20 * DAY_US - 60_000_000,
            27_936,
            27_216,
            gaps=((START_US + 6 * DAY_US, START_US + 6 * DAY_US + 51_840_000_000),),
            gap_count=3,
            gap_s=53_000.0,
            not_scorable={"the pump did not run (use_when)": 640, "too many tags were missing": 80},
        ),
        account=RowAccount(
            27_950,
            27_936,
            {"time could not be read": 14},
            212,
            ("Times are taken as Europe/Berlin.",),
        ),
        quality=make_quality(tags),
        differences=("Tag “oil_level” is missing in this export; it was masked.",),
        excluded=((START_US + 2 * DAY_US, START_US + int(2.4 * DAY_US), "pump taken apart"),),
        use_when="pump_running == 1",
        limit=LIMIT,
        limit_statement="The budget cannot be verified with 120 h of normal data.",
        budget_events=2,
        budget_days=30,
        achieved="On normal rows: 1 event in 5.0 days (95 % interval 0.03 to 5.6 in that time).",
        events=events,
        snippets={event.id: make_snippet(event, tags, row) for row, event in enumerate(events)},
        timeline=make_timeline(events, tags),
        calibration_latents=random.standard_normal((4_000, 2)) * np.array([2.0, 1.0]),
        event_latents=latents,
        states=make_states(),
        state_points=np.random.default_rng(5).standard_normal((400, 2)) * np.array([2.0, 1.0]),
        tsne=False,
        latent_variance=(0.62, 0.17),
        history=[
            {
                "epoch": epoch,
                "train_loss": 0.4 * 0.9**epoch + 0.02,
                "validate_loss": 0.45 * 0.9**epoch + 0.03 + 0.003 * max(0, epoch - 30),
                "learning_rate": 1e-3,
            }
            for epoch in epochs
        ],
        calibration_scores=np.abs(random.exponential(0.7, 6_000)),
        peaks=np.sort(2 + random.exponential(0.4, 18)),
        provenance=make_provenance(),
        config_toml='[asset]\nname = "Pump 1"\ntimezone = "Europe/Berlin"\n',
        context="The first rows used 512 rows of the export before as context",
        calibration_days=5.0,
        back_test_brief="back-test: 12 per 30 days (95 % interval 1.45 to 43.3)",
        back_test="Back-test: 2 false events in 120 h of normal data; the budget was kept.",
        availability=make_availability(tags),
    )


def quiet_report() -> RunReport:
    """Return a run without any event."""
    report = make_report()
    return replace(
        report,
        events=(),
        snippets={},
        event_latents={},
        timeline=make_timeline((), report.tags),
    )


def blind_report() -> RunReport:
    """Return a run of which nothing could be scored."""
    report = quiet_report()
    line = report.timeline
    return replace(
        report,
        scored=replace(
            report.scored, scorable_rows=0, not_scorable={"6 of 7 tags had no reading": 27_936}
        ),
        timeline=replace(
            line,
            scorable=np.zeros_like(line.scorable),
            score_max=np.full(len(line.start_us), np.nan),
        ),
    )

"""Pictures: names are safe to draw, times are the plant's, odd data is drawn without a warning."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import matplotlib as mpl
import numpy as np
import pytest
from fake_run import (
    EVIDENCE,
    FORMULA_NAME,
    LIMIT,
    LONG_NAME,
    MATH_NAME,
    SCRIPT_NAME,
    TAGS,
    TURNED_NAME,
    make_event,
    make_report,
    make_snippet,
    make_timeline,
)
from PIL import Image

from sensor_ad import event_plots, model_plots, plots, run_plots
from sensor_ad.records import Timeline

BERLIN = ZoneInfo("Europe/Berlin")


def microseconds(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp() * 1e6)  # type: ignore[misc,arg-type]


def opened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    assert image.width == plots.WIDTH_IN * plots.DPI
    assert len(image.convert("RGB").getcolors(1 << 16) or []) > 8, "the picture is all but blank"
    return image


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        (SCRIPT_NAME, SCRIPT_NAME),
        (FORMULA_NAME, FORMULA_NAME),
        (MATH_NAME, r"\$\frac{1}{2}\$"),
        (TURNED_NAME, "flowgnp.exe"),
        ("温度 °C", "□□ °C"),
        ("two\nlines\tand more", "two lines and more"),
    ],
)
def test_label_is_safe_to_draw(name: str, drawn: str) -> None:
    assert plots.label(name) == drawn


def test_label_of_a_long_name_keeps_its_ends() -> None:
    short = plots.label(LONG_NAME, 30)
    assert len(short) == 30
    assert short.startswith("SITE7.UNIT12.")
    assert short.endswith("TION_DE.PV")


def test_thin_keeps_a_single_spike() -> None:
    values = np.zeros(1_000_000)
    values[123_457] = 9.0
    values[700_001] = -9.0
    values[5_000:6_000] = np.nan
    rows = plots.thin(values)
    assert len(rows) <= plots.MOST_POINTS
    assert {123_457, 700_001} <= set(rows.tolist())
    assert np.all(np.diff(rows) > 0)
    assert rows[-1] < len(values)


def test_line_is_broken_where_time_jumps() -> None:
    time_us = np.array([0, 60, 120, 600, 660]) * 1_000_000
    x, y = plots.line(time_us, np.arange(5.0))
    assert np.isnan(y).tolist() == [False, False, False, True, False, False]
    assert np.all(np.diff(x) >= 0)


def test_map_over_time_leaves_gaps_empty_and_keeps_the_highest() -> None:
    time_us = np.array([0, 60, 120, 300, 360]) * 1_000_000
    image, span = plots.map_over_time(time_us, 60_000_000, np.arange(5.0)[:, None])
    assert image[0].tolist() == pytest.approx([0, 1, 2, np.nan, np.nan, 3, 4], nan_ok=True)
    assert span == (0, 420_000_000)
    many = np.arange(5_000) * 60_000_000
    image, _ = plots.map_over_time(many, 60_000_000, np.arange(5_000.0)[:, None])
    assert image.shape == (1, plots.MOST_COLUMNS)
    assert image[0, :2].tolist() == [4, 9]


def test_time_axis_shows_the_clock_of_the_plant_when_it_is_put_forward() -> None:
    axes = plots.new_figure(2, (1, 1, 0.5, 0.5)).subplots()
    start = microseconds(2026, 3, 28, 23)  # midnight in Berlin; at 01:00 UTC two becomes three
    plots.time_axis(axes, (start, start + 6 * 3_600_000_000), BERLIN)
    labels = [text.get_text() for text in axes.get_xticklabels()]
    hours = (axes.get_xticks() - axes.get_xticks()[0]) * 24
    clock = dict(zip(np.round(hours).astype(int).tolist(), labels, strict=True))
    assert clock == {
        0: "Mar-29",
        1: "01:00",
        2: "03:00",
        3: "04:00",
        4: "05:00",
        5: "06:00",
        6: "07:00",
    }
    assert axes.get_xlabel() == "plant time (Europe/Berlin) · 2026-03-29"


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        ((2017, 7, 31, 22), (2017, 8, 31, 22), "2017-08-01 to 2017-08-31"),  # midnight in Berlin
        ((2017, 8, 1), (2017, 9, 20), "2017-08-01 to 2017-09-20"),
        ((2016, 12, 31, 23), (2018, 3, 1), "2017-01-01 to 2018-03-01"),
        ((2017, 8, 1, 21), (2017, 8, 1, 23), "2017-08-01 to 2017-08-02"),
        ((2017, 8, 1, 22), (2017, 8, 1, 23), "2017-08-02"),
    ],
)
def test_time_axis_says_from_when_to_when(first, last, days) -> None:
    axes = plots.new_figure(2, (1, 1, 0.5, 0.5)).subplots()
    plots.time_axis(axes, (microseconds(*first), microseconds(*last)), BERLIN)
    assert axes.get_xlabel() == f"plant time (Europe/Berlin) · {days}"


def test_leading_rows_are_those_with_most_abnormal_in_them() -> None:
    contribution = np.full((50, 1_000), 0.3)
    contribution[10:20, 700] = 5.0
    contribution[30, 3] = 9.0
    contribution[5, :] = np.nan
    rows = run_plots.leading_rows(contribution)
    assert len(rows) == run_plots.MOST_MAP_TAGS
    assert rows[:2].tolist() == [700, 3]


def test_labels_of_events_do_not_overlap() -> None:
    events = [(f"E{n}", make_event(n, 100 + 0.3 * n, 0.1, 2 + n, TAGS)) for n in range(30)]
    span = (events[0][1].start_us - 10**12, events[-1][1].end_us + 10**12)
    labels = run_plots._labels(events, span)
    width = (span[1] - span[0]) * run_plots.LABEL_SHARE
    for row in range(3):
        places = [(at, name) for name, at, line in labels if line == row]
        for (left, name), (right, _) in pairwise(places):
            assert right - left > width * len(name)


def test_pictures_of_a_run_leave_the_settings_of_matplotlib_alone() -> None:
    before = dict(mpl.rcParams)
    report = make_report(hostile=True)
    marks = [(event.id, event) for event in report.events]
    names = [tag.name for tag in report.tags]
    opened(run_plots.timeline_png(report.timeline, LIMIT, marks, report.excluded, BERLIN))
    opened(run_plots.heat_map_png(report.timeline, names, marks, BERLIN))
    assert dict(mpl.rcParams) == before


def one_bucket() -> Timeline:
    whole = make_timeline((), TAGS)
    rows = {
        name: getattr(whole, name)[:1]
        for name in (
            "start_us",
            "score_max",
            "score_mean",
            "rows",
            "scorable",
            "alarms",
            "contribution",
            "evidence",
        )
    }
    return replace(whole, **rows)


@pytest.mark.parametrize("limit", [LIMIT, 0.01, float("inf"), float("nan")])
def test_timeline_is_drawn_for_one_bucket_and_odd_limits(limit: float) -> None:
    opened(run_plots.timeline_png(one_bucket(), limit, [], [], BERLIN))


def test_heat_map_is_drawn_for_one_bucket() -> None:
    opened(run_plots.heat_map_png(one_bucket(), [tag.name for tag in TAGS], [], BERLIN))


@pytest.mark.parametrize("rows", [1, 2, 40])
def test_event_is_drawn_from_few_rows_and_missing_readings(rows: int) -> None:
    event = make_event(1, 10, 1, 3.0, TAGS)
    whole = make_snippet(event, TAGS)
    snippet = replace(
        whole,
        time_us=whole.time_us[:rows],
        actual=np.full((rows, len(TAGS)), np.nan),
        expected=whole.expected[:rows],
        band=np.full(len(TAGS), np.nan),
        contribution=whole.contribution[:rows],
        score=np.full(rows, np.nan),
        causal=np.full(rows, np.nan),
        evidence=np.full((rows, len(EVIDENCE)), np.nan),
    )
    opened(event_plots.event_png(event, snippet, TAGS, LIMIT, EVIDENCE, BERLIN))


def test_event_shows_the_tags_that_drive_it_and_one_quiet_neighbour() -> None:
    machine = make_event(1, 10, 5, 3.0, TAGS, (0, 1, 4))
    sensor = make_event(2, 10, 5, 3.0, TAGS, (3,), kind="spikes")
    assert [row for row, _ in event_plots.leading_tags(machine, TAGS)] == [0, 1, 4]
    assert [row for row, _ in event_plots.leading_tags(sensor, TAGS)] == [3, 0]


def test_model_pictures_are_drawn_from_little() -> None:
    point = np.array([[0.0, 1.0]])
    far = [(f"E{n}", 1e6 * n * point) for n in range(1, 20)]
    opened(model_plots.latent_map_png(point.repeat(3, axis=0), far, (0.5, 0.2)))
    opened(model_plots.history_png([{"epoch": 1, "train_loss": 0.3, "validate_loss": np.nan}]))
    folds = [
        {"fold": fold, "epoch": epoch, "train_loss": 1 / epoch, "validate_loss": 2 / epoch}
        for fold in (0, 1)
        for epoch in (1, 2, 3)
    ]
    opened(model_plots.history_png(folds))
    none = np.zeros(0)
    opened(model_plots.calibration_png(none, np.array([2.0]), LIMIT, 2 / 30, np.nan))
    opened(model_plots.calibration_png(np.arange(9.0), none, LIMIT, 2 / 30, 12.0))

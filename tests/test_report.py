"""The report: complete, harmless whatever tags are called, readable offline, in plant time."""

from __future__ import annotations

import csv
import doctest
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from fake_run import (
    FORMULA_NAME,
    HOSTILE_TAGS,
    LONG_NAME,
    MATH_NAME,
    SCRIPT_NAME,
    TAGS,
    TURNED_NAME,
    blind_report,
    make_availability,
    make_event,
    make_report,
    make_slow,
    make_snippet,
    make_timeline,
    quiet_report,
)

from sensor_ad import event_table, report, wording
from sensor_ad.records import Event, MaskedSensor, Tag
from sensor_ad.report import RunReport, write_report

VOID = {"meta", "br", "img"}


class Page(HTMLParser):
    """The elements of a page, with its text."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.source = (folder / "index.html").read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.pieces: list[str] = []
        self.feed(self.source)
        self.text = " ".join(" ".join(self.pieces).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, "elements are not nested well"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.pieces.append(data)


def written(content: RunReport, folder: Path) -> Path:
    write_report(content, folder)
    return folder


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(make_report(hostile=True), tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(quiet_report(), tmp_path_factory.mktemp("quiet"))


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "events.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_event_is_listed_and_shown(hostile: Path) -> None:
    page = Page(hostile)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    content = make_report(hostile=True)
    assert len(content.events) == 9
    for number, event in enumerate(report.by_severity(content.events), start=1):
        assert f'<a href="#d{number}">{event.id}</a>' in page.source
        assert f"d{number}" in ids
        assert f"{event.id}: {wording.kind_words(event)}" in page.text
    assert "9 events in 18 d 21 h scored: 5 of the machine, 4 of sensors." in page.text
    assert "The worst is E3 (machine), from 2026-03-25 15:15 2026-03-25 14:15 UTC" in page.text


def test_nothing_in_the_page_acts_or_comes_from_elsewhere(hostile: Path) -> None:
    page = Page(hostile)
    assert not page.open
    assert {tag for tag, _ in page.elements}.isdisjoint(
        {"script", "link", "iframe", "object", "embed", "form", "base", "svg"}
    )
    targets = {"#" + attributes["id"] for _, attributes in page.elements if "id" in attributes}
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        if "src" in attributes:
            assert attributes["src"].startswith("data:image/png;base64,")
            assert attributes["alt"], "a picture without words"
        if "href" in attributes:
            assert attributes["href"] in targets | {"events.csv"}
    policy = [a["content"] for t, a in page.elements if a.get("http-equiv")]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert "http://" not in page.source
    assert "https://" not in page.source
    assert "url(" not in page.source


def test_hostile_names_are_shown_as_they_are(hostile: Path) -> None:
    page = Page(hostile)
    for name in (SCRIPT_NAME, FORMULA_NAME, MATH_NAME, LONG_NAME, "<script>alert(2)</script>"):
        assert name in page.text
    assert SCRIPT_NAME not in page.source
    assert not set(page.source) & set("\u202e\x07")
    assert wording.clean(TURNED_NAME) in page.text


def test_pictures_are_files_with_safe_names(hostile: Path) -> None:
    found = {file.name: file.read_bytes() for file in (hostile / "figures").iterdir()}
    expected = {f"event-{number:02d}.png" for number in range(1, 10)}
    expected |= {
        "timeline.png",
        "contributions.png",
        "latents.png",
        "states.png",
        "training.png",
        "calibration.png",
        "availability.png",
    }
    assert set(found) == expected
    assert all(png.startswith(b"\x89PNG") and len(png) > 2_000 for png in found.values())
    assert (hostile / "index.html").stat().st_size < 2_000_000
    assert sorted(file.name for file in hostile.iterdir()) == [
        "events.csv",
        "figures",
        "index.html",
    ]


def test_events_csv_reads_back(hostile: Path) -> None:
    rows = rows_of(hostile)
    events = sorted(make_report(hostile=True).events, key=lambda event: event.start_us)
    assert tuple(rows[0]) == event_table.COLUMNS
    for row, event in zip(rows, events, strict=True):
        assert row["id"] == event.id
        for column, time_us in (("start", event.start_us), ("end", event.end_us)):
            for name in (column, f"{column}_utc"):
                assert datetime.fromisoformat(row[name]).timestamp() * 1e6 == time_us
        assert datetime.fromisoformat(row["start_utc"]).utcoffset() == datetime.now(UTC).utcoffset()
        assert float(row["duration_s"]) == (event.end_us - event.start_us) / 1e6 + 60
        assert row["state"] == ("open" if event.open else "closed")
        assert (row["kind"], row["level"]) == (event.kind, event.level)
        assert float(row["severity"]) == pytest.approx(event.severity, rel=1e-3)
    assert rows[0]["leading_tags"].startswith("flow 0.58; discharge_pressure 0.24;")
    assert rows[0]["onset_order"] == "flow; discharge_pressure; motor_current"


def test_events_csv_has_no_formulas(hostile: Path) -> None:
    stuck = next(row for row in rows_of(hostile) if row["id"] == "E9")
    assert stuck["sensor"] == "'" + FORMULA_NAME
    for row in rows_of(hostile):
        for cell in row.values():
            for piece in cell.split(";"):
                assert not piece.lstrip().startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize(
    ("cell", "guarded"),
    [
        ("=1+1", "'=1+1"),
        ("  @SUM(A1)", "'  @SUM(A1)"),
        ("\tx", "'\tx"),
        ("-cmd", "'-cmd"),
        ("＝1+1", "'＝1+1"),
        ("-12.5e3", "-12.5e3"),
        ("+4", "+4"),
        ("-1+1", "'-1+1"),
        ("a-b", "a-b"),
        ("", ""),
    ],
)
def test_guard_against_formulas(cell: str, guarded: str) -> None:
    assert event_table.guard(cell) == guarded


def test_times_are_the_plants_when_clocks_change() -> None:
    zone = ZoneInfo("Europe/Berlin")

    def at(*when: int) -> int:
        return int(datetime(*when, tzinfo=UTC).timestamp() * 1e6)  # type: ignore[misc,arg-type]

    before, after = at(2026, 3, 29, 0, 59), at(2026, 3, 29, 1, 0)
    assert wording.clock(before, zone) == "2026-03-29 01:59"
    assert wording.clock(after, zone) == "2026-03-29 03:00"
    event = replace(make_event(1, 0, 1, 2.0, TAGS), start_us=before, end_us=after)
    row = next(csv.DictReader(event_table.events_csv([event], 60, 3840, zone).splitlines()))
    assert row["start"] == "2026-03-29T01:59:00+01:00"
    assert row["end"] == "2026-03-29T03:00:00+02:00"
    assert row["end_utc"] == "2026-03-29T01:00:00+00:00"
    assert row["duration_s"] == "120"
    first, second = at(2026, 10, 25, 0, 30), at(2026, 10, 25, 1, 30)
    assert wording.iso(first, zone) == "2026-10-25T02:30:00+02:00"
    assert wording.iso(second, zone) == "2026-10-25T02:30:00+01:00"


def test_page_shows_utc_once_for_a_plant_on_utc(tmp_path: Path) -> None:
    page = Page(written(replace(quiet_report(), timezone="UTC"), tmp_path))
    assert "2026-03-20 23:00 to 2026-04-09 22:59 UTC (plant time)" in page.text
    assert "23:00 UTC" not in page.text


def test_page_shows_seconds_for_a_fast_grid(tmp_path: Path) -> None:
    page = Page(written(replace(quiet_report(), period_s=1.0), tmp_path))
    assert "2026-03-21 00:00:00 2026-03-20 23:00:00 UTC" in page.text


def test_report_without_events_says_so(quiet: Path) -> None:
    page = Page(quiet)
    assert "No events in 18 d 21 h scored." in page.text
    assert "so about 1.3 false ones would be usual" in page.text
    assert rows_of(quiet) == []
    assert not list((quiet / "figures").glob("event-*"))
    assert (quiet / "figures" / "timeline.png").exists()


def test_report_of_what_could_not_be_scored_says_so(tmp_path: Path) -> None:
    page = Page(written(blind_report(), tmp_path))
    assert "Nothing could be scored in this export." in page.text
    assert "19 d 9 h: 6 of 7 tags had no reading" in page.text
    assert "No events" not in page.text
    assert not (tmp_path / "figures" / "contributions.png").exists()


def test_what_the_engineer_configured_is_shown(quiet: Path) -> None:
    page = Page(quiet)
    for words in (
        "Rows that count: pump_running == 1 .",
        "2026-03-23 09:36 2026-03-23 08:36 UTC pump taken apart",
        "vibration_de mm/s Vibration, drive end 0 to 50 measurement continuous",
        "no good value at all in this export.",
        "27,950 rows read, 27,936 kept, 14 dropped (time could not be read); 212 stood out",
        "Tag “oil_level” is missing in this export; it was masked.",
        "10 h 40 min: the pump did not run (use_when)",
        "The budget cannot be verified with 120 h of normal data.",
        "Best epoch: 30",
        '[asset] name = "Pump 1"',
    ):
        assert words in page.text


def test_quality_of_each_tag_is_shown(quiet: Path) -> None:
    page = Page(quiet)
    assert "Tag What was found valve_open no good value at all in this export. " in page.text
    assert (
        "bearing_temp continuous 0.1 % below 0.1 % below 0.1 % 1 1 h 2026-03-21 00:00 1 min ± 2 s "
        "0.5 to 99.123 °C 1.1 % 13 min" in page.text
    )
    assert "valve_open empty 100 % 0.1 % below 0.1 % 6 – – – 1.1 % 18 min" in page.text
    assert (quiet / "figures" / "availability.png").stat().st_size > 2_000


def test_report_without_codes_of_a_historian_has_no_columns_for_them(tmp_path: Path) -> None:
    report = quiet_report()
    plain = tuple(replace(one, bad=0, uncertain=0, remarks=()) for one in report.quality)
    page = Page(written(replace(report, quality=plain, availability=None), tmp_path))
    assert "Nothing was found that speaks against any tag." in page.text
    assert "Tag Kind Missing Out of range Longest gap Period" in page.text
    assert not (tmp_path / "figures" / "availability.png").exists()


def test_back_test_stands_with_the_budget_and_with_the_limit(quiet: Path) -> None:
    page = Page(quiet)
    budget, limit = page.text.split("Training and limit")
    brief = "in the time scored back-test: 12 per 30 days (95 % interval 1.45 to 43.3)"
    assert brief in budget
    assert "Back-test: 2 false events in 120 h of normal data; the budget was kept." in limit


@pytest.mark.parametrize("by_hand", [False, True])
def test_changed_limit_is_told(quiet: Path, tmp_path: Path, by_hand: bool) -> None:
    said = "The limit was changed by hand on <some> day."
    content = replace(quiet_report(), limit_change=said, limit_by_hand=by_hand)
    page = Page(written(content, tmp_path))
    before, after = page.text.split("Training and limit")
    assert said in before
    assert said in after
    assert ("false ones would be usual" not in page.text) is by_hand
    assert ("the limit was set by hand: no budget stands behind it" in before) is by_hand
    assert ("The limit was set so that normal operation" not in page.text) is by_hand
    assert "changed" not in Page(quiet).text.split("Training and limit")[0]


def test_release_is_told_where_events_are_explained(quiet: Path, tmp_path: Path) -> None:
    told = "an alarm lasts until the score falls below 62.5 % of the limit. Its severity"
    assert told in Page(written(replace(quiet_report(), release=0.625), tmp_path)).text
    assert "an alarm lasts" not in Page(quiet).text


def test_short_alarms_are_told_and_the_score_is_not_said_to_have_stayed_low(
    quiet: Path, tmp_path: Path
) -> None:
    stayed = "The score stayed below its limit all the time"
    assert stayed in Page(quiet).text
    short = "2 alarms shorter than 5 min raised no event (events.min_length_s)"
    for content in (quiet_report(), make_report()):
        page = Page(written(replace(content, short_alarms=short), tmp_path))
        verdict = page.text.split("Alarm budget")[0]
        assert f"{short}." in verdict
        assert stayed not in verdict


@pytest.mark.parametrize("many", [False, True])
def test_masked_sensors_are_told(tmp_path: Path, many: bool) -> None:
    report = quiet_report()
    sensor = MaskedSensor(
        "E1-1", "vibration_de", "failed sensor", 1e6, report.scored.start_us,
        report.scored.start_us + 600_000_000, report.scored.end_us, True,
    )  # fmt: skip
    sensors = [sensor] * (wording.MOST_MASKED + 2 if many else 1)
    sentences = wording.masked_words(sensors, report.tags, ZoneInfo(report.timezone))
    page = Page(written(replace(report, masked=sentences), tmp_path))
    if many:
        assert "Sensors were masked, and what is said here leaves them out meanwhile:" in page.text
        assert "sensors were masked 2 more times; run.json has them all." in page.text
    else:
        assert (
            "A sensor was masked, and what is said here leaves it out meanwhile: vibration_de "
            "stood at 1e+06 mm/s, far outside everything before, from 2026-03-21 00:00 on, which "
            "is a fault of the sensor; it was masked from 2026-03-21 00:10 to the end of the "
            "export: the other 6 tags were scored without it, and a fault of the machine that "
            "shows in vibration_de alone was not seen meanwhile." in page.text
        )


def test_an_older_picture_of_an_event_does_not_stay(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "event-17.png").write_bytes(b"old")
    written(quiet_report(), tmp_path)
    assert not (tmp_path / "figures" / "event-17.png").exists()


def test_progress_counts_the_pictures(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_report(quiet_report(), tmp_path, lambda done, total: seen.append((done, total)))
    assert seen == [(done, 6) for done in range(1, 7)]


def many_events(number: int, tags: tuple[Tag, ...]) -> tuple[Event, ...]:
    events = [make_event(n, 0.04 * n, 0.02, 1.5 + n % 97 / 10, tags) for n in range(number)]
    return tuple(replace(event, id=f"2026-03-21/{n:05d}") for n, event in enumerate(events))


def test_many_tags_and_events_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_DETAILED", 2)
    tags = tuple(Tag(f"tag_{n:04d}", "bar") for n in range(1_000))
    few = TAGS + tags[:3]
    events = many_events(10_000, few)
    shown = report.by_severity(events)[:4]
    line = make_timeline((), tags)
    content = replace(
        make_report(),
        tags=tags,
        kinds=("continuous",) * len(tags),
        quality=(),
        availability=make_availability(tags),
        events=events,
        snippets={event.id: make_snippet(event, few) for event in shown},
        event_latents={event.id: np.zeros((3, 2)) for event in events[:40]},
        timeline=replace(
            line, contribution=np.abs(np.sin(np.arange(line.contribution.size))).reshape(-1, 1_000)
        ),
    )
    page = Page(written(content, tmp_path))
    assert "10,000 events in" in page.text
    assert "9,500 less severe events not listed here" in page.text
    assert "The 40 tags with most abnormal in them, of 1000." in page.text
    assert "The 60 tags with least good values, of 1000." in page.text
    assert "Pictures are shown of the 2 most severe events of 10000" in page.text
    assert page.source.count("<tr>") < 1_000
    assert len(list((tmp_path / "figures").glob("event-*.png"))) == 2
    assert len(rows_of(tmp_path)) == 10_000
    assert (tmp_path / "index.html").stat().st_size < 5_000_000


def test_long_ids_become_numbers_in_order_of_time() -> None:
    events = tuple(
        replace(make_event(n, start_h, 1, 2.0, TAGS), id=f"E20260321T{n:06d}")
        for n, start_h in enumerate((50, 10, 30))
    )
    names = report.short_names(events)
    assert [names[event.id] for event in events] == ["E3", "E1", "E2"]
    assert report.short_names(make_report().events)["E4"] == "E4"


def test_severity_bar_grows_with_severity_and_stays_in_its_track() -> None:
    bars = [report.severity_bar(severity) for severity in (1.0, 1.1, 2, 4, 16, 1e9, float("inf"))]
    assert bars == sorted(bars)
    assert (bars[0], bars[2], bars[-1]) == (4, 20, 100)


def test_report_imports_no_heavy_library() -> None:
    heavy = {"torch", "pandas", "sklearn", "skops", "scipy", "matplotlib.pyplot"}
    code = f"import sys, sensor_ad.report; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("module", [wording, event_table])
def test_examples_in_docstrings(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0


def test_tsne_map_when_it_is_wanted(tmp_path: Path) -> None:
    report = replace(quiet_report(), tsne=True)
    written(report, tmp_path)
    assert (tmp_path / "figures" / "tsne.png").stat().st_size > 2_000
    assert "by t-SNE" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_slow_change_has_its_section_and_one_line_at_the_top(tmp_path: Path) -> None:
    content = replace(make_report(hostile=True), slow=make_slow(TAGS + HOSTILE_TAGS))
    page = Page(written(content, tmp_path))
    assert "Slow change: " in page.text
    before, _, after = page.text.partition("Events, the most severe first")
    assert "drifts: vibration_de (+5.69 mm/s since 2026-04-01 02:00)" in before
    assert "Slow change A tag's slow level is the median over 1 d of readings" in after
    assert "vibration_de drift 23.15 to 29.68 mm/s" in after
    assert "normal change : the level is new, but the other tags explain it" in after
    assert "flow normal change 89.17 to 100 m³/h" in after
    assert "2 tags drifted at the same time" not in after
    assert SCRIPT_NAME in after
    assert SCRIPT_NAME not in page.source
    assert (tmp_path / "figures" / "slow.png").stat().st_size > 2_000
    assert "#slow" in page.source


def test_events_that_are_part_of_a_drift_say_so(tmp_path: Path) -> None:
    slow = make_slow(TAGS)
    drift = slow.tags[0].drift
    assert drift is not None
    early = replace(drift, start_us=int(slow.slots.start_us[0]))
    tags = (replace(slow.tags[0], drifts=(early,)), *slow.tags[1:])
    page = Page(written(replace(make_report(), slow=replace(slow, tags=tags)), tmp_path))
    assert "1 event of those below is part of that. More below ." in page.text
    assert "machine , part of the drift of vibration_de" in page.text
    assert page.source.count('<a href="#slow">drift</a>') == 1


def test_slow_change_of_which_nothing_can_be_told(tmp_path: Path) -> None:
    page = Page(written(replace(quiet_report(), slow=make_slow(TAGS, days=2)), tmp_path))
    assert "There are too few readings to tell slow change: it takes 2 d 11 h of them" in page.text
    assert "More below" not in page.text
    assert not (tmp_path / "figures" / "slow.png").exists()


def test_several_drifts_at_once_are_seldom_sensors(tmp_path: Path) -> None:
    slow = make_slow(TAGS)
    twice = (slow.tags[0], replace(slow.tags[0], tag="flow"))
    page = Page(written(replace(quiet_report(), slow=replace(slow, tags=twice)), tmp_path))
    assert "2 tags drifted at the same time, which is seldom a fault of sensors" in page.text

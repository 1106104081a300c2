"""CSV files as plants write them: dialect, encodings, values; the reading block has no say."""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor_ad.errors import UsageError
from sensor_ad.exports import Export, ReadSettings, open_export
from sensor_ad.records import RowAccount

START_US = 1_767_225_600_000_000  # 2026-01-01 00:00:00 UTC
FALLBACK_NOTE = (
    "text that is not UTF-8: read as Windows-1252; set data.encoding if letters such as ° are wrong"
)
NAIVE_NOTE = "times carry no zone: read as UTC; set data.timezone if that is wrong"


def read(path, **settings):
    """Read an export; return times, values and what was said of it."""
    export = open_export([Path(path)], ReadSettings(**settings))
    chunks = list(export.chunks())
    values = np.concatenate([chunk.values for chunk in chunks])
    assert values.dtype == np.float64
    return np.concatenate([chunk.time_us for chunk in chunks]), values, export


def write(folder, text, encoding="utf-8", name="plant.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def stamp(second):
    return f"2026-01-01 {second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


def rows(*cells, separator=","):
    """Return lines that begin with a time, a second apart."""
    lines = (separator.join([stamp(k), *row]) for k, row in enumerate(cells))
    return "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_dialect_found(tmp_path, separator, decimal):
    cells = [("1.5", "-2.25"), ("3", ".5"), ("", "1e3")]
    quote = '"' if separator == decimal else ""
    text = rows(
        *([quote + cell.replace(".", decimal) + quote for cell in row] for row in cells),
        separator=separator,
    )
    path = write(tmp_path, separator.join(["time", "flow", "p"]) + "\n" + text)

    time_us, values, export = read(path)

    assert export.tags == ("flow", "p")
    told = {"\t": "tab"}.get(separator, separator)
    assert (export.profile["separator"], export.profile["decimal"]) == (told, decimal)
    np.testing.assert_array_equal(time_us, START_US + np.arange(3) * 1_000_000)
    np.testing.assert_array_equal(values, [[1.5, -2.25], [3, 0.5], [np.nan, 1000]])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("block_bytes", [1, 8 << 20])
def test_encoding_found(tmp_path, encoding, block_bytes):
    text = "time;Öl °C\n" + rows(("1,5",), ("2,5",), separator=";")

    time_us, values, export = read(write(tmp_path, text, encoding), block_bytes=block_bytes)

    assert export.tags == ("Öl °C",)
    assert export.profile["encoding"] == encoding
    np.testing.assert_array_equal(values, [[1.5], [2.5]])
    assert len(time_us) == 2


def test_encoding_that_shows_late_is_found(tmp_path):
    text = "time,a\n" + rows(*[("1",)] * 20_000)
    path = write(tmp_path, text.encode() + b"2026-01-02 00:00:00,\xb0\n")

    _, values, export = read(path)

    assert len(values) == 20_001
    assert export.account().notes == (
        NAIVE_NOTE,
        FALLBACK_NOTE,
        "tag a: 1 cell is not a number (first: '°' in plant.csv, line 20002): treated as missing",
        "tag a: unknown text '°' (1): say by data.texts what is meant",
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("block_bytes", [1, 17, 40, 8 << 20])
def test_line_ends_and_blank_lines(tmp_path, end, block_bytes):
    text = "\n" + "time,a\n\n" + rows(("1",), ("2",)) + "\n  \n" + "2026-01-01 00:00:02,Bad\n\n\n"

    _, values, export = read(write(tmp_path, text.replace("\n", end)), block_bytes=block_bytes)

    np.testing.assert_array_equal(values, [[1], [2], [np.nan]])
    assert export.account() == RowAccount(
        rows_in=3,
        kept=3,
        notes=(
            NAIVE_NOTE,
            "tag a: 1 cell is not a number (first: 'Bad' in plant.csv, line 8): treated as missing",
        ),
    )


@pytest.mark.parametrize(("header", "ending"), [("time,a,", ","), ("time,a", ","), ("time,a,", "")])
def test_trailing_separators_are_tolerated(tmp_path, header, ending):
    text = rows(("1",), ("2",)).replace("\n", ending + "\n")

    _, values, export = read(write(tmp_path, f"{header}\n{text}"))

    assert export.tags == ("a",)
    np.testing.assert_array_equal(values, [[1], [2]])


def test_announced_separator_is_taken(tmp_path):
    _, values, export = read(write(tmp_path, "sep=;\ntime;a\n" + rows(("1,5",), separator=";")))

    assert export.tags == ("a",)
    np.testing.assert_array_equal(values, [[1.5]])


def test_hostile_names_are_data(tmp_path):
    names = ["=cmd|' /C calc'!A0", "<script>alert(1)</script>", "a;b", "../../etc", "a.b", "a"]
    header = "time," + ",".join(f'"{name}"' for name in names)

    _, values, export = read(write(tmp_path, f"{header}\n" + rows(("1", "2", "3", "4", "5", "6"))))

    assert export.tags == tuple(names)
    np.testing.assert_array_equal(values, [[1, 2, 3, 4, 5, 6]])


def test_quoted_header_with_spaces(tmp_path):
    text = '"time" , " flow rate "\n"2026-01-01 00:00:00","1"\n'

    _, values, export = read(write(tmp_path, text.replace('" ,', '",').replace(', "', ',"')))

    assert export.tags == ("flow rate",)
    np.testing.assert_array_equal(values, [[1]])


def test_columns_named_in_the_settings_are_not_read(tmp_path):
    text = "time,a,anomaly,batch\n" + rows(("1", "0", "Bad"), ("2", "1", "7"))

    _, values, export = read(
        write(tmp_path, text), label_columns=("anomaly", "other"), ignore_columns=("batch",)
    )

    assert export.tags == ("a",)
    np.testing.assert_array_equal(values, [[1], [2]])
    assert export.account().notes == (NAIVE_NOTE,)


def test_unnamed_columns(tmp_path):
    """What pandas writes for an index without a name: the time, or numbers of rows, a tag."""
    index = write(tmp_path, ",a\n" + rows(("1",), ("2",)), name="index.csv")
    numbers = write(tmp_path, f",time,a\n0,{stamp(0)},1\n1,{stamp(1)},2\n", name="numbers.csv")

    _, values, export = read(index)
    assert export.tags == ("a",)
    np.testing.assert_array_equal(values, [[1], [2]])
    assert export.account().notes == (NAIVE_NOTE,)

    _, values, export = read(numbers)
    assert export.tags == ("col_1", "a")
    np.testing.assert_array_equal(values, [[0, 1], [1, 2]])
    assert export.account().notes == (
        "a column without a name in the header is called col_1",
        NAIVE_NOTE,
    )
    _, _, export = read(numbers, ignore_columns=("col_1",))
    assert (export.tags, export.account().notes) == (("a",), (NAIVE_NOTE,))


def test_cells_that_are_no_numbers_are_missing_and_counted(tmp_path):
    text = "time,a,b\n" + rows(
        ("1", "Bad"), (" 2 ", "+4"), ("I/O Timeout", "inf"), ("", "1e400"), ("-", "-1e301"),
        ("NaN", "-1e299"), ("#VALUE!", "0x1F"), ("1_000", "N/A"), ("true", " "),
    )  # fmt: skip
    nan = np.nan

    _, values, export = read(write(tmp_path, text))

    np.testing.assert_array_equal(
        values.T,
        [[1, 2, nan, nan, nan, nan, nan, nan, nan], [nan, 4, nan, nan, nan, -1e299, nan, nan, nan]],
    )
    assert export.account().notes == (
        NAIVE_NOTE,
        "tag a: 4 cells are not numbers (first: 'I/O Timeout' in plant.csv, line 4): treated as "
        "missing",
        "tag b: 2 cells are not numbers (first: 'Bad' in plant.csv, line 2): treated as missing",
        "tag b: 3 cells are beyond ±1e300 (first: inf in plant.csv, line 4): treated as missing",
        "tag a: unknown texts '1_000' (1), 'true' (1): say by data.texts what is meant",
        "tag b: unknown text '0x1F' (1): say by data.texts what is meant",
    )


def test_true_and_false_are_one_and_zero(tmp_path):
    text = "time,valve,a\n" + rows(("true", "1"), ("False", "1"), ("", "1"), ("Bad", "1"))

    _, values, export = read(write(tmp_path, text))

    np.testing.assert_array_equal(values[:, 0], [1, 0, np.nan, np.nan])
    assert export.states == {"valve": ("False", "true")}
    assert export.account().notes == (
        "tag valve: digital, 'False' = 0, 'true' = 1",
        NAIVE_NOTE,
        "tag valve: 1 cell is not a number (first: 'Bad' in plant.csv, line 5): treated as missing",
    )


def test_columns_without_numbers(tmp_path):
    """Known states are a digital tag; a comment that stands once is none; nothing is a tag."""
    text = "time,a,state,comment,dead\n" + rows(("1", "run", "x", ""), ("2", "stop", "", ""))

    _, values, export = read(write(tmp_path, text))

    assert export.tags == ("a", "state", "dead")
    np.testing.assert_array_equal(values, [[1, 1, np.nan], [2, 0, np.nan]])
    assert export.account().notes == (
        "tag state: digital, 'stop' = 0, 'run' = 1",
        "1 column without numbers left out: 'comment'",
        NAIVE_NOTE,
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_tag_that_is_bad_for_long_is_a_tag(tmp_path, encoding):
    """A pump may be switched off when the export begins."""
    lines = [("1", "Scan Off", "°")] * 8_000 + [("1", "2.5", "°")] * 2_000
    path = write(tmp_path, "time,a,flow,unit\n" + rows(*lines), encoding)

    _, values, export = read(path)

    assert export.tags == ("a", "flow")
    assert np.nansum(values[:, 1]) == 5_000
    assert export.account().notes[-1] == (
        "tag flow: 8000 cells are not numbers (first: 'Scan Off' in plant.csv, line 2): treated as "
        "missing"
    )


def test_ragged_rows_below_a_thousandth_are_dropped_and_counted(tmp_path):
    lines = rows(*[("1", "2")] * 3_000).splitlines(keepends=True)
    lines[1_000] = f"{stamp(1_000)},1\n"
    lines[2_000] = f"{stamp(2_000)},1,2,3\n"
    path = write(tmp_path, "time,a,b\n" + "".join(lines))

    for block_bytes in (100, 8 << 20):
        time_us, values, export = read(path, block_bytes=block_bytes)
        assert len(time_us) == 2_998
        np.testing.assert_array_equal(np.unique(values, axis=0), [[1, 2]])
        assert export.account() == RowAccount(
            3_000,
            2_998,
            {"wrong number of fields": 2},
            notes=(
                NAIVE_NOTE,
                "2 lines dropped as wrong number of fields (first: plant.csv, line 1002)",
            ),
        )


@pytest.mark.parametrize("last", ["2026-01-01 00:00:02", "2026-01", '2026-01-01 00:00:02,1,"2'])
def test_last_row_cut_off_is_dropped_and_counted(tmp_path, last):
    _, values, export = read(write(tmp_path, "time,a,b\n" + rows(("1", "2"), ("3", "4")) + last))

    np.testing.assert_array_equal(values, [[1, 2], [3, 4]])
    assert export.account().dropped == {"cut off at the end of the file": 1}


def test_last_row_without_line_end_is_a_row(tmp_path):
    _, values, _ = read(write(tmp_path, "time,a\n" + rows(("1",), ("2",)).rstrip("\n")))

    np.testing.assert_array_equal(values, [[1], [2]])


def test_empty_rows_are_dropped_and_counted(tmp_path):
    _, values, export = read(
        write(tmp_path, "time;a\n" + rows(("1,5",), separator=";") + ";\n; \n")
    )

    np.testing.assert_array_equal(values, [[1.5]])
    assert export.account() == RowAccount(3, 1, {"empty row": 2}, notes=(NAIVE_NOTE,))


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-01-01", "UTC", 0),
        ("2026-01-01 00:00", "UTC", 0),
        ("2026-01-01T00:00:00.25", "UTC", 250_000),
        ("2026-01-01 00:00:00.1234567", "UTC", 123_456),
        ("2026/01/01 00:00:01", "UTC", 1_000_000),
        ('"2026-01-01 00:00:00,5"', "UTC", 500_000),
        (" 2026-01-01 00:00:00 ", "UTC", 0),
        ("2026-01-01T01:00:00Z", "UTC", 3_600_000_000),
        ("2026-01-01T00:30:00+01:00", "UTC", -1_800_000_000),
        ("2026-01-01 00:30:00 +0100", "UTC", -1_800_000_000),
        ("2026-01-01 01:00", "Europe/Berlin", 0),
        ("2026-01-01T01:00Z", "Europe/Berlin", 3_600_000_000),
    ],
)
def test_iso_times(tmp_path, text, zone, expected):
    time_us, _, _ = read(write(tmp_path, f"time,a\n{text},1\n"), timezone=zone)

    assert time_us.dtype == np.int64
    np.testing.assert_array_equal(time_us - START_US, [expected])


def test_time_in_other_spellings_further_down(tmp_path):
    text = "time,a\n" + rows(*[("1",)] * 30) + "2026/01/01 00:00:30,1\n2026-01-01T00:00:31,1\n"

    time_us, _, _ = read(write(tmp_path, text))

    np.testing.assert_array_equal(time_us, START_US + np.arange(32) * 1_000_000)


def test_local_times_through_a_year(tmp_path):
    """Against Python's own zones, for every hour that is shown once."""
    utc = pd.date_range("2025-01-01", "2026-01-01", freq="h", tz="UTC")
    local = utc.tz_convert("Europe/Berlin").tz_localize(None)
    once = ~local.duplicated(keep=False)
    lines = "".join(f"{t.isoformat()},1\n" for t in local[once])

    time_us, _, export = read(write(tmp_path, f"time,a\n{lines}"), timezone="Europe/Berlin")

    np.testing.assert_array_equal(time_us, utc[once].as_unit("us").asi8)
    assert export.account().notes == (
        "times carry no zone: read as Europe/Berlin, as data.timezone says",
    )


@pytest.mark.parametrize("name", ["timestamp", "Zeit", "t", ""])
def test_time_column_found_by_content(tmp_path, name):
    _, _, export = read(write(tmp_path, f"a,{name},b\n1,{stamp(0)},2\n"))

    assert export.profile["time column"] == (name or "col_2")
    assert export.tags == ("a", "b")


def test_time_column_found_by_name_among_two(tmp_path):
    _, _, export = read(write(tmp_path, f"entered,time,b\n{stamp(5)},{stamp(0)},2\n"))

    assert export.profile["time column"] == "time"
    assert export.account().notes[0] == "1 column without numbers left out: 'entered'"


def test_time_column_given(tmp_path):
    path = write(tmp_path, f"time,entered,b\n{stamp(5)},{stamp(0)},2\n")

    time_us, _, _ = read(path, time_column="entered")

    np.testing.assert_array_equal(time_us, [START_US])


def test_times_from_row_numbers(tmp_path):
    """A dropped row and a blank one in a single column keep their place in time."""
    single = write(tmp_path, "a\n1,5\n\n2\n\n\n", name="single.csv")
    many = write(tmp_path, "a;b\n" + "1;2\n" * 2_000 + "1\n" + "5;6\n", name="many.csv")
    start = {"start": "2026-01-01 01:00", "period_s": 0.1, "timezone": "Europe/Berlin"}

    time_us, values, _ = read(single, **start)
    np.testing.assert_array_equal(time_us - START_US, [0, 100_000, 200_000])
    np.testing.assert_array_equal(values, [[1.5], [np.nan], [2]])

    time_us, values, export = read(many, **start)
    assert time_us[-1] - START_US == 2_001 * 100_000
    np.testing.assert_array_equal(values[-1], [5, 6])
    assert export.account().dropped == {"wrong number of fields": 1}


def test_progress_adds_up_to_the_size(tmp_path):
    path = write(tmp_path, "time,a\n" + rows(*[("1",)] * 1_000))
    export = open_export([path], ReadSettings(block_bytes=1_000))
    steps: list[int] = []

    list(export.chunks(steps.append))

    assert sum(steps) == export.total_bytes == path.stat().st_size
    assert len(steps) > 20 and min(steps) >= 0


def test_reading_twice_gives_the_same(tmp_path):
    export = open_export([write(tmp_path, "time,a\n" + rows(("1",), ("Bad",)))], ReadSettings())

    list(export.chunks())
    first = export.account()
    list(export.chunks())

    assert export.account() == first
    assert first.kept == 2


def test_account_before_the_end_is_a_defect(tmp_path):
    export = open_export([write(tmp_path, "time,a\n" + rows(("1",)))], ReadSettings())

    with pytest.raises(RuntimeError, match=r"account\(\) was asked before chunks\(\)"):
        export.account()
    assert isinstance(export, Export)


CELLS = ("1", "2.5", "-0", "Bad", "", " 3", "+4", "inf", "nan", "1e400", "1e-400", "NAN(x)", "TRUE")


@settings(max_examples=60, deadline=None)
@given(
    cells=st.lists(st.tuples(st.sampled_from(CELLS), st.sampled_from(CELLS)), min_size=1),
    odd=st.sampled_from(["", "\n", "  \n", ",,\n"]),
    block_bytes=st.integers(1, 400),
)
def test_reading_block_changes_nothing(tmp_path_factory, cells, odd, block_bytes):
    lines = rows(("7", "8"), *cells).splitlines(keepends=True)
    path = write(tmp_path_factory.mktemp("block"), "time,a,b\n" + odd.join(lines))

    expected_us, expected, export = read(path)
    time_us, values, other = read(path, block_bytes=block_bytes)

    np.testing.assert_array_equal(time_us, expected_us)
    np.testing.assert_array_equal(values, expected)
    assert other.account() == export.account()


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of a Windows machine is fixed")
def test_zone_of_the_machine_changes_nothing(tmp_path, monkeypatch):
    zoned = write(tmp_path, "time,a\n2026-07-01T00:00:00+02:00,1\n", name="zoned.csv")
    naive = write(tmp_path, "time,a\n2026-07-01 00:00:00,1\n", name="naive.csv")
    single = write(tmp_path, "a\n1\n", name="single.csv")
    seen = set()
    try:
        for zone in ("UTC", "Asia/Tokyo", "America/New_York"):
            monkeypatch.setitem(os.environ, "TZ", zone)
            time.tzset()
            results = [
                read(zoned),
                read(naive, timezone="Europe/Berlin"),
                read(single, start="2026-07-01", period_s=1.0, timezone="Europe/Berlin"),
            ]
            seen |= {int(time_us[0]) for time_us, _, _ in results}
    finally:
        monkeypatch.undo()
        time.tzset()
    assert seen == {START_US + (181 * 24 - 2) * 3_600_000_000}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"timezone": "Berlin"},
            "timezone is 'Berlin', expected an IANA name such as UTC or Europe/Berlin: correct it.",
        ),
        (
            {"separator": ":"},
            "separator is ':', expected one of , ; tab | or a blank: correct it, or leave it out "
            "and it is found.",
        ),
        (
            {"decimal": "'"},
            "decimal is \"'\", expected '.' or ',': correct it, or leave it out and it is found.",
        ),
        (
            {"duplicates": "first"},
            "duplicates is 'first', expected one of refuse, last, mean: correct it.",
        ),
        ({"lookback_rows": -1}, "lookback_rows is -1, expected 0 or more: correct it."),
        (
            {"start": "2026-01-01"},
            "only one of start and period_s is given, expected both or none: give the time of the "
            "first row and the seconds from row to row.",
        ),
        (
            {"start": "2026-01-01", "period_s": 0.0},
            "period_s is 0.0, expected seconds above 0 (a microsecond or more): correct it.",
        ),
        (
            {"start": "1.1.2026", "period_s": 1.0},
            "start is '1.1.2026', expected an ISO time such as 2026-01-31 00:00:00: correct it.",
        ),
    ],
)
def test_settings_that_cannot_be_used(tmp_path, wrong, message):
    path = write(tmp_path, "time,a\n" + rows(("1",)))

    with pytest.raises(UsageError) as fault:
        open_export([path], ReadSettings(**wrong))
    assert str(fault.value) == message

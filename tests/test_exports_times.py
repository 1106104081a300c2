"""Times as plants write them: every format, whole columns, split columns."""

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor_ad.errors import UsageError
from sensor_ad.exports.time_cells import BadTimeError
from sensor_ad.exports.time_evidence import (
    MixedTimesError,
    NoTimesError,
    TimeEvidence,
    UndecidedTimesError,
)
from sensor_ad.exports.time_formats import FORMATS, TIME_OF_DAY, by_name
from sensor_ad.exports.times import (
    IN_FUTURE,
    ODD_YEAR,
    implausible,
    join_date_time,
)

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR


def us(text):
    """Return microseconds since 1970 of an ISO time; UTC unless it says its offset."""
    at = datetime.fromisoformat(text)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def shown(time_us):
    return str(np.datetime64(int(time_us), "us"))


KNOWN = [
    ("ISO 8601", "2026-02-01", "2026-02-01"),
    ("ISO 8601", "2026-02-01T03:04", "2026-02-01 03:04:00"),
    ("ISO 8601", "2026/02/01 03:04:05", "2026-02-01 03:04:05"),
    ("ISO 8601", "2026.02.01 03:04:05", "2026-02-01 03:04:05"),
    ("ISO 8601", "2026-2-1 3:4", "2026-02-01 03:04:00"),
    ("ISO 8601", "  2026-02-01 03:04:05\t", "2026-02-01 03:04:05"),
    ("ISO 8601", "2026-02-01 03:04:05,1", "2026-02-01 03:04:05.1"),
    ("ISO 8601", "2026-02-01 03:04:05.1234567", "2026-02-01 03:04:05.123456"),
    ("ISO 8601", "2026-02-01 03:04:05.123456999", "2026-02-01 03:04:05.123456"),
    ("ISO 8601", "2026-02-01 03:04:05:123", "2026-02-01 03:04:05.123"),
    ("ISO 8601", "2026-02-01 24:00", "2026-02-02 00:00:00"),
    ("ISO 8601", "2016-12-31 23:59:60", "2017-01-01 00:00:00"),
    ("ISO 8601", "2024-02-29", "2024-02-29"),
    ("ISO 8601 with zone", "2026-02-01T03:04:05Z", "2026-02-01 03:04:05"),
    ("ISO 8601 with zone", "2026-02-01 03:04:05+01:00", "2026-02-01 02:04:05"),
    ("ISO 8601 with zone", "2026-02-01 03:04:05 -0330", "2026-02-01 06:34:05"),
    ("ISO 8601 with zone", "2026-02-01 03:04 UTC", "2026-02-01 03:04:00"),
    ("ISO 8601 with zone", "2026-02-01 03:04 GMT+1", "2026-02-01 02:04:00"),
    ("dd.mm.yyyy", "01.02.2026", "2026-02-01"),
    ("dd.mm.yyyy", "1.2.2026 0:0", "2026-02-01 00:00:00"),
    ("dd.mm.yyyy", "01.02.2026 03.04.05", "2026-02-01 03:04:05"),
    ("dd.mm.yyyy", "01.02.2026 03:04:05,678", "2026-02-01 03:04:05.678"),
    ("dd.mm.yyyy with zone", "01.02.2026 03:04:05 +02:00", "2026-02-01 01:04:05"),
    ("mm.dd.yyyy", "01.02.2026", "2026-01-02"),
    ("dd/mm/yyyy", "01/02/2026 03:04:05", "2026-02-01 03:04:05"),
    ("mm/dd/yyyy", "01/02/2026 03:04:05", "2026-01-02 03:04:05"),
    ("mm/dd/yyyy", "1/2/2026 12:00:00 AM", "2026-01-02 00:00:00"),
    ("mm/dd/yyyy", "1/2/2026 12:30 pm", "2026-01-02 12:30:00"),
    ("mm/dd/yyyy", "1/2/2026 1:30:00\u202fPM", "2026-01-02 13:30:00"),
    ("dd/mm/yyyy", "1/2/2026 1:30:00 p. m.", "2026-02-01 13:30:00"),
    ("mm/dd/yyyy", "1/2/2026, 1:30:00 PM", "2026-01-02 13:30:00"),
    ("mm/dd/yyyy with zone", "1/2/2026 1:30:00 PM UTC", "2026-01-02 13:30:00"),
    ("dd-mm-yyyy", "01-02-2026 03:04", "2026-02-01 03:04:00"),
    ("mm-dd-yyyy", "01-02-2026 03:04", "2026-01-02 03:04:00"),
    ("dd.mm.yy", "01.02.26 03:04", "2026-02-01 03:04:00"),
    ("mm/dd/yy", "7/20/01 11:07", "2001-07-20 11:07:00"),
    ("yy-mm-dd", "26-02-01 03:04", "2026-02-01 03:04:00"),
    ("dd/mm/yy", "01/02/68", "2068-02-01"),
    ("dd/mm/yy", "01/02/69", "1969-02-01"),
    ("dd-Mon-yyyy", "01-Feb-26 03:04:05", "2026-02-01 03:04:05"),
    ("dd-Mon-yyyy", "1 february 2026", "2026-02-01"),
    ("dd-Mon-yyyy", "01/MAY/2026 3:04 AM", "2026-05-01 03:04:00"),
    ("dd-Mon-yyyy", "01SEPT2026", "2026-09-01"),
    ("dd-Mon-yyyy with zone", "01-Feb-2026 03:04:05 GMT", "2026-02-01 03:04:05"),
    ("Mon dd, yyyy", "Feb 1, 2026 1:02:03 PM", "2026-02-01 13:02:03"),
    ("yyyymmdd", "20260201", "2026-02-01"),
    ("yyyymmdd", "20260201 03:04:05.678", "2026-02-01 03:04:05.678"),
    ("yyyymmddHHMMSS", "20260201030405", "2026-02-01 03:04:05"),
    ("yyyymmddHHMMSS", "20260201T0304", "2026-02-01 03:04:00"),
    ("yyyymmddHHMMSS", "20260201030405678", "2026-02-01 03:04:05.678"),
    ("yyyymmddHHMMSS with zone", "20260201T030405Z", "2026-02-01 03:04:05"),
    ("epoch s", "1767225600", "2026-01-01 00:00:00"),
    ("epoch s", "1767225600.123456789", "2026-01-01 00:00:00.123456"),
    ("epoch ms", "1767225600123", "2026-01-01 00:00:00.123"),
    ("epoch ms", "1767225600123,5", "2026-01-01 00:00:00.123500"),
    ("epoch us", "1767225600123456", "2026-01-01 00:00:00.123456"),
    ("epoch ns", "1767225600123456789", "2026-01-01 00:00:00.123456"),
    ("Excel serial", "46054", "2026-02-01"),
    ("Excel serial", "46054.041666666664", "2026-02-01 01:00:00"),
    ("Excel serial", "46054,0416666667", "2026-02-01 01:00:00"),
    ("Excel serial", "46054.9999999999", "2026-02-02 00:00:00"),
    ("Excel serial x 1e6", "43231593645,8333", "2018-05-11 14:14:51"),
    ("FILETIME", "134116992001234567", "2026-01-01 00:00:00.123456"),
    (".NET ticks", "639028224000000000", "2026-01-01 00:00:00"),
]


@pytest.mark.parametrize(("name", "text", "expected"), KNOWN)
def test_parse_known_text(name, text, expected):
    assert shown(by_name(name).parse(pa.array([text]))[0]) == shown(us(expected))


def test_parse_every_format_has_a_known_text():
    twins = {name for name, *_ in KNOWN}
    missing = {name.removesuffix(" with zone") for name in FORMATS} - {
        name.removesuffix(" with zone") for name in twins
    }
    assert missing == {"dd-mm-yy", "mm.dd.yy", "mm-dd-yy", "yy/mm/dd", "yy.mm.dd"}  # as others


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dd.mm.yyyy", "31.02.2026"),
        ("dd.mm.yyyy", "29.02.2025"),
        ("dd.mm.yyyy", "13.13.2026"),
        ("dd.mm.yyyy", "00.01.2026"),
        ("dd.mm.yyyy", "01.01.0000"),
        ("dd.mm.yyyy", "01.01/2026"),
        ("dd.mm.yyyy", "01.02.2026 12.5"),
        ("dd.mm.yyyy", "01.02.2026 00:00 +02:00"),
        ("dd-Mon-yyyy", "01-Mai-2026"),
        ("dd-Mon-yyyy", "01-Okt-2026"),
        ("ISO 8601", "2026-02-01 24:01"),
        ("ISO 8601", "2026-02-01 25:00"),
        ("ISO 8601", "2026-02-01 00:60"),
        ("ISO 8601", "2026-02-01 00:00:61"),
        ("ISO 8601", "2026-02-01 00:00:00."),
        ("ISO 8601", "2026-02-01 00:00:00.1234567890"),
        ("ISO 8601", "2026-02-01 00:00:00:12"),
        ("ISO 8601", "2026-02-01 00"),
        ("ISO 8601", "2026-02-01\x00"),
        ("ISO 8601", ""),
        ("ISO 8601", None),
        ("ISO 8601", "２０２６-02-01"),
        ("ISO 8601", "2026-02-01 " * 20),
        ("ISO 8601 with zone", "2026-02-01 00:00:00"),
        ("ISO 8601 with zone", "2026-02-01 00:00+1"),
        ("ISO 8601 with zone", "2026-02-01 00:00+16:00"),
        ("ISO 8601 with zone", "2026-02-01 00:00 CET"),
        ("mm/dd/yyyy", "1/2/2026 0:30 AM"),
        ("mm/dd/yyyy", "1/2/2026 13:30 PM"),
        ("epoch s", "1.767E+09"),
        ("epoch s", "-1767225600"),
        ("epoch ns", "9999999999999999999"),
        ("Excel serial", "46054.5.5"),
    ],
)
def test_parse_refuses(name, text):
    cells = pa.array([text], pa.string())
    with pytest.raises(BadTimeError) as refused:
        by_name(name).parse(cells)
    assert (refused.value.index, refused.value.reason) == (0, "does not read")


def test_parse_names_the_first_bad_cell_among_several_looks():
    cells = pa.array(["01.02.2026", "1.2.2026", "31.02.2026", "1.13.2026", "nonsense"])
    with pytest.raises(BadTimeError) as refused:
        by_name("dd.mm.yyyy").parse(cells)
    assert refused.value.index == 2
    time_us, ok = by_name("dd.mm.yyyy").read(cells)
    assert ok.tolist() == [True, True, False, False, False]
    assert time_us.tolist() == [us("2026-02-01")] * 2 + [0] * 3


def test_parse_many_strange_looks_takes_no_long_time_and_finds_the_first():
    """A column of texts: each look is met once, so that reading all of them would never end."""
    texts = [f"{'abcdefghij'[k % 10]}{k:05d}{chr(97 + k // 10 % 26)}"[::-1] for k in range(60_000)]
    time_us, ok = by_name("dd.mm.yyyy").read(pa.array(["01.02.2026", *texts]))
    assert ok.sum() == 1
    assert time_us[0] == us("2026-02-01")


def test_parse_slices_and_chunks_alike():
    cells = pa.array(["junk", "01.02.2026", "02.02.2026 00:00", None])
    expected = [us("2026-02-01"), us("2026-02-02")]
    assert by_name("dd.mm.yyyy").parse(cells.slice(1, 2)).tolist() == expected
    chunked = pa.chunked_array([cells.slice(1, 1), cells.slice(2, 1)])
    assert by_name("dd.mm.yyyy").parse(chunked).tolist() == expected
    large = cells.slice(1, 2).cast(pa.large_string())
    assert by_name("dd.mm.yyyy").parse(large).tolist() == expected


def test_by_name_refuses_unknown_name_with_the_nearest():
    with pytest.raises(UsageError) as refused:
        by_name("dd.mm.yyy")
    assert str(refused.value) == (
        f"time format 'dd.mm.yyy' is not known, expected one of {', '.join(FORMATS)}; the nearest "
        "is 'dd.mm.yyyy': correct it."
    )


CLOCKS = {
    "%H:%M": 60 * SECOND,
    "%H:%M:%S": SECOND,
    "%H.%M.%S": SECOND,
    "%H:%M:%S.%f": 1,
    "%H:%M:%S,%f": 1,
    "%I:%M:%S %p": SECOND,
}
DATES = {
    "ISO 8601": "%Y-%m-%d",
    "dd.mm.yyyy": "%d.%m.%Y",
    "mm.dd.yyyy": "%m.%d.%Y",
    "dd/mm/yyyy": "%d/%m/%Y",
    "mm/dd/yyyy": "%m/%d/%Y",
    "dd-mm-yyyy": "%d-%m-%Y",
    "mm-dd-yyyy": "%m-%d-%Y",
    "dd.mm.yy": "%d.%m.%y",
    "mm.dd.yy": "%m.%d.%y",
    "yy.mm.dd": "%y.%m.%d",
    "dd/mm/yy": "%d/%m/%y",
    "mm/dd/yy": "%m/%d/%y",
    "yy/mm/dd": "%y/%m/%d",
    "dd-mm-yy": "%d-%m-%y",
    "mm-dd-yy": "%m-%d-%y",
    "yy-mm-dd": "%y-%m-%d",
    "dd-Mon-yyyy": "%d-%b-%Y",
    "Mon dd, yyyy": "%b %d, %Y",
    "yyyymmdd": "%Y%m%d",
}
moments = st.datetimes(datetime(1969, 1, 1), datetime(2068, 12, 31))  # as far as %y reaches


@given(
    st.lists(moments, min_size=1, max_size=20),
    st.sampled_from(sorted(DATES)),
    st.sampled_from(sorted(CLOCKS)),
    st.sampled_from(["", "Z", "+01:00", " -0330", " UTC"]),
    st.booleans(),
)
def test_parse_reads_back_what_was_written(times, name, clock, zone, short):
    """Every date style with every time of day, with zeros in front and without."""
    grain = CLOCKS[clock]
    texts, expected = [], []
    offset = {"+01:00": HOUR, " -0330": -7 * HOUR // 2}.get(zone, 0)
    for at in times:
        text = at.strftime(f"{DATES[name]} {clock}")
        if short and name.endswith("yyyy") and ":" in clock:  # 01.02.2026 03:04 -> 1.2.2026 3:04
            text = re.sub(r"(?<![\d:])0(?=\d[-./:])", "", text)
        texts.append(text + zone)
        exact = us(at.isoformat())
        expected.append(exact // grain * grain - offset)
    full = f"{name} with zone" if zone else name
    assert by_name(full).parse(pa.array(texts)).tolist() == expected


@given(st.lists(st.integers(us("1980-01-01"), us("2100-12-31")), min_size=1, max_size=20))
def test_parse_numbers_reads_back_what_was_written(times):
    times = np.array(times)
    whole = times // 1000 * 1000
    written = {
        "epoch s": [f"{t // SECOND}.{t % SECOND:06d}" for t in times],
        "epoch ms": [f"{t // 1000},{t % 1000:03d}" for t in times],
        "epoch us": [str(t) for t in times],
        "epoch ns": [f"{t}999" for t in times],
        "FILETIME": [str(t * 10 + 116_444_736_000_000_000) for t in times],
        ".NET ticks": [str(t * 10 + 621_355_968_000_000_000) for t in times],
    }
    for name, texts in written.items():
        assert by_name(name).parse(pa.array(texts)).tolist() == times.tolist(), name
    days = [f"{t / DAY + 25_569:.15g}" for t in whole]  # as Excel writes them
    assert by_name("Excel serial").parse(pa.array(days)).tolist() == whole.tolist()
    scaled = [f"{(t / DAY + 25_569) * 1e6:.4f}".replace(".", ",") for t in whole]
    assert by_name("Excel serial x 1e6").parse(pa.array(scaled)).tolist() == whole.tolist()


@given(st.lists(st.integers(us("1980-01-01"), us("2100-12-31")), min_size=1, max_size=20))
def test_count_numbers_of_workbooks_and_parquet(times):
    """Integers are exact; floats are so far as they hold the time."""
    whole = np.array(times) // 1000 * 1000
    for name, numbers in {
        "epoch s": whole / SECOND,
        "epoch ms": whole // 1000,
        "epoch us": whole,
        "epoch ns": whole * 1000,
        "Excel serial": whole / DAY + 25_569,
        "Excel serial x 1e6": (whole / DAY + 25_569) * 1e6,
        "FILETIME": whole * 10 + 116_444_736_000_000_000,
    }.items():
        time_us, ok = by_name(name).count(numbers)
        assert ok.all()
        assert time_us.tolist() == whole.tolist(), name


@pytest.mark.parametrize(
    ("numbers", "name", "expected"),
    [
        ([46054.5, np.nan], "Excel serial", "2026-02-01 12:00"),
        ([1767225600.25], "epoch s", "2026-01-01 00:00:00.25"),
        ([1767225600123], "epoch ms", "2026-01-01 00:00:00.123"),
        ([20260131.0], "yyyymmdd", "2026-01-31"),
    ],
)
def test_numbers_are_decided_and_counted(numbers, name, expected):
    shown_by = TimeEvidence(numeric_ok=True)
    shown_by.add_numbers(np.array(numbers))
    decided = shown_by.decide()
    assert decided.name == name
    assert decided.count(np.array(numbers))[0][0] == us(expected)


def test_count_numbers_that_are_none():
    time_us, ok = by_name("Excel serial").count(np.array([np.nan, np.inf, -1.0, 1e300, 46054.5]))
    assert ok.tolist() == [False, False, False, False, True]
    assert time_us.tolist() == [0, 0, 0, 0, us("2026-02-01 12:00")]
    assert not by_name("epoch s").count(np.array([2**61]))[1][0]


def column(start, rows, step_s, pattern):
    """Return texts of steady times."""
    first = datetime.fromisoformat(start)
    return [(first + timedelta(seconds=step_s * k)).strftime(pattern) for k in range(rows)]


def evidence(texts, block=None, **kwargs):
    shown = TimeEvidence(**kwargs)
    for start in range(0, len(texts), block or len(texts) or 1):
        shown.add(pa.array(texts[start : start + (block or len(texts))]))
    return shown


@pytest.mark.parametrize("block", [None, 1, 7])
@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (["01.02.2026", "13.02.2026"], "dd.mm.yyyy"),
        (["01.02.2026", "02.13.2026"], "mm.dd.yyyy"),
        (column("2026-02-01", 72, 3600, "%d.%m.%Y %H:%M"), "dd.mm.yyyy"),
        (column("2026-02-01", 72, 3600, "%m.%d.%Y %H:%M"), "mm.dd.yyyy"),
        (column("2026-02-03", 72, -3600, "%m/%d/%Y %I:%M %p"), "mm/dd/yyyy"),
        (column("2026-02-01", 72, 3600, "%y-%m-%d %H:%M"), "yy-mm-dd"),
        (column("2026-01-05", 72, 3600, "%d-%b-%y %H:%M:%S"), "dd-Mon-yyyy"),
        (
            ["05.01.2026", "12.01.2026", "02.02.2026", "16.02.2026"],
            "dd.mm.yyyy",
        ),
        (["2026-01-01 00:00", "", None, "2026-01-01 00:01"], "ISO 8601"),
    ],
)
def test_decide_over_the_whole_column(texts, name, block):
    assert evidence(texts, block).decide().name == name


UNDECIDED = (
    "'01.02.2026 00:00' is 1 February 2026 as dd.mm.yyyy, 2 January 2026 as mm.dd.yyyy, and "
    "nothing else in the column tells, expected times that can be read in one way: say which by "
    'data.time_format = "dd.mm.yyyy" or "mm.dd.yyyy"'
)


@pytest.mark.parametrize(
    "texts",
    [
        ["01.02.2026 00:00", "03.02.2026 00:00"],
        ["01.02.2026 00:00"],
        column("2026-02-01", 24, 3600, "%d.%m.%Y %H:%M"),  # one date
        column("2026-02-01", 12, 86_400, "%d.%m.%Y %H:%M"),  # or the second of each month
        [f"01.{month:02d}.2026 00:00" for month in range(2, 13)],  # or eleven days of January
    ],
)
def test_decide_refuses_what_can_be_read_in_two_ways(texts):
    with pytest.raises(UndecidedTimesError) as refused:
        evidence(texts).decide()
    assert refused.value.reason == str(refused.value) == UNDECIDED
    assert [f.name for f in refused.value.readings] == ["dd.mm.yyyy", "mm.dd.yyyy"]
    assert refused.value.example == "01.02.2026 00:00"


def test_decide_refuses_shuffled_days():
    texts = column("2026-02-01", 240, 3600, "%d.%m.%Y %H:%M")
    np.random.default_rng(0).shuffle(texts)
    with pytest.raises(UndecidedTimesError):
        evidence(texts).decide()


def test_decide_over_files_of_one_day_each():
    days = [column(f"2026-02-{d:02d}", 96, 900, "%d.%m.%Y %H:%M") for d in (3, 1, 2)]
    merged = evidence(days[0])
    with pytest.raises(UndecidedTimesError):
        merged.decide()
    for day in days[1:]:
        merged.merge(evidence(day))
    assert merged.decide().name == "dd.mm.yyyy"
    assert merged.readings["dd.mm.yyyy"].ordered


def test_decide_over_files_of_different_formats_refuses():
    merged = evidence(["13.02.2026"] * 200)
    merged.merge(evidence(["02/13/2026"] * 100))
    with pytest.raises(MixedTimesError) as refused:
        merged.decide()
    assert str(refused.value) == (
        "100 of 300 times are written otherwise than most: '13.02.2026' as dd.mm.yyyy, "
        "'02/13/2026' as mm/dd/yyyy, expected one format: export the column in one format"
    )


@pytest.mark.parametrize("block", [None, 100, 333])
def test_decide_refuses_mixed_formats_with_both_samples(block):
    texts = column("2026-01-20", 900, 60, "%d.%m.%Y %H:%M")
    texts[500:502] = ["2026-01-20T08:20", "01/20/2026 08:21"]
    with pytest.raises(MixedTimesError) as refused:
        evidence(texts, block).decide()
    assert str(refused.value) == (
        "2 of 900 times are written otherwise than most: '20.01.2026 00:00' as dd.mm.yyyy, "
        "'2026-01-20T08:20' as ISO 8601, expected one format: export the column in one format"
    )
    assert refused.value.samples == ("20.01.2026 00:00", "2026-01-20T08:20")


def test_decide_puts_up_with_one_cell_in_a_thousand():
    texts = column("2026-01-20", 2000, 60, "%d.%m.%Y %H:%M")
    texts[1500] = "2026-01-20T08:20"
    assert evidence(texts).decide().name == "dd.mm.yyyy"


def test_decide_refuses_what_is_no_time():
    with pytest.raises(NoTimesError) as refused:
        evidence(["46054", "46055"]).decide()
    assert str(refused.value) == "2 of 2 cells are no times (the first: '46054'), expected times"
    with pytest.raises(NoTimesError):
        evidence([]).decide()


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (["46054", "46054.5"], "Excel serial"),
        (["43231593645,8333"], "Excel serial x 1e6"),
        (["1767225600", "1767225600.5"], "epoch s"),
        (["1767225600000"], "epoch ms"),
        (["1767225600000000"], "epoch us"),
        (["1767225600000000000"], "epoch ns"),
        (["134116992000000000"], "FILETIME"),
        (["20260131"], "yyyymmdd"),
        (["20260131235900"], "yyyymmddHHMMSS"),
        (["202601312359"], "yyyymmddHHMMSS"),
    ],
)
def test_decide_numbers_where_the_column_is_the_time(texts, name):
    assert evidence(texts, numeric_ok=True).decide().name == name
    with pytest.raises(NoTimesError):
        evidence(texts).decide()


def test_decide_refuses_numbers_of_two_meanings():
    with pytest.raises(UndecidedTimesError) as refused:
        evidence(["639028224000000000"], numeric_ok=True).decide()
    assert str(refused.value).startswith(
        "'639028224000000000' is 2 April 1990 as epoch ns, 1 January 2026 as .NET ticks,"
    )


@settings(max_examples=50)
@given(
    st.lists(moments, min_size=1, max_size=300), st.integers(1, 50), st.sampled_from(sorted(DATES))
)
def test_decide_is_never_wrong_and_does_not_depend_on_blocks(times, block, name):
    """Whatever the times: the format is the one they were written in, or the column is refused."""
    texts = [at.strftime(f"{DATES[name]} %H:%M") for at in times]
    results = []
    for size in (len(texts), block):
        try:
            results.append(evidence(texts, size, numeric_ok=True).decide().name)
        except UndecidedTimesError as refused:
            results.append(str(refused))
    assert results[0] == results[1]
    assert results[0] == name or "nothing else in the column tells" in results[0]


@settings(max_examples=30)
@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1)),
    st.sampled_from([1, 7, 60, 900, 3600, 5400]),
    st.integers(2, 400),
    st.sampled_from(sorted(DATES)),
)
def test_decide_steady_times_never_wrong(start, step_s, rows, name):
    texts = column(
        start.replace(microsecond=0).isoformat(), rows, step_s, f"{DATES[name]} %H:%M:%S"
    )
    try:
        decided = evidence(texts, numeric_ok=True).decide().name
    except UndecidedTimesError:
        decided = name
    assert decided == name
    days = (
        start + timedelta(seconds=step_s * (rows - 1)) - start.replace(hour=0, minute=0, second=0)
    )
    if days >= timedelta(days=40) and not name.startswith("yy"):  # some day above 12
        assert evidence(texts, numeric_ok=True).decide().name == name


def test_pandas_misreads_what_is_refused_or_decided_here():
    """What pandas does with the same texts; when this changes, the documents are to follow."""
    read = pd.to_datetime(pd.Series(["01.02.2026", "03.02.2026"]))
    assert [str(day.date()) for day in read] == ["2026-01-02", "2026-03-02"]  # without a warning
    with pytest.raises(UndecidedTimesError):
        evidence(["01.02.2026", "03.02.2026"]).decide()

    assert str(pd.Timestamp("01/02/2026").date()) == "2026-01-02"  # and the next one flips
    with pytest.warns(UserWarning, match="dayfirst"):
        assert str(pd.to_datetime("13/02/2026").date()) == "2026-02-13"
    assert evidence(["01/02/2026", "13/02/2026"]).decide().name == "dd/mm/yyyy"
    assert shown(by_name("dd/mm/yyyy").parse(pa.array(["01/02/2026"]))[0])[:10] == "2026-02-01"

    hours = pd.DatetimeIndex(["2026-10-25 02:30"])  # one pass of the hour
    with pytest.raises(ValueError, match="no repeated times"):
        hours.tz_localize("Europe/Berlin", ambiguous="infer")
    with pytest.raises(ValueError, match="Cannot infer dst time"):
        hours.tz_localize("Europe/Berlin")
    with pytest.raises(ValueError, match="nonexistent time"):
        pd.DatetimeIndex(["2026-03-29 02:30"]).tz_localize("Europe/Berlin")
    assert pd.to_datetime(["2026-01-01"]).dtype == "datetime64[us]"


def test_time_of_day_and_date_in_two_columns():
    dates = by_name("dd.mm.yyyy").parse(pa.array(["01.02.2026", "01.02.2026", "31.12.2026"]))
    clock = TIME_OF_DAY.parse(pa.array(["0:0", "11:59:59.5 PM", "24:00"]))
    joined = [shown(t)[:21] for t in join_date_time(dates, clock)]
    assert joined == ["2026-02-01T00:00:00.0", "2026-02-01T23:59:59.5", "2027-01-01T00:00:00.0"]
    with pytest.raises(BadTimeError) as refused:
        join_date_time(dates + np.array([0, 1, 0]), clock)
    assert (refused.value.index, refused.value.reason) == (1, "has a time of day itself")
    with pytest.raises(BadTimeError):
        TIME_OF_DAY.parse(pa.array(["24:01"]))


def test_implausible_times_by_reason():
    now = us("2026-06-01")
    times = ["1899-12-30", "1979-12-31T23:59:59", "1980-01-01", "2026-06-02", "2026-06-02T00:00:01"]
    times += ["2100-12-31", "2101-01-01"]
    flags = implausible(np.array([us(text) for text in times]), now)
    assert flags[ODD_YEAR].tolist() == [True, True, False, False, False, False, True]
    assert flags[IN_FUTURE].tolist() == [False, False, False, False, True, True, False]

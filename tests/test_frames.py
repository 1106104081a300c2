"""A frame as an export: where its times are, which columns are tags, what is refused."""

import numpy as np
import pandas as pd
import pytest

from sensor_ad.config import make_config
from sensor_ad.errors import DataError
from sensor_ad.frames import FrameExport

START_US = 1_767_225_600_000_000  # 2026-01-01 00:00:00 UTC
MINUTE_US = 60_000_000
NAN = float("nan")


def minutes(*numbers, tz=None):
    times = pd.to_datetime(START_US + np.array(numbers) * MINUTE_US, unit="us")
    return times if tz is None else times.tz_localize("UTC").tz_convert(tz)


def export(frame, **data):
    return FrameExport(frame, make_config({"data": data}))


def read(frame, **data):
    """Read a frame; return minutes since the start, values, and the export."""
    made = export(frame, **data)
    (readings,) = made.chunks()
    assert readings.tags == made.tags
    assert readings.values.dtype == np.float64
    assert readings.time_us.dtype == np.int64
    return ((readings.time_us - START_US) / MINUTE_US).tolist(), readings.values.tolist(), made


def refusal(frame, **data):
    with pytest.raises(DataError) as refused:
        export(frame, **data)
    return str(refused.value)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("tz", [None, "UTC", "Asia/Kolkata"])
def test_index_of_times(unit, tz):
    frame = pd.DataFrame({"a": [1, 2], "b": [1.5, None]}, index=minutes(0, 1, tz=tz).as_unit(unit))
    times, values, made = read(frame)
    assert times == [0, 1]
    np.testing.assert_array_equal(values, [[1, 1.5], [2, NAN]])
    assert made.tags == ("a", "b")
    assert made.account().rows_in == made.account().kept == 2
    assert made.account().notes == ()


@pytest.mark.parametrize("named", [True, False])
def test_column_of_times(named):
    frame = pd.DataFrame({"t": minutes(0, 1), "a": [1, 2]})
    times, values, made = read(frame, **({"time_column": "t"} if named else {}))
    assert (times, values, made.tags) == ([0, 1], [[1], [2]], ("a",))
    assert made.account().notes == ()


def test_column_of_iso_texts():
    texts = ["2026-01-01 01:00:00", "2026-01-01T01:01"]
    frame = pd.DataFrame({"t": texts, "a": [1, 2]})
    assert read(frame, time_column="t", timezone="Europe/Berlin")[0] == [0, 1]


@pytest.mark.parametrize("column", [["01.02.2026", "02.02.2026"], ["x", "y"], [1, 2], [1.5, 2.5]])
def test_column_that_holds_no_times_refused(column):
    assert refusal(pd.DataFrame({"t": column, "a": [1, 2]}), time_column="t") == (
        "the column 't' (data.time_column) does not hold times throughout; convert it "
        "(pandas.to_datetime)."
    )


def test_naive_times_are_plant_time():
    frame = pd.DataFrame({"a": [1, 2]}, index=minutes(60, 61))
    assert read(frame, timezone="Europe/Berlin")[0] == [0, 1]


def test_start_and_period_stand_for_times():
    frame = pd.DataFrame({"a": [1, 2, 3]})
    times, _, _ = read(frame, start="2026-01-01T01:00", period_s=30, timezone="Europe/Berlin")
    assert times == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("local", "what"), [("2026-03-29 02:30", "nonexistent"), ("2026-10-25 02:30", "dst time")]
)
def test_time_that_the_clock_skips_or_repeats_refused(local, what):
    frame = pd.DataFrame({"a": [1]}, index=pd.DatetimeIndex([local]))
    message = refusal(frame, timezone="Europe/Berlin")
    assert message.startswith(
        "a time of the frame does not exist or exists twice in Europe/Berlin ("
    )
    assert message.endswith("); give times in UTC.")
    assert what in message


def test_rows_are_sorted_and_counted():
    frame = pd.DataFrame({"a": [3, 1, 2]}, index=minutes(3, 1, 2))
    times, values, made = read(frame)
    assert (times, values) == ([1, 2, 3], [[1], [2], [3]])
    assert made.account().sorted == 1


@pytest.mark.parametrize(
    ("policy", "rows"),
    [("last", [[1, 5], [4, 7], [3, 1]]), ("mean", [[1, 5], [3, 6.5], [3, 1]])],
)
def test_duplicates_settled(policy, rows):
    frame = pd.DataFrame({"a": [1, 2, 4, 3], "b": [5.0, 6, 7, 1]}, index=minutes(0, 1, 1, 2))
    times, values, made = read(frame, duplicates=policy)
    assert (times, values) == ([0, 1, 2], rows)
    account = made.account()
    assert (account.rows_in, account.kept) == (4, 3)
    assert account.dropped == {"other values at the same time": 1}


def test_duplicates_with_different_values_refused():
    frame = pd.DataFrame({"a": [1, 2]}, index=minutes(1, 1))
    assert refusal(frame) == (
        "two rows at 2026-01-01 00:01:00 UTC differ: tag 'a' is 1 and 2, expected one row for each "
        "time: export again, or say by data.duplicates whether the last or the mean counts."
    )


def test_duplicates_that_agree_or_complete_each_other_are_one_row():
    frame = pd.DataFrame({"a": [1, 1, NAN, 4], "b": [5.0, 5, 6, NAN]}, index=minutes(0, 0, 1, 1))
    times, values, made = read(frame)
    assert (times, values) == ([0, 1], [[1, 5], [4, 6]])
    assert sum(made.account().dropped.values()) == 2


def test_every_kind_of_number_is_a_tag_and_the_rest_is_told():
    frame = pd.DataFrame(
        {
            "float32": np.array([1.5, NAN], np.float32),
            "int8": np.array([1, -1], np.int8),
            "bool": [True, False],
            "maybe": pd.array([1, None], dtype="Int64"),
            "infinite": [np.inf, -np.inf],
            "text": ["x", "y"],
            "label": [0, 1],
            7: [7, 7],
        },
        index=minutes(0, 1),
    )
    _, values, made = read(frame, label_columns=["label"])
    assert made.tags == ("float32", "int8", "bool", "maybe", "infinite", "7")
    np.testing.assert_array_equal(values, [[1.5, 1, 1, 1, NAN, 7], [NAN, -1, 0, NAN, NAN, 7]])
    assert made.account().notes == ("the column 'text' holds no numbers: left out",)


def test_frame_stays_as_it_was():
    frame = pd.DataFrame({"a": [np.inf, 1.0, 2.0]}, index=minutes(2, 1, 1))
    before = frame.copy()
    export(frame, duplicates="last")
    pd.testing.assert_frame_equal(frame, before)


def test_progress_tells_the_size():
    made = export(pd.DataFrame({"a": [1, 2], "b": [1, 2]}, index=minutes(0, 1)))
    told = []
    list(made.chunks(told.append))
    assert told == [made.total_bytes] == [32]


@pytest.mark.parametrize(
    ("frame", "data", "message"),
    [
        (
            pd.DataFrame({"a": [1]}),
            {},
            "the frame has 0 columns of times and no DatetimeIndex, exactly one was expected; set "
            "the index, or name the column in data.time_column.",
        ),
        (
            pd.DataFrame({"s": minutes(0), "t": minutes(1), "a": [1]}),
            {},
            "the frame has 2 columns of times and no DatetimeIndex, exactly one was expected; set "
            "the index, or name the column in data.time_column.",
        ),
        (
            pd.DataFrame({"t": minutes(0), "a": [1]}),
            {"time_column": "time"},
            "the frame has no column 'time' (data.time_column); it has 't', 'a': correct the name.",
        ),
        (
            pd.DataFrame({"a": ["x"]}, index=minutes(0)),
            {},
            "the frame has no column of numbers, at least one tag was expected; convert its "
            "columns (pandas.to_numeric).",
        ),
        (
            pd.DataFrame({"a": [1, 2, 3]}, index=pd.DatetimeIndex([*minutes(0, 1), pd.NaT])),
            {},
            "the frame has 1 rows without a time, none were expected; drop those rows.",
        ),
        (
            pd.DataFrame([[1, 2]], columns=["a", "a"], index=minutes(0)),
            {},
            "the frame has 2 columns named 'a', one of each name was expected; rename them.",
        ),
    ],
    ids=["no times", "two times", "no such column", "no numbers", "NaT", "twice"],
)
def test_frame_refused(frame, data, message):
    assert refusal(frame, **data) == message

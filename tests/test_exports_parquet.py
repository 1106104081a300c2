"""Parquet files: every flat type, times of any unit, damage refused; CSV and Parquet agree."""

import subprocess
import sys
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sensor_ad.errors import DataError
from sensor_ad.exports import ReadSettings, columnar, open_export
from sensor_ad.exports.columnar import plain_batches, plain_columns
from sensor_ad.exports.parquet import sniff_parquet
from sensor_ad.exports.tally import Tally

START_US = 1_767_225_600_000_000  # 2026-01-01 00:00:00 UTC
TIMES = [datetime(2026, 1, 1), datetime(2026, 1, 1, 0, 0, 1)]
NAN = float("nan")


def read(path, **settings):
    export = open_export([Path(path)], ReadSettings(**settings))
    chunks = list(export.chunks())
    values = np.concatenate([chunk.values for chunk in chunks])
    assert values.dtype == np.float64
    return np.concatenate([chunk.time_us for chunk in chunks]), values, export


def write(folder, columns, name="plant.parquet", **kwargs):
    path = folder / name
    pq.write_table(pa.table(columns), path, **kwargs)
    return path


def refusal(path, **settings):
    with pytest.raises(DataError) as fault:
        read(path, **settings)
    return str(fault.value)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (pa.array([1, None], pa.int8()), [1, NAN]),
        (pa.array([1, None], pa.uint64()), [1, NAN]),
        (pa.array([2**53 + 1, -1], pa.int64()), [2**53, -1]),
        (pa.array([1.5, None], pa.float16()), [1.5, NAN]),
        (pa.array([1.5, NAN], pa.float32()), [1.5, NAN]),
        (pa.array([float("inf"), 1e301]), [NAN, NAN]),
        (pa.array([True, None]), [1, NAN]),
        (pa.array([Decimal("1.25"), None]), [1.25, NAN]),
        (pa.nulls(2), [NAN, NAN]),
        (pa.array(["1.5", " Bad"]), [1.5, NAN]),
        (pa.array(["true", "false"]), [1, 0]),
        (pa.array(["7", None]).dictionary_encode(), [7, NAN]),
        (pa.array(["7", "Bad"], pa.string_view()), [7, NAN]),
        (pa.array([7.5, None]).dictionary_encode(), [7.5, NAN]),
        (pa.array([Decimal("1.25"), None], pa.decimal256(60, 2)), [1.25, NAN]),
    ],
)
def test_types_of_values(tmp_path, cells, expected):
    path = write(tmp_path, {"time": pa.array(TIMES), "a": cells})

    time_us, values, export = read(path)

    assert export.tags == ("a",)
    np.testing.assert_array_equal(time_us - START_US, [0, 1_000_000])
    np.testing.assert_array_equal(values[:, 0], expected)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize(("zone", "hours"), [(None, -1), ("UTC", 0), ("America/New_York", 0)])
def test_times_of_any_unit(tmp_path, unit, zone, hours):
    """Without a zone they are the plant's; with one they name an instant already."""
    stamps = pa.array(TIMES).cast(pa.timestamp(unit)).cast(pa.timestamp(unit, zone))
    path = write(tmp_path, {"when": stamps, "a": [1.0, 2.0]})

    time_us, _, export = read(path, timezone="Europe/Berlin")

    np.testing.assert_array_equal(time_us - START_US, np.array([0, 1]) * 1_000_000 + hours * 3.6e9)
    noted = "times carry no zone: read as Europe/Berlin, as data.timezone says"
    assert export.account().notes == (() if zone else (noted,))


@pytest.mark.parametrize(
    "stamps",
    [
        pa.array([date(2026, 1, 1), date(2026, 1, 2)]),
        pa.array(["2026-01-01", "2026-01-02"]),
        pa.array(["2026-01-01T00:00Z", "2026-01-02T00:00Z"]),
        pa.array(["2026-01-01", "2026-01-02"], pa.large_string()),
        pa.array(["2026-01-01", "2026-01-02"], pa.string_view()),
        pa.array(["2026-01-01", "2026-01-02"]).dictionary_encode(),
        pa.array([date(2026, 1, 1), date(2026, 1, 2)], pa.date64()),
    ],
)
def test_times_of_other_types(tmp_path, stamps):
    time_us, _, _ = read(write(tmp_path, {"time": stamps, "a": [1.0, 2.0]}))

    np.testing.assert_array_equal(time_us - START_US, [0, 86_400_000_000])


def test_index_of_pandas_is_the_time(tmp_path):
    index = pd.date_range("2026-01-01", periods=3, freq="min", tz="UTC")
    pd.DataFrame({"a": [1, 2, 3]}, index=index).to_parquet(tmp_path / "plant.parquet")

    time_us, values, export = read(tmp_path / "plant.parquet")

    assert export.tags == ("a",)
    np.testing.assert_array_equal(time_us - START_US, np.arange(3) * 60_000_000)
    np.testing.assert_array_equal(values[:, 0], [1, 2, 3])


def test_numbered_index_of_pandas_is_no_tag(tmp_path):
    frame = pd.DataFrame({"time": TIMES, "a": [1, 2]}, index=[5, 9])
    frame.to_parquet(tmp_path / "plant.parquet")

    *_, export = read(tmp_path / "plant.parquet")

    assert export.tags == ("a",)
    assert export.account().notes[0] == "__index_level_0__ is an index that nobody named: left out"


def test_states_are_a_digital_tag_and_what_is_no_cell_is_left_out(tmp_path):
    path = write(
        tmp_path,
        {
            "time": TIMES,
            "a.b": [1.0, 2.0],
            "a": [3.0, 4.0],
            "list": [[1.0], [2.0]],
            "nested": [{"x": 1}, {"x": 2}],
            "state": ["run", "stop"],
            "raw": [b"1", b"2"],
            "label": [0, 1],
        },
    )

    _, values, export = read(path, label_columns=("label",))

    assert export.tags == ("a.b", "a", "state")
    np.testing.assert_array_equal(values, [[1, 3, 1], [2, 4, 0]])
    left_out = {"list": "list<element: double>", "nested": "struct<x: int64>", "raw": "binary"}
    assert export.account().notes == (
        *(
            f"plant.parquet: column {name!r} is of type {kind}, no number, text or time: left out"
            for name, kind in left_out.items()
        ),
        "tag state: digital, 'stop' = 0, 'run' = 1",
        "times carry no zone: read as UTC; set data.timezone if that is wrong",
    )


@pytest.mark.parametrize("block_bytes", [1, 100, 8 << 20])
@pytest.mark.parametrize("row_group_size", [7, 100_000])
def test_parquet_gives_what_csv_gives(tmp_path, block_bytes, row_group_size):
    rng = np.random.default_rng(1)
    values = np.where(rng.random((200, 3)) < 0.1, np.nan, rng.normal(size=(200, 3)).round(3))
    order = np.argsort(np.arange(200) + rng.integers(0, 9, 200), kind="stable")
    stamps = (np.datetime64("2026-01-01", "us") + np.arange(200) * np.timedelta64(1, "s"))[order]
    frame = pd.DataFrame({"time": stamps, **dict(zip("abc", values.T, strict=True))})
    frame.to_csv(tmp_path / "plant.csv", index=False)
    path = write(tmp_path, dict(frame), row_group_size=row_group_size)
    steps: list[int] = []

    expected_us, expected, text = read(tmp_path / "plant.csv")
    time_us, found, export = read(path, block_bytes=block_bytes)
    list(export.chunks(steps.append))

    np.testing.assert_array_equal(time_us, expected_us)
    np.testing.assert_array_equal(found, expected)
    assert export.account() == text.account()
    assert export.account().sorted > 0
    assert sum(steps) == export.total_bytes == path.stat().st_size


def test_no_time_column_but_row_numbers(tmp_path):
    path = write(tmp_path, {"a": [1.0, 2.0], "Label": [0, 0]})

    assert refusal(path, label_columns=("Label",)) == (
        "plant.parquet: no time column among 'a', expected one with times such as 2026-01-31 "
        "23:59:00: export it too, or give data.start and data.period_s."
    )
    time_us, _, _ = read(path, label_columns=("Label",), start="2026-01-01", period_s=60)
    np.testing.assert_array_equal(time_us - START_US, [0, 60_000_000])


def test_rows_without_time(tmp_path):
    empty = write(tmp_path, {"time": [*TIMES, None], "a": [1.0, 2.0, None]}, name="empty.parquet")
    lost = write(tmp_path, {"time": [*TIMES, None], "a": [1.0, 2.0, 3.0]}, name="lost.parquet")

    *_, export = read(empty)
    assert export.account().dropped == {"empty row": 1}
    assert refusal(lost) == (
        "lost.parquet, row 3: a row with values has no time, expected ISO 8601 as in the first "
        "rows, such as 2026-01-31 23:59:00: mend or remove this row."
    )


def test_time_that_cannot_be_read(tmp_path):
    texts = ["2026-01-01"] * 30 + ["2026-02-30"]
    path = write(tmp_path, {"time": texts, "a": [1.0] * 31})

    assert refusal(path) == (
        "plant.parquet, row 31: '2026-02-30' cannot be read as a time, expected ISO 8601 as in the "
        "first rows, such as 2026-01-31 23:59:00: mend or remove this row."
    )


def test_local_time_in_doubt(tmp_path):
    path = write(tmp_path, {"time": [datetime(2025, 10, 26, 2, 30)], "a": [1.0]})

    assert refusal(path, timezone="Europe/Berlin") == (
        "plant.parquet: the clock of Europe/Berlin goes back from 2025-10-26 03:00 to 2025-10-26 "
        "02:00, so that 2025-10-26 02:30:00 comes twice, and the rows show one pass, expected both "
        "passes of that hour in order: export in UTC or with the offset from UTC in every time, "
        "or, if the plant's clock stays on standard time all year, set data.clock = \"standard "
        'time".'
    )


@pytest.mark.parametrize("dictionary", [True, False])
def test_texts_that_are_no_utf8_are_refused(tmp_path, dictionary):
    columns = {
        "time": pd.date_range("2026-01-01", periods=4, freq="s"),
        "valve": ["open", "shut", "open", "shut"],
    }
    path = write(tmp_path, columns, use_dictionary=dictionary, compression="none")
    path.write_bytes(path.read_bytes().replace(b"open", b"op\xa7n"))

    assert refusal(path).startswith("plant.parquet: a damaged Parquet file (")
    assert "UTF8" in refusal(path)


def test_damaged_file_is_refused(tmp_path):
    columns = {
        "time": pd.date_range("2026-01-01", periods=1_000, freq="s"),
        "a": np.random.default_rng(0).random(1_000),
    }
    path = write(tmp_path, columns, write_page_checksum=True)
    whole = path.read_bytes()

    path.write_bytes(whole[: len(whole) // 2])
    assert refusal(path).startswith("plant.parquet: a damaged Parquet file (Parquet magic bytes")
    path.write_bytes(whole[:9_000] + b"\xff" + whole[9_001:])
    assert refusal(path).endswith(
        "), expected one that can be read to its end: copy or export it again."
    )
    path.write_bytes(whole.replace(b"time", b"\xa7ime"))
    assert refusal(path).startswith("plant.parquet: a damaged Parquet file ('utf-8' codec can't")
    path.write_bytes(b"time,a\n")
    assert refusal(path) == (
        "plant.parquet: begins with 'time', expected a Parquet file (PAR1): export it again, or "
        "rename it if it is CSV."
    )


def test_parquet_is_known_by_its_content(tmp_path):
    _, values, _ = read(write(tmp_path, {"time": TIMES, "a": [1.0, 2.0]}, name="plant.csv"))

    np.testing.assert_array_equal(values, [[1], [2]])


def test_files_that_hold_too_little_or_too_much(tmp_path, monkeypatch):
    none = write(tmp_path, {"time": pa.array([], pa.timestamp("us")), "a": pa.array([], pa.int8())})
    assert refusal(none) == (
        "plant.parquet: no rows, expected a table with rows: export a stretch of time that has "
        "data."
    )
    monkeypatch.setattr(columnar, "MOST_VALUES", 3)
    much = write(tmp_path, {"time": TIMES, "a": [1.0, 2.0]})
    assert refusal(much) == (
        "plant.parquet: row group 0 claims 2 rows of 2 columns, expected at most 3 values: write "
        "it with smaller row groups."
    )


def test_columns_that_cannot_be_read_are_named_with_their_types(tmp_path):
    path = write(
        tmp_path,
        {
            "time": TIMES,
            "a": [1.0, 2.0],
            "list": [[1.0], [2.0]],
            "struct": [{"x": 1}, {"x": 2}],
            "raw": [b"1", b"2"],
            "span": pa.array([1, 2], pa.duration("s")),
            "clock": pa.array([1, 2], pa.time64("us")),
            "id": pa.array([b"0" * 16] * 2, pa.uuid()),
            "map": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int8())),
        },
    )
    tally = Tally()

    columns = sniff_parquet(path, tally)

    assert list(columns) == ["time", "a"]
    assert tally.notes == [
        f"plant.parquet: column {name!r} is of type {kind}, no number, text or time: left out"
        for name, kind in [
            ("list", "list<element: double>"),
            ("struct", "struct<x: int64>"),
            ("raw", "binary"),
            ("span", "duration[s]"),
            ("clock", "time64[us]"),
            ("id", "extension<arrow.uuid>"),
            ("map", "map<string, int8 ('map')>"),
        ]
    ]


@pytest.mark.parametrize("batch_rows", [1, 3, 65_536])
def test_plain_batches(tmp_path, batch_rows):
    """A long file with a quality column: plain types, whole numbers with all their digits."""
    zoned = pa.timestamp("ns", "Europe/Berlin")
    columns = {
        "tag": pa.array(["FT1", "FT1", "FT2", None]).dictionary_encode(),
        "when": pa.array([1, 2, 3, None], pa.int64()).cast(zoned),
        "day": pa.array([date(2026, 1, 1), None, None, None]),
        "epoch": [2**60 + 1, 2, 3, None],
        "value": pa.array([1.5, None, 2.5, 3.5], pa.float16()),
        "cost": pa.array([Decimal("1.25"), None, None, None]),
        "Quality": pa.array([192, 0, 64, None], pa.uint8()),
        "status": pa.array([2**63, 0, 0, None], pa.uint64()),
        "on": [True, False, None, None],
        "text": pa.array(["1,5", "Bad", "", None], pa.large_string()),
        "nothing": pa.nulls(4),
    }
    path = write(tmp_path, columns)

    found = plain_columns(path)
    table = pa.Table.from_batches(plain_batches(path, found, batch_rows=batch_rows))

    types = [pa.string(), zoned, pa.timestamp("ms"), pa.int64(), pa.float64(), pa.float64()]
    types += [pa.int64(), pa.uint64(), pa.bool_(), pa.string(), pa.float64()]
    assert table.schema == pa.schema(list(zip(columns, types, strict=True)))
    kinds = "text time time number number number number number truth text number"
    assert [column.kind for column in found.values()] == kinds.split()
    assert table["tag"].to_pylist() == ["FT1", "FT1", "FT2", None]
    assert table["when"].cast(pa.int64()).to_pylist() == [1, 2, 3, None]
    assert table["day"].to_pylist() == [datetime(2026, 1, 1), None, None, None]
    assert table["epoch"].to_pylist() == [2**60 + 1, 2, 3, None]
    assert table["value"].to_pylist() == [1.5, None, 2.5, 3.5]
    assert table["cost"].to_pylist() == [1.25, None, None, None]
    assert table["Quality"].to_pylist() == [192, 0, 64, None]
    assert table["status"].to_pylist() == [2**63, 0, 0, None]
    assert table["on"].to_pylist() == [True, False, None, None]
    assert table["text"].to_pylist() == ["1,5", "Bad", "", None]
    assert table["nothing"].to_pylist() == [None] * 4


def test_plain_batches_of_some_columns(tmp_path):
    """Only what was asked for, in that order; what a file lacks comes as nulls."""
    path = write(tmp_path, {"a": [1, 2], "b": ["x", "y"], "list": [[1], [2]]})
    columns = plain_columns(path)
    wanted = {"new": columnar.PlainColumn("new", "number", pa.float64()), "b": columns["b"]}

    (batch,) = plain_batches(path, wanted)

    assert batch.to_pydict() == {"new": [None, None], "b": ["x", "y"]}


def test_bomb_is_refused_by_what_it_claims(tmp_path):
    """Forty million zeros take a few kilobytes on disk and 320 MB in memory."""
    zeros = pa.table({"a": pa.array(np.zeros(1_000_000))})
    path = tmp_path / "plant.parquet"
    with pq.ParquetWriter(path, zeros.schema, compression="zstd") as writer:
        for _ in range(40):
            writer.write_table(zeros)

    assert refusal(path) == (
        f"plant.parquet: {path.stat().st_size} bytes hold 40000000 rows of 1 columns (305 MiB), "
        "as if made to fill the memory; expected at most 1000 times the file's size: export fewer "
        "rows, or leave out columns that never change."
    )


def test_limits_of_columns_and_of_values(tmp_path, monkeypatch):
    path = write(tmp_path, {"time": TIMES, "a": [1.0, 2.0]})

    monkeypatch.setattr(columnar, "MOST_FILE_VALUES", 3)
    assert refusal(path) == (
        "plant.parquet: 2 rows of 2 columns, expected at most 3 values: write it as several files."
    )
    monkeypatch.setattr(columnar, "MOST_COLUMNS", 1)
    assert refusal(path) == (
        "plant.parquet: 2 columns, expected at most 1: export fewer tags in one file."
    )


def test_texts_that_are_blown_up(tmp_path):
    """A megabyte of text that stands in each of a thousand rows is in the file once."""
    path = write(tmp_path, {"time": TIMES * 500, "a": [1.0, 2.0] * 500, "b": ["x" * 2**20] * 1_000})
    assert path.stat().st_size < 200_000

    with pytest.raises(DataError) as fault:
        list(plain_batches(path, plain_columns(path)))

    assert str(fault.value) == (
        "plant.parquet: column 'b' has texts of 1000 MiB in 1000 rows, expected at most 256 MiB: "
        "leave that column out of the export."
    )


def test_damaged_page_is_told_by_plain_batches(tmp_path):
    path = write(tmp_path, {"a": np.arange(1_000.0)}, write_page_checksum=True, compression="none")
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)

    with pytest.raises(DataError) as fault:
        list(plain_batches(path, plain_columns(path)))

    assert str(fault.value) == (
        "plant.parquet: a damaged Parquet file (could not verify page integrity, CRC checksum "
        "verification failed for page_ordinal 0), expected one that can be read to its end: copy "
        "or export it again."
    )


def test_text_with_a_decimal_comma(tmp_path):
    path = write(tmp_path, {"time": TIMES, "a": ["1", "2,5"]})

    assert refusal(path) == (
        "plant.parquet, row 2, column 'a': '2,5', expected a number or a text with a decimal "
        "point: write the column as numbers."
    )


def test_column_that_stands_twice(tmp_path):
    table = pa.table([pa.array(TIMES), pa.array([1, 2]), pa.array([1, 2])], ["time", "a", "a"])
    pq.write_table(table, tmp_path / "plant.parquet")

    assert refusal(tmp_path / "plant.parquet") == (
        "plant.parquet: column 'a' stands more than once, expected each column once: rename or "
        "remove the other."
    )


def test_reading_imports_no_heavy_library():
    """`inspect` reads exports and starts at once: no network library comes with them."""
    code = "import sys, sensor_ad.exports; print({'torch', 'sklearn', 'pandas'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("row_group", [20_000, 400_000])
def test_memory_does_not_grow_with_the_file(tmp_path, row_group):
    rows = 400_000
    noise = np.random.default_rng(0).normal(size=(4, rows))
    time = pa.array(START_US + 1_000_000 * np.arange(rows)).cast(pa.timestamp("us"))
    columns = {"time": time, **{f"tag_{k}": pa.array(noise[k]) for k in range(4)}}
    path = write(tmp_path, columns, row_group_size=row_group, use_dictionary=False)
    del columns, time
    export = open_export([path], ReadSettings(lookback_rows=0, block_bytes=1 << 18))

    before, peak = pa.total_allocated_bytes(), 0
    for _ in export.chunks():
        peak = max(peak, pa.total_allocated_bytes() - before)

    assert path.stat().st_size > 12e6
    assert peak < 4e6

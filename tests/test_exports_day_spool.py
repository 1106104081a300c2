"""Rows laid aside on disk: sorted whatever their order, in few files, removed whatever happens."""

import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor_ad.errors import DataError, ResourceError
from sensor_ad.exports import day_spool
from sensor_ad.exports.day_spool import DAY_US, DaySpool, stable_order

START_US = 1_767_225_600_000_000  # 2026-01-01 00:00:00 UTC
ROW_BYTES = 16


def batch(times, first=0):
    times = np.asarray(times, np.int64)
    return pa.RecordBatch.from_pydict(
        {"time_us": times, "number": np.arange(first, first + len(times))}
    )


def rows(tables):
    """Return (time, number) of all rows."""
    return [
        row
        for table in tables
        for row in zip(*(table.column(k).to_pylist() for k in range(2)), strict=True)
    ]


TIMES = st.integers(-5, 3 * 24).map(lambda hour: START_US + hour * DAY_US // 24)


@settings(max_examples=100, deadline=None)
@given(
    batches=st.lists(st.lists(TIMES, max_size=30), max_size=8),
    buffer_rows=st.integers(1, 60),
    piece_rows=st.integers(1, 9),
    table_rows=st.integers(1, 40),
    fan_in=st.integers(2, 5),
)
def test_any_order_comes_out_sorted_and_stable(
    batches, buffer_rows, piece_rows, table_rows, fan_in
):
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(day_spool, "PIECE_BYTES", piece_rows * ROW_BYTES)
        patch.setattr(day_spool, "FAN_IN", fan_in)
        with DaySpool(Path(folder), buffer_rows * ROW_BYTES) as spool:
            expected = []
            for times in batches:
                spool.add(batch(times, len(expected)))
                expected += [(time, len(expected) + k) for k, time in enumerate(times)]
            tables = list(spool.tables(table_rows * ROW_BYTES))
            assert rows(tables) == sorted(expected)
            assert rows(spool.tables()) == sorted(expected)
            assert spool.rows == len(expected)
        ends = [(table["time_us"][0].as_py(), table["time_us"][-1].as_py()) for table in tables]
        assert all(end < start for (_, end), (start, _) in pairwise(ends))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9), min_size=1, max_size=99))
def test_stable_order_is_that_of_numpy(keys):
    keys = np.array(keys, np.int64)
    order = stable_order(keys)
    expected = np.argsort(keys, kind="stable")
    np.testing.assert_array_equal(np.arange(len(keys)) if order is None else order, expected)


def test_a_giant_day_comes_in_parts_and_days_else_as_they_are(tmp_path):
    generator = np.random.default_rng(0)
    with DaySpool(tmp_path, 4_000 * ROW_BYTES) as spool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(day_spool, "PIECE_BYTES", 100 * ROW_BYTES)
        for _ in range(10):
            spool.add(batch(START_US + generator.integers(0, DAY_US, 2_000)))
            spool.add(batch(START_US + generator.integers(DAY_US, 30 * DAY_US, 200)))
        tables = list(spool.tables(1_000 * ROW_BYTES))
    assert sum(map(len, tables)) == 22_000
    assert max(map(len, tables)) < 3_000
    days = [sorted({time // DAY_US for time in table["time_us"].to_pylist()}) for table in tables]
    whole = [days[k][-1] < days[k + 1][0] for k in range(len(days) - 1) if len(days[k]) > 1]
    assert whole.count(False) <= 1


def test_forty_thousand_days_take_a_few_files(tmp_path):
    with DaySpool(tmp_path) as spool:
        spool.add(batch(np.arange(40_000)[::-1] * DAY_US))
        tables = list(spool.tables())
        files = list(tmp_path.rglob("*.parquet"))
    assert len(files) == 1
    assert len(tables) == 1
    assert tables[0]["number"].to_pylist() == list(range(40_000))[::-1]


def test_runs_over_the_same_time_are_merged_and_others_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(day_spool, "FAN_IN", 4)
    day = START_US + np.arange(100) * 1_000_000
    with DaySpool(tmp_path, 1) as together, DaySpool(tmp_path, 1) as apart:
        for k in range(16):
            together.add(batch(day, 100 * k))
            apart.add(batch(day + k * DAY_US, 100 * k))
        counts = sorted(len(list(folder.iterdir())) for folder in tmp_path.iterdir())
        assert rows(apart.tables()) == [(day[k % 100] + k // 100 * DAY_US, k) for k in range(1_600)]
        numbers = [number for _, number in rows(together.tables())]
    assert counts == [1, 16]
    assert numbers == [100 * k + second for second in range(100) for k in range(16)]


def test_very_many_rows_of_one_time_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(day_spool, "MOST_BYTES_AT_ONE_TIME", 100 * ROW_BYTES)
    monkeypatch.setattr(day_spool, "PIECE_BYTES", 10 * ROW_BYTES)
    with DaySpool(tmp_path) as spool:
        spool.add(batch([START_US] * 1_000))
        with pytest.raises(DataError) as fault:
            list(spool.tables(10 * ROW_BYTES))
    assert str(fault.value) == (
        "about 120 rows have the same time 2026-01-01 00:00:00 UTC, expected a time for each row: "
        "export the times with seconds, or name the right column by data.time_column."
    )


def test_damage_on_disk_is_told(tmp_path):
    with DaySpool(tmp_path) as spool:
        spool.add(batch(START_US + np.random.default_rng(0).integers(0, DAY_US, 10_000)))
        list(spool.tables())
        (path,) = tmp_path.rglob("*.parquet")
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
        with pytest.raises(ResourceError) as fault:
            list(spool.tables())
    found, _, rest = str(fault.value).partition(" (")
    assert found == f"{path}: what was laid aside on disk cannot be read back"
    assert "CRC" in rest
    assert rest.endswith("), expected what was written: check the disk and start again.")


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(ResourceError) as fault:
        DaySpool(tmp_path / "none")
    assert str(fault.value).startswith(
        f"{tmp_path / 'none'}: rows cannot be laid aside on disk ([Errno 2] No such file"
    )
    assert str(fault.value).endswith(
        "), expected room for about the size of the export: free some space, or set another "
        "folder for temporary files."
    )


def test_batches_of_other_columns_are_refused(tmp_path):
    with DaySpool(tmp_path) as spool:
        spool.add(batch([START_US]))
        with pytest.raises(ValueError, match=r"a batch has columns \['time_us'\], not"):
            spool.add(pa.RecordBatch.from_pydict({"time_us": [START_US]}))


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt, GeneratorExit])
def test_the_folder_goes_whatever_happens(tmp_path, fault):
    with pytest.raises(fault), DaySpool(tmp_path, 1) as spool:
        spool.add(batch([START_US, START_US + 1]))
        next(iter(spool.tables()))
        assert list(tmp_path.iterdir())
        raise fault
    assert not list(tmp_path.iterdir())


INTERRUPTED = """
import sys, time
from pathlib import Path
import pyarrow as pa
from sensor_ad.exports.day_spool import DaySpool
with DaySpool(Path(sys.argv[1]), 1) as spool:
    spool.add(pa.RecordBatch.from_pydict({"time_us": [1, 2]}))
    print("laid aside", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process there")
def test_the_folder_goes_on_ctrl_c(tmp_path):
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout.readline() == b"laid aside\n"
        assert list(tmp_path.rglob("*.parquet"))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) != 0
    assert not list(tmp_path.iterdir())

"""Mutated exports: none crashes, hangs, or loses a row; and what fuzzing has found stays mended."""

import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from export_seeds import seeds, wide
from fuzz_exports import Case, check, run_cases

from sensor_ad.errors import DataError
from sensor_ad.exports import ReadSettings, open_export

CASES = 800
"""Files of one run of the suite."""


@pytest.mark.parametrize("seed", seeds(), ids=lambda seed: seed.name)
def test_seeds_are_read_as_they_are(tmp_path, seed):
    assert (
        check(Case(seed, dict(seed.files), ReadSettings(**seed.settings), False, True), tmp_path)
        == ""
    )


def test_mutated_exports(tmp_path):
    found = run_cases(range(CASES), 4, tmp_path)

    assert found.defects == {}
    assert found.files == CASES
    assert found.kept > 0.2 * found.files  # the seeds are not hurt beyond reading
    assert found.refused > 0.2 * found.files


def refusal(folder, files, **settings):
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(DataError) as fault:
        export = open_export([folder], ReadSettings(**settings))
        list(export.chunks())
    return str(fault.value)


def test_digits_without_end_stall_nobody(tmp_path):
    text = wide().replace("2026-01-13 23:03:00", "1" * 200_000 + "x")
    began = time.process_time()

    said = refusal(tmp_path, {"plant.csv": text})

    assert time.process_time() - began < 2
    assert said.startswith("plant.csv, line 3: '1111111111111111111111111111111111111111…' cannot")


def test_a_cell_beyond_the_limit_of_pythons_reader_is_counted(tmp_path):
    text = wide() + "end," + "x" * 200_000 + "\n"

    assert "line 26: 2 fields" in refusal(tmp_path, {"plant.csv": text})


def test_a_file_without_the_others_time_column_is_refused(tmp_path):
    files = {"a.csv": wide(), "b.csv": wide(header="stamp,flow,p_1,T 2")}

    assert refusal(tmp_path, files) == (
        "b.csv: lacks 'time' and adds 'stamp', expected the columns of a.csv: read these files "
        "apart, or name the columns in data.ignore_columns."
    )


def test_milliseconds_beyond_a_second_are_no_time(tmp_path):
    text = wide(header="time,Milliseconds,a,b", cells=lambda k, row: [row[0], "500", *row[2:]])
    text = text.replace(",500,", ",99999999999999999999,", 1)

    assert refusal(tmp_path, {"plant.csv": text}) == (
        "plant.csv, line 2: '2026-01-13 22:58:00 99999999999999999999' cannot be read as a time, "
        "expected ISO 8601 as in the first rows, such as 2026-01-31 23:59:00: mend or remove this "
        "row."
    )


def test_markers_and_rows_without_a_name_in_one_block(tmp_path):
    rows = [f"t{k % 2},2026-01-13 22:00:{k // 2:02d},{k}\n" for k in range(40)]
    rows[20:20] = ["$RT_OFF$,2026-01-13 22:00:10,0\n", ",2026-01-13 22:00:10,5\n"]
    (tmp_path / "plant.csv").write_text("tag,time,value\n" + "".join(rows))

    account = open_export([tmp_path], ReadSettings()).account()

    assert (account.rows_in, account.kept) == (42, 40)
    assert account.dropped == {
        "marker row of the recorder": 1,
        "row without the name of a tag": 1,
    }


def test_times_beyond_all_years_are_refused(tmp_path):
    text = wide(time="9999-12-31T23:%M:%S-05:00")

    assert refusal(tmp_path, {"plant.csv": text}) == (
        "plant.csv, line 2: the time in the year 10000, expected times from 1980 to today: correct "
        "the clock, or data.time_format."
    )


@pytest.mark.parametrize("text", ["x\n\nx\n", "x\nx\nx\n"])
def test_headers_alone_are_no_table(tmp_path, text):
    assert refusal(tmp_path, {"plant.csv": text}) == (
        "plant.csv: no row below the header in line 1, expected rows: export a stretch of time "
        "that has data."
    )


@pytest.mark.parametrize("block_bytes", [500, 8 << 20])
def test_damage_in_times_is_told_whatever_the_block(tmp_path, block_bytes):
    text = wide(separator=";", time="%d.%m.%Y %H:%M:%S").replace(" 23:03", " 2\x173:03")
    (tmp_path / "plant.csv").write_text(text)
    export = open_export([tmp_path], ReadSettings(block_bytes=block_bytes))
    list(export.chunks())

    assert export.account().dropped == {"damaged line": 1}


def test_a_zone_that_nobody_knows_in_parquet(tmp_path):
    stamps = pa.array([1_700_000_000_000_000, 1_700_000_001_000_000])
    times = stamps.cast(pa.timestamp("us", "Plant/Hall 4"))
    pq.write_table(pa.table({"time": times, "a": [1.0, 2.0]}), tmp_path / "plant.parquet")

    (chunk,) = open_export([tmp_path], ReadSettings()).chunks()

    assert chunk.time_us.tolist() == stamps.to_pylist()


ENDLESS = (
    "a cell of more than 131,072 characters, expected lines of a table: check what the file holds "
    "and export it again."
)


@pytest.mark.parametrize("head", ["time\ta\tb\n2026-01-01 00:00:00\t1", "time,a\n2026-01-01,"])
@pytest.mark.parametrize("length", [100_000, 2_000_000])
def test_one_endless_line_is_refused(tmp_path, head, length):
    said = refusal(tmp_path, {"plant.csv": head + "ab" * length})

    assert said == f"plant.csv, line 2: {ENDLESS}"


def test_an_endless_line_alone_is_refused(tmp_path):
    assert refusal(tmp_path, {"plant.csv": "ab" * 100_000}) == f"plant.csv, line 1: {ENDLESS}"


def test_a_long_line_below_the_header(tmp_path):
    said = refusal(tmp_path, {"plant.csv": "time\ta\tb\n2026-01-01 00:00:00\t1" + "ab" * 1_000})

    assert said.startswith("plant.csv, line 2: 2 fields, expected 3 as in the header: ")

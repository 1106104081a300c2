"""Times and numbers as plants write them, whole exports: read where all rows tell, else refused."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sensor_ad.errors import DataError
from sensor_ad.exports import ReadSettings, open_export

NAIVE_NOTE = "times carry no zone: read as UTC; set data.timezone if that is wrong"


def read(*paths, **settings):
    """Read an export; return times as texts, values, and the export."""
    export = open_export([Path(path) for path in paths], ReadSettings(**settings))
    chunks = list(export.chunks())
    times = np.concatenate([chunk.time_us for chunk in chunks]).astype("datetime64[us]")
    return times.astype("datetime64[ms]").astype(str).tolist(), np.concatenate(
        [chunk.values for chunk in chunks]
    ), export  # fmt: skip


def refusal(*paths, **settings):
    with pytest.raises(DataError) as fault:
        read(*paths, **settings)
    return str(fault.value)


def write(folder, text, name="plant.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("block_bytes", [60, 8 << 20])
@pytest.mark.parametrize(
    ("text", "time", "name", "notes"),
    [
        (
            "Zeit;a\n31.12.2025 00:00:00;1,5\n",
            "2025-12-31T00:00:00.000",
            "dd.mm.yyyy",
            (NAIVE_NOTE,),
        ),
        (
            "when,a\n12/31/2025 00:00,1.5\n",
            "2025-12-31T00:00:00.000",
            "mm/dd/yyyy",
            (NAIVE_NOTE,),
        ),
        (
            "when,a\n12/31/2025 11:00:00 PM,1.5\n",
            "2025-12-31T23:00:00.000",
            "mm/dd/yyyy",
            (NAIVE_NOTE,),
        ),
        (
            "when,a\n12/31/2025 12:30:00 am,1.5\n",
            "2025-12-31T00:30:00.000",
            "mm/dd/yyyy",
            (NAIVE_NOTE,),
        ),
        ("time,a\n1767225600,1.5\n", "2026-01-01T00:00:00.000", "epoch s", ()),
        ("time,a\n1767225600250,1.5\n", "2026-01-01T00:00:00.250", "epoch ms", ()),
        (
            "Timestamp,a\n46054.25,1.5\n",
            "2026-02-01T06:00:00.000",
            "Excel serial",
            (NAIVE_NOTE,),
        ),
        (
            "t,a\n01-Jan-26 00:00:01,1.5\n",
            "2026-01-01T00:00:01.000",
            "dd-Mon-yyyy",
            (NAIVE_NOTE,),
        ),
    ],
)
def test_times_of_many_formats(tmp_path, text, time, name, notes, block_bytes):
    times, values, export = read(write(tmp_path, text), block_bytes=block_bytes)

    assert times == [time]
    np.testing.assert_array_equal(values, [[1.5]])
    assert export.profile["time format"] == name
    assert export.account().notes == notes


def test_day_and_month_are_told_by_any_row(tmp_path):
    """The first 2,000 rows may be read in two ways; a later one in one."""
    lines = [f"0{1 + k // 1440}.02.2026 {k // 60 % 24:02d}:{k % 60:02d};{k}" for k in range(2_000)]
    path = write(tmp_path, "\n".join(["time;a", *lines, "28.02.2026 00:00;7", ""]))

    times, _, export = read(path, block_bytes=5_000)

    assert (times[0], times[-1]) == ("2026-02-01T00:00:00.000", "2026-02-28T00:00:00.000")
    assert export.profile["time format"] == "dd.mm.yyyy"


def test_day_and_month_in_doubt_are_refused_until_said(tmp_path):
    path = write(tmp_path, "time;a\n05.01.2026 00:00;1\n05.01.2026 00:01;2\n")

    assert refusal(path) == (
        "plant.csv: column 'time': '05.01.2026 00:00' is 5 January 2026 as dd.mm.yyyy, 1 May 2026 "
        "as mm.dd.yyyy, and nothing else in the column tells, expected times that can be read in "
        'one way: say which by data.time_format = "dd.mm.yyyy" or "mm.dd.yyyy".'
    )
    for name, time in (("dd.mm.yyyy", "2026-01-05"), ("mm.dd.yyyy", "2026-05-01")):
        assert read(path, time_format=name)[0][0] == f"{time}T00:00:00.000"


def test_another_file_tells_day_and_month(tmp_path):
    doubtful = write(tmp_path, "time;a\n05.01.2026 00:00;1\n", "a.csv")
    clear = write(tmp_path, "time;a\n13.01.2026 00:00;2\n", "b.csv")

    times, values, _ = read(doubtful, clear)

    assert times == ["2026-01-05T00:00:00.000", "2026-01-13T00:00:00.000"]
    np.testing.assert_array_equal(values, [[1], [2]])


def test_thousands_are_read_where_both_signs_show(tmp_path):
    path = write(tmp_path, "time;a\n2026-01-01 00:00:00;1.234,5\n2026-01-01 00:00:01;-12\n")

    _, values, export = read(path)

    np.testing.assert_array_equal(values, [[1234.5], [-12]])
    assert (export.profile["decimal"], export.profile["thousands"]) == (",", ".")


@pytest.mark.parametrize("bad", ["2026-13-01 00:00:00", "EOF"])
@pytest.mark.parametrize("block_bytes", [200, 8 << 20])
def test_rows_without_a_time_are_dropped_up_to_a_thousandth(tmp_path, bad, block_bytes):
    rows = [f"2026-01-01 00:{k // 60:02d}:{k % 60:02d},1.5" for k in range(3_600)]
    path = write(tmp_path, "\n".join(["time,a", *rows, f"{bad},7", "2026-01-01 01:00:00,1", ""]))

    times, values, export = read(path, block_bytes=block_bytes)

    assert len(times) == 3_601 and times[-1] == "2026-01-01T01:00:00.000"
    assert 7 not in values
    account = export.account()
    assert (account.rows_in, account.kept) == (3_602, 3_601)
    assert account.dropped == {"time that cannot be read": 1}
    assert account.notes == (
        NAIVE_NOTE,
        "1 line dropped as time that cannot be read (first: plant.csv, line 3602)",
    )


def test_more_rows_without_a_time_are_refused(tmp_path):
    rows = [f"2026-01-01 00:{k // 60:02d}:{k % 60:02d},1.5" for k in range(900)]
    path = write(tmp_path, "\n".join(["time,a", *rows, "2026-13-01 00:00:00,7", rows[0], ""]))

    assert refusal(path) == (
        "plant.csv, line 902: '2026-13-01 00:00:00' cannot be read as a time, expected ISO 8601 as "
        "in the first rows, such as 2026-01-31 23:59:00: mend or remove this row."
    )


def test_implausible_years_are_dropped_up_to_a_hundredth(tmp_path):
    rows = [f"2026-01-01 00:{k // 60:02d}:{k % 60:02d},1.5" for k in range(300)]
    odd = "1899-12-30 00:00:00,7"
    few = write(tmp_path, "\n".join(["time,a", *rows, odd, odd, odd, *rows[-1:], ""]))
    many = write(tmp_path, "\n".join(["time,a", *rows, *[odd] * 4, *rows[-1:], ""]), "many.csv")

    _, values, export = read(few)
    account = export.account()
    assert 7 not in values
    assert account.rows_in == account.kept + sum(account.dropped.values()) == 304
    assert account.dropped == {
        "identical duplicate": 1,
        "year before 1980 or after 2100": 3,
    }
    assert refusal(many) == (
        "many.csv, line 302: the time 1899-12-30 00:00:00 UTC, expected times from 1980 to today: "
        "correct the clock, or data.time_format."
    )


def test_too_many_unknown_texts_of_a_tag_are_refused(tmp_path):
    rows = [f"2026-01-01 00:00:{k:02d},{k}" for k in range(30)]
    rows += [f"2026-01-01 00:01:{k:02d},{word}" for k, word in enumerate("uvwxyz")]
    path = write(tmp_path, "\n".join(["time,a", *rows, ""]))

    assert refusal(path) == (
        "plant.csv: tag 'a' holds more than 5 texts that are neither numbers nor known error texts "
        "('u', 'v', 'w', 'x', 'y' …), expected at most so many: if it is a digital tag, say its "
        "states by states under [tags]; if they are errors, by data.texts; or leave the tag out "
        '(role = "ignore").'
    )
    _, values, export = read(path, texts={"z": "no data", "Y": "bad"})
    assert np.isnan(values[-6:]).all() and np.isfinite(values[:-6]).all()
    assert export.account().notes[-1] == (
        "tag a: unknown texts 'u' (1), 'v' (1), 'w' (1), 'x' (1): say by data.texts what is meant"
    )


@pytest.mark.parametrize("block_bytes", [30, 8 << 20])
def test_numbers_that_are_written_otherwise_than_was_said(tmp_path, block_bytes):
    """They are no states, however often they come again."""
    rows = [f"2026-01-01 00:00:{k:02d};{('', 'Bad', '1.5', '2.5')[k % 4]}" for k in range(60)]
    path = write(tmp_path, "\n".join(["time;a", *rows, ""]))

    assert refusal(path, decimal=",", block_bytes=block_bytes) == (
        "plant.csv, line 4, column 'a': '1.5', expected numbers with a decimal comma: say the "
        "right signs by data.decimal and data.thousands, or export anew."
    )


def test_parquet_of_numbers_with_a_comma(tmp_path):
    times = [datetime(2026, 1, 1, 0, 0, k) for k in range(9)]
    path = tmp_path / "plant.parquet"
    pq.write_table(pa.table({"time": times, "a": ["1,5", "2,5", " 2,5"] * 3}), path)

    assert refusal(path) == (
        "plant.parquet, row 1, column 'a': '1,5', expected a number or a text with a decimal "
        "point: write the column as numbers."
    )

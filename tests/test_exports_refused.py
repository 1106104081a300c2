"""What is no export is refused with one whole sentence: found, expected, to do."""

import os
import socket
from pathlib import Path

import pytest

from sensor_ad.errors import DataError
from sensor_ad.exports import ReadSettings, open_export

ISO = "expected times such as 2026-01-31 23:59:00"
T0, T1, T2 = (f"2026-01-01 00:00:0{k}" for k in range(3))
HOUR = "".join(f"2026-01-01 00:{k // 60:02d}:{k % 60:02d},1.5\n" for k in range(3_600))


def refusal(*paths, **settings):
    """Return the sentence with which an export is refused."""
    with pytest.raises(DataError) as fault:
        for _ in open_export([Path(p) for p in paths], ReadSettings(**settings)).chunks():
            pass
    return str(fault.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the file is empty (0 bytes), expected a table: export it again."),
        (
            b"\n\n  \n",
            "only blank lines, expected a header and rows: check the export.",
        ),
        (
            b"time,a\n",
            "only one line with text, expected a header and rows: export a stretch of time that "
            "has data.",
        ),
        (
            b"\n <!DOCTYPE html><html><body>Log in</body></html>\n",
            "a web page, expected CSV or Parquet: the log-in to the historian may have expired; "
            "log in and export again.",
        ),
        (
            b'\xef\xbb\xbf<?xml version="1.0"?><r/>',
            "XML, expected CSV or Parquet: export the data as CSV.",
        ),
        (b'{"time": []}', "JSON, expected CSV or Parquet: export the data as CSV."),
        (b'[{"time": 1}]', "JSON, expected CSV or Parquet: export the data as CSV."),
        (b"%PDF-1.7", "a PDF document, expected CSV or Parquet: export the data as CSV."),
        (b"\x89PNG\r\n", "a PNG picture, expected CSV or Parquet: export the data as CSV."),
        (
            b"PK\x03\x04xl/workbook.xml",
            "a damaged ZIP archive or Excel workbook (its end is missing), expected CSV or "
            "Parquet: copy it again.",
        ),
        (
            b"\x1f\x8b\x08",
            "a gzip archive, expected CSV or Parquet: unpack it, or let it be unpacked by "
            "data.allow_compressed = true.",
        ),
        (
            b"\xd0\xcf\x11\xe0\xa1",
            "an old Excel workbook or Office document (.xls), expected CSV or Parquet: save it as "
            ".xlsx or CSV.",
        ),
        (
            b"time\0,a\n",
            "binary data (NUL bytes), expected CSV or Parquet: export it again; UTF-16 text needs "
            "a byte-order mark.",
        ),
    ],
)
def test_file_that_is_no_table(tmp_path, content, sentence):
    path = tmp_path / "plant.csv"
    path.write_bytes(content)

    assert refusal(path) == f"plant.csv: {sentence}"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "a,b\n1,2\n3,4\n",
            ": no time column among 'a', 'b', expected one with times such as 2026-01-31 "
            "23:59:00: export it too, or give data.start and data.period_s.",
        ),
        (
            f"time,a,a\n{T0},1,2\n",
            ": the header names 'a' more than once, expected each column once: rename or remove "
            "the other, or name all columns by data.names.",
        ),
        (
            f"time,a,b\n{T0},1,5,2,7\n{T1},1,5,2,7\n",
            ": the header names 3 columns, but most lines hold 5 fields, as if "
            "commas stood within values too (decimal signs, dates such as Sep 05, 2005): export "
            "with another separator, with decimal points, or with quotes around the values.",
        ),
        (
            "time,a,b\nSep 05, 2005, 07:00,1,2\nSep 05, 2005, 07:01,1,2\n",
            ": the header names 3 columns, but most lines hold 5 fields, as if "
            "commas stood within values too (decimal signs, dates such as Sep 05, 2005): export "
            "with another separator, with decimal points, or with quotes around the values.",
        ),
        (
            f"start time,end time,b\n{T0},{T1},2\n",
            ": 2 columns hold times ('start time', 'end time'), expected one: say which by "
            "data.time_column.",
        ),
        (
            "time,a\nyesterday,1.5\n",
            ": column 'time' sounds like the time, but holds 'yesterday' in line 2, "
            f"{ISO}: export the times like that.",
        ),
        (
            f"time,comment\n{T0},pump was oiled\n",
            ": no column with numbers, expected at least one tag: check which tags were exported.",
        ),
        (
            f"time,a\n{T0},1\n{T1},1,3\n{T2},1\n",
            ", line 3: 3 fields, expected 2 as in the header (1 of 3 rows are like that): mend "
            "these lines or export again.",
        ),
        (
            f"time,a\n{T0},1\n{T1},1\n\n{T2}\n",
            ", line 5: 1 field, expected 2 as in the header (1 of 3 rows are like that): mend "
            "these lines or export again.",
        ),
        (
            f"time;a\n{T0};1;2\n",
            ", line 2: 3 fields, expected 2 as in the header: mend the header, or export a plain "
            "table.",
        ),
        (
            f"time;a\n{T0};1;2;3\n",
            ": the header (line 1) has 2 fields, most lines have 4, expected as many as the "
            "header: mend the header, or export a plain table.",
        ),
        (
            f"time;a;b\n{T0};1,5;2.5\n",
            ": numbers are written in two ways ('1,5', line 2, column 'a'; '2.5', line 2, column "
            "'b'), expected one decimal sign: say which by data.decimal, or export anew.",
        ),
        (
            f"time;a\n{T0};1,234\n{T1};987\n",
            ", line 2, column 'a': '1,234' is 1234 with a decimal point and ',' between thousands, "
            "1.234 with a decimal comma, and no other number here tells, expected numbers that can "
            'be read in one way: say by data.decimal = "." or ",".',
        ),
        (
            f"{T0},1,2\n{T1},2,3\n",
            f", line 1: values where names were expected ('{T0},1,2'): add a header line with the "
            "names of the columns, or set data.header = false.",
        ),
        (
            f'time,a\n{T0},1\n{T1},"1\n{T2},1\n',
            ", line 3: a quote is opened and not closed, expected both in one line: remove it, or "
            "export without line breaks in texts.",
        ),
        (
            f'time,"a\nb"\n{T0},1\n',
            ", line 1: a quote is opened and not closed in the header, expected the header in one "
            "line: export without line breaks in names.",
        ),
        (
            "time,a\n2026-01-01T00:00Z,1\n" + "2026-01-01T00:00Z,1\n" * 20 + "2026-01-01T00:01,1\n",
            ", line 23: '2026-01-01T00:01' cannot be read as a time, expected ISO 8601 with zone "
            "as in the first rows, such as 2026-01-31 23:59:00Z: mend or remove this row.",
        ),
        (
            f"time,a\n{T0},1\n,2\n",
            ", line 3: a row with values has no time, expected ISO 8601 as in the first rows, such "
            "as 2026-01-31 23:59:00: mend or remove this row.",
        ),
        (
            f"time;a\n{HOUR}".replace(",", ";") + "2026-01-01 01:00:00;1,5\n",
            ", line 3602, column 'a': '1,5', expected numbers with a decimal point: say the right "
            "signs by data.decimal and data.thousands, or export anew.",
        ),
    ],
)
@pytest.mark.parametrize("block_bytes", [200, 8 << 20])
def test_table_that_cannot_be_read(tmp_path, text, sentence, block_bytes):
    path = tmp_path / "plant.csv"
    path.write_text(text)

    assert refusal(path, block_bytes=block_bytes) == f"plant.csv{sentence}"


def test_line_without_end(tmp_path):
    path = tmp_path / "plant.csv"
    path.write_bytes(b"time,a\n" + b"x" * (17 << 20))

    assert refusal(path) == (
        "plant.csv, line 2: longer than 16 MB, expected lines of a table: check what the file "
        "holds and export it again."
    )


IN_DOUBT = (
    "export in UTC or with the offset from UTC in every time, or, if the plant's clock stays on "
    'standard time all year, set data.clock = "standard time".'
)


@pytest.mark.parametrize(
    ("local", "sentence"),
    [
        (
            "2025-10-26 02:30:00",
            "plant.csv: the clock of Europe/Berlin goes back from 2025-10-26 03:00 to 2025-10-26 "
            "02:00, so that 2025-10-26 02:30:00 comes twice, and the rows show one pass, expected "
            f"both passes of that hour in order: {IN_DOUBT}",
        ),
        (
            "2025-03-30 02:30:00",
            "plant.csv, line 4: the clock of Europe/Berlin goes forward from 2025-03-30 02:00 to "
            "2025-03-30 03:00, so that 2025-03-30 02:30:00 does not exist, expected times that the "
            f"clock shows: {IN_DOUBT}",
        ),
    ],
)
def test_local_time_in_doubt(tmp_path, local, sentence):
    path = tmp_path / "plant.csv"
    path.write_text(f"time,a\n2025-01-01 00:00:00,1\n\n{local},1\n")

    assert refusal(path, timezone="Europe/Berlin") == sentence


def test_time_column_of_the_settings(tmp_path):
    path = tmp_path / "plant.csv"
    path.write_text(f"time,a\n{T0},1\n")

    assert refusal(path, time_column="tiem") == (
        "plant.csv: no column 'tiem', which data.time_column names, among 2 columns; the nearest "
        "is 'time': correct data.time_column."
    )
    assert refusal(path, time_column="a") == (
        f"plant.csv: the time column 'a' holds '1' in line 2, {ISO}: export the times like that, "
        "or name another column."
    )


def test_path_that_is_no_file(tmp_path):
    (tmp_path / "pump_2026.csv").write_text("x")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")

    assert refusal(tmp_path / "pump_2025.csv") == (
        f"{tmp_path}/pump_2025.csv: no such file; the nearest is 'pump_2026.csv', expected an "
        "export: correct the path."
    )
    assert refusal(tmp_path / "nothing.parquet") == (
        f"{tmp_path}/nothing.parquet: no such file, expected an export: correct the path."
    )
    assert refusal(tmp_path / "nowhere" / "a.csv") == (
        f"{tmp_path}/nowhere/a.csv: no such file, and no such folder, expected an export: correct "
        "the path."
    )
    assert refusal(tmp_path / "pipe.csv") == (
        "pipe.csv: not a regular file (a pipe, socket or device), expected an export: save it as a "
        "file first."
    )
    assert refusal(tmp_path / "empty") == (
        "empty: no export in this folder (0 files), expected *.csv, *.txt, *.tsv, *.parquet, "
        "*.xlsx, *.xlsm: name the folder that holds them."
    )
    assert refusal() == "no export given, expected files or a folder: name at least one."


def test_device_is_no_file():
    assert refusal("/dev/null") == (
        "null: not a regular file (a pipe, socket or device), expected an export: save it as a "
        "file first."
    )


def test_socket_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s.csv")
        assert refusal("s.csv").startswith("s.csv: not a regular file (a pipe, socket or device)")


def test_file_without_permission(tmp_path, monkeypatch):
    path = tmp_path / "plant.csv"
    path.write_text(f"time,a\n{T0},1\n")

    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # root may read everything

    assert refusal(path) == (
        "plant.csv: may not be read by this user, expected a readable file: change its permissions."
    )


def test_file_that_vanishes(tmp_path):
    path = tmp_path / "plant.csv"
    path.write_text(f"time,a\n{T0},1\n")
    export = open_export([path], ReadSettings())
    path.unlink()

    with pytest.raises(DataError) as fault:
        list(export.chunks())
    assert str(fault.value) == (
        "plant.csv: cannot be read any more (No such file or directory), expected the file that "
        "was opened: check the disk and start again."
    )

"""Bad inputs 1-28: containers and bytes."""

import gzip
import io
import os
import zipfile
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
from corpus import (
    SHARED,
    TAGS,
    VALUES,
    ZONE,
    Asked,
    Case,
    Kept,
    Plain,
    Refused,
    at,
    one,
    table,
    wide,
)

CP1252 = (
    "text that is not UTF-8: read as Windows-1252; set data.encoding if letters such as ° are wrong"
)
DEGREES = ("Time", "TI101 [°C]", "PI102.PV")


def refused(name, content, sentence, **more):
    return one(name, content, Refused(f"plant.csv{sentence}"), **more)


def zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)
    return file.getvalue()


def parquet(columns, **options):
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


TIMES = pa.array([datetime.fromisoformat(at(k)) for k in range(6)], pa.timestamp("us"))
COLUMNS = {
    "Time": TIMES,
    "TI101.PV": pa.array([row[0] for row in VALUES]),
    "PI102.PV": pa.array([row[1] for row in VALUES]),
}


def sparse_line(path):
    """Write a line longer than 16 MiB."""
    with path.open("wb") as file:
        file.write(b"Time,a\n2025-03-05 06:00:00,")
        file.write(b"1" * (17 << 20))


def loop(path):
    path.symlink_to(path)


def delta(path):
    """Make a folder with a log and two files, of which the log names one."""
    path.mkdir()
    (path / "_delta_log").mkdir()
    (path / "part-0.parquet").write_bytes(parquet(COLUMNS))
    (path / "part-1.parquet").write_bytes(parquet(COLUMNS))
    schema = (
        '{"type":"struct","fields":['
        '{"name":"Time","type":"timestamp_ntz","nullable":true,"metadata":{}},'
        '{"name":"TI101.PV","type":"double","nullable":true,"metadata":{}},'
        '{"name":"PI102.PV","type":"double","nullable":true,"metadata":{}}]}'
    ).replace('"', '\\"')
    size = (path / "part-0.parquet").stat().st_size
    (path / "_delta_log" / f"{0:020d}.json").write_text(
        '{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}\n'
        '{"metaData":{"id":"0","format":{"provider":"parquet","options":{}},'
        f'"schemaString":"{schema}","partitionColumns":[],"configuration":{{}},"createdTime":0}}}}\n'
        f'{{"add":{{"path":"part-0.parquet","partitionValues":{{}},"size":{size},'
        '"modificationTime":0,"dataChange":true}}\n'
    )


def workbook(rows):
    """Write a workbook whose cells are stored values, as those of PI DataLink are."""

    def content(path):
        import xlsxwriter

        book = xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd hh:mm:ss"})
        sheet = book.add_worksheet("Data")
        for k, row in enumerate(rows):
            for c, cell in enumerate(row):
                if isinstance(cell, str) and cell.startswith("#"):
                    sheet.write_formula(k, c, "=PIArcVal()", value=cell)
                else:
                    sheet.write(k, c, cell)
        book.close()

    return content


BOOK = [
    ["Time", "TI101.PV", "PI102.PV"],
    ["", "°C", "bar"],
    ["", "feed temperature", "pump pressure"],
    *([datetime.fromisoformat(at(k)), a, b] for k, (a, b) in enumerate(VALUES)),
]
BAD_BOOK = [
    *BOOK[:3],
    [BOOK[3][0], "#VALOR!", 1.25],
    [BOOK[4][0], 21.0, "#REF!"],
    *BOOK[5:],
]

CASES = [
    refused(
        "1 empty file", b"", ": the file is empty (0 bytes), expected a table: export it again."
    ),
    refused(
        "2 header only",
        "Time,TI101.PV\n",
        ": only one line with text, expected a header and rows: export a stretch of time that has "
        "data.",
    ),
    refused(
        "3 only blank lines",
        "\r\n \r\n\t\r\n",
        ": only blank lines, expected a header and rows: check the export.",
    ),
    one(
        "4 UTF-8 with a byte-order mark",
        wide().encode("utf-8-sig"),
        Kept(table(), plain=Plain(encoding="utf-8-sig")),
    ),
    one(
        "5 UTF-16 little-endian with mark and tabs",
        b"\xff\xfe" + wide(separator="\t").encode("utf-16-le"),
        Kept(table(), plain=Plain("\t", "utf-16")),
    ),
    one(
        "6 UTF-16 big-endian without a mark",
        wide(names=DEGREES).encode("utf-16-be"),
        Asked(
            "plant.csv: UTF-16 text without a byte-order mark, expected one: say so by "
            'data.encoding = "utf-16-be", or export as UTF-8.',
            {"encoding": "utf-16-be"},
            Kept(
                table(),
                DEGREES[1:],
                units={"TI101 [°C]": "°C"},
                plain=Plain(encoding="utf-16-be"),
            ),
        ),
    ),
    one(
        "7 Windows-1252 with a degree sign",
        wide(names=DEGREES).encode("cp1252"),
        Kept(
            table(),
            DEGREES[1:],
            (ZONE, CP1252),
            units={"TI101 [°C]": "°C"},
            plain=Plain(encoding="cp1252"),
        ),
    ),
    one(
        "8 lines in UTF-8 and lines in Windows-1252",
        wide(names=DEGREES).encode() + f"{at(6)},Störung,1.5\n".encode("cp1252"),
        Asked(
            "plant.csv: line 1 is UTF-8, line 8 is not, expected one encoding: export the file "
            'again, or say which by data.encoding = "utf-8" or "cp1252".',
            {"encoding": "utf-8"},
            Kept(
                [*table(), (at(6), None, 1.5)],
                DEGREES[1:],
                (
                    ZONE,
                    "tag TI101 [°C]: 1 cell is not a number (first: 'St\ufffdrung' in plant.csv, "
                    "line 8): treated as missing",
                    "tag TI101 [°C]: unknown text 'St\ufffdrung' (1): say by data.texts what is "
                    "meant",
                ),
                units={"TI101 [°C]": "°C"},
                quality={"TI101 [°C]": "GGGGGGB"},
                plain=None,
            ),
        ),
    ),
    one(
        "9 a NUL byte in a cell",
        wide([(at(k), *row) for k, row in enumerate(VALUES * 8)]).replace(
            ",1.75\n", ",1\0.75\n", 1
        ),
        Kept(
            [(at(k), a, None if k == 2 else b) for k, (a, b) in enumerate(VALUES * 8)],
            notes=(
                ZONE,
                "tag PI102.PV: 1 cell is not a number (first: '1\\x00.75' in plant.csv, line 4): "
                "treated as missing",
            ),
            plain=None,
        ),
    ),
    refused(
        "9 many NUL bytes",
        wide().replace(",", "\0"),
        ": binary data (NUL bytes), expected CSV or Parquet: export it again; UTF-16 text needs a "
        "byte-order mark.",
    ),
    one(
        "10 a workbook named .csv",
        workbook([BOOK[0], *BOOK[3:]]),
        Kept(table(), plain=None),
    ),
    one(
        "11 a gzip named .csv",
        gzip.compress(wide().encode(), mtime=0),
        Asked(
            "plant.csv: a gzip archive, expected CSV or Parquet: unpack it, or let it be unpacked "
            "by data.allow_compressed = true.",
            {"compressed": True},
            Kept(table(), plain=None),
        ),
    ),
    refused(
        "11 a gzip bomb",
        gzip.compress(b"Time,a\n" + b"2025-03-05 06:00:00,1\n" * 900_000, mtime=0),
        ": a gzip that unpacks to more than 100 times its size, expected an export: if it is one, "
        "unpack it and give the file that comes out.",
        settings={"compressed": True},
        big=True,
    ),
    refused(
        "12 a zip with two CSV",
        zipped(a_csv=wide(), b_csv=wide()),
        ": a ZIP archive with 2 files ('a.csv', 'b.csv'), expected CSV or Parquet: unpack it and "
        "give the files, or their folder.",
    ),
    refused(
        "12 a zip in a zip",
        zipped(a_zip=zipped(a_csv=wide())),
        ": a ZIP archive with 1 file ('a.zip'), expected CSV or Parquet: unpack it and give the "
        "files, or their folder.",
    ),
    refused(
        "13 a log-in page",
        "<!DOCTYPE html>\n<html><body>Please log in</body></html>\n",
        ": a web page, expected CSV or Parquet: the log-in to the historian may have expired; log "
        "in and export again.",
    ),
    refused(
        "14 an error in JSON",
        '{"error": "point not found"}\n',
        ": JSON, expected CSV or Parquet: export the data as CSV.",
    ),
    refused(
        "14 an error in XML",
        '<?xml version="1.0"?>\n<Error>AccessDenied</Error>\n',
        ": XML, expected CSV or Parquet: export the data as CSV.",
    ),
    refused(
        "15 a PDF",
        b"%PDF-1.7\n%\xe2\xe3\n",
        ": a PDF document, expected CSV or Parquet: export the data as CSV.",
    ),
    refused(
        "15 a PNG",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        ": a PNG picture, expected CSV or Parquet: export the data as CSV.",
    ),
    one(
        "16 an empty folder",
        lambda path: path.mkdir(),
        Refused(
            "plant.csv: no export in this folder (0 files), expected *.csv, *.txt, *.tsv, "
            "*.parquet, *.xlsx, *.xlsm: name the folder that holds them."
        ),
    ),
    refused(
        "16 a pipe",
        os.mkfifo,
        ": not a regular file (a pipe, socket or device), expected an export: save it as a file "
        "first.",
    ),
    refused(
        "16 a device without end",
        lambda path: path.symlink_to("/dev/zero"),
        ": not a regular file (a pipe, socket or device), expected an export: save it as a file "
        "first.",
    ),
    refused(
        "17 a link to itself",
        loop,
        ": cannot be opened (Too many levels of symbolic links), expected an export: check the "
        "path and the disk.",
    ),
    refused(
        "18 a line of 17 MiB",
        sparse_line,
        ", line 2: longer than 16 MB, expected lines of a table: check what the file holds and "
        "export it again.",
    ),
    refused(
        "19 too many columns",
        wide([(at(0), *([1] * 20_001))], ("Time", *map(str, range(20_001)))),
        ", line 1: 20002 fields, expected at most 20000 columns: export fewer tags to a file.",
    ),
    one("20 lines that end in CR only", wide().replace("\n", "\r"), Kept(table())),
    one(
        "21 cut off in the middle of a row",
        wide()[:-7],
        Kept(
            table()[:5],
            dropped={"cut off at the end of the file": 1},
            notes=(
                ZONE,
                "1 line dropped as cut off at the end of the file (first: plant.csv, line 7)",
            ),
            plain=None,
        ),
    ),
    one(
        "22 Parquet without its end",
        parquet(COLUMNS)[:-20],
        Refused(
            "plant.csv: a damaged Parquet file (Parquet magic bytes not found in footer. Either "
            "the file is corrupted or this is not a parquet file.), expected one that can be read "
            "to its end: copy or export it again."
        ),
    ),
    one("L10 Parquet", parquet(COLUMNS), Kept(table(), plain=None)),
    one(
        "24 Parquet with nested, dictionary and decimal columns",
        parquet(
            {
                **COLUMNS,
                "list": pa.array([[1.0]] * 6),
                "code": pa.array(["on", "off"] * 3).dictionary_encode(),
                "price": pa.array([1, 2, 3, 4, 5, 6], pa.int64()).cast(pa.decimal128(30, 2)),
            }
        ),
        Kept(
            [(*row, 1 - k % 2, k + 1) for k, row in enumerate(table())],
            (*TAGS, "code", "price"),
            (
                "plant.csv: column 'list' is of type list<element: double>, no number, text or "
                "time: left out",
                "tag code: digital, 'off' = 0, 'on' = 1",
                ZONE,
            ),
            states={"code": ("off", "on")},
            plain=None,
        ),
    ),
    one(
        "24 Parquet with a second column of times, whatever its name",
        parquet({**COLUMNS, "a": TIMES}),
        Kept(
            table(),
            notes=("column 'a' holds times, but is not the time: left out", ZONE),
            plain=None,
        ),
        settings={"time_column": "Time"},
    ),
    Case(
        "L10 Parquet by tag and day",
        {
            f"tag={tag}/day=2025-03-05/part.parquet": parquet(
                {"Time": TIMES, "value": COLUMNS[tag]}
            )
            for tag in ("TI101.PV", "PI102.PV")
        },
        Kept(
            [(t, b, a) for t, a, b in table()],
            ("PI102.PV", "TI101.PV"),
            (ZONE, SHARED),
            kept=12,
            plain=None,
        ),
        folder=True,
    ),
    one(
        "25 a Delta table, with a file that its log does not name",
        delta,
        Kept(table(), plain=None),
    ),
    one(
        "26 L9 a workbook with units, descriptions and errors of formulas",
        workbook(BAD_BOOK),
        Kept(
            table([(None, 1.25), (21.0, None), *VALUES[2:]]),
            notes=(
                ZONE,
                "tag TI101.PV: 1 cell is not a number (first: '#VALOR!' in plant.csv, row 4): "
                "treated as missing",
                "tag PI102.PV: 1 cell is not a number (first: '#REF!' in plant.csv, row 5): "
                "treated as missing",
            ),
            quality={"TI101.PV": "BGGGGG", "PI102.PV": "GBGGGG"},
            units={"TI101.PV": "°C", "PI102.PV": "bar"},
            plain=None,
        ),
    ),
    refused(
        "27 a workbook with a password",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
        + bytes(500)
        + "EncryptedPackage".encode("utf-16-le")
        + bytes(500),
        ": a password-protected Excel workbook, expected CSV or Parquet: save it without a "
        "password, or as CSV.",
    ),
]

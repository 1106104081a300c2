"""What a file is, by its content: gzip within limits, archives, workbooks, files being written."""

import gzip
import io
import os
import resource
import struct
import threading
import time
import zipfile
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sensor_ad.errors import DataError, UsageError
from sensor_ad.exports import ReadSettings, files, open_export, packed
from sensor_ad.exports.files import FileKind, file_kind, find_files
from sensor_ad.exports.tally import Tally

TABLE = b"time,a\n" + b"".join(b"2026-01-01 00:00:%02d,%d\n" % (k, k) for k in range(60))


def read(path, **settings):
    """Read an export; return the first tag and what was said of it."""
    export = open_export([Path(path)], ReadSettings(**settings))
    values = np.concatenate([chunk.values for chunk in export.chunks()])
    return values[:, 0], export.account()


def refusal(path, **settings):
    """Return the sentence with which an export is refused."""
    with pytest.raises(DataError) as fault:
        read(path, **settings)
    return str(fault.value)


def write(folder, content, name="plant.csv"):
    path = folder / name
    path.write_bytes(content)
    return path


def archive(members, flags=0):
    """Return a ZIP archive of empty files; `flags` go into its directory (1: encrypted)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in members:
            file.writestr(name, b"")
    data = bytearray(buffer.getvalue())
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        data[at + 8] |= flags
        at = data.find(b"PK\x01\x02", at + 4)
    return bytes(data)


@pytest.mark.parametrize("block_bytes", [100, 8 << 20])
@pytest.mark.parametrize("parts", [1, 3])
def test_gzip_is_read_when_allowed(tmp_path, block_bytes, parts):
    """Archives put one behind another are one text, as gunzip has it."""
    cuts = np.linspace(0, len(TABLE), parts + 1).astype(int)
    pieces = [gzip.compress(TABLE[a:b]) for a, b in pairwise(cuts)]
    path = write(tmp_path, b"".join(pieces), "plant.csv.gz")

    export = open_export([path], ReadSettings(compressed=True, block_bytes=block_bytes))
    steps: list[int] = []
    values = np.concatenate([chunk.values for chunk in export.chunks(steps.append)])

    np.testing.assert_array_equal(values[:, 0], np.arange(60))
    assert sum(steps) == path.stat().st_size
    assert file_kind(path, ReadSettings(compressed=True)) == FileKind("csv", packed=True)


def test_gzip_is_found_in_folders(tmp_path):
    write(tmp_path, gzip.compress(TABLE), "a.csv.gz")

    assert find_files([tmp_path], Tally()) == [tmp_path / "a.csv.gz"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_tag_that_is_bad_for_long_is_a_tag_in_a_gzip_too(tmp_path, encoding):
    stamps = np.datetime64("2026-01-01", "s") + np.arange(40_000)
    lines = [f"{t},{k},{'Off' if k < 30_000 else k},°\n" for k, t in enumerate(stamps)]
    text = "time,a,flow,unit\n" + "".join(lines)
    path = write(tmp_path, gzip.compress(text.encode(encoding)))

    assert open_export([path], ReadSettings(compressed=True)).tags == ("a", "flow")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (gzip.compress(b""), " (unpacked): the file is empty (0 bytes), expected a table: export "
         "it again."),
        (gzip.compress(b"%PDF-1.7"), " (unpacked): a PDF document, expected CSV or Parquet: "
         "export the data as CSV."),
        (gzip.compress(gzip.compress(TABLE)), ": a gzip around a gzip file, expected one around a "
         "text: unpack it."),
        (gzip.compress(b"PAR1"), ": a gzip around a Parquet file, expected one around a text: "
         "unpack it."),
        (gzip.compress(TABLE)[:-9], ": a gzip that ends too early, expected all of it: copy or "
         "export it again."),
        (gzip.compress(TABLE)[:-8] + bytes(8), ": a damaged gzip (CRC check failed 0x0 != "
         f"{hex(zlib.crc32(TABLE))}), expected one that can be unpacked: copy or export it "
         "again."),
        (gzip.compress(TABLE) + b"tail", ": a damaged gzip (Not a gzipped file (b'ta')), expected "
         "one that can be unpacked: copy or export it again."),
    ],
)  # fmt: skip
def test_gzip_that_is_refused(tmp_path, content, sentence):
    path = write(tmp_path, content)

    assert refusal(path, compressed=True) == f"plant.csv{sentence}"


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_gzip_bomb_is_refused_at_once(tmp_path):
    """A gigabyte of one line over and over, in a megabyte."""
    line = b"2026-01-01 00:00:00,1.5\n"
    row = io.BytesIO()
    with gzip.GzipFile(fileobj=row, mode="wb") as file:
        file.write(b"time,a\n" + line * 10)
        for _ in range(64):
            file.write(line * 200_000)
    path = write(tmp_path, row.getvalue())
    read(write(tmp_path, TABLE, "warm.csv"))

    before, start = peak_bytes(), time.process_time()
    said = refusal(path, compressed=True, duplicates="last")

    assert said == (
        "plant.csv: a gzip that unpacks to more than 100 times its size, expected an export: if it "
        "is one, unpack it and give the file that comes out."
    )
    assert time.process_time() - start < 1.0
    assert peak_bytes() - before < 200 << 20


def test_gzip_beyond_the_limit_of_size_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "MOST_BYTES", 1_000)
    path = write(tmp_path, gzip.compress(TABLE, 0))

    assert refusal(path, compressed=True, block_bytes=100) == (
        "plant.csv: a gzip that unpacks to more than 0 GiB, expected less in one file: export "
        "shorter stretches of time."
    )


def test_unpack_writes_what_a_gzip_holds(tmp_path):
    packed.unpack(write(tmp_path, gzip.compress(TABLE)), tmp_path / "out.csv")

    assert (tmp_path / "out.csv").read_bytes() == TABLE


ZIP_REMEDY = "expected CSV or Parquet: unpack it and give the files, or their folder."


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (archive(["a.csv"]), f"a ZIP archive with 1 file ('a.csv'), {ZIP_REMEDY}"),
        (archive("abcde"), "a ZIP archive with 5 files ('a', 'b', 'c' and 2 more), " + ZIP_REMEDY),
        (archive(["a.csv"], 1), "a password-protected ZIP archive with 1 file ('a.csv'), "
         + ZIP_REMEDY),
        (archive(["xl/workbook.bin"]), "a binary Excel workbook (.xlsb), expected CSV or Parquet: "
         "save it as .xlsx or CSV."),
        (archive(["mimetype", "content.xml"]), "an OpenDocument file (.ods), expected CSV or "
         "Parquet: save it as .xlsx or CSV."),
        (archive(["word/document.xml"]), "an Office document, expected CSV or Parquet: export the "
         "data as CSV."),
        (b"\xff\xfe" + "<html>".encode("utf-16-le"), "a web page, expected CSV or Parquet: the "
         "log-in to the historian may have expired; log in and export again."),
        (b"SQLite format 3\0", "an SQLite database, expected CSV or Parquet: export the data as "
         "CSV."),
        (b"\x89HDF\r\n", "an HDF5 file, expected CSV or Parquet: export the data as CSV or "
         "Parquet."),
        (b"BZh9", "a bzip2 archive, expected CSV or Parquet: unpack it."),
        ("time,a\n1,2\n".encode("utf-32"), "UTF-32 text, expected CSV or Parquet: save it as "
         "UTF-8."),
        (TABLE.decode().encode("utf-16-be"), "UTF-16 text without a byte-order mark, expected "
         'one: say so by data.encoding = "utf-16-be", or export as UTF-8.'),
        (TABLE.decode().encode("utf-16-le"), "UTF-16 text without a byte-order mark, expected "
         'one: say so by data.encoding = "utf-16-le", or export as UTF-8.'),
        (bytes(range(1, 32)) * 9, "binary data (control characters), expected CSV or Parquet: "
         "export it again; UTF-16 text needs a byte-order mark."),
    ],
)  # fmt: skip
def test_file_that_is_refused_by_its_content(tmp_path, content, sentence):
    assert refusal(write(tmp_path, content)) == f"plant.csv: {sentence}"


def test_workbook_is_told_by_its_content(tmp_path):
    path = write(tmp_path, archive(["docProps/app.xml", "xl/workbook.xml"]))

    assert file_kind(path) == FileKind("excel")


@pytest.mark.parametrize(
    ("stream", "sentence"),
    [
        ("EncryptedPackage", "a password-protected Excel workbook, expected CSV or Parquet: save "
         "it without a password, or as CSV."),
        ("Workbook", "an old Excel workbook or Office document (.xls), expected CSV or Parquet: "
         "save it as .xlsx or CSV."),
    ],
)  # fmt: skip
def test_old_container(tmp_path, stream, sentence):
    """Its directory stands in the sector that the header names."""
    head = bytearray(512)
    head[:8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    struct.pack_into("<H", head, 30, 9)
    struct.pack_into("<I", head, 48, 1)
    directory = bytes(512) + stream.encode("utf-16-le").ljust(512, b"\0")

    assert refusal(write(tmp_path, bytes(head) + directory)) == f"plant.csv: {sentence}"


def test_zip_with_a_false_directory_is_no_crash(tmp_path):
    whole = archive(["a.csv"])
    for at in range(len(whole) - 22, len(whole)):
        for value in (0, 0xFF):
            mutant = whole[:at] + bytes([value]) + whole[at + 1 :]
            assert refusal(write(tmp_path, mutant)).startswith("plant.csv: a ")


def test_encoding_that_is_given(tmp_path):
    text = "time;Öl °C\n2026-01-01 00:00:00;1,5\n"

    for encoding in ("utf-16-le", "utf-16-be", "cp850", "utf-8", "gb18030"):
        path = write(tmp_path, text.encode(encoding, "replace"))
        export = open_export([path], ReadSettings(encoding=encoding))
        assert [chunk.values.tolist() for chunk in export.chunks()] == [[[1.5]]]
        assert export.tags == (text.encode(encoding, "replace").decode(encoding)[5:10],)
        assert export.account().notes == (
            "times carry no zone: read as UTC; set data.timezone if that is wrong",
        )


def test_encoding_that_is_none(tmp_path):
    with pytest.raises(UsageError) as fault:
        read(write(tmp_path, TABLE), encoding="utf8")
    assert str(fault.value) == (
        "encoding is 'utf8', expected one of utf-8, utf-8-sig, cp1252, latin-1, iso-8859-15, "
        "cp1250, cp1251, cp1253, cp1254, cp850, cp437, utf-16, utf-16-le, utf-16-be, shift_jis, "
        "gb18030, euc_kr: correct it, or leave it out and it is found."
    )


def test_loop_of_links(tmp_path):
    (tmp_path / "a.csv").symlink_to(tmp_path / "b.csv")
    (tmp_path / "b.csv").symlink_to(tmp_path / "a.csv")

    assert refusal(tmp_path / "a.csv") == (
        "a.csv: cannot be opened (Too many levels of symbolic links), expected an export: check "
        "the path and the disk."
    )


def test_files_that_are_being_written_are_skipped(tmp_path):
    write(tmp_path, TABLE, "done.csv")
    write(tmp_path, TABLE, "next.csv.part")
    growing = write(tmp_path, TABLE, "growing.csv")
    os.utime(tmp_path / "done.csv", (0, 0))
    done = threading.Event()

    def grow():
        with growing.open("ab") as file:
            while not done.wait(0.01):
                file.write(b"2026-01-01 00:01:00,1\n")
                file.flush()

    tally = Tally()
    writer = threading.Thread(target=grow)
    writer.start()
    try:
        found = find_files([tmp_path], tally)
    finally:
        done.set()
        writer.join()
    assert found == [tmp_path / "done.csv"]
    assert tally.notes == [
        f"folder {tmp_path.name}: 1 file skipped (hidden, temporary or of another kind): "
        "'next.csv.part'",
        f"folder {tmp_path.name}: 1 file skipped (still being written): 'growing.csv'",
    ]


def test_old_files_are_not_waited_for(tmp_path, monkeypatch):
    os.utime(write(tmp_path, TABLE), (0, 0))
    monkeypatch.setattr(files.time, "sleep", lambda seconds: pytest.fail("waited"))

    assert find_files([tmp_path], Tally()) == [tmp_path / "plant.csv"]


def test_file_that_grows_while_it_is_read(tmp_path):
    path = write(tmp_path, TABLE)
    export = open_export([path], ReadSettings())
    with path.open("ab") as file:
        file.write(b"2026-01-01 00:01:00,1\n")

    with pytest.raises(DataError) as fault:
        list(export.chunks())
    assert str(fault.value) == (
        f"plant.csv: {len(TABLE)} bytes when it was opened, {len(TABLE) + 22} when it was read, "
        "expected a file that is finished: wait until it is written, then start again."
    )

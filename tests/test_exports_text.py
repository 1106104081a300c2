"""Bytes and lines of text files: encodings, damage, quotes, ends of tables; a twin and a fuzz."""

import csv
import io
import random
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sensor_ad.errors import DataError
from sensor_ad.exports import ReadSettings, open_export
from sensor_ad.exports.encodings import find_encoding
from sensor_ad.exports.sieve import Shape, Sieve
from sensor_ad.exports.tally import Tally
from sensor_ad.exports.text import TextBlock

NAIVE_NOTE = "times carry no zone: read as UTC; set data.timezone if that is wrong"
FALLBACK_NOTE = (
    "text that is not UTF-8: read as Windows-1252; set data.encoding if letters such as ° are wrong"
)
BLOCKS = [1, 37, 300, 8 << 20]


def write(folder, content, name="plant.csv"):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path, **settings):
    """Read an export; return its values and its account."""
    export = open_export([Path(path)], ReadSettings(**settings))
    chunks = [chunk.values for chunk in export.chunks()]
    account = export.account()
    assert account.rows_in == account.kept + sum(account.dropped.values())
    return np.concatenate(chunks) if chunks else np.empty((0, len(export.tags))), account


def refusal(path, **settings):
    """Return the sentence with which an export is refused."""
    with pytest.raises(DataError) as fault:
        read(path, **settings)
    return str(fault.value)


def lines(count, separator=",", cells=2, end=""):
    """Return rows a second apart, each cell the number of its row."""
    stamps = np.datetime64("2026-01-01", "s") + np.arange(count)
    return [separator.join([f"{t}", *[str(k)] * cells]) + end for k, t in enumerate(stamps)]


def table(rows, header="time,a,b", end="\n"):
    return "".join(f"{line}{end}" for line in [header, *rows])


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        (b"time,a\n", "utf-8"),
        ("time,°C\n".encode(), "utf-8"),
        ("time,°C\n".encode()[:6], "utf-8"),
        (b"time,\xb0C\n", "cp1252"),
        (b"time,a\n\x00\x93\xd3\x01\n", "utf-8"),
        (b"time,a\r\x00\x93\xd3\x01\r1,\xb0", "cp1252"),
        (b"\xef\xbb\xbftime", "utf-8-sig"),
        (b"\xff\xfet\0", "utf-16"),
        (b"\xfe\xff\0t", "utf-16"),
    ],
)
def test_encoding_of_a_head(head, encoding):
    assert find_encoding(head) == encoding


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_text_that_is_not_utf8_is_read_with_a_note(tmp_path, block_bytes):
    path = write(tmp_path, table(lines(5, cells=1), "time,a °C").encode("cp1252"))

    values, account = read(path, block_bytes=block_bytes)

    assert len(values) == 5
    assert account.notes == (NAIVE_NOTE, FALLBACK_NOTE)


@pytest.mark.parametrize("block_bytes", BLOCKS)
@pytest.mark.parametrize("first", ["utf-8", "cp1252"])
def test_two_encodings_are_refused(tmp_path, block_bytes, first):
    """Lines with control characters bear no witness."""
    text = [line.encode() for line in lines(8, cells=1)]
    text[1] += b"\x01\xc3\xb6\xff"
    text[3] += "ö".encode(first)
    text[6] += "ö".encode({"utf-8": "cp1252", "cp1252": "utf-8"}[first])
    path = write(tmp_path, b"time,a\n" + b"\n".join(text) + b"\n")
    utf8, other = (5, 8) if first == "utf-8" else (8, 5)

    assert refusal(path, block_bytes=block_bytes) == (
        f"plant.csv: line {utf8} is UTF-8, line {other} is not, expected one encoding: export the "
        'file again, or say which by data.encoding = "utf-8" or "cp1252".'
    )
    for encoding in ("utf-8", "cp1252"):
        values, _ = read(path, block_bytes=block_bytes, encoding=encoding)
        assert np.isnan(values[[1, 3, 6], 0]).all() and np.isfinite(values[:, 0]).sum() == 5


def test_byte_order_mark_is_witness_of_utf8(tmp_path):
    path = write(tmp_path, b"\xef\xbb\xbftime,a\n" + b"2026-01-01,1\n2026-01-02,\xb0\n")

    assert refusal(path).startswith("plant.csv: line 1 is UTF-8, line 3 is not, expected one ")


@pytest.mark.parametrize("block_bytes", BLOCKS)
@pytest.mark.parametrize("marked", [range(3, 12), [3], [11], [7, 8]])
def test_byte_order_mark_within_a_file_spoils_its_cell(tmp_path, block_bytes, marked):
    """Wherever blocks begin: Arrow takes one away where its text begins."""
    mark, said = "\ufeff", {"header": False, "start": "2026-01-01", "period_s": 1.0}
    rows = [mark * (k in marked) + f"{k % 3},5,6\n" for k in range(12)]
    path = write(tmp_path, "".join(rows))

    values, account = read(path, block_bytes=block_bytes, **said)

    first = marked[0]
    counts = Counter(f"'\\ufeff{k % 3}'" for k in marked)
    assert np.flatnonzero(np.isnan(values[:, 0])).tolist() == [*marked]
    assert account.notes[-1] == (
        f"tag x1: unknown text{'s' * (len(counts) > 1)} "
        f"{', '.join(f'{text} ({count})' for text, count in counts.items())}: "
        "say by data.texts what is meant"
    )
    assert f"(first: '\\ufeff{first % 3}' in plant.csv, line {first + 1})" in account.notes[-2]


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_nul_spoils_its_cell_alone(tmp_path, block_bytes):
    rows = lines(300)
    rows[100] = rows[100][:-1] + "\0"
    path = write(tmp_path, table(rows))

    values, account = read(path, block_bytes=block_bytes)

    assert np.flatnonzero(np.isnan(values)).tolist() == [201]
    assert account.dropped == {}
    assert account.notes[1:] == (
        "tag b: 1 cell is not a number (first: '10\\x00' in plant.csv, line 102): treated as "
        "missing",
    )


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_many_nul_bytes_are_no_text(tmp_path, block_bytes):
    rows = lines(1_000)
    for k in range(500, 520):
        rows[k] = rows[k].replace("T", "\0") if k % 2 else rows[k] + "\0"

    assert refusal(write(tmp_path, table(rows)), block_bytes=block_bytes) == (
        "plant.csv, line 502: binary data (20 of 1000 rows are like that), expected text: the file "
        "is damaged or no table; copy or export it again."
    )


GARBAGE = bytes(random.Random(1).choices(b"\x93\x00\x13\xc3#\"\t\x10S`\xd3;,'", k=300))
"""What a controller wrote in the place of some rows: no line ends, quotes and separators too."""


@pytest.mark.parametrize("block_bytes", BLOCKS)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_garbage_takes_its_line_and_no_other(tmp_path, block_bytes, end):
    rows = [line.encode() for line in lines(500, "\t", end="\t")]
    rows[200] = rows[200][:25] + GARBAGE + rows[203]
    del rows[201:204]
    path = write(tmp_path, end.join([b"time\ta\tb \xb0C", *rows, b""]))

    values, account = read(path, block_bytes=block_bytes)

    np.testing.assert_array_equal(values[:, 0], [*range(200), *range(204, 500)])
    assert account.dropped == {"damaged line": 1}
    assert account.notes == (
        NAIVE_NOTE,
        FALLBACK_NOTE,
        "1 line dropped as damaged line (first: plant.csv, line 202)",
    )


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_nul_at_the_end_of_the_file_is_a_row_cut_off(tmp_path, block_bytes):
    """A recorder lost its power: the last block on the disk was never written."""
    path = write(tmp_path, table(lines(1_000)).encode() + bytes(100))

    values, account = read(path, block_bytes=block_bytes)

    assert (len(values), account.dropped) == (1_000, {"cut off at the end of the file": 1})


@pytest.mark.parametrize("block_bytes", BLOCKS)
@pytest.mark.parametrize(
    ("trailer", "count"),
    [
        ("EOF", 1), ("EOF\n", 1), ("EOF,,\n", 1), ("Total,3,4\n", 1), ('"Summe",,12\n', 1),
        ("\n\nEOF\n\n", 1), ("(2 rows affected)\n", 1), ("---\nEnd of report\n", 2),
        ("Gesamtsumme\nMittelwert,1\nExported by PI\n", 3), ("Total,3,4", 1), ("\x1a", 0),
    ],
)  # fmt: skip
def test_lines_below_the_table_are_dropped_and_counted(tmp_path, block_bytes, trailer, count):
    path = write(tmp_path, table(lines(60)) + trailer)

    values, account = read(path, block_bytes=block_bytes)

    np.testing.assert_array_equal(values[:, 0], np.arange(60))
    expected = {"line below the table": count} if count else {"cut off at the end of the file": 1}
    assert account.dropped == expected


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_too_many_lines_below_the_table_are_ragged_rows(tmp_path, block_bytes):
    path = write(tmp_path, table(lines(200)) + "EOF\n" * 11)

    assert refusal(path, block_bytes=block_bytes) == (
        "plant.csv, line 202: 1 field, expected 3 as in the header (11 of 211 rows are like that): "
        "mend these lines or export again."
    )


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_files_put_one_behind_another(tmp_path, block_bytes):
    rows = lines(90)
    text = table(rows[:30]) + "EOF\n" + "\ufeff" + table(rows[30:60]) + "Total\n" + table(rows[60:])

    values, account = read(write(tmp_path, text), block_bytes=block_bytes)

    np.testing.assert_array_equal(values[:, 0], np.arange(90))
    assert account.dropped == {"repeated header": 2, "line below the table": 2}
    assert account.notes == (
        NAIVE_NOTE,
        "2 lines dropped as line below the table (first: plant.csv, line 32)",
        "2 lines dropped as repeated header (first: plant.csv, line 33)",
    )


@pytest.mark.parametrize("block_bytes", BLOCKS)
@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize("mostly", [True, False])
def test_separator_at_the_end_of_some_lines(tmp_path, block_bytes, separator, mostly):
    rows = [
        line + separator * ((k % 3 == 0) != mostly) for k, line in enumerate(lines(30, separator))
    ]
    path = write(tmp_path, table(rows, separator.join("xab").replace("x", "time")))

    values, account = read(path, block_bytes=block_bytes)

    np.testing.assert_array_equal(values, np.repeat(np.arange(30.0)[:, None], 2, axis=1))
    assert account.dropped == {}


def test_comma_at_the_end_of_some_lines_may_be_a_decimal_comma(tmp_path):
    """2026-01-01,1,5, may be a = 1.5 and an empty b: nobody can tell."""
    rows = lines(30)
    rows[20] = "2026-01-01T00:00:20,1,5,"

    assert refusal(write(tmp_path, table(rows))) == (
        "plant.csv, line 22: 4 fields, expected 3 as in the header (1 of 30 rows are like that): "
        "mend these lines or export again."
    )


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_row_that_lost_a_field_is_not_taken_for_one_without_its_last_separator(
    tmp_path, block_bytes
):
    rows = lines(1_000, ";", end=";")
    rows[500] = "2026-01-01T00:08:20;7;"

    values, account = read(write(tmp_path, table(rows, "time;a;b")), block_bytes=block_bytes)

    assert 7 not in values[490:510]
    assert account.dropped == {"wrong number of fields": 1}


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_quote_that_is_not_closed(tmp_path, block_bytes):
    rows = lines(50)
    rows[30] = '2026-01-01 00:00:30,"30,30'

    assert refusal(write(tmp_path, table(rows)), block_bytes=block_bytes) == (
        "plant.csv, line 32: a quote is opened and not closed, expected both in one line: remove "
        "it, or export without line breaks in texts."
    )


@pytest.mark.parametrize("block_bytes", [100, 200, 300, 400, 500, 8 << 20])
def test_open_quote_swallows_no_rows_of_a_later_block(tmp_path, block_bytes):
    """Where times are read as text no column shows that a line is out of the common."""
    rows = [f"2026-01-14 {k:02d}:03:00;{'x' * (k % 3 == 0)};{k},25;{40 + k},5" for k in range(24)]
    rows[0] = "2026-01-14 12:03 AM;x;0,25;40,5"
    rows[16] = '2026-01-14 16:03:00;x;16,25;"43,83'
    path = write(tmp_path, table(rows, "time;flow;p_1;T 2"))

    assert refusal(path, block_bytes=block_bytes) == (
        "plant.csv, line 18: a quote is opened and not closed, expected both in one line: remove "
        "it, or export without line breaks in texts."
    )


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_quote_within_a_cell(tmp_path, block_bytes):
    """Inch marks are text; what stands behind a closed quote makes the row unreadable."""
    rows = [*lines(1_000), '2026-01-02,"1"2,3', '2026-01-03,5" pipe,3']

    values, account = read(write(tmp_path, table(rows)), block_bytes=block_bytes)

    np.testing.assert_array_equal(values[-2:], [[999, 999], [np.nan, 3]])
    assert account.dropped == {"wrong number of fields": 1}


def test_few_ragged_rows_of_a_day_are_dropped(tmp_path):
    rows = lines(1_440)
    rows[100] = rows[100].rpartition(",")[0]
    rows[102] = "0,4" + rows[102] + ",1"

    values, account = read(write(tmp_path, table(rows)))

    assert (len(values), account.dropped) == (1_438, {"wrong number of fields": 2})


def test_ragged_share_is_of_the_whole_file(tmp_path):
    rows = lines(2_000)
    for k in range(0, 20, 2):
        rows[k + 100] += ",1"

    assert refusal(write(tmp_path, table(rows)), block_bytes=1_000) == (
        "plant.csv, line 102: 4 fields, expected 3 as in the header (10 of 2000 rows are like "
        "that): mend these lines or export again."
    )


@pytest.mark.parametrize("kind", ["one line", "no line end at all", "columns"])
def test_bomb_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "plant.csv"
    with path.open("wb") as file:
        if kind == "columns":
            file.write(b",".join(b"c%d" % k for k in range(1_000_000)) + b"\n1,2\n")
        else:
            file.write(b"time,a\n" if kind == "one line" else b"t")
            file.truncate(10 << 30)  # NUL bytes that take no place on the disk
            file.seek(4_096)
            file.write(b"x" * (17 << 20))
            if kind == "one line":
                file.seek(7)
                file.write(b"x" * 4_096)
    start = time.process_time()

    said = refusal(path, encoding="utf-8")

    assert time.process_time() - start < 1.0
    long = (
        "longer than 16 MB, expected lines of a table: check what the file holds and export it "
        "again."
    )
    assert said == {
        "one line": f"plant.csv, line 2: {long}",
        "no line end at all": f"plant.csv, line 1: {long}",
        "columns": "plant.csv, line 1: 1000000 fields, expected at most 20000 columns: export "
        "fewer tags to a file.",
    }[kind]  # fmt: skip


def slow_twin(data, separator, width):
    """Return the numbers of the lines that are rows of `width` fields, line by line."""
    kept = []
    for k, line in enumerate(data.decode("utf-8", "replace").split("\n")):
        control = any((ord(c) < 32 and c != "\t") or c == "\x7f" for c in line)
        try:
            row = next(csv.reader([line.replace("\0", "\1")], delimiter=separator, strict=True), [])
        except csv.Error:
            row = []
        if len(row) == width and not (control and any(ord(c) < 32 for c in row[0])):
            kept.append(k)
    return kept


@pytest.mark.parametrize("seed", range(40))
def test_sieve_against_its_slow_twin(seed):
    """Random lines of separators, quotes, control characters and letters."""
    draw = random.Random(seed)
    signs = draw.choice(['ab",,', "ab,,", 'a",', "ab,,,\0\1", 'ab","\xe9 '])
    texts = ["".join(draw.choices(signs, k=draw.randint(1, 9))) for _ in range(300)]
    texts = [text + "1" for text in texts]  # no trailers, no blank lines
    rows = [t for t in texts if _quotes_close(t) or any(ord(c) < 32 for c in t)]
    data = "".join(f"{row}\n" for row in rows).encode()

    sieve = Sieve(Shape("plant.csv", ",", 3, False, 0), Tally())
    sifted = sieve.sift(TextBlock(data, 1, len(data)))

    expected = slow_twin(data[:-1], ",", 3)
    assert sifted.rows == len(rows)
    np.testing.assert_array_equal(sifted.ordinals, expected)
    assert sifted.data == b"".join(rows[k].encode() + b"\n" for k in expected)
    assert len(rows) == len(expected) + sum(sieve.tally.dropped.values()) + len(sieve.waiting)


def _quotes_close(text):
    try:
        next(csv.reader([text], strict=True), [])
    except csv.Error as fault:
        return "unexpected end" not in str(fault)
    return True


FUZZED = [
    table(lines(40)).encode(),
    table(lines(40, ";", end=";"), "time;a;b °C", "\r\n").encode("cp1252"),
    table([f'"{x}"'.replace(",", '","') for x in lines(40)], '"time","a °","b"').encode(),
    table(lines(40, "\t"), "time\ta\tb", "\r").encode("utf-16"),
    b"\xef\xbb\xbfsep=;\n" + table(lines(40, ";"), "time;a;b").encode() + b"EOF\n",
]
SPICES = (b"\0", b'"', b"\n", b"\r", b",", b";", b"\t", b"\xff\xfe", b"\xc3\xb6", b"\xb0", b"1e999",
          b"EOF", b"\x1f\x8b", b"time,a,b\n", b"\x1a", b"-", b"'", b"=")  # fmt: skip


def mutant(draw):
    """Return the bytes of an export with some of them changed, put in, taken out or doubled."""
    data = bytearray(draw.choice(FUZZED))
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data) + 1)
        until = min(at + draw.randint(1, 20), len(data))
        kind = draw.randrange(5)
        if kind == 0:
            data[at:until] = draw.randbytes(until - at)
        elif kind == 1:
            data[at:at] = draw.choice(SPICES)
        elif kind == 2:
            del data[at:until]
        elif kind == 3:
            data[at:at] = data[at:until] * draw.randint(1, 3)
        else:
            del data[max(at, 1) :]
    return bytes(data)


def test_mutants_are_read_with_a_balanced_account_or_refused(tmp_path):
    """Whatever the bytes, and whatever the block in which they are read: the same comes out."""
    draw = random.Random(2026)
    read_well = 0
    for number in range(2_000):
        data = mutant(draw)
        path = write(tmp_path, data)
        outcomes = []
        for block_bytes in [8 << 20] + [draw.choice([30, 100, 300])] * (number % 4 == 0):
            try:
                values, account = read(path, block_bytes=block_bytes, duplicates="last")
                outcomes.append((values.tobytes(), account))
            except DataError as fault:
                assert str(fault).startswith("plant.csv")
                outcomes.append(())  # which of two faults is told first may depend on the block
        assert outcomes[0] == outcomes[-1], (number, data)
        read_well += len(outcomes[0]) == 2
    assert 400 < read_well < 1_600


def test_second_reader_agrees_on_what_is_kept(tmp_path):
    """Python's own reader, over the lines that are left."""
    rows = lines(2_000)
    rows[7] = rows[7].replace(",7", ',"7"')
    rows[100] += ",1"
    values, account = read(write(tmp_path, table(rows)))

    expected = [row for row in csv.reader(io.StringIO("\n".join(rows))) if len(row) == 3]
    np.testing.assert_array_equal(values, np.array(expected)[:, 1:].astype(float))
    assert account.kept == len(expected)

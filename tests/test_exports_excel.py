"""Workbooks: cells as texts, which sheet, what is told of a sheet, and what is refused."""

import random
import struct
import sys
import zipfile
from datetime import date, datetime, time, timedelta
from time import process_time

import pytest

from sensor_ad.errors import DataError, UsageError
from sensor_ad.exports import excel, workbooks
from sensor_ad.exports.excel import excel_table, find_sheet, first_rows, workbook_rows
from sensor_ad.exports.tally import Tally

openpyxl = pytest.importorskip("openpyxl")
xlsxwriter = pytest.importorskip("xlsxwriter")

TABLE = [["time", "a", "b"], [datetime(2026, 1, 1), 1.5, "Bad"], [datetime(2026, 1, 2), 2, None]]
TEXTS = [["time", "a", "b"], ["2026-01-01 00:00:00", "1.5", "Bad"], ["2026-01-02 00:00:00", "2"]]


def write(folder, sheets, name="plant.xlsx", hidden=(), **options):
    """Write lists of rows as sheets."""
    path = folder / name
    book = xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd hh:mm:ss", **options})
    for title, rows in sheets.items():
        sheet = book.add_worksheet(title)
        for k, row in enumerate(rows):
            sheet.write_row(k, 0, row)
        if title in hidden:
            sheet.very_hidden()
    book.close()
    return path


def rewrite(path, changes):
    """Replace parts of a workbook's archive; a function makes the new part from the old one."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for name, change in changes.items():
        parts[name] = change(parts[name]) if callable(change) else change
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def refusal(path, sheet=None, read=find_sheet):
    with pytest.raises(DataError) as fault:
        read(path, sheet)
    return str(fault.value)


SHEET = "xl/worksheets/sheet1.xml"


def test_table_as_texts(tmp_path):
    path = write(tmp_path, {"Data": TABLE})

    assert find_sheet(path, None) == "Data"
    assert first_rows(path, "Data", 10) == TEXTS
    assert first_rows(path, "Data", 1) == TEXTS[:1]
    table = excel_table(path, "Data", 1)
    assert table.to_pydict() == {
        "0": ["2026-01-01 00:00:00", "2026-01-02 00:00:00"],
        "1": ["1.5", "2"],
        "2": ["Bad", ""],
    }


@pytest.mark.parametrize(
    ("cell", "number_format", "text"),
    [
        (1 / 3, None, "0.3333333333333333"),
        (0.1, None, "0.1"),
        (-1e-300, None, "-1e-300"),
        (192, None, "192"),
        (True, None, "true"),
        (False, None, "false"),
        ("  1,5 ", None, "  1,5 "),
        ("=cmd|' /C calc'!A0", None, "=cmd|' /C calc'!A0"),
        ("#VALOR!", None, "#VALOR!"),
        ("°C <img>", None, "°C <img>"),
        (datetime(2026, 1, 31, 23, 59, 0, 250_000), "dd.mm.yyyy hh:mm:ss.000", None),
        (datetime(2026, 1, 31, 23, 59), "m/d/yy h:mm AM/PM", "2026-01-31 23:59:00"),
        (date(2026, 1, 31), "yyyy-mm-dd", "2026-01-31 00:00:00"),
        (time(23, 59), "hh:mm", "23:59:00"),
        (timedelta(hours=36, milliseconds=500), "[h]:mm:ss.000", "36:00:00.500"),
        (46053.99930555555, None, "46053.99930555555"),
    ],
)
@pytest.mark.parametrize("epoch", [False, True])
def test_cells(tmp_path, cell, number_format, text, epoch):
    """Dates are the same in both of Excel's date systems, and whatever they look like."""
    path = tmp_path / "plant.xlsx"
    book = xlsxwriter.Workbook(path, {"strings_to_formulas": False, "date_1904": epoch})
    kind = book.add_format({"num_format": number_format}) if number_format else None
    book.add_worksheet("Data").write(0, 0, cell, kind)
    book.close()

    assert first_rows(path, "Data", 1) == [[text or "2026-01-31 23:59:00.250"]]


def test_serial_that_is_not_quite_a_second(tmp_path):
    """A double holds the time of day to half a microsecond; Excel shows milliseconds."""
    stamps = [datetime(2026, 1, 1) + k * timedelta(seconds=1.001) for k in range(500)]
    path = write(tmp_path, {"Data": [[stamp] for stamp in stamps]})

    shown = [row[0] for row in first_rows(path, "Data", 500)]

    assert [datetime.fromisoformat(text) for text in shown] == stamps


def test_datalink_sheet(tmp_path):
    """Title, tags, units; the values that Excel stored for formulas; errors stay what they are."""
    path = tmp_path / "plant.xlsx"
    book = xlsxwriter.Workbook(path)
    stamp = book.add_format({"num_format": "dd-mmm-yy hh:mm:ss"})
    sheet = book.add_worksheet("PI")
    sheet.merge_range("A1:C1", "Pump 7, hourly")
    sheet.write_row("A3", ["", "FT101.PV", "5RT101 pv"])
    sheet.write_row("A4", ["", "m³/h", "°C"])
    for row, values in enumerate([(1.5, "#REF!"), ("#N/A", 20), ("No Data", 0)], 4):
        sheet.write_datetime(row, 0, datetime(2026, 1, 1, row - 4), stamp)
        sheet.write_formula(row, 1, '=PIArcVal("FT101.PV",$A5,0)', None, values[0])
        sheet.write_formula(row, 2, '=PIArcVal("5RT101 pv",$A5,0)', None, values[1])
    book.close()
    tally = Tally()

    assert find_sheet(path, None, tally) == "PI"
    assert first_rows(path, "PI", 9) == [
        ["Pump 7, hourly"],
        [],
        ["", "FT101.PV", "5RT101 pv"],
        ["", "m³/h", "°C"],
        ["2026-01-01 00:00:00", "1.5", "#REF!"],
        ["2026-01-01 01:00:00", "#N/A", "20"],
        ["2026-01-01 02:00:00", "No Data", "0"],
    ]
    assert excel_table(path, "PI", 4)["2"].to_pylist() == ["#REF!", "20", "0"]
    assert tally.notes == [
        "plant.xlsx: sheet 'PI' has 1 merged cell (first: A1:C1); the value of each counts for its "
        "first cell only"
    ]


def test_formulas_that_were_never_calculated(tmp_path):
    """Openpyxl writes formulas without values; an empty text is a value."""
    book = openpyxl.Workbook()
    book.active.append(["time", "a", "b"])
    book.active.append([datetime(2026, 1, 1), "=1+1", 2])
    book.active.append([datetime(2026, 1, 1), "=A1", 2])
    book.save(tmp_path / "plant.xlsx")
    empty = b'<c r="D1" t="str"><f>A1</f><v></v></c><c r="E1" t="n"><f>1</f><v>3</v></c>'
    rewrite(tmp_path / "plant.xlsx", {SHEET: lambda xml: xml.replace(b"</row>", empty + b"</row>")})
    tally = Tally()

    find_sheet(tmp_path / "plant.xlsx", None, tally)

    assert first_rows(tmp_path / "plant.xlsx", "Sheet", 3)[1][:3] == [
        "2026-01-01 00:00:00",
        "",
        "2",
    ]
    assert tally.notes == [
        "plant.xlsx: sheet 'Sheet' has 2 formulas without a stored value (first: B2), treated as "
        "missing: open it in Excel, let it calculate, and save it"
    ]


@pytest.mark.parametrize("chunk", [1, 7, 100, 1 << 20])
@pytest.mark.parametrize("prefix", ["", "x:"])
def test_remarks_do_not_depend_on_pieces(tmp_path, monkeypatch, chunk, prefix):
    """Compared with a reader of the whole part, cell by cell."""
    rng = random.Random(1)
    kinds = ["<f>1+1</f>", "<f/>", '<f t="shared" si="0"/>', "<f>1</f><v/>", "<f>1</f><v></v>"]
    kinds += ["<f>1</f><v>2</v>", "<v>3</v>", "", '<f t="shared" ref="A1" si="0">2</f><v>2</v>']
    rows, expected = "", []
    for row in range(1, 60):
        cells = ""
        for column in "ABC":
            kind, text = rng.choice(kinds), rng.random() < 0.3
            cells += f'<c r="{column}{row}"{text * " t=" + text * chr(34) + text * "str"}'
            cells += f"{text * chr(34)}>{kind}</c>"
            if "<f" in kind and not kind.endswith(("2</v>", "3</v>")) and not text:
                expected.append(f"{column}{row}")
        rows += f'<row r="{row}">{cells}</row>'
    merged = [f"A{k}:B{k}" for k in range(1, 30)]
    tail = "".join(f'<mergeCell ref="{ref}"/>' for ref in merged)
    xml = f"<worksheet><sheetData>{rows}</sheetData><mergeCells>{tail}</mergeCells></worksheet>"
    xml = xml.replace("</", "\0").replace("<", f"<{prefix}").replace("\0", f"</{prefix}")
    with zipfile.ZipFile(tmp_path / "plant.xlsx", "w") as archive:
        archive.writestr(SHEET, xml)
    monkeypatch.setattr(workbooks, "CHUNK_BYTES", chunk)

    found = workbooks.remarks(tmp_path / "plant.xlsx", SHEET)

    assert found == workbooks.Remarks(len(merged), merged[0], len(expected), expected[0])


def test_only_visible_table_is_read_and_hidden_ones_are_told(tmp_path):
    notes = [["Exported by PI"], [], ["Ask the control room"]]
    path = write(tmp_path, {"Notes": notes, "Data": TABLE, "Old": TABLE}, hidden=("Old",))
    tally = Tally()

    assert find_sheet(path, None, tally) == "Data"
    assert tally.notes == ["plant.xlsx: hidden sheet 'Old' not read"]
    assert find_sheet(path, "Old") == "Old"


def test_table_of_words_gives_way_to_one_of_numbers(tmp_path):
    words = [["tag", "description"], ["a", "flow"], ["b", "state"]]
    path = write(tmp_path, {"Tags": words, "Data": TABLE})
    tally = Tally()

    assert find_sheet(path, None, tally) == "Data"
    assert tally.notes == ["plant.xlsx: read sheet 'Data'; no numbers in 'Tags'"]


def test_several_tables(tmp_path):
    path = write(tmp_path, {"January": TABLE, "February": TABLE})

    assert refusal(path) == (
        "plant.xlsx: 2 sheets hold tables ('January', 'February'), expected one: say which by "
        'data.sheet = "January".'
    )
    assert find_sheet(path, "February") == "February"
    assert refusal(path, "March") == (
        "plant.xlsx: no sheet 'March', which data.sheet names, among 'January', 'February': "
        "correct data.sheet."
    )


def test_no_table(tmp_path):
    path = write(tmp_path, {"Empty": [], "Title": [["a", "b"]], "Data": TABLE}, hidden=("Data",))

    assert refusal(path) == (
        "plant.xlsx: no visible sheet with a table ('Empty', 'Title'), expected a header and rows: "
        "export a stretch of time that has data, or name a hidden sheet by data.sheet."
    )


@pytest.mark.parametrize("block_rows", [1, 2, 7, 1_000])
def test_blank_rows_stay_within_and_go_at_the_end(tmp_path, block_rows):
    rows = [[None, "x"], [], [], [1], [None], [None, None, 3], [], [""]]
    path = write(tmp_path, {"Data": rows}, default_date_format=None)
    rewrite(path, {SHEET: lambda xml: xml.replace(b"</sheetData>", b'<row r="50"/></sheetData>')})

    blocks = list(workbook_rows(path, "Data", block_rows))

    assert [row for block in blocks for row in block] == [
        ["", "x"],
        [],
        [],
        ["1"],
        [],
        ["", "", "3"],
    ]


def test_rows_beyond_a_wrong_dimension_are_not_lost(tmp_path):
    path = write(tmp_path, {"Data": TABLE})
    wrong = b'<dimension ref="A1:B2"/>'
    rewrite(path, {SHEET: lambda xml: xml.replace(b'<dimension ref="A1:C3"/>', wrong)})

    assert first_rows(path, "Data", 10) == TEXTS


def test_table_in_chunks_of_any_width(tmp_path, monkeypatch):
    rows = [["x"] * (1 + k % 4) for k in range(23)]
    path = write(tmp_path, {"Data": rows})
    monkeypatch.setattr(excel, "BLOCK_ROWS", 5)

    for skip in (0, 3, 5, 12):
        table = excel_table(path, "Data", skip)
        assert [[cell for cell in row.values() if cell] for row in table.to_pylist()] == rows[skip:]
    assert excel_table(path, "Data", 23).num_rows == 0


def test_sheet_that_is_full(tmp_path, monkeypatch):
    path = write(tmp_path, {"Data": TABLE})
    tally = Tally()

    monkeypatch.setattr(excel, "FULL_SHEET", 4)
    excel_table(path, "Data", 1, tally)
    assert tally.notes == []
    monkeypatch.setattr(excel, "FULL_SHEET", 3)
    excel_table(path, "Data", 1, tally)
    assert tally.notes == [
        "plant.xlsx: sheet 'Data' is full to its last row (3), so that the export is probably cut "
        "off: export less at once"
    ]


def test_blank_rows_without_end_stall_nobody(tmp_path):
    """Rows that were formatted down to the last one, say."""
    path = write(tmp_path, {"Data": TABLE})
    far = b'<row r="1000000"><c r="A1000000"/></row></sheetData>'
    rewrite(path, {SHEET: lambda xml: xml.replace(b"</sheetData>", far)})
    began = process_time()

    assert first_rows(path, "Data", 10) == TEXTS
    assert process_time() - began < 5


def test_more_rows_or_cells_than_a_sheet_has(tmp_path, monkeypatch):
    """A row may claim any number, and one cell far to the right makes all rows wide."""
    path = write(tmp_path, {"Data": TABLE})
    far = b'<row r="9999999999"><c r="A9999999999"><v>1</v></c></row></sheetData>'
    rewrite(path, {SHEET: lambda xml: xml.replace(b"</sheetData>", far)})
    assert refusal(path, "Data", lambda *args: list(workbook_rows(*args))) == (
        "plant.xlsx: sheet 'Data' has 1050000 rows of 3 columns or more, expected at most 1048576 "
        "rows and 100000000 cells: export it as CSV or Parquet."
    )
    monkeypatch.setattr(excel, "MOST_CELLS", 8)
    path = write(tmp_path, {"Data": TABLE})
    assert refusal(path, "Data", lambda *args: list(workbook_rows(*args))) == (
        "plant.xlsx: sheet 'Data' has 3 rows of 3 columns or more, expected at most 1048576 rows "
        "and 8 cells: export it as CSV or Parquet."
    )


def test_dates_beyond_the_calendar_are_errors(tmp_path):
    path = write(tmp_path, {"Data": TABLE})
    rewrite(path, {SHEET: lambda xml: xml.replace(b"<v>46023</v>", b"<v>4e9</v>")})

    assert first_rows(path, "Data", 2)[1][0] == "#VALUE!"


def ole(name):
    return (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 2_000 + name.encode("utf-16-le") + b"\0" * 99
    )


@pytest.mark.parametrize("chunk", [1 << 20, 1_000, 16])
def test_old_workbook_and_one_with_a_password(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(workbooks, "CHUNK_BYTES", chunk)
    path = tmp_path / "plant.xlsx"

    path.write_bytes(ole("EncryptedPackage"))
    assert refusal(path) == (
        "plant.xlsx: a workbook with a password, expected one without: open it in Excel, remove "
        "the password (File, Info, Protect Workbook), and save it."
    )
    path.write_bytes(ole("Workbook"))
    assert refusal(path) == (
        "plant.xlsx: a workbook of Excel 97 to 2003 (.xls), expected .xlsx, CSV or Parquet: open "
        "it in Excel and save it as .xlsx."
    )


@pytest.mark.parametrize(
    ("part", "what", "remedy"),
    [
        ("plant.csv", "a ZIP archive without a workbook", "unpack it"),
        ("xl/workbook.bin", "a binary workbook (.xlsb)", "save it as .xlsx"),
        ("content.xml", "an OpenDocument file", "save it as .xlsx"),
    ],
)
def test_archives_that_are_no_workbook(tmp_path, part, what, remedy):
    with zipfile.ZipFile(tmp_path / "plant.xlsx", "w") as archive:
        archive.writestr(part, "")

    assert refusal(tmp_path / "plant.xlsx") == (
        f"plant.xlsx: {what}, expected .xlsx, CSV or Parquet: {remedy}."
    )


def test_zip_bombs(tmp_path, monkeypatch):
    """Refused by the archive's directory; nothing is unpacked."""
    path = write(tmp_path, {"Data": TABLE})
    rewrite(path, {"xl/worksheets/sheet2.xml": b" " * (70 << 20)})
    with zipfile.ZipFile(path) as archive:
        packed = archive.getinfo("xl/worksheets/sheet2.xml").compress_size
    assert refusal(path) == (
        f"plant.xlsx: xl/worksheets/sheet2.xml unpacks from {packed} bytes to 70 MiB, as if made "
        "to fill the memory; expected at most 200 times: export it as CSV or Parquet."
    )
    monkeypatch.setattr(workbooks, "MOST_BYTES", 60 << 20)
    assert refusal(path) == (
        "plant.xlsx: a workbook of 11 parts and 70 MiB unpacked, expected at most 10000 parts and "
        "60 MiB: export less at once, or as CSV or Parquet."
    )
    monkeypatch.undo()
    monkeypatch.setattr(workbooks, "MOST_TEXT_BYTES", 1 << 20)
    path = rewrite(write(tmp_path, {"Data": TABLE}), {"xl/sharedStrings.xml": b" " * (2 << 20)})
    assert refusal(path) == (
        "plant.xlsx: xl/sharedStrings.xml takes 2 MiB unpacked, expected at most 1 MiB: export it "
        "as CSV or Parquet."
    )


def test_size_in_the_archive_that_lies(tmp_path):
    """What unpacks to more than was announced is cut there, and told."""
    path = write(tmp_path, {"Data": TABLE})
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo(SHEET).file_size
    whole = path.read_bytes()
    path.write_bytes(whole.replace(struct.pack("<L", size), struct.pack("<L", size - 9)))

    assert refusal(path, None).startswith("plant.xlsx: ")


def test_part_with_entities(tmp_path):
    path = write(tmp_path, {"Data": TABLE})
    bomb = b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">]><worksheet/>'
    rewrite(path, {SHEET: bomb})

    assert refusal(path) == (
        f"plant.xlsx: {SHEET} begins with a DOCTYPE, as if made to do harm; expected one as Excel "
        "saves it: open it in Excel and save it again."
    )


def test_encrypted_part_and_part_that_stands_twice(tmp_path):
    path = write(tmp_path, {"Data": TABLE})
    whole = path.read_bytes()
    start = whole.index(b"PK\x01\x02")
    path.write_bytes(whole[: start + 8] + b"\x01" + whole[start + 9 :])
    assert refusal(path) == (
        "plant.xlsx: the workbook's archive is encrypted, expected one without a password: save it "
        "without."
    )
    path.write_bytes(whole)
    with pytest.warns(UserWarning), zipfile.ZipFile(path, "a") as archive:
        archive.writestr(SHEET, "")
    assert refusal(path) == (
        f"plant.xlsx: the workbook holds {SHEET} twice, expected each part once: open it in Excel "
        "and save it again."
    )


@pytest.mark.parametrize(
    "part", ["xl/workbook.xml", "xl/styles.xml", "xl/sharedStrings.xml", SHEET]
)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<a",
        b'<?xml version="1.0" encoding="UTX-8"?><a/>',
        b"<a/>",
        b"\xff\xfe\0",
        b"<worksheet>" * 50_000,
    ],
)
def test_damaged_parts(tmp_path, part, content):
    """Refused in our words, or read as far as it has cells; never a traceback."""
    path = rewrite(write(tmp_path, {"Data": TABLE}), {part: content})

    try:
        rows = first_rows(path, find_sheet(path, None), 10)
    except DataError as fault:
        assert str(fault).startswith("plant.xlsx: ")
        assert ", expected " in str(fault)
    else:
        assert part == "xl/styles.xml" or rows


def test_truncated_workbook(tmp_path):
    path = write(tmp_path, {"Data": TABLE})
    path.write_bytes(path.read_bytes()[:-30])

    assert refusal(path) == (
        "plant.xlsx: a damaged workbook (File is not a zip file), expected one that can be "
        "unpacked: copy or export it again."
    )


def test_flipped_bytes_never_change_a_value(tmp_path):
    """The archive has checksums: what is read is what was written, or it is refused."""
    path = write(tmp_path, {"Data": TABLE})
    whole, rng = path.read_bytes(), random.Random(1)
    outcomes = set()
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            found = first_rows(path, find_sheet(path, None), 10)
        except DataError:
            outcomes.add("refused")
        else:
            assert found == TEXTS
            outcomes.add("read")
    assert outcomes == {"refused", "read"}


@pytest.mark.parametrize("part", ["xl/styles.xml", "xl/sharedStrings.xml", "docProps/core.xml"])
def test_part_under_a_damaged_name(tmp_path, part):
    """Without its styles every date would be a number, and openpyxl does not miss them."""
    path = write(tmp_path, {"Data": TABLE})
    whole = path.read_bytes()
    start = whole.rindex(part.encode())  # in the directory; the part itself has the right name
    damaged = part[:-1] + "m"
    path.write_bytes(whole[:start] + damaged.encode() + whole[start + len(part) :])

    assert refusal(path) == (
        f"plant.xlsx: a damaged workbook (File name in directory {damaged!r} and header "
        f"{part.encode()!r} differ.), expected one that can be unpacked: copy or export it again."
    )


def test_directory_that_is_not_whole(tmp_path):
    """A comment said to be long hides the members behind it, the styles among them."""
    path = write(tmp_path, {"Data": TABLE})
    damaged = bytearray(path.read_bytes())
    entry = damaged.rindex(b"xl/styles.xml") - 46
    before = damaged.rindex(b"PK\x01\x02", 0, entry)
    damaged[before + 33] ^= 1  # the comment of the member before is 256 bytes longer
    path.write_bytes(damaged)

    assert refusal(path) == (
        "plant.xlsx: a damaged workbook (its directory is not whole), expected one that can be "
        "unpacked: copy or export it again."
    )


def test_without_openpyxl(tmp_path, monkeypatch):
    path = write(tmp_path, {"Data": TABLE})
    monkeypatch.setitem(sys.modules, "openpyxl", None)

    with pytest.raises(UsageError) as fault:
        find_sheet(path, None)

    assert str(fault.value) == (
        "Excel workbooks need a package that is not installed, expected openpyxl: "
        "pip install 'sensor-ad[excel]', or export as CSV or Parquet."
    )

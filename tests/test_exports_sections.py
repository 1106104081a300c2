"""Files of several tables: GE Historian, AVEVA Historian, annotated CSV of InfluxDB."""

import csv
import gzip
import io
import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest

from sensor_ad.errors import DataError
from sensor_ad.exports.annotated import TIME_FORMATS
from sensor_ad.exports.columns import NoRowsError
from sensor_ad.exports.layouts import Layout, TimeColumns
from sensor_ad.exports.section_source import as_one_table, sectioned_columns
from sensor_ad.exports.sections import find_sections, section_columns
from sensor_ad.exports.series_names import compose_tags, fill_defaults, series_name
from sensor_ad.exports.settings import ReadSettings
from sensor_ad.exports.tally import Tally
from sensor_ad.exports.time_formats import FORMATS

GE = """* exported by hand
[Tags]
Tagname,Description,EngineeringUnits,DataType
P101.PV,"Feed pump, inlet",bar,SingleFloat
T202.PV,,°C,SingleFloat
* a comment
[Data]
Tagname,TimeStamp,Value,DataQuality
P101.PV,2026-01-31 11:07:00,1.5,Good
*P101.PV,2026-01-31 11:07:30,9,Good
T202.PV,2026-01-31 11:07:00,20,Bad

P101.PV,2026-01-31 11:08:00,1.75,Good
"""
AVEVA = """ASCII
,
Admin,1,Server Local,10,0
P101,0,2026/01/31,11:07:00.000,0,1.5,192
T202,0,2026/01/31,11:07:00.250,0,20,0
"""
INFLUX = """#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,double,string,string,string
#group,false,false,true,false,false,true,true,true
#default,_result,,,,,,,here
,result,table,_start,_time,_value,_field,_measurement,host
,,0,2026-01-01T00:00:00Z,2026-01-01T00:00:01Z,1.5,flow,pump,a
,,0,2026-01-01T00:00:00Z,2026-01-01T00:00:02.5Z,,flow,pump,a
,,1,2026-01-01T00:00:00Z,2026-01-01T00:00:01Z,3,flow,pump,

#datatype,string,long,dateTime:RFC3339Nano,boolean,string,string
#group,false,false,false,false,true,true
#default,_result,,,,,
,result,table,_time,_value,_field,_measurement
,,2,2026-01-01T00:00:01.123456789Z,true,open,valve
"""
ERROR = "#datatype,string,string\n#group,true,true\n#default,,\n,error,reference\n,bad window,897\n"


def write(folder, text, encoding="utf-8", name="plant.csv"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def find(path, **settings):
    return find_sections(path, ReadSettings(**settings), Tally())


@dataclass
class Read:
    """All rows of all sections."""

    rows: list
    """(section, tag, time, value, row, where)."""
    tally: Tally


def read(path, block_bytes=8 << 20, places=True, **settings):
    """Read all sections as a reader of long tables would."""
    tally = Tally()
    sections = find_sections(path, ReadSettings(**settings), tally)

    def wanted(section):
        layout = section.layout
        texts = [*layout.time.columns, *layout.tag_parts, layout.tag, layout.quality]
        kinds = {name: pa.string() for name in texts if name}
        return {**kinds, layout.value: pa.float64()}

    def stamp(section):
        return section.layout.time.stamp, section.time_format or ""

    rows = []
    numbers = {id(section): k for k, section in enumerate(sections)}
    for section, block in section_columns(sections, wanted, stamp, block_bytes, tally):
        layout, table = section.layout, block.table
        tags = compose_tags(table, layout.tag_parts) if layout.tag_parts else table[layout.tag]
        times = zip(*(table[name].to_pylist() for name in layout.time.columns), strict=True)
        for k, (tag, at, value) in enumerate(
            zip(tags.to_pylist(), times, table[layout.value].to_pylist(), strict=True)
        ):
            number = int(block.ordinals[k])
            where = block.where(k) if places or k + 1 == table.num_rows else ""
            rows.append((numbers[id(section)], tag, " ".join(at), value, number, where))
    return Read(rows, tally)


def refused(path, kind=DataError, **settings):
    with pytest.raises(kind) as caught:
        read(path, **settings)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "time,a\n2026-01-01 00:00:00,1\n",
        "# exported\ntime,a\n2026-01-01 00:00:00,1\n",
        "[Header]\nserver,plant\ntime,a\n2026-01-01 00:00:00,1\n",
        "ASCII\nsome text\ntime,a\n",
        "ASCII\n\ntime,a\n2026-01-01,1\n",
        ",result,table,_time,_value\n,,0,2026-01-01T00:00:00Z,1\n",
        "\n\n",
    ],
)
def test_other_files_are_left_to_the_sniffer(tmp_path, text):
    assert find(write(tmp_path, text)) is None


# GE Historian


def test_ge_section_told(tmp_path):
    (section,) = find(write(tmp_path, GE))
    assert (section.first_line, section.last_line) == (9, 13)
    assert section.table.dialect.names == ("Tagname", "TimeStamp", "Value", "DataQuality")
    assert section.layout == Layout(
        "long",
        TimeColumns("TimeStamp"),
        "Tagname",
        "Value",
        "DataQuality",
        evidence="sections of GE Historian",
    )
    assert section.units == {"P101.PV": "bar", "T202.PV": "°C"}
    assert section.descriptions == {"P101.PV": "Feed pump, inlet"}
    assert section.table.columns["TimeStamp"].times == ("ISO 8601",)
    assert section.table.columns["Value"].numbers == 3


@pytest.mark.parametrize("block_bytes", [16, 100, 8 << 20])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_ge_rows_read(tmp_path, block_bytes, encoding):
    found = read(write(tmp_path, GE.replace("\n", "\r\n"), encoding), block_bytes)
    assert found.rows == [
        (0, "P101.PV", "2026-01-31 11:07:00", 1.5, 0, "line 9"),
        (0, "T202.PV", "2026-01-31 11:07:00", 20.0, 1, "line 11"),
        (0, "P101.PV", "2026-01-31 11:08:00", 1.75, 2, "line 13"),
    ]
    assert found.tally.rows_in == 3
    assert not found.tally.dropped


def test_ge_several_sections_and_order_of_columns(tmp_path):
    text = GE + (
        "[Messages]\nTopic,Message\nx,y\n[Data]\nValue;TimeStamp;TAGNAME\n"
        "2,5;31.01.2026 12:00;P1\n[default]x/y;1;2\n"
        "[Alarms]\nSource\nz\n[Data]\nTagname,TimeStamp,Value"
    )
    path = write(tmp_path, text)
    tally = Tally()
    first, second = find_sections(path, ReadSettings(), tally)
    assert (second.first_line, second.last_line) == (19, 20)
    assert second.table.dialect.decimal == ","
    assert second.layout.quality is None
    assert second.table.columns["Value"].position == 0
    assert second.units == first.units
    assert tally.notes == [
        "plant.csv: [Alarms] and [Messages] passed over: no values of tags",
        "plant.csv: [Data] without rows passed over",
    ]
    rows = read(write(tmp_path, text.replace("[default]x/y;1;2\n", ""))).rows
    assert rows[3] == (1, "P1", "31.01.2026 12:00", 2.5, 3, "line 19")


def test_ge_trailing_separators_of_a_spreadsheet(tmp_path):
    lines = [line + "," * (4 - line.count(",")) for line in GE.splitlines()]
    rows = read(write(tmp_path, "\n".join(lines) + "\n")).rows
    assert [row[1:4:2] for row in rows] == [
        ("P101.PV", 1.5), ("T202.PV", 20.0), ("", None), ("P101.PV", 1.75)
    ]  # fmt: skip


def test_ge_in_gzip(tmp_path):
    path = tmp_path / "plant.csv.gz"
    path.write_bytes(gzip.compress(GE.encode()))
    assert len(read(path).rows) == 3


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (
            GE.replace("[Tags]", "[Things]"),
            DataError,
            "plant.csv, line 2: section '[things]', expected [Tags], [Data], [Messages] or "
            "[Alarms]: export tags and data only.",
        ),
        (
            GE[: GE.index("[Data]")],
            NoRowsError,
            "plant.csv: no section [Data] (only [Tags]), expected one with values: export the "
            "data too.",
        ),
        (
            GE[: GE.index("P101.PV,2026")],
            NoRowsError,
            "plant.csv, line 7: section [Data] without rows, expected a header and rows: export a "
            "stretch of time that has data.",
        ),
        (
            GE.replace("Tagname,TimeStamp,Value,", "Name,Time,Value,"),
            DataError,
            "plant.csv, line 8: no Tagname and TimeStamp in the header "
            "'Name,Time,Value,DataQuality' of [Data], expected Tagname, TimeStamp and Value: "
            "export them too.",
        ),
        (
            GE.replace("P101.PV,2026-01-31 11:08:00", '"P101.PV,2026-01-31 11:08:00'),
            DataError,
            "plant.csv, line 13: a quote is opened and not closed, expected both in one line: "
            "remove it, or export without line breaks in texts.",
        ),
    ],
)
def test_ge_refused(tmp_path, text, kind, message):
    assert refused(write(tmp_path, text), kind) == message


def test_ge_bias_refused_unless_settled(tmp_path):
    rows = "".join(f"P1,2026-01-31 11:0{k}:00,{k},{{}}\n" for k in range(3))
    text = "[Data]\nTagname,TimeStamp,Value,TimeZoneBias\n" + rows
    path = write(tmp_path, text.format(0, "", -60))
    assert refused(path) == (
        "plant.csv, line 5, column 'TimeZoneBias': '-60', expected 0, for a bias may be added to "
        "local time to give UTC, or taken from it: export times in UTC, or say "
        'data.ignore_columns = ["TimeZoneBias"] and the zone by data.timezone.'
    )
    assert len(read(path, ignore_columns=("TimeZoneBias",)).rows) == 3
    assert len(read(write(tmp_path, text.format(0, "", 0))).rows) == 3


# AVEVA Historian


@pytest.mark.parametrize("separator", [",", "|", "\t", ";"])
def test_aveva_rows_read(tmp_path, separator):
    path = write(tmp_path, AVEVA.replace(",", separator))
    (section,) = find(path)
    assert section.layout == Layout(
        "long",
        TimeColumns("date", "time"),
        "tag",
        "value",
        "quality",
        evidence="import file of AVEVA Historian",
    )
    assert section.first_line == 4
    assert section.table.columns["date"].times == ("ISO 8601",)
    assert section.table.columns["time"].clock
    assert read(path).rows == [
        (0, "P101", "2026/01/31 11:07:00.000", 1.5, 0, "line 4"),
        (0, "T202", "2026/01/31 11:07:00.250", 20.0, 1, "line 5"),
    ]


def test_aveva_utf16(tmp_path):
    path = write(tmp_path, AVEVA.replace("ASCII", "UNICODE"), "utf-16")
    assert [row[3] for row in read(path).rows] == [1.5, 20.0]


PLAIN = (
    "remove the first three lines and read it as a plain table (data.header = false, data.names, "
    "data.time_column)"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            AVEVA.replace("1,Server Local", "0,UTC"),
            "plant.csv, line 3: 'Admin,0,UTC,10,0', expected user, 1, Server Local and two numbers "
            "as in an import file of AVEVA Historian with local times: write it like that, or "
            f"{PLAIN}.",
        ),
        (
            AVEVA.replace("0,20,0", "1,20,0"),
            "plant.csv, line 5, column 'value type': '1', expected 0: other rows are not certain "
            f"to be values as they were; {PLAIN}.",
        ),
        (
            AVEVA.replace("P101,0", "P101,2"),
            "plant.csv, line 4, column 'operation': '2', expected 0: other rows are not certain "
            f"to be values as they were; {PLAIN}.",
        ),
        (
            AVEVA.replace("P101,0,", "P101,0,2026/01/31,11:06:00,"),
            "plant.csv, line 4: 9 fields, expected 7 (tag, operation, date, time, value type, "
            "value, quality): write one inserted value a line; updates of periods and several "
            "values a line are not read.",
        ),
        (
            ":(Mode)update\n:(AnalogTag)TagName,Description\nP101,pump\n",
            "plant.csv, line 1: ':(Mode)update' begins a configuration of AVEVA Historian, which "
            "describes tags and holds no values, expected an export of data: export the history "
            "of the tags.",
        ),
        (
            AVEVA[: AVEVA.index("P101")],
            "plant.csv: an import file of AVEVA Historian without rows, expected rows: export a "
            "stretch of time that has data.",
        ),
    ],
)
def test_aveva_refused(tmp_path, text, message):
    assert refused(write(tmp_path, text)) == message


# InfluxDB


def test_influx_sections_told(tmp_path):
    first, second = find(write(tmp_path, INFLUX))
    assert (first.first_line, first.last_line) == (5, 7)
    assert (second.first_line, second.last_line) == (13, 13)
    assert first.layout == Layout(
        "long",
        TimeColumns("_time"),
        value="_value",
        evidence="annotated CSV of InfluxDB",
        tag_parts=("_field", "_measurement", "host"),
    )
    assert first.time_format == second.time_format == "ISO 8601 with zone"
    assert first.defaults == {"result": "_result", "host": "here"}
    assert [*second.table.columns] == [
        "result", "table", "_time", "_value", "_field", "_measurement"
    ]  # fmt: skip
    assert second.table.columns["_value"].truths == 1


@pytest.mark.parametrize("block_bytes", [16, 300, 8 << 20])
def test_influx_rows_read(tmp_path, block_bytes):
    rows = read(write(tmp_path, INFLUX.replace("\n", "\r\n")), block_bytes).rows
    assert rows == [
        (0, "pump.flow{host=a}", "2026-01-01T00:00:01Z", 1.5, 0, "line 5"),
        (0, "pump.flow{host=a}", "2026-01-01T00:00:02.5Z", None, 1, "line 6"),
        (0, "pump.flow{host=here}", "2026-01-01T00:00:01Z", 3.0, 2, "line 7"),
        (1, "valve.open", "2026-01-01T00:00:01.123456789Z", "true", 3, "line 13"),
    ]


def test_influx_formats_are_known():
    assert {*TIME_FORMATS.values()} <= {*FORMATS}


def test_influx_default_value_fills_empty_cells(tmp_path):
    text = INFLUX.replace("#default,_result,,,,,,,here", "#default,_result,,,,-1,,,here")
    values = [row[3] for row in read(write(tmp_path, text)).rows]
    assert values == ["1.5", "-1", "3", "true"]


def test_influx_equal_tables_are_one_section(tmp_path):
    table = INFLUX[: INFLUX.index("\n\n") + 2]
    header = next(line for line in table.splitlines() if line.startswith(",result"))
    text = table + table + f"{header}\n" + table.splitlines()[4] + "\n"
    path = write(tmp_path, text)
    (section,) = find(path)
    assert (section.first_line, section.last_line) == (5, 18)
    found = read(path)
    assert [row[-1] for row in found.rows] == [
        "line 5", "line 6", "line 7", "line 13", "line 14", "line 15", "line 18"
    ]  # fmt: skip
    assert found.tally.dropped == {"repeated header": 1}
    assert found.tally.rows_in == len(found.rows) + 1


def slow_influx(text):
    """Read the rows of an annotated CSV file, a line at a time."""
    header, kinds, defaults, rows = [], [], [], []
    for number, line in enumerate(text.split("\n"), start=1):
        cells = next(csv.reader([line]), [])
        if not cells:
            continue
        if cells[0] == "#datatype":
            kinds, header = cells, []
        elif cells[0] == "#default":
            defaults, header = cells, []
        elif not cells[0].startswith("#") and not header:
            header = cells
        elif not cells[0].startswith("#"):
            row = {
                name: cell or default
                for name, cell, default in zip(header, cells, defaults, strict=True)
            }
            parts = {
                name: row[name]
                for name, kind in zip(header, kinds, strict=True)
                if kind == "string" and name not in ("", "result", "_value")
            }
            value = float(row["_value"]) if row["_value"] else None
            rows.append((series_name(parts), row["_time"], value, len(rows), f"line {number}"))
    return rows


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("block_bytes", [64, 1_000, 8 << 20])
def test_influx_like_a_line_at_a_time(tmp_path, monkeypatch, seed, block_bytes):
    monkeypatch.setattr("sensor_ad.exports.sectioned.SCAN_BYTES", block_bytes)
    rng = np.random.default_rng(seed)
    text = ""
    for table in range(12):
        tags = ["host", "site, old"][: rng.integers(3)]
        names = ["", "result", "table", "_time", "_value", "_field", *tags]
        kinds = ["#datatype", "string", "long", "dateTime:RFC3339", "double", "string"]
        defaults = ["#default", "_result", "", "", "", rng.choice(["", "flow"])]
        heads = [kinds + ["string"] * len(tags), defaults + [""] * len(tags), names]
        rows = [
            ["", "", table, f"2026-01-01T00:{table:02d}:{k:02d}Z", rng.choice(["", "1", "2.5"]),
             rng.choice(["", "p"]), *rng.choice(["", "a", 'b "c", d'], len(tags))]
            for k in range(rng.integers(4))
        ]  # fmt: skip
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows(heads + rows)
        text += stream.getvalue() + "\n" * int(rng.integers(1, 3))
    found = read(write(tmp_path, text), block_bytes).rows
    assert [row[1:] for row in found] == slow_influx(text)


def test_influx_epoch_and_tables_without_rows(tmp_path):
    table = INFLUX[INFLUX.index("\n\n") + 2 :].replace("RFC3339Nano", "number")
    empty = "\n".join(table.splitlines()[:4]).replace("_field", "site") + "\n\n"
    text = empty + table.replace("2026-01-01T00:00:01.123456789Z", "1767225601123456789")
    tally = Tally()
    (section,) = find_sections(write(tmp_path, text), ReadSettings(), tally)
    assert section.time_format == "epoch ns"
    assert tally.notes == ["plant.csv: 1 table without rows skipped"]


def changed(old, new):
    assert old in INFLUX
    return INFLUX.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            INFLUX + "\n" + ERROR,
            "plant.csv, line 18: an error that InfluxDB wrote in place of a table ('bad window'), "
            "expected rows: mend the query and export again.",
        ),
        (
            INFLUX + "\nerror,reference\n",
            "plant.csv, line 15: an error that InfluxDB wrote in place of a table ('no text'), "
            "expected rows: mend the query and export again.",
        ),
        (
            INFLUX + "\n#datatype,string,long\n#group,false,false\n",
            "plant.csv, line 15: annotations without a header below them (the file ends), expected "
            "a header and rows: the file is cut off or damaged; export it again.",
        ),
        (
            changed("#default,_result,,,,,,,here\n", "#default,_result,,,,,,,here\n\n"),
            "plant.csv, line 4: annotations without a header below them (a blank line follows), "
            "expected a header and rows: the file is cut off or damaged; export it again.",
        ),
        (
            changed("#group,false", "#datatype,false"),
            "plant.csv, line 1: annotations without a header below them (#datatype follows again), "
            "expected a header and rows: the file is cut off or damaged; export it again.",
        ),
        (
            changed("#group,false", "#constant,false"),
            "plant.csv, line 2: annotation '#constant', expected #datatype, #group, #default as "
            "InfluxDB writes: export by a query, not as a file for 'influx write'.",
        ),
        (
            changed(",host\n", "\n"),
            "plant.csv, line 4: 8 fields in the header, 9 in #datatype, expected as many: export "
            "the file again.",
        ),
        (
            changed("double", "decimal"),
            "plant.csv, line 4: column '_value' is of type 'decimal', expected one of "
            "dateTime:RFC3339, dateTime:RFC3339Nano, dateTime:number, double, long, unsignedLong, "
            "boolean, string, duration, base64Binary: export by a query, not as a file for "
            "'influx write'.",
        ),
        (
            changed("double", "duration"),
            "plant.csv, line 4: column _value is of type 'duration', expected numbers, truths or "
            "texts: leave these series out of the query, or turn them into numbers.",
        ),
        (
            changed("_value", "flow"),
            "plant.csv, line 4: no column _value among 'result', 'table', '_start', '_time', "
            "'flow', '_field', '_measurement', 'host', expected a time and a value in "
            "each row: query without pivot(), or export as plain CSV.",
        ),
        (
            INFLUX + "not a row\n",
            "plant.csv, line 14: 'not a row', expected a row, which begins with a comma, or an "
            "annotation: mend this line; texts must not hold line breaks.",
        ),
        (
            INFLUX + "\n,result,table,_time,_value\n",
            "plant.csv, line 15: a header without annotations, expected #datatype above it as in "
            "the other tables: export with annotations, or as plain CSV.",
        ),
        (
            "\n".join(INFLUX.splitlines()[1:]),
            "plant.csv, line 3: a table without #datatype, expected the types of its columns: "
            "export with all annotations.",
        ),
        (
            "\n".join(INFLUX.splitlines()[:4]) + "\n",
            "plant.csv: annotated CSV of InfluxDB without a row, expected tables with rows: export "
            "a stretch of time that has data.",
        ),
    ],
)
def test_influx_refused(tmp_path, text, message):
    assert refused(write(tmp_path, text)) == message


def test_influx_error_at_the_edge_of_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr("sensor_ad.exports.sectioned.SCAN_BYTES", 16)
    assert "('bad window')" in refused(write(tmp_path, INFLUX + "\n" + ERROR))


@pytest.mark.parametrize("text", [GE, INFLUX, AVEVA])
def test_scanning_block_has_no_say(tmp_path, text, monkeypatch):
    path = write(tmp_path, text)
    whole = find(path)
    monkeypatch.setattr("sensor_ad.exports.sectioned.SCAN_BYTES", 16)
    assert find(path) == whole


@pytest.mark.parametrize("other", [False, True])
def test_influx_thousands_of_tables_in_bounded_time(tmp_path, other):
    """Equal tables are one section; those that differ in turn cost one passage all the same."""
    table = INFLUX[: INFLUX.index("\n\n") + 2]
    twin = table.replace("host", "site") if other else table
    path = write(tmp_path, (table + twin) * 1_000)
    begin = time.perf_counter()
    found = read(path, places=False)
    assert time.perf_counter() - begin < 30
    assert len(find(path)) == (2_000 if other else 1)
    assert [row[4] for row in found.rows] == list(range(6_000))
    assert found.rows[-1][-1] == "line 15999"


def test_too_many_sections_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sensor_ad.exports.sectioned.MOST_SECTIONS", 1)
    assert refused(write(tmp_path, INFLUX)) == (
        "plant.csv: more than 1 tables of different columns in one file, expected an export of "
        "some tables: export fewer series to a file."
    )


# all sections as one table


@pytest.mark.parametrize("block_bytes", [16, 8 << 20])
@pytest.mark.parametrize(
    ("text", "rows", "quality"),
    [
        (
            GE,
            [
                ("P101.PV", "2026-01-31 11:07:00", 1.5, "Good"),
                ("T202.PV", "2026-01-31 11:07:00", 20.0, "Bad"),
                ("P101.PV", "2026-01-31 11:08:00", 1.75, "Good"),
            ],
            "quality",
        ),
        (
            AVEVA,
            [
                ("P101", "2026/01/31", 1.5, "192", "11:07:00.000"),
                ("T202", "2026/01/31", 20.0, "0", "11:07:00.250"),
            ],
            "quality",
        ),
        (
            INFLUX.replace("RFC3339Nano,boolean", "RFC3339Nano,double").replace("true,op", "1,op"),
            [
                ("pump.flow{host=a}", "2026-01-01T00:00:01Z", 1.5),
                ("pump.flow{host=a}", "2026-01-01T00:00:02.5Z", None),
                ("pump.flow{host=here}", "2026-01-01T00:00:01Z", 3.0),
                ("valve.open", "2026-01-01T00:00:01.123456789Z", 1.0),
            ],
            None,
        ),
    ],
)
def test_one_table_of_all_sections(tmp_path, text, rows, quality, block_bytes):
    source = as_one_table(find(write(tmp_path, text)))
    clock = "clock" if text is AVEVA else None
    evidence = source.sections[0].what
    assert source.layout == Layout(
        "long", TimeColumns("time", clock), "tag", "value", quality, evidence=evidence
    )
    assert [*source.columns] == [name for name in ("tag", "time", clock, "value", quality) if name]
    times = source.columns["time"].times
    assert times == (("ISO 8601 with zone",) if quality is None else ("ISO 8601",))
    assert source.units == ({"P101.PV": "bar", "T202.PV": "°C"} if text is GE else {})
    shown = [name for name in ("tag", "time", "value", quality, clock) if name]
    wanted = {name: pa.float64() if name == "value" else pa.string() for name in shown}
    stamp = ("time", times[0])
    blocks = list(sectioned_columns(source, wanted, stamp, block_bytes, Tally()))
    tables = [block.table.to_pydict() for block in blocks]
    assert [row for t in tables for row in zip(*t.values(), strict=True)] == rows
    assert [k for block in blocks for k in block.ordinals] == list(range(len(rows)))
    values = sectioned_columns(source, {"value": pa.string()}, None, block_bytes, Tally())
    assert sum(block.table.num_rows for block in values) == len(rows)


@pytest.mark.parametrize(
    ("section", "what"),
    [
        ("Tagname;TimeStamp;Value;DataQuality\nP1;2026-01-31 12:00:00;1,25;Good",
         "numbers with a decimal point and with a decimal comma"),
        ("Tagname,TimeStamp,Value\nP1,2026-01-31 12:00:00,1.25",
         "rows with a quality and rows without"),
        ("Tagname,TimeStamp,Value,DataQuality\nP1,31.01.2026 12:00:00,1.25,Good",
         "times of different formats"),
    ],
)  # fmt: skip
def test_unlike_sections_refused(tmp_path, section, what):
    sections = find(write(tmp_path, f"{GE}[Data]\n{section}\nP1,cut off"))
    with pytest.raises(DataError) as caught:
        as_one_table(sections)
    assert str(caught.value) == (
        f"plant.csv: {what} in its 2 tables (sections of GE Historian), expected tables that are "
        "written in one way: export them to files of their own."
    )


# names of series


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"_measurement": "pump", "_field": "flow"}, "pump.flow"),
        ({"_measurement": "pump", "_field": "flow", "b": "2", "a": "1"}, "pump.flow{a=1,b=2}"),
        ({"_measurement": "a.b", "_field": "c"}, r"a\.b.c"),
        ({"_measurement": "a", "_field": "b.c"}, "a.b.c"),
        ({"_field": "flow", "host": ""}, "flow"),
        ({"host": "x,y=z"}, r"{host=x\,y\=z}"),
        ({"_measurement": "a{b", "_field": "c\\d"}, r"a\{b.c\\d"),
    ],
)
def test_series_name(values, name):
    assert series_name(values) == name


def test_compose_tags_like_one_row_at_a_time():
    rng = np.random.default_rng(7)
    letters = ["", "a", "b.c", "d,e", "f=g", "h{i}", "\\"]
    parts = ["_field", "z", "_measurement", "m"]
    cells = {name: rng.choice(letters, 2_000).tolist() for name in parts}
    cells["m"] = [cell or None for cell in cells["m"]]
    names = compose_tags(pa.table(cells), parts).to_pylist()
    rows = [{name: cells[name][k] or "" for name in parts} for k in range(2_000)]
    assert names == [series_name(row) for row in rows]
    several = {tuple(row.values()) for row in rows if row["_measurement"] and row["_field"]}
    told = {name for name, row in zip(names, rows, strict=True)
            if row["_measurement"] and row["_field"]}  # fmt: skip
    assert len(told) == len(several)


def test_compose_tags_of_no_rows():
    table = pa.table({"a": pa.array([], pa.string())})
    assert compose_tags(table, ["a"]).to_pylist() == []


def test_fill_defaults():
    table = pa.table({"a": ["", "x", None], "b": ["1", "", "-"], "c": ["", "", ""]})
    filled = fill_defaults(table, {"a": "d", "b": "0", "other": "z"})
    assert filled.to_pydict() == {"a": ["d", "x", "d"], "b": ["1", "0", "-"], "c": ["", "", ""]}
    assert table["a"].to_pylist() == ["", "x", None]

"""docs/exports.md tells the truth: its commands print what it shows, its messages are real."""

from __future__ import annotations

import gzip
import os
import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensor_ad.config import make_config
from sensor_ad.errors import DataError
from sensor_ad.exports import ReadSettings, columnar, excel, open_export, partitions, sectioned
from sensor_ad.exports.containers import OLE
from sensor_ad.exports.packed import MOST_BYTES, MOST_RATIO
from sensor_ad.exports.profile import Profile
from sensor_ad.exports.quality_systems import SYSTEMS
from sensor_ad.exports.time_formats import FORMATS
from sensor_ad.records import Quality

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "exports.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HASH = re.compile(r"[0-9a-f]{32}")


# --- commands -----------------------------------------------------------------------------------


def shown_files() -> dict[str, str]:
    """Name -> content of each file on the page: the name stands last in the line above it."""
    found = re.findall(
        r"`([\w.]+)`[^`\n]*:\n\n```(?:csv|toml)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
    )
    return dict(found)


def shown_commands() -> list[tuple[str, str]]:
    blocks = [text for kind, text in FENCE.findall(PAGE) if kind == "sh"]
    return [tuple(block.removeprefix("$ ").split("\n", 1)) for block in blocks]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with the page's files, in which its commands run one after the other."""
    folder = tmp_path_factory.mktemp("exports")
    for name, text in shown_files().items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def printed(folder: Path) -> dict[str, str]:
    return {command: run(command, folder) for command, _ in shown_commands()}


def run(command: str, folder: Path) -> str:
    """Run a command; returns messages and data, as a terminal shows them."""
    program, *words = shlex.split(command)
    assert program == "sensor-ad"
    done = subprocess.run(
        [sys.executable, "-m", "sensor_ad.cli", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    )
    assert done.returncode in (0, 3), done.stdout
    assert (done.returncode == 3) == done.stdout.startswith("sensor-ad: "), done.stdout
    return done.stdout.replace(str(folder), "/home/you")


def plain(text: str) -> str:
    """Give a text without what differs: widths of columns, hashes."""
    return HASH.sub("HASH", " ".join(text.split()))


def test_every_example_is_used() -> None:
    words = {word for command, _ in shown_commands() for word in command.split()}
    assert {*shown_files()} - words == set()
    assert len(shown_commands()) >= 8


@pytest.mark.parametrize(
    ("command", "shown"), shown_commands(), ids=[command for command, _ in shown_commands()]
)
def test_commands_print_what_is_shown(command: str, shown: str, printed: dict[str, str]) -> None:
    output, at = plain(printed[command]), 0
    pieces = re.split(r"^…$", shown, flags=re.MULTILINE)
    for piece in map(plain, pieces):
        assert piece in output[at:], piece
        at += output[at:].index(piece) + len(piece)
    if "…" not in shown.splitlines():
        assert plain(shown) == output


def test_shown_configs_are_taken() -> None:
    configs = [text for name, text in shown_files().items() if name.endswith(".toml")]
    assert len(configs) == 3
    for text in configs:
        make_config(tomllib.loads(text))


# --- messages -----------------------------------------------------------------------------------


def minutes(count: int, row: Callable[[int], str] = str) -> str:
    return "".join(f"2026-03-02 06:{k:02d}:00,{row(k)}\n" for k in range(count))


TABLE = "Time,A\n" + minutes(9)
INFLUX = (
    "#datatype,string,long,dateTime:RFC3339,double\n#group,true,false,false,false\n#default,,,,\n"
)
SLASHES = "Time,A\n01/01/2026,1\n02/06/2026,2\n"
LONG = "TagName,Timestamp,Value,Quality\n"
PASSWORD = OLE + bytes(22) + b"\x09\0" + bytes(480) + "EncryptedPackage".encode("utf-16-le")

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no such file": ({}, {}),
    "no export in this folder": ({"folder/notes.pdf": "%PDF"}, {}),
    "the file is empty (0 bytes)": ({"a.csv": ""}, {}),
    "only one line with text": ({"a.csv": "Time,A\n"}, {}),
    "a web page": ({"a.csv": "<!DOCTYPE html><html>Please log in</html>"}, {}),
    "JSON, expected": ({"a.csv": '{"Items": []}'}, {}),
    "XML, expected": ({"a.csv": '<?xml version="1.0"?><data/>'}, {}),
    "a PDF document": ({"a.csv": "%PDF-1.7"}, {}),
    "a gzip archive": ({"a.csv.gz": gzip.compress(TABLE.encode())}, {}),
    "a ZIP archive with … files": ({"a.zip": zipfile.ZipFile}, {}),
    "an old Excel workbook": ({"a.xls": OLE + bytes(5_000)}, {}),
    "a password-protected Excel workbook": ({"a.xlsx": PASSWORD}, {}),
    "sheets hold tables": ({"a.xlsx": "two sheets"}, {}),
    "UTF-16 text without a byte-order mark": ({"a.csv": TABLE.encode("utf-16-le")}, {}),
    "expected one encoding": (
        {"a.csv": "Time,°\n".encode() + "2026-03-02,°\n".encode("cp1252") + b"2026-03-03,1\n"},
        {},
    ),
    "binary data": ({"a.csv": bytes(range(32)) * 100}, {}),
    "values where names were expected": ({"a.csv": minutes(9)}, {}),
    "more than once, expected each column once": (
        {"a.csv": "Time,A,A\n" + minutes(9, lambda k: "1,2")},
        {},
    ),
    "which differ by case only": ({"a.csv": "Time,a,A\n" + minutes(9, lambda k: "1,2")}, {}),
    "fields, expected … as in the header": (
        {"a.csv": "Time,A,B\n" + minutes(30, lambda k: "1" if k == 20 else "1,2")},
        {},
    ),
    "as if commas stood within values too": (
        {"a.csv": "Time,A,B\n" + minutes(30, lambda k: f"{k},5,{k},7")},
        {},
    ),
    "expected one separator of tags as lines": (
        {"a.csv": "Time 2026-03-02 2026-03-03\nA 1 2\n"},
        {"transposed": True},
    ),
    "numbers are written in two ways": (
        {"a.csv": "Time;A;B\n2026-03-02;0,5;0.5\n2026-03-03;0,5;0.5\n"},
        {},
    ),
    "no other number here tells": ({"a.csv": "Time;A\n2026-03-02;1.234\n2026-03-03;1.235\n"}, {}),
    "no time column among": ({"a.csv": "A,B\n1,2\n3,4\n"}, {}),
    "sounds like the time, but holds": ({"a.csv": "Time,A\nMonday,1\nTuesday,2\n"}, {}),
    "columns hold times": (
        {"a.csv": "Start,End,A\n" + minutes(9, lambda k: f"2026-03-02 06:{k:02d}:30,1")},
        {},
    ),
    "and nothing else in the column tells": ({"a.csv": SLASHES}, {}),
    "cannot be read as a time": ({"a.csv": TABLE + "yesterday,1\n"}, {}),
    "expected times from 1980 to today": ({"a.csv": TABLE + "1970-01-01 00:00:00,1\n"}, {}),
    "comes twice, and": (
        {"a.csv": "Time,A\n" + "".join(f"2026-10-25 0{h}:00:00,{h}\n" for h in range(6))},
        {"timezone": "Europe/Berlin"},
    ),
    "does not exist, expected times that the clock shows": (
        {"a.csv": "Time,A\n" + "".join(f"2026-03-29 0{h}:00:00,{h}\n" for h in range(6))},
        {"timezone": "Europe/Berlin"},
    ),
    "texts that are neither numbers nor known error texts": (
        {"a.csv": "Time,A,B\n" + minutes(9, lambda k: f"{'1' if k > 6 else 'note ' + 'x' * k},1")},
        {},
    ),
    "neither the other codes nor the column's name tell": (
        {"a.csv": LONG + "".join(f"A,2026-03-02 06:0{k}:00,{k},0\n" for k in range(9))},
        {},
    ),
    "comes in the units": (
        {"a.csv": "Tag,Time,Value,Unit\nA,2026-03-02,1,bar\nA,2026-03-03,1,kPa\n"},
        {},
    ),
    "two rows at … differ": ({"a.csv": TABLE + "2026-03-02 06:08:00,9\n"}, {}),
    "rows behind rows of a later time": (
        {"a.csv": "Time,A\n" + minutes(60) + "2026-03-02 06:00:30,1\n"},
        {"lookback_rows": 2, "block_bytes": 200},
    ),
    "lacks …, expected the columns of": (
        {"a.csv": "Time,A,B\n" + minutes(9, lambda k: "1,2"), "b.csv": TABLE},
        {},
    ),
    "expected files of one kind": (
        {"a.csv": TABLE, "b.csv": "[Data]\nTagname,TimeStamp,Value\nA,2026-03-02,1\n"},
        {},
    ),
    "deviates from its profile": (
        {"a.csv": TABLE},
        {"profile": Profile("csv", ("Time", "B"), "wide", time_columns=("Time",))},
    ),
    "which data.time_column names": ({"a.csv": TABLE}, {"time_column": "Stamp"}),
    "no column with numbers": (
        {"a.csv": "Time,Comment\n" + minutes(9, lambda k: f"note {'x' * k}")},
        {},
    ),
    "a quote is opened and not closed": (
        {"a.csv": TABLE + '2026-03-02 06:09:00,"1\n2026-03-02 06:10:00,1\n'},
        {},
    ),
    "an error that InfluxDB wrote in place of a table": (
        {
            "a.csv": "#datatype,string,string\n#group,true,true\n#default,,\n,error,reference\n"
            ",failed to parse,897\n"
        },
        {},
    ),
    "query without pivot()": (
        {"a.csv": INFLUX + ",result,table,_time,flow\n,r,0,2026-03-02T06:00:00Z,1\n"},
        {},
    ),
    "a configuration of AVEVA Historian": (
        {"a.csv": ":(Mode)update\n:(AnalogTag)TagName\nA\n"},
        {},
    ),
    "a bias may be added to local time": (
        {"a.csv": "[Data]\nTagname,TimeStamp,Value,TimeZoneBias\nA,2026-03-02 06:00:00,1,60\n"},
        {},
    ),
    "a damaged Parquet file": ({"a.parquet": "PAR1 and no more"}, {}),
    "expected a Parquet file (PAR1)": ({"a.parquet": TABLE}, {}),
    "a Delta table, whose files are not all valid": (
        {"folder/table/_delta_log/0.json": "{}", "folder/table/a.parquet": "PAR1"},
        {},
    ),
}
"""What a message says -> files and settings that it is said of."""


def table_phrases() -> list[str]:
    """Return the messages in the first column of the page's last table."""
    rows = re.findall(r"^\| (`.*`) \| ", PAGE.split("| the message says |")[1], re.MULTILINE)
    return [phrase for row in rows for phrase in re.findall(r"`(.+?)`", row)]


def test_every_message_of_the_table_has_its_case() -> None:
    assert table_phrases() == [*CASES]


@pytest.mark.parametrize("phrase", CASES)
def test_messages_are_said(phrase: str, tmp_path: Path) -> None:
    files, said = CASES[phrase]
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, content)
    names = dict.fromkeys(name.split("/")[0] for name in files) or ["missing.csv"]
    with pytest.raises(DataError) as caught:
        for _ in open_export([tmp_path / name for name in names], ReadSettings(**said)).chunks():
            pass
    pattern = ".+".join(map(re.escape, phrase.split("…")))
    assert re.search(pattern, str(caught.value)), str(caught.value)


def write(path: Path, content: Any) -> None:
    """Write a case's file."""
    if content is zipfile.ZipFile:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("flow.csv", TABLE)
            archive.writestr("pressure.csv", TABLE)
    elif content == "two sheets":
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.Workbook()
        for sheet in (book.active, book.create_sheet("Data")):
            for row in (("Time", "A"), ("2026-03-02 06:00", 1), ("2026-03-02 06:01", 2)):
                sheet.append(row)
        book.save(path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


# --- systems ------------------------------------------------------------------------------------


def days(row: str, count: int = 20) -> str:
    """Rows of one a day in March 2026: `{d}` is the day, `{v}` a value."""
    return "".join(row.format(d=f"{k + 1:02d}", v=k % 7 + 0.5) + "\n" for k in range(count))


LOG = '"VarName";"TimeString";"VarValue";"Validity";"Time_ms"\n'
SYSTEMS_READ: dict[str, tuple[dict[str, str], dict[str, Any], str, str | None, tuple[str, ...]]] = {
    "WinCC": (
        {
            "a.csv": LOG
            + days('"Level";"{d}.03.2026 06:00:00";0,5;1;46082250000')
            + '"$RT_OFF$";"21.03.2026 06:00:00";0;2;46082250000\n'
        },
        {},
        "long",
        "wincc",
        ("Level",),
    ),
    "Ignition, Wide": (
        {"a.csv": "t_stamp,Pump/Flow,Pump/On\n" + days("2026-03-{d} 06:00:00,{v},true")},
        {},
        "wide",
        None,
        ("Pump/Flow", "Pump/On"),
    ),
    "Ignition, Tall": (
        {
            "a.csv": "path,value,quality,timestamp\n"
            + days("pump/flow,{v},192,2026-03-{d} 06:00:00")
        },
        {},
        "long",
        "opc da",
        ("pump/flow",),
    ),
    "AVEVA": (
        {"a.csv": "DateTime,TagName,Value,OPCQuality\n" + days("2026-03-{d} 06:00,FT101,{v},192")},
        {},
        "long",
        "opc da",
        ("FT101",),
    ),
    "GE": (
        {
            "a.csv": "[Tags]\nTagname,EngineeringUnits\nFT101,m3/h\n"
            "[Data]\nTagname,TimeStamp,Value,DataQuality\n"
            + days("FT101,2026-03-{d} 06:00,{v},Good")
        },
        {},
        "long",
        None,
        ("FT101",),
    ),
    "Citect": (
        {"a.csv": "Date,Time,Milliseconds,FT101\n" + days("{d}/03/2026,06:00:00,250,{v}")},
        {},
        "wide",
        None,
        ("FT101",),
    ),
    "InfluxDB 1": (
        {"a.csv": "name,time,flow,level\n" + days("pump,2026-03-{d}T06:00:00Z,{v},2")},
        {},
        "wide",
        None,
        ("flow", "level"),
    ),
    "InfluxDB 2": (
        {
            "a.csv": "#datatype,string,long,dateTime:RFC3339,double,string,string\n"
            "#group,false,false,false,false,true,true\n#default,_result,,,,,\n"
            ",result,table,_time,_value,_field,_measurement\n"
            + days(",,0,2026-03-{d}T06:00:00Z,{v},flow,pump")
        },
        {},
        "long",
        None,
        ("pump.flow",),
    ),
    "IP.21": (
        {"a.csv": "NAME,TS,VALUE,STATUS\n" + days("FT101,{d}-MAR-26 06:00:00.0,{v},0")},
        {"quality_codes": "ip.21"},
        "long",
        "ip.21",
        ("FT101",),
    ),
    "AWS": (
        {"a.csv": "Timestamp,Sensor 1,Sensor 2\n" + days("2026/3/{d} 6:00,{v},12")},
        {},
        "wide",
        None,
        ("Sensor 1", "Sensor 2"),
    ),
    "AWS, a file for each sensor": (
        {
            f"{name}.csv": f"Timestamp,{name}\n" + days("2026-03-{d} 06:00:00,{v}")
            for name in ("FT101", "TT101")
        },
        {},
        "wide",
        None,
        ("FT101", "TT101"),
    ),
    "Azure": (
        {
            f"{name}.csv": "timestamp,value\n" + days("2026-03-{d}T06:00:00Z,{v}")
            for name in ("flow", "pressure")
        },
        {},
        "tag files",
        None,
        ("flow", "pressure"),
    ),
    "PI, compressed data": (
        {
            "a.csv": "FT101 time,FT101,TT101 time,TT101\n"
            + days("{d}-Mar-26 06:00:00,{v},{d}-Mar-26 07:00:00,I/O Timeout", 1)
            + days("{d}-Mar-26 06:00:00,{v},{d}-Mar-26 07:00:00,{v}").split("\n", 1)[1]
        },
        {},
        "paired",
        None,
        ("FT101", "TT101"),
    ),
}
"""System -> files, settings; the layout, the quality codes and the tags that are to be found."""


@pytest.mark.parametrize("system", SYSTEMS_READ)
def test_exports_of_the_systems_are_read(system: str, tmp_path: Path) -> None:
    files, said, layout, codes, tags = SYSTEMS_READ[system]
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    export = open_export([tmp_path], ReadSettings(**said))
    values = np.concatenate([part.values for part in export.chunks()])
    assert export.found.layout == layout
    assert codes is None or export.found.quality_codes == codes
    assert sorted(export.tags) == sorted(tags)
    assert np.nanmin(values) >= 0.5
    account = export.account()
    assert account.rows_in == account.kept + sum(account.dropped.values())
    assert account.kept >= 20


# --- what is read, and how much -----------------------------------------------------------------


def test_page_names_every_time_format_and_quality_system() -> None:
    for name in (*FORMATS, *SYSTEMS):
        assert f"`{name.removesuffix(' with zone')}`" in PAGE, name


def test_page_gives_the_quality_of_imports() -> None:
    told = ", ".join(f"{int(one)} {one.name.lower().replace('_', ' ')}" for one in Quality)
    assert told in " ".join(PAGE.split())


def test_page_gives_the_limits() -> None:
    limits = (
        f"| columns | {columnar.MOST_COLUMNS:,} |",
        f"| gzip | {MOST_RATIO} times its size, {MOST_BYTES >> 30} GiB |",
        f"| {columnar.BOMB_RATIO:,} times its size (from {columnar.BOMB_BYTES >> 20} MiB on), "
        f"{columnar.MOST_VALUES:,} values in a row group, {columnar.MOST_TEXT_BYTES >> 20} MiB of "
        "texts in a batch |",
        f"| {excel.FULL_SHEET:,} rows, {excel.MOST_CELLS:,} cells, ",
        f"| {partitions.MOST_FILES:,}, at most {partitions.DEEPEST} folders deep |",
        f"| tables in a file of several | {sectioned.MOST_SECTIONS:,} |",
    )
    assert [limit for limit in limits if limit not in PAGE] == []

"""Small exports of all layouts and containers, as plants write them: what fuzzing begins with."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xlsxwriter

BEGIN = datetime(2026, 1, 13, 22, 58, tzinfo=UTC)
ROWS = 24
"""Rows of a seed; at midnight the date changes."""


@dataclass(frozen=True)
class Seed:
    """One export that is read as it is."""

    name: str
    files: Mapping[str, bytes]
    """Name of a file -> what it holds."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the engineer says."""
    encoding: str = "utf-8"
    """Of its texts."""
    packed: bool = False
    """Whether its texts are in a gzip."""
    binary: bool = False
    """Whether it is no text."""
    zipped: bool = False
    """Whether it is an archive of texts: a workbook."""


def at(k: int, pattern: str = "%Y-%m-%d %H:%M:%S", step_s: int = 300) -> str:
    """Write the time of row `k`."""
    return (BEGIN + timedelta(seconds=k * step_s)).strftime(pattern)


def numbers(columns: int, decimal: str = ".", rows: int = ROWS) -> list[list[str]]:
    """Return cells of some tags, the same always."""
    random = np.random.default_rng(columns)
    values = np.round(random.normal(50, 30, (rows, columns)), 2)
    return [[f"{value:.2f}".replace(".", decimal) for value in row] for row in values]


def table(
    header: list[str],
    rows: list[list[str]],
    separator: str = ",",
    end: str = "\n",
    before: str = "",
    after: str = "",
) -> str:
    """Write lines."""
    lines = [separator.join(cells) for cells in [header, *rows]]
    return before + end.join(lines) + end + after


def wide(
    separator: str = ",",
    decimal: str = ".",
    time: str = "%Y-%m-%d %H:%M:%S",
    header: str = "time,flow,p_1,T 2",
    cells: Callable[[int, list[str]], list[str]] | None = None,
    **others: str,
) -> str:
    """Write a wide table; `cells` changes the cells of a row."""
    rows = []
    for k, row in enumerate(numbers(3, decimal)):
        row = [at(k, time), *row]
        rows.append(row if cells is None else cells(k, row))
    return table(header.split(","), rows, separator, **others)


def long(header: str, cells: Callable[[int, str, str], list[str]], separator: str = ",") -> str:
    """Write a long table of three tags."""
    rows = []
    for k, row in enumerate(numbers(3)):
        rows += [cells(k, f"FIC{j}.PV", value) for j, value in enumerate(row)]
    return table(header.split(","), rows, separator)


@lru_cache(maxsize=1)
def seeds() -> tuple[Seed, ...]:
    """Return all seeds, in a lasting order."""
    parts = (_dialects, _times, _cells, _events, _said, _containers, _sections, _workbooks)
    return tuple(seed for part in parts for seed in part())


def _one(name: str, text: str, encoding: str = "utf-8", **said: Any) -> Seed:
    return Seed(name, {"plant.csv": text.encode(encoding)}, said, encoding)


def _dialects() -> list[Seed]:
    german = {"separator": ";", "decimal": ",", "time": "%d.%m.%Y %H:%M:%S"}
    units = "time,flow,p_1,T 2\n,m³/h,bar,°C\n"
    return [
        _one("wide", wide()),
        _one("german", wide(**german)),
        _one("tab", wide("\t")),
        _one("pipe", wide("|")),
        _one("utf-16", wide("\t", ",", header="time,Öl,p_1,T 2"), "utf-16"),
        _one("bom", wide(header="time,Öl,p_1,T 2"), "utf-8-sig"),
        _one("cp1252", wide(**german, header="time,Öl °C,p_1,T 2"), "cp1252"),
        _one("cr", wide(end="\r")),
        _one("crlf", wide(end="\r\n")),
        _one("sep line", wide(**german, before="sep=;\n")),
        _one("preamble", wide(before="Report: line 4\nServer,PI01\n\nfrom 2026-01-13\n\n")),
        _one("units", units + wide(header=",".join([at(-1), "1", "2", "3"]))),
        _one("trailing", wide(";", header="time,flow,p_1,T 2,", cells=lambda k, row: [*row, ""])),
        _one("quoted", wide(cells=lambda k, row: [f'"{cell}"' for cell in row])),
        _one("quoted commas", wide(",", ",", cells=lambda k, row: [f'"{c}"' for c in row])),
        _one("trailer", wide(after="\nEOF\n")),
        _one("blank lines", wide(end="\n\n")),
        _one("one column", wide(header="time,flow", cells=lambda k, row: row[:2])),
    ]


def _times() -> list[Seed]:
    def epoch(scale: float) -> Callable[[int, list[str]], list[str]]:
        start = BEGIN.timestamp()
        return lambda k, row: [f"{(start + 300 * k) * scale:.0f}", *row[1:]]

    def serial(k: int, row: list[str]) -> list[str]:
        return [f"{46035.9569444 + k / 288:.7f}", *row[1:]]

    def split(k: int, row: list[str]) -> list[str]:
        return [at(k, "%d/%m/%Y"), at(k, "%H:%M:%S"), *row[1:]]

    def dst(k: int, row: list[str]) -> list[str]:
        night = datetime(2025, 10, 25, 23, 0, tzinfo=UTC) + timedelta(minutes=10 * k)
        shown = night + timedelta(hours=2 if k < 12 else 1)
        return [f"{shown:%Y-%m-%d %H:%M}", *row[1:]]

    parts = "Date,Time,flow,p_1,T 2"
    extra = "time,Milliseconds,flow,p_1,T 2"
    bias = "Timestamp,Time Bias,flow,p_1,T 2"
    return [
        _one("zoned", wide(time="%Y-%m-%dT%H:%M:%S.000+01:00")),
        _one("epoch s", wide(cells=epoch(1))),
        _one("epoch ms", wide(cells=epoch(1e3))),
        _one("serial", wide(cells=serial)),
        _one("am pm", wide(time="%m/%d/%Y %I:%M:%S %p")),
        _one("month names", wide(time="%d-%b-%y %H:%M:%S.0")),
        _one("split", wide(header=parts, cells=split)),
        _one("milliseconds", wide(header=extra, cells=lambda k, r: [r[0], f"{k * 7}", *r[1:]])),
        _one("bias", wide(header=bias, cells=lambda k, r: [r[0], "-60", *r[1:]])),
        _one("dst", wide(cells=dst), timezone="Europe/Berlin"),
        _one("compact", wide(time="%Y%m%d%H%M%S")),
    ]


def _cells() -> list[Seed]:
    texts = [
        "Bad",
        "I/O Timeout",
        "[-11059] No Good Data For Calculation",
        "#VALUE!",
        "1.#INF",
        "-",
    ]

    def bad(k: int, row: list[str]) -> list[str]:
        return [*row[:2], texts[k % 6] if k % 4 == 1 else row[2], "" if k % 5 == 0 else row[3]]

    def digital(k: int, row: list[str]) -> list[str]:
        return [row[0], "Open" if k % 7 < 3 else "Closed", "true" if k % 2 else "false", row[3]]

    def grouped(sign: str, decimal: str) -> Callable[[int, list[str]], list[str]]:
        def cells(k: int, row: list[str]) -> list[str]:
            return [row[0], f"{k + 1}{sign}234{decimal}5", f"{k}{decimal}25", row[3]]

        return cells

    def shuffled(k: int, row: list[str]) -> list[str]:
        return [at(k ^ 1 if k != 20 else 19), *row[1:]]

    names = "time,=cmd|' /C calc'!A0,<b>,../x"
    return [
        _one("bad texts", wide(cells=bad)),
        _one("digital", wide(cells=digital)),
        _one("apostrophes", wide(";", cells=grouped("'", "."))),
        _one("points between", wide(";", ",", cells=grouped(".", ","))),
        _one("no-break blanks", wide(";", ",", cells=grouped("\u00a0", ","))),
        _one("shuffled", wide(cells=shuffled), duplicates="last"),
        _one("hostile names", wide(header=names)),
    ]


def _events() -> list[Seed]:
    quality = [192, 192, 192, 0, 64, 216, 24]

    def wincc(k: int, tag: str, value: str) -> list[str]:
        if k == 7 and tag.startswith("FIC0"):
            return ['"$RT_OFF$"', f'"{at(k, "%d.%m.%Y %H:%M:%S")}"', "0", "2", "46035956944,444"]
        time_ms = f"{46035956944.444 + k * 3472.222:.3f}".replace(".", ",")
        shown = f'"{at(k, "%d.%m.%Y %H:%M:%S")}"'
        return [f'"{tag}"', shown, value.replace(".", ","), "1", time_ms]

    def opc(k: int, tag: str, value: str) -> list[str]:
        return [tag, at(k), value, str(quality[k % 7])]

    def states(k: int, tag: str, value: str) -> list[str]:
        return [tag, at(k), value if tag != "FIC1.PV" else ("On" if k % 3 else "Off")]

    paired = [
        [at(k), row[0], at(k, step_s=240), row[1], at(k, step_s=360) if k < 15 else "", row[2]]
        for k, row in enumerate(numbers(3))
    ]
    for row in paired[15:]:
        row[5] = ""
    head = ["A time", "A", "B time", "B", "C time", "C"]
    one = {f"FIC{j}.csv": _tag_file(j) for j in range(3)}
    wincc_head = '"VarName","TimeString","VarValue","Validity","Time_ms"'
    ignition = "t_stamp,tagpath,value,quality"
    unit = "TagName,Timestamp,Value,Unit"
    return [
        _one("wincc", long(wincc_head, wincc, ";")),
        _one("long", long("Tagname,TimeStamp,Value", lambda k, tag, v: [tag, at(k), v])),
        _one("opc da", long("tag,timestamp,value,OPCQuality", opc)),
        _one("ignition", long(ignition, lambda k, t, v: [at(k), t, v, "Good" if k % 5 else "Bad"])),
        _one("unit", long(unit, lambda k, tag, v: [tag, at(k), v, "bar"])),
        _one("long states", long("tag,time,value", states)),
        _one("paired", table(head, paired)),
        Seed("tag files", one, {"layout": "tag files"}),
    ]


def _tag_file(number: int) -> bytes:
    rows = [[at(k, step_s=240 + 60 * number), row[number]] for k, row in enumerate(numbers(3))]
    return table(["Timestamp", "Value"], rows).encode()


def _said() -> list[Seed]:
    rows = numbers(3)
    across = [["time", *(at(k) for k in range(ROWS))]]
    across += [[f"tag{j}", *(row[j] for row in rows)] for j in range(3)]
    first, second = wide().splitlines(keepends=True), wide().splitlines(keepends=True)
    bare = {"header": False, "start": "2026-01-01", "period_s": 1.0}
    return [
        _one("no header", table(rows[0], rows[1:]), **bare),
        _one("blanks", wide(" ", time="%Y-%m-%dT%H:%M:%S", header="time,a,b,c"), separator=" "),
        _one("transposed", table(across[0], across[1:]), transposed=True),
        Seed(
            "two files",
            {
                "a.csv": "".join(first[:15]).encode(),
                "b.csv": "".join([second[0], *second[12:]]).encode(),
            },
        ),
    ]


def _containers() -> list[Seed]:
    packed = gzip.compress(wide().encode(), mtime=0)
    rows = np.array(numbers(3), np.float64)
    times = [BEGIN + timedelta(seconds=300 * k) for k in range(ROWS)]
    columns = {f"tag{j}": rows[:, j] for j in range(3)}
    flat = pa.table({"time": pa.array(times, pa.timestamp("us", "UTC")), **columns})
    naive = flat.set_column(0, "time", flat["time"].cast(pa.timestamp("ms")))
    mixed = naive.append_column("state", pa.array(["On", "Off"] * (ROWS // 2)))
    names = pa.array([f"tag{k % 3}" for k in range(ROWS)])
    single = {"tag": names, "time": flat["time"], "value": rows[:, 0], "quality": ["Good"] * ROWS}
    return [
        Seed("gzip", {"plant.csv.gz": packed}, {"compressed": True}, packed=True),
        Seed("parquet", {"plant.parquet": _parquet(flat)}, binary=True),
        Seed("parquet texts", {"plant.parquet": _parquet(mixed)}, binary=True),
        Seed("parquet long", {"plant.parquet": _parquet(pa.table(single))}, binary=True),
    ]


def _parquet(rows: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(rows, file, row_group_size=10)
    return file.getvalue()


def _sections() -> list[Seed]:
    tags = "[Tags]\nTagname,EngineeringUnits\n" + "".join(f"FIC{j}.PV,bar\n" for j in range(3))
    ge_head = "Tagname,TimeStamp,Value,DataQuality"
    ge = long(ge_head, lambda k, tag, value: [tag, at(k), value, "Good" if k % 5 else "Bad"])

    def aveva(k: int, tag: str, value: str) -> list[str]:
        day, clock = at(k, "%Y/%m/%d"), at(k, "%H:%M:%S.000")
        return [tag, "0", day, clock, "0", value, "192" if k % 5 else "0"]

    head = "ASCII\n,\nAdmin,1,Server Local,10,0\n"
    rows = long("", aveva).split("\n", 1)[1]
    return [
        _one("ge", f"* by hand\n{tags}[Data]\n{ge}"),
        _one("ge twice", f"{tags}[Data]\n{ge}\n[Messages]\nTopic\nx\n[Data]\n{ge_head}\n"),
        _one("aveva", head + rows),
        _one("influx", _influx("double", 0) + "\n" + _influx("long", 2)),
    ]


def _influx(kind: str, first: int) -> str:
    """Write two tables of annotated CSV under one header."""
    head = [
        ["#datatype", "string", "long", "dateTime:RFC3339", kind, "string", "string"],
        ["#group", "false", "false", "false", "false", "true", "true"],
        ["#default", "_result", "", "", "", "", "pump"],
        ["", "result", "table", "_time", "_value", "_field", "_measurement"],
    ]
    cells = numbers(2)
    rows = [
        ["", "", f"{first + j}", at(k, "%Y-%m-%dT%H:%M:%SZ"), cells[k][j], f"f{first + j}", ""]
        for j in range(2)
        for k in range(ROWS)
    ]
    if kind == "long":
        rows = [[*row[:4], row[4].split(".")[0], *row[5:]] for row in rows]
    return table(head[0], [*head[1:], *rows])


def _workbooks() -> list[Seed]:
    texts = [line.split(",") for line in wide().splitlines()]
    texts[5][2] = "Bad"
    rows = numbers(3)
    dates = [(BEGIN + timedelta(seconds=300 * k)).replace(tzinfo=None) for k in range(ROWS)]
    typed = [[time, *map(float, row)] for time, row in zip(dates, rows, strict=True)]
    typed[7][1], typed[8][2] = "Bad", None
    said = [["Report", None], [], ["time", "flow", "p_1", "T 2"], *typed]
    return [
        Seed("excel", {"plant.xlsx": _workbook(said)}, binary=True, zipped=True),
        Seed("excel texts", {"plant.xlsx": _workbook(texts)}, binary=True, zipped=True),
    ]


def _workbook(rows: list[list[Any]]) -> bytes:
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"default_date_format": "yyyy-mm-dd hh:mm:ss"})
    book.set_properties({"created": BEGIN.replace(tzinfo=None)})  # the same bytes always
    sheet = book.add_worksheet("Data")
    for k, row in enumerate(rows):
        sheet.write_row(k, 0, row)
    book.close()
    return file.getvalue()

"""Any table in any dialect: read back as it was meant, or refused with both readings."""

import re
import tempfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from dialects import (
    BAD_TEXTS,
    CODES,
    SCALES,
    STATES,
    Dialect,
    Table,
    TimeStyle,
    check_codes,
    expected,
    time_text,
    write,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sensor_ad.errors import DataError
from sensor_ad.exports import ReadSettings, open_export
from sensor_ad.exports.blocks import quality_of
from sensor_ad.exports.time_formats import FORMATS, by_name

FIRST_US, LAST_US = 978_307_200_000_000, 1_735_000_000_000_000
"""2001 to 2024."""
STEPS_S = (1, 10, 60, 600, 3600, 86_400, 604_800)
NAMES = ("flow", "T 2", "p[bar]", "=a+1", "5RT101.pv", "x/y", "LIC-7", "a;b", "a,b", "i<5>")
ONLY_ONCE = ("Öl °C", "ΔT")


@st.composite
def time_styles(draw, wide=True):
    name = draw(st.sampled_from(sorted(FORMATS)))
    offset = draw(st.sampled_from([0, 60, -300, 330, 120]))
    zones = ["+00:00", "+0000"] + ([] if offset % 60 else ["+00", "UTC+0"])
    half = draw(st.booleans()) and not name.startswith("yyyymmddHH")
    digits = draw(st.sampled_from([0, 0, 3, 6]))
    return TimeStyle(
        format=name,
        digits=digits,
        letter=draw(st.sampled_from([" ", " ", "T", "  ", "_", ", "])),
        half=half,
        pad=draw(st.booleans()),
        seconds=digits > 0 or draw(st.booleans()),
        mon=draw(st.sampled_from(["Jan", "January", "JAN"])),
        iso_sign=draw(st.sampled_from("---/.")),
        offset_min=offset,
        zone=draw(st.sampled_from(zones if offset else [*zones, "Z"])),
    )


@st.composite
def dialects(draw, layout):
    decimal = draw(st.sampled_from(".,"))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))
    thousands = draw(st.sampled_from(["", "", ".", ",", " ", "\u00a0", "'"]))
    codes = draw(st.sampled_from([None, *CODES])) if layout in ("long", "tag files") else None
    named = {"opc da": "OPCQuality", "wincc": "Validity", "opc ua": "StatusCode"}
    zone, zone_min = draw(st.sampled_from([(None, 0), ("Etc/GMT-1", 60), ("Asia/Kolkata", 330)]))
    separator = draw(st.sampled_from(",;\t|"))
    style = replace(draw(time_styles()), decimal=decimal)
    return Dialect(
        separator=separator,
        decimal=decimal,
        thousands="" if thousands == decimal else thousands,
        encoding=encoding,
        end=draw(st.sampled_from(["\n", "\r\n", "\r"])),
        quote_all=draw(st.booleans()),
        sep_line=draw(st.sampled_from([False, False, True])),
        preamble=draw(
            st.sampled_from(
                [(), (), ("Report of line 4",), ("Server PI01", "", "from 2026-01-01 on", "")]
            )
        ),
        units=layout == "wide" and draw(st.booleans()),  # above numbers only, see `exports`
        descriptions=draw(st.booleans()),
        split=layout == "wide"
        and not style.format.endswith("zone")
        and style.format not in (*SCALES, "yyyymmddHHMMSS")
        and draw(st.booleans()),
        number=draw(
            st.sampled_from(["plain", "plain", "plain", "exponent", "plus", "bare", "zeros"])
        ),
        trailing=draw(st.sampled_from([False, False, True])),
        last_end=draw(st.sampled_from([True, True, False])),
        time=style,
        time_name=draw(st.sampled_from(["time", "Timestamp", "Zeit", "Datum", "DateTime"])),
        time_place=draw(st.sampled_from([0, 0, 1])),
        layout=layout,
        codes=codes,
        code_name=draw(st.sampled_from(["Quality", named.get(codes, "Quality")])),
        by_tag=draw(st.booleans()),
        column_order=tuple(draw(st.permutations(range(4)))),
        zone=zone,
        zone_min=zone_min,
    )


@st.composite
def tables(draw, dialect):
    fewest = 2 if dialect.layout in ("paired", "tag files") else 1
    some = NAMES if dialect.layout != "tag files" else NAMES[:3]
    beyond = {"cp1252": ONLY_ONCE[:1]}.get(dialect.encoding, ONLY_ONCE)
    pool = [*some, *(beyond if dialect.layout != "tag files" else ())]
    tags = tuple(draw(st.lists(st.sampled_from(pool), min_size=fewest, max_size=4, unique=True)))
    T = draw(st.integers(3, 40))
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    unit = dialect.time.unit_us
    step = -(-draw(st.sampled_from(STEPS_S)) * 1_000_000 // unit) * unit
    steps = np.full(T, step)
    if draw(st.booleans()):
        steps = steps * random.integers(1, 4, T)
    start = draw(st.integers(FIRST_US, LAST_US - 3 * T * step)) // unit * unit
    time_us = start + np.cumsum(steps)
    if draw(st.booleans()):
        place = np.arange(T) + random.integers(0, 4, T)
        time_us = time_us[np.argsort(place, kind="stable")]
    states = {}
    columns = []
    for tag in tags:
        if draw(st.sampled_from([False, False, False, True])):
            states[tag] = draw(st.sampled_from(STATES))
            some = [str(random.choice(states[tag])) for _ in range(T)]
            if len(states[tag]) > 2:  # of them all are seen, else the tag is another one
                some[: len(states[tag])] = states[tag]
            columns.append(some)
        else:
            places, size = draw(st.integers(0, 3)), draw(st.sampled_from([10, 1e3, 1e5, 1e7]))
            whole = (random.normal(0, size, T) * 10**places).astype(np.int64)
            columns.append([Decimal(int(n)).scaleb(-places) for n in whole])
        if draw(st.booleans()):
            for row in 3 + np.flatnonzero(random.random(T - 3) < 0.15):
                columns[-1][row] = str(random.choice(list(BAD_TEXTS)))
    kinds = list(CODES[dialect.codes]) if dialect.codes else [0]
    codes = random.choice(kinds, (T, len(tags)), p=None)
    return Table(
        tags,
        tuple(map(int, time_us)),
        tuple(zip(*columns, strict=True)),
        tuple(tuple(map(int, row)) for row in codes),
        states,
    )


@st.composite
def exports(draw, layout):
    dialect = draw(dialects(layout))
    table = draw(tables(dialect))
    columns = [*zip(*table.cells, strict=True)]
    numbers = [any(isinstance(cell, Decimal) for cell in column) for column in columns]
    # Units stand out because they are texts above numbers.
    return table, replace(dialect, units=dialect.units and 2 * sum(numbers) >= len(numbers))


def read(paths, said):
    """Read an export; returns times, values, qualities, tags and the account."""
    export = open_export(paths, ReadSettings(**said))
    chunks = list(export.chunks())
    return (
        np.concatenate([chunk.time_us for chunk in chunks]),
        np.concatenate([chunk.values for chunk in chunks]),
        np.concatenate([quality_of(chunk.values, chunk.quality) for chunk in chunks]),
        list(export.tags),
        export.account(),
    )


def settle(fault, table, dialect):
    """Return the setting that a refusal asks for, if it is right to ask; else None."""
    said = str(fault)
    if both := re.search(r'data\.time_format = "(.*)" or "(.*)"', said):
        texts = [time_text(t, dialect.time, dialect.zone_min) for t in table.time_us]
        if dialect.split:  # dates alone
            texts = [text.split(dialect.time.letter)[0] for text in texts]
        texts = pa.array(texts)
        readings = [by_name(name).read(texts) for name in both.groups()]
        assert all(ok.all() for _, ok in readings), said
        assert (readings[0][0] != readings[1][0]).any(), "same " + said
        return {"time_format": dialect.time.format}
    if re.search(r'data\.decimal = "(.)" or "(.)"', said):
        texts = [cell for row in table.cells for cell in row if isinstance(cell, Decimal)]
        assert texts
        return {"decimal": dialect.decimal, "thousands": dialect.thousands}
    if "by data.quality_codes" in said:
        return {"quality_codes": dialect.codes}
    if dialect.time.letter == ", " and not dialect.quote_all:
        return {"separator": dialect.separator}  # "Jan 5, 2024, 10:00" among semicolons and texts
    return None


def check(table, dialect, folder):
    paths = write(folder, table, dialect)
    said = {"timezone": dialect.zone}
    asked = []
    while True:
        try:
            found = read(paths, said)
            break
        except DataError as fault:
            more = settle(fault, table, dialect)
            if more is None or more in asked:
                raise
            asked.append(more)
            said |= more
    time_us, values, quality, tags = expected(table, dialect)
    assert found[3] == tags, found[3]
    np.testing.assert_array_equal(found[0], time_us)
    np.testing.assert_array_equal(found[1], values)
    np.testing.assert_array_equal(found[2], quality)
    account = found[4]
    rows = len(time_us) * (1 if dialect.layout == "wide" else len(tags))
    assert (account.rows_in, account.kept, account.dropped) == (rows, rows, {}), account


def test_codes_are_those_of_their_systems():
    check_codes()


@pytest.mark.parametrize("layout", ["wide", "long", "paired", "tag files"])
def test_any_table_in_any_dialect_is_read_back(layout):
    @settings(
        max_examples=120,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(exports(layout))
    def run(export):
        with tempfile.TemporaryDirectory() as folder:
            check(*export, Path(folder))

    run()


def readings(folder, text, **said):
    (folder / "plant.csv").write_text(text)
    return read([folder], said)


def refusal(folder, text, **said):
    with pytest.raises(DataError) as fault:
        readings(folder, text, **said)
    return str(fault.value)


def test_days_of_one_month_are_no_months(tmp_path):
    days = ["01/04/2024", "01/06/2024", "01/08/2024", "01/09/2024", "01/10/2024"]
    text = "time;a\n" + "".join(f"{day} 08:00;{k}.5\n" for k, day in enumerate(days))

    assert refusal(tmp_path, text) == (
        "plant.csv: column 'time': '01/04/2024 08:00' is 1 April 2024 as dd/mm/yyyy, 4 January "
        "2024 as mm/dd/yyyy, and nothing else in the column tells, expected times that can be read "
        'in one way: say which by data.time_format = "dd/mm/yyyy" or "mm/dd/yyyy".'
    )


@pytest.mark.parametrize(
    "column",
    [
        ("time", "631139040010000000"),
        ("StatusCode", "1083179008"),
    ],
)
def test_counters_say_nothing_of_thousands(tmp_path, column):
    name, cell = column
    stamps = [f"2024-01-01 00:00:{k:02d}" for k in range(3)]
    header, rows = f"when\ta\t{name}\n", zip(stamps, ("35,877", "151,067", "-178,633"), strict=True)
    if name == "time":
        header, rows = "a\ttime\n", zip(("35,877", "151,067", "-178,633"), strict=True)
    lines = ["\t".join([*row, cell[:-1] + str(k)]) for k, row in enumerate(rows)]

    said = refusal(tmp_path, header + "\n".join(lines), time_format=None)
    if name == "time":
        said = refusal(tmp_path, header + "\n".join(lines), time_format=".NET ticks")

    assert said == (
        "plant.csv, line 2, column 'a': '35,877' is 35877 with a decimal point and ',' between "
        "thousands, 35.877 with a decimal comma, and no other number here tells, expected numbers "
        'that can be read in one way: say by data.decimal = "." or ",".'
    )


def test_thousands_beside_epochs(tmp_path):
    text = "time;a\n" + "".join(f"{1735000000 + k};{k + 1}'234.5\n" for k in range(5))

    assert readings(tmp_path, text)[1].ravel().tolist() == [1234.5, 2234.5, 3234.5, 4234.5, 5234.5]


def test_a_tab_may_be_announced(tmp_path):
    text = "sep=\t\ntime\ta\n2024-01-01 00:00\t1,5\n2024-01-01 00:01\t2,5\n"

    assert readings(tmp_path, text)[1].ravel().tolist() == [1.5, 2.5]


def test_a_comma_within_times_is_no_separator(tmp_path):
    rows = [f"01.14.24, 19:00:0{k}-0500\tlow\thigh\t-3\u00a0124{k}.5\n" for k in range(4)]
    rows = [row.replace("124", "12") for row in rows]

    found = readings(tmp_path, "stamp\tpump\tvalve\tflow\n" + "".join(rows))

    assert found[3] == ["pump", "valve", "flow"]
    assert found[1][:, 2].tolist() == [-3120.5, -3121.5, -3122.5, -3123.5]


def test_names_of_pairs_are_kept_whole(tmp_path):
    rows = "".join(f"2024-01-01 00:0{k},{k}.5,2024-01-01 00:0{k},{k}\n" for k in range(5))

    assert readings(tmp_path, "x/y time,x/y,b time,b\n" + rows)[3] == ["b", "x/y"]


def test_a_third_reading_of_a_date_is_not_forgotten(tmp_path):
    text = "time,a\n" + "".join(f"11.11.26 2:{k:02d} AM,{k}\n" for k in range(20))

    assert refusal(tmp_path, text) == (
        "plant.csv: column 'time': '11.11.26 2:00 AM' is 11 November 2026 as dd.mm.yy, 26 November "
        "2011 as yy.mm.dd, and nothing else in the column tells, expected times that can be read "
        'in one way: say which by data.time_format = "dd.mm.yy" or "yy.mm.dd".'
    )


def test_a_long_date_beside_the_time_of_day(tmp_path):
    rows = "".join(f'"May 28, 2024",8:10:{k:02d} PM,{k}\n' for k in range(5))

    time_us = readings(tmp_path, "Date,Time,a\n" + rows)[0]

    assert time_us[0] == 1_716_927_000_000_000  # 20:10 UTC
    assert np.diff(time_us).tolist() == [1_000_000] * 4


def test_a_date_with_a_time_beside_a_time_of_day_is_no_time(tmp_path):
    rows = "".join(f"28.05.2024,20:10:{k:02d},{k}\n" for k in range(5))
    rows += "28.05.2024 20:10,20:10:05,5\n"

    assert refusal(tmp_path, "Date,Time,a\n" + rows) == (
        "plant.csv, line 7: '28.05.2024 20:10 20:10:05' cannot be read as a time, expected "
        "dd.mm.yyyy as in the first rows: mend or remove this row."
    )

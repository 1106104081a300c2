"""What stands above the data: names, units, descriptions, lines that are none of the table."""

from pathlib import Path

import numpy as np
import pytest

from sensor_ad.errors import DataError
from sensor_ad.exports import ReadSettings, open_export
from sensor_ad.exports.header import find_header, is_time, is_value
from sensor_ad.exports.sniff import sniff

TIMES = [f"2026-01-01 00:00:{k:02d}" for k in range(30)]
NAIVE_NOTE = "times carry no zone: read as UTC; set data.timezone if that is wrong"


def body(cells="1;2", count=30):
    return [f"{time};{cells}" for time in TIMES[:count]]


def states():
    pairs = [("On" if k % 3 else "Off", "Up" if k % 2 else "Down") for k in range(30)]
    return [f"{time};{one};{other}" for time, (one, other) in zip(TIMES, pairs, strict=True)]


def write(folder, lines, name="plant.csv"):
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def look(path, **settings):
    return sniff(Path(path), ReadSettings(**settings))[0]


def read(path, **settings):
    export = open_export([Path(path)], ReadSettings(**settings))
    chunks = list(export.chunks())
    account = export.account()
    assert account.rows_in == account.kept + sum(account.dropped.values())
    return np.concatenate([chunk.values for chunk in chunks]), export


def refusal(path, **settings):
    with pytest.raises(DataError) as fault:
        read(path, **settings)
    return str(fault.value)


@pytest.mark.parametrize(
    ("cell", "value", "time"),
    [
        ("", True, False), ("1.5", True, False), ("-1,5e3", True, False), ("N/A", True, False),
        ("2026-01-01", True, True), ("31.12.2025 10:00", True, True), ("10:30:00", True, True),
        ("1767225600", True, False), ("inf", True, False), ("flow", False, False),
        ("1a", False, False), ("Bad", False, False), ("a 1", False, False),
    ],
)  # fmt: skip
def test_cells(cell, value, time):
    assert (is_value(cell), is_time(cell)) == (value, time)


@pytest.mark.parametrize("block_bytes", [100, 8 << 20])
@pytest.mark.parametrize(
    ("above", "line"),
    [
        ([], 1),
        (["Report of pump 7"], 2),
        (["Report of pump 7", "", "Exported by PI, 2026-01-02"], 4),
        (["Report;Pump 7", "From;2026-01-01"], 3),
        (["Server;PI;;", "User;operator;;"], 3),
        (["# comment"] * 99, 100),
    ],
)
def test_lines_above_the_table(tmp_path, above, line, block_bytes):
    path = write(tmp_path, [*above, "time;a;b", *body()])

    values, export = read(path, block_bytes=block_bytes)

    np.testing.assert_array_equal(values, [[1, 2]] * 30)
    assert export.tags == ("a", "b")
    assert export.account().notes == (NAIVE_NOTE,)
    dialect = look(path)
    assert dialect.header_line == line
    assert dialect.preamble == tuple(text for text in above if text)


def test_more_lines_above_are_no_preamble(tmp_path):
    path = write(tmp_path, ["# comment"] * 101 + ["time;a;b", *body(count=30)] * 5)

    assert refusal(path) == (
        "plant.csv, line 102: the table begins below 101 lines of another shape, expected at most "
        "100: remove them, or export a plain table."
    )


@pytest.mark.parametrize(
    ("below", "units", "descriptions"),
    [
        (["s;bar;°C"], {"time": "s", "a": "bar", "b": "°C"}, {}),
        ([";[bar];(°C)"], {"a": "bar", "b": "°C"}, {}),
        ([";m³/h;%"], {"a": "m³/h", "b": "%"}, {}),
        (
            [";flow of pump 7;pressure behind it"],
            {},
            {"a": "flow of pump 7", "b": "pressure behind it"},
        ),
        (
            ["Zeit;flow of pump 7;pressure behind it", ";bar;°C"],
            {"a": "bar", "b": "°C"},
            {"time": "Zeit", "a": "flow of pump 7", "b": "pressure behind it"},
        ),
    ],
)
def test_units_and_descriptions(tmp_path, below, units, descriptions):
    path = write(tmp_path, ["time;a;b", *below, *body()])

    values, export = read(path)

    np.testing.assert_array_equal(values, [[1, 2]] * 30)
    assert export.account().rows_in == 30
    dialect = look(path)
    assert (dialect.units, dialect.descriptions) == (units, descriptions)
    assert export.units == {tag: unit for tag, unit in units.items() if tag != "time"}


def test_units_in_the_names(tmp_path):
    path = write(tmp_path, ["time;flow [m³/h];b [ °C ]", *body()])

    _, export = read(path)

    assert export.tags == ("flow [m³/h]", "b [ °C ]")
    assert export.units == {"flow [m³/h]": "m³/h", "b [ °C ]": "°C"}


def test_rows_of_texts_are_data(tmp_path):
    """A first row with a time is a row, whatever else stands in it."""
    path = write(tmp_path, ["time;a;b", f"{TIMES[0]};Bad;No Data", *body()[1:]])

    values, _ = read(path)

    np.testing.assert_array_equal(values, [[np.nan, np.nan], *[[1, 2]] * 29])
    assert look(path).units == {}


def test_columns_without_names(tmp_path):
    path = write(tmp_path, ["time;;b", *body()])

    values, export = read(path)

    assert export.tags == ("col_2", "b")
    np.testing.assert_array_equal(values, [[1, 2]] * 30)
    assert export.account().notes == (
        "a column without a name in the header is called col_2",
        NAIVE_NOTE,
    )


def test_names_that_are_numbers(tmp_path):
    values, export = read(write(tmp_path, ["time;101;102", *body()]))

    assert export.tags == ("101", "102")
    np.testing.assert_array_equal(values, [[1, 2]] * 30)


def test_no_header(tmp_path):
    path = write(tmp_path, body())

    assert refusal(path) == (
        f"plant.csv, line 1: values where names were expected ('{TIMES[0]},1,2'): add a header "
        "line with the names of the columns, or set data.header = false."
    )
    for names, tags in (((), ("x2", "x3")), (("t", "a", "b"), ("a", "b"))):
        values, export = read(path, header=False, names=names)
        assert export.tags == tags
        np.testing.assert_array_equal(values, [[1, 2]] * 30)
    assert refusal(path, header=False, names=("t", "a")) == (
        "plant.csv, line 1: 3 columns, but data.names gives 2 names, expected one for each column: "
        "correct data.names."
    )


@pytest.mark.parametrize("some", [0, 1, 2, 3, 29])
def test_no_header_and_separators_at_the_end_of_some_lines(tmp_path, some):
    lines = [f"{line};" if k % 30 >= some else line for k, line in enumerate(body())]

    values, export = read(write(tmp_path, lines), header=False)

    assert export.tags == ("x2", "x3")
    np.testing.assert_array_equal(values, [[1, 2]] * 30)


@pytest.mark.parametrize("header", ["time;a;b", "time;a;b;"])
@pytest.mark.parametrize("first", [0, 1, 5])
@pytest.mark.parametrize("mostly", [True, False])
def test_separators_at_the_end_of_some_lines(tmp_path, header, first, mostly):
    """Whichever rows have one, in whatever order: none of them is taken for the header."""
    lines = [line + ";" * (((k >= first) and k % 3 > 0) == mostly) for k, line in enumerate(body())]

    values, export = read(write(tmp_path, ["Pump;7", header, *lines]))

    assert export.tags == ("a", "b")
    np.testing.assert_array_equal(values, [[1, 2]] * 30)


def test_names_in_the_settings_replace_those_of_the_header(tmp_path):
    _, export = read(write(tmp_path, ["time;a;a", *body()]), names=("time", "a", "b"))

    assert export.tags == ("a", "b")


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (
            "time;a;a",
            "the header names 'a' more than once, expected each column once: rename or remove the "
            "other, or name all columns by data.names.",
        ),
        (
            "time;flow;Flow",
            "the header names 'flow' and 'Flow', which differ by case only, expected names that "
            "historians tell apart: rename or remove one, or name all columns by data.names.",
        ),
    ],
)
def test_names_that_cannot_be_told_apart(tmp_path, header, sentence):
    assert refusal(write(tmp_path, [header, *body()])) == f"plant.csv: {sentence}"


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_separator_of_tags_as_lines(tmp_path, sign, decimal):
    """Found where all lines have as many fields; a decimal comma is in lines of values only."""
    cells = [[name, *(f"{k}{decimal}{k + 1}" for k in range(9))] for name in "ab"]
    path = write(tmp_path, map(sign.join, [["time", *TIMES[:9]], *cells]))
    if sign == decimal == ",":
        assert refusal(path, transposed=True) == (
            "plant.csv: no separator gives all lines as many fields, expected one separator of "
            "tags as lines (data.transposed): say which by data.separator."
        )
        return

    values, export = read(path, transposed=True)

    assert export.tags == ("a", "b")
    np.testing.assert_array_equal(values[:, 0], [float(f"{k}.{k + 1}") for k in range(9)])
    assert (values[:, 0] == values[:, 1]).all()


def test_two_separators_of_tags_as_lines(tmp_path):
    path = write(tmp_path, ["time;,x", "2026-01-01;2,x"])

    assert refusal(path, transposed=True).startswith("plant.csv: ',' and ';' give all lines as ")


@pytest.mark.parametrize("first", ["", "[UTC]"])
def test_units_in_brackets_above_states(tmp_path, first):
    path = write(tmp_path, ["time;a;b", f"{first};[-];(bool)", *states()])

    values, export = read(path)

    assert len(values) == 30 and export.tags == ("a", "b")


@pytest.mark.parametrize("units", ["On;Up", "-;bool", "[On];Up"])
def test_texts_above_states_may_be_a_row_without_its_time(tmp_path, units):
    path = write(tmp_path, ["time;a;b", f";{units}", *states()])

    assert refusal(path).startswith("plant.csv, line 2: a row with values has no time, ")


def test_header_of_rows():
    """Rows of another width are no witness of what the columns hold."""
    rows = [(3, ["time", "a", ""]), (4, ["x"]), (5, [TIMES[0], "1", ""]), (6, [TIMES[1], "2", ""])]

    header = find_header("plant.csv", rows, 3, ReadSettings())

    assert header.names == ("time", "a", "col_3")
    assert (header.unnamed, header.line, header.spare) == (frozenset({2}), 3, True)
    assert header.rows == rows[1:]

"""Profiles: what was found once settles what a later file leaves open, and nothing may deviate."""

from dataclasses import fields, replace

import numpy as np
import pytest

from sensor_ad.errors import DataError, UsageError
from sensor_ad.exports import ReadSettings, open_export
from sensor_ad.exports.profile import (
    COMPARED,
    SETTLED,
    Profile,
    check_against,
    load_profile,
    save_profile,
    with_profile,
)

FULL = Profile(
    kind="csv",
    columns=("time", 'a "quoted" name', "Öl °C", "a.b"),
    layout="long",
    evidence="a column of tags",
    encoding="cp1252",
    separator="\t",
    decimal=",",
    thousands=".",
    header=False,
    transposed=True,
    sheet="Tabelle 1",
    time_columns=("date", "clock"),
    time_format="dd.mm.yyyy",
    timezone="Europe/Berlin",
    clock="standard time",
    start="2026-01-01",
    period_s=0.5,
    tag_column="Tag",
    value_column="Value",
    quality_column="Quality",
    quality_codes="OPC DA",
    texts={"Wartung": "bad"},
    states={"valve.1": ("closed", "open"), "Öl": ()},
    units={"a.b": "°C"},
    grid_s=60.0,
)
PLAIN = Profile("csv", ("time", "a"), "wide", separator=";", time_columns=("time",))


@pytest.mark.parametrize("profile", [FULL, PLAIN, Profile("parquet", ("a",), "wide")])
def test_what_is_saved_is_loaded(tmp_path, profile):
    path = tmp_path / "plant.toml"
    save_profile(profile, path)

    assert load_profile(path) == profile
    assert path.read_text(encoding="utf-8").startswith(
        "# How exports of this kind are read; made by `sensor-ad inspect --save-profile`.\n"
        "# An export that is written otherwise is refused: nothing is guessed again.\n"
        "version = 1\n"
    )


def test_every_field_is_in_the_example():
    assert all(getattr(FULL, one.name) != one.default for one in fields(Profile))


def wrong(call):
    with pytest.raises(UsageError) as fault:
        call()
    return str(fault.value)


def test_profile_that_is_there_is_kept(tmp_path):
    path = tmp_path / "plant.toml"
    path.write_text("mine")

    assert wrong(lambda: save_profile(PLAIN, path)) == (
        f"{path} exists already, a new file was expected; remove it to freeze a new profile, or "
        "choose another name."
    )
    assert path.read_text() == "mine"


GOOD = 'version = 1\nkind = "csv"\ncolumns = ["a"]\nlayout = "wide"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "kind = csv",
            " is not valid TOML: Invalid value (at line 1, column 8); correct that place, or make "
            "it anew by sensor-ad inspect --save-profile.",
        ),
        (
            'kind = "csv"',
            " has version None, 1 was expected; make it anew by sensor-ad inspect --save-profile.",
        ),
        (
            "version = 2",
            " has version 2, 1 was expected; make it anew by sensor-ad inspect --save-profile.",
        ),
        (
            "version = 1",
            ": 'kind' is missing; 'columns' is missing; 'layout' is missing; correct it or make it "
            "anew.",
        ),
        (
            GOOD + 'seperator = ";"\nzzz = 1',
            ": unknown key 'seperator' (did you mean 'separator'?); unknown key 'zzz'; correct it "
            "or make it anew.",
        ),
        (
            GOOD + 'separator = 1\nheader = "yes"\nperiod_s = true\ntime_columns = "time"',
            ": 'separator' is 1 (a text was expected); 'header' is 'yes' (true or false was "
            "expected); 'period_s' is True (a number was expected); 'time_columns' is 'time' (a "
            "list of texts was expected); correct it or make it anew.",
        ),
        (
            GOOD + 'texts = {a = 1}\nstates = {v = "ab"}\nunits = ["bar"]',
            ": 'texts' is {'a': 1} (a table of texts was expected); 'states' is {'v': 'ab'} (a "
            "table of lists of texts was expected); 'units' is ['bar'] (a table of texts was "
            "expected); correct it or make it anew.",
        ),
        (
            GOOD.replace('["a"]', "[1]"),
            ": 'columns' is [1] (a list of texts was expected); correct it or make it anew.",
        ),
    ],
)
def test_file_that_is_no_profile(tmp_path, text, sentence):
    path = tmp_path / "plant.toml"
    path.write_text(text)

    assert wrong(lambda: load_profile(path)) == f"the profile {path}{sentence}"


def test_file_that_cannot_be_read(tmp_path):
    path = tmp_path / "plant.toml"
    assert wrong(lambda: load_profile(path)) == (
        f"the profile {path} cannot be read (No such file or directory); correct data.profile."
    )
    path.write_bytes(b"\xff")
    assert wrong(lambda: load_profile(path)).startswith(f"the profile {path} is not valid TOML: ")


def test_profile_says_what_settings_leave_open():
    settings = with_profile(ReadSettings(), FULL)

    for name in SETTLED:
        assert getattr(settings, name) == getattr(FULL, name)
    assert (settings.texts, settings.states) == (FULL.texts, FULL.states)
    said = ReadSettings(
        decimal=".", clock="local", timezone="UTC", texts={"x": "bad"}, states={"Öl": ("a", "b")}
    )
    settings = with_profile(said, FULL)
    assert (settings.decimal, settings.timezone, settings.thousands) == (".", "UTC", ".")
    assert settings.texts == {"Wartung": "bad", "x": "bad"}
    assert settings.states == {"valve.1": ("closed", "open"), "Öl": ("a", "b")}
    assert with_profile(ReadSettings(), Profile("csv", (), "wide")) == ReadSettings()


DEVIATES = "plant.csv: deviates from its profile: "
REMEDY = (
    "; expected what data.profile says: export it as before, or freeze a new profile (sensor-ad "
    "inspect --save-profile)."
)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "parquet"}, "kind is 'parquet', not 'csv'"),
        ({"layout": "long"}, "layout is 'long', not 'wide'"),
        ({"separator": ","}, "separator is ',', not ';'"),
        ({"header": False}, "header is false, not true"),
        ({"time_columns": ()}, "time columns is none, not 'time'"),
        ({"time_columns": ("time", "ms")}, "time columns is 'time', 'ms', not 'time'"),
        ({"columns": ("time",)}, "column 'a' is missing"),
        ({"columns": ("time", "a", "b")}, "column 'b' is new"),
        ({"columns": ("time", "A")}, "column 'a' is missing; column 'A' is new"),
        (
            {"columns": ("time", "a", *(f"t{k}" for k in range(7)))},
            "column 't0' is new; column 't1' is new; column 't2' is new; column 't3' is new; "
            "column 't4' is new; 2 more columns are new",
        ),
        (
            {"separator": None, "layout": "paired"},
            "layout is 'paired', not 'wide'; separator is none, not ';'",
        ),
    ],
)
def test_deviations_are_refused_together(change, said):
    with pytest.raises(DataError) as fault:
        check_against(PLAIN, replace(PLAIN, **change), "plant.csv", ())
    assert str(fault.value) == DEVIATES + said + REMEDY


def test_columns_of_a_long_table_must_stay():
    for name in ("tag_column", "value_column", "quality_column"):
        with pytest.raises(DataError) as fault:
            check_against(FULL, replace(FULL, **{name: "x"}), "plant.csv", ())
        said = f"{name.replace('_', ' ')} is 'x', not {getattr(FULL, name)!r}"
        assert str(fault.value) == DEVIATES + said + REMEDY
    assert {*COMPARED} <= {one.name for one in fields(Profile)}


def test_what_is_no_deviation():
    found = replace(PLAIN, columns=("label", "a", "time"), encoding="cp1252", evidence="x")

    check_against(PLAIN, found, "plant.csv", ("label",))
    check_against(replace(PLAIN, columns=("time", "a", "label")), PLAIN, "plant.csv", ("label",))


def solar(folder, days, name, decimal=","):
    """Write what an inverter wrote: a row each hour of some days of January 2026."""
    lines = [
        f"{day:02d}.01.2026 {hour:02d}:00;{day},{hour:03d}".replace(",", decimal)
        for day in days
        for hour in range(24)
    ]
    path = folder / name
    path.write_text("\n".join(["Datum;P [kW]", *lines, ""]), encoding="utf-8")
    return path


def read(path, **settings):
    export = open_export([path], ReadSettings(**settings))
    chunks = list(export.chunks())
    times = np.concatenate([chunk.time_us for chunk in chunks]).astype("datetime64[us]")
    return times, np.concatenate([chunk.values for chunk in chunks]), export


def test_profile_of_a_month_settles_a_day(tmp_path):
    """Day, month and decimal comma of one day are in doubt; those of a month are not."""
    month = solar(tmp_path, range(1, 32), "month.csv")
    month.write_text(month.read_text().replace("31,023", "31,0235"))
    day = solar(tmp_path, [5], "day.csv")
    with pytest.raises(DataError, match=r"'5,000' is 5000 with a decimal point and ',' between"):
        read(day)
    with pytest.raises(DataError, match=r"is 5 January 2026 as .*, 1 May 2026 as"):
        read(day, decimal=",")

    _, _, export = read(month, timezone="Europe/Berlin", clock="standard time")
    path = tmp_path / "solar.toml"
    save_profile(export.found, path)
    times, values, again = read(day, profile=load_profile(path))

    assert str(times[0]) == "2026-01-04T23:00:00.000000"
    assert len(times) == 24
    np.testing.assert_array_equal(values[:3, 0], [5.0, 5.001, 5.002])
    assert again.found == export.found
    assert again.units == {"P [kW]": "kW"}


def test_file_that_deviates_from_a_saved_profile(tmp_path):
    _, _, export = read(solar(tmp_path, range(1, 20), "month.csv"), decimal=",")
    other = tmp_path / "plant.csv"
    other.write_text("Datum,P,Q\n05.01.2026 00:00,1,2\n05.01.2026 01:00,1,2\n")

    with pytest.raises(DataError) as fault:
        read(other, profile=export.found)
    assert str(fault.value) == (
        f"{DEVIATES}separator is ',', not ';'; column 'P [kW]' is missing; column 'P' is new; "
        f"column 'Q' is new{REMEDY}"
    )


def test_numbers_that_deviate_from_a_profile(tmp_path):
    _, _, export = read(solar(tmp_path, range(1, 20), "month.csv"), decimal=",")
    other = solar(tmp_path, [5], "plant.csv", decimal=".")

    with pytest.raises(DataError) as fault:
        read(other, profile=export.found)
    assert str(fault.value) == (
        "plant.csv, line 2, column 'P [kW]': '5.000', expected numbers with a decimal comma: say "
        "the right signs by data.decimal and data.thousands, or export anew."
    )


def test_times_that_deviate_from_a_profile(tmp_path):
    _, _, export = read(solar(tmp_path, range(1, 20), "month.csv"), decimal=",")
    other = tmp_path / "plant.csv"
    other.write_text("Datum;P [kW]\n2026-01-05 00:00;1,5\n2026-01-05 01:00;2,5\n")

    with pytest.raises(DataError) as fault:
        read(other, profile=export.found)
    assert str(fault.value) == (
        "plant.csv, line 2: '2026-01-05 00:00' cannot be read as a time, expected dd.mm.yyyy as in "
        "the first rows: mend or remove this row."
    )


def test_states_of_a_profile_keep_their_numbers(tmp_path):
    rows = [f"2026-01-01 00:00:{k:02d};{('heat', 'idle')[k % 2]}" for k in range(20)]
    first = tmp_path / "a.csv"
    first.write_text("\n".join(["time;mode", *rows, ""]))
    second = tmp_path / "b.csv"
    second.write_text("\n".join(["time;mode", *(row.replace("heat", "cool") for row in rows), ""]))

    _, values, export = read(first)
    _, others, _ = read(second, profile=export.found)

    assert export.states == {"mode": ("heat", "idle")}
    np.testing.assert_array_equal(values[:2, 0], [0, 1])
    np.testing.assert_array_equal(others[:2, 0], [np.nan, 1])

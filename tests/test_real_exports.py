"""Exports of real plants, read by profile: SENSOR_AD_REAL_DATA names their folder."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tomli_w
from plant import command

from sensor_ad.config import load_config
from sensor_ad.exports import open_export
from sensor_ad.exports.profile import save_profile
from sensor_ad.inspection import inspect
from sensor_ad.reading import read_settings, silent
from sensor_ad.records import RowAccount

FOLDER = Path(os.environ.get("SENSOR_AD_REAL_DATA", ""))
pytestmark = pytest.mark.skipif(
    not os.environ.get("SENSOR_AD_REAL_DATA"),
    reason="SENSOR_AD_REAL_DATA names no folder with recordings (see README.md)",
)


def config(folder, name="config.toml", **data):
    path = folder / name
    path.write_text(tomli_w.dumps({"asset": "real", "data": data}), encoding="utf-8")
    return path


def frozen(folder, exports, **data):
    """Inspect exports and freeze their profile; gives a config that names nothing else."""
    found = inspect(exports, load_config(config(folder, "first.toml", **data)), silent)
    save_profile(found.found, folder / "profile.toml")
    kept = {name: data[name] for name in ("timezone", "label_columns") if name in data}
    return found, config(folder, profile="profile.toml", **kept)


def read(path, exports):
    """Read exports by a config; gives times, values and the account."""
    export = open_export(exports, read_settings(load_config(path)))
    chunks = list(export.chunks())
    values = np.concatenate([chunk.values for chunk in chunks])
    return np.concatenate([chunk.time_us for chunk in chunks]), values, export


def test_solar_all_days(tmp_path):
    """92 daily files of a controller: tabs, decimal commas, Latin-1, damaged lines."""
    solar = {"timezone": "Europe/Berlin", "clock": "standard time"}
    found, settings = frozen(tmp_path, [FOLDER / "solar"], **solar)

    assert found.profile["time format"] == "dd.mm.yyyy"
    assert (found.profile["separator"], found.profile["decimal"]) == ("tab", ",")
    dropped = {"damaged line": 3, "wrong number of fields": 4}
    expected = RowAccount(132_432, 132_425, dropped, 0, found.account.notes)
    assert found.account == expected
    assert "3 lines dropped as damaged line (first: 20170622.csv, line 221)" in expected.notes
    assert found.tags[0].unit == "°C"
    assert len(found.tags) == 25

    # One day alone does not say whether 01.08. is in January; its profile does.
    day = FOLDER / "solar" / "08" / "20170801.csv"
    time_us, values, export = read(settings, [day])
    first = pd.Timestamp("2017-07-31 23:00", tz="UTC")  # midnight of the clock that never changes
    assert time_us[0] == first.value // 1_000
    assert export.tags[:2] == ("Temperatur Sensor 1 [ °C]", "Temperatur Sensor 2 [ °C]")
    lines = day.read_text("latin-1").splitlines()[1:]
    assert len(values) == len(lines)
    truth = [[float(cell.replace(",", ".")) for cell in line.split("\t")[1:26]] for line in lines]
    np.testing.assert_array_equal(values, truth)


def test_solar_summer_scored(tmp_path):
    """A model of June and July scores August, and its report tells of every row."""
    months = [str(FOLDER / "solar" / month) for month in ("06", "07")]
    _, settings = frozen(
        tmp_path, [FOLDER / "solar"], timezone="Europe/Berlin", clock="standard time"
    )
    text = settings.read_text() + "\n[training]\nmax_epochs = 2\n"
    settings.write_text(text.replace("[data]", f"[data]\ntrain = {months!r}".replace("'", '"')))
    assert command("train", settings).code == 0
    ended = command("score", settings, FOLDER / "solar" / "08")
    assert ended.code == 0
    assert "44631 of 44631 rows were scored." in ended.out
    (report,) = (tmp_path / "reports" / "real").glob("*/index.html")
    shown = report.read_text(encoding="utf-8")
    assert "wrong number of fields" in shown
    assert "Temperatur Sensor 1 [ °C]" in shown


@pytest.mark.parametrize("name", ["d00", "d01", "d21_te"])
def test_tennessee_eastman_by_profile(tmp_path, name):
    """No header, no time, blanks between the numbers; d00 has its tags as lines."""
    path = FOLDER / "tep" / f"{name}.dat"
    raw = np.loadtxt(path)
    turned = raw.shape[0] == 52
    said = {"header": False, "separator": " ", "start": "2026-01-01", "period_s": 180.0}
    _, settings = frozen(tmp_path, [path], transposed=turned, **said)

    time_us, values, export = read(settings, [path])

    assert export.tags == tuple(f"x{k + 1}" for k in range(52))
    np.testing.assert_array_equal(values, raw.T if turned else raw)
    assert set(np.diff(time_us)) == {180_000_000}
    assert export.account().rows_in == export.account().kept == len(values)


def test_skab_by_profile(tmp_path):
    """Every experiment fits the profile of one; a file of another plant does not."""
    labels = ["anomaly", "changepoint"]
    _, settings = frozen(tmp_path, [FOLDER / "skab/valve1/0.csv"], label_columns=labels)
    for path in sorted((FOLDER / "skab").glob("*/[0-9]*.csv")):
        frame = pd.read_csv(path, sep=";").drop(columns=["datetime", *labels])
        _, values, export = read(settings, [path])
        np.testing.assert_array_equal(values, frame.to_numpy())
        assert export.tags == tuple(frame.columns)
    ended = command("inspect", FOLDER / "solar/08/20170801.csv", "-c", settings)
    assert ended.code == 3
    assert ended.err.startswith(
        "sensor-ad: 20170801.csv: deviates from its profile: separator is '\\t', not ';'; time "
        "columns is 'Datum & Uhrzeit', not 'datetime'; column 'Accelerometer1RMS' is missing; "
    )

"""Files of different tags, one for each part of a plant, joined by their times."""

import numpy as np
import pytest

from sensor_ad.errors import DataError
from sensor_ad.exports import ReadSettings, open_export
from sensor_ad.records import Quality

START_US = 1_767_225_600_000_000  # 2026-01-01 00:00:00 UTC


def write(folder, name, tags, rows):
    """Write a table with a row a minute, as AWS Lookout for Equipment wanted it."""
    lines = [",".join(["Timestamp", *tags])]
    lines += [f"2026-01-01T00:{k:02d}:00Z,{','.join(row)}" for k, row in enumerate(rows)]
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def read(paths, **settings):
    export = open_export(paths, ReadSettings(**settings))
    chunks = list(export.chunks())
    values, quality = (
        np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in ("values", "quality")
    )
    return np.concatenate([chunk.time_us for chunk in chunks]), values, quality, export


def test_components_are_joined(tmp_path):
    pump = [(str(k), "Bad" if k == 3 else f"{k}.5") for k in range(20)]
    write(tmp_path, "pump/2026.csv", ("flow", "pressure"), pump)
    write(tmp_path, "motor/2026.csv", ("current",), [(str(100 + k),) for k in range(12)])

    time_us, values, quality, export = read([tmp_path])

    assert export.tags == ("current", "flow", "pressure")
    np.testing.assert_array_equal(time_us, START_US + 60_000_000 * np.arange(20))
    np.testing.assert_array_equal(values[:12, 0], 100 + np.arange(12))
    assert (quality[12:, 0] == Quality.NO_DATA).all()
    np.testing.assert_array_equal(values[:, 1], np.arange(20))
    assert (values[4, 2], quality[3, 2]) == (4.5, Quality.BAD)
    account = export.account()
    assert account.rows_in == account.kept == 12 + 40
    assert export.profile["layout"] == "wide (files of different tags, joined by their times)"
    assert (
        "tag pressure: 1 cell is not a number (first: 'Bad' in 2026.csv, line 5): treated as "
        "missing" in account.notes
    )


def test_rows_that_are_dropped_balance(tmp_path):
    good = [(str(k),) for k in range(20)]
    one = write(tmp_path, "one.csv", ("a",), [*good, *good[:1]])
    two = write(tmp_path, "two.csv", ("b",), good)
    text = one.read_text()
    one.write_text(text + ",\n")
    account = read([one, two])[3].account()
    assert account.rows_in == account.kept + sum(account.dropped.values())
    assert account.dropped == {"empty row": 1}


def test_files_that_share_some_tags_are_refused(tmp_path):
    rows = [("1", "2")] * 20
    one = write(tmp_path, "one.csv", ("a", "b"), rows)
    two = write(tmp_path, "two.csv", ("b", "c"), rows)
    with pytest.raises(DataError) as refused:
        open_export([one, two], ReadSettings())
    assert str(refused.value) == (
        "two.csv: lacks 'a' and adds 'c', expected the columns of one.csv: read these files "
        "apart, or name the columns in data.ignore_columns."
    )

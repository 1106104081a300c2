"""What is imported is kept in one file: the same comes back, and damage is told."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor_ad.errors import DataError
from sensor_ad.exports.canonical import (
    KEY,
    CanonicalWriter,
    account_of,
    account_table,
    canonical_facts,
    read_canonical,
)
from sensor_ad.records import Quality, Readings, RowAccount

NAN = float("nan")
HOSTILE = ("time", "quality of a", "a", "quality of quality of a", "=cmd|' /C calc'!A0", "Öl °C",
           "a.b", "../../etc", "", " ", "a\n\0b", "_index", "tag: time", "x" * 5_000)  # fmt: skip


def part(tags, rows=3, first=0, quality=None):
    """Return some readings: tag k has the value k in row 0, and one more in each row."""
    time_us = 1_767_225_600_000_000 + 1_000 * np.arange(first, first + rows)
    values = np.arange(len(tags), dtype=float) + np.arange(first, first + rows)[:, None]
    return Readings(time_us, values, tuple(tags), quality)


def write(path, parts, tags, **about):
    return CanonicalWriter(path, tags).write(parts, lambda: about)


def back(path, tags):
    """Return all readings of a file as one, and the bytes told."""
    parts, told = zip(*read_canonical(path, tags), strict=True)
    time_us, values, quality = (
        np.concatenate([getattr(one, name) for one in parts])
        for name in ("time_us", "values", "quality")
    )
    assert all(one.tags == tuple(tags) for one in parts)
    return Readings(time_us, values, tuple(tags), quality), sum(told)


def test_the_same_comes_back(tmp_path):
    path = tmp_path / "a.parquet"
    values = np.array([[1.5, -0.0], [NAN, 1e299], [5e-324, NAN]])
    quality = np.array(
        [
            [Quality.GOOD, Quality.UNCERTAIN],
            [Quality.BAD, Quality.SUBSTITUTED],
            [Quality.GOOD, Quality.NO_DATA],
        ],
        np.uint8,
    )
    sent = Readings(np.array([-1, 0, 2**53 + 1]), values, ("a", "b"), quality)

    assert write(path, [sent], ("a", "b"), asset="plant") == 3

    found, told = back(path, ("a", "b"))
    assert found.values.tobytes() == values.tobytes()
    np.testing.assert_array_equal(found.time_us, sent.time_us)
    np.testing.assert_array_equal(found.quality, quality)
    assert found.quality.dtype == np.uint8 and found.values.dtype == np.float64
    assert told == path.stat().st_size
    assert canonical_facts(path) == {
        "version": 1, "tags": ["a", "b"], "rows": 3, "asset": "plant",
    }  # fmt: skip


def test_quality_that_nobody_said(tmp_path):
    sent = Readings(np.arange(2), np.array([[1.0], [NAN]]), ("a",))
    write(tmp_path / "a.parquet", [sent], ("a",))

    found, _ = back(tmp_path / "a.parquet", ("a",))
    assert found.quality.tolist() == [[Quality.GOOD], [Quality.NO_DATA]]


def test_hostile_names_come_back_each_with_its_values(tmp_path):
    path = tmp_path / "a.parquet"
    quality = np.arange(3 * len(HOSTILE), dtype=np.uint8).reshape(3, -1) % 3
    write(path, [part(HOSTILE, quality=quality)], HOSTILE)

    found, _ = back(path, canonical_facts(path)["tags"])
    assert found.tags == HOSTILE
    np.testing.assert_array_equal(found.values, part(HOSTILE).values)
    np.testing.assert_array_equal(found.quality, quality)


def test_every_column_has_a_name_of_its_own(tmp_path):
    """Other programs refuse files in which two columns have one name."""
    path = tmp_path / "a.parquet"
    write(path, [part(HOSTILE)], HOSTILE)

    names = pq.read_schema(path).names
    assert len({*names}) == len(names) == 1 + 2 * len(HOSTILE)
    assert names[:4] == ["time", "tag: time", "tag: quality of a", "a"]
    assert pq.read_table(path, columns=["a", "quality of a"]).num_columns == 2


NAMES = st.text(st.characters(codec="utf-8"), max_size=6)


@given(st.lists(NAMES, min_size=1, max_size=6, unique=True))
def test_any_names(tmp_path_factory, tags):
    path = tmp_path_factory.mktemp("names") / "a.parquet"
    write(path, [part(tags)], tags)

    found, _ = back(path, canonical_facts(path)["tags"])
    assert found.tags == tuple(tags)
    np.testing.assert_array_equal(found.values, part(tags).values)


def test_parts_are_gathered_in_groups(tmp_path, monkeypatch):
    """Small parts make no small groups, and a large one is cut."""
    monkeypatch.setattr("sensor_ad.exports.canonical.GROUP_VALUES", 20)
    path = tmp_path / "a.parquet"
    parts = [part("ab", 3, first) for first in range(0, 12, 3)] + [part("ab", 25, 12)]

    assert write(path, parts, "ab") == 37

    with pq.ParquetFile(path) as file:
        sizes = [file.metadata.row_group(k).num_rows for k in range(file.metadata.num_row_groups)]
    assert sum(sizes) == 37 and max(sizes) == 10 and len(sizes) <= 6
    found, told = back(path, "ab")
    np.testing.assert_array_equal(found.values, part("ab", 37).values)
    assert told == path.stat().st_size


def test_file_is_whole_or_not_there(tmp_path):
    def broken():
        yield part("a")
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        write(tmp_path / "a.parquet", broken(), "a")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_a_file_too(tmp_path):
    assert write(tmp_path / "a.parquet", [], "a") == 0
    assert list(read_canonical(tmp_path / "a.parquet", "a")) == []
    assert canonical_facts(tmp_path / "a.parquet")["rows"] == 0


def refusal(call):
    with pytest.raises(DataError) as fault:
        call()
    return str(fault.value)


NO_IMPORT = (
    "a.parquet: no import that can be read (damaged, or of another version), expected one that "
    "`sensor-ad import` wrote: import the export again."
)


@pytest.mark.parametrize(
    "said", [None, b"{}", b"[1]", b"7", b"{", b"\xff", json.dumps({"version": 2}).encode()]
)
def test_other_parquet_is_no_import(tmp_path, said):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata(said and {KEY: said}), path)

    assert refusal(lambda: canonical_facts(path)) == NO_IMPORT


def test_file_that_is_cut_or_missing(tmp_path):
    path = tmp_path / "a.parquet"
    assert refusal(lambda: canonical_facts(path)) == NO_IMPORT
    write(path, [part("ab", 1_000)], "ab")
    path.write_bytes(path.read_bytes()[:-20])
    assert refusal(lambda: canonical_facts(path)) == NO_IMPORT


def test_checksums_find_a_single_wrong_byte(tmp_path):
    """Wherever in the pages a byte is wrong, the file is refused and no other value comes out."""
    path = tmp_path / "a.parquet"
    rng = np.random.default_rng(0)
    sent = Readings(np.arange(500), rng.normal(size=(500, 2)), ("a", "b"))
    write(path, [sent], ("a", "b"))
    whole = path.read_bytes()
    pages = len(whole) - pq.read_metadata(path).serialized_size - 8
    refused = 0
    for at in rng.integers(4, pages, 60):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            found, _ = back(path, ("a", "b"))
        except DataError as fault:
            assert str(fault).startswith("a.parquet: a damaged import (")
            assert str(fault).endswith(
                "), expected the file as it was written: remove it, and the export is imported "
                "again."
            )
            refused += 1
        else:
            assert found.values.tobytes() == sent.values.tobytes()
    assert refused > 50


def test_account_comes_back():
    account = RowAccount(9, 7, {"empty row": 2}, sorted=3, notes=("a", "b"))

    assert account_of(json.loads(json.dumps(account_table(account)))) == account

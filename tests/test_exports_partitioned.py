"""Folders of files: keys in the names of folders, what is skipped, limits, one stable order."""

import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sensor_ad.errors import DataError
from sensor_ad.exports import partitions
from sensor_ad.exports.columnar import plain_batches, plain_columns
from sensor_ad.exports.partitions import partitioned_files
from sensor_ad.exports.tally import Tally


def put(folder, *names, columns=None):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns or {"value": [1.0, 2.0]}), path)


def found(folder, tally=None):
    return [
        (path.relative_to(folder).as_posix(), keys)
        for path, keys in partitioned_files(folder, tally)
    ]


def refusal(folder, **settings):
    with pytest.raises(DataError) as fault:
        partitioned_files(folder, **settings)
    return str(fault.value)


def test_keys_of_hive_folders(tmp_path):
    put(
        tmp_path,
        "tag=FT101/day=2026-01-02/part-0.parquet",
        "tag=FT101/day=2026-01-01/part-1.parquet",
        "tag=FT101/day=2026-01-01/part-0.parquet",
        "tag=5RT%2F1%20%C2%B0C/day=__HIVE_DEFAULT_PARTITION__/part-0.parquet",
    )

    assert found(tmp_path) == [
        (
            "tag=5RT%2F1%20%C2%B0C/day=__HIVE_DEFAULT_PARTITION__/part-0.parquet",
            {"tag": "5RT/1 °C", "day": None},
        ),
        ("tag=FT101/day=2026-01-01/part-0.parquet", {"tag": "FT101", "day": "2026-01-01"}),
        ("tag=FT101/day=2026-01-01/part-1.parquet", {"tag": "FT101", "day": "2026-01-01"}),
        ("tag=FT101/day=2026-01-02/part-0.parquet", {"tag": "FT101", "day": "2026-01-02"}),
    ]


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1", "12"], [1, 12]),
        (["-1", "0.5"], [-1.0, 0.5]),
        (["01", "12"], ["01", "12"]),
        (["1", "x"], ["1", "x"]),
        (["1e5", "nan"], ["1e5", "nan"]),
        (["1", "__HIVE_DEFAULT_PARTITION__"], [1, None]),
        (["9" * 30], ["9" * 30]),
        (["a=b"], ["a=b"]),
        (["%252e%252e"], ["%2e%2e"]),  # decoded once
    ],
)
def test_key_is_a_number_when_all_its_values_are(tmp_path, texts, values):
    put(tmp_path, *(f"key={text}/part.parquet" for text in texts))

    assert {keys["key"] for _, keys in found(tmp_path)} == set(values)
    assert {type(keys["key"]) for _, keys in found(tmp_path)} == set(map(type, values))


def test_what_is_no_file_of_the_table_is_skipped_and_told(tmp_path):
    put(
        tmp_path,
        "year=2026/month=1/a.parquet",
        "year=2026/month=1/.b.parquet",
        "year=2026/month=1/_c.parquet",
        "year=2026/month=1/d.parquet.tmp",
        "year=2026/_temporary/e.parquet",
        "year=2026/.hidden/f.parquet",
        "_spark=1/year=2026/month=1/g.parquet",
    )
    (tmp_path / "_spark=1").rename(tmp_path / "year=2027")
    (tmp_path / "year=2027" / "year=2026").rename(tmp_path / "year=2027" / "x")
    for name in ("_SUCCESS", "_metadata", "_common_metadata"):
        (tmp_path / name).touch()
    tally = Tally()

    assert [name for name, _ in found(tmp_path, tally)] == [
        "year=2026/month=1/a.parquet",
        "year=2027/x/month=1/g.parquet",
    ]
    (note,) = tally.notes
    assert note.startswith(
        f"folder {tmp_path.name}: 6 files skipped (hidden, temporary, linked or of another kind): "
    )
    assert note.endswith(" and 1 more")


def test_order_does_not_depend_on_the_disk(tmp_path):
    names = [f"tag={tag}/{part}.parquet" for tag in ("a", "a-b", "b") for part in (0, 1, 2)]
    random.Random(1).shuffle(names)
    put(tmp_path, *names)

    assert [name for name, _ in found(tmp_path)] == sorted(names, key=lambda name: name.split("/"))


def test_partition_keys_become_columns(tmp_path):
    put(tmp_path, "tag=FT1/year=2026/part.parquet", columns={"value": [1.0, 2.0]})
    ((path, keys),) = partitioned_files(tmp_path)

    columns = plain_columns(path, keys)
    (batch,) = plain_batches(path, columns, keys)

    assert batch.to_pydict() == {"value": [1.0, 2.0], "tag": ["FT1"] * 2, "year": [2026] * 2}
    assert batch.schema.types == [pa.float64(), pa.string(), pa.int64()]


def test_key_that_is_a_column_too_must_say_the_same(tmp_path):
    same, other = {"tag": ["FT1", "FT1"]}, {"tag": ["FT1", "FT2"]}
    put(tmp_path, "tag=FT1/a.parquet", columns=same)
    put(tmp_path, "tag=FT1/b.parquet", columns=other)
    (first, keys), (second, _) = partitioned_files(tmp_path)

    (batch,) = plain_batches(first, plain_columns(first, keys), keys)
    assert batch.to_pydict() == same
    with pytest.raises(DataError) as fault:
        list(plain_batches(second, plain_columns(second, keys), keys))
    assert str(fault.value) == (
        "b.parquet, row 2: column 'tag' holds 'FT2', but the file lies in the folder of 'FT1'; "
        "expected the same: move the file, or leave the column out."
    )


def test_files_with_different_keys(tmp_path):
    put(tmp_path, "tag=FT1/a.parquet", "tag=FT2/day=2026-01-01/a.parquet", "z.parquet")

    assert refusal(tmp_path) == (
        "tag=FT2/day=2026-01-01/a.parquet: its folders give the keys 'tag', 'day', but those of "
        "tag=FT1/a.parquet give the keys 'tag'; expected the same keys for all files: read these "
        "folders apart."
    )
    (tmp_path / "tag=FT2").rename(tmp_path / "_old")
    assert refusal(tmp_path) == (
        "z.parquet: its folders give no keys, but those of tag=FT1/a.parquet give the keys 'tag'; "
        "expected the same keys for all files: read these folders apart."
    )


@pytest.mark.parametrize(
    ("name", "what"),
    [("a=1/a=2/x.parquet", "the key 'a' twice"), ("=1/x.parquet", "a key without a name")],
)
def test_keys_that_are_none(tmp_path, name, what):
    put(tmp_path, name)

    assert refusal(tmp_path) == (
        f"{name}: {what}, expected key=value folders with each key once: rename the folder."
    )


def test_folder_without_files(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "note.pdf").touch()

    assert refusal(tmp_path) == (
        f"{tmp_path.name}: no export in this folder or those within (1 other files), expected "
        "*.parquet, *.parq, *.pq: name the folder that holds them."
    )


def test_delta_table_within_is_not_globbed(tmp_path):
    put(tmp_path, "tables/plant/a.parquet", "tables/plant/_delta_log/0.checkpoint.parquet")

    assert refusal(tmp_path) == (
        "plant: a Delta table, whose files are not all valid, expected plain files: name the "
        "table's own folder, so that it is read through its log."
    )


def test_limits(tmp_path, monkeypatch):
    put(tmp_path, "a/b/c.parquet", "a/b/d.parquet")

    monkeypatch.setattr(partitions, "MOST_FILES", 1)
    assert refusal(tmp_path) == (
        f"{tmp_path.name}: more than 1 files, expected at most as many: name a folder further "
        "down, or merge the files."
    )
    monkeypatch.setattr(partitions, "MOST_ENTRIES", 1)
    assert refusal(tmp_path) == (
        f"{tmp_path.name}: more than 1 names in this folder and those within, expected an export: "
        "name a folder further down."
    )
    monkeypatch.setattr(partitions, "DEEPEST", 1)
    monkeypatch.setattr(partitions, "MOST_ENTRIES", 100)
    assert refusal(tmp_path) == (
        f"{tmp_path.name}: folders lie more than 1 deep ('b'), expected key=value folders or plain "
        "ones: name a folder further down."
    )


def test_links_to_folders_are_not_followed(tmp_path):
    """A loop of links would never end."""
    put(tmp_path, "a/x.parquet")
    (tmp_path / "a" / "loop.parquet").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    tally = Tally()

    assert found(tmp_path, tally) == [("a/x.parquet", {})]
    (note,) = tally.notes
    assert "2 files skipped" in note

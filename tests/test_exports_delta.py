"""Delta tables: only what the log lists is read; what the log cannot vouch for is refused.

The logs are written by hand, as the protocol has them:
https://github.com/delta-io/delta/blob/master/PROTOCOL.md
"""

import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sensor_ad.errors import DataError
from sensor_ad.exports import delta, delta_log
from sensor_ad.exports.columnar import plain_batches
from sensor_ad.exports.delta import delta_columns, delta_files, delta_table
from sensor_ad.exports.tally import Tally

PROTOCOL = {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}
TYPES = {"tag": "string", "time": "timestamp", "value": "double"}
ACTION = pa.struct(
    [
        ("path", pa.string()),
        ("partitionValues", pa.map_(pa.string(), pa.string())),
        ("size", pa.int64()),
        ("modificationTime", pa.int64()),
        ("dataChange", pa.bool_()),
        ("stats", pa.string()),
    ]
)
METADATA = pa.struct(
    [
        ("id", pa.string()),
        ("format", pa.struct([("provider", pa.string())])),
        ("schemaString", pa.string()),
        ("partitionColumns", pa.list_(pa.string())),
        ("configuration", pa.map_(pa.string(), pa.string())),
    ]
)
CHECKPOINT = pa.schema(
    [
        ("txn", pa.struct([("appId", pa.string()), ("version", pa.int64())])),
        ("add", ACTION),
        ("remove", pa.struct([("path", pa.string()), ("deletionTimestamp", pa.int64())])),
        ("metaData", METADATA),
        (
            "protocol",
            pa.struct([("minReaderVersion", pa.int32()), ("minWriterVersion", pa.int32())]),
        ),
    ]
)


def metadata(types=TYPES, keys=(), **changes):
    fields = [
        {"name": name, "type": kind, "nullable": True, "metadata": {}}
        for name, kind in types.items()
    ]
    return {
        "metaData": {
            "id": "0",
            "format": {"provider": "parquet", "options": {}},
            "schemaString": json.dumps({"type": "struct", "fields": fields}),
            "partitionColumns": list(keys),
            "configuration": {},
            **changes,
        }
    }


def put(table, name, values=(1.0, 2.0)):
    """Write a data file and return its size."""
    path = table / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"value": list(values)}), path)
    return path.stat().st_size


def add(table, name, logged=None, keys=None, write=True, **more):
    size = put(table, name) if write else 1
    fields = {"path": logged or name, "partitionValues": keys or {}, "size": size}
    return {"add": {**fields, "modificationTime": 0, "dataChange": True, **more}}


def remove(name, **more):
    return {"remove": {"path": name, "deletionTimestamp": 0, "dataChange": True, **more}}


def commit(table, version, *actions):
    log = table / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(action) + "\n" for action in actions)
    (log / f"{version:020d}.json").write_text(lines)


def checkpoint(table, version, *actions, parts=1):
    log = table / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    for k in range(parts):
        rows = pa.Table.from_pylist([_pairs(a) for a in actions[k::parts]], CHECKPOINT)
        part = "" if parts == 1 else f".{k + 1:010d}.{parts:010d}"
        pq.write_table(rows, log / f"{version:020d}.checkpoint{part}.parquet")


def _pairs(action):
    """Turn maps into lists of pairs, as Arrow takes them."""
    return {
        kind: {
            name: list(field.items()) if name in ("partitionValues", "configuration") else field
            for name, field in fields.items()
        }
        for kind, fields in action.items()
    }


def names(table):
    return [path.relative_to(table.resolve()).as_posix() for path, _ in delta_files(table)]


def refusal(table):
    with pytest.raises(DataError) as fault:
        delta_files(table)
    return str(fault.value)


@pytest.fixture
def table(tmp_path):
    """Give a table of two files, with a third that was removed and still lies there."""
    table = tmp_path / "plant"
    commit(table, 0, PROTOCOL, metadata(), add(table, "a.parquet"), add(table, "b.parquet"))
    commit(table, 1, {"commitInfo": {}}, remove("a.parquet"), add(table, "c.parquet"))
    return table


def test_removed_file_that_is_still_there_is_not_read(table):
    put(table, "stray.parquet")

    found = delta_table(table)

    assert (table / "a.parquet").exists()
    assert names(table) == ["b.parquet", "c.parquet"]
    assert found.version == 1
    assert found.columns == TYPES
    assert found.partition_columns == ()


def test_file_that_comes_back(table):
    commit(table, 2, remove("b.parquet"))
    commit(table, 3, add(table, "b.parquet"), {"txn": {"appId": "x", "version": 3}})

    assert names(table) == ["b.parquet", "c.parquet"]


def test_newest_schema_counts(table):
    commit(table, 2, metadata({**TYPES, "quality": "integer", "raw": {"type": "array"}}))

    assert delta_table(table).columns == {**TYPES, "quality": "integer", "raw": "nested"}


def test_partition_values_come_from_the_log_and_not_from_names(tmp_path):
    types = {"tag": "string", "day": "date", "n": "integer", "x": "double", "on": "boolean"}
    keys = {"tag": "5RT/1 °C", "day": "2026-01-01", "n": "7", "x": "0.5", "on": "true"}
    commit(
        tmp_path,
        0,
        PROTOCOL,
        metadata(types, types),
        add(tmp_path, "tag=lie/1.parquet", keys=keys),
        add(tmp_path, "2.parquet", keys={**dict.fromkeys(types), "tag": ""}),
    )

    assert [values for _, values in delta_files(tmp_path)] == [
        dict.fromkeys(types),
        {"tag": "5RT/1 °C", "day": "2026-01-01", "n": 7, "x": 0.5, "on": True},
    ]


def test_table_is_read_by_its_schema(tmp_path):
    """A column that came later is null in files before it; one that went is not read."""
    types = {"tag": "string", "time": "timestamp", "day": "date", "value": "decimal(9,2)"}
    types |= {"quality": "integer", "raw": "binary", "unit": "string"}
    commit(tmp_path, 0, PROTOCOL, metadata(types, ["tag"]))
    stamps = pa.array([1_000, 2_000], pa.int64()).cast(pa.timestamp("ns"))
    columns = {"time": stamps, "value": [1.5, 2.5], "went": ["x", "y"], "quality": [192, None]}
    pq.write_table(pa.table(columns), tmp_path / "1", use_deprecated_int96_timestamps=True)
    size = (tmp_path / "1").stat().st_size
    file = {"path": "1", "partitionValues": {"tag": "007"}, "size": size}
    commit(tmp_path, 1, {"add": file})
    table, tally = delta_table(tmp_path), Tally()
    ((path, keys),) = table.files

    (batch,) = plain_batches(path, delta_columns(table, tally), keys)

    assert batch.schema == pa.schema(
        [
            ("tag", pa.string()),
            ("time", pa.timestamp("us", "UTC")),
            ("day", pa.timestamp("ms")),
            ("value", pa.float64()),
            ("quality", pa.int64()),
            ("unit", pa.string()),
        ]
    )
    assert batch.drop_columns("time").to_pydict() == {
        "tag": ["007", "007"],
        "day": [None, None],
        "value": [1.5, 2.5],
        "quality": [192, None],
        "unit": [None, None],
    }
    assert batch["time"].cast(pa.int64()).to_pylist() == [1, 2]
    assert tally.notes == ["column 'raw' is of type binary, no number, text or time: left out"]


def test_rows_of_a_file_without_any_wanted_column_are_kept(tmp_path):
    commit(tmp_path, 0, PROTOCOL, metadata({"unit": "string"}), add(tmp_path, "1"))
    table = delta_table(tmp_path)

    (batch,) = plain_batches(table.files[0][0], delta_columns(table))

    assert batch.to_pydict() == {"unit": [None, None]}


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_checkpoint_stands_in_for_the_commits_before_it(table, parts):
    state = [PROTOCOL, metadata(), *(add(table, f"{name}.parquet") for name in "bc")]
    checkpoint(table, 1, *state, remove("a.parquet"), parts=parts)
    for version in (0, 1):
        (table / "_delta_log" / f"{version:020d}.json").unlink()
    (table / "_delta_log" / "_last_checkpoint").write_text('{"version": 1, "size": 5}')
    commit(table, 2, remove("c.parquet"), add(table, "d.parquet"))

    assert names(table) == ["b.parquet", "d.parquet"]
    assert delta_table(table).columns == TYPES


def test_partition_values_of_a_checkpoint(tmp_path):
    file = add(tmp_path, "1.parquet", keys={"tag": "FT1"})
    checkpoint(tmp_path, 5, PROTOCOL, metadata(keys=["tag"]), file)

    assert [keys for _, keys in delta_files(tmp_path)] == [{"tag": "FT1"}]


def test_checkpoint_with_missing_parts_is_ignored(table):
    state = [PROTOCOL, metadata(), add(table, "a.parquet")]
    checkpoint(table, 1, *state, parts=3)
    (table / "_delta_log" / f"{1:020d}.checkpoint.{2:010d}.{3:010d}.parquet").unlink()

    assert names(table) == ["b.parquet", "c.parquet"]


def test_other_files_of_the_log_do_not_matter(table):
    log = table / "_delta_log"
    (log / f"{0:020d}.{1:020d}.compacted.json").write_text("nonsense")
    (log / f"{1:020d}.crc").write_text("nonsense")
    (log / ".tmp").write_text("nonsense")

    assert names(table) == ["b.parquet", "c.parquet"]


NOT_READ = (
    ", which is not read here; expected reader version 1, or no reader features but timestampNtz, "
    "vacuumProtocolCheck: drop the feature, or export the table as plain Parquet."
)


@pytest.mark.parametrize(
    ("protocol", "what"),
    [
        ({"minReaderVersion": 2}, "the feature 'columnMapping'"),
        (
            {"minReaderVersion": 3, "readerFeatures": ["timestampNtz", "deletionVectors"]},
            "the feature 'deletionVectors'",
        ),
        (
            {"minReaderVersion": 3, "readerFeatures": ["v2Checkpoint", "columnMapping"]},
            "the features 'columnMapping', 'v2Checkpoint'",
        ),
        (
            {"minReaderVersion": 3, "readerFeatures": ["fromTheFuture"]},
            "the feature 'fromTheFuture'",
        ),
        ({"minReaderVersion": 4}, "reader version 4"),
        ({}, "reader version None"),
    ],
)
def test_protocol_that_asks_for_more(table, protocol, what):
    commit(table, 2, {"protocol": protocol})

    assert refusal(table) == f"plant: this Delta table uses {what}{NOT_READ}"


def test_features_that_ask_nothing_of_readers(table):
    features = ["timestampNtz", "vacuumProtocolCheck"]
    commit(table, 2, {"protocol": {"minReaderVersion": 3, "readerFeatures": features}})

    assert names(table) == ["b.parquet", "c.parquet"]


@pytest.mark.parametrize(
    ("action", "what"),
    [
        (metadata(configuration={"delta.columnMapping.mode": "id"}), "the feature 'columnMapping'"),
        (metadata(format={"provider": "orc"}), "data files as 'orc'"),
        (
            {
                "add": {
                    "path": "d.parquet",
                    "deletionVector": {"storageType": "u", "pathOrInlineDv": "x", "offset": 1},
                }
            },
            "the feature 'deletionVectors'",
        ),
        ({"sidecar": {"path": "x"}}, "the feature 'v2Checkpoint'"),
    ],
)
def test_table_that_needs_more(table, action, what):
    commit(table, 2, action)

    assert refusal(table) == f"plant: this Delta table uses {what}{NOT_READ}"


@pytest.mark.parametrize("suffix", ["json", "parquet"])
def test_checkpoint_of_version_two(table, suffix):
    uuid = "80a083e8-7026-4e79-81be-64bd76c43a11"
    (table / "_delta_log" / f"{1:020d}.checkpoint.{uuid}.{suffix}").touch()

    assert refusal(table) == f"plant: this Delta table uses the feature 'v2Checkpoint'{NOT_READ}"


def test_deletion_vector_that_was_purged(table):
    """The file went with its vector and came back without: no vector is left."""
    vector = {"storageType": "i", "pathOrInlineDv": "x"}
    commit(table, 2, remove("b.parquet"), add(table, "b.parquet", deletionVector=vector))
    commit(table, 3, remove("b.parquet", deletionVector=vector), add(table, "b.parquet"))

    assert names(table) == ["b.parquet", "c.parquet"]


@pytest.mark.parametrize(
    ("name", "logged"),
    [
        ("a b.parquet", "a%20b.parquet"),
        ("t=1%3A2/x.parquet", "t=1%253A2/x.parquet"),
        ("°C.parquet", "%C2%B0C.parquet"),
        ("a+b.parquet", "a+b.parquet"),
        ("x/y.parquet", "{folder}/x/y.parquet"),
        ("x/y.parquet", "file:{folder}/x/y.parquet"),
        ("x/y.parquet", "file://{folder}/x/y.parquet"),
    ],
)
def test_paths_are_decoded_once(tmp_path, name, logged):
    commit(tmp_path, 0, PROTOCOL, metadata(), add(tmp_path, name, logged.format(folder=tmp_path)))

    assert names(tmp_path) == [name]


@pytest.mark.parametrize(
    "logged",
    [
        "../secret.parquet",
        "%2e%2e/secret.parquet",
        "x/../../secret.parquet",
        "x/../a.parquet",
        "..\\secret.parquet",
        "a.parquet%00",
        "/etc/passwd",
        "file:///etc/passwd",
        "s3://bucket/a.parquet",
        "C:/secret.parquet",
        "out/secret.parquet",
        ".",
    ],
)
def test_paths_that_lead_out_of_the_table(tmp_path, logged):
    table = tmp_path / "plant"
    put(tmp_path, "secret.parquet")
    commit(table, 0, PROTOCOL, metadata(), add(table, "a.parquet", logged))
    (table / "out").symlink_to(tmp_path)

    assert refusal(table) == (
        f"plant: the Delta log lists the file {logged!r}, which is outside of the table's folder, "
        "expected files within: copy the table with all its files (a shallow clone lists those of "
        "another table)."
    )


def test_listed_file_that_is_missing_or_another(table):
    (table / "b.parquet").write_bytes(b"short")
    assert refusal(table).startswith("plant: the file 'b.parquet' has 5 bytes, expected ")
    assert refusal(table).endswith(" as the Delta log says: copy the table again.")
    (table / "b.parquet").unlink()
    assert refusal(table) == (
        "plant: the Delta log lists the file 'b.parquet', which is not there, expected all files "
        "of the newest version: copy the table again."
    )


def test_file_that_is_listed_under_two_names(table):
    commit(table, 2, add(table, "b.parquet", "%62.parquet"))

    assert refusal(table) == (
        "plant: the Delta log lists one file as 'b.parquet' and '%62.parquet', expected each file "
        "once: export the table as Parquet."
    )


@pytest.mark.parametrize("lost", [0, 1])
def test_gap_in_the_log(table, lost):
    commit(table, 2, remove("b.parquet"))
    (table / "_delta_log" / f"{lost:020d}.json").unlink()

    assert refusal(table) == (
        f"plant: the Delta log lacks version {lost} ({lost:020d}.json) and no checkpoint stands in "
        "for it, expected every version since the newest checkpoint: copy the table again with its "
        "folder _delta_log."
    )


def test_log_that_ends_before_its_last_checkpoint(table):
    (table / "_delta_log" / "_last_checkpoint").write_text('{"version": 10, "size": 5}')

    assert refusal(table) == (
        "plant: the Delta log ends at version 1, but _last_checkpoint names version 10; expected a "
        "whole log: copy the table again with its folder _delta_log."
    )


def test_log_that_is_empty_or_lacks_its_start(tmp_path):
    table = tmp_path / "plant"
    (table / "_delta_log").mkdir(parents=True)
    assert refusal(table) == (
        "plant: the Delta log holds no version; expected a whole log: copy the table again with "
        "its folder _delta_log."
    )
    commit(table, 0, add(table, "a.parquet"))
    assert refusal(table) == (
        "plant: the Delta log has no protocol action, expected a whole log: copy the table again "
        "with its folder _delta_log."
    )


def test_table_without_files(table):
    commit(table, 2, remove("b.parquet"), remove("c.parquet"))

    assert refusal(table) == (
        "plant: version 2 of this Delta table holds no files, expected a table with rows: export a "
        "stretch of time that has data."
    )


@pytest.mark.parametrize("line", ['{"add": {"pa', "[1]", '{"add": 5}', "\xff", "[" * 100_000])
def test_line_of_the_log_that_is_damaged(table, line):
    path = table / "_delta_log" / f"{1:020d}.json"
    path.write_bytes(b'{"commitInfo": {}}\n\n' + line.encode("latin-1"))
    shown = line.replace("\xff", "\ufffd")[:40]

    assert refusal(table) == (
        f"{1:020d}.json, line 3: {shown!r} is no action of a Delta log, expected one JSON object "
        "in each line: copy the table again."
    )


@pytest.mark.parametrize(
    ("actions", "what"),
    [
        ([{"add": {"size": 1}}], "has a file without a path"),
        ([{"add": {"path": "x"}}, {"add": {"path": "x"}}], "adds twice the file 'x'"),
        ([{"remove": {"path": "x"}}, {"add": {"path": "x"}}], "adds and removes the file 'x'"),
    ],
)
def test_actions_that_contradict(table, actions, what):
    commit(table, 2, *actions)

    assert refusal(table) == (
        f"plant: version 2 of the Delta log {what}, expected a valid log: copy the table again."
    )


def test_schema_and_values_that_cannot_be_read(table):
    commit(table, 2, metadata(keys=["tag"]))
    assert refusal(table) == (
        "plant: the Delta log gives the file 'b.parquet' no value of the partition column 'tag', "
        "expected one for each of them: copy the table again."
    )
    commit(table, 2, metadata(schemaString="{"))
    assert refusal(table) == (
        "plant: the Delta log's schema cannot be read, expected the JSON of a struct: copy the "
        "table again."
    )
    commit(table, 2, metadata({"n": "long"}, ["n"]), remove("b.parquet"), remove("c.parquet"))
    commit(table, 3, add(table, "d.parquet", keys={"n": "seven"}))
    assert refusal(table) == (
        "plant: the Delta log gives the partition column 'n' the value 'seven', expected one of "
        "type long: copy the table again."
    )


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ({"protocol": {"minReaderVersion": 3, "readerFeatures": 5}}, "readerFeatures is '5'"),
        (metadata(configuration=[1]), "configuration is '[1]'"),
        (metadata(keys=["x"], partitionColumns={"a": 1}), "partitionColumns is \"{'a': 1}\""),
        ({"add": {"path": "b.parquet", "deletionVector": 7}}, "deletionVector is '7'"),
    ],
)
def test_fields_of_another_type(table, action, said):
    commit(table, 2, action)

    assert refusal(table).startswith(f"plant: the Delta log's {said}, expected ")
    assert refusal(table).endswith(": copy the table again.")


def test_mutated_logs_are_refused_or_read(table):
    """Any value may turn into another; nothing but a refusal comes of it."""
    log = table / "_delta_log" / f"{0:020d}.json"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    rng, odd = random.Random(1), [None, 0, -1, 1e300, "", "x", [], [1], {}, {"a": 1}, True, "7/.."]
    outcomes = set()
    for _ in range(2_000):
        actions = json.loads(json.dumps(lines))
        here = rng.choice(actions)
        while True:
            key = rng.choice(list(here) if isinstance(here, dict) else range(len(here)))
            if not (isinstance(here[key], dict | list) and here[key] and rng.random() < 0.8):
                break
            here = here[key]
        here[key] = rng.choice(odd)
        log.write_text("".join(json.dumps(action) + "\n" for action in actions))
        try:
            outcomes.add(len(delta_files(table)))
        except DataError as fault:
            assert ", expected " in str(fault) or "; expected " in str(fault)
            outcomes.add("refused")
    assert outcomes == {1, 2, "refused"}


def test_damaged_checkpoint(table):
    checkpoint(table, 1, PROTOCOL, metadata(), add(table, "b.parquet"))
    path = table / "_delta_log" / f"{1:020d}.checkpoint.parquet"
    path.write_bytes(path.read_bytes()[:-100])

    assert refusal(table).startswith(f"{path.name}: a damaged Parquet file (")


def test_limits_of_the_log(table, monkeypatch):
    monkeypatch.setattr(delta_log, "MOST_LOG_BYTES", 10)
    assert refusal(table) == (
        "plant: more than 0 MiB of Delta log since the newest checkpoint, expected less: make a "
        "checkpoint, or export the table as plain Parquet."
    )
    monkeypatch.undo()
    monkeypatch.setattr(delta, "MOST_FILES", 1)
    assert refusal(table) == (
        "plant: a Delta table of more than 1 files, expected at most as many: merge its files "
        "(OPTIMIZE), or export a part of it."
    )

"""Files of features: numpy's own format and Parquet, whole or not there, with times."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from features_models import known
from torch import nn

from sensor_ad.errors import DataError, ResourceError, UsageError
from sensor_ad.features import features

DATA = np.arange(20.0).reshape(10, 2)
TIMES = pd.date_range("2026-03-01 01:00", periods=10, freq="h", tz="Europe/Berlin")
STRETCHES = np.random.default_rng(0).integers(0, 9, (10, 2, 6)).astype(np.float32)


def convolution():
    """Make a network that reckons with whole numbers: its results do not depend on the batch."""
    network = nn.Sequential(nn.Conv1d(2, 3, 1))
    with torch.no_grad():
        network[0].weight.copy_(torch.arange(6.0).reshape(3, 2, 1))
        network[0].bias.zero_()
    return network


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("known_before", [True, False])
def test_npy_is_memory_mapped_and_readable_by_numpy(dtype, known_before, tmp_path):
    network = convolution()
    data = STRETCHES if known_before else (part for part in torch.tensor(STRETCHES).split(3))
    expected = features(network, STRETCHES, "0", dtype=dtype)
    found = features(network, data, "0", dtype=dtype, out=tmp_path / "x.npy", batch=4)
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy", allow_pickle=False), expected)
    assert found.dtype == expected.dtype == np.dtype(dtype)


def test_npy_keeps_what_was_there_when_it_fails(tmp_path):
    path = tmp_path / "x.npy"
    features(known(), DATA, "encoder", out=path)
    before = path.read_bytes()
    with pytest.raises(DataError):
        features(known(), [DATA, np.full((1, 2), np.nan)], "encoder", out=path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x.npy"]


def test_parquet_has_a_column_for_each_feature_of_each_layer(tmp_path):
    path = features(
        known(), DATA, ["encoder", "decoder"], out=tmp_path / "x.parquet", batch=3,
        metadata={"model": "pump 3"},
    )  # fmt: skip
    assert path == tmp_path / "x.parquet"
    table = pq.read_table(path)
    assert table.column_names == ["encoder:0", "encoder:1", "decoder:0"]
    arrays = features(known(), DATA, ["encoder", "decoder"])
    np.testing.assert_array_equal(
        table.to_pandas().to_numpy(), np.hstack([arrays["encoder"], arrays["decoder"]])
    )
    told = table.schema.metadata
    assert json.loads(told[b"sensor_ad.features"]) == {"encoder": [2], "decoder": [1]}
    assert told[b"model"] == b"pump 3"


def test_parquet_names_mean_and_spread(tmp_path):
    network = convolution()
    path = features(network, STRETCHES, "0", pool="mean_spread", out=tmp_path / "x.parquet")
    assert pq.read_schema(path).names == [
        *("0:mean:0", "0:mean:1", "0:mean:2", "0:spread:0", "0:spread:1", "0:spread:2")
    ]
    np.testing.assert_array_equal(
        pd.read_parquet(path).to_numpy(), features(network, STRETCHES, "0", pool="mean_spread")
    )


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_parquet_holds_features_of_several_axes_as_lists(dtype, tmp_path):
    network = convolution()
    path = features(network, STRETCHES, "0", out=tmp_path / "x.parquet", batch=4, dtype=dtype)
    table = pq.read_table(path)
    assert table.column_names == ["0"]
    shape = json.loads(table.schema.metadata[b"sensor_ad.features"])["0"]
    assert shape == [3, 6]
    np.testing.assert_array_equal(
        np.stack(table.to_pandas()["0"].to_list()).reshape(10, *shape),
        features(network, STRETCHES, "0", dtype=dtype),
    )


def test_parquet_holds_very_many_features_as_lists(tmp_path):
    network = nn.Sequential(nn.Identity())
    path = features(network, np.ones((3, 2049)), "0", out=tmp_path / "x.parquet")
    assert pq.read_schema(path).names == ["0"]
    path = features(network, np.ones((3, 2048)), "0", out=tmp_path / "y.parquet")
    assert len(pq.read_schema(path).names) == 2048


def test_parquet_holds_one_value_a_sample(tmp_path):
    network = nn.Sequential(nn.Flatten(0))
    path = features(network, DATA[:, :1], "0", out=tmp_path / "x.parquet")
    assert pd.read_parquet(path)["0"].tolist() == DATA[:, 0].tolist()


@pytest.mark.parametrize(
    "times",
    [
        TIMES,
        TIMES.tz_convert("UTC").tz_localize(None),
        TIMES.tz_convert("UTC").tz_localize(None).to_numpy(),
        TIMES.as_unit("us").asi8,
        pd.Series(TIMES),
    ],
    ids=["zone", "naive", "numpy", "microseconds", "series"],
)
@pytest.mark.parametrize("known_before", [True, False])
def test_parquet_has_the_times(times, known_before, tmp_path):
    data = DATA if known_before else [DATA[:4], DATA[4:]]
    path = features(known(), data, "encoder", out=tmp_path / "x.parquet", times=times, batch=3)
    assert pq.read_schema(path).field("time").type == pa.timestamp("us", tz="UTC")
    frame = pd.read_parquet(path)
    assert frame.columns.tolist() == ["time", "encoder:0", "encoder:1"]
    assert (frame["time"] == TIMES).all()


def test_times_of_a_frame_are_its_own(tmp_path):
    frame = pd.DataFrame(DATA, index=TIMES)
    path = features(known(), frame, "encoder", out=tmp_path / "x.parquet", batch=3)
    assert (pd.read_parquet(path)["time"] == TIMES).all()
    features(known(), frame, "encoder", out=tmp_path / "x.npy")  # which holds no times
    plain = features(known(), frame.reset_index(drop=True), "encoder", out=tmp_path / "y.parquet")
    assert pq.read_schema(plain).names == ["encoder:0", "encoder:1"]


@pytest.mark.parametrize(
    ("count", "known_before", "told"),
    [
        (9, True, "times has 9 entries, the data have 10 samples; give one time for each sample."),
        (11, False, "times has 11 entries, the data have 10 samples; give one time for each "
                    "sample."),
        (9, False, "times has 9 entries, the data have more samples; give one time for each "
                   "sample."),
    ],
)  # fmt: skip
def test_times_must_be_as_many_as_samples(count, known_before, told, tmp_path):
    data = DATA if known_before else [DATA[:4], DATA[4:]]
    times = np.arange(count)
    with pytest.raises(DataError) as refused:
        features(known(), data, "encoder", out=tmp_path / "x.parquet", times=times)
    assert str(refused.value) == told
    assert list(tmp_path.iterdir()) == []


def test_row_groups_are_bounded(tmp_path):
    network = nn.Sequential(nn.Identity())
    stream = (np.full((1000, 500), number) for number in range(20))  # 40 MB
    path = features(network, stream, "0", out=tmp_path / "x.parquet")
    file = pq.ParquetFile(path)
    assert file.num_row_groups == 4
    assert file.metadata.num_rows == 20_000
    column = pd.read_parquet(path, columns=["0:7"])["0:7"]
    assert column.tolist() == np.repeat(np.arange(20.0), 1000).tolist()


@pytest.mark.parametrize(
    ("layers", "out", "times", "told"),
    [
        ("encoder", "x.csv", None, "out is 'x.csv', expected a name that ends in .npy or "
                                   ".parquet."),
        (["encoder", "decoder"], "x.npy", None,
         "a .npy file holds one layer, 2 were asked for (encoder, decoder); write a .parquet file, "
         "or one layer at a time."),
        ("encoder", "x.npy", TIMES, "a .npy file holds no times; write a .parquet file, or leave "
                                    "times out."),
    ],
)  # fmt: skip
def test_file_that_cannot_hold_it(layers, out, times, told, tmp_path):
    with pytest.raises(UsageError) as refused:
        features(known(), DATA, layers, out=tmp_path / out, times=times)
    assert str(refused.value) == told
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResourceError) as refused:
        features(known(), DATA, "encoder", out=tmp_path / "file" / "x.npy")
    assert str(refused.value) == (
        f"{tmp_path / 'file' / 'x.npy'} could not be written (File exists); choose a folder that "
        "can be written."
    )
